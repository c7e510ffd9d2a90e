"""Pictures and sounds of every sort come out alike; broken ones are refused with the reason."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from manymodal.collection.media import (
    check_picture,
    check_sound,
    decode_picture,
    decode_sound,
    kind_of_bytes,
    kind_of_suffix,
    open_media,
)
from manymodal.errors import ManymodalError


def picture(mode="RGB", size=(12, 9), seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image, form="PNG", **options):
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def sound(samples, form="WAV", rate=8000, **options):
    file = BytesIO()
    soundfile.write(file, samples, rate, format=form, **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "LA", "RGBA"])
def test_pictures_of_every_mode_become_rgb(mode):
    image = decode_picture(encoded(picture(mode)))
    assert image.mode == "RGB"
    assert image.size == (12, 9)


def test_print_colours_become_rgb():
    assert decode_picture(encoded(picture("CMYK"), "JPEG")).mode == "RGB"


def test_what_is_transparent_lies_over_white():
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 128))
    assert decode_picture(encoded(clear)).getpixel((0, 0)) == (255, 255, 255)
    assert decode_picture(half).getpixel((0, 0)) == (127, 127, 127)


def test_a_transparent_colour_of_a_palette_lies_over_white():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30] * 256)
    assert decode_picture(encoded(image, transparency=0)).getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bits_are_scaled_not_clipped():
    deep = np.full((3, 3), 40_000, dtype=np.uint16)
    assert decode_picture(deep).getpixel((0, 0)) == (155, 155, 155)
    assert decode_picture(encoded(Image.fromarray(deep))).getpixel((0, 0)) == (155, 155, 155)


def test_a_camera_held_sideways_is_turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode_picture(encoded(picture(), "JPEG", exif=exif)).size == (9, 12)


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 1), (5, 4, 3), (5, 4, 4)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "bool", "float32"])
def test_arrays_are_pictures(shape, dtype):
    if len(shape) == 3 and shape[2] > 1 and dtype == "bool":
        array = np.ones(shape, dtype=bool)
    else:
        array = np.ones(shape, dtype=dtype)
    assert decode_picture(array).size == (4, 5)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.zeros((2, 2, 5), np.uint8), r"shape \(2, 2, 5\)"),
        (np.zeros((2, 2), np.int64), "int64"),
        (np.full((2, 2), np.nan), "finite and between 0 and 1"),
        (np.full((2, 2), 7.0), "between 0 and 1"),
        (np.zeros((0, 3), np.uint8), "empty picture"),
        (encoded(picture(size=(80, 80)), "JPEG")[:900], "truncated"),
        (encoded(picture(size=(80, 80)))[:900], "broken picture"),
        (b"some words, no picture", "not a picture"),
        (b"", "0 bytes"),
        (Path("nowhere.png"), "No such file"),
        ("cat.png", "never opened"),
    ],
)
def test_what_is_no_picture_is_refused(value, reason):
    with pytest.raises(ManymodalError, match=reason):
        check_picture(value)


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
def test_sounds_of_every_format_become_one_channel(form):
    wave = np.sin(np.arange(8000) / 20).astype(np.float32) / 2
    content = sound(np.stack([wave, -wave / 2], axis=1), form)  # (time, 2)
    samples, rate = decode_sound(content)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert rate == 8000
    assert np.abs(samples[2000:6000] - wave[2000:6000] / 4).max() < 0.1
    assert kind_of_bytes(content[:12]) == "audio"


def test_samples_and_paths_are_sounds(tmp_path):
    samples, rate = decode_sound((np.array([[16384, 0], [-32768, 0]], dtype=np.int16), 16_000))
    assert samples.tolist() == [0.25, -0.5]
    assert rate == 16_000
    (tmp_path / "a.wav").write_bytes(sound(np.zeros(5)))
    assert decode_sound(tmp_path / "a.wav")[0].shape == (5,)
    assert open_media(tmp_path / "a.wav")[:4] == b"RIFF"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (sound(np.zeros(0)), "empty sound"),
        (sound(np.array([0.1, np.nan]), subtype="FLOAT"), "not finite"),
        (sound(np.zeros(100))[:20], "not a readable sound"),
        (b"", "0 bytes"),
        (b"no sound at all", "not a readable sound"),
        ((np.zeros(4), 0), "rate must be positive"),
        ((np.zeros((2, 2, 2)), 8000), r"shape \(2, 2, 2\)"),
        (Path("nowhere.wav"), "No such file"),
        ("a.wav", "never opened"),
    ],
)
def test_what_is_no_sound_is_refused(value, reason):
    with pytest.raises(ManymodalError, match=reason):
        check_sound(value)


def test_first_bytes_and_suffixes_tell_pictures_from_sounds():
    for form in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"):
        assert kind_of_bytes(encoded(picture(), form)[:12]) == "image"
    assert kind_of_bytes(b"hello world!") is None
    assert kind_of_bytes(b"") is None
    assert [kind_of_suffix(name) for name in ("A.JPG", "b.flac", "c.txt", "d")] == ["image", "audio", None, None]
