"""Which rows of which modality share a key: all matches of all pairs of modalities, without listing them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

FEW = 1024  # matches of a group that are never worth moments of their own
TALL = 2048  # rows of a side in a tile


class Routes(NamedTuple):
    """How the matches within each group are added up: (k,) int64 numbers of groups each.

    Args:
        direct: products of the sides' vectors, n_A n_B d operations for a pair of sides.
        moments: the moments of each side, n d^2 operations, shared by all pairs: where that is less.
    """

    direct: Tensor
    moments: Tensor


class Tile(NamedTuple):
    """Rows of two sides in some groups, as products of matrices take them: g groups with up to p and q rows.

    Args:
        i: (g, p) int64 rows of the one. j: (g, q) int64 rows of the other.
        inside: (g, p, q) bool, which of them are matches; the others only fill up. None: all are.
        matches: how many are.
    """

    i: Tensor
    j: Tensor
    inside: Tensor | None
    matches: int


@dataclass(frozen=True)
class Groups:
    """The rows of several sides (modalities), by key; rows whose key is negative are in no group.

    The rows of side m in group k are rows[m][first[m, k] : first[m, k] + size[m, k]].

    Args:
        keys: (k,) int64, ascending.
        rows: of each side (r,) int64 row numbers, ordered by key.
        first: (sides, k) int64. size: (sides, k) int64.
    """

    keys: Tensor
    rows: tuple[Tensor, ...]
    first: Tensor
    size: Tensor

    @classmethod
    def of(cls, keys: Sequence[Tensor]) -> Groups:
        """Groups from each side's keys (n,) int64: one sort of all of them."""
        every = torch.cat(list(keys))  # (rows of all sides,)
        side = torch.cat([torch.full_like(k, m, dtype=torch.int32) for m, k in enumerate(keys)])
        order = every.argsort(stable=True)
        order = order[int((every < 0).sum()) :]  # (r,)
        found, group = every[order].unique_consecutive(return_inverse=True)  # (k,), (r,)
        side, rows, sizes, start = side[order], [], [], 0
        for m, key in enumerate(keys):
            own = side == m  # (r,)
            rows.append(order[own] - start)
            sizes.append(torch.bincount(group[own], minlength=len(found)))
            start += len(key)
        size = torch.stack(sizes)  # (sides, k)
        return cls(found, tuple(rows), size.cumsum(1) - size, size)

    def routes(self, pairs: Sequence[tuple[int, int]], dim: int, apart: Tensor) -> Routes:
        """The cheapest way to add up the matches of the given pairs of sides, for each group that has any.

        Args:
            apart: (k,) bool, the groups that have to go through moments.
        """
        used = sorted({m for pair in pairs for m in pair})
        matches = torch.stack([self.size[a] * self.size[b] for a, b in pairs]).sum(0)  # (k,)
        moments = apart | ((matches > FEW) & (matches >= self.size[used].sum(0) * dim))  # (k,)
        return Routes(((matches > 0) & ~moments).nonzero()[:, 0], moments.nonzero()[:, 0])

    def members(self, groups: Tensor) -> Iterator[list[Tensor]]:
        """For each of the groups, the rows of every side."""
        first, size = self.first[:, groups].T.tolist(), self.size[:, groups].T.tolist()
        for starts, counts in zip(first, size, strict=True):
            yield [rows[s : s + n] for rows, s, n in zip(self.rows, starts, counts, strict=True)]

    def tiles(self, a: int, b: int, groups: Tensor, dim: int, numbers: int) -> Iterator[Tile]:
        """All matches of two sides in the given groups, groups of about one size together.

        Args:
            dim: of the vectors. numbers: how many a tile's vectors of one side, or its similarities, may be.
        """
        groups = groups[(self.size[a, groups] > 0) & (self.size[b, groups] > 0)]  # (g,)
        which, first_a, size_a = _pieces(self.first[a, groups], self.size[a, groups])  # (g',) each
        again, first_b, size_b = _pieces(self.first[b, groups[which]], self.size[b, groups[which]])  # (t,) each
        first_a, size_a = first_a[again], size_a[again]
        kind = 64 * _exponent(size_a) + _exponent(size_b)  # (t,) in a tile sizes are powers of 2
        order = kind.argsort(stable=True)
        kinds, counts = kind[order].unique_consecutive(return_counts=True)
        for one, part in zip(kinds.tolist(), order.split(counts.tolist()), strict=True):
            p, q = 2 ** (one // 64), 2 ** (one % 64)
            for at in part.split(max(1, numbers // max(p * dim, q * dim, p * q))):
                i, inside_a = _filled(self.rows[a], first_a[at], size_a[at], p)  # (g, p) each
                j, inside_b = _filled(self.rows[b], first_b[at], size_b[at], q)  # (g, q) each
                matches = int((size_a[at] * size_b[at]).sum())
                full = matches == len(at) * p * q
                yield Tile(i, j, None if full else inside_a[:, :, None] & inside_b[:, None, :], matches)


def _pieces(first: Tensor, size: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Runs of rows (g,), cut into pieces of at most `TALL`: of which run, first and size, (t,) each."""
    count = (size + TALL - 1) // TALL  # (g,)
    run = torch.arange(len(size), device=size.device).repeat_interleave(count)  # (t,)
    before = (torch.arange(len(run), device=size.device) - (count.cumsum(0) - count)[run]) * TALL  # (t,)
    return run, first[run] + before, (size[run] - before).clamp(max=TALL)


def _exponent(size: Tensor) -> Tensor:
    """(t,) int64, of the least power of 2 that is not below a size."""
    return size.double().log2().ceil().long()


def _filled(rows: Tensor, first: Tensor, size: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """(g, width) int64 rows of some runs (g,), filled up with a run's last, and (g, width) bool which are its own."""
    nth = torch.arange(width, device=rows.device)
    return rows[first[:, None] + torch.minimum(nth, size[:, None] - 1)], nth < size[:, None]
