"""Columns brought to mean 0 and spread 1, by the statistics of the training values."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from ..errors import ManymodalError

CONSTANT = 1e-6  # a spread this small beside the mean is rounding, not information
ROWS_AT_ONCE = 65_536


class Standardise(nn.Module):
    """(x - mean) / std for each of w columns.

    A column that is constant in training gets the factor 0, so it is 0 everywhere: it taught nothing, and dividing by
    its spread would give NaN or blow a difference in the last bit up to the size of the other columns.

    Args:
        width: w, the number of columns.
    """

    mean: Tensor
    inv_std: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("inv_std", torch.ones(width))

    @torch.no_grad()
    def fit(self, data: Tensor) -> Self:
        """Take mean and spread from training values, summed in float64; NaN is a missing cell and left out.

        Args:
            data: (..., w) of any real dtype, at least one row.

        Raises:
            ManymodalError: there is no row.
        """
        rows = data.reshape(-1, data.shape[-1])  # (n, w)
        if not len(rows):
            raise ManymodalError("no training value to take mean and spread from; at least one is needed")
        parts = torch.split(rows, ROWS_AT_ONCE)
        count = torch.stack([(~part.isnan()).sum(0) for part in parts]).sum(0).clamp_min(1)  # (w,)
        mean = torch.stack([part.double().nansum(0) for part in parts]).sum(0) / count  # (w,)
        variance = torch.stack([(part - mean).square().nansum(0) for part in parts]).sum(0) / count  # (w,)
        std = variance.sqrt()
        self.mean.copy_(mean)
        self.inv_std.copy_(torch.where(std > CONSTANT * mean.abs(), 1 / std, 0.0))
        return self

    def forward(self, data: Tensor) -> Tensor:
        """(..., w) of any real dtype -> (..., w) float32."""
        return (data.float() - self.mean) * self.inv_std
