"""Values that are ready to train on: packed, with the item and label of each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..encoders.base import Packed


@dataclass(frozen=True)
class Rows:
    """n packed values of one modality.

    Args:
        values: n values.
        items: (n,) int64 item ids; -1 throughout for one value per label.
        labels: (n,) int64; -1 unknown.
    """

    values: Packed
    items: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.items)

    @property
    def per_label(self) -> bool:
        """Whether these are values of labels, not of items."""
        return len(self) > 0 and bool((self.items < 0).all())

    def take(self, rows: Tensor) -> Rows:
        """The rows with the given numbers (r,) int64."""
        return Rows(self.values.take(rows), self.items[rows], self.labels[rows])

    def to(self, device: torch.device | str) -> Rows:
        """The same on another device."""
        return Rows(self.values.to(device), self.items.to(device), self.labels.to(device))


Batch = dict[str, Rows]
