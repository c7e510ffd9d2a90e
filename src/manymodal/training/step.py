"""One step of training: embeddings, loss, gradient, averaged over processes and clipped, then the optimiser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..embeddings import Embeddings
from ..errors import ManymodalError
from ..objectives import Objective
from ..objectives.base import Loss
from ..processes import Processes
from .gradient_cache import GradientCache
from .rows import Batch
from .sampler import seed_of
from .settings import TrainSettings

ADVICE = "A smaller lr (--lr) usually helps; else look for extreme values with `manymodal describe`"


def train_step(
    model: nn.Module,
    objective: Objective,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    settings: TrainSettings,
    step: int,
    device: torch.device | str,
) -> Loss:
    """One step on a batch (of several processes, on this one's share of it); its randomness is that of its number.

    What the model draws differs between processes, what the objective draws does not.

    Raises:
        ManymodalError: on all processes alike, when an embedding, the loss or its gradient is no longer finite; the
            weights are those before the step.
    """
    optimiser.zero_grad()
    processes = objective.processes
    torch.manual_seed(seed_of("step", settings.seed, step, processes.rank))
    cache = None
    with processes.together(), divergence_told():
        if settings.chunk_size is None:
            embeddings: Embeddings = model({m: rows.to(device) for m, rows in batch.items()})
        else:
            cache = GradientCache(model, batch, settings.chunk_size, device)
            embeddings = cache.embeddings
    torch.manual_seed(seed_of("objective", settings.seed, step))
    loss: Loss = objective(embeddings)
    if not bool(loss.total.isfinite()):
        parts = [*loss.pairs.items(), *loss.terms.items()]
        bad = ", ".join("/".join(names) for names, value in parts if not bool(value.isfinite()))
        raise ManymodalError(f"the loss is {float(loss.total.detach())} (of {bad or 'none alone'}). {ADVICE}")
    if loss.total.requires_grad:  # not so on a process without a row, if the objective has no parameters
        loss.total.backward()
    if cache is not None:
        cache.backward()
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    average_gradients(parameters, processes)
    norm = nn.utils.clip_grad_norm_(parameters, settings.clip)
    if not bool(norm.isfinite()):
        raise ManymodalError(
            f"the norm of the gradient is {float(norm)}, though the loss is {float(loss.total.detach())}. {ADVICE}"
        )
    optimiser.step()
    objective.after_step()
    return loss


@contextmanager
def divergence_told() -> Iterator[None]:
    """Add advice to the error that embeddings are not finite, in a block that embeds rows known to be well."""
    try:
        yield
    except ManymodalError as error:
        raise ManymodalError(f"training diverged: {error}. {ADVICE}") from error


def average_gradients(parameters: Sequence[Tensor], processes: Processes) -> None:
    """Replace each gradient by its mean over processes, in one message.

    A process without a gradient counts as zero; where none has one, there is none afterwards either, so that the
    optimiser leaves such a parameter alone as it does in one process.
    """
    if processes.size == 1:
        return
    parts = [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters]
    has = parts[0].new_tensor([p.grad is not None for p in parameters])  # (parameters,)
    message = torch.cat([has, *parts])  # (parameters + all their numbers,)
    has, *means = (processes.sum(message) / processes.size).split([len(has), *map(len, parts)])
    for p, mean, some in zip(parameters, means, has.tolist(), strict=True):
        p.grad = mean.view_as(p).to(p.dtype) if some else None
