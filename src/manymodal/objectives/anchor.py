"""Anchor: the contrastive loss of one modality with every other, and of no other pair (ImageBind, arXiv:2305.05665)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..compose import check_known
from ..embeddings import Embeddings
from ..errors import ManymodalError
from ..matching import Match
from .base import Loss, Weights
from .pcmc import PCMC, Denominator, Scales
from .scale import CLIP_SCALE
from .weights import Pair


class Anchor(PCMC):
    """PCMC over the pairs with one modality alone; the others meet only through it.

    M - 1 pairs instead of M (M - 1) / 2, each at PCMC's cost. What an item without the anchor could tell is not used.

    Args:
        anchor: the modality that every other is compared with; has to be named.
        scale: starting multiplier of similarities, within [1, 100]; learned, and kept there after each step.
        scales: "shared" or "per pair"; see `PCMC`.
        denominator: "match" or "all"; see `manymodal.objectives.pcmc.pcmc`.
        clusters: None, or the most items in a cluster; see `PCMC`.
        match: "item" or "label"; see `manymodal.matching`.
        weights: of the pairs: "equal", "auto" or given; see `PairwiseObjective`.
        combinations: how much composed queries for the anchor count; see `PairwiseObjective`.

    Raises:
        ManymodalError: no anchor is named.
    """

    def __init__(
        self,
        anchor: str | None = None,
        scale: float = CLIP_SCALE,
        scales: Scales = "shared",
        denominator: Denominator = "match",
        clusters: int | None = None,
        match: Match = "item",
        weights: Weights = "equal",
        combinations: float = 0.0,
    ) -> None:
        super().__init__(scale, scales, denominator, clusters, match, weights, combinations)
        if not isinstance(anchor, str) or not anchor:
            raise ManymodalError(
                f"anchor={anchor!r}; the objective `anchor` needs the name of a modality: Anchor('photo') in Python, "
                "`objective: {anchor: {anchor: photo}}` in the YAML file (--config)"
            )
        self.anchor = anchor

    def prepare(self, modalities: Sequence[str], dim: int) -> None:
        """Check the anchor's name; make the scales that are per pair."""
        check_known([self.anchor], modalities)
        super().prepare(modalities, dim)

    def forward(self, embeddings: Embeddings) -> Loss:
        """The weighted mean over the pairs with the anchor.

        Raises:
            ManymodalError: the anchor is not here.
        """
        check_known([self.anchor], self.processes.meet(embeddings).embeddings.modalities)
        return super().forward(embeddings)

    def compared(self, modalities: Sequence[str]) -> list[Pair]:
        """The pairs with the anchor."""
        return [pair for pair in super().compared(modalities) if self.anchor in pair]

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {"anchor": self.anchor, **super().settings()}
