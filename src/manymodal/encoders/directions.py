"""The directions in which weighted bags differ most: a truncated singular value decomposition of a sparse matrix."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

ROUNDS, SPARE = 2, 16  # power iterations and extra columns


@dataclass(frozen=True)
class Bags:
    """A sparse (n, m) matrix, row by row.

    Args:
        column: (total,) int64 column of each entry; repeats within a row add up.
        weight: (total,) float32 value of each entry.
        offsets: (n,) int64 where each row's entries begin.
        columns: m.
    """

    column: Tensor
    weight: Tensor
    offsets: Tensor
    columns: int

    def __matmul__(self, other: Tensor) -> Tensor:
        """(n, m) @ (m, k) -> (n, k)."""
        rows = other.contiguous()  # those that a decomposition returns lie column by column, ten times slower here
        return F.embedding_bag(self.column, rows, self.offsets, mode="sum", per_sample_weights=self.weight)

    def transposed(self) -> Bags:
        """The (m, n) matrix."""
        ends = torch.cat([self.offsets[1:], self.offsets.new_tensor([len(self.column)])])  # (n,)
        row = torch.repeat_interleave(ends - self.offsets)  # (total,)
        order = self.column.argsort(stable=True)
        count = torch.bincount(self.column, minlength=self.columns)  # (m,)
        return Bags(row[order], self.weight[order], count.cumsum(0) - count, len(self.offsets))


def right_singular(matrix: Bags, count: int) -> tuple[Tensor, Tensor]:
    """The largest singular values (k,), descending, and right singular vectors (m, k); k <= count, both float32.

    Randomised (Halko, Martinsson and Tropp 2011, algorithm 4.4), by a random generator of its own: same matrix, same
    result, and the global one is left as it was.
    """
    columns = min(count + SPARE, len(matrix.offsets), matrix.columns)
    transposed = matrix.transposed()
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(matrix @ torch.randn(matrix.columns, columns, generator=generator)).Q  # (n, columns)
    for _ in range(ROUNDS):
        basis = torch.linalg.qr(matrix @ (transposed @ basis)).Q
    small = transposed @ basis  # (m, columns)
    squares, turn = torch.linalg.eigh(small.double().T @ small.double())  # ascending
    strength = squares.flip(0)[:count].clamp_min(0).sqrt()  # (k,)
    vectors = small.double() @ turn.flip(1)[:, :count] / strength.clamp_min(1e-12)  # (m, k)
    return strength.float(), vectors.float()
