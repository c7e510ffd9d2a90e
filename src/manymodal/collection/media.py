"""Pictures and sounds: opened, told apart by their first bytes, decoded; what is broken is refused with the reason."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ManymodalError

if TYPE_CHECKING:
    from PIL.Image import Image

Sound = tuple[NDArray[np.float32], int]

SUFFIXES: dict[Literal["image", "audio"], frozenset[str]] = {
    "image": frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")),
    "audio": frozenset((".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav")),
}


def kind_of_suffix(name: str) -> Literal["image", "audio"] | None:
    """What a file of that name holds, by its suffix; None where the suffix is neither a picture's nor a sound's."""
    suffix = Path(name).suffix.lower()
    return next((kind for kind, known in SUFFIXES.items() if suffix in known), None)


def kind_of_bytes(head: bytes) -> Literal["image", "audio"] | None:
    """What a file is, by its first twelve bytes; None where they are of no known format."""
    if head[:4] in (b"fLaC", b"OggS") or head[:3] == b"ID3" or head[8:12] == b"WAVE":
        return "audio"
    if head[:4] == b"FORM" and head[8:11] == b"AIF":
        return "audio"
    if head[:4] in (b"\x89PNG", b"GIF8", b"II*\0", b"MM\0*") or head[:3] == b"\xff\xd8\xff" or head[8:12] == b"WEBP":
        return "image"
    if head[:2] == b"BM" or (head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace()):
        return "image"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2:  # the frame header of an MP3 without tags
        return "audio"
    return None


def open_media(value: bytes | Path) -> bytes:
    """The file's content.

    Raises:
        ManymodalError: no such file, not readable, or empty.
    """
    if isinstance(value, Path):
        try:
            content = value.read_bytes()
        except OSError as error:
            raise ManymodalError(f"cannot read {value}: {error.strerror or error}") from error
    else:
        content = bytes(value)
    if not content:
        raise ManymodalError("empty file (0 bytes)")
    return content


def decode_picture(value: bytes | Path | NDArray[Any] | Image) -> Image:
    """A picture as 8-bit RGB: turned as its EXIF orientation says, what is transparent laid over white.

    Args:
        value: a file's content, its path, a decoded picture, or an array (height, width), (height, width, 1),
            (height, width, 3) or (height, width, 4) of uint8, uint16, bool or floats between 0 and 1.

    Raises:
        ManymodalError: not a picture, truncated, or an array of another shape or type.
    """
    from PIL import Image, ImageOps

    if isinstance(value, (bytes, bytearray, memoryview, Path)):
        picture = _open_picture(value if isinstance(value, Path) else bytes(value))
    elif isinstance(value, np.ndarray):
        picture = _picture_of(value)
    elif isinstance(value, Image.Image):
        picture = _loaded(value)
    else:
        raise ManymodalError(
            f"a picture came as {type(value).__name__}; needed: pathlib.Path, bytes, an array or a PIL image "
            "(a str is never opened)"
        )
    if 0 in picture.size:
        raise ManymodalError(f"empty picture ({picture.width} x {picture.height})")
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):  # 16 bits a pixel, which convert() would clip instead of scale
        picture = _picture_of(np.asarray(picture).clip(0, 65535).astype(np.uint16))
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        above = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", above.size, "white"), above)
    return picture.convert("RGB")


def decode_sound(value: bytes | Path | tuple[NDArray[Any], int]) -> Sound:
    """A sound as (time,) float32 samples of one channel, the mean of its channels, and its rate in Hz.

    Args:
        value: a file's content (WAV, FLAC, OGG, MP3, AIFF), its path, or (samples, rate) with samples (time,) or
            (time, channels), floats or signed integers.

    Raises:
        ManymodalError: not a sound, empty, or with samples that are not finite.
    """
    if isinstance(value, tuple):
        samples, rate = _samples_of(*value)
    elif isinstance(value, (bytes, bytearray, memoryview, Path)):
        samples, rate = _open_sound(value if isinstance(value, Path) else bytes(value))
    else:
        raise ManymodalError(
            f"a sound came as {type(value).__name__}; needed: pathlib.Path, bytes or (samples, rate) "
            "(a str is never opened)"
        )
    if samples.size == 0:
        raise ManymodalError("empty sound (no samples)")
    if rate <= 0:
        raise ManymodalError(f"a sound's rate must be positive, got {rate} Hz")
    if not np.isfinite(samples).all():
        raise ManymodalError("the sound has samples that are not finite (NaN or infinity)")
    return samples.mean(axis=1, dtype=np.float32), rate  # (time,)


def check_picture(value: bytes | Path) -> None:
    """Raise a `ManymodalError` with the reason where the picture cannot be decoded."""
    decode_picture(value)


def check_sound(value: bytes | Path) -> None:
    """Raise a `ManymodalError` with the reason where the sound cannot be decoded."""
    decode_sound(value)


def _open_picture(value: bytes | Path) -> Image:
    from PIL import Image, UnidentifiedImageError

    content = open_media(value)
    try:
        picture = Image.open(BytesIO(content))
    except UnidentifiedImageError as error:
        raise ManymodalError("not a picture of a known format") from error
    except Exception as error:  # see _loaded
        raise ManymodalError(f"broken picture: {error}") from error
    return _loaded(picture)


def _loaded(picture: Image) -> Image:
    try:
        picture.load()
    except Exception as error:  # Pillow's format plugins raise whatever their parsers meet
        raise ManymodalError(f"broken picture: {error}") from error
    return picture


def _picture_of(array: NDArray[Any]) -> Image:
    from PIL import Image

    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]  # (height, width)
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise ManymodalError(
            f"a picture came as an array of shape {array.shape}; needed: (height, width) or (height, width, 1, 3 or 4)"
        )
    if array.dtype == np.bool_:
        array = array * np.uint8(255)
    elif array.dtype == np.uint16:
        array = (array // 257).astype(np.uint8)
    elif array.dtype.kind == "f":
        if not (np.isfinite(array).all() and (array >= 0).all() and (array <= 1).all()):
            raise ManymodalError("a picture of floats must be finite and between 0 and 1")
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ManymodalError(
            f"a picture came as an array of {array.dtype}; needed: uint8, uint16, bool or floats in 0 to 1"
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _open_sound(value: bytes | Path) -> Sound:
    import soundfile

    content = open_media(value)
    try:
        return soundfile.read(BytesIO(content), dtype="float32", always_2d=True)  # type: ignore[no-any-return]
    except (soundfile.SoundFileError, RuntimeError, TypeError) as error:
        raise ManymodalError(f"not a readable sound: {str(error).split(': ')[-1].strip()}") from error


def _samples_of(samples: NDArray[Any], rate: int) -> Sound:
    array = np.asarray(samples)
    if array.ndim not in (1, 2) or array.dtype.kind not in "fi":
        raise ManymodalError(
            f"a sound came as {array.dtype} of shape {array.shape}; "
            "needed: floats or signed integers (time,) or (time, channels)"
        )
    scale = 1.0 if array.dtype.kind == "f" else 1.0 / -float(np.iinfo(array.dtype).min)
    array = array.astype(np.float32) * np.float32(scale)
    return (array[:, None] if array.ndim == 1 else array), int(rate)  # (time, channels)
