"""The contract of an encoder: values are packed once into tensors, packed values become feature vectors."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from typing import Any, ClassVar, Self, TypeVar

import torch
from torch import Tensor, nn

from ..errors import BadValue, ManymodalError

T = TypeVar("T")


@dataclass(frozen=True)
class Packed:
    """Many values of one modality in one tensor, all of one shape or of different lengths.

    Args:
        data: (n, ...) when all values have one shape; (total, ...), joined along the first dimension, when they differ.
        offsets: None, or (n + 1,) int64: value i is data[offsets[i]:offsets[i + 1]].
    """

    data: Tensor
    offsets: Tensor | None = None

    def __len__(self) -> int:
        return len(self.data) if self.offsets is None else len(self.offsets) - 1

    @property
    def lengths(self) -> Tensor:
        """(n,) int64, the length of each value; only for values of different lengths."""
        if self.offsets is None:
            raise ManymodalError("these values all have one shape; their length is not recorded")
        return self.offsets[1:] - self.offsets[:-1]

    def take(self, rows: Tensor) -> Packed:
        """The values with the given numbers (r,) int64, in that order, repeats allowed."""
        if self.offsets is None:
            return Packed(self.data[rows])
        length = self.lengths[rows]  # (r,)
        offsets = torch.cat([length.new_zeros(1), length.cumsum(0)])  # (r + 1,)
        shift = (self.offsets[rows] - offsets[:-1]).repeat_interleave(length)  # (total,)
        return Packed(self.data[shift + torch.arange(len(shift), device=shift.device)], offsets)

    def to(self, device: torch.device | str) -> Packed:
        """The same on another device."""
        return Packed(self.data.to(device), None if self.offsets is None else self.offsets.to(device))

    @staticmethod
    def stack(values: Sequence[Tensor]) -> Packed:
        """Values of one shape: (n, ...)."""
        return Packed(torch.stack(list(values)))

    @staticmethod
    def join(values: Sequence[Tensor]) -> Packed:
        """Values whose first dimension differs: (total, ...) and offsets."""
        length = torch.tensor([len(v) for v in values], dtype=torch.int64)
        return Packed(torch.cat(list(values)), torch.cat([length.new_zeros(1), length.cumsum(0)]))

    @staticmethod
    def concatenate(parts: Sequence[Packed]) -> Packed:
        """All values of all parts, in order."""
        data = torch.cat([part.data for part in parts])
        if parts[0].offsets is None:
            return Packed(data)
        length = torch.cat([part.lengths for part in parts])
        return Packed(data, torch.cat([length.new_zeros(1), length.cumsum(0)]))


class Encoder(nn.Module, ABC):
    """Value -> feature vector. Subclass it, register it, and the modality is one like any other.

    A subclass sets `kind` (the kind of column it reads), its constructor takes only what `settings()` returns, and
    everything learned from data or by training is a parameter or buffer; so `Cls(**settings)` plus its state dict is
    the whole encoder.
    """

    kind: ClassVar[str]
    frozen: ClassVar[bool] = False  # True: never trained; features are computed once and kept in the feature store
    ragged: ClassVar[bool] = False  # True: values differ in length, `tensor` returns (length, ...)
    width: int  # of the feature vectors

    @classmethod
    def fit(cls, values: Sequence[Any], **options: Any) -> Self:
        """An encoder for such values: statistics, categories or sizes are taken from them (train values only)."""
        return cls(**options)

    @abstractmethod
    def tensor(self, value: Any) -> Tensor:
        """One value as a tensor, ready to be kept in memory and batched (compact: uint8 pictures, int32 tokens).

        Raises:
            ManymodalError: the value is broken; the text says why ("empty sound", "12 numbers, needed 384").
        """

    @abstractmethod
    def forward(self, values: Packed) -> Tensor:
        """Packed values -> (n, width) float features. In training mode it may augment and drop."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""

    def pack(self, values: Sequence[Any], first: int = 0) -> Packed:
        """Many values, each through `tensor`.

        Args:
            values: at least one value.
            first: number of the first one, for messages.

        Raises:
            BadValue: with the number of the first value that cannot be used.
        """
        tensors = each(self.tensor, values, first)
        return Packed.join(tensors) if self.ragged else Packed.stack(tensors)

    def fingerprint(self) -> str:
        """32 hex digits that change with anything that could change a feature: class, settings, parameters, buffers."""
        digest = blake2b(digest_size=16)
        digest.update(json.dumps([type(self).__qualname__, self.settings()], sort_keys=True).encode())
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()

    @property
    def device(self) -> torch.device:
        """Where the encoder is, and where `forward` wants its values."""
        return next(chain(self.parameters(), self.buffers()), torch.empty(0)).device


def each(read: Callable[[Any], T], values: Sequence[Any], first: int = 0) -> list[T]:
    """`read` of every value; a value that it refuses is named by its number, counted from `first`.

    Raises:
        BadValue: with the number of the first value that cannot be used.
    """
    found = []
    for index, value in enumerate(values):
        try:
            found.append(read(value))
        except ManymodalError as error:
            raise BadValue(first + index, str(error)) from error
    return found
