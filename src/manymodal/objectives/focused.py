"""PCMR's focused negative term: the squared error of the non-matches, the nearest counting most, streamed in tiles.

This project's own: a softmax over the non-matches says how much each counts, as it does in the gradient of a
contrastive loss, while the loss stays a regression with a target.
"""

from __future__ import annotations

from torch import Tensor

from ..matching import matching_pairs
from ..processes import ONE, Processes
from .tiles import Kernel, Tile, sums_both_ways

SHARPEST = 1 / 500  # the least tau: e^(s / tau) and its sums stay within float64, which ends at e^709


def focused(
    a: Tensor,
    b: Tensor,
    key_a: Tensor,
    key_b: Tensor,
    beta: float,
    tau: float,
    own_a: slice = slice(None),
    own_b: slice = slice(None),
    processes: Processes = ONE,
) -> Tensor:
    """The mean of two means, over rows and over columns that have a non-match, of sum_j w_j (s_j - beta)^2.

    w is the softmax of s / tau over that row's (that column's) non-matches; no gradient goes through it. Cost and
    processes: see `tiles.sums_both_ways`.

    Args:
        a: (n, d) vectors of norm 1, of all processes. b: (m, d) likewise.
        key_a: (n,) int64. key_b: (m,) int64; rows match when keys are equal and >= 0 (`matching.pair_keys`).
        beta: the target of the non-matches.
        tau: `SHARPEST` or above; the smaller, the more the nearest count. Below 0.02 exponentials are float64, and
            slower.
        own_a: which rows of a are this process's. own_b: which of b.
        processes: where the rows are.

    Returns:
        () float64; 0 where every pair matches.
    """
    i, j = matching_pairs(key_a, key_b)  # (p,) each
    kernel = _focus(beta / tau)
    rows, columns = sums_both_ways(a, b, i, j, 1 / tau, kernel, own_a, own_b, processes)  # (2, n), (2, m)
    return tau**2 * (_mean(*rows) + _mean(*columns)) / 2


def _focus(target: float) -> Kernel:
    """The sums of e and of e (z - target)^2, the exponential a constant to the gradient."""

    def weight(tile: Tile) -> Tensor:
        return tile.e

    def error(tile: Tile) -> Tensor:
        return tile.e.mul_(tile.z.sub_(target).square_())

    def slope(tile: Tile) -> Tensor:
        return tile.e.mul_(tile.z.sub_(target)).mul_(2)

    return Kernel((weight, error), slope)


def _mean(weights: Tensor, errors: Tensor) -> Tensor:
    """() the mean weighted error of those that have any weight."""
    some = weights > 0  # (n,)
    means = errors / weights.detach().masked_fill(~some, 1.0)  # (n,) 0 where there was nothing to sum
    return means.sum() / some.sum().clamp(min=1)
