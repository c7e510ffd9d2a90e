"""Objectives by name, as a command line or a YAML file writes them; several are a weighted sum."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ..embeddings import Embeddings
from ..errors import ManymodalError
from .base import Loss, Objective
from .pcmc import PCMC
from .pcmr import PCMR
from .weights import Pair

OBJECTIVES: dict[str, type[Objective]] = {"pcmc": PCMC, "pcmr": PCMR}
DEFAULT = "pcmc"


class WeightedSum(Objective):
    """Several objectives at once: the sum of their totals, each times its weight."""

    def __init__(self, objectives: Mapping[str, Objective], weights: Mapping[str, float]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(objectives)
        self.part_weights = dict(weights)

    def forward(self, embeddings: Embeddings) -> Loss:
        """Weighted sums of the parts' totals, pairs and chance levels; weights of pairs are each part's own."""
        losses = {name: part(embeddings) for name, part in self.parts.items()}
        pairs: dict[Pair, torch.Tensor] = {}
        chance: dict[Pair, float] = {}
        for name, loss in losses.items():
            for pair, value in loss.pairs.items():
                weight = self.part_weights[name]
                pairs[pair] = pairs[pair] + weight * value if pair in pairs else weight * value
                chance[pair] = chance.get(pair, 0.0) + weight * loss.chance[pair]
        total = torch.stack([self.part_weights[name] * loss.total for name, loss in losses.items()]).sum()
        return Loss(total, pairs, chance)

    def after_step(self) -> None:
        """Pass it on to the parts."""
        for part in self.parts.values():
            if isinstance(part, Objective):
                part.after_step()

    def settings(self) -> dict[str, Any]:
        """Settings of each part, with its weight."""
        parts = {name: part.settings() for name, part in self.parts.items() if isinstance(part, Objective)}
        return {name: {**settings, "weight": self.part_weights[name]} for name, settings in parts.items()}


def make_objective(spec: Objective | str | Mapping[str, Mapping[str, Any] | None] | None = None) -> Objective:
    """An objective from "pcmr", {"pcmr": {"lam": 5}}, or several names with a `weight` each (their weighted sum).

    An objective is returned as it is; None is the default one. What is named here is meant for training, so the weights
    of its pairs are "auto" unless said.

    Raises:
        ManymodalError: an unknown objective or setting, a setting of a wrong type, or a weight that is not above 0.
    """
    if isinstance(spec, Objective):
        return spec
    if spec is None:
        spec = DEFAULT
    if isinstance(spec, str):
        spec = {spec: {}}
    if not isinstance(spec, Mapping) or not all(isinstance(given, Mapping | None) for given in spec.values()):
        raise ManymodalError(f'objective {spec!r}; write a name, or a name with its settings: {{"pcmr": {{"lam": 5}}}}')
    if not spec:
        raise ManymodalError(f"no objective is named; choose from {', '.join(sorted(OBJECTIVES))}")
    objectives: dict[str, Objective] = {}
    weights: dict[str, float] = {}
    for name, given in spec.items():
        if name not in OBJECTIVES:
            raise ManymodalError(f"no objective {name!r}; there are {', '.join(sorted(OBJECTIVES))}")
        settings = dict(given or {})
        weight = settings.pop("weight", 1.0)
        if not (isinstance(weight, (int, float)) and 0 < weight < float("inf")):
            raise ManymodalError(f"objective {name}: weight {weight!r}; it must be a number above 0")
        allowed = list(inspect.signature(OBJECTIVES[name]).parameters)
        for key in settings:
            if key not in allowed:
                raise ManymodalError(
                    f"objective {name} has no setting {key!r}; it has {', '.join([*allowed, 'weight'])}"
                )
        try:
            objectives[name], weights[name] = OBJECTIVES[name](**{"weights": "auto", **settings}), float(weight)
        except TypeError as error:  # a text where a number is needed
            raise ManymodalError(f"objective {name}: a setting in {settings} is of a wrong type ({error})") from error
    if len(objectives) == 1 and set(weights.values()) == {1.0}:
        return next(iter(objectives.values()))
    return WeightedSum(objectives, weights)


def objective_spec(objective: Objective) -> dict[str, Any]:
    """What `make_objective` needs to make the same objective again (JSON)."""
    if isinstance(objective, WeightedSum):
        return objective.settings()
    for name, cls in OBJECTIVES.items():
        if type(objective) is cls:
            return {name: objective.settings()}
    raise ManymodalError(
        f"{type(objective).__name__} is not a registered objective; there are {', '.join(sorted(OBJECTIVES))}"
    )
