"""The learned multiplier of similarities (an inverse temperature), kept within bounds."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..errors import ManymodalError

CLIP_SCALE = 1 / 0.07
SCALE_RANGE = (1.0, 100.0)


def check_scale(start: float) -> None:
    """Refuse a starting scale outside the bounds."""
    low, high = SCALE_RANGE
    if not low <= start <= high:
        raise ManymodalError(
            f"scale={start}; allowed is {low:g} to {high:g} (1 / temperature; CLIP starts at 1 / 0.07)"
        )


def clamp_log_scale(log_scale: Tensor) -> None:
    """Back within the bounds, in place; after a step."""
    with torch.no_grad():
        log_scale.clamp_(*(math.log(bound) for bound in SCALE_RANGE))


class Scale(nn.Module):
    """exp of a learned number; starts at `start` and stays within [1, 100].

    Raises:
        ManymodalError: `start` lies outside.
    """

    def __init__(self, start: float) -> None:
        super().__init__()
        check_scale(start)
        self.start = float(start)
        self.log = nn.Parameter(torch.tensor(math.log(start)))

    def forward(self) -> Tensor:
        """() the multiplier."""
        return self.log.exp()

    def __float__(self) -> float:
        """The multiplier, as a number."""
        return float(self.log.detach().exp())

    def clamp(self) -> None:
        """Back within the bounds; after a step."""
        clamp_log_scale(self.log)
