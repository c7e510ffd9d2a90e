"""Saved reports of one setting, trained with different seeds, averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev
from typing import Any

from ..errors import ManymodalError
from .saved import Key, SavedReport, check_galleries, check_trainings, listed, shared_directions

# All else in an entry is a metric, or the metrics of another way to score.
PLAIN = {"query", "target", "unit", "match", "queries", "skipped", "gallery", "leak", "ci", "hubness"}
RAW = "raw"


@dataclass(frozen=True)
class Spread:
    """A figure over trainings.

    Args:
        mean: None where no training has it.
        sd: standard deviation (n - 1); None of fewer than two.
        seeds: how many trainings have it.
    """

    mean: float | None
    sd: float | None
    seeds: int


@dataclass(frozen=True)
class Average:
    """One direction over trainings.

    Args:
        key: the direction.
        leak: whether one side was made from the other.
        queries: how many were scored in each.
        figures: {"raw", "calibrated", "graded" or the method of a correction: {metric: figure}}.
    """

    key: Key
    leak: bool
    queries: int
    figures: dict[str, dict[str, Spread]]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {**self.key._asdict(), **{name: value for name, value in asdict(self).items() if name != "key"}}


def average(reports: Sequence[SavedReport]) -> list[Average]:
    """Mean and spread over trainings of every figure, of the directions that all reports have.

    Raises:
        ManymodalError: there is no report, they are not of one split, one is there twice, or a direction was scored on
            different numbers of queries or rows of a gallery.
    """
    check_trainings(reports)
    keys, _ = shared_directions(reports)
    rows = []
    for key in keys:
        entries = [report.entries[key] for report in reports]
        counts = {str(report.folder): entry["queries"] for report, entry in zip(reports, entries, strict=True)}
        if len(set(counts.values())) > 1:
            raise ManymodalError(
                f"{key} was scored on different queries ({listed(counts)}); average evaluations of one table"
            )
        check_galleries(key, reports)
        sets = [_figures(entry) for entry in entries]
        kinds = dict.fromkeys(kind for one in sets for kind in one)
        names = {kind: dict.fromkeys(name for one in sets for name in one.get(kind, ())) for kind in kinds}
        figures = {
            kind: {name: _spread([one.get(kind, {}).get(name) for one in sets]) for name in names[kind]}
            for kind in kinds
        }
        rows.append(Average(key, any(e.get("leak", False) for e in entries), entries[0]["queries"], figures))
    return rows


def _figures(entry: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    """Metrics of an entry by how they were scored."""
    own = {name: value for name, value in entry.items() if name not in PLAIN}
    more = {name: own.pop(name) for name in ("calibrated", "graded") if name in own}
    found = {RAW: {n: v for n, v in own.items() if n != "corrected"}, **more, **entry.get("corrected", {})}
    return {kind: {n: v for n, v in figures.items() if n != "queries"} for kind, figures in found.items()}


def _spread(values: Sequence[float | None]) -> Spread:
    known = [value for value in values if value is not None]
    return Spread(mean(known) if known else None, stdev(known) if len(known) > 1 else None, len(known))
