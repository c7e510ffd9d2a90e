"""The similarities of listed pairs of rows, such as the matches, a block of gathered vectors at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .moments import blocks, wide


def pair_similarities(a: Tensor, b: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """(p,) similarities a[i] . b[j], of the vectors' dtype, float32 for half precision; O(p d), forward and backward.

    Args:
        a: (n, d). b: (m, d). i: (p,) int64 rows of a. j: (p,) int64 rows of b.
    """
    similarities: Tensor = _PairSimilarities.apply(a, b, i, j)  # type: ignore[no-untyped-call]
    return similarities


class _PairSimilarities(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, i: Tensor, j: Tensor) -> Tensor:
        ctx.save_for_backward(a, b, i, j)
        s = wide(a.new_empty(len(i)))  # (p,)
        for at in blocks(len(i), a.shape[1]):
            s[at] = (wide(a[i[at]]) * b[j[at]]).sum(1)
        return s

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        a, b, i, j = ctx.saved_tensors
        grad_a = torch.zeros_like(a, dtype=grad.dtype)  # (n, d)
        grad_b = torch.zeros_like(b, dtype=grad.dtype)  # (m, d)
        for at in blocks(len(i), a.shape[1]):
            grad_a.index_add_(0, i[at], grad[at, None] * b[j[at]])
            grad_b.index_add_(0, j[at], grad[at, None] * a[i[at]])
        return grad_a.to(a.dtype), grad_b.to(b.dtype), None, None
