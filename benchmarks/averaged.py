"""Figures averaged over seeds, query by query: what the benchmarks of whole spaces compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from common import percent
from manymodal.evaluation import Entry
from manymodal.evaluation.directions import Direction
from manymodal.evaluation.entry import Scored
from manymodal.evaluation.significance import Difference, Resamples, holm, holm_intervals

DRAWS = 2000


@dataclass(frozen=True)
class Hits:
    """hit@1 of one direction.

    Args:
        of_seed: (seeds, n) float64.
        owners: (n,) int64, whose query it is.
    """

    of_seed: Tensor
    owners: Tensor

    @classmethod
    def of(cls, scored: Sequence[Scored]) -> Hits:
        """The same direction in several spaces, a space a seed."""
        return cls(torch.stack([(one.first <= 1).double() for one in scored]), scored[0].owners)

    def on(self, owners: Tensor) -> Hits:
        """Only queries of these owners."""
        kept = torch.isin(self.owners, owners)
        return Hits(self.of_seed[:, kept], self.owners[kept])

    @property
    def means(self) -> list[float]:
        """Seed by seed."""
        return [float(mean) for mean in self.of_seed.mean(1)]

    def cell(self) -> dict[str, Any]:
        """As a cell of a table."""
        return percent(self.means)

    def minus(self, other: Hits, draw: Resamples, share: float = 1.0) -> Difference:
        """The mean over queries and seeds less that share of the other's; items are resampled."""
        return draw.difference(self.of_seed.mean(0), self.owners, share * other.of_seed.mean(0), other.owners)


def mean_cell(hits: Sequence[Hits]) -> dict[str, Any]:
    """The mean over directions, seed by seed, as a cell."""
    return percent([sum(seed) / len(hits) for seed in zip(*(one.means for one in hits), strict=True)])


def gap_cell(gap: Difference, seeds: int) -> dict[str, Any]:
    """A difference with its interval as a cell."""
    return {**percent([gap.mean], gap.ci), "seeds": seeds}


Key = tuple[tuple[str, ...], tuple[str, ...], str]


def by_direction(runs: Sequence[Sequence[Entry]], calibrated: bool = False) -> dict[Key, Hits]:
    """{(query, target, unit): hits} of runs that measured the same directions; with calibrated weights where there are."""
    found = {}
    for entries in zip(*runs, strict=True):
        direction = entries[0].direction
        weighted = calibrated and len(direction.query) > 1
        scored = [entry.calibrated_scored if weighted else entry.scored for entry in entries]
        if entries[0].queries:
            found[direction.query, direction.target, direction.unit] = Hits.of(
                [one for one in scored if one is not None]
            )
    return found


@dataclass(frozen=True)
class MeanGain:
    """What one modality adds to a query, over all seeds.

    Args:
        query: the modalities without it. added: the one. target: what is searched.
        leak: whether the added modality was made from the target, or the other way round.
        less, more: hits without and with it, of the items that can be asked both ways.
        difference: more - less.
        p: adjusted for all of the collection (Holm). ci: its interval at the level of that adjustment.
    """

    query: tuple[str, ...]
    added: str
    target: str
    leak: bool
    less: Hits
    more: Hits
    difference: Difference
    p: float
    ci: tuple[float, float]


def mean_gains(
    runs: Sequence[Sequence[Entry]], leaks: Mapping[tuple[str, str], bool], calibrated: bool
) -> list[MeanGain]:
    """hit@1 by item with each modality of each combined query, minus without it."""
    hits = {key[:2]: one for key, one in by_direction(runs, calibrated).items() if key[2] == "item"}
    owners = torch.cat([one.owners for one in hits.values()]).unique()
    draw = Resamples(owners, 0, DRAWS)
    rows = []
    for (query, target), more in hits.items():
        for added in query if len(query) > 1 and len(target) == 1 else ():
            rest = Direction(tuple(m for m in query if m != added), target, "item").query
            if (rest, target) in hits:
                both = more.owners[torch.isin(more.owners, hits[rest, target].owners)]
                less, with_it = hits[rest, target].on(both), more.on(both)
                rows.append((rest, added, target[0], less, with_it, with_it.minus(less, draw)))
    adjusted = holm([row[-1].p for row in rows])
    intervals = holm_intervals([row[-1] for row in rows])
    return [
        MeanGain(query, added, target, leaks.get((added, target), False), less, more, difference, p or 0.0, ci)
        for (query, added, target, less, more, difference), p, ci in zip(rows, adjusted, intervals, strict=True)
    ]
