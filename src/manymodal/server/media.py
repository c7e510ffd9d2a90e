"""Pictures and sounds of strangers: their headers are read, and refused or let through, before anything is decoded."""

from __future__ import annotations

from io import BytesIO
from typing import Literal

from ..collection.media import kind_of_bytes
from ..errors import ManymodalError
from .settings import Limits

CHUNKS, SCANS = 10_000, 64  # of a PNG and a JPEG: real ones have far fewer, and each more costs time in decoding
PICTURES = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
SOUNDS = ("WAV", "WAVEX", "FLAC", "OGG", "MP3", "AIFF")
CHANNELS = 8
RATES = (1_000, 192_000)  # Hz
SAMPLES = 96_000  # a second, of all channels, on average over the longest sound: bounds what decoding takes


def check_media(kind: Literal["image", "audio"], content: bytes, limits: Limits) -> float:
    """What a picture costs in pixels, or a sound in seconds, by its header.

    Raises:
        ManymodalError: not a picture or sound of a format that is read, or larger than allowed.
    """
    return _pixels(content, limits) if kind == "image" else _seconds(content, limits)


def _pixels(content: bytes, limits: Limits) -> int:
    from PIL import Image

    if _chunks(content) > CHUNKS or (content[:2] == b"\xff\xd8" and content.count(b"\xff\xda") > SCANS):
        raise ManymodalError("a picture in too many pieces; save it again, in the usual way")
    try:
        with Image.open(BytesIO(content), formats=PICTURES) as picture:
            width, height = picture.size
    except Image.DecompressionBombError as error:
        raise ManymodalError(f"the picture has too many pixels; at most {limits.picture_pixels:,} are read") from error
    except Exception as error:  # Pillow's format plugins raise whatever their parsers meet
        raise ManymodalError(f"not a picture that is read here; allowed are {', '.join(PICTURES)}") from error
    if width * height > limits.picture_pixels:
        raise ManymodalError(
            f"a picture of {width:,} x {height:,} pixels; at most {limits.picture_pixels:,} are read: "
            "send a smaller one"
        )
    return width * height


def _chunks(content: bytes) -> int:
    """How many chunks a PNG has, counted up to one more than allowed; 0 for any other file."""
    place, count = 8, 0
    while content[:4] == b"\x89PNG" and place < len(content) and count <= CHUNKS:
        place += 12 + int.from_bytes(content[place : place + 4], "big")
        count += 1
    return count


def _seconds(content: bytes, limits: Limits) -> float:
    import soundfile

    refusal = f"not a sound that is read here; allowed are {', '.join(SOUNDS)}"
    if kind_of_bytes(content[:12]) != "audio":
        raise ManymodalError(refusal)
    try:
        info = soundfile.info(BytesIO(content))
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError) as error:
        raise ManymodalError(refusal) from error
    if info.format not in SOUNDS:
        raise ManymodalError(refusal)
    if not (1 <= info.channels <= CHANNELS and RATES[0] <= info.samplerate <= RATES[1]):
        raise ManymodalError(
            f"a sound of {info.channels} channels at {info.samplerate:,} Hz; "
            f"at most {CHANNELS} channels at {RATES[0]:,} to {RATES[1]:,} Hz are read"
        )
    seconds = info.frames / info.samplerate
    if seconds > limits.sound_seconds or info.frames * info.channels > limits.sound_seconds * SAMPLES:
        raise ManymodalError(
            f"a sound of {seconds:,.1f} seconds, {info.channels} channels at {info.samplerate:,} Hz; at most "
            f"{limits.sound_seconds:g} seconds of {SAMPLES:,} samples are read: send a shorter or coarser one"
        )
    return float(seconds)
