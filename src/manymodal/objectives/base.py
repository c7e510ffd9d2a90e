"""What every objective is: embeddings in, one loss per pair of modalities and their weighted mean out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from ..embeddings import Embeddings
from ..errors import ManymodalError
from ..matching import Match, check_match
from ..processes import ONE, Processes
from .weights import AutoWeights, Pair, given_weights

Weights = Mapping[Pair | str, float] | Literal["equal", "auto"]


@dataclass(frozen=True)
class Loss:
    """What an objective returns.

    Args:
        total: () the number to minimise; a differentiable zero when there was nothing to compare.
        pairs: {(a, b): ()}, a < b, the unweighted loss of each pair of modalities that had a match.
        chance: {(a, b): float}, the loss of a space that has learned nothing.
        weights: {(a, b): float}, what each pair counted in the total.
        terms: {(a, b, c, ...): ()}, the unweighted terms that are not the loss of one pair, by the modalities they are
            of; what the order of the names means is said by the objective.
    """

    total: Tensor
    pairs: dict[Pair, Tensor] = field(default_factory=dict)
    chance: dict[Pair, float] = field(default_factory=dict)
    weights: dict[Pair, float] = field(default_factory=dict)
    terms: dict[tuple[str, ...], Tensor] = field(default_factory=dict)


class Objective(nn.Module, ABC):
    """Embeddings -> `Loss`.

    Across processes (`across`) each gives its own rows and gets the loss of all rows; gradients are those of one
    process once parameter gradients are averaged over processes (see `manymodal.processes`).
    """

    processes: Processes = ONE

    def across(self, processes: Processes) -> Self:
        """From now on this process's embeddings are one shard of the batch; returns itself."""
        for module in self.modules():
            if isinstance(module, Objective):
                module.processes = processes
        return self

    @abstractmethod
    def forward(self, embeddings: Embeddings) -> Loss:
        """The loss of these embeddings."""

    def after_step(self) -> None:
        """Called after each step of the optimiser (to keep parameters within their bounds)."""

    def before_epoch(self, epoch: int, embed: Callable[[], Embeddings]) -> None:
        """Called before each epoch of training, counted from 0.

        Args:
            embed: the embeddings of the training items as they are now (of this process's, of several); no gradients.
        """

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""


class PairwiseObjective(Objective):
    """A weighted mean of one loss per pair of modalities that share a match.

    Args:
        match: "item", or "label" to have labels in force for every pair.
        weights: "equal"; "auto" (see `AutoWeights`); or {("caption", "photo") or "caption/photo": weight}, others 1.
    """

    def __init__(self, match: Match = "item", weights: Weights = "equal") -> None:
        super().__init__()
        check_match(match)
        self.match = match
        self.auto = AutoWeights() if weights == "auto" else None
        if isinstance(weights, str) and weights not in ("auto", "equal"):
            raise ManymodalError(f'weights={weights!r}; allowed are "equal", "auto" or {{"caption/photo": 2.0}}')
        self.given = {} if isinstance(weights, str) else given_weights(weights)

    def forward(self, embeddings: Embeddings) -> Loss:
        """The weighted mean over pairs with a match.

        Raises:
            ManymodalError: a weight was given for a modality that is not here, or labels are needed and absent.
        """
        for pair in self.given:
            for name in pair:
                if name not in embeddings.vectors:
                    raise ManymodalError(
                        f"weights name {name!r}; the modalities here are {', '.join(embeddings.modalities)}"
                    )
        terms = self.pair_losses(embeddings)
        values, chance = {p: loss for p, (loss, _) in terms.items()}, {p: level for p, (_, level) in terms.items()}
        weights = self._weights(values, chance)
        mass = sum(weights.values())
        if mass <= 0:  # nothing matches, or only pairs that are not to count
            self._check_given(embeddings.modalities)
            nothing = torch.stack([v.sum() for v in embeddings.vectors.values()]).sum() * 0
            return Loss(nothing, values, chance, weights)
        total = torch.stack([values[p] * (weights[p] / mass) for p in values]).sum()
        return Loss(total, values, chance, weights)

    def _check_given(self, modalities: Sequence[str]) -> None:
        pairs = list(combinations(modalities, 2))
        if pairs and not any(self.given.get(pair, 1.0) for pair in pairs):
            raise ManymodalError(f"the weights of the pairs {pairs} are all 0; one of them must be above 0")

    def _weights(self, values: Mapping[Pair, Tensor], chance: Mapping[Pair, float]) -> dict[Pair, float]:
        if self.auto is None:
            return {p: self.given.get(p, 1.0) for p in values}
        if self.training and torch.is_grad_enabled():
            self.auto.observe({p: float(v.detach()) for p, v in values.items()}, chance)
        return self.auto.weights(values)

    @abstractmethod
    def pair_losses(self, embeddings: Embeddings) -> dict[Pair, tuple[Tensor, float]]:
        """{(a, b): (loss (), chance level)}, a < b, of the pairs of modalities with a match, over all processes."""

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        given: Any = {"/".join(p): w for p, w in self.given.items()}
        return {"match": self.match, "weights": "auto" if self.auto is not None else given or "equal"}
