"""Pictures: a small convolutional network, trained from scratch."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..collection.media import decode_picture
from .base import Encoder, Packed
from .registry import register

CHANNELS = (24, 48, 96, 192)
GRID = 2  # the map is averaged over GRID x GRID fields, so that a feature knows roughly where it was seen


@register("image")
class Image(Encoder):
    """Four stages of convolution, each with half the resolution of the one before, then means over quarters.

    Pictures are squashed to a square (no cropping, no borders: all of a picture counts, and its shape is lost). In
    training each is turned, scaled and shifted a little. Groups of channels are normalised within each picture, so a
    picture's feature never depends on its neighbours in the batch.

    Args:
        size: width and height in pixels; 32 does for glyphs, icons and digits.
        augment: how far a training picture is moved: 1 is turns of 10 degrees, 10 % of scale and 8 % of shift at
            most; 0 is not at all.
        mirror: also mirror half of the training pictures. Off, since script and many signs change their meaning.
        colour: at most this change of brightness, contrast and saturation in training; 0 is none.
    """

    kind: ClassVar[str] = "image"
    width = CHANNELS[-1] * GRID * GRID

    def __init__(self, size: int = 64, augment: float = 1.0, mirror: bool = False, colour: float = 0.0) -> None:
        super().__init__()
        self.size, self.augment, self.mirror, self.colour = size, augment, mirror, colour
        fine = size <= 40  # a small picture keeps its resolution in the first stage
        stages = [stage(3, CHANNELS[0], 1 if fine else 2)]
        stages += [stage(a, b, 2) for a, b in pairwise(CHANNELS)]
        self.stages = nn.Sequential(*stages)

    def tensor(self, value: Any) -> Tensor:
        """Bytes, a `Path`, a PIL picture or an array -> (3, size, size) uint8, RGB, transparency over white."""
        from PIL.Image import Resampling

        picture = decode_picture(value).resize((self.size, self.size), Resampling.BILINEAR)
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()  # (3, size, size)

    def forward(self, values: Packed) -> Tensor:
        """Packed (n, 3, size, size) uint8 -> (n, width) float32."""
        x = values.data.float() / 127.5 - 1  # (n, 3, size, size), -1 to 1
        if self.training:
            x = self._recoloured(self._moved(x))
        x = self.stages(x.contiguous(memory_format=torch.channels_last))  # (n, CHANNELS[-1], s, s)
        return F.adaptive_avg_pool2d(x, GRID).flatten(1)  # (n, width)

    def settings(self) -> dict[str, Any]:
        """Size and augmentation."""
        return {"size": self.size, "augment": self.augment, "mirror": self.mirror, "colour": self.colour}

    def _moved(self, x: Tensor) -> Tensor:
        if not self.augment and not self.mirror:
            return x
        turn, stretch, across, down = self.augment * (2 * torch.rand(4, len(x), device=x.device) - 1)  # (n,) each
        turn, scale = 0.175 * turn, 1 + 0.1 * stretch
        side = 1 - 2 * (torch.rand_like(scale) < 0.5).float() if self.mirror else torch.ones_like(scale)  # (n,) 1 or -1
        cos, sin = scale * turn.cos(), scale * turn.sin()
        moves = torch.stack([side * cos, -sin, 0.16 * across, side * sin, cos, 0.16 * down], dim=1)  # (n, 6)
        grid = F.affine_grid(moves.view(-1, 2, 3), list(x.shape), align_corners=False)  # (n, size, size, 2)
        return F.grid_sample(x, grid, padding_mode="border", align_corners=False)

    def _recoloured(self, x: Tensor) -> Tensor:
        if not self.colour:
            return x
        light, contrast, saturation = self.colour * (2 * torch.rand(3, len(x), 1, 1, 1, device=x.device) - 1)
        grey = x.mean(1, keepdim=True)  # (n, 1, size, size)
        x = grey + (1 + saturation) * (x - grey)
        centre = x.mean((1, 2, 3), keepdim=True)  # (n, 1, 1, 1)
        changed: Tensor = centre + (1 + contrast) * (x - centre) + light
        return changed.clamp(-1, 1)


def stage(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    """Convolution of 3 x 3, normalised in groups of 12 channels, GELU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(channels_out // 12, channels_out),
        nn.GELU(),
    )
