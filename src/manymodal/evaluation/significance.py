"""How sure a figure is: intervals and differences over the items that it was measured on, and many of them at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ManymodalError

LEVEL = 0.95
BLOCK = 2**22  # drawn items held at a time: 32 MB
NOTHING = 1e-12  # a mean this close to zero is rounding

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Difference:
    """How far one mean lies above another.

    Args:
        mean: one mean less the other.
        ci: its 95 % interval.
        se: its standard error.
        p: two-sided, of there being no difference; not adjusted for others.
        df: degrees of freedom of the standard error.
    """

    mean: float
    ci: tuple[float, float]
    se: float
    p: float
    df: float = math.inf


class Resamples:
    """Draws of as many items as a split has, with replacement: made once, and the same for every direction and metric.

    The bootstrap (Efron 1979) over items. All queries of an item are drawn together, since five captions of one photo
    are not five independent trials; a mean over the queries drawn is a ratio, of the sum of their figures to their
    number. Sharing the draws is what makes two figures *paired*: what both owe to an item that is easy cancels.

    Holds n x s bytes (1 MB for 1,000 items and draws, 100 MB for 100,000 items) and works on blocks of 32 MB; a figure
    costs O(n s + q).

    Args:
        owners: (s,) int64, the items (labels, where queries are labels) of the split, also those without any query.
        seed: of the draws; the same seed, the same intervals.
        n: how many draws.

    Raises:
        ManymodalError: there are no owners, or n is below 1.
    """

    def __init__(self, owners: Tensor, seed: int = 0, n: int = 1000) -> None:
        self.owners = owners.unique().cpu().numpy()  # (s,) ascending, so that their order does not matter
        if not len(self.owners) or n < 1:
            raise ManymodalError(
                f"there are {len(self.owners)} items to draw from and n={n}; "
                "needed are one or more queries with an item for each, and n >= 1"
            )
        size = len(self.owners)
        random = np.random.default_rng(seed)
        self.counts = np.empty((n, size), dtype=np.uint8)  # how often each is drawn: above 255 never, in practice
        step = max(1, BLOCK // size)
        for start in range(0, n, step):
            rows = min(step, n - start)
            drawn = random.integers(0, size, (rows, size)) + size * np.arange(rows)[:, None]  # (b, s)
            counts = np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)  # (b, s)
            self.counts[start : start + rows] = counts.clip(max=255)

    def interval(self, values: Tensor, owners: Tensor) -> tuple[float, float]:
        """The 95 % percentile interval of a mean over queries.

        Where every query has the same figure it is that point, which says nothing of further items: of s hits without
        a miss, the 95 % bound lies near 1 - 3 / s. Of few items it is too narrow: of 27 it holds the truth 93 times in
        a hundred, of eight 88 times.

        Args:
            values: (q,) float, one metric of each query.
            owners: (q,) int64, whose query it is.

        Raises:
            ManymodalError: there is no query, not one owner a query, an owner that is not among those drawn, or no
                draw that met a query (draws that meet none are left out).
        """
        return _percentiles(self._met(self._means(values, owners)))

    def difference(self, values_a: Tensor, owners_a: Tensor, values_b: Tensor, owners_b: Tensor) -> Difference:
        """The mean over the queries of a less that over those of b, their items drawn jointly.

        An item may have queries on one side only. The interval is the percentiles'. p is Student's, with the
        bootstrap's standard error, since counting draws cannot give a p far below 1/n, which a correction for hundreds
        of directions needs; and with g - 1 degrees of freedom, since few items, g, tell their own spread badly. Where
        all items agree that error is zero, so p is never below 2^(1 - g), the least that flipping the signs of g items'
        differences can give: one item alone shows nothing.

        Args:
            values_a: (q,) float, one metric of each query of a.
            owners_a: (q,) int64, whose query it is.
            values_b: (r,) float, the same metric of each query of b.
            owners_b: (r,) int64.

        Raises:
            ManymodalError: as for `interval`.
        """
        draws = self._met(self._means(values_a, owners_a) - self._means(values_b, owners_b), least=2)
        mean = float(values_a.double().mean() - values_b.double().mean())
        se = float(draws.std(ddof=1))
        items = len(torch.cat([owners_a, owners_b]).unique())
        df = max(1, min(items, len(draws)) - 1)
        return Difference(mean, _percentiles(draws), se, p_value(mean, se, df, items), df)

    def _means(self, values: Tensor, owners: Tensor) -> Array:
        """(n,) the mean over the queries of each draw, NaN where it met none."""
        if values.ndim != 1 or values.shape != owners.shape or not len(owners):
            raise ManymodalError(
                f"an interval needs one or more queries and an item for each; there are {tuple(values.shape)} values "
                f"and {tuple(owners.shape)} items"
            )
        whose = owners.cpu().numpy()
        place = np.searchsorted(self.owners, whose).clip(max=len(self.owners) - 1)  # (q,)
        strange = whose[self.owners[place] != whose]
        if len(strange):
            raise ManymodalError(
                f"queries of items (the first is {strange[0]}) that are not among the {len(self.owners)} drawn; "
                "draw from all items of the split"
            )
        size = len(self.owners)
        number = np.bincount(place, minlength=size).astype(np.float64)  # (s,) queries of each owner
        total = np.bincount(place, weights=values.double().cpu().numpy(), minlength=size)  # (s,)
        means = []
        step = max(1, BLOCK // size)
        for start in range(0, len(self.counts), step):
            block = self.counts[start : start + step].astype(np.float64)  # (b, s)
            with np.errstate(invalid="ignore"):
                means.append((block @ total) / (block @ number))  # (b,)
        return np.concatenate(means)

    def _met(self, means: Array, least: int = 1) -> Array:
        """The draws that met a query; as many as are needed, or refused."""
        met: Array = means[~np.isnan(means)]
        if len(met) < least:
            raise ManymodalError(
                f"{len(met)} of {len(means)} draws met an item with a query, needed are {least} or more; "
                "give more draws (1,000 are usual)"
            )
        return met


def interval(per_query: Tensor, items: Tensor, seed: int = 0, n: int = 1000) -> tuple[float, float]:
    """The 95 % interval of one mean over queries alone, under resampling of the items that have any (see `Resamples`).

    Args:
        per_query: (q,) float, one metric of each query.
        items: (q,) int64, whose query it is.
        seed: of the draws.
        n: how many times to draw as many items as there are.

    Raises:
        ManymodalError: there is no query, not one item a query, or n is below 1.
    """
    return Resamples(items, seed, n).interval(per_query, items)


def p_value(mean: float, se: float, df: float = math.inf, items: int | None = None) -> float:
    """Two-sided p of a mean that may be zero, by Student's t with `df` degrees of freedom (infinite: the normal).

    t becomes a normal deviate by Wallace's formula (1959, Annals of Mathematical Statistics 30), which errs on the safe
    side: of p = 0.05 by 1 % where df = 4 and 7 % where df = 2, of p = 0.001 by 15 % and 60 %.

    Args:
        mean: the estimate.
        se: its standard error; 0 where nothing varies.
        df: degrees of freedom of the standard error.
        items: how many independent things it was measured on; p is at least 2^(1 - items).
    """
    if abs(mean) <= NOTHING:
        return 1.0
    z = math.inf if se == 0 else abs(mean) / se
    if math.isfinite(df) and math.isfinite(z):
        z = (8 * df + 1) / (8 * df + 3) * math.sqrt(df * math.log1p(z * z / df))
    least = 0.0 if items is None else 2.0 ** (1 - items)
    return max(math.erfc(z / math.sqrt(2)), least)


def quantile_of_t(level: float, df: float = math.inf) -> float:
    """How many standard errors a two-sided interval of this level reaches: Wallace's formula, turned round."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    if math.isinf(df):
        return z
    return math.sqrt(df * math.expm1((z * (8 * df + 3) / (8 * df + 1)) ** 2 / df))


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Each p adjusted for their number, which keeps the chance of any false finding below the level (Holm 1979).

    Args:
        p: of each test; None or NaN where there was none, which stays None and does not count.
    """
    tests = [i for i, one in enumerate(p) if one is not None and not math.isnan(one)]
    adjusted: list[float | None] = [None] * len(p)
    most = 0.0
    for place, i in enumerate(sorted(tests, key=lambda i: p[i] or 0.0)):
        most = max(most, min(1.0, (len(tests) - place) * (p[i] or 0.0)))
        adjusted[i] = most
    return adjusted


def holm_intervals(differences: Sequence[Difference], level: float = LEVEL) -> list[tuple[float, float]]:
    """Intervals that agree with Holm's test: zero lies outside of one just where its adjusted p is below 1 - level.

    Of m differences the one with the i-th smallest p gets Student's interval of level 1 - alpha / (m - i + 1); from the
    first that is not significant on, all get that one's level. What is controlled is the chance that any interval
    leaves out a zero that is true; for a difference found significant the interval says its size at its own level.

    Raises:
        ManymodalError: the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ManymodalError(f"level={level}; needed is one between 0 and 1, such as 0.95")
    alpha = 1 - level
    adjusted = holm([d.p for d in differences])
    intervals = [(0.0, 0.0)] * len(differences)
    tests = len(differences)  # not yet found significant
    for i in sorted(range(len(differences)), key=lambda i: differences[i].p):
        d, found = differences[i], (adjusted[i] or 0.0) < alpha
        reach = quantile_of_t(1 - alpha / tests, d.df) * d.se
        if not found:
            reach = max(reach, abs(d.mean))  # of few items, where p has a floor that the standard error does not show
        intervals[i] = (d.mean - reach, d.mean + reach)
        tests -= found
    return intervals


def _percentiles(draws: Array) -> tuple[float, float]:
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
