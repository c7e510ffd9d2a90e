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
from collections.abc import Sequence
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

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor of one shape over processes; differentiable."""
        total: Tensor = _Sum.apply(tensor, self)  # type: ignore[no-untyped-call]
        return total

    def gather(self, tensor: Tensor) -> Tensor:
        """(n_0 + n_1 + ..., ...) the rows of all processes, in order of rank; differentiable."""
        rows: Tensor = _Gather.apply(tensor, self)  # type: ignore[no-untyped-call]
        return rows

    def meet(self, embeddings: Embeddings) -> Meeting:
        """Agree on what there is, and check that every item (of a label modality, every label) sits on one process."""
        vectors = embeddings.vectors
        first = next(iter(vectors.values()))
        said = {
            "sizes": {m: len(v) for m, v in vectors.items()},
            "per_label": [m for m in vectors if embeddings.per_label(m)],
            "kind": [embeddings.dim, str(first.dtype), embeddings.labels is not None],
        }
        all_said = [json.loads(bytes(part.tolist())) for part in self._parts(_bytes(said).to(first.device))]
        for rank, other in enumerate(all_said):
            if other["kind"] != all_said[0]["kind"]:
                raise ManymodalError(
                    f"process {rank} has (d, dtype, labels) {other['kind']}, process 0 has {all_said[0]['kind']}; "
                    "all need the same"
                )
        names = sorted({m for other in all_said for m in other["sizes"]})
        sizes = {m: tuple(int(other["sizes"].get(m, 0)) for other in all_said) for m in names}
        per_label = frozenset(m for other in all_said for m in other["per_label"])
        here = (
            Embeddings.concatenate([embeddings, _nothing(embeddings, names)])
            if set(names) - set(vectors)
            else embeddings
        )
        self._check_shards(here, names, per_label)
        return Meeting(here, per_label, sizes, self.rank)

    def gather_embeddings(self, embeddings: Embeddings) -> Meeting:
        """The embeddings of all processes, on each of them; differentiable."""
        met = self.meet(embeddings)
        here = met.embeddings
        everyone = Embeddings(
            {m: self.gather(here.vectors[m]) for m in met.sizes},
            {m: self.gather(here.items[m]) for m in met.sizes},
            None if here.labels is None else {m: self.gather(here.labels[m]) for m in met.sizes},
        )
        return Meeting(everyone, met.per_label, met.sizes, met.rank)

    def _check_shards(self, here: Embeddings, names: Sequence[str], per_label: frozenset[str]) -> None:
        """Refuse shards of which two hold the same item, or the same label of a label modality."""
        owners = {"item": torch.cat([here.items[m] for m in names if m not in per_label] or [_no_ids(here)]).unique()}
        if here.labels is not None:
            owners |= {f"{m!r}: label": here.labels[m] for m in sorted(per_label)}
        for what, ids in owners.items():
            everyone = self.gather(ids).unique(return_counts=True)  # (u,), (u,)
            twice = everyone[0][everyone[1] > 1]
            if len(twice):
                raise ManymodalError(
                    f"{what} {int(twice[0])} is on more than one process; shards are by item: "
                    "all values of an item, and each value per label, are on one process"
                )

    # -- the wire ----------------------------------------------------------------------------------------------------

    def _parts(self, tensor: Tensor) -> list[Tensor]:
        """Every process's tensor, in order of rank; the shapes may differ in the first dimension alone."""
        count = torch.tensor([len(tensor)], device=tensor.device)
        counts = [torch.zeros_like(count) for _ in range(self.size)]
        dist.all_gather(counts, count, group=self.group)
        sizes = [int(c) for c in counts]
        width = tensor[0:1].numel() if len(tensor) else tensor.new_zeros(1, *tensor.shape[1:]).numel()
        bytes_each = width * tensor.element_size()
        padded = torch.zeros(max(sizes) * bytes_each, dtype=torch.uint8, device=tensor.device)  # any dtype travels
        padded[: len(tensor) * bytes_each] = tensor.contiguous().view(-1).view(torch.uint8)
        received = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(received, padded, group=self.group)
        return [
            part[: n * bytes_each].view(tensor.dtype).view(n, *tensor.shape[1:])  # (n, ...)
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
    def forward(ctx: Any, tensor: Tensor, processes: Distributed) -> Tensor:
        parts = processes._parts(tensor)
        start = sum(len(part) for part in parts[: processes.rank])
        ctx.size, ctx.own = processes.size, slice(start, start + len(tensor))
        if not tensor.is_floating_point():
            rows = torch.cat(parts)
            ctx.mark_non_differentiable(rows)
            return rows
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad[ctx.own] * ctx.size, None


def _bytes(content: Any) -> Tensor:
    return torch.frombuffer(bytearray(json.dumps(content).encode()), dtype=torch.uint8)


def _no_ids(embeddings: Embeddings) -> Tensor:
    return torch.zeros(0, dtype=torch.int64, device=next(iter(embeddings.items.values())).device)


def _nothing(like: Embeddings, names: Sequence[str]) -> Embeddings:
    """No rows of the given modalities."""
    ids = dict.fromkeys(names, _no_ids(like))
    empty = next(iter(like.vectors.values())).detach()[:0]  # (0, d)
    return Embeddings(dict.fromkeys(names, empty), ids, None if like.labels is None else ids)
