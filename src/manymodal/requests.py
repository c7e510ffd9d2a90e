"""What can be asked of an index: parts, each with values, stored items or vectors, and how they are put together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch import Tensor

from .errors import ManymodalError
from .querying import WITHOUT, as_values, check_weights

Fusion = Literal["compose", "rank"]


@dataclass(frozen=True)
class QueryPart:
    """One modality's share in a query; what it gives under `values`, `ids` and `vectors` are its values together.

    Args:
        modality: its name.
        values: raw values: a `str` is a text and never opened; pictures and sounds are bytes, `pathlib.Path` or arrays;
            a table is a dict of column to cell; vectors and series are lists or arrays of numbers.
        ids: stored items (labels, of a modality `per: label`) whose own values are asked with.
        vectors: (v, d) float of unit norm, of the index's space.
        weight: how much it counts; below 0 for what hits should be without.
    """

    modality: str
    values: Sequence[Any] = ()
    ids: Sequence[str] = ()
    vectors: Tensor | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Request:
    """A search.

    Args:
        parts: of the query, at least one.
        target: the modality to search in, or "item": every item's own modalities, composed.
        k: how many items at most.
        where: a condition on the plain columns, such as "year > 2010 and kind in ('a', 'b')".
        calibrated: weigh several parts by what each is worth for the target, where the space knows.
        correct: "qb_norm", "nnn" or "csls" against hubs, "mean_removal" against the gap between modalities.
        fusion: "compose" makes one query of the parts; "rank" searches with each and adds up their ranks, by the parts'
            own weights alone.

    Raises:
        ManymodalError: no part, one twice, k below 1, a weight that is not finite, or another fusion.
    """

    parts: Sequence[QueryPart]
    target: str
    k: int = 10
    where: str | None = None
    calibrated: bool = True
    correct: str | None = None
    fusion: Fusion = "compose"

    def __post_init__(self) -> None:
        if not self.parts:
            raise ManymodalError("the query is empty; give at least one part")
        if self.k < 1:
            raise ManymodalError(f"k={self.k}: a search returns at least one item; use k of 1 or more")
        if self.fusion not in get_args(Fusion):
            raise ManymodalError(f"fusion={self.fusion!r}; allowed are {', '.join(get_args(Fusion))}")
        if len(self.parts) > len({(part.modality, part.weight < 0) for part in self.parts}):
            names = ", ".join(part.modality for part in self.parts)
            raise ManymodalError(f"parts {names}: one is given twice; give several values in one part")
        for part in self.parts:
            if not math.isfinite(part.weight):
                raise ManymodalError(f"weight {part.weight} of {part.modality!r} is not a finite number")
        if self.fusion == "rank" and any(part.weight <= 0 for part in self.parts):
            raise ManymodalError(
                "fusion by rank adds up ranks, so every weight is above 0; compose the query for what is not wanted"
            )
        if self.fusion == "rank" and self.correct is not None:
            raise ManymodalError("fusion by rank takes no correction; compose the query, or leave the correction out")


def as_parts(
    query: Mapping[str, Any], weights: Mapping[str, float], without: Mapping[str, Any], kinds: Mapping[str, str | None]
) -> list[QueryPart]:
    """A query as `Space.search` takes it, {modality: value or list of values}, as parts.

    Raises:
        ManymodalError: a weight for what is no part of the query.
    """
    check_weights(weights, query)

    def part(name: str, given: Any, weight: float) -> QueryPart:
        return QueryPart(name, as_values(given, kinds.get(name) or ""), weight=weight)

    return [part(name, given, weights.get(name, 1.0)) for name, given in query.items()] + [
        part(name, given, WITHOUT) for name, given in without.items()
    ]
