"""The loss of all data at once, and its gradient, from batches: exact, at any number of items, in fixed memory.

A linear objective is a function of `Sums`, and sums add up over batches. So one pass over the data without a graph
gives the exact loss, and its gradient by the sums; a second pass gives each batch's share of the gradient by whatever
made the embeddings. Summed over batches that is the gradient of one pass over everything.

    accumulated = Accumulated(objective)
    with torch.no_grad():
        for batch in batches:
            accumulated.add(embed(batch))
    print(accumulated.loss().total)
    for batch in batches:
        accumulated.batch_loss(embed(batch)).backward()
    optimizer.step()

What embeds must not change between the passes (no dropout, or the same). Batches are by what matches: all values of an
item are in one batch, and where labels are in force all values of a label.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..embeddings import Embeddings
from ..errors import ManymodalError
from .base import Loss
from .linear import LinearObjective
from .sums import Sums, sums_of


class Accumulated:
    """The loss of a linear objective over all batches that were added.

    Across processes (`objective.across`) a batch is the rows of all of them: each adds as many, of its own items.

    Args:
        objective: PCMR without `focus` and `clusters`, Spectral, or another whose loss is a function of sums.

    Raises:
        ManymodalError: the objective is none of these, or composes queries (`combinations`).
    """

    def __init__(self, objective: LinearObjective) -> None:
        if not isinstance(objective, LinearObjective) or not objective.linear or objective.combinations:
            raise ManymodalError(
                f"{type(objective).__name__}({objective.settings()}) is no function of sums over batches; "
                "accumulate PCMR without focus and clusters, or Spectral, with combinations=0"
            )
        self.objective = objective
        self._sums = Sums({}, {})
        self._together = {"item"}  # what must stay within a batch: "item", and "label" once labels are in force
        self._ids: dict[str, Tensor] = {}  # {"item" or "label": (k,) int64, of all batches}
        self._twice: dict[str, int] = {}  # one of those that were in two
        self._slopes: dict[tuple[str, ...], Tensor] = {}  # the gradient of the loss by each tensor of the sums

    @torch.no_grad()
    def add(self, embeddings: Embeddings) -> None:
        """First pass: take in a batch. Costs O(M n d^2), and keeps M d^2 numbers and one an item.

        Raises:
            ManymodalError: an item (where labels are in force, a label) was in an earlier batch, on any process; the
                batch is not taken in.
        """
        ids, by_label = self._ids_in(embeddings)
        together = self._together | ({"label"} if by_label else set())
        again = {what: i[torch.isin(i, self._ids.get(what, i[:0]))] for what, i in ids.items()}
        twice = self._twice | {what: int(i[0]) for what, i in again.items() if len(i)}
        for what in twice.keys() & together:
            raise ManymodalError(
                f"{what} {twice[what]} was in an earlier batch; all values of an item, and all values of a label "
                "where labels are in force, must be in one batch, which is added once"
            )
        self._together, self._twice = together, twice
        self._ids |= {what: torch.cat([self._ids.get(what, i[:0]), i]).unique() for what, i in ids.items()}
        self._sums += sums_of(embeddings, self.objective.match, self.objective.processes)
        self._slopes = {}

    def loss(self) -> Loss:
        """The loss of all batches together, float64, without a graph.

        Raises:
            ManymodalError: nothing matches, or a weight was given for a modality that was in no batch.
        """
        leaves = self._sums.map(lambda tensor: tensor.clone().requires_grad_())
        with torch.enable_grad():
            loss = self.objective.loss_of(leaves)
        named = leaves.tensors()
        slopes = torch.autograd.grad(loss.total, list(named.values()), materialize_grads=True)
        self._slopes = dict(zip(named, slopes, strict=True))
        pairs = {pair: value.detach() for pair, value in loss.pairs.items()}
        return replace(loss, total=loss.total.detach(), pairs=pairs)

    def batch_loss(self, embeddings: Embeddings) -> Tensor:
        """Second pass: () float64 whose gradients, summed over all batches, are those of the full loss.

        Only its gradient means anything. `loss` comes first; the batches may be cut otherwise than in the first pass,
        as long as what matches stays together.

        Raises:
            ManymodalError: `loss` was not called since the last `add`, or an item is in no batch that was added.
        """
        if not self._slopes:
            raise ManymodalError("batch_loss() needs the loss of all batches: add() each of them, then call loss()")
        for what, ids in self._ids_in(embeddings)[0].items():
            strange = ids[~torch.isin(ids, self._ids.get(what, ids[:0]))]
            if len(strange):
                raise ManymodalError(
                    f"{what} {int(strange[0])} is in no batch that was added; add() it in the first pass"
                )
        named = sums_of(embeddings, self.objective.match, self.objective.processes).tensors()
        for name in named.keys() - self._slopes.keys():
            raise ManymodalError(f"modality {name[1]!r} was in no batch that was added; add() it in the first pass")
        return torch.stack([(self._slopes[name] * tensor).sum() for name, tensor in named.items()]).sum()

    def _ids_in(self, embeddings: Embeddings) -> tuple[dict[str, Tensor], bool]:
        """{"item" or "label": (k,) int64} of a batch, of all processes; and whether it has labels in force."""
        processes = self.objective.processes
        met = processes.meet(embeddings)
        here, names = met.embeddings, met.embeddings.modalities
        named = {"item": here.items} | ({} if here.labels is None else {"label": here.labels})
        ids = {what: torch.cat([of[m] for m in names]) for what, of in named.items()}
        by_label = bool(met.per_label) or self.objective.match == "label"
        return {what: processes.gather(i[i >= 0].unique()).unique() for what, i in ids.items()}, by_label
