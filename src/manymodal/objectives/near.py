"""Sums over the similarities of two modalities within clusters: what is nearby is looked at one by one.

With clusters of at most c items the n x m similarities shrink to n c: O(n c d) operations, products of small matrices,
clusters of about one size (in values) together.
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
from .clusters import bounded_clusters, sums_of_clusters
from .groups import Groups, Tile
from .match_sums import add_products, take
from .moments import at_hand, wide
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
        embeddings: of all processes, the same on each. processes: all get the clusters that process 0 finds, since
            the last bits of a sum, and with them a boundary, may differ between machines.
    """
    names = embeddings.modalities
    owner = torch.cat([_owners(embeddings, m) for m in names])  # (rows of all modalities,)
    distinct, inverse = owner.unique(return_inverse=True)  # (o,), (rows,)
    vectors = torch.cat([wide(embeddings.vectors[m].detach()) for m in names])  # (rows, d)
    places = normalize(sums_of_clusters(vectors, inverse, len(distinct)), dim=1)  # (o, d)
    found = processes.gather(bounded_clusters(places, size, rounds=ROUNDS))[: len(distinct)]  # (o,) process 0's
    clusters = found[inverse]  # (rows,)
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
    groups = Groups.of([cluster_a, cluster_b])
    rows, columns = _NearSums.apply(a, b, key_a, key_b, scale, groups)  # type: ignore[no-untyped-call]
    return NearSums(*rows), NearSums(*columns)


class _Part(NamedTuple):
    """Some clusters: x (g, r, d), y (g, c, d); s = x . y, counted (1 or 0), e = counted exp(scale s), all (g, r, c)."""

    x: Tensor
    y: Tensor
    s: Tensor
    counted: Tensor
    e: Tensor


def _part(a: Tensor, b: Tensor, keys: tuple[Tensor, Tensor], tile: Tile, scale: float) -> _Part:
    x, y = take(a, tile.i), take(b, tile.j)  # (g, r, d), (g, c, d)
    s = x @ y.mT  # (g, r, c)
    key_a, key_b = keys[0][tile.i], keys[1][tile.j]  # (g, r), (g, c)
    apart = (key_a[:, :, None] != key_b[:, None, :]) | (key_a < 0)[:, :, None]  # (g, r, c)
    counted = (apart if tile.inside is None else apart & tile.inside).to(s.dtype)  # (g, r, c)
    exponent = s.double() if scale > NARROW else s  # as in `tiles`: float32 does not hold more
    return _Part(x, y, s, counted, (exponent * scale).exp_().mul_(counted))


def _tiles(groups: Groups, like: Tensor) -> Iterator[Tile]:
    """Clusters of about one size at a time."""
    every = torch.arange(len(groups.keys), device=like.device)
    return groups.tiles(0, 1, every, like.shape[1], at_hand(like.device))


class _NearSums(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, key_a: Tensor, key_b: Tensor, scale: Tensor, groups: Groups
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(a, b, key_a, key_b, scale)
        ctx.groups = groups
        by_rows, by_columns = (v.new_zeros(len(v), 4, dtype=torch.float64) for v in (a, b))  # (n, 4), (m, 4)
        for tile in _tiles(groups, a):
            part = _part(a, b, (key_a, key_b), tile, float(scale))
            s = part.s * part.counted  # (g, r, c)
            for rows, to, over in ((tile.i, by_rows, 2), (tile.j, by_columns, 1)):
                sums = [term.sum(over, dtype=torch.float64) for term in (part.e, part.counted, s, s * s)]
                to.index_add_(0, rows.flatten(), torch.stack(sums, dim=-1).flatten(0, 1))
        return by_rows.T, by_columns.T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_rows: Tensor, by_columns: Tensor) -> tuple[Tensor | None, ...]:
        a, b, key_a, key_b, scale = ctx.saved_tensors
        kind = wide(a[:0]).dtype
        grad_a, grad_b = torch.zeros_like(a, dtype=kind), torch.zeros_like(b, dtype=kind)  # (n, d), (m, d)
        by_scale = scale.new_zeros((), dtype=torch.float64)
        for tile in _tiles(ctx.groups, a):
            part = _part(a, b, (key_a, key_b), tile, float(scale))
            u, v = by_rows[:, tile.i][..., None], by_columns[:, tile.j][:, :, None]  # (4, g, r, 1), (4, g, 1, c)
            by_e = part.e * (u[0] + v[0])  # (g, r, c)
            by_scale += (by_e * part.s).sum()
            ds = float(scale) * by_e.to(kind)
            ds += ((u[2] + v[2]).to(kind) + 2 * part.s * (u[3] + v[3]).to(kind)) * part.counted
            add_products(grad_a, tile.i, ds, part.y)
            add_products(grad_b, tile.j, ds.mT, part.x)
        return grad_a.to(a.dtype), grad_b.to(b.dtype), None, None, by_scale.to(scale.dtype), None
