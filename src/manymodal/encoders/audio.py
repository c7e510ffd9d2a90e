"""Sounds: log-mel frames through the same trunk as series."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ..collection.media import decode_sound
from .base import Encoder, Packed
from .registry import register
from .trunk import Trunk, disturbed

RATE = 16_000  # Hz
WINDOW, HOP, SPECTRUM = 400, 160, 512  # samples: 25 ms, 10 ms, and the length of the Fourier transform
BANDS, LOWEST, HIGHEST = 40, 60.0, 8_000.0  # mel bands, Hz
RANGE = 80.0  # dB kept below the loudest band of the loudest frame
FAINTEST = 1e-7  # of the power that a full-scale tone has; silence is not blown up beyond it


@register("audio")
class Audio(Encoder):
    """A sound's log-mel frames through a time-pooled convolution that is trained.

    Loudness is measured from each sound's own peak, so that recording level does not matter.

    Args:
        max_seconds: of a longer sound only so much of its beginning is read.
    """

    kind: ClassVar[str] = "audio"
    ragged: ClassVar[bool] = True
    width = Trunk.width

    def __init__(self, max_seconds: float = 30.0) -> None:
        super().__init__()
        self.max_seconds = max_seconds
        self.trunk = Trunk(BANDS)

    def tensor(self, value: Any) -> Tensor:
        """Bytes, a `Path` or (samples, rate) -> (frames, BANDS) uint8, 100 frames a second; see `log_mel`."""
        import soxr

        samples, rate = decode_sound(value)
        samples = samples[: int(self.max_seconds * rate)]
        if rate != RATE:
            samples = soxr.resample(samples, rate, RATE)
        return log_mel(torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32)))

    def forward(self, values: Packed) -> Tensor:
        """Packed (total, BANDS) uint8 -> (n, width) float32."""
        frames, lengths = values.data.float() / 64 - 2, values.lengths  # (total, BANDS), -2 to 2
        if self.training:
            frames = disturbed(frames, lengths)
        features: Tensor = self.trunk(frames, lengths)
        return features

    def settings(self) -> dict[str, Any]:
        """The longest length."""
        return {"max_seconds": self.max_seconds}


def log_mel(samples: Tensor) -> Tensor:
    """Loudness in mel bands: (time,) float32 at 16 kHz -> (frames, BANDS) uint8.

    255 is the sound's loudest band and frame, 0 is RANGE dB below it or less. A sound shorter than a window is filled
    up with silence. The mel scale is 2595 log10(1 + f / 700).
    """
    missing = max(WINDOW - len(samples), 0)
    windows = torch.nn.functional.pad(samples, (0, missing)).unfold(0, WINDOW, HOP)  # (frames, WINDOW)
    hann = torch.hann_window(WINDOW)
    power = torch.fft.rfft(windows * hann, SPECTRUM).abs().square() / hann.sum().square()  # (frames, SPECTRUM / 2 + 1)
    bands = power @ mel_bands()  # (frames, BANDS)
    below = 10 * torch.log10(bands.clamp_min(1e-20) / bands.max().clamp_min(FAINTEST))  # dB, at most 0
    return ((1 + below / RANGE).clamp_min(0) * 255).round().to(torch.uint8)


@cache
def mel_bands() -> Tensor:
    """(SPECTRUM / 2 + 1, BANDS) float32: overlapping triangles, evenly spaced on the mel scale."""
    mel_low, mel_high = (2595 * np.log10(1 + f / 700) for f in (LOWEST, HIGHEST))
    edges = 700 * (10 ** (np.linspace(mel_low, mel_high, BANDS + 2) / 2595) - 1)  # (BANDS + 2,) Hz
    frequency = np.linspace(0, RATE / 2, SPECTRUM // 2 + 1)[:, None]  # (SPECTRUM / 2 + 1, 1) Hz
    rising = (frequency - edges[:-2]) / (edges[1:-1] - edges[:-2])  # (SPECTRUM / 2 + 1, BANDS)
    falling = (edges[2:] - frequency) / (edges[2:] - edges[1:-1])  # (SPECTRUM / 2 + 1, BANDS)
    return torch.from_numpy(np.minimum(rising, falling).clip(min=0).astype(np.float32))
