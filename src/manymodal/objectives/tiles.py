"""Sums over all similarities of two modalities, each weighted by its exponential, in tiles: never an n x m matrix.

A sweep goes over scale * a @ b.T tile by tile, small enough to stay in a processor's cache. Each tile's exponential is
taken once and serves its rows and its columns alike; the backward pass makes the tiles again, since computing a tile
takes less time than fetching it from memory would, and no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..processes import ONE, Processes

TILES = {"cpu": (512, 512), "cuda": (4096, 8192)}  # rows, columns: what stays in cache, and what fills a GPU
NARROW = 50.0  # up to this scale, float32 holds every exponential and every sum of them


class Tile(NamedTuple):
    """Some rows by some columns of the similarities; both tensors may be overwritten.

    Args:
        z: (r, c) scale * s.
        e: (r, c) exp(z), 0 where an entry is left out; float64 where float32 does not hold it.
    """

    z: Tensor
    e: Tensor


@dataclass(frozen=True)
class Kernel:
    """What is summed over rows and over columns.

    Args:
        terms: each gives a tile (r, c) to be summed, in this order. All but the last are constants to the gradient.
        slope: the derivative of the last term by z, (r, c), in the tile's e.
    """

    terms: tuple[Callable[[Tile], Tensor], ...]
    slope: Callable[[Tile], Tensor]


def _exponential(tile: Tile) -> Tensor:
    return tile.e


EXPONENTIALS = Kernel((_exponential,), _exponential)


def logsumexp_both_ways(
    a: Tensor,
    b: Tensor,
    i: Tensor,
    j: Tensor,
    scale: Tensor | float,
    own_a: slice = slice(None),
    own_b: slice = slice(None),
    processes: Processes = ONE,
) -> tuple[Tensor, Tensor]:
    """Log-sum-exp of scale * a @ b.T over each row and over each column, without the entries (i, j).

    Arguments, costs and gradients are those of `sums_both_ways`.

    Returns:
        (n,) and (m,) float64; -inf, with a gradient of zero, where every entry is left out.
    """
    rows, columns = sums_both_ways(a, b, i, j, scale, EXPONENTIALS, own_a, own_b, processes)
    return log_of_sums(rows[0]), log_of_sums(columns[0])


def sums_both_ways(
    a: Tensor,
    b: Tensor,
    i: Tensor,
    j: Tensor,
    scale: Tensor | float,
    kernel: Kernel,
    own_a: slice = slice(None),
    own_b: slice = slice(None),
    processes: Processes = ONE,
) -> tuple[Tensor, Tensor]:
    """Sums of a kernel's terms over each row and over each column of scale * a @ b.T, without the entries (i, j).

    Differentiable once, by a, b and the scale. 2 n m d operations forward and 6 n m d backward; beside the gradients,
    memory for a few tiles and O(n + m + p).

    Across processes each sweeps only its own rows of a forward, and backward only its own rows of either: the others'
    have a gradient of zero, which the adjoint of a gather never looks at. The scale's gradient is the own rows' share
    times the number of processes, so that averaging over processes gives the whole.

    Args:
        a: (n, d) vectors of norm 1, of all processes. b: (m, d) likewise. Half precision is multiplied and summed in
            float32.
        i: (p,) int64 rows of a. j: (p,) int64 rows of b: the entries left out.
        scale: () or a number, above 0.
        kernel: what is summed.
        own_a: which rows of a are this process's. own_b: which of b.
        processes: where the rows are.

    Returns:
        (t, n) and (t, m) float64, for the kernel's t terms.
    """
    factor = scale if isinstance(scale, Tensor) else torch.tensor(scale, dtype=torch.float64)
    own = range(len(a))[own_a], range(len(b))[own_b]
    rows, columns = _SumsBothWays.apply(a, b, i, j, factor, kernel, own, processes)  # type: ignore[no-untyped-call]
    return rows, columns


class _SumsBothWays(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        b: Tensor,
        i: Tensor,
        j: Tensor,
        scale: Tensor,
        kernel: Kernel,
        own: tuple[range, range],
        processes: Processes,
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(a, b, i, j, scale)
        ctx.kernel, ctx.own, ctx.processes = kernel, own, processes
        rows, columns = _Sweep.of(a, b, i, j, float(scale), own[0], range(len(b))).sums(kernel)
        return processes.gather(rows.T).T, processes.sum(columns)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_rows: Tensor, by_columns: Tensor) -> tuple[Tensor | None, ...]:
        a, b, i, j, scale = ctx.saved_tensors
        slope, (own_a, own_b) = ctx.kernel.slope, ctx.own
        all_a, all_b = range(len(a)), range(len(b))
        wide = torch.promote_types(a.dtype, torch.float32)
        grad_a, grad_b = torch.zeros_like(a, dtype=wide), torch.zeros_like(b, dtype=wide)  # (n, d), (m, d)
        # One process has all rows, and one sweep for both; of several, each has a strip of rows and one of columns.
        sweeps = [(own_a, all_b, True, False), (all_a, own_b, False, True)]
        for rows, columns, to_a, to_b in sweeps if ctx.processes.size > 1 else [(all_a, all_b, True, True)]:
            _Sweep.of(a, b, i, j, float(scale), rows, columns).add_gradients(
                slope,
                by_rows[-1, rows.start : rows.stop],
                by_columns[-1, columns.start : columns.stop],
                grad_a[rows.start : rows.stop] if to_a else None,
                grad_b[columns.start : columns.stop] if to_b else None,
            )
        # sum of dz * s = sum over rows of a . (dz @ b), and grad_a is scale * dz @ b.
        by_scale = ctx.processes.size * _dot(a, grad_a) / scale if ctx.needs_input_grad[4] else None
        return grad_a.to(a.dtype), grad_b.to(b.dtype), None, None, by_scale, None, None, None


@dataclass(frozen=True)
class _Sweep:
    """Some rows of a by some of b, tile by tile.

    Args:
        a: (n, d). b: (m, d). scale: above 0.
        left_out: (p,) int64, places within their tiles, ordered by tile; those of tile t end at ends[t].
    """

    a: Tensor
    b: Tensor
    scale: float
    left_out: Tensor
    ends: list[int]

    @classmethod
    def of(cls, a: Tensor, b: Tensor, i: Tensor, j: Tensor, scale: float, rows: range, columns: range) -> _Sweep:
        """The sweep over the given rows of a and of b, without those of the entries (i, j) that lie there."""
        if (len(rows), len(columns)) != (len(a), len(b)):
            here = (i >= rows.start) & (i < rows.stop) & (j >= columns.start) & (j < columns.stop)  # (p,)
            i, j = i[here] - rows.start, j[here] - columns.start
            a, b = a[rows.start : rows.stop], b[columns.start : columns.stop]
        height, width = _tile_size(a)
        across = -(-len(b) // width)
        tile = (i // height) * across + j // width  # (p,)
        widths = (len(b) - j // width * width).clamp(max=width)  # (p,) of each one's tile
        tile, order = tile.sort()
        last = torch.arange(across * -(-len(a) // height), device=a.device)
        ends = torch.searchsorted(tile, last, right=True).tolist()
        return cls(a, b, scale, (i % height * widths + j % width)[order], ends)

    def tiles(self) -> Iterator[tuple[slice, slice, Tile]]:
        """Each tile with its rows and columns; the next one is made in the same memory."""
        height, width = _tile_size(self.a)
        work = torch.promote_types(self.a.dtype, torch.float32)
        # exp(-scale) to exp(scale) outgrows float32 (e^-87 to e^88) from a scale of 88 on, sums of it and products
        # with their inverses earlier; a running maximum would help rows or columns, but not both at once.
        wide = work if self.scale <= NARROW else torch.float64
        size = min(height, len(self.a)) * min(width, len(self.b))
        z_memory, e_memory = self.a.new_empty(size, dtype=work), self.a.new_empty(size, dtype=wide)
        across, start = -(-len(self.b) // width), 0
        for number, end in enumerate(self.ends):
            top, left = number // across * height, number % across * width
            rows, columns = slice(top, top + height), slice(left, left + width)
            x, y = self.a[rows].to(work), self.b[columns].to(work)  # (r, d), (c, d)
            r, c = len(x), len(y)
            z, e = z_memory[: r * c].view(r, c), e_memory[: r * c].view(r, c)
            torch.addmm(z, x, y.T, beta=0, alpha=self.scale, out=z)
            torch.exp(z, out=e) if wide == work else e.copy_(z).exp_()
            e.view(-1)[self.left_out[start:end]] = 0
            start = end
            yield rows, columns, Tile(z, e)

    def sums(self, kernel: Kernel) -> tuple[Tensor, Tensor]:
        """(t, n) and (t, m) float64 sums of each of the kernel's terms over rows and over columns."""
        by_rows = self.a.new_zeros(len(kernel.terms), len(self.a), dtype=torch.float64)  # (t, n)
        by_columns = self.a.new_zeros(len(kernel.terms), len(self.b), dtype=torch.float64)  # (t, m)
        for rows, columns, tile in self.tiles():
            for term, to_rows, to_columns in zip(kernel.terms, by_rows, by_columns, strict=True):
                value = term(tile)  # (r, c)
                to_rows[rows] += value.sum(1)
                to_columns[columns] += value.sum(0)
        return by_rows, by_columns

    def add_gradients(
        self,
        slope: Callable[[Tile], Tensor],
        by_rows: Tensor,
        by_columns: Tensor,
        grad_a: Tensor | None,
        grad_b: Tensor | None,
    ) -> None:
        """Add to grad_a (n, d) and grad_b (m, d) what comes of dz[i, j] = slope[i, j] (by_rows[i] + by_columns[j])."""
        for rows, columns, tile in self.tiles():
            w = slope(tile)  # (r, c)
            spare = tile.z if tile.z.dtype == w.dtype else torch.empty_like(w)
            u, v = by_rows[rows, None].to(w.dtype), by_columns[columns].to(w.dtype)  # (r, 1), (c,)
            w *= torch.add(u, v, out=spare)
            w = w.to(tile.z.dtype)
            if grad_a is not None:
                grad_a[rows].addmm_(w, self.b[columns].to(w.dtype), alpha=self.scale)  # (r, d)
            if grad_b is not None:
                grad_b[columns].addmm_(w.T, self.a[rows].to(w.dtype), alpha=self.scale)  # (c, d)


def _tile_size(like: Tensor) -> tuple[int, int]:
    return TILES.get(like.device.type, TILES["cpu"])


def log_of_sums(sums: Tensor) -> Tensor:
    """The logarithm, -inf with a gradient of zero where there was nothing to sum."""
    nothing = sums == 0
    return sums.masked_fill(nothing, 1.0).log().masked_fill(nothing, -torch.inf)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """() float64, the sum of a * b, in blocks."""
    height = _tile_size(a)[0]
    parts = [(x * y).sum(dtype=torch.float64) for x, y in zip(a.split(height), b.split(height), strict=True)]
    return torch.stack(parts).sum() if parts else a.new_zeros((), dtype=torch.float64)
