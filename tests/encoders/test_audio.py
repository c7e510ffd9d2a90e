from io import BytesIO

import numpy as np
import pytest
import soundfile
import torch

from manymodal.encoders.audio import BANDS, RATE, Audio, log_mel, mel_bands
from manymodal.errors import BadValue


def tone(frequency, seconds=0.5, rate=RATE, loudness=0.5):
    return (loudness * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)).astype("float32")


def wav(samples, rate):
    file = BytesIO()
    soundfile.write(file, samples, rate, format="WAV")
    return file.getvalue()


def test_every_band_hears_something_and_a_tone_is_in_its_band():
    assert mel_bands().shape == (257, BANDS) and (mel_bands().sum(0) > 0.5).all()
    low, high = (log_mel(torch.from_numpy(tone(f))).float().mean(0) for f in (200, 4000))
    assert low.argmax() < high.argmax() - 15


def test_frames_are_a_hundred_a_second():
    frames = log_mel(torch.from_numpy(tone(440, seconds=1)))
    assert frames.shape == (98, BANDS) and frames.dtype == torch.uint8


def test_loudness_of_the_recording_makes_no_difference():
    noise = np.random.default_rng(0).normal(size=4000).astype("float32")
    quiet, loud = (log_mel(torch.from_numpy(0.1 * gain * noise)).float() for gain in (0.1, 1.0))
    assert (quiet - loud).abs().max() <= 1


def test_silence_is_the_bottom_and_finite():
    assert (log_mel(torch.zeros(4000)) == 0).all()


def test_bytes_paths_and_samples_at_any_rate_are_the_same_sound(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(tone(440, rate=22050), 22050))
    stereo = np.stack([tone(440, rate=44100)] * 2, axis=1)
    encoder = Audio()
    here = encoder.tensor((tone(440), RATE)).float()
    for value in (tmp_path / "a.wav", wav(tone(440), RATE), (stereo, 44100), (tone(440, rate=8000), 8000)):
        there = encoder.tensor(value).float()
        assert abs(len(there) - len(here)) <= 1
        assert (there[5:40, 5] - here[5:40, 5]).abs().max() < 8  # the tone's own band, away from the ends
        assert there[20].argmax() == here[20].argmax()


@pytest.mark.parametrize(("samples", "rate"), [(1, 16000), (1, 48000), (399, 16000), (800, 16000), (2, 8)])
def test_very_short_sounds_are_filled_up(samples, rate):
    encoder = Audio().eval()
    packed = encoder.pack([(np.ones(samples, "float32"), rate)])
    assert len(packed.data) >= 1 and encoder(packed).isfinite().all()


def test_only_the_beginning_of_a_long_sound_is_read():
    encoder = Audio(max_seconds=0.5)
    assert len(encoder.tensor((tone(440, seconds=3, rate=8000), 8000))) == 48
    assert encoder.settings() == {"max_seconds": 0.5}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (wav(np.zeros(0, "float32"), 8000), "empty sound"),
        (b"RIFF no sound", "not a readable sound"),
        ((np.array([0.0, np.nan]), 8000), "not finite"),
        ("a.wav", "never opened"),
    ],
)
def test_broken_sounds_are_named(value, reason):
    with pytest.raises(BadValue, match=reason) as caught:
        Audio().pack([(tone(440), RATE), value])
    assert caught.value.index == 1
