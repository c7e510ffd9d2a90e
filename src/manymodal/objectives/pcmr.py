"""PCMR: regress the similarities of every pair of modalities to a target (Sánchez & Laguna, arXiv:2401.16347).

Matching pairs are to have similarity 1, non-matching ones `beta`. Only the paper's abstract was at hand: the formula,
`mean over matches of (1 - s)^2 + lam * mean over non-matches of (s - beta)^2`, is this project's reading of it.

It is exact in linear time: the sums of s and of s^2 over *all* pairs come from Gram matrices (see `moments`), the
matches are few and summed directly, and what is left belongs to the non-matches. M modalities of n values and |P|
matches a pair cost O(M n d^2 + M^2 (d^2 + |P| d)), forward and backward, and no n x m matrix exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..embeddings import Embeddings
from ..errors import ManymodalError
from ..matching import Match, pair_keys
from ..processes import Meeting
from .base import Weights
from .clustered import near_contrast, sides_of
from .focused import SHARPEST, focused
from .linear import LinearObjective
from .moments import Similarities
from .near import check_clusters
from .scale import CLIP_SCALE
from .sums import Sums, sums_of
from .weights import Pair

LAM, BETA, NEAR = 10.0, -0.1, 2.0


def pcmr(matches: Similarities, others: Similarities, lam: float = LAM, beta: float = BETA) -> Tensor:
    """() float64, the regression loss of one pair of modalities, over all of its n m similarities.

    Args:
        matches: of the matching pairs, one at least. others: of the non-matching; without any their term is 0.
        lam: weight of the non-matches, above 0. beta: their target, in [-1, 1).
    """
    return matches.about(1.0) + lam * others.about(beta)


class PCMR(LinearObjective):
    """Regression of the similarities of every pair of modalities to a target, exact in linear time.

    Args:
        lam: weight of the non-matching pairs' mean beside the matching pairs'.
        beta: target of the non-matching pairs. -1 cannot be reached: where matching values coincide, the mean
            similarity of n different ones is at least -1/(n - 1). Between -0.15 and 0.2 is sensible.
        focus: None, or tau >= 0.002: each value's non-matches weigh as a softmax of s / tau, and no longer all alike.
            0.1 is sensible, with a `lam` of 4. The cost is quadratic then (see `focused`).
        clusters: None, or c >= 2: the contrastive loss within clusters of at most c items of the batch is added, so
            that nearby non-matches count more, in nearly linear time (see `near_contrast`). 64 is sensible. Clusters
            have random boundaries (torch's own generator).
        near: weight of what is added.
        match: "item" or "label"; see `manymodal.matching`.
        weights: of the pairs: "equal", "auto" or given; see `PairwiseObjective`.
        combinations: how much composed queries count; see `PairwiseObjective`.
    """

    def __init__(
        self,
        lam: float = LAM,
        beta: float = BETA,
        focus: float | None = None,
        clusters: int | None = None,
        near: float = NEAR,
        match: Match = "item",
        weights: Weights = "equal",
        combinations: float = 0.0,
    ) -> None:
        super().__init__(match, weights, combinations)
        if not 0 < lam < float("inf"):
            raise ManymodalError(f"lam={lam}; it must be above 0 and finite (10 is the default)")
        if not -1 <= beta < 1:
            raise ManymodalError(f"beta={beta}; it must lie in [-1, 1) (between -0.15 and 0.2 is sensible)")
        if focus is not None and not SHARPEST <= focus < float("inf"):
            raise ManymodalError(
                f"focus={focus}; it must be None (all non-matches alike) or a finite number of at least {SHARPEST:g} "
                "(0.1 is sensible)"
            )
        check_clusters(clusters)
        if focus is not None and clusters is not None:
            raise ManymodalError(f"focus={focus} and clusters={clusters}: both make nearby non-matches count; give one")
        if not 0 < near < float("inf"):
            raise ManymodalError(f"near={near}; it must be above 0 and finite (2 is the default)")
        self.lam, self.beta, self.clusters, self.near = float(lam), float(beta), clusters, float(near)
        self.focus = None if focus is None else float(focus)

    @property
    def linear(self) -> bool:
        """Whether the loss is a function of sums alone."""
        return self.focus is None and self.clusters is None

    @property
    def chance(self) -> float:
        """What the best constant similarity, (1 + lam beta) / (1 + lam), reaches."""
        return self.lam * (1 - self.beta) ** 2 / (1 + self.lam)

    def losses_of(self, sums: Sums) -> dict[Pair, Tensor]:
        """The loss of every pair of modalities with a match, all non-matches alike."""
        return {p: pcmr(sums.matches[p], sums.others(p), self.lam, self.beta) for p in sums.pairs()}

    def pair_losses(self, embeddings: Embeddings) -> dict[Pair, tuple[Tensor, float]]:
        """The regression loss of every pair of modalities with a match."""
        if self.linear:
            return super().pair_losses(embeddings)
        sums = sums_of(embeddings, self.match, self.processes)
        met = self.processes.gather_embeddings(embeddings)
        if self.focus is not None:
            return self.with_chance(self._focused_losses(met, sums, self.focus), embeddings)
        found = self.with_chance(self.losses_of(sums), embeddings)
        if self.clusters is not None:
            for pair, (loss, chance) in self._near_losses(met, sums.pairs(), self.clusters).items():
                uniform = found[pair][0]
                found[pair] = (uniform + self.near * loss.to(uniform.dtype), self.chance + self.near * chance)
        return found

    def _near_losses(self, met: Meeting, pairs: Sequence[Pair], size: int) -> dict[Pair, tuple[Tensor, float]]:
        sides = sides_of(met.embeddings, size, self.processes)
        return {
            (a, b): near_contrast(
                sides[a], sides[b], *pair_keys(met.embeddings, a, b, self.match, met.per_label), CLIP_SCALE
            )
            for a, b in pairs
        }

    def _focused_losses(self, met: Meeting, sums: Sums, tau: float) -> dict[Pair, Tensor]:
        losses = {}
        for a, b in sums.pairs():
            negatives = focused(
                met.embeddings.vectors[a],
                met.embeddings.vectors[b],
                *pair_keys(met.embeddings, a, b, self.match, met.per_label),
                self.beta,
                tau,
                met.own(a),
                met.own(b),
                self.processes,
            )
            losses[a, b] = sums.matches[a, b].about(1.0) + self.lam * negatives
        return losses

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        own = {"lam": self.lam, "beta": self.beta, "focus": self.focus, "clusters": self.clusters, "near": self.near}
        return {**own, **super().settings()}
