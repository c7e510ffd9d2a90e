"""Sigmoid: does this pair of values match, asked of every pair alone (SigLIP, Zhai et al. 2023, arXiv:2303.15343)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ..embeddings import Embeddings
from ..errors import ManymodalError
from ..matching import Match, matching_pairs, pair_keys
from .base import PairwiseObjective, Weights
from .blocks import in_blocks
from .matches import pair_similarities
from .scale import Scale
from .weights import Pair


def sigmoid(
    a: Tensor, b: Tensor, key_a: Tensor, key_b: Tensor, scale: Tensor | float, bias: Tensor | float
) -> tuple[Tensor, float] | None:
    """The sigmoid loss of one pair of modalities.

        sum over all n m pairs of -log sigmoid(y (scale s + bias)) / anchors,    y = 1 for a match, -1 for a non-match

    `anchors` is the mean over both sides of the number of rows that have a match: n for n items with one value each, as
    in the paper; rows without a match are negatives and do not make the loss smaller. Since -log sigmoid(x) =
    softplus(x) - x, it is a sum over all pairs, in blocks, and one over the matches. Cost: O(n m d) operations, memory
    for a block.

    Args:
        a: (n, d) unit vectors. b: (m, d) unit vectors.
        key_a: (n,) int64. key_b: (m,) int64; rows match when keys are equal and >= 0 (`matching.pair_keys`).
        scale: the multiplier of the similarities. bias: what is added to them.

    Returns:
        The loss () and its chance level, that of the best constant logit (n m / anchors times the entropy of a match),
        or None without a match.
    """
    i, j = matching_pairs(key_a, key_b)  # (p,) each
    if len(i) == 0:
        return None
    wide = torch.promote_types(a.dtype, torch.float32)
    a, b = a.to(wide), b.to(wide)

    def as_non_matches(rows: Tensor) -> Tensor:
        return softplus(scale * (rows @ b.T) + bias).sum(dtype=torch.float64)  # ()

    every = torch.stack(in_blocks(as_non_matches, (a,), width=len(b))).sum()
    matches = (scale * pair_similarities(a, b, i, j) + bias).sum(dtype=torch.float64)
    anchors = (len(i.unique()) + len(j.unique())) / 2
    count = len(a) * len(b)
    return ((every - matches) / anchors).to(wide), count / anchors * _entropy(len(i) / count)


def _entropy(share: float) -> float:
    """Of a yes that comes with probability `share`, in nats."""
    return -sum(p * math.log(p) for p in (share, 1 - share) if p > 0)


class Sigmoid(PairwiseObjective):
    """SigLIP's loss over every pair of modalities, with one learned scale and one learned bias.

    Args:
        scale: starting multiplier of similarities, within [1, 100]; learned, and kept there after each step.
        bias: starting bias; learned. -10 makes all logits those of non-matches, as nearly all pairs are.
        match: "item" or "label"; see `manymodal.matching`.
        weights: of the pairs: "equal", "auto" or given; see `PairwiseObjective`.
        combinations: how much composed queries count; see `PairwiseObjective`.
    """

    def __init__(
        self,
        scale: float = 10.0,
        bias: float = -10.0,
        match: Match = "item",
        weights: Weights = "equal",
        combinations: float = 0.0,
    ) -> None:
        super().__init__(match, weights, combinations)
        if not math.isfinite(bias):
            raise ManymodalError(f"bias={bias}; it must be a finite number (-10 is the default)")
        self.scale, self.initial_bias = Scale(scale), float(bias)
        self.bias = nn.Parameter(torch.tensor(float(bias)))

    def pair_losses(self, embeddings: Embeddings) -> dict[Pair, tuple[Tensor, float]]:
        """The sigmoid loss of every pair of modalities with a match."""
        met, losses = self.processes.gather_embeddings(embeddings), {}
        vectors = met.embeddings.vectors
        for a, b in self.compared(met.embeddings.modalities):
            key_a, key_b = pair_keys(met.embeddings, a, b, self.match, met.per_label)
            term = sigmoid(vectors[a], vectors[b], key_a, key_b, self.scale(), self.bias)
            if term is not None:
                losses[a, b] = term
        return losses

    def after_step(self) -> None:
        """Keep the scale within [1, 100]."""
        self.scale.clamp()

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {"scale": self.scale.start, "bias": self.initial_bias, **super().settings()}
