"""PCMC: CLIP's contrastive objective over every pair of modalities (Sánchez & Laguna, arXiv:2401.16347).

Only the paper's abstract was at hand; the formula is the one CLIP uses (Radford et al., arXiv:2103.00020), written for
any number of matches per row. With two modalities and one value per item it equals CLIP's loss.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from ..embeddings import Embeddings
from ..errors import ManymodalError
from ..matching import Match, matching_pairs, pair_keys
from .base import PairwiseObjective, Weights
from .weights import Pair

SCALE_RANGE = (1.0, 100.0)


def pcmc(a: Tensor, b: Tensor, key_a: Tensor, key_b: Tensor, scale: Tensor | float) -> tuple[Tensor, float] | None:
    """The contrastive loss of one pair of modalities.

    For each row with a match: minus the mean over its matches of the log-softmax of scale * s, its other matches left
    out of that match's denominator. Rows without a match are negatives for others, no anchors. Mean over anchors, both
    ways, halved. Cost: O(n m d) operations and n m numbers.

    Args:
        a: (n, d) unit vectors. b: (m, d) unit vectors.
        key_a: (n,) int64. key_b: (m,) int64; rows match when keys are equal and >= 0 (`matching.pair_keys`).
        scale: the multiplier of the similarities (inverse temperature).

    Returns:
        The loss () and its chance level (the mean log of the number of candidates), or None without a match.
    """
    i, j = matching_pairs(key_a, key_b)  # (p,) each
    if len(i) == 0:
        return None
    logits = scale * (a @ b.T)  # (n, m)
    own = logits[i, j]  # (p,)
    others = logits.index_put((i, j), logits.new_tensor(-math.inf))  # (n, m) the non-matches
    loss, chance = logits.new_zeros(()), 0.0
    for anchor, size, rivals in ((i, len(b), others.logsumexp(1)), (j, len(a), others.logsumexp(0))):
        matches = torch.bincount(anchor, minlength=len(rivals))  # (n,) or (m,)
        anchors = int((matches > 0).sum())
        share = 1 / (matches[anchor] * anchors)  # (p,) adds up to 1
        # -log(e^own / (e^own + sum of e^rival)) = softplus(logsumexp of rivals - own)
        loss = loss + (nn.functional.softplus(rivals[anchor] - own) * share).sum() / 2
        chance += float((torch.log1p((size - matches[anchor]).double()) * share).sum()) / 2
    return loss, chance


class PCMC(PairwiseObjective):
    """CLIP's contrastive objective over every pair of modalities, with one learned scale.

    Args:
        scale: starting multiplier of similarities, within [1, 100]; learned, and kept there after each step.
        match: "item" or "label"; see `matching`.
        weights: of the pairs: "equal", "auto" or given; see `PairwiseObjective`.
    """

    def __init__(self, scale: float = 1 / 0.07, match: Match = "item", weights: Weights = "equal") -> None:
        super().__init__(match, weights)
        low, high = SCALE_RANGE
        if not low <= scale <= high:
            raise ManymodalError(
                f"scale={scale}; allowed is {low:g} to {high:g} (1 / temperature; CLIP starts at 1 / 0.07)"
            )
        self.initial_scale = float(scale)
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    @property
    def scale(self) -> float:
        """The multiplier in use."""
        return float(self.log_scale.detach().exp())

    def pair_losses(self, embeddings: Embeddings) -> dict[Pair, tuple[Tensor, float]]:
        """The contrastive loss of every pair of modalities with a match."""
        losses = {}
        for a, b in combinations(embeddings.modalities, 2):
            x, y = embeddings.vectors[a], embeddings.vectors[b]
            term = pcmc(x, y, *pair_keys(embeddings, a, b, self.match), self.log_scale.exp().to(x.dtype))
            if term is not None:
                losses[a, b] = term
        return losses

    def after_step(self) -> None:
        """Keep the scale within [1, 100]."""
        with torch.no_grad():
            self.log_scale.clamp_(*(math.log(bound) for bound in SCALE_RANGE))

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {"scale": self.initial_scale, **super().settings()}
