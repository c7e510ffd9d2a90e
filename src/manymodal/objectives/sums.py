"""Sums over the matching pairs of two modalities, without ever holding more than a block of gathered vectors.

Matches come in groups of equal keys: an item's values, or all values of a label. A group of n_A x n_B matches is summed
pair by pair where that is cheaper, n_A n_B < (n_A + n_B) d, and through its own Gram matrices otherwise; both need
each of its sides to have more than d rows then, so there are few such groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..matching import matching_pairs

BLOCK = 1 << 22  # numbers gathered at a time


@dataclass(frozen=True)
class MatchSums:
    """Over the matching pairs: how many, the sum of s () float64, the sum of s^2 () float64."""

    count: int
    s: Tensor
    squares: Tensor


def match_sums(a: Tensor, b: Tensor, key_a: Tensor, key_b: Tensor) -> MatchSums:
    """Count, sum and sum of squares of the similarities of all matching rows.

    Args:
        a: (n, d). b: (m, d).
        key_a: (n,) int64. key_b: (m,) int64; rows match when keys are equal and >= 0.
    """
    large = large_groups(key_a, key_b, a.shape[1])  # (g,) keys
    if len(large):
        i, j = matching_pairs(torch.where(torch.isin(key_a, large), -1, key_a), key_b)
    else:
        i, j = matching_pairs(key_a, key_b)
    s = pair_similarities(a, b, i, j).double()  # (p,)
    count, total, squares = len(s), s.sum(), s.square().sum()
    for key in large:
        x, y = a[key_a == key], b[key_b == key]  # (n_A, d), (n_B, d)
        count += len(x) * len(y)
        total = total + x.sum(0).double() @ y.sum(0).double()
        squares = squares + ((x.T @ x).double() * (y.T @ y).double()).sum()
    return MatchSums(count, total, squares)


def large_groups(key_a: Tensor, key_b: Tensor, dim: int) -> Tensor:
    """(g,) int64, the keys whose matches are cheaper by Gram matrices than pair by pair."""
    keys, size_a = key_a[key_a >= 0].unique(return_counts=True)  # (u,), (u,)
    sorted_b = key_b.sort().values  # (m,)
    size_b = torch.searchsorted(sorted_b, keys, right=True) - torch.searchsorted(sorted_b, keys)  # (u,)
    large: Tensor = keys[(size_a * size_b >= (size_a + size_b) * dim) & (size_b > 0)]
    return large


def pair_similarities(a: Tensor, b: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """(p,) similarities a[i] . b[j], gathered in blocks both forward and backward.

    Args:
        a: (n, d). b: (m, d). i: (p,) int64 rows of a. j: (p,) int64 rows of b.
    """
    similarities: Tensor = _PairSimilarities.apply(a, b, i, j)  # type: ignore[no-untyped-call]
    return similarities


class _PairSimilarities(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, i: Tensor, j: Tensor) -> Tensor:
        ctx.save_for_backward(a, b, i, j)
        s = a.new_empty(len(i))
        for at in _blocks(len(i), a.shape[1]):
            s[at] = (a[i[at]] * b[j[at]]).sum(1)
        return s

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        a, b, i, j = ctx.saved_tensors
        grad_a, grad_b = torch.zeros_like(a), torch.zeros_like(b)
        for at in _blocks(len(i), a.shape[1]):
            grad_a.index_add_(0, i[at], grad[at, None] * b[j[at]])
            grad_b.index_add_(0, j[at], grad[at, None] * a[i[at]])
        return grad_a, grad_b, None, None


def _blocks(count: int, dim: int) -> list[slice]:
    size = max(1, BLOCK // max(1, dim))
    return [slice(start, start + size) for start in range(0, count, size)]
