"""A command under torchrun: one of several processes, of which the first alone speaks."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ..processes import Processes

PATIENCE = timedelta(days=7)  # the others wait while the first one computes features; torchrun ends them if it dies


@contextlib.contextmanager
def started_processes(device: str | None) -> Iterator[tuple[Processes, str | None]]:
    """The processes that torchrun started, and this one's device; without torchrun, one process and `device`.

    Only process 0 prints, and on Ctrl-C it alone decides how the run ends. An error ends all of them, and the one that
    met it first says it.

    Args:
        device: the one asked for; under torchrun "cuda" is the GPU numbered LOCAL_RANK.
    """
    from ..processes import ONE, Distributed

    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ONE, device
        return
    import torch
    import torch.distributed as dist
    from torch.distributed.rendezvous import rendezvous

    on_gpu = (device or "cuda") == "cuda" and torch.cuda.is_available()
    if on_gpu:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    store, rank, size = next(rendezvous("env://"))
    backend = "nccl" if on_gpu else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    try:
        with _following() if rank else contextlib.nullcontext():
            yield Distributed(), device if on_gpu else device or "cpu"
    except BaseException as error:
        if store.add("manymodal ended", 1) > 1:  # this follows from what another process says
            raise typer.Exit(1) from error
        raise
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def _following() -> Iterator[None]:
    """Say nothing, and go on after Ctrl-C, which every process gets: process 0 may be waiting for this one's part.

    Once process 0 has saved what there is and left, this one's next message to it fails.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with (
            Path(os.devnull).open("w") as nowhere,
            contextlib.redirect_stdout(nowhere),
            contextlib.redirect_stderr(nowhere),
        ):
            yield
    finally:
        signal.signal(signal.SIGINT, before)
