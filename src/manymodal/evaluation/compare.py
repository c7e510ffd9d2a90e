"""Two settings compared: saved reports of each, query by query."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import variance
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ManymodalError
from .saved import Key, SavedReport, check_galleries, check_split, check_trainings, shared_directions
from .significance import LEVEL, Difference, Resamples, holm, p_value, quantile_of_t


@dataclass(frozen=True)
class Paired:
    """One direction in two settings.

    Args:
        key: the direction.
        leak: whether one side was made from the other.
        items: how many items (labels) have a query on both sides.
        unshared: how many have one on one side only.
        means: the metric in the first setting and in the second; None where no query was scored.
        difference: the first less the second, of which p is not adjusted; None where no query was scored.
        p: adjusted for all directions compared (Holm).
    """

    key: Key
    leak: bool
    items: int
    unshared: int
    means: tuple[float | None, float | None]
    difference: Difference | None
    p: float | None = None

    @property
    def significant(self) -> bool:
        """Whether a difference as large is unlikely by chance, however many directions were looked at."""
        return self.p is not None and self.p < 1 - LEVEL

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        d = self.difference
        return {
            **self.key._asdict(),
            "leak": self.leak,
            "items": self.items,
            "unshared": self.unshared,
            "means": list(self.means),
            "difference": d and {"mean": d.mean, "ci": list(d.ci), "se": d.se, "p": d.p},
            "p": self.p,
            "significant": self.significant,
        }


def paired(
    a: Sequence[SavedReport],
    b: Sequence[SavedReport],
    metric: str = "hit@1",
    *,
    calibrated: bool = False,
    n: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Paired]:
    """How far trainings of one setting lie above those of another, direction by direction, and whether by chance.

    Two things vary, and the squares of their standard errors add up. *Items*: the bootstrap of `Resamples`, queries of
    all trainings of an item drawn together and on both sides at once, so that items easy or hard for both cancel.
    *Trainings*: the variance of a side's means over its S seeds, divided by S; a side of one training is taken to vary
    as those of the other side do. Since three seeds tell their own variance badly, p and interval are those of
    Student's t with the degrees of freedom of Welch and Satterthwaite. (Drawing seeds with replacement would lose a
    third of three seeds' variance.) What one item does in one training counts under both: on the safe side (Owen 2007,
    arXiv:0712.1111). Where no side has two trainings, or none differ, interval and p are those of
    `Resamples.difference`.

    Args:
        a: reports of one setting, trained with different seeds.
        b: reports of the other.
        metric: "mrr", or "hit@K" with any K.
        calibrated: whether to take the calibrated figures of the queries that have some.
        n: draws of the bootstrap.
        seed: of the draws.
        progress: called with (directions done, directions in all) after each.

    Raises:
        ManymodalError: the reports are not of one split, no direction is in all, one was searched in different
            galleries or is to be compared calibrated and is not, the two sides share no item, or the metric is another.
    """
    of_rank = _of_rank(metric)
    for side in (a, b):
        check_trainings(side)
    check_split([*a, *b])
    keys, _ = shared_directions([*a, *b])
    place = {name: i for i, name in enumerate(sorted({name for report in (*a, *b) for name in report.names}))}
    whose = {r.folder: np.array([place[name] for name in r.names], dtype=np.int64) for r in (*a, *b)}
    # Items and labels in one pool: a direction has owners of one kind, and a mean is over those that were drawn.
    resamples = Resamples(torch.arange(max(1, len(place))), seed, n)

    def side_of(reports: Sequence[SavedReport], key: Key) -> _Side:
        queries = [report.queries[key] for report in reports]
        ranks = [one.calibrated_first if calibrated else one.first for one in queries]
        owners = [whose[report.folder][one.owners] for report, one in zip(reports, queries, strict=True)]
        return _Side([of_rank(torch.from_numpy(r)) for r in ranks], torch.from_numpy(np.concatenate(owners)))

    rows = []
    for done, key in enumerate(keys, 1):
        check_galleries(key, [*a, *b])
        if calibrated:
            _check_calibrated(key, [*a, *b])
        leak = any(report.entries[key].get("leak", False) for report in (*a, *b))
        rows.append(_compared(key, leak, side_of(a, key), side_of(b, key), resamples))
        if progress is not None:
            progress(done, len(keys))
    adjusted = holm([None if row.difference is None else row.difference.p for row in rows])
    return [replace(row, p=p) for row, p in zip(rows, adjusted, strict=True)]


@dataclass(frozen=True)
class _Side:
    """The queries of one direction in one setting.

    Args:
        values: of each training, (q,) float64, the metric of each query.
        owners: (sum of q,) int64, whose they are, one training after the other.
    """

    values: list[Tensor]
    owners: Tensor


def _of_trainings(a: _Side, b: _Side) -> list[tuple[float, int]]:
    """Squared standard errors of the difference because trainings differ, and the degrees of freedom of each."""
    sides = [[float(values.mean()) for values in side.values] for side in (a, b)]
    several = [means for means in sides if len(means) > 1]
    found = [(variance(means) / len(means), len(means) - 1) for means in several]
    if len(several) == 1:  # whose variance is that of both sides
        found = [(variance(several[0]) * sum(1 / len(means) for means in sides), len(several[0]) - 1)]
    return [(square, df) for square, df in found if square > 0]


def _compared(key: Key, leak: bool, a: _Side, b: _Side, resamples: Resamples) -> Paired:
    """One direction, its p not yet adjusted."""
    owners = [set(side.owners.tolist()) for side in (a, b)]
    shared, every = len(owners[0] & owners[1]), len(owners[0] | owners[1])
    above, below = (float(torch.cat(side.values).mean()) if len(side.owners) else None for side in (a, b))
    row = Paired(key, leak, shared, every - shared, (above, below), None)
    if not all(len(values) for side in (a, b) for values in side.values):
        return row
    if not shared:
        raise ManymodalError(
            f"{key}: the two sides have no item in common (ids differ); compare evaluations of one table"
        )
    d = resamples.difference(torch.cat(a.values), a.owners, torch.cat(b.values), b.owners)
    of_seeds = _of_trainings(a, b)
    if of_seeds:
        terms = [(d.se**2, d.df), *of_seeds]
        square = sum(v for v, _ in terms)
        df = square**2 / sum(v**2 / df for v, df in terms)
        se, reach = math.sqrt(square), quantile_of_t(LEVEL, df) * math.sqrt(square)
        d = Difference(d.mean, (d.mean - reach, d.mean + reach), se, p_value(d.mean, se, df, every), df)
    return replace(row, difference=d)


def _check_calibrated(key: Key, reports: Sequence[SavedReport]) -> None:
    """Refuse a combined query that only some reports have weighted: that would compare weights with equal weights."""
    for report in reports:
        entry = report.entries[key]
        if len(key.query) > 1 and entry["queries"] and "calibrated" not in entry:
            raise ManymodalError(
                f"{key} has no calibrated figures in {report.folder}; evaluate a space that was fitted with dev rows "
                "(vectors: with --dev), or leave out --calibrated"
            )


def _of_rank(metric: str) -> Callable[[Tensor], Tensor]:
    """A metric of queries from the ranks of their first matches."""
    if metric == "mrr":
        return lambda first: 1 / first.double()
    if re.fullmatch(r"hit@[1-9]\d*", metric):
        k = int(metric.removeprefix("hit@"))
        return lambda first: (first <= k).double()
    raise ManymodalError(
        f'metric {metric!r} cannot be compared query by query; allowed are "mrr" and "hit@K", such as "hit@1": '
        "reports keep the rank of each query's first match"
    )
