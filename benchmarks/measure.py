"""Time and memory of contenders, each measurement in a process of its own.

**Extra memory** is the most that the process held during a step, minus what it held just before it, when the vectors
were there, and minus the gradients that the step leaves behind. Time is that of a step, forward and backward.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from common import HERE, peak_memory
from contenders import CONTENDERS, Vectors, make_vectors
from manymodal.errors import ManymodalError

DIM = 256
THREADS = 2
AT_LEAST = 0.3  # seconds that a timing lasts: a shorter step is repeated, and its mean taken
WARM_UP = 64  # items of the step that loads code and starts threads
RESET_PEAK = Path("/proc/self/clear_refs")  # Linux: writing 5 there sets the peak back to what is held now


def seconds(contenders: Sequence[str], n: int, modalities: int, rounds: int) -> dict[str, list[float]]:
    """Seconds a step of each contender in each round, taken in turns: what disturbs one disturbs its rivals too."""
    for name in contenders:
        CONTENDERS[name](make_vectors(WARM_UP, modalities, DIM))()
    vectors = make_vectors(n, modalities, DIM)
    steps = {name: CONTENDERS[name](vectors) for name in contenders}
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, step in steps.items():
            taken[name].append(timed(step, vectors))
    return taken


def cost(contender: str, n: int, modalities: int, rounds: int) -> dict[str, Any]:
    """Extra memory and peak memory in bytes, and seconds a step in each round, of one contender by itself."""
    if not RESET_PEAK.exists():
        raise ManymodalError("memory is measured on Linux only: another system has no /proc to set a peak back in")
    CONTENDERS[contender](make_vectors(WARM_UP, modalities, DIM))()
    vectors = make_vectors(n, modalities, DIM)
    step = CONTENDERS[contender](vectors)
    ctypes.CDLL(None).malloc_trim(0)  # else what the warm-up freed would be used again unseen
    RESET_PEAK.write_text("5")
    before = peak_memory()
    taken = [timed(step, vectors) for _ in range(rounds)]
    peak = peak_memory()
    gradients = sum(v.nbytes for v in vectors.values())
    return {"extra": peak - before - gradients, "peak": peak, "seconds": taken}


def agreement(contenders: Sequence[str], n: int, modalities: int) -> dict[str, dict[str, float]]:
    """The loss of each contender, and how far its gradient is from the first one's, relative to that one's norm."""
    vectors = make_vectors(n, modalities, DIM)
    found: dict[str, dict[str, float]] = {}
    reference = None
    for name in contenders:
        forget_gradients(vectors)
        loss = CONTENDERS[name](vectors)()
        gradient = torch.cat([v.grad for v in vectors.values() if v.grad is not None])  # (M n, d)
        reference = gradient if reference is None else reference
        found[name] = {"loss": loss, "difference": float((gradient - reference).norm() / reference.norm())}
    return found


def clustering(n: int, size: int, rounds: int) -> list[float]:
    """Seconds of one complete clustering of n vectors into clusters of at most `size`, in each round."""
    from manymodal.objectives.clusters import bounded_clusters

    vectors = make_vectors(n, 1, DIM)
    return [
        timed(
            lambda k=k: bounded_clusters(vectors["m0"].detach(), size, generator=torch.Generator().manual_seed(k)), {}
        )
        for k in range(rounds)
    ]


def timed(step: Callable[[], Any], vectors: Vectors) -> float:
    """Mean seconds of a step, repeated until they add up to a time that can be told."""
    total, count = 0.0, 0
    while total < AT_LEAST:
        forget_gradients(vectors)
        start = time.perf_counter()
        step()
        total += time.perf_counter() - start
        count += 1
    return total / count


def forget_gradients(vectors: Vectors) -> None:
    """A step then makes its gradients anew, as after `optimizer.zero_grad()`."""
    for v in vectors.values():
        v.grad = None


# -- in a process of its own -------------------------------------------------------------------------------------------

MEASURES: dict[str, Callable[..., Any]] = {
    measure.__name__: measure for measure in (seconds, cost, agreement, clustering)
}


def alone(measure: str, **arguments: Any) -> Any:
    """What a measure of this file gives in a fresh process with `THREADS` threads."""
    call = [sys.executable, __file__, json.dumps([measure, arguments])]
    threads = {"OMP_NUM_THREADS": str(THREADS), "MKL_NUM_THREADS": str(THREADS), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(call, stdout=subprocess.PIPE, text=True, check=True, cwd=HERE, env={**os.environ, **threads})
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    measure, arguments = json.loads(sys.argv[1])
    print(json.dumps(MEASURES[measure](**arguments)))
