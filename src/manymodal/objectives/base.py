"""What every objective is: embeddings in, one loss per pair of modalities and their weighted mean out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from ..embeddings import Embeddings
from ..errors import ManymodalError
from ..matching import Match, check_match
from ..processes import ONE, Processes
from .combinations import composed_queries
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


def zero(embeddings: Embeddings) -> Tensor:
    """() 0, the loss where there is nothing to compare, float32 at least; its gradient by every vector is 0."""
    kind = torch.promote_types(next(iter(embeddings.vectors.values())).dtype, torch.float32)
    return torch.stack([v.sum(dtype=kind) for v in embeddings.vectors.values()]).sum() * 0


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

    def prepare(self, modalities: Sequence[str], dim: int) -> None:
        """Called by a space before it trains, and before weights are loaded: make the parameters that need to know.

        Called again with the same arguments it changes nothing.

        Args:
            modalities: the names of all modalities that the embeddings can have.
            dim: d, the dimension of the space.
        """

    @abstractmethod
    def forward(self, embeddings: Embeddings) -> Loss:
        """The loss of these embeddings."""

    def after_step(self) -> None:
        """Called after each step of the optimiser (to keep parameters within their bounds)."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""


class PairwiseObjective(Objective):
    """A weighted mean of one loss per pair of modalities that share a match.

    Args:
        match: "item", or "label" to have labels in force for every pair.
        weights: "equal"; "auto" (see `AutoWeights`); or {("caption", "photo") or "caption/photo": weight}, others 1.
        combinations: how much the mean over composed queries counts beside the mean over pairs: each step, for each
            target a random set of two or more of the other modalities (see `composed_queries`), with the loss of that
            pair as a term (*query, target). A term weighs what its pairs (part, target) weigh on average.
    """

    def __init__(self, match: Match = "item", weights: Weights = "equal", combinations: float = 0.0) -> None:
        super().__init__()
        if not 0 <= combinations < float("inf"):
            raise ManymodalError(f"combinations={combinations}; it must be 0 (none) or above, and finite")
        self.combinations = float(combinations)
        check_match(match)
        self.match = match
        self.auto = AutoWeights() if weights == "auto" else None
        if isinstance(weights, str) and weights not in ("auto", "equal"):
            raise ManymodalError(f'weights={weights!r}; allowed are "equal", "auto" or {{"caption/photo": 2.0}}')
        self.given = {} if isinstance(weights, str) else given_weights(weights)

    def forward(self, embeddings: Embeddings) -> Loss:
        """The weighted mean over pairs with a match; with `combinations` the mean of that and of composed queries'.

        Raises:
            ManymodalError: a weight was given for a modality that is not here, or labels are needed and absent.
        """
        here = self.processes.meet(embeddings).embeddings if self.given else embeddings  # its names are everyone's
        self._check_named(here.modalities)
        terms = self.pair_losses(embeddings)
        values, chance = {p: loss for p, (loss, _) in terms.items()}, {p: level for p, (_, level) in terms.items()}
        weights = self._weights(values, chance)
        mass = sum(weights.values())
        if mass <= 0:  # nothing matches, or only pairs that are not to count
            self._check_given(here.modalities)
            return Loss(zero(embeddings), values, chance, weights)
        total = weighted_mean(values, weights)
        if not self.combinations:
            return Loss(total, values, chance, weights)
        composed = self._composed_losses(embeddings)
        shares = {
            (*query, t): sum(weights.get((min(m, t), max(m, t)), 0.0) for m in query) / len(query)
            for *query, t in composed
        }
        if sum(shares.values()) > 0:
            total = (total + self.combinations * weighted_mean(composed, shares)) / (1 + self.combinations)
        return Loss(total, values, chance, weights, composed)

    def _composed_losses(self, embeddings: Embeddings) -> dict[tuple[str, ...], Tensor]:
        """{(*query, target): loss ()} of one drawn query for each target, of those with a match."""
        losses, processes = {}, self.processes
        for composed in composed_queries(embeddings, processes):
            self.across(composed.processes)
            try:
                for loss, _ in self.pair_losses(composed.embeddings).values():
                    losses[*composed.query, composed.target] = loss
            finally:
                self.across(processes)
        return losses

    def compared(self, modalities: Sequence[str]) -> list[Pair]:
        """The pairs of modalities that count, alphabetical: all there are, unless an objective says otherwise."""
        return list(combinations(sorted(modalities), 2))

    def _check_named(self, modalities: Sequence[str]) -> None:
        for name in {name for pair in self.given for name in pair} - set(modalities):
            raise ManymodalError(f"weights name {name!r}; the modalities here are {', '.join(modalities)}")
        compared = self.compared(modalities)
        for pair in self.given.keys() - set(compared):
            known = ", ".join("/".join(one) for one in compared)
            raise ManymodalError(
                f"weights name the pair {'/'.join(pair)}, which is not compared; the pairs are {known}"
            )

    def _check_given(self, modalities: Sequence[str]) -> None:
        pairs = self.compared(modalities)
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
        weights = "auto" if self.auto is not None else given or "equal"
        return {"match": self.match, "weights": weights, "combinations": self.combinations}


def weighted_mean(values: Mapping[Any, Tensor], weights: Mapping[Any, float]) -> Tensor:
    """() the mean of the values, by weights of which one at least is above 0."""
    mass = sum(weights.values())
    return torch.stack([values[key] * (weights[key] / mass) for key in values]).sum()
