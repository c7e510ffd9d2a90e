"""The training loop, on one page. It knows a module, a sampler and an objective, and nothing of spaces."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from ..errors import ManymodalError
from ..objectives import Objective
from ..objectives.base import Loss
from ..progress import bar
from .checkpoint import load_checkpoint, save_checkpoint
from .sampler import ItemSampler, seed_of
from .settings import TrainSettings

WARMUP = 0.1  # of all steps


@dataclass
class History:
    """What happened, epoch by epoch.

    Each epoch: {"epoch": from 1, "loss", "pairs": {"a/b": mean loss}, "chance": {"a/b": level},
    "weights": {"a/b": last}, "dev": mean mrr or None, "seconds"}.
    """

    epochs: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int | None = None
    stopped: Literal["early", "interrupted"] | None = None

    @property
    def best(self) -> float | None:
        """The best figure on dev; None where dev was never looked at."""
        return None if self.best_epoch is None else float(self.epochs[self.best_epoch - 1]["dev"])


def learning_rate(step: int, total: int, highest: float) -> float:
    """Linear warm-up over the first tenth of the steps, then half a cosine down to 0."""
    warm = max(1, round(WARMUP * total))
    if step < warm:
        return highest * (step + 1) / warm
    return highest * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


def train(
    model: nn.Module,
    sampler: ItemSampler,
    objective: Objective,
    settings: TrainSettings,
    *,
    validate: Callable[[], float] | None = None,
    folder: Path | None = None,
    resume: bool = False,
    device: torch.device | str = "cpu",
) -> History:
    """Train `model` ({modality: Rows} -> Embeddings) in place; it ends with the weights that were best on dev.

    Every step's randomness is a function of the seed and the step's number, so a run that is resumed from a
    checkpoint continues to the result of an unbroken one. Ctrl-C ends the run as if it had stopped early.

    Args:
        validate: called in eval mode without gradients; larger is better. None: the last weights are kept.
        folder: where checkpoints go; None for none.
        resume: start from the checkpoint in `folder`, where there is one.

    Raises:
        ManymodalError: the loss or an embedding is no longer finite; the model then has the best weights so far.
    """
    model.to(device), objective.to(device)
    optimiser = torch.optim.AdamW(parameter_groups(model, objective, settings.weight_decay), lr=settings.lr)
    history, best, first = History(), None, 0
    state = load_checkpoint(folder) if folder and resume else None
    if state is not None:
        model.load_state_dict(state["model"]), objective.load_state_dict(state["objective"])
        optimiser.load_state_dict(state["optimiser"])
        history, best = History(state["epochs"], state["best_epoch"]), state["best"]
        first = len(history.epochs)
    total = settings.epochs * len(sampler)
    every = max(1, settings.epochs // settings.validations)
    saved = time.monotonic()
    try:
        with bar("training", settings.epochs) as advance, torch.random.fork_rng():
            advance(first, "")
            for epoch in range(first, settings.epochs):
                started, sums = time.monotonic(), _Means()
                model.train(), objective.train()
                for step in range(epoch * len(sampler), (epoch + 1) * len(sampler)):
                    torch.manual_seed(seed_of("step", settings.seed, step))
                    batch = {m: rows.to(device) for m, rows in sampler.batch(step).items()}
                    loss = _step(
                        model, objective, optimiser, batch, learning_rate(step, total, settings.lr), settings.clip
                    )
                    sums.add(loss)
                last = epoch + 1 == settings.epochs
                score = None
                if validate is not None and (last or (epoch + 1) % every == 0):
                    model.eval()
                    with torch.no_grad():
                        score = validate()
                history.epochs.append(
                    {"epoch": epoch + 1, **sums.means(), "dev": score, "seconds": round(time.monotonic() - started, 3)}
                )
                if score is not None and (history.best is None or score > history.best):
                    history.best_epoch, best = epoch + 1, _copy(model, objective)
                advance(1, f"loss {sums.means()['loss']:.3f}" + ("" if score is None else f", dev mrr {score:.3f}"))
                if score is not None and _stale(history, every) >= settings.patience and not last:
                    history.stopped = "early"
                    break
                if folder is not None and not last and time.monotonic() - saved >= settings.checkpoint_seconds:
                    state = {**_copy(model, objective), "optimiser": optimiser.state_dict(), "best": best}
                    save_checkpoint(folder, {**state, "epochs": history.epochs, "best_epoch": history.best_epoch})
                    saved = time.monotonic()
    except KeyboardInterrupt:
        history.stopped = "interrupted"
    finally:
        if best is not None:
            model.load_state_dict(best["model"]), objective.load_state_dict(best["objective"])
        model.eval(), objective.eval()
    return history


def parameter_groups(model: nn.Module, objective: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Matrices with weight decay; biases, norms and the scale without."""
    parameters = [p for module in (model, objective) for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def _step(
    model: nn.Module, objective: Objective, optimiser: torch.optim.Optimizer, batch: Any, lr: float, clip: float
) -> Loss:
    try:
        embeddings = model(batch)
    except ManymodalError as error:  # vectors that are not finite
        raise ManymodalError(f"training diverged: {error}. {ADVICE}") from error
    loss: Loss = objective(embeddings)
    if not bool(loss.total.isfinite()):
        bad = ", ".join("/".join(pair) for pair, value in loss.pairs.items() if not bool(value.isfinite()))
        raise ManymodalError(f"the loss is {float(loss.total.detach())} (pairs: {bad or 'none alone'}). {ADVICE}")
    for group in optimiser.param_groups:
        group["lr"] = lr
    optimiser.zero_grad()
    loss.total.backward()
    nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], clip)
    optimiser.step()
    objective.after_step()
    return loss


ADVICE = "A smaller lr (--lr) usually helps; else look for extreme values with `manymodal describe`"


class _Means:
    """Means over the steps of an epoch; a pair's over the steps in which it had a match."""

    def __init__(self) -> None:
        self.loss: list[float] = []
        self.pairs: dict[str, list[float]] = {}
        self.chance: dict[str, list[float]] = {}
        self.weights: dict[str, float] = {}

    def add(self, loss: Loss) -> None:
        self.loss.append(float(loss.total.detach()))
        for pair, value in loss.pairs.items():
            self.pairs.setdefault("/".join(pair), []).append(float(value.detach()))
            self.chance.setdefault("/".join(pair), []).append(loss.chance[pair])
        self.weights.update({"/".join(pair): weight for pair, weight in loss.weights.items()})

    def means(self) -> dict[str, Any]:
        def mean(values: list[float]) -> float:
            return sum(values) / len(values)

        return {
            "loss": mean(self.loss),
            "pairs": {pair: mean(values) for pair, values in self.pairs.items()},
            "chance": {pair: mean(values) for pair, values in self.chance.items()},
            "weights": dict(self.weights),
        }


def _stale(history: History, every: int) -> int:
    """Validations since the best one."""
    return (len(history.epochs) - (history.best_epoch or 0)) // every


def _copy(model: nn.Module, objective: nn.Module) -> dict[str, Any]:
    return {"model": deepcopy(model.state_dict()), "objective": deepcopy(objective.state_dict())}
