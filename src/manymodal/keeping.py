"""A value as an index keeps it, to be seen and heard when the table that it came from is gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .collection.media import decode_picture, open_media
from .collection.values import Kind
from .errors import ManymodalError
from .showing import shown, thumbnail

SIDE = 256  # of a thumbnail, in pixels
SMALL = 2**15  # bytes of a picture that is kept as it is, where it is no larger than a thumbnail
LONGEST_SOUND = 2**19  # bytes of a sound that is kept

# What browsers show and play, by the first bytes of a file.
PICTURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
SOUNDS = {
    b"fLaC": "audio/flac",
    b"OggS": "audio/ogg",
    b"RIFF": "audio/wav",
    b"ID3": "audio/mpeg",
    b"\xff": "audio/mpeg",
}


class Kept(NamedTuple):
    """What is kept of a value: its text, or what it is in words; a media type and the content that it is of."""

    text: str | None
    type: str | None = None
    media: bytes | None = None


def kept(value: Any, kind: Kind | str, media: bool = True) -> Kept:
    """What an index keeps of a value.

    Args:
        value: as a collection gives it.
        kind: of its modality.
        media: whether pictures and sounds are kept; False keeps their names alone.
    """
    if kind == "text":
        return Kept(value)
    if kind in _MEDIA and media:
        return _MEDIA[kind](value)
    in_words = shown(value, kind)  # type: ignore[arg-type]
    return Kept(in_words.text, "image/png", in_words.picture) if in_words.picture and media else Kept(in_words.text)


def _picture(value: Path | bytes) -> Kept:
    """The picture itself where it is small, else a JPEG of it; what cannot be decoded is named, with the reason."""
    name = _name(value)
    try:
        content = open_media(value)
        picture = decode_picture(content)
    except ManymodalError as error:
        return Kept(f"{name or 'picture'}: {error}")
    known = _type(content, PICTURES)
    if known and len(content) <= SMALL and max(picture.size) <= SIDE:
        return Kept(name, known, content)
    return Kept(name, "image/jpeg", thumbnail(picture, SIDE, quality=85))


def _sound(value: Path | bytes) -> Kept:
    name = _name(value)
    content = open_media(value)
    known = _type(content, SOUNDS)
    if known is None or len(content) > LONGEST_SOUND:
        return Kept(f"{name or 'a sound'} ({len(content):,} bytes, not kept)")
    return Kept(name, known, content)


def _name(value: Path | bytes) -> str | None:
    return value.name if isinstance(value, Path) else None


def _type(content: bytes, known: Mapping[bytes, str]) -> str | None:
    return next((type for head, type in known.items() if content.startswith(head)), None)


_MEDIA: dict[str, Callable[[Any], Kept]] = {"image": _picture, "audio": _sound}
