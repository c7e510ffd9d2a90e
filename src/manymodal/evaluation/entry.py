"""What is measured of one direction, and of one modality added to a query."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..matching import Match
from .directions import Direction, Unit

Figures = dict[str, float | None]


@dataclass(frozen=True)
class Scored:
    """One direction query by query, of the queries that have a match.

    Args:
        owners: (n,) int64, whose query it is: an item; a label where the unit is "label".
        rows: (n,) int64, which of the direction's queries it is.
        first: (n,) int64, rank of its first match; 1 is best.
    """

    owners: Tensor
    rows: Tensor
    first: Tensor


@dataclass(frozen=True)
class Entry:
    """The figures of one direction.

    Args:
        direction: what was asked with, what was searched, and what one query was.
        match: what made a match, "item" or "label".
        queries: how many were scored; metrics are over them.
        skipped: "part": items (labels) that lack a part of the query; "match": queries without a match in the gallery.
        gallery: how many rows were searched.
        metrics: {name: figure}, None where no query was scored; equal weights, nothing corrected.
        leak: whether a modality of the target was made from one of the query, or the other way round.
        ci: {name: (low, high)} of some metrics, where a bootstrap was asked for.
        corrected: {method: metrics} of each correction that was asked for.
        calibrated: metrics with the parts weighted by a calibration; None where there is nothing to weigh.
        graded: nDCG by graded relevance, where judgements were given.
        hubness: skewness of how often each gallery row is among the ten nearest of the scored queries (see
            `manymodal.hubness`); None where anything is composed, no query was
            scored, or ten rows are all there are.
        scored: the figures query by query.
        calibrated_scored: of the calibrated figures.
    """

    direction: Direction
    match: Match
    queries: int
    skipped: dict[str, int]
    gallery: int
    metrics: Figures
    leak: bool = False
    ci: dict[str, tuple[float, float]] = field(default_factory=dict)
    corrected: dict[str, Figures] = field(default_factory=dict)
    calibrated: Figures | None = None
    graded: Figures | None = None
    hubness: float | None = None
    scored: Scored | None = field(default=None, repr=False, compare=False)
    calibrated_scored: Scored | None = field(default=None, repr=False, compare=False)

    def __getitem__(self, metric: str) -> float | None:
        return self.metrics[metric]

    def to_dict(self) -> dict[str, Any]:
        """The entry as `report.json` has it."""
        optional = {
            "leak": self.leak,
            "ci": {name: list(ends) for name, ends in self.ci.items()},
            "corrected": self.corrected,
            "calibrated": self.calibrated,
            "graded": self.graded,
        }
        return {
            "query": list(self.direction.query),
            "target": list(self.direction.target),
            "unit": self.direction.unit,
            "match": self.match,
            "queries": self.queries,
            "skipped": self.skipped,
            "gallery": self.gallery,
            **self.metrics,
            **({} if self.hubness is None else {"hubness": self.hubness}),
            **{name: content for name, content in optional.items() if content},
        }


@dataclass(frozen=True)
class Gain:
    """What one more modality adds to a query: hit@1 with it minus without it, over the same items.

    Args:
        query: the modalities without it.
        added: the one that is added.
        target: what is searched.
        unit: what one query is.
        items: how many items (labels) could be scored both ways.
        hit: hit@1 without it and with it.
        ci: 95 % interval of the difference, items resampled; None without a bootstrap.
        p: two-sided, of no difference, adjusted for all gains of the report (Holm); None without a bootstrap.
        leak: whether the added modality was made from the target, or the other way round.
        calibrated: the same with calibrated weights on both sides.
    """

    query: tuple[str, ...]
    added: str
    target: tuple[str, ...]
    unit: Unit
    items: int
    hit: tuple[float, float]
    ci: tuple[float, float] | None = None
    p: float | None = None
    leak: bool = False
    calibrated: Gain | None = None

    @property
    def gain(self) -> float:
        """Hit@1 with it minus hit@1 without it."""
        return self.hit[1] - self.hit[0]

    def figures(self) -> dict[str, Any]:
        """What was measured, as `report.json` has it."""
        ci = None if self.ci is None else list(self.ci)
        return {"hit@1": list(self.hit), "ci": ci, "p": self.p}

    def to_dict(self) -> dict[str, Any]:
        """The gain as `report.json` has it."""
        return {
            "query": list(self.query),
            "added": self.added,
            "target": list(self.target),
            "unit": self.unit,
            "items": self.items,
            **self.figures(),
            **({"leak": True} if self.leak else {}),
            **({"calibrated": self.calibrated.figures()} if self.calibrated else {}),
        }
