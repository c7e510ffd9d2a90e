"""Fused: pairs, and the fusion of two modalities against a third (ConFu, CVPR 2026, arXiv:2511.21331).

A small network for each pair makes one vector of two, and the contrastive loss compares it with a third modality: what
two say only together (their exclusive or) is then learned, while single modalities stay searchable with each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from ..embeddings import Embeddings
from ..errors import ManymodalError
from ..matching import Match, check_match, keys, pair_keys
from ..processes import Meeting
from .base import Loss, Objective, zero
from .members import complete_items
from .pcmc import pcmc
from .scale import CLIP_SCALE, Scale
from .weights import Pair


class Fusion(nn.Module):
    """Two unit vectors -> one: a network with one hidden layer."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2 * dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(n, d) unit vectors of (n, d) and (n, d), in the dtype of the vectors."""
        x = torch.cat([a, b], dim=1).to(next(self.parameters()).dtype)  # (n, 2 d)
        return nn.functional.normalize(self.layers(x), dim=1).to(a.dtype)  # (n, d)


class Fused(Objective):
    """(1 - share) * mean of PCMC's loss over pairs + share * mean of it over (fusion of a pair, third modality).

    `.terms` are keyed (a, b), a < b, for the pairs and (a, b, c) for the fusion of a and b against c.
    `.pairs` is empty.
    A fusion has one row per item that has both (the unit mean of its values in each; in a label modality its label's),
    and items without the third are rows without a match. Where there is no fusion with a match, the pairs count alone.
    The original fuses features of encoders, ours embeddings. Cost: M (M - 1)^2 / 2 times that of a pair of PCMC.

    Args:
        share: of the fusions in the total, in [0, 1]. hidden: width of the fusion networks; None for 2 d.
        scale: starting multiplier, within [1, 100], shared by all; learned, and kept there after each step.
        match: "item" or "label"; see `manymodal.matching`.
    """

    def __init__(
        self, share: float = 0.5, hidden: int | None = None, scale: float = CLIP_SCALE, match: Match = "item"
    ) -> None:
        super().__init__()
        check_match(match)
        if not 0 <= share <= 1:
            raise ManymodalError(f"share={share}; that of the fusions lies between 0 and 1 (0.5 is the default)")
        if hidden is not None and (not isinstance(hidden, int) or hidden < 1):
            raise ManymodalError(f"hidden={hidden!r}; it must be a whole number above 0, or left out")
        self.share, self.hidden, self.match, self.scale = float(share), hidden, match, Scale(scale)
        self.prepared: tuple[tuple[str, ...], int] = ((), 0)  # the modalities and d that the networks are made for
        self.fusions = nn.ModuleList()  # of the pairs in order: a ModuleDict would refuse a dot in a name

    def prepare(self, modalities: Sequence[str], dim: int) -> None:
        """Make a network for each pair of modalities, from torch's generator."""
        names = tuple(sorted(modalities))
        if self.prepared == (names, dim):
            return
        pairs = len(names) * (len(names) - 1) // 2
        networks = [Fusion(dim, self.hidden or 2 * dim) for _ in range(pairs)]
        self.fusions, self.prepared = nn.ModuleList(networks).to(self.scale.log), (names, dim)

    def fuse(self, pair: Pair, a: Tensor, b: Tensor) -> Tensor:
        """(n, d) unit vectors, the fusions of two modalities a < b with unit vectors (n, d) and (n, d).

        Raises:
            ManymodalError: `prepare` was not called for these modalities and this d.
        """
        names, dim = self.prepared
        pairs = list(combinations(names, 2))
        if pair not in pairs or a.shape[1] != dim:
            raise ManymodalError(
                f"no fusion of {' and '.join(pair)} in {a.shape[1]} dimensions: this objective is prepared for "
                f"{', '.join(names) or 'no modality'} in {dim}; call prepare(modalities, dim) before training"
            )
        fused: Tensor = self.fusions[pairs.index(pair)](a, b)
        return fused

    def forward(self, embeddings: Embeddings) -> Loss:
        """The weighted mean of the terms with a match."""
        met = self.processes.gather_embeddings(embeddings)
        names = [m for m in met.embeddings.modalities if len(met.embeddings.vectors[m])]
        pairs = self._pairs(met, names)
        fused = self._fused(met, names) if self.share else {}
        if not pairs:  # then no item has three either
            return Loss(zero(met.embeddings))
        total = _mean(pairs)
        if fused:
            total = (1 - self.share) * total + self.share * _mean(fused)
        return Loss(total, terms=pairs | fused)

    def _pairs(self, met: Meeting, names: Sequence[str]) -> dict[tuple[str, ...], Tensor]:
        vectors = met.embeddings.vectors
        found: dict[tuple[str, ...], Tensor] = {}
        for a, b in combinations(names, 2):
            key_a, key_b = pair_keys(met.embeddings, a, b, self.match, met.per_label)
            term = pcmc(vectors[a], vectors[b], key_a, key_b, self.scale())
            if term is not None:
                found[a, b] = term[0]
        return found

    def _fused(self, met: Meeting, names: Sequence[str]) -> dict[tuple[str, ...], Tensor]:
        embeddings, labels = met.embeddings, met.embeddings.labels or {}
        found: dict[tuple[str, ...], Tensor] = {}
        for a, b in combinations(names, 2) if len(names) > 2 else ():
            both = complete_items(embeddings, (a, b), self.match)
            vectors = self.fuse((a, b), both.vectors[a], both.vectors[b])  # (n, d)
            for c in (m for m in names if m not in (a, b)):
                by_label = self.match == "label" or c in met.per_label or {a, b} <= met.per_label
                key = keys(both.items, both.labels, by_label)  # (n,)
                key_c = keys(embeddings.items[c], labels.get(c), by_label)  # (m,)
                third = embeddings.vectors[c].to(vectors.dtype)  # composition gives float32 for half precision
                term = pcmc(vectors, third, key, key_c, self.scale())
                if term is not None:
                    found[a, b, c] = term[0]
        return found

    def after_step(self) -> None:
        """Keep the scale within [1, 100]."""
        self.scale.clamp()

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {"share": self.share, "hidden": self.hidden, "scale": self.scale.start, "match": self.match}


def _mean(terms: Mapping[tuple[str, ...], Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).mean()
