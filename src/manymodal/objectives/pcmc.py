"""PCMC: CLIP's contrastive objective over every pair of modalities (Sánchez & Laguna, arXiv:2401.16347).

Only the paper's abstract was at hand; the formula is the one CLIP uses (Radford et al., arXiv:2103.00020), written for
any number of matches per row. With two modalities and one value per item it equals CLIP's loss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..embeddings import Embeddings
from ..errors import ManymodalError
from ..matching import Match, matching_pairs, pair_keys
from ..processes import ONE, Processes
from .base import PairwiseObjective, Weights
from .clustered import pcmc_clustered, sides_of
from .contrast import contrast
from .matches import pair_similarities
from .near import check_clusters
from .scale import CLIP_SCALE, check_scale, clamp_log_scale
from .tiles import logsumexp_both_ways
from .weights import Pair

Denominator = Literal["match", "all"]
Scales = Literal["shared", "per pair"]


def pcmc(
    a: Tensor,
    b: Tensor,
    key_a: Tensor,
    key_b: Tensor,
    scale: Tensor | float,
    denominator: Denominator = "match",
    own_a: slice = slice(None),
    own_b: slice = slice(None),
    processes: Processes = ONE,
) -> tuple[Tensor, float] | None:
    """The contrastive loss of one pair of modalities.

    For each row with a match: minus the mean over its matches of the log-softmax of scale * s. Rows without a match are
    negatives for others, no anchors. Mean over anchors, both ways, halved. Cost: 8 n m d operations forward and
    backward, for p matches O(p d) more; the n x m similarities exist in tiles only (`tiles.sums_both_ways`).

    Args:
        a: (n, d) unit vectors, of all processes. b: (m, d) likewise.
        key_a: (n,) int64. key_b: (m,) int64; rows match when keys are equal and >= 0 (`matching.pair_keys`).
        scale: () or a number, the multiplier of the similarities (inverse temperature).
        denominator: "match": the softmax is over a match and all non-matches, the anchor's other matches left out;
            "all": over all rows, other matches too (the "out" form of SupCon, Khosla et al., arXiv:2004.11362).
        own_a: which rows of a are this process's. own_b: which of b.
        processes: where the rows are.

    Returns:
        The loss () and its chance level (the mean log of the number of candidates), or None without a match.
    """
    i, j = matching_pairs(key_a, key_b)  # (p,) each
    if len(i) == 0:
        return None
    alone = denominator == "match"
    left_out = (i, j) if alone else (i[:0], j[:0])
    rows, columns = logsumexp_both_ways(a, b, *left_out, scale, own_a, own_b, processes)  # (n,), (m,)
    own = scale * pair_similarities(a, b, i, j).double()  # (p,)
    loss, chance = contrast(own, i, j, rows, columns, alone)
    return loss.to(torch.promote_types(a.dtype, torch.float32)), chance


class PCMC(PairwiseObjective):
    """CLIP's contrastive objective over every pair of modalities, with a learned scale.

    Args:
        scale: starting multiplier of similarities, within [1, 100]; learned, and kept there after each step.
        scales: "shared": one for all pairs; "per pair": one each, made by `prepare`.
        denominator: "match" or "all"; see `pcmc`. They differ where a value has several matches.
        clusters: None, or c >= 2: the softmax's denominators are exact within clusters of at most c items and estimated
            beyond, in nearly linear time; see `pcmc_clustered`. Clusters are made from each batch, at random
            boundaries (torch's own generator).
        match: "item" or "label"; see `matching`.
        weights: of the pairs: "equal", "auto" or given; see `PairwiseObjective`.
        combinations: how much composed queries count; see `PairwiseObjective`.
    """

    def __init__(
        self,
        scale: float = CLIP_SCALE,
        scales: Scales = "shared",
        denominator: Denominator = "match",
        clusters: int | None = None,
        match: Match = "item",
        weights: Weights = "equal",
        combinations: float = 0.0,
    ) -> None:
        super().__init__(match, weights, combinations)
        check_scale(scale)
        if scales not in ("shared", "per pair"):
            raise ManymodalError(f'scales={scales!r}; allowed are "shared" and "per pair"')
        if denominator not in ("match", "all"):
            raise ManymodalError(
                f'denominator={denominator!r}; allowed are "match" (a match and the non-matches) and "all" (every row)'
            )
        check_clusters(clusters)
        if clusters is not None and denominator != "match":
            raise ManymodalError(f'clusters={clusters} needs denominator="match"; {denominator!r} was given')
        self.clusters = clusters
        self.initial_scale, self.scales, self.denominator = float(scale), scales, denominator
        self.scaled_pairs: list[Pair] = []  # in the order of log_scale, where there is one per pair
        # One tensor, () or (pairs,): names of modalities may contain what names of parameters may not.
        self.log_scale = nn.Parameter(torch.full(() if scales == "shared" else (0,), math.log(scale)))

    def prepare(self, modalities: Sequence[str], dim: int) -> None:
        """Make the scales that are per pair; those of known pairs stay as they are."""
        pairs = self.compared(modalities)
        if self.scales == "shared" or pairs == self.scaled_pairs:
            return
        known = dict(zip(self.scaled_pairs, self.log_scale.tolist(), strict=True))
        start = math.log(self.initial_scale)
        self.log_scale = nn.Parameter(self.log_scale.new_tensor([known.get(pair, start) for pair in pairs]))
        self.scaled_pairs = pairs

    @property
    def scale(self) -> float | dict[Pair, float]:
        """The multiplier in use; {(a, b): multiplier} where there is one per pair."""
        scale = self.log_scale.detach().exp()
        return float(scale) if self.scales == "shared" else dict(zip(self.scaled_pairs, scale.tolist(), strict=True))

    def pair_losses(self, embeddings: Embeddings) -> dict[Pair, tuple[Tensor, float]]:
        """The contrastive loss of every pair of modalities with a match."""
        met, losses = self.processes.gather_embeddings(embeddings), {}
        vectors = met.embeddings.vectors
        if self.clusters is not None:
            sides = sides_of(met.embeddings, self.clusters, self.processes)
        for a, b in self.compared(met.embeddings.modalities):
            keys = pair_keys(met.embeddings, a, b, self.match, met.per_label)
            if self.clusters is not None:
                term = pcmc_clustered(sides[a], sides[b], *keys, self._scale_of((a, b)))
            else:
                term = pcmc(
                    vectors[a],
                    vectors[b],
                    *keys,
                    self._scale_of((a, b)),
                    self.denominator,
                    met.own(a),
                    met.own(b),
                    self.processes,
                )
            if term is not None:
                losses[a, b] = term
        return losses

    def _scale_of(self, pair: Pair) -> Tensor:
        """() the multiplier of a pair; where a side is a composed query (a/b), the geometric mean over its parts'."""
        if self.scales == "shared":
            return self.log_scale.exp()
        wanted = [(min(m, n), max(m, n)) for m, n in product(*(side.split("/") for side in pair))]
        for one in wanted:
            if one not in self.scaled_pairs:
                raise ManymodalError(
                    f"there is no scale for the pair {'/'.join(one)}, only for {self.scaled_pairs or 'none'}; "
                    "call prepare(modalities, dim) with the names of all modalities before the optimiser is made"
                )
        return self.log_scale[[self.scaled_pairs.index(one) for one in wanted]].mean().exp()

    def after_step(self) -> None:
        """Keep the scales within [1, 100]."""
        clamp_log_scale(self.log_scale)

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        own: dict[str, Any] = {"scale": self.initial_scale, "scales": self.scales, "denominator": self.denominator}
        own["clusters"] = self.clusters
        return {**own, **super().settings()}
