"""Several processes that hold parts of the same batch: what they tell each other, and what gradients make of it.

Each process holds some of the items, all values of an item on one process; everything that crosses between them is
here. One process is the same thing with nothing to tell, so no other code asks how many there are.

**Gradients.** All communication happens in the forward pass, in an order that depends on names alone: a backward pass
cannot wait for a process that has nothing to send. Whatever follows a `sum` or a `gather` is computed alike on every
process, so the true adjoints need no communication: that of a sum over W equal replicas is W times the gradient at
hand, that of a gather W times its own rows. *Averaging* parameter gradients over processes, as
`torch.nn.parallel.DistributedDataParallel` does, then gives exactly the gradient of one process with all rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from .embeddings import Embeddings
from .errors import ManymodalError


@dataclass(frozen=True)
class Meeting:
    """What the processes have together.

    Args:
        embeddings: this process's rows (`Processes.meet`) or all of them (`Processes.gather_embeddings`); a modality
            that only other processes have is here with (0, d).
        per_label: modalities with one value per label, on whichever process.
        sizes: {modality: rows on each process}.
        rank: of this process.
    """

    embeddings: Embeddings
    per_label: frozenset[str]
    sizes: dict[str, tuple[int, ...]]
    rank: int

    def total(self, modality: str) -> int:
        """Rows of a modality on all processes."""
        return sum(self.sizes[modality])

    def own(self, modality: str) -> slice:
        """Where the rows of the process at hand are among all rows of a modality."""
        start = sum(self.sizes[modality][: self.rank])
        return slice(start, start + self.sizes[modality][self.rank])


class Processes:
    """One process: it has everything already."""

    rank = 0
    size = 1

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor of one shape over processes; differentiable."""
        return tensor

    def gather(self, tensor: Tensor) -> Tensor:
        """(n_0 + n_1 + ..., ...) the rows of all processes, in order of rank; differentiable."""
        return tensor

    def meet(self, embeddings: Embeddings) -> Meeting:
        """Agree on what there is, and check that every item (of a label modality, every label) sits on one process.

        Raises:
            ManymodalError: on all processes alike, when shards are not by item or do not fit together.
        """
        per_label = frozenset(m for m in embeddings.modalities if embeddings.per_label(m))
        return Meeting(embeddings, per_label, {m: (len(embeddings.vectors[m]),) for m in embeddings.modalities}, 0)

    def gather_embeddings(self, embeddings: Embeddings) -> Meeting:
        """The embeddings of all processes, on each of them; differentiable."""
        return self.meet(embeddings)

    def share(self, count: int) -> range:
        """Which of `count` things are this process's: a stretch of them, as even as can be."""
        return range(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def first(self, content: bytes) -> bytes:
        """What process 0 has; it is not empty, and what the others give is not looked at."""
        return content

    def together(self) -> AbstractContextManager[None]:
        """A block in which processes do not talk; a `ManymodalError` in it on any process is raised on all.

        Without it the others would wait forever for the one that failed.
        """
        return nullcontext()

    def first_alone(self) -> AbstractContextManager[None]:
        """As `together`, but process 0 runs the block before the others do (and leaves them a warm cache)."""
        return nullcontext()


ONE = Processes()


class Distributed(Processes):
    """The processes of a `torch.distributed` group (`torchrun`; gloo on CPUs, nccl on GPUs).

    Args:
        group: None for all processes.

    Raises:
        ManymodalError: torch.distributed is not initialised.
    """

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        if not (dist.is_available() and dist.is_initialized()):
            raise ManymodalError(
                "torch.distributed is not initialised; start with torchrun, and call init_process_group() first"
            )
        self.group = group
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)
        on_gpu = dist.get_backend(group) == "nccl"
        self.device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor of one shape over processes; differentiable."""
        total: Tensor = _Sum.apply(tensor, self)  # type: ignore[no-untyped-call]
        return total

    def gather(self, tensor: Tensor) -> Tensor:
        """(n_0 + n_1 + ..., ...) the rows of all processes, in order of rank; differentiable."""
        if not tensor.is_floating_point():
            return torch.cat(self._parts(tensor, self._sizes(tensor)))
        return self._gather(tensor, self._sizes(tensor))

    def meet(self, embeddings: Embeddings) -> Meeting:
        """Agree on what there is, and check that every item (of a label modality, every label) sits on one process."""
        vectors = embeddings.vectors
        first = next(iter(vectors.values()))
        all_said = self._all_say(
            {
                "kind": [embeddings.dim, str(first.dtype), embeddings.labels is not None],
                "sizes": {m: len(v) for m, v in vectors.items()},
                "per_label": [m for m in vectors if embeddings.per_label(m)],
            }
        )
        for rank, other in enumerate(all_said):
            if other["kind"] != all_said[0]["kind"]:
                raise ManymodalError(
                    f"process {rank} has (d, dtype, labels) {other['kind']}, process 0 has {all_said[0]['kind']}; "
                    "all need the same"
                )
        names = sorted({m for other in all_said for m in other["sizes"]})
        sizes = {m: tuple(int(other["sizes"].get(m, 0)) for other in all_said) for m in names}
        per_label = frozenset(m for other in all_said for m in other["per_label"])
        for other in all_said:
            for m in sorted(per_label.difference(other["per_label"])):
                if other["sizes"].get(m, 0):
                    raise ManymodalError(
                        f"modality {m!r} has one value per label (items -1) on one process and values of items on "
                        "another; it is one or the other everywhere"
                    )
        absent = set(names) - set(vectors)
        here = Embeddings.concatenate([embeddings, _nothing(embeddings, absent)]) if absent else embeddings
        self._check_shards(here, names, per_label)
        return Meeting(here, per_label, sizes, self.rank)

    def gather_embeddings(self, embeddings: Embeddings) -> Meeting:
        """The embeddings of all processes, on each of them; differentiable."""
        met = self.meet(embeddings)
        here, vectors, items, labels = met.embeddings, {}, {}, {}
        for m, sizes in met.sizes.items():
            vectors[m] = self._gather(here.vectors[m], sizes)
            items[m] = torch.cat(self._parts(here.items[m], sizes))
            if here.labels is not None:
                labels[m] = torch.cat(self._parts(here.labels[m], sizes))
        everyone = Embeddings(vectors, items, labels if here.labels is not None else None)
        return Meeting(everyone, met.per_label, met.sizes, met.rank)

    def _check_shards(self, here: Embeddings, names: Sequence[str], per_label: frozenset[str]) -> None:
        """Refuse shards of which two hold the same item, or the same label of a label modality."""
        owners = {"item": torch.cat([here.items[m] for m in names if m not in per_label] or [_no_ids(here)])}
        if here.labels is not None:
            owners |= {f"{m!r}: label": here.labels[m] for m in sorted(per_label)}
        for what, ids in owners.items():
            distinct, processes = self.gather(ids.unique()).unique(return_counts=True)  # (u,), (u,)
            twice = distinct[(processes > 1) & (distinct >= 0)]
            if len(twice):
                raise ManymodalError(
                    f"{what} {int(twice[0])} is on more than one process; shards are by item: "
                    "all values of an item, and each value per label, are on one process"
                )

    def first(self, content: bytes) -> bytes:
        """What process 0 has; it is not empty, and what the others give is not looked at."""
        root = 0 if self.group is None else dist.get_global_rank(self.group, 0)
        size = torch.tensor([len(content)], device=self.device)
        dist.broadcast(size, root, self.group)
        data = self._wire(content) if self.rank == 0 else torch.empty(int(size), dtype=torch.uint8, device=self.device)
        dist.broadcast(data, root, self.group)
        return data.cpu().numpy().tobytes()

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block in which processes do not talk; a `ManymodalError` in it on any process is raised on all."""
        failed = None
        try:
            yield
        except ManymodalError as error:
            failed = error
        errors = [said for said in self._all_say(failed and str(failed)) if said is not None]
        if errors:
            raise failed or ManymodalError(errors[0])

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """As `together`, but process 0 runs the block before the others do (and leaves them a warm cache)."""
        if self.rank > 0:
            with self.together():
                """Process 0 is at it."""
        with self.together():
            yield
        if self.rank == 0:
            with self.together():
                """The others are."""

    # -- the wire ----------------------------------------------------------------------------------------------------

    def _wire(self, content: bytes) -> Tensor:
        return torch.frombuffer(bytearray(content), dtype=torch.uint8).to(self.device)

    def _all_say(self, content: Any) -> list[Any]:
        """What every process says (JSON), in order of rank."""
        data = self._wire(json.dumps(content).encode())
        return [json.loads(bytes(part.tolist())) for part in self._parts(data, self._sizes(data))]

    def _gather(self, tensor: Tensor, sizes: Sequence[int]) -> Tensor:
        rows: Tensor = _Gather.apply(tensor, sizes, self)  # type: ignore[no-untyped-call]
        return rows

    def _sizes(self, tensor: Tensor) -> list[int]:
        """How long the tensor is on each process."""
        count = torch.tensor([len(tensor)], device=self.device)
        counts = [torch.zeros_like(count) for _ in range(self.size)]
        dist.all_gather(counts, count, group=self.group)
        return [int(c) for c in counts]

    def _parts(self, tensor: Tensor, sizes: Sequence[int]) -> list[Tensor]:
        """Every process's tensor, in order of rank; the shapes may differ in the first dimension, as `sizes` says."""
        bytes_each = tensor.shape[1:].numel() * tensor.element_size()
        padded = torch.zeros(max(sizes) * bytes_each, dtype=torch.uint8, device=self.device)  # any dtype travels
        padded[: len(tensor) * bytes_each] = tensor.contiguous().view(-1).view(torch.uint8)
        received = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(received, padded, group=self.group)
        return [
            part[: n * bytes_each].view(tensor.dtype).view(n, *tensor.shape[1:]).to(tensor.device)  # (n, ...)
            for part, n in zip(received, sizes, strict=True)
        ]


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, processes: Distributed) -> Tensor:
        ctx.size = processes.size
        total = tensor.clone()
        dist.all_reduce(total, group=processes.group)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.size, None


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, sizes: Sequence[int], processes: Distributed) -> Tensor:
        start = sum(sizes[: processes.rank])
        ctx.size, ctx.own = processes.size, slice(start, start + len(tensor))
        return torch.cat(processes._parts(tensor, sizes))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad[ctx.own] * ctx.size, None, None


def _no_ids(embeddings: Embeddings) -> Tensor:
    return torch.zeros(0, dtype=torch.int64, device=next(iter(embeddings.items.values())).device)


def _nothing(like: Embeddings, names: Iterable[str]) -> Embeddings:
    """No rows of the given modalities."""
    ids = dict.fromkeys(names, _no_ids(like))
    empty = next(iter(like.vectors.values())).detach()[:0]  # (0, d)
    return Embeddings(dict.fromkeys(names, empty), ids, None if like.labels is None else ids)
