"""The two sides of a direction, queries and gallery, as they are and in the ways that are to be compared with that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Literal

from torch import Tensor

from ..calibration import Calibration
from ..centring import means, remove_means
from ..compose import Parts, Rows, compose_items, rows_of
from ..embeddings import Embeddings
from ..errors import ManymodalError
from ..hubness import METHODS, corrected, fit_correction
from .directions import Direction, Unit

MEAN_REMOVAL = "mean_removal"
CORRECTIONS: tuple[str, ...] = (*METHODS, MEAN_REMOVAL)

Variant = Callable[[Direction], tuple[Tensor, Tensor] | None]  # queries (n, d'), gallery (m, d'): rows as without it


class Sides:
    """Queries and galleries of some embeddings, composed when they are asked for.

    Args:
        embeddings: of one split.
        parts: "all": a query needs every part that its direction names; "any": at least one.
    """

    def __init__(self, embeddings: Embeddings, parts: Parts = "all") -> None:
        self.embeddings, self.parts = embeddings, parts
        # Directions of one query follow each other: it is needed again as it is and weighted, and no other one.
        self._composed = lru_cache(maxsize=2)(self._compose)
        self._gallery = lru_cache(maxsize=len(embeddings.modalities))(self._make_gallery)

    def queries(self, direction: Direction, weights: Mapping[str, float] | None = None) -> Rows:
        """A row for each query of a direction, in an order that does not depend on the weights."""
        given = None if weights is None else tuple(sorted(weights.items()))
        return self._composed(direction.query, direction.unit, given)

    def gallery(self, direction: Direction) -> Rows:
        """All values of one modality; or one row for each item with at least one of several."""
        return self._gallery(direction.target)

    def _compose(self, query: tuple[str, ...], unit: Unit, weights: tuple[tuple[str, float], ...] | None) -> Rows:
        if unit == "value" and len(query) == 1:
            return rows_of(self.embeddings, query[0])
        by: Literal["value", "item"] = "value" if unit == "value" else "item"
        return compose_items(self.embeddings, query, dict(weights or ()), parts=self.parts, unit=by)

    def _make_gallery(self, target: tuple[str, ...]) -> Rows:
        if len(target) == 1:
            return rows_of(self.embeddings, target[0])
        return compose_items(self.embeddings, target, parts="any")


def corrections(sides: Sides, methods: Sequence[str], bank: Embeddings | None) -> dict[str, Variant]:
    """{method: what it makes of a direction}.

    Args:
        sides: as they are.
        methods: of `CORRECTIONS`.
        bank: embeddings of train items, from which all of them are estimated.

    Raises:
        ManymodalError: an unknown method, or no bank.
    """
    for method in methods:
        if method not in CORRECTIONS:
            raise ManymodalError(f"correction {method!r}; allowed are {', '.join(CORRECTIONS)}")
    if not methods:
        return {}
    if bank is None:
        raise ManymodalError(
            f"correct={list(methods)} takes embeddings of train items (bank=): a fitted space has some, of vectors "
            "from elsewhere give those of train (--train FOLDER)"
        )
    of_bank = Sides(bank, sides.parts)

    def by_bias(method: str) -> Variant:
        def variant(direction: Direction) -> tuple[Tensor, Tensor] | None:
            asked = of_bank.queries(direction).vectors
            if not len(asked):
                return None  # no train item has all parts of the query
            queries, gallery = sides.queries(direction).vectors, sides.gallery(direction).vectors
            return corrected(fit_correction(method, asked, gallery), queries, gallery)

        return variant

    found = {method: by_bias(method) for method in methods if method != MEAN_REMOVAL}
    if MEAN_REMOVAL in methods:
        centred = Sides(remove_means(sides.embeddings, means(bank)), sides.parts)
        found[MEAN_REMOVAL] = lambda direction: (centred.queries(direction).vectors, centred.gallery(direction).vectors)
    return {method: found[method] for method in methods}


def calibrated(sides: Sides, calibration: Calibration) -> Variant:
    """Combined queries with calibrated weights."""

    def variant(direction: Direction) -> tuple[Tensor, Tensor]:
        weights = calibration.of(direction.query, direction.target)
        return sides.queries(direction, weights).vectors, sides.gallery(direction).vectors

    return variant
