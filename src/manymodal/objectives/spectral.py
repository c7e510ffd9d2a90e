"""Spectral: the spectral contrastive loss of every pair of modalities (HaoChen et al. 2021, arXiv:2106.04156).

For embeddings z of norm sqrt(scale), `-2 mean over matches of z . z' + mean over all pairs of (z . z')^2`: a low-rank
factorisation of how much likelier two values are to be met together than by chance. Here z = sqrt(scale) u with u of
norm 1, and the constant 2 scale is added: matches then pay their squared distance |z - z'|^2, the loss is never below
0, and it is PCMR with a target of 0 for *all* pairs, linear in s for the matches. Linear time, through the same sums.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..errors import ManymodalError
from ..matching import Match
from .base import Weights
from .linear import LinearObjective
from .moments import Similarities
from .sums import Sums
from .weights import Pair

SCALE = 10.0  # what PCMR's lam is: the weight of all pairs beside that of the matches


def spectral(matches: Similarities, everything: Similarities, scale: float = SCALE) -> Tensor:
    """() float64, `2 scale (1 - mean s) + scale^2 mean s^2`, the means over the matches and over all pairs.

    Args:
        matches: of the matching pairs, one at least. everything: of all pairs.
        scale: the squared norm of the embeddings, above 0.
    """
    return 2 * scale * (1 - matches.mean()) + scale**2 * everything.about(0.0)


class Spectral(LinearObjective):
    """The spectral contrastive loss over every pair of modalities, exact in linear time.

    Args:
        scale: what similarities are multiplied by, the squared norm of the paper's embeddings; fixed. Divided by 2
            scale the loss is the mean of 1 - s over matches and scale / 2 times that of s^2 over all pairs.
        match: "item" or "label"; see `manymodal.matching`.
        weights: of the pairs: "equal", "auto" or given; see `PairwiseObjective`.
        combinations: how much composed queries count; see `PairwiseObjective`.
    """

    def __init__(
        self, scale: float = SCALE, match: Match = "item", weights: Weights = "equal", combinations: float = 0.0
    ) -> None:
        super().__init__(match, weights, combinations)
        if not 0 < scale < float("inf"):
            raise ManymodalError(f"scale={scale}; it must be above 0 and finite (10 is the default)")
        self.scale = float(scale)

    @property
    def chance(self) -> float:
        """What the best constant similarity, 1 / scale but 1 at most, reaches."""
        s = min(1.0, 1 / self.scale)
        return 2 * self.scale * (1 - s) + (self.scale * s) ** 2

    def losses_of(self, sums: Sums) -> dict[Pair, Tensor]:
        """The loss of every pair of modalities with a match."""
        return {pair: spectral(sums.matches[pair], sums.everything(pair), self.scale) for pair in sums.pairs()}

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {"scale": self.scale, **super().settings()}
