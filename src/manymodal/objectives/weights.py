"""How much each pair of modalities counts: given, or in proportion to what can be learned from it.

A modality that says almost nothing about the others costs the strong ones if its pairs count like theirs: their loss
stays large, and so do their gradients, whatever the heads do. `AutoWeights` measures, for each pair, the share of the
chance level that training has removed, and weighs the pair by the square of that share. The rule reads the same for any
objective whose chance level is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from ..errors import ManymodalError

Pair = tuple[str, str]

MEMORY = 0.98  # of the running loss, per step
FLOOR = 0.02  # the least share, so that a pair that starts late is not given up
POWER = 2.0


class AutoWeights(nn.Module):
    """Weight of a pair = max(1 - running loss / chance level, 0.02) ** 2.

    The running loss of a pair starts at its chance level; only training steps move it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.learned: dict[Pair, float] = {}  # running share of the chance level that is gone

    def observe(self, losses: Mapping[Pair, float], chance: Mapping[Pair, float]) -> None:
        """Take in the losses of one training step."""
        for pair, loss in losses.items():
            share = 1 - loss / chance[pair] if chance[pair] > 0 else 0.0
            self.learned[pair] = MEMORY * self.learned.get(pair, 0.0) + (1 - MEMORY) * share

    def weights(self, pairs: Iterable[Pair]) -> dict[Pair, float]:
        """The weight of each of the pairs."""
        return {pair: max(self.learned.get(pair, 0.0), FLOOR) ** POWER for pair in pairs}

    def get_extra_state(self) -> dict[str, float]:
        """What is saved with the objective."""
        return {"/".join(pair): share for pair, share in self.learned.items()}

    def set_extra_state(self, state: dict[str, float]) -> None:
        """Restore what was saved."""
        self.learned = {pair_of(key): share for key, share in state.items()}


def pair_of(key: Any) -> Pair:
    """A pair, alphabetical, from ("photo", "caption") or "photo/caption"."""
    names = tuple(key.split("/")) if isinstance(key, str) else tuple(key)
    if len(names) != 2 or names[0] == names[1]:
        raise ManymodalError(f'{key!r} does not name a pair; write two different modalities, as "caption/photo"')
    return (min(names), max(names))


def given_weights(weights: Mapping[Any, float]) -> dict[Pair, float]:
    """Weights as a user writes them, checked, with alphabetical keys."""
    if not isinstance(weights, Mapping):
        raise ManymodalError(f'weights={weights!r}; allowed are "equal", "auto" or {{"caption/photo": 2.0}}')
    given: dict[Pair, float] = {}
    for key, weight in weights.items():
        if not (isinstance(weight, (int, float)) and 0 <= weight < float("inf")):
            raise ManymodalError(
                f"the weight of {key!r} is {weight!r}; it must be a number that is finite and not below 0"
            )
        given[pair_of(key)] = float(weight)
    return given
