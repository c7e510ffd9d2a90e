"""What the similarities of all pairs of two sets of vectors add up to, in time linear in their number.

The *moments* of a set A (n, d) are its Gram matrix G_A = A^T A and its sum t_A = A^T 1. Over all n m pairs of two sets
the sum of s = a . b is t_A . t_B, and the sum of s^2 is <G_A, G_B>: the n x m matrix is never needed. The identity is
that of the spectral contrastive loss (HaoChen et al. 2021, arXiv:2106.04156) and of the duality between samples and
dimensions in Barlow Twins and VICReg (Garrido et al. 2022, arXiv:2206.02574).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = 1 << 19  # numbers at hand at a time: a CPU's cache holds them
ON_DEVICE = 64  # times as many where it is launching the work that takes the time


@dataclass(frozen=True)
class Similarities:
    """Of a set of pairs of rows: how many, the sum of s () float64 and the sum of s^2 () float64."""

    count: int
    s: Tensor
    squares: Tensor

    def __add__(self, other: Similarities) -> Similarities:
        """Of both sets together."""
        return Similarities(self.count + other.count, self.s + other.s, self.squares + other.squares)

    def __sub__(self, other: Similarities) -> Similarities:
        """Of what is left without a part of the set."""
        return Similarities(self.count - other.count, self.s - other.s, self.squares - other.squares)

    def mean(self) -> Tensor:
        """() the mean of s."""
        return self.s / self.count

    def about(self, target: float) -> Tensor:
        """() the mean of (s - target)^2; 0 of no pairs."""
        if not self.count:
            return torch.zeros_like(self.s)
        return self.squares / self.count - 2 * target * self.mean() + target * target


@dataclass(frozen=True)
class Moments:
    """Of a set of vectors (n, d): n, total (d,) float64, gram (d, d) float64."""

    count: int
    total: Tensor
    gram: Tensor

    def __add__(self, other: Moments) -> Moments:
        """Of the union of two sets."""
        return Moments(self.count + other.count, self.total + other.total, self.gram + other.gram)

    def similarities(self, other: Moments) -> Similarities:
        """Over all pairs of a vector of each set: O(d^2)."""
        return Similarities(
            self.count * other.count, self.total @ other.total, self.gram.flatten() @ other.gram.flatten()
        )


def moments(vectors: Tensor, rows: Tensor | None = None) -> Moments:
    """The moments of some rows, or of all: O(n d^2), in blocks.

    Products are those of the vectors' dtype, but float32 for half precision; blocks are added up in float64.

    Args:
        vectors: (n, d). rows: (r,) int64; None for all.
    """
    d, count = vectors.shape[1], len(vectors) if rows is None else len(rows)
    total = vectors.new_zeros(d, dtype=torch.float64)
    gram = vectors.new_zeros(d, d, dtype=torch.float64)
    for at in blocks(count, d, vectors.device):
        block = wide(vectors[at] if rows is None else vectors.index_select(0, rows[at]))  # (block, d)
        total += block.sum(0)
        gram += block.T @ block
    return Moments(count, total, gram)


def add_moments_gradient(
    grad: Tensor, vectors: Tensor, by_total: Tensor, by_gram: Tensor, rows: Tensor | None = None
) -> None:
    """Add to grad (n, d) what `moments` passes back: O(n d^2), in blocks.

    Args:
        grad: changed in place. vectors, rows: what `moments` was given.
        by_total: (d,) the gradient by the total. by_gram: (d, d) that by the Gram matrix.
    """
    by_total, by_gram = by_total.to(grad.dtype), (by_gram + by_gram.T).to(grad.dtype)
    for at in blocks(len(vectors) if rows is None else len(rows), vectors.shape[1], vectors.device):
        if rows is None:
            grad[at] += torch.addmm(by_total, wide(vectors[at]), by_gram)  # (block, d)
        else:
            block = wide(vectors.index_select(0, rows[at]))  # (block, d)
            grad.index_add_(0, rows[at], torch.addmm(by_total, block, by_gram))


def wide(vectors: Tensor) -> Tensor:
    """The same, float32 where it was half precision."""
    return vectors.float() if vectors.dtype in (torch.float16, torch.bfloat16) else vectors


def blocks(count: int, width: int, device: torch.device | str = "cpu") -> Iterator[slice]:
    """Successive slices of `count` rows, so that rows of `width` numbers fit in a block."""
    size = max(1, at_hand(device) // max(1, width))
    return (slice(start, start + size) for start in range(0, count, size))


def at_hand(device: torch.device | str = "cpu") -> int:
    """How many numbers make a block."""
    return BLOCK if torch.device(device).type == "cpu" else BLOCK * ON_DEVICE
