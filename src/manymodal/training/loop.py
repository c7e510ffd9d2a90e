"""The training loop, on one page. It knows a module, a sampler and an objective, and nothing of spaces."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..embeddings import Embeddings
from ..objectives import Objective
from ..processes import ONE, Processes
from ..progress import bar
from .checkpoint import load_checkpoint, save_checkpoint, state_of_first
from .history import History, Means
from .rows import Batch
from .sampler import ItemSampler, seed_of
from .settings import TrainSettings
from .step import divergence_told, train_step

WARMUP = 0.1  # of all steps
ROWS_AT_ONCE = 1024


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
    processes: Processes = ONE,
    validate: Callable[[], float] | None = None,
    folder: Path | None = None,
    resume: bool = False,
    device: torch.device | str = "cpu",
) -> History:
    """Train `model` ({modality: Rows} -> Embeddings) in place; it ends with the weights that were best on dev.

    Every step's randomness is a function of the seed and the step's number, so a run that is resumed from a
    checkpoint continues to the result of an unbroken one. Ctrl-C ends the run as if it had stopped early.

    Several processes give the same data and settings; each works on its share of every batch, from the state that
    process 0 starts with, and ends with the same weights. Process 0 alone validates and writes checkpoints.

    Args:
        processes: those that share the work.
        validate: called in eval mode without gradients; larger is better. None: the last weights are kept.
        folder: where checkpoints go; None for none.
        resume: start from the checkpoint in `folder`, where there is one.

    Raises:
        ManymodalError: the loss or an embedding is no longer finite; the model then has the best weights so far.
    """
    model.to(device), objective.to(device)
    optimiser = torch.optim.AdamW(parameter_groups(model, objective, settings.weight_decay), lr=settings.lr)
    lead = processes.rank == 0
    with processes.together():
        state = load_checkpoint(folder) if folder and resume and lead else None
    fresh = {**_weights(model, objective), "optimiser": optimiser.state_dict(), "best": None}
    state = state_of_first(state or {**fresh, "epochs": [], "best_epoch": None}, processes)
    model.load_state_dict(state["model"]), objective.load_state_dict(state["objective"])
    optimiser.load_state_dict(state["optimiser"])
    history, best = History(state["epochs"], state["best_epoch"]), state["best"]
    first, total = len(history.epochs), settings.epochs * len(sampler)
    every = max(1, settings.epochs // settings.validations)
    saved = time.monotonic()
    gpus = [torch.device(device)] if torch.device(device).type == "cuda" else []
    objective.across(processes)
    try:
        with bar("training", settings.epochs if lead else 0) as advance, torch.random.fork_rng(gpus):
            advance(first, "")
            for epoch in range(first, settings.epochs):
                started, sums = time.monotonic(), Means()
                torch.manual_seed(seed_of("epoch", settings.seed, epoch))
                sampler.before_epoch(epoch, lambda: embed_rows(model, sampler.all_rows(processes), device), processes)
                model.train(), objective.train()
                for step in range(epoch * len(sampler), (epoch + 1) * len(sampler)):
                    for group in optimiser.param_groups:
                        group["lr"] = learning_rate(step, total, settings.lr)
                    batch = sampler.batch(step, processes)
                    sums.add(train_step(model, objective, optimiser, batch, settings, step, device))
                last = epoch + 1 == settings.epochs
                score = None
                if validate is not None and (last or (epoch + 1) % every == 0):
                    model.eval()
                    score = _score(validate, processes)
                history.epochs.append(
                    {"epoch": epoch + 1, **sums.means(), "dev": score, "seconds": round(time.monotonic() - started, 3)}
                )
                if score is not None and (history.best is None or score > history.best):
                    history.best_epoch, best = epoch + 1, _weights(model, objective)
                advance(1, f"loss {sums.means()['loss']:.3f}" + ("" if score is None else f", dev mrr {score:.3f}"))
                if score is not None and _stale(history, every) >= settings.patience and not last:
                    history.stopped = "early"
                    break
                due = lead and not last and time.monotonic() - saved >= settings.checkpoint_seconds
                if folder is not None and due:
                    state = {**_weights(model, objective), "optimiser": optimiser.state_dict(), "best": best}
                    save_checkpoint(folder, {**state, "epochs": history.epochs, "best_epoch": history.best_epoch})
                    saved = time.monotonic()
    except KeyboardInterrupt:
        history.stopped = "interrupted"
    finally:
        if best is not None:
            model.load_state_dict(best["model"]), objective.load_state_dict(best["objective"])
        model.eval(), objective.eval().across(ONE)
    return history


def parameter_groups(model: nn.Module, objective: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Matrices with weight decay; biases, norms and the scale without."""
    parameters = [p for module in (model, objective) for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


@torch.no_grad()
def embed_rows(model: nn.Module, batch: Batch, device: torch.device | str) -> Embeddings:
    """Embeddings of all rows on `device`, in blocks; the model is left in eval mode."""
    model.eval()
    with divergence_told():
        parts = [
            model({m: rows.take(at).to(device)})
            for m, rows in batch.items()
            for at in torch.arange(len(rows)).split(ROWS_AT_ONCE)
        ]
    return Embeddings.concatenate(parts)


@torch.no_grad()
def _score(validate: Callable[[], float], processes: Processes) -> float:
    """What process 0 finds."""
    with processes.together():
        score = validate() if processes.rank == 0 else None
    return float(json.loads(processes.first(json.dumps(score).encode())))


def _stale(history: History, every: int) -> int:
    """Validations since the best one."""
    return (len(history.epochs) - (history.best_epoch or 0)) // every


def _weights(model: nn.Module, objective: nn.Module) -> dict[str, Any]:
    return {"model": deepcopy(model.state_dict()), "objective": deepcopy(objective.state_dict())}
