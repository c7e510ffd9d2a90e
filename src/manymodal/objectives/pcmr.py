"""PCMR: regress the similarities of every pair of modalities to a target (Sánchez & Laguna, arXiv:2401.16347).

Matching pairs are to have similarity 1, non-matching ones `beta`. Only the paper's abstract was at hand: the formula,
`mean over matches of (1 - s)^2 + lam * mean over non-matches of (s - beta)^2`, is this project's reading of it.

It is exact in linear time. With G_A = A^T A, the sum over *all* pairs of s^2 is <G_A, G_B> and the sum of s is
(A^T 1) . (B^T 1); the matching pairs are few and summed directly, and what is left belongs to the non-matches. No
n x m matrix exists, and the Grams are computed once per modality: O(M n d^2 + M^2 (d^2 + |P| d)) for M modalities of n
values and |P| matches a pair. The identity is that of the spectral contrastive loss (HaoChen et al. 2021) and of the
duality between samples and dimensions in Barlow Twins and VICReg (Garrido et al. 2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

from torch import Tensor

from ..embeddings import Embeddings
from ..errors import ManymodalError
from ..matching import Match, pair_keys
from .base import PairwiseObjective, Weights
from .sums import match_sums
from .weights import Pair

LAM, BETA = 10.0, -0.1


@dataclass(frozen=True)
class Moments:
    """What PCMR needs of one modality, for all of its pairs: vectors (n, d), their Gram (d, d) and their sum (d,)."""

    vectors: Tensor
    gram: Tensor
    total: Tensor

    @classmethod
    def of(cls, vectors: Tensor) -> Moments:
        """Moments of vectors (n, d): O(n d^2)."""
        return cls(vectors, vectors.T @ vectors, vectors.sum(0))


def pcmr(
    a: Moments, b: Moments, key_a: Tensor, key_b: Tensor, lam: float = LAM, beta: float = BETA
) -> tuple[Tensor, float] | None:
    """The regression loss of one pair of modalities, over all of its n m similarities, in linear time.

    Args:
        a: moments of (n, d) unit vectors. b: moments of (m, d) unit vectors.
        key_a: (n,) int64. key_b: (m,) int64; rows match when keys are equal and >= 0 (`matching.pair_keys`).
        lam: weight of the non-matches, >= 0. beta: their target, in [-1, 1).

    Returns:
        The loss () and its chance level, or None without a match. Without non-matches their term is 0.
    """
    matches = match_sums(a.vectors, b.vectors, key_a, key_b)
    if matches.count == 0:
        return None
    # In float64, since the non-matches are what a subtraction leaves.
    all_s = a.total.double() @ b.total.double()
    all_squares = (a.gram.double() * b.gram.double()).sum()
    loss = 1 - 2 * matches.s / matches.count + matches.squares / matches.count
    others = len(a.vectors) * len(b.vectors) - matches.count
    if others > 0:
        s, squares = all_s - matches.s, all_squares - matches.squares
        loss = loss + lam * (squares / others - 2 * beta * s / others + beta * beta)
    # What the best constant similarity reaches: s = (1 + lam beta) / (1 + lam).
    return loss.to(a.vectors.dtype), lam * (1 - beta) ** 2 / (1 + lam)


class PCMR(PairwiseObjective):
    """Regression of the similarities of every pair of modalities to a target, exact in linear time.

    Args:
        lam: weight of the non-matching pairs' mean beside the matching pairs'.
        beta: target of the non-matching pairs. -1 cannot be reached: where matching values coincide, the mean
            similarity of n different ones is at least -1/(n - 1). Between -0.15 and 0.2 is sensible.
        match: "item" or "label"; see `matching`.
        weights: of the pairs: "equal", "auto" or given; see `PairwiseObjective`.
    """

    def __init__(self, lam: float = LAM, beta: float = BETA, match: Match = "item", weights: Weights = "equal") -> None:
        super().__init__(match, weights)
        if not 0 < lam < float("inf"):
            raise ManymodalError(f"lam={lam}; it must be above 0 and finite (10 is the default)")
        if not -1 <= beta < 1:
            raise ManymodalError(f"beta={beta}; it must lie in [-1, 1) (between -0.15 and 0.2 is sensible)")
        self.lam, self.beta = float(lam), float(beta)

    def pair_losses(self, embeddings: Embeddings) -> dict[Pair, tuple[Tensor, float]]:
        """The regression loss of every pair of modalities with a match."""
        moments = {m: Moments.of(v) for m, v in embeddings.vectors.items()}
        losses = {}
        for a, b in combinations(embeddings.modalities, 2):
            term = pcmr(moments[a], moments[b], *pair_keys(embeddings, a, b, self.match), self.lam, self.beta)
            if term is not None:
                losses[a, b] = term
        return losses

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {"lam": self.lam, "beta": self.beta, **super().settings()}
