"""Sums over the matches of pairs of modalities, and their gradient, in blocks: neither matches nor Grams are all held.

Matches come in groups of equal keys: an item's values, or all values of a label. A group's n_A x n_B matches are a
product of its sides' vectors where that is the cheapest, n_A n_B < (n_A + n_B) d for two sides, with many groups of
about one size in one product; and else they go through the moments of its sides. Both are the same sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .groups import Groups, Routes, Tile
from .moments import Moments, add_moments_gradient, at_hand, moments, wide


class Term(NamedTuple):
    """Matches that are to be added up.

    Args:
        a, b: the sides.
        place: of the sum that they belong to.
        counted: whether they are added to it here; if not, it is only their gradient that is wanted, since another
            process adds them.
    """

    a: int
    b: int
    place: int
    counted: bool = True


@dataclass(frozen=True)
class MatchSums:
    """Matches under one rule.

    Args:
        groups: the rows of all sides, by key.
        terms: which pairs of sides.
        routes: how each group's matches are added up.
        everywhere: {key: of each of the first sides, its moments over all processes}, of the groups of which other
            processes have rows that are not among the sides.
    """

    groups: Groups
    terms: Sequence[Term]
    routes: Routes
    everywhere: Mapping[int, Sequence[Moments]]

    @classmethod
    def of(
        cls, keys: Sequence[Tensor], terms: Sequence[Term], dim: int, everywhere: Mapping[int, Sequence[Moments]]
    ) -> MatchSums:
        """Matches of sides with the given keys (n,) int64; rows match when keys are equal and >= 0.

        Args:
            dim: of the vectors.
        """
        groups = Groups.of(keys)
        far = torch.tensor(list(everywhere), dtype=torch.int64, device=groups.keys.device)  # (f,)
        routes = groups.routes([(term.a, term.b) for term in terms], dim, torch.isin(groups.keys, far))
        return cls(groups, terms, routes, everywhere)

    def add_sums(self, sums: Tensor, sides: Sequence[Tensor]) -> None:
        """Add to sums (places, 3) float64: number of matches, sum of s and sum of s^2.

        Args:
            sides: (n, d) vectors of each side.
        """
        counted = [term for term in self.terms if term.counted]
        for a, b, place, _ in counted:
            for tile in self._tiles(a, b, sides):
                s = _similarities(take(sides[a], tile.i), take(sides[b], tile.j), tile).double()  # (g, p, q)
                sums[place] += torch.stack([torch.full_like(s.sum(), tile.matches), s.sum(), s.square().sum()])
        for _, own, every in self._through_moments(sides):
            for a, b, place, _ in counted:
                found = own[a].similarities(every[b])
                sums[place] += torch.stack([torch.full_like(found.s, found.count), found.s, found.squares])

    def add_gradients(self, grads: Sequence[Tensor | None], by: Tensor, sides: Sequence[Tensor]) -> None:
        """Add to each side's gradient (n, d), None where none is wanted, what the sums pass back.

        Args:
            by: (places, 3) float64, the gradient by the sums.
        """
        slopes = by.to(wide(sides[0][:0]).dtype)
        for a, b, place, _ in self.terms:
            for tile in self._tiles(a, b, sides):
                x, y = take(sides[a], tile.i), take(sides[b], tile.j)  # (g, p, d), (g, q, d)
                slope = slopes[place, 1] + 2 * slopes[place, 2] * _similarities(x, y, tile)  # (g, p, q)
                slope = slope if tile.inside is None else slope * tile.inside
                add_products(grads[a], tile.i, slope, y)
                add_products(grads[b], tile.j, slope.mT, x)
        for rows, _, every in self._through_moments(sides):
            for m, grad in enumerate(grads):
                others = [(b if a == m else a, place) for a, b, place, _ in self.terms if m in (a, b)]
                if grad is not None and others and len(rows[m]):
                    by_total = torch.stack([by[place, 1] * every[o].total for o, place in others]).sum(0)  # (d,)
                    by_gram = torch.stack([by[place, 2] * every[o].gram for o, place in others]).sum(0)  # (d, d)
                    add_moments_gradient(grad, sides[m], by_total, by_gram, rows[m])

    def _tiles(self, a: int, b: int, sides: Sequence[Tensor]) -> Iterator[Tile]:
        return self.groups.tiles(a, b, self.routes.direct, sides[a].shape[1], at_hand(sides[a].device))

    def _through_moments(
        self, sides: Sequence[Tensor]
    ) -> Iterator[tuple[list[Tensor], list[Moments], Sequence[Moments]]]:
        """For each group that goes that way, of every side: its rows, their moments, and those over all processes."""
        chosen = self.routes.moments
        for key, rows in zip(self.groups.keys[chosen].tolist(), self.groups.members(chosen), strict=True):
            own = [moments(vectors, r) for vectors, r in zip(sides, rows, strict=True)]
            every = self.everywhere.get(key, [])
            yield rows, own, [*every, *own[len(every) :]]


def take(vectors: Tensor, rows: Tensor) -> Tensor:
    """(g, p, d) the vectors of rows (g, p)."""
    return wide(vectors.index_select(0, rows.flatten())).view(*rows.shape, -1)


def _similarities(x: Tensor, y: Tensor, tile: Tile) -> Tensor:
    """(g, p, q) similarities of x (g, p, d) and y (g, q, d), 0 where there is no match."""
    single = x.shape[1] == y.shape[1] == 1  # a product of matrices takes several times as long then
    s = (x * y).sum(2, keepdim=True) if single else x @ y.mT
    return s if tile.inside is None else s * tile.inside


def add_products(grad: Tensor | None, rows: Tensor, slope: Tensor, vectors: Tensor) -> None:
    """Add slope (g, p, q) times vectors (g, q, d) to the rows (g, p) of a gradient."""
    if grad is not None:
        added = slope * vectors if vectors.shape[1] == 1 else slope @ vectors  # (g, p, d)
        grad.index_add_(0, rows.flatten(), added.flatten(0, 1))
