"""Series of any length: log-mel frames, pen strokes, sensor traces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from ..errors import ManymodalError
from .base import Encoder, Packed, each
from .registry import register
from .standardise import Standardise
from .trunk import Trunk, disturbed
from .vector import numbers

LIMIT = 1e4  # standardised numbers beyond it are cut off, so that float16 holds them


@register("series")
class Series(Encoder):
    """A series, standardised channel by channel, through a time-pooled convolution that is trained.

    Args:
        channels: numbers at each time.
        max_length: of a longer series only its first so many times are read.
    """

    kind: ClassVar[str] = "series"
    ragged: ClassVar[bool] = True
    width = Trunk.width

    def __init__(self, channels: int, max_length: int = 4096) -> None:
        super().__init__()
        self.channels, self.max_length = channels, max_length
        self.standardise = Standardise(channels)
        self.trunk = Trunk(channels)

    @classmethod
    def fit(cls, values: Sequence[Any], **options: Any) -> Self:
        """The channels of the first value (unless given); mean and spread over all times of all values."""
        encoder = cls(**{"channels": numbers(values[0], 2).shape[1], **options})
        encoder.standardise.fit(torch.cat(each(encoder._frames, values)))
        return encoder

    def tensor(self, value: Any) -> Tensor:
        """(time, channels) numbers -> (time, channels) float16, already standardised: so half precision is enough."""
        frames: Tensor = self.standardise(self._frames(value).to(self.device))
        return frames.clamp(-LIMIT, LIMIT).half().cpu()

    def forward(self, values: Packed) -> Tensor:
        """Packed (total, channels) float16 -> (n, width) float32."""
        frames, lengths = values.data.float(), values.lengths
        if self.training:
            frames = disturbed(frames, lengths)
        features: Tensor = self.trunk(frames, lengths)
        return features

    def settings(self) -> dict[str, Any]:
        """Channels and the longest length."""
        return {"channels": self.channels, "max_length": self.max_length}

    def _frames(self, value: Any) -> Tensor:
        array = numbers(value, 2)
        if array.shape[1] != self.channels:
            raise ManymodalError(f"a series of {array.shape[1]} channels; needed: {self.channels}")
        if not len(array):
            raise ManymodalError("empty series (no times)")
        return torch.from_numpy(array[: self.max_length])
