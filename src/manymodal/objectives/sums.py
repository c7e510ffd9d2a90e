"""Sums of similarities over the matches and over all pairs of every two modalities, in linear time, differentiable.

Every loss that is quadratic in the similarities is a combination of them (see `linear`). One autograd node takes all
modalities and gives their moments and the sums over matches, so that each modality's gradient is written once:
O(M n d^2 + |P| d) operations forward and backward, and beside the gradients (float32 for half precision) no more
memory than blocks, M d^2 and a few numbers a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..embeddings import Embeddings
from ..matching import Match, labels_in_force, pair_keys
from ..processes import ONE, Meeting, Processes
from .match_sums import MatchSums, Term
from .moments import Moments, Similarities, add_moments_gradient, moments, wide
from .spread import elsewhere
from .weights import Pair


@dataclass(frozen=True)
class Sums:
    """What `sums_of` gives. Of batches of which no two share a key, added up, they are those of all rows together.

    Args:
        moments: {modality: its moments}.
        matches: {(a, b): of its matches}, a < b, of every two modalities.
    """

    moments: dict[str, Moments]
    matches: dict[Pair, Similarities]

    def everything(self, pair: Pair) -> Similarities:
        """Of all pairs of rows of two modalities."""
        a, b = pair
        return self.moments[a].similarities(self.moments[b])

    def others(self, pair: Pair) -> Similarities:
        """Of all pairs of rows of two modalities that do not match. In float64, since a subtraction leaves them."""
        return self.everything(pair) - self.matches[pair]

    def pairs(self) -> list[Pair]:
        """The pairs of modalities with a match."""
        return [pair for pair, matches in self.matches.items() if matches.count]

    def __add__(self, other: Sums) -> Sums:
        """Those of the rows of both; a modality or a pair that one of them lacks has no rows there."""
        return Sums(_joined(self.moments, other.moments), _joined(self.matches, other.matches))

    def tensors(self) -> dict[tuple[str, ...], Tensor]:
        """All numbers that gradients pass through, each under a name of its own."""
        named: dict[tuple[str, ...], Tensor] = {}
        for m, of in self.moments.items():
            named |= {("total", m): of.total, ("gram", m): of.gram}
        for pair, matching in self.matches.items():
            named |= {("s", *pair): matching.s, ("squares", *pair): matching.squares}
        return named

    def map(self, function: Callable[[Tensor], Tensor]) -> Sums:
        """The same with each of `tensors` replaced by what the function makes of it."""
        f = function
        return Sums(
            {m: Moments(of.count, f(of.total), f(of.gram)) for m, of in self.moments.items()},
            {pair: Similarities(of.count, f(of.s), f(of.squares)) for pair, of in self.matches.items()},
        )


def _joined(left: dict[Any, Any], right: dict[Any, Any]) -> dict[Any, Any]:
    return {k: left[k] + right[k] if k in left and k in right else left.get(k, right.get(k)) for k in left | right}


def sums_of(embeddings: Embeddings, match: Match = "item", processes: Processes = ONE) -> Sums:
    """The sums of all modalities and of every two of them, over all processes; gradients pass through.

    By item all matches are on one process, and only d x d Grams, sums and scalars are exchanged; by label see `spread`.

    Args:
        embeddings: this process's rows.

    Raises:
        ManymodalError: labels are in force for a pair, but the embeddings carry none.
    """
    met = processes.meet(embeddings)
    names = met.embeddings.modalities
    sides = [met.embeddings.vectors[m] for m in names]
    matched = []
    pairs = list(combinations(names, 2))
    for by_label in (False, True):
        chosen = [p for p in pairs if labels_in_force(met.embeddings, *p, match, met.per_label) == by_label]
        keys = _keys(met, match, chosen)
        terms = [Term(names.index(a), names.index(b), pairs.index((a, b))) for a, b in chosen]
        everywhere: dict[int, list[Moments]] = {}
        if terms and by_label:
            far_sides, far_keys, everywhere = elsewhere(sides, keys, processes)
            sides, keys = [*sides, *far_sides], [*keys, *far_keys]
            # Own rows with others' are added up here; others' with own are there, and here give their gradient alone.
            terms += [Term(a, b + len(names), place) for a, b, place, _ in terms]
            terms += [Term(a + len(names), b, place, counted=False) for a, b, place, _ in terms[: len(chosen)]]
        if terms:
            matched.append(MatchSums.of(keys, terms, embeddings.dim, everywhere))
    found = _Sums.apply(len(names), len(pairs), matched, *sides)  # type: ignore[no-untyped-call]
    everyone = processes.sum(torch.cat([part.flatten() for part in found]))
    totals, grams, sums = (
        part.view_as(like) for part, like in zip(everyone.split([p.numel() for p in found]), found, strict=True)
    )
    return Sums(
        {m: Moments(met.total(m), totals[i], grams[i]) for i, m in enumerate(names)},
        {
            pair: Similarities(int(count), *sums[i, 1:])
            for i, (pair, count) in enumerate(zip(pairs, sums[:, 0].tolist(), strict=True))
        },
    )


def _keys(met: Meeting, match: Match, pairs: Sequence[Pair]) -> list[Tensor]:
    """Of each modality (n,), the keys under the rule of the given pairs; -1 throughout where it is in none of them."""
    keys = {m: torch.full_like(items, -1) for m, items in met.embeddings.items.items()}
    done: set[str] = set()
    for a, b in pairs:
        if not {a, b} <= done:
            keys[a], keys[b] = pair_keys(met.embeddings, a, b, match, met.per_label)
            done |= {a, b}
    return [keys[m] for m in met.embeddings.modalities]


class _Sums(torch.autograd.Function):
    """Vectors of each side -> (own, d) totals, (own, d, d) Grams, (places, 3) sums over matches, all float64.

    The first `own` sides are the modalities; the others, of other processes, get no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, own: int, places: int, matched: Sequence[MatchSums], *sides: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.matched = matched
        ctx.save_for_backward(*sides)
        found = [moments(vectors) for vectors in sides[:own]]
        sums = sides[0].new_zeros(places, 3, dtype=torch.float64)
        for matches in matched:
            matches.add_sums(sums, sides)
        return torch.stack([of.total for of in found]), torch.stack([of.gram for of in found]), sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_totals: Tensor, by_grams: Tensor, by_sums: Tensor) -> tuple[Tensor | None, ...]:
        sides = ctx.saved_tensors
        grads: list[Tensor | None] = [
            torch.zeros_like(v, dtype=wide(v[:0]).dtype) if wanted else None
            for v, wanted in zip(sides, ctx.needs_input_grad[3:], strict=True)
        ]
        for vectors, grad, by_total, by_gram in zip(sides, grads, by_totals, by_grams, strict=False):
            if grad is not None:
                add_moments_gradient(grad, vectors, by_total, by_gram)
        for matches in ctx.matched:
            matches.add_gradients(grads, by_sums, sides)
        return None, None, None, *(g if g is None else g.to(v.dtype) for g, v in zip(grads, sides, strict=True))
