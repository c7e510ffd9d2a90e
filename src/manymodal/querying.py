"""A query's raw values -> one composed vector -> hits that say why they were found."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from .calibration import Calibration
from .centring import centred, means
from .collection import Collection, Schema
from .compose import SMALLEST_NORM, Part, compose, compose_items, cosines, rows_of
from .embeddings import Embeddings
from .encoders.store import FeatureStore
from .errors import BadValue, ManymodalError
from .evaluation.sides import CORRECTIONS, MEAN_REMOVAL
from .hubness import Correction, fit_correction
from .index import exact
from .index.exact import AS_THEY_ARE, Adjustment, Hit
from .preparing import embed_packed, pack
from .towers import Tower, Towers

Fitted = TypeVar("Fitted")

KEPT = 16  # corrections of one gallery; every position of a slider makes another
PORTION = 2**13  # rows whose mean is removed at a time
WITHOUT = -0.5  # weight of what a hit should not be like, unless said


def query_parts(
    towers: Towers,
    schema: Schema,
    query: Mapping[str, Any],
    weights: Mapping[str, float],
    without: Mapping[str, Any],
    store: FeatureStore,
) -> list[Part]:
    """The parts of a query, embedded.

    Raises:
        ManymodalError: nothing is asked, a modality is unknown, a weight is for no part, or a value cannot be read.
    """
    if not query and not without:
        raise ManymodalError(f"the query is empty; give a value in at least one of {', '.join(towers.names)}")
    check_weights(weights, query)

    def part(name: str, given: Any, weight: float) -> Part:
        tower = towers[name]  # refuses a name that is none
        return Part(name, embed_query(tower, name, as_values(given, schema.modalities[name].kind), store), weight)

    return [part(name, given, weights.get(name, 1.0)) for name, given in query.items()] + [
        part(name, given, WITHOUT) for name, given in without.items()
    ]


def embed_query(tower: Tower, modality: str, values: Sequence[Any], store: FeatureStore | None) -> Tensor:
    """(n, d) unit vectors of raw values that are asked with.

    Raises:
        ManymodalError: a value cannot be read.
    """
    try:
        packed = pack(tower, values, store, None if store is None else "reading")
    except BadValue as error:
        raise ManymodalError(f"query, {modality}: {error.reason}") from error
    return embed_packed(tower, packed)


def check_weights(weights: Mapping[str, float], query: Mapping[str, Any]) -> None:
    """Refuse a weight for what is no part of the query.

    Raises:
        ManymodalError: there is one.
    """
    for name in weights:
        if name not in query:
            raise ManymodalError(
                f"there is a weight for {name!r}, which is no part of the query; its parts are {', '.join(query)}"
            )


def as_values(given: Any, kind: str) -> Sequence[Any]:
    """One value, or a list of values, as a list of values.

    A list of numbers is one vector, a list of lists of numbers one series; several of these come as a list of arrays.
    """
    if not isinstance(given, list):
        return [given]
    nested = 1 if kind == "vector" else 2 if kind == "series" else 0
    inner: Any = given
    for _ in range(nested):
        if isinstance(inner, list) and inner and isinstance(inner[0], (list, Real)):
            inner = inner[0]
        else:
            return given  # a list of arrays
    if nested and not isinstance(inner, list):
        return [given]
    return given


class Corrections:
    """What was estimated of one gallery, for the next query that needs it: the `KEPT` that were asked for last."""

    def __init__(self) -> None:
        self._found: dict[Hashable, Any] = {}
        self._lock = threading.Lock()

    def of(self, key: Hashable, fit: Callable[[], Fitted]) -> Fitted:
        """What was found under this key before, or what `fit` finds now."""
        with self._lock:
            found: Fitted = self._found.pop(key) if key in self._found else fit()
            self._found[key] = found
            if len(self._found) > KEPT:
                del self._found[next(iter(self._found))]
            return found


class Gallery(NamedTuple):
    """What is searched.

    Args:
        embeddings: of the target modality.
        target: its name.
        ordinals: (m,) int64, each value's place in its item's list.
        corrections: what was estimated of it, kept for the next such query.
    """

    embeddings: Embeddings
    target: str
    ordinals: Tensor
    corrections: Corrections


def calibrated_parts(parts: Sequence[Part], target: Sequence[str], calibration: Calibration) -> list[Part]:
    """The parts with what each modality is worth for this target multiplied into its weight.

    What hits should be without keeps its weight, and so does the only part that is asked with.
    """
    asked = [part.modality for part in parts if part.weight > 0 and len(part.vectors)]
    if len(asked) < 2:
        return list(parts)
    worth = calibration.of(asked, target)
    return [
        replace(part, weight=part.weight * worth[part.modality]) if part.weight > 0 and len(part.vectors) else part
        for part in parts
    ]


def kept_bank(bank: Embeddings | None, methods: str) -> Embeddings:
    """The embeddings of train items that a space keeps.

    Raises:
        ManymodalError: it keeps none: it was not fitted, or by an earlier version.
    """
    if bank is None:
        raise ManymodalError(
            f"{methods}: that takes embeddings of train items, which this space has not kept. In Python "
            "space.calibrate(data) takes them, and space.save(folder) keeps them; or fit again"
        )
    return bank


def corrected_search(
    vectors: Tensor,
    target: str,
    parts: Sequence[Part],
    method: str,
    bank: Embeddings | None,
    kept: Corrections,
) -> tuple[Tensor, Adjustment]:
    """The composed query (d,), and what makes corrected scores of its similarities to the gallery.

    Args:
        vectors: (m, d) the target's values.
        target: its name.
        parts: of the query.
        method: one of `CORRECTIONS`.
        bank: embeddings of train items.
        kept: corrections of these vectors that were estimated before; new ones are put there, and the oldest go.

    Raises:
        ManymodalError: an unknown method, or a bank that says nothing of the query.
    """
    if method not in CORRECTIONS:
        raise ManymodalError(f"correction {method!r}; allowed are {', '.join(CORRECTIONS)}")
    bank = kept_bank(bank, method)
    if method == MEAN_REMOVAL:
        return _mean_removed(vectors, target, parts, means(bank), kept)
    asked = {part.modality: part.weight for part in parts if part.weight > 0 and len(part.vectors)}
    if not asked:
        raise ManymodalError(f"{method} needs a part of positive weight: its bank is asked the same way as the query")
    shares = {name: round(weight / sum(asked.values()), 6) for name, weight in asked.items()}

    def fit() -> Correction:
        of_bank = compose_items(bank, list(shares), shares)
        if not len(of_bank.vectors):
            raise ManymodalError(f"{method}: no train item that was kept has all of {', '.join(asked)}; leave one out")
        return fit_correction(method, of_bank.vectors, vectors)

    correction = kept.of((method, *sorted(shares.items())), fit)
    query = compose(parts)
    if correction.hubs is not None and len(vectors) and not correction.hubs[(vectors @ query).argmax()]:
        return query, AS_THEY_ARE
    return query, Adjustment(bias=correction.bias)


def _mean_removed(
    vectors: Tensor, target: str, parts: Sequence[Part], mean: Mapping[str, Tensor], kept: Corrections
) -> tuple[Tensor, Adjustment]:
    """The same without what all values of a modality have in common: q . (v - mean) / |v - mean|.

    A value that is its modality's mean has nothing left, and scores 0.
    """
    lacking = {target, *(part.modality for part in parts)} - set(mean)
    if lacking:
        raise ManymodalError(f"{MEAN_REMOVAL}: no train item that was kept has a value in {', '.join(sorted(lacking))}")

    def fit() -> Tensor:
        norms = [(part - mean[target]).norm(dim=1) for part in vectors.split(PORTION)]
        rest = torch.cat([torch.zeros(0), *norms])  # (m,)
        return torch.where(rest < SMALLEST_NORM, 0.0, 1 / rest)

    scale = kept.of((MEAN_REMOVAL,), fit)  # (m,)
    query = compose([replace(part, vectors=centred(part.vectors, mean[part.modality])) for part in parts])
    return query, Adjustment(scale, scale * (query @ mean[target]))


def search_gallery(
    gallery: Gallery,
    parts: Sequence[Part],
    data: Collection,
    k: int,
    correct: str | None = None,
    bank: Embeddings | None = None,
) -> list[Hit]:
    """The k items nearest to the composed parts, by their best value in the target modality."""
    vectors, items, labels = rows_of(gallery.embeddings, gallery.target)
    by_label = gallery.embeddings.per_label(gallery.target) and labels is not None
    owners = labels if by_label and labels is not None else items  # (m,)
    query, adjust = (
        (compose(parts), AS_THEY_ARE)
        if correct is None
        else corrected_search(vectors, gallery.target, parts, correct, bank, gallery.corrections)
    )
    found = exact.search(vectors, owners, query, k, adjust=adjust)
    hits = []
    for (owner, row, score), own in zip(found, cosines(parts, [vectors[one.row] for one in found]), strict=True):
        id, columns = (data.label_names[owner], {}) if by_label else (data.ids[owner], data.columns(owner))
        hits.append(Hit(id, score, int(gallery.ordinals[row]), own, columns))
    return hits
