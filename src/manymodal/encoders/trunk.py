"""The network under audio and series: strided convolutions over time, then pooling over whatever time there is."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = (48, 96, 144)  # of the three layers, each with half the time resolution of the one before
BLOCK = 2 ** len(CHANNELS)  # input frames for each output frame
QUERIES = 4  # of the attention


class Halving(nn.Linear):
    """(time, channels_in) -> (time / 2, channels_out): a convolution of length 4 and stride 2 as one matrix product.

    Each output frame sees its own two input frames and the two before. Frames stay rows throughout, which on a CPU is
    faster than a convolution with its transposes.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(4 * channels_in, channels_out)

    def forward(self, frames: Tensor) -> Tensor:
        """See the class; the time is even, and before the first frame there are zeros."""
        pairs = frames.reshape(len(frames) // 2, -1)  # (time / 2, 2 channels_in)
        before = F.pad(pairs[:-1], (0, 0, 1, 0))  # (time / 2, 2 channels_in)
        return super().forward(torch.cat([before, pairs], dim=1))  # (time / 2, channels_out)


class Trunk(nn.Module):
    """(total, channels) frames of n series -> (n, width) features.

    All series are laid end to end on one time axis, each rounded up to whole blocks and followed by an empty one, and
    that axis goes through the convolutions at once: series of 20 and 2,000 frames cost 2,020 frames, not 4,000. What
    lies between them is set to zero before each layer and frames are normalised one by one, so a series never sees
    its neighbours. Where a frame lies in its series (-1 to 1) is an input of its own, since pooling forgets it.

    Args:
        channels: numbers in each frame.
    """

    width = CHANNELS[-1] * 2 + CHANNELS[-1] * QUERIES

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = (channels + 1, *CHANNELS)
        self.layers = nn.ModuleList(Halving(a, b) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.LayerNorm(c) for c in CHANNELS)
        self.attention = nn.Linear(CHANNELS[-1], QUERIES)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """See the class.

        Args:
            frames: (total, channels) float32, the series' frames one after another.
            lengths: (n,) int64, at least 1 each, summing to total.
        """
        owner, within = places(lengths)
        blocks = (lengths + BLOCK - 1) // BLOCK  # (n,) of each series
        first = (blocks + 1).cumsum(0) - blocks - 1  # (n,) block that it begins with
        total = int((blocks + 1).sum()) * BLOCK
        place = (first * BLOCK)[owner] + within  # (total,) on the one axis
        position = 2 * (within + 0.5) / lengths[owner] - 1  # (total,)
        x = frames.new_zeros(total, frames.shape[1] + 1)  # (time, channels + 1)
        x = x.index_copy(0, place, torch.cat([frames, position[:, None]], dim=1))
        used = torch.zeros(total, 1, device=frames.device).index_fill(0, place, 1.0)  # (time, 1)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = F.relu(norm(layer(x)))  # (time / 2, channels of the layer)
            used = used.view(-1, 2, 1).amax(1)  # (time / 2, 1)
            x = x * used
        return self._pool(x, blocks)

    def _pool(self, x: Tensor, blocks: Tensor) -> Tensor:
        """Mean, maximum and attention over each series' blocks, behind which one is empty: (all, c) -> (n, width)."""
        owner, within = places(blocks + 1)
        longest = int(blocks.max()) + 1
        padded = x.new_zeros(len(blocks) * longest, x.shape[1]).index_copy(0, owner * longest + within, x)
        padded = padded.view(len(blocks), longest, -1)  # (n, b, c)
        outside = (torch.arange(longest, device=x.device) >= blocks[:, None])[:, :, None]  # (n, b, 1)
        mean: Tensor = padded.masked_fill(outside, 0).sum(1) / blocks[:, None]  # (n, c)
        largest = padded.masked_fill(outside, -torch.inf).amax(1)  # (n, c)
        weight = self.attention(padded).masked_fill(outside, -torch.inf).softmax(1)  # (n, b, QUERIES)
        # One query after another: a product of so many small matrices is several times slower on a CPU.
        attended = torch.cat([(weight[:, :, q, None] * padded).sum(1) for q in range(QUERIES)], dim=1)  # (n, 4 c)
        return torch.cat([mean, largest, attended], dim=1)  # (n, width)


def disturbed(frames: Tensor, lengths: Tensor, noise: float = 0.1, hidden: float = 0.1) -> Tensor:
    """Training frames with noise added and, in each series, one stretch set to zero.

    Args:
        frames: (total, channels) float32, standardised.
        lengths: (n,) int64.
        noise: its spread.
        hidden: the longest stretch, as a part of the series.
    """
    owner, within = places(lengths)
    start, share = torch.rand(2, len(lengths), device=frames.device)  # (n,) each
    begin, end = start * lengths, (start + hidden * share) * lengths  # (n,)
    shown = (within < begin[owner]) | (within >= end[owner])  # (total,)
    disturbed_frames: Tensor = (frames + noise * torch.randn_like(frames)) * shown[:, None]
    return disturbed_frames


def places(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """For n values laid end to end: which value each frame is of, and its number therein; both (total,) int64."""
    owner = torch.repeat_interleave(lengths)  # (total,)
    begins = lengths.cumsum(0) - lengths  # (n,)
    return owner, torch.arange(len(owner), device=owner.device) - begins[owner]
