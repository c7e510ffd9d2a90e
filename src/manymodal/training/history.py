"""What happened in a training run, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from ..objectives.base import Loss


@dataclass
class History:
    """What happened, epoch by epoch.

    Each epoch: {"epoch": from 1, "loss", "pairs": {"a/b": mean loss}, "chance": {"a/b": level},
    "weights": {"a/b": last}, "terms": {"a/b/c": mean loss}, "dev": mean mrr or None, "seconds"}.
    """

    epochs: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int | None = None
    stopped: Literal["early", "interrupted"] | None = None

    @property
    def best(self) -> float | None:
        """The best figure on dev; None where dev was never looked at."""
        return None if self.best_epoch is None else float(self.epochs[self.best_epoch - 1]["dev"])


class Means:
    """Means over the steps of an epoch; a pair's or a term's over the steps in which it had a match."""

    def __init__(self) -> None:
        self.loss: list[float] = []
        self.pairs: dict[str, list[float]] = {}
        self.chance: dict[str, list[float]] = {}
        self.terms: dict[str, list[float]] = {}
        self.weights: dict[str, float] = {}

    def add(self, loss: Loss) -> None:
        """Take in the loss of one step."""
        self.loss.append(float(loss.total.detach()))
        for pair, value in loss.pairs.items():
            self.pairs.setdefault("/".join(pair), []).append(float(value.detach()))
            self.chance.setdefault("/".join(pair), []).append(loss.chance[pair])
        for names, value in loss.terms.items():
            self.terms.setdefault("/".join(names), []).append(float(value.detach()))
        self.weights.update({"/".join(pair): weight for pair, weight in loss.weights.items()})

    def means(self) -> dict[str, Any]:
        """Of all steps so far, as `History` holds them."""
        return {
            "loss": _mean(self.loss),
            "pairs": {pair: _mean(values) for pair, values in self.pairs.items()},
            "chance": {pair: _mean(values) for pair, values in self.chance.items()},
            "weights": dict(self.weights),
            "terms": {names: _mean(values) for names, values in self.terms.items()},
        }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
