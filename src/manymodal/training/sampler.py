"""Which items, and which of their values, a training step sees: a pure function of the seed and the step's number."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

from ..embeddings import Embeddings
from ..errors import ManymodalError
from ..objectives.near import clusters_of
from ..processes import ONE, Processes
from .rows import Batch, Rows


def seed_of(*numbers: int | str) -> int:
    """A seed that depends on the given numbers alone, so that no state of a generator has to be saved to resume."""
    return int.from_bytes(hashlib.blake2b(repr(numbers).encode(), digest_size=8).digest(), "little") >> 1


def stream(*numbers: int | str) -> torch.Generator:
    """A random generator started from `seed_of` the numbers."""
    return torch.Generator().manual_seed(seed_of(*numbers))


class ItemSampler:
    """Batches of items; an item shows `values_per_item` random values in each modality that it has.

    An epoch shows every item once, in batches of equal size (as nearly as can be). A modality with one value per label
    shows the labels of the batch's items. Several processes see what one would, each a share of the batch's items and
    labels.

    With `neighbours`, batches are made of whole clusters of items that are near each other in the space as it is, which
    makes non-matches of a batch harder to tell from matches. Clusters are made anew before each epoch but the first, at
    other boundaries each time.

    Args:
        data: {modality: rows} to train on.
        batch_size: items per step, at most.
        seed: of the order and of the values drawn.
        values_per_item: how many of an item's values a step shows in each modality, or "all".
        neighbours: the most items in a cluster; None for batches at random.
    """

    def __init__(
        self,
        data: Mapping[str, Rows],
        *,
        batch_size: int = 512,
        seed: int = 0,
        values_per_item: int | Literal["all"] = 1,
        neighbours: int | None = None,
    ) -> None:
        self.data, self.seed, self.neighbours = dict(data), seed, neighbours
        self.clusters: Tensor | None = None  # (n,) of each item
        self.limit = None if values_per_item == "all" else values_per_item
        by_item = [rows for rows in data.values() if not rows.per_label and len(rows)]
        if not by_item:
            raise ManymodalError("there is no value of any item to train on")
        items = torch.cat([rows.items for rows in by_item])
        labels = torch.cat([rows.labels for rows in by_item])
        self.items, inverse = items.unique(return_inverse=True)  # (n,), (total,)
        self.labels = torch.full_like(self.items, -1).scatter_(0, inverse, labels)  # (n,)
        self.groups = {m: _Groups(rows.labels if rows.per_label else rows.items) for m, rows in data.items()}
        self.steps = -(-len(self.items) // batch_size)

    def __len__(self) -> int:
        """Steps per epoch."""
        return self.steps

    def batch(self, step: int, processes: Processes = ONE) -> Batch:
        """The batch of step 0, 1, 2, ... counted over all epochs; of several processes, this one's share of it."""
        epoch, part = divmod(step, self.steps)
        generator = stream("order", self.seed, epoch)
        order = torch.randperm(len(self.items), generator=generator)
        if self.clusters is not None:
            turn = torch.randperm(int(self.clusters.max()) + 1, generator=generator)  # of each cluster
            order = order[turn[self.clusters[order]].argsort(stable=True)]
        chosen = order.tensor_split(self.steps)[part]
        generator = stream("values", self.seed, step)
        return self._rows(self.items[chosen], self.labels[chosen], self.limit, generator, processes)

    def before_epoch(self, epoch: int, embed: Callable[[], Embeddings], processes: Processes = ONE) -> None:
        """Make the clusters of epoch 1, 2, ... anew, where there are to be any.

        Args:
            epoch: counted from 0.
            embed: embeddings of `all_rows`, without gradients; called only where they are needed.
            processes: those that share the rows; all get the clusters that process 0 finds.
        """
        if self.neighbours is None or epoch == 0:
            return
        met = processes.gather_embeddings(embed())
        of_rows = clusters_of(met.embeddings, self.neighbours, processes)
        self.clusters = torch.empty_like(self.items)
        for m in self.data.keys() - met.per_label:
            self.clusters[torch.searchsorted(self.items, met.embeddings.items[m].cpu())] = of_rows[m].cpu()

    def all_rows(self, processes: Processes = ONE) -> Batch:
        """Every value of every item; of several processes, this one's share of the items and of the labels."""
        return self._rows(self.items, self.labels, None, torch.Generator(), processes)

    def _rows(
        self, items: Tensor, labels: Tensor, limit: int | None, generator: torch.Generator, processes: Processes
    ) -> Batch:
        rows, labels = {}, labels[labels >= 0].unique()
        for m, values in sorted(self.data.items()):
            keys = labels if values.per_label else items
            rows[m] = values.take(self.groups[m].draw(keys, limit, generator, processes.share(len(keys))))
        return rows


class _Groups:
    """Rows by key (item or label), and random draws from them."""

    def __init__(self, keys: Tensor) -> None:
        self.order = keys.argsort(stable=True)  # (n,)
        self.sorted = keys[self.order]  # (n,)

    def draw(self, keys: Tensor, limit: int | None, generator: torch.Generator, share: range) -> Tensor:
        """Row numbers of up to `limit` random rows of each key, None = all; keys below 0 have none.

        Args:
            keys: (k,) int64.
            share: places in `keys` of those whose rows are wanted; what is drawn for one does not depend on it.
        """
        first = torch.searchsorted(self.sorted, keys)  # (k,)
        count = torch.searchsorted(self.sorted, keys, right=True) - first  # (k,)
        count = torch.where(keys >= 0, count, 0)
        owner = torch.repeat_interleave(torch.arange(len(keys)), count)  # (r,)
        start = count.cumsum(0) - count  # (k,)
        rows = self.order[first[owner] + torch.arange(len(owner)) - start[owner]]  # (r,)
        if limit is not None:
            shuffled = torch.randperm(len(rows), generator=generator)
            shuffled = shuffled[owner[shuffled].argsort(stable=True)]  # by key, random within one
            place = torch.arange(len(rows)) - start[owner[shuffled]]  # (r,) 0, 1, ... within a key
            kept = shuffled[place < limit]
            rows, owner = rows[kept], owner[kept]
        return rows[(owner >= share.start) & (owner < share.stop)]
