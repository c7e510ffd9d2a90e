"""PCMC in nearly linear time: the softmax's denominator is exact nearby and estimated far away.

What makes a softmax over all values expensive is its denominator, the sum of e^(scale s) over the non-matches. What
tells one value's from another's is mostly nearby, and nearby is cheap: the values in the same cluster of the batch are
summed one by one. Of the others, which are many and alike, two numbers are known exactly in linear time: the mean mu
and the variance v of *this* value's similarities with all of them, since the sum of s^2 over a modality B is a^T G_B a.
Where these are spread as a normal distribution,

    sum of e^(scale s) over N far values  =  N exp(scale mu + scale^2 v / 2)

(for a scale so large that the largest of N normal values decides, scale sqrt(v) > sqrt(2 log N), what that one gives)
so that a pair of modalities costs O(n c d + n d^2) instead of O(n^2 d), with clusters of at most c items. With one
cluster for everything it is PCMC itself. The estimate is this project's own; the moment identity is in `moments`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..embeddings import Embeddings
from ..matching import matching_pairs
from ..processes import Processes
from .contrast import contrast
from .matches import pair_similarities
from .moments import blocks, wide
from .near import NearSums, clusters_of, near_sums

TINY = 1e-24  # keeps the slope of a square root finite


@dataclass(frozen=True)
class Side:
    """One modality, for all of its pairs.

    Args:
        vectors: (n, d) float32 or float64, unit norm.
        cluster: (n,) int64, of each.
    """

    vectors: Tensor
    cluster: Tensor

    @cached_property
    def total(self) -> Tensor:
        """(d,) the sum of all vectors."""
        return self.vectors.sum(0)

    @cached_property
    def gram(self) -> Tensor:
        """(d, d) the sum of all outer products: O(n d^2)."""
        return self.vectors.T @ self.vectors


def sides_of(embeddings: Embeddings, size: int, processes: Processes) -> dict[str, Side]:
    """Every modality with the clusters of its rows, at most `size` items in each; half precision becomes float32.

    Args:
        embeddings: of all processes.
    """
    clusters = clusters_of(embeddings, size, processes)
    return {m: Side(wide(v), clusters[m]) for m, v in embeddings.vectors.items()}


def pcmc_clustered(a: Side, b: Side, key_a: Tensor, key_b: Tensor, scale: Tensor) -> tuple[Tensor, float] | None:
    """The contrastive loss of one pair of modalities, its denominators exact within clusters and estimated beyond.

    Cost: 8 n c d + 12 n d^2 operations, forward and backward, both ways, for n values a side.

    Args:
        a: the one modality. b: the other.
        key_a: (n,) int64. key_b: (m,) int64; rows match when keys are equal and >= 0.
        scale: () the multiplier of the similarities.

    Returns:
        The loss () and its chance level, or None without a match.
    """
    i, j = matching_pairs(key_a, key_b)  # (p,) each
    if len(i) == 0:
        return None
    s = pair_similarities(a.vectors, b.vectors, i, j).double()  # (p,)
    near_a, near_b = near_sums(a.vectors, b.vectors, key_a, key_b, a.cluster, b.cluster, scale)
    rows = _others(a.vectors, b, near_a, _sums_of_rows(s, i, len(a.vectors)), scale)  # (n,)
    columns = _others(b.vectors, a, near_b, _sums_of_rows(s, j, len(b.vectors)), scale)  # (m,)
    loss, chance = contrast(scale * s, i, j, rows, columns)
    return loss.to(a.vectors.dtype), chance


def near_contrast(a: Side, b: Side, key_a: Tensor, key_b: Tensor, scale: float) -> tuple[Tensor, float]:
    """The contrastive loss () float64 of one pair of modalities within clusters alone, and its chance level.

    Arguments as in `pcmc_clustered`; there is a match. Cost: 8 n c d operations, forward and backward.
    """
    i, j = matching_pairs(key_a, key_b)  # (p,) each
    factor = torch.tensor(scale, dtype=torch.float64, device=a.vectors.device)
    near_a, near_b = near_sums(a.vectors, b.vectors, key_a, key_b, a.cluster, b.cluster, factor)
    own = scale * pair_similarities(a.vectors, b.vectors, i, j).double()  # (p,)
    return contrast(own, i, j, near_a.log(), near_b.log(), rivals=(near_a.rivals, near_b.rivals))


def _others(vectors: Tensor, other: Side, near: NearSums, matched: Tensor, scale: Tensor) -> Tensor:
    """(n,) float64: for each row the log of the sum of exp(scale * s) over all non-matches of the other modality."""
    s = (vectors @ other.total).double()  # (n,)
    squares: Tensor = _Squares.apply(vectors, other.gram)  # type: ignore[no-untyped-call]
    count = len(other.vectors) - near.rivals - matched[0]  # (n,) far ones
    some = count.clamp(min=1)
    mean = (s - near.s - matched[1]) / some
    variance = ((squares - near.squares - matched[2]) / some - mean.square()).clamp(min=0)
    # Of N normal values the largest is about sqrt(2 log N) deviations out; beyond that the expectation of e^(scale s)
    # is that of values that are not there, and the largest one decides (Derrida, Phys. Rev. B 24, 1981).
    spread, most = scale * (variance + TINY).sqrt(), (2 * some.log()).sqrt()
    far = scale * mean + torch.where(spread < most, some.log() + spread.square() / 2, most * spread)
    nearby, far = near.log(), far.masked_fill(count < 1, -torch.inf)
    nothing = (nearby == -torch.inf) & (count < 1)  # the sum of two zeros has no gradient
    both = torch.logaddexp(nearby.masked_fill(nothing, 0.0), far.masked_fill(nothing, 0.0))
    return both.masked_fill(nothing, -torch.inf)


class _Squares(torch.autograd.Function):
    """(n,) float64, v G v for each row v of vectors (n, d), in blocks: nothing of their size is kept."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, gram: Tensor) -> Tensor:
        ctx.save_for_backward(vectors, gram)
        squares = vectors.new_empty(len(vectors), dtype=torch.float64)
        for at in blocks(len(vectors), vectors.shape[1], vectors.device):
            squares[at] = ((vectors[at] @ gram) * vectors[at]).sum(1)
        return squares

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        vectors, gram = ctx.saved_tensors
        by_vectors, by_gram, both = torch.empty_like(vectors), torch.zeros_like(gram), gram + gram.T
        for at in blocks(len(vectors), vectors.shape[1], vectors.device):
            scaled = grad[at, None].to(vectors.dtype) * vectors[at]  # (block, d)
            by_vectors[at] = scaled @ both
            by_gram += scaled.T @ vectors[at]
        return by_vectors, by_gram


def _sums_of_rows(s: Tensor, rows: Tensor, count: int) -> Tensor:
    """(3, count) float64: how many matches each row has, and the sums of s and of s^2 over them."""
    terms = torch.stack([torch.ones_like(s), s, s.square()])  # (3, p)
    return terms.new_zeros(3, count).index_add(1, rows, terms)
