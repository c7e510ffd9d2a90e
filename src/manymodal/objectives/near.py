"""Sums over the similarities of two modalities within clusters: what is nearby is looked at one by one.

With clusters of at most c items the n x m similarities shrink to n c: O(n c d) operations, products of small matrices
of one shape, in blocks of clusters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import normalize

from ..embeddings import Embeddings
from ..errors import ManymodalError
from ..processes import ONE, Processes
from .clusters import bounded_clusters
from .moments import blocks, wide
from .tiles import NARROW, log_of_sums

ROUNDS = 3  # of a clustering that serves one step


class NearSums(NamedTuple):
    """Of each row of one modality over the non-matching rows of another in its cluster, float64.

    Args:
        exponentials: (n,) sum of exp(scale * s).
        rivals: (n,) how many there are; no gradient.
        s: (n,) sum of s.
        squares: (n,) sum of s^2.
    """

    exponentials: Tensor
    rivals: Tensor
    s: Tensor
    squares: Tensor

    def log(self) -> Tensor:
        """(n,) log of the sum of exponentials; -inf, with a gradient of zero, where there was nothing to sum."""
        return log_of_sums(self.exponentials)


def check_clusters(size: int | None) -> None:
    """Refuse anything but None and whole numbers of at least 2."""
    if size is not None and not (isinstance(size, int) and size >= 2):
        raise ManymodalError(
            f"clusters={size!r}; it must be None, or the most items in a cluster, 2 or more (64 is usual)"
        )


def clusters_of(embeddings: Embeddings, size: int, processes: Processes = ONE) -> dict[str, Tensor]:
    """{modality: (n,) int64 cluster of each row}: at most `size` items (and labels of label modalities) in each.

    An item is where the sum of its values is, over all modalities, so that what is near in any of them tends to share a
    cluster. Random boundaries (torch's own generator): neighbours kept apart in one step meet in another.
    Cost: see `bounded_clusters`.

    Args:
        embeddings: of all processes, the same on each. processes: agree on the random start.
    """
    names = embeddings.modalities
    owner = torch.cat([_owners(embeddings, m) for m in names])  # (rows of all modalities,)
    distinct, inverse = owner.unique(return_inverse=True)  # (o,), (rows,)
    vectors = torch.cat([wide(embeddings.vectors[m].detach()) for m in names])  # (rows, d)
    places = normalize(
        vectors.new_zeros(len(distinct), embeddings.dim).index_add_(0, inverse, vectors), dim=1
    )  # (o, d)
    seed = processes.first(int(torch.randint(1 << 62, ())).to_bytes(8, "little"))
    generator = torch.Generator().manual_seed(int.from_bytes(seed, "little"))
    clusters = bounded_clusters(places, size, rounds=ROUNDS, generator=generator)[inverse]  # (rows,)
    return dict(zip(names, clusters.split([len(embeddings.items[m]) for m in names]), strict=True))


def _owners(embeddings: Embeddings, modality: str) -> Tensor:
    """(n,) int64: 2 item, or 2 label + 1 for one value per label."""
    if not embeddings.per_label(modality) or embeddings.labels is None:
        return 2 * embeddings.items[modality]
    return 2 * embeddings.labels[modality] + 1


def near_sums(
    a: Tensor, b: Tensor, key_a: Tensor, key_b: Tensor, cluster_a: Tensor, cluster_b: Tensor, scale: Tensor
) -> tuple[NearSums, NearSums]:
    """Sums of each row of a, and of each row of b, over the non-matching rows of the other in its cluster.

    Differentiable once, by a, b and the scale. 2 n c d operations forward and 6 n c d backward, memory for blocks.

    Args:
        a: (n, d) unit vectors. b: (m, d) likewise.
        key_a: (n,) int64. key_b: (m,) int64; rows match when keys are equal and >= 0.
        cluster_a: (n,) int64, >= 0. cluster_b: (m,) int64.
        scale: () the multiplier in the exponentials, above 0.
    """
    grid = _Grid.of(cluster_a, cluster_b)
    rows, columns = _NearSums.apply(a, b, key_a, key_b, scale, grid)  # type: ignore[no-untyped-call]
    return NearSums(*rows), NearSums(*columns)


class _Grid(NamedTuple):
    """The rows of either side by cluster, (k, widest cluster) int64 row numbers, -1 where a cluster has no more."""

    a: Tensor
    b: Tensor

    @classmethod
    def of(cls, cluster_a: Tensor, cluster_b: Tensor) -> _Grid:
        count = int(torch.cat([cluster_a, cluster_b, cluster_a.new_zeros(1)]).max()) + 1
        return cls(_by_cluster(cluster_a, count), _by_cluster(cluster_b, count))

    def parts(self, dim: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Some clusters at a time."""
        width = self.a.shape[1] * self.b.shape[1] + (self.a.shape[1] + self.b.shape[1]) * dim
        for at in blocks(len(self.a), width):
            yield self.a[at], self.b[at]


def _by_cluster(cluster: Tensor, count: int) -> Tensor:
    size = torch.bincount(cluster, minlength=count)  # (k,)
    order = cluster.argsort(stable=True)  # (n,)
    place = torch.arange(len(order), device=order.device) - (size.cumsum(0) - size)[cluster[order]]  # (n,)
    rows = cluster.new_full((count, int(size.max())), -1)  # (k, widest)
    rows[cluster[order], place] = order
    return rows


class _Part(NamedTuple):
    """Some clusters: x (k, r, d), y (k, c, d); s = x . y, counted (1 or 0), e = counted exp(scale s), (k, r, c) all."""

    x: Tensor
    y: Tensor
    s: Tensor
    counted: Tensor
    e: Tensor


def _part(a: Tensor, b: Tensor, keys: tuple[Tensor, Tensor], rows: Tensor, columns: Tensor, scale: float) -> _Part:
    x, y = wide(a[rows.clamp(min=0)]), wide(b[columns.clamp(min=0)])  # (k, r, d), (k, c, d)
    s = x @ y.mT  # (k, r, c)
    key_a, key_b = keys[0][rows.clamp(min=0)], keys[1][columns.clamp(min=0)]  # (k, r), (k, c)
    match = (key_a[:, :, None] == key_b[:, None, :]) & (key_a >= 0)[:, :, None]  # (k, r, c)
    counted = (~match & (rows >= 0)[:, :, None] & (columns >= 0)[:, None, :]).to(s.dtype)
    exponent = s.double() if scale > NARROW else s  # as in `tiles`: float32 does not hold more
    return _Part(x, y, s, counted, (exponent * scale).exp_().mul_(counted))


class _NearSums(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, key_a: Tensor, key_b: Tensor, scale: Tensor, grid: _Grid
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(a, b, key_a, key_b, scale)
        ctx.grid = grid
        by_rows, by_columns = (v.new_zeros(4, len(v), dtype=torch.float64) for v in (a, b))  # (4, n), (4, m)
        for rows, columns in grid.parts(a.shape[1]):
            part = _part(a, b, (key_a, key_b), rows, columns, float(scale))
            s = part.s * part.counted  # (k, r, c)
            for at, to, over in ((rows, by_rows, 2), (columns, by_columns, 1)):
                sums = torch.stack([t.sum(over, dtype=torch.float64) for t in (part.e, part.counted, s, s * s)])
                to[:, at[at >= 0]] = sums[:, at >= 0]  # a row is in one cluster
        return by_rows, by_columns

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_rows: Tensor, by_columns: Tensor) -> tuple[Tensor | None, ...]:
        a, b, key_a, key_b, scale = ctx.saved_tensors
        grad_a, grad_b = torch.zeros_like(a), torch.zeros_like(b)  # (n, d), (m, d)
        by_scale = scale.new_zeros((), dtype=torch.float64)
        for rows, columns in ctx.grid.parts(a.shape[1]):
            part = _part(a, b, (key_a, key_b), rows, columns, float(scale))
            kind = part.s.dtype
            u, v = by_rows[:, rows.clamp(min=0)][..., None], by_columns[:, columns.clamp(min=0)][:, :, None]
            by_e = part.e * (u[0] + v[0])  # (k, r, c)
            by_scale += (by_e * part.s).sum()
            ds = float(scale) * by_e.to(kind)
            ds += ((u[2] + v[2]).to(kind) + 2 * part.s * (u[3] + v[3]).to(kind)) * part.counted
            grad_a[rows[rows >= 0]] = (ds @ part.y)[rows >= 0].to(a.dtype)  # a row is in one cluster
            grad_b[columns[columns >= 0]] = (ds.mT @ part.x)[columns >= 0].to(b.dtype)
        return grad_a, grad_b, None, None, by_scale.to(scale.dtype), None
