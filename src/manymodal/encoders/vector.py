"""Vectors that come from elsewhere: features of any network, embeddings, measurements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from ..errors import ManymodalError
from .base import Encoder, Packed
from .registry import register
from .standardise import Standardise


@register("vector")
class Vector(Encoder):
    """A vector is its own feature, standardised column by column; nothing is trained here.

    Args:
        width: numbers in each vector.
    """

    kind: ClassVar[str] = "vector"

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.standardise = Standardise(width)

    @classmethod
    def fit(cls, values: Sequence[Any], **options: Any) -> Self:
        """The width of the first value (unless given); mean and spread of all of them."""
        encoder = cls(**{"width": len(numbers(values[0], 1)), **options})
        encoder.standardise.fit(encoder.pack(values).data)
        return encoder

    def tensor(self, value: Any) -> Tensor:
        """Anything `numpy.asarray` takes, one number a column -> (width,) float32."""
        array = numbers(value, 1)
        if len(array) != self.width:
            raise ManymodalError(f"a vector of {len(array)} numbers; needed: {self.width}")
        return torch.from_numpy(array)

    def forward(self, values: Packed) -> Tensor:
        """Packed (n, width) -> (n, width) float32."""
        features: Tensor = self.standardise(values.data)
        return features

    def settings(self) -> dict[str, Any]:
        """The width."""
        return {"width": self.width}


def numbers(value: Any, dimensions: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A value as a writable float32 array of so many dimensions, all of it finite.

    Raises:
        ManymodalError: not numbers, another number of dimensions, or NaN or infinite (in float32) somewhere.
    """
    try:
        with np.errstate(over="ignore"):
            array = np.array(value.numpy(force=True) if isinstance(value, Tensor) else value, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise ManymodalError(f"not an array of numbers ({error})") from error
    if array.ndim != dimensions:
        shape = {1: "(width,)", 2: "(time, channels)"}[dimensions]
        raise ManymodalError(f"an array of shape {array.shape}; needed: {shape}")
    finite = np.isfinite(array)
    if not finite.all():
        place = np.argwhere(~finite)[0].tolist()
        raise ManymodalError(
            f"{int((~finite).sum())} of {array.size} numbers are not finite in float32, first at {place}"
        )
    return array
