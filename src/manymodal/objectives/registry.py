"""Objectives by name, as a command line or a YAML file writes them; several are a weighted sum."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..embeddings import Embeddings
from ..errors import ManymodalError
from .anchor import Anchor
from .base import Loss, Objective
from .fused import Fused
from .gram import Gram
from .pcmc import PCMC
from .pcmr import PCMR
from .sigmoid import Sigmoid
from .spectral import Spectral
from .symile import Symile

Key = TypeVar("Key")
Value = TypeVar("Value", float, Tensor)

OBJECTIVES: dict[str, type[Objective]] = {
    "anchor": Anchor,
    "fused": Fused,
    "gram": Gram,
    "pcmc": PCMC,
    "pcmr": PCMR,
    "sigmoid": Sigmoid,
    "spectral": Spectral,
    "symile": Symile,
}
# As good as PCMC or better on dev and test of several collections, and nearly linear (docs/results.md).
DEFAULT: dict[str, dict[str, Any]] = {"pcmr": {"clusters": 64}}


class WeightedSum(Objective):
    """Several objectives at once: the sum of their totals, each times its weight."""

    def __init__(self, objectives: Mapping[str, Objective], weights: Mapping[str, float]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(objectives)
        self.part_weights = dict(weights)

    @property
    def _parts(self) -> dict[str, Objective]:
        return {name: part for name, part in self.parts.items() if isinstance(part, Objective)}

    def prepare(self, modalities: Sequence[str], dim: int) -> None:
        """Pass it on to the parts."""
        for part in self._parts.values():
            part.prepare(modalities, dim)

    def forward(self, embeddings: Embeddings) -> Loss:
        """Weighted sums of the parts' totals, and of what is in their pairs, chance levels and terms under one key.

        A pair's weight is what it counted in the total: its share in each part times that part's weight.
        """
        losses = [(self.part_weights[name], part(embeddings)) for name, part in self._parts.items()]
        return Loss(
            torch.stack([weight * loss.total for weight, loss in losses]).sum(),
            _sums((weight, loss.pairs) for weight, loss in losses),
            _sums((weight, loss.chance) for weight, loss in losses),
            _sums((weight / (sum(loss.weights.values()) or 1.0), loss.weights) for weight, loss in losses),
            _sums((weight, loss.terms) for weight, loss in losses),
        )

    def after_step(self) -> None:
        """Pass it on to the parts."""
        for part in self._parts.values():
            part.after_step()

    def settings(self) -> dict[str, Any]:
        """Settings of each part, with its weight."""
        return {name: {**part.settings(), "weight": self.part_weights[name]} for name, part in self._parts.items()}


def _sums(parts: Iterable[tuple[float, Mapping[Key, Value]]]) -> dict[Key, Value]:
    """The weighted sum of the values under each key."""
    sums: dict[Key, Value] = {}
    for weight, values in parts:
        for key, value in values.items():
            sums[key] = sums[key] + weight * value if key in sums else weight * value
    return sums


def make_objective(spec: Objective | str | Mapping[str, Mapping[str, Any] | None] | None = None) -> Objective:
    """An objective from "pcmr", {"pcmr": {"lam": 5}}, or several names with a `weight` each (their weighted sum).

    An objective is returned as it is; None is the default one. What is named here is meant for training, so the weights
    of its pairs are "auto" unless said (of objectives that have such weights).

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
        allowed = list(inspect.signature(OBJECTIVES[name]).parameters)
        weight = settings.pop("weight", 1.0)
        if not (isinstance(weight, (int, float)) and 0 < weight < float("inf")):
            raise ManymodalError(f"objective {name}: weight {weight!r}; it must be a number above 0")
        for key in settings:
            if key not in allowed:
                raise ManymodalError(
                    f"objective {name} has no setting {key!r}; it has {', '.join([*allowed, 'weight'])}"
                )
        defaults = {"weights": "auto"} if "weights" in allowed else {}
        try:
            objectives[name], weights[name] = OBJECTIVES[name](**defaults | settings), float(weight)
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
