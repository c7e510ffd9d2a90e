"""Typefaces: which characters each can draw, and a glyph as a picture, as a pen path and as marks of identity."""

from __future__ import annotations

import hashlib
import math
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .frame import Frame, png

# Of the fonts that come with matplotlib, those whose code points mean what Unicode says.
FACES = {"sans": "DejaVuSans", "serif": "DejaVuSerif", "mono": "DejaVuSansMono", "stix": "STIXGeneral"}
POINTS = 64  # of a pen path

_EM = 128  # pixels of an em where ink is first drawn
_ORIGIN = (3 * _EM // 2, 2 * _EM)  # of a glyph on a sheet of 4 x 4 em: room for ink from -1 em to 2 em across
_CLOSE = 79  # the path code that ends a contour; its vertex means nothing


@dataclass(frozen=True)
class Glyph:
    """A character as one face draws it.

    Args:
        picture: PNG as `frame.png` makes it.
        marks: two glyphs with a mark in common are one drawing, wherever in the em it stands. One mark is made of the
            contours and one of the pixels: equal contours can fall on other pixels, and one shape can be put together
            in several ways.
    """

    picture: bytes
    marks: tuple[bytes, bytes]


class Face:
    """One typeface that comes with matplotlib, by its key in `FACES`."""

    def __init__(self, name: str) -> None:
        import matplotlib
        from matplotlib.ft2font import FT2Font

        path = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{FACES[name]}.ttf")
        self._contours = FT2Font(str(path))
        # Basic layout: a code point is one glyph on every machine, with or without a shaping library.
        self._pixels = ImageFont.truetype(str(path), _EM, layout_engine=ImageFont.Layout.BASIC)
        self._codes = {code for code in self._contours.get_charmap() if _visible(chr(code))}

    @property
    def characters(self) -> list[str]:
        """The characters that the face has, in order of code point; some may be drawn blank."""
        return [chr(code) for code in sorted(self._codes)]

    def glyph(self, character: str) -> Glyph | None:
        """The character's drawing; None where the face lacks it or draws nothing."""
        if ord(character) not in self._codes:
            return None
        sheet = Image.new("L", (4 * _EM, 4 * _EM))
        ImageDraw.Draw(sheet).text(_ORIGIN, character, fill=255, font=self._pixels, anchor="ls")
        box = sheet.getbbox()
        if box is None:
            return None
        ink = sheet.crop(box)
        left, top, right, bottom = ((edge - _ORIGIN[axis % 2]) / _EM for axis, edge in enumerate(box))
        frame = Frame.around(left, top, right, bottom)
        side = math.ceil(frame.side * _EM)
        square = Image.new("L", (side, side))
        square.paste(ink, (round((left - frame.x) * _EM + side / 2), round((top - frame.y) * _EM + side / 2)))
        path = self._path(character)
        points = path.vertices[path.codes != _CLOSE]  # (n, 2)
        points = np.unique(points - points.min(axis=0), axis=0)  # in any order, at any place
        return Glyph(png(square), (_digest(points.tobytes()), _digest(repr(ink.size).encode() + ink.tobytes())))

    def outline(self, character: str) -> NDArray[np.float32] | None:
        """The contours as the path of a pen.

        Returns:
            (t, 3) float32, at most `POINTS` rows (or one per contour, if these are more), at equal steps along the
            contours: x and y in the unit square of the picture (y down), and 1 where the pen came drawing, 0 where it
            was first put down. A contour's way back to its first point is not repeated. None as in `glyph`.
        """
        if ord(character) not in self._codes:
            return None
        polygons = [polygon * (1, -1) for polygon in self._path(character).to_polygons(closed_only=False)]  # y down
        if not polygons:
            return None
        every = np.concatenate(polygons)  # (points, 2)
        frame = Frame.around(*every.min(axis=0), *every.max(axis=0))
        lengths = np.array([np.linalg.norm(np.diff(polygon, axis=0), axis=1).sum() for polygon in polygons])
        spare = max(POINTS - len(polygons), 0)
        counts = 1 + np.floor(spare * lengths / lengths.sum()).astype(int)
        steps = [_walk(frame.unit(polygon), count) for polygon, count in zip(polygons, counts, strict=True)]
        return np.concatenate(steps).astype(np.float32)

    def _path(self, character: str) -> Any:
        """The contours as a matplotlib Path in em, y up; without hints, so the exact design at any size."""
        from matplotlib.ft2font import LoadFlags
        from matplotlib.path import Path as Contours

        self._contours.load_char(ord(character), flags=LoadFlags.NO_SCALE)
        vertices, codes = self._contours.get_path()
        return Contours(vertices * 64 / self._contours.units_per_EM, codes)  # the reader takes units for 1/64 pixels


def _walk(polygon: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """`count` points at equal steps along a closed polygon (n, 2), its first point first: (count, 3)."""
    step = np.linalg.norm(np.diff(polygon, axis=0), axis=1)
    along = np.concatenate([[0.0], step.cumsum()])  # (n,)
    stops = np.linspace(0, along[-1], count, endpoint=False)
    x, y = (np.interp(stops, along, polygon[:, axis]) for axis in (0, 1))
    return np.stack([x, y, np.arange(count) > 0], axis=1)  # (count, 3)


def _visible(character: str) -> bool:
    """Whether Unicode means it to be seen: no control, format, private, surrogate or unassigned code, no space."""
    return unicodedata.category(character)[0] not in "CZ"


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
