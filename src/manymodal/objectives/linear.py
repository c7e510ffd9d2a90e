"""Objectives whose pair losses are quadratic in the similarities: functions of `Sums`, in linear time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from ..embeddings import Embeddings
from ..errors import ManymodalError
from .base import Loss, PairwiseObjective, weighted_mean
from .sums import Sums, sums_of
from .weights import Pair


class LinearObjective(PairwiseObjective):
    """A weighted mean of one loss per pair of modalities, each a function of sums of s and s^2."""

    @property
    def linear(self) -> bool:
        """Whether the loss is a function of these sums alone, and of nothing that a setting asks for beside them."""
        return True

    @property
    @abstractmethod
    def chance(self) -> float:
        """What the best constant similarity reaches."""

    @abstractmethod
    def losses_of(self, sums: Sums) -> dict[Pair, Tensor]:
        """{(a, b): () float64} of the pairs of modalities with a match."""

    def loss_of(self, sums: Sums) -> Loss:
        """The loss, in float64, of whatever rows the sums are of.

        Raises:
            ManymodalError: a weight was given for a modality that is not here, or nothing that counts matches.
        """
        self._check_named(list(sums.moments))
        values = self.losses_of(sums)
        chance = dict.fromkeys(values, self.chance)
        weights = self._weights(values, chance)
        if not any(weights.values()):
            raise ManymodalError(
                f"of the modalities {', '.join(sums.moments)} no two share a match that counts; there is no loss"
            )
        return Loss(weighted_mean(values, weights), values, chance, weights)

    def pair_losses(self, embeddings: Embeddings) -> dict[Pair, tuple[Tensor, float]]:
        """The loss of every pair of modalities with a match."""
        return self.with_chance(self.losses_of(sums_of(embeddings, self.match, self.processes)), embeddings)

    def with_chance(self, losses: Mapping[Pair, Tensor], embeddings: Embeddings) -> dict[Pair, tuple[Tensor, float]]:
        """The losses in the embeddings' precision, float32 at least, beside their chance level."""
        kind = torch.promote_types(next(iter(embeddings.vectors.values())).dtype, torch.float32)
        return {pair: (loss.to(kind), self.chance) for pair, loss in losses.items()}
