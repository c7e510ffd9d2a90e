"""Where a bird and its body parts are in a photo of CUB-200-2011."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import ceil, floor, isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from .layout import by_id, malformed, parsed

if TYPE_CHECKING:
    from PIL.Image import Image

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels
QUALITY = 95  # of the JPEG that a crop is stored as


@dataclass(frozen=True)
class Parts:
    """Body parts, in pixels of the photo.

    Args:
        names: of the parts, as columns.
        places: image -> part -> (x, y); hidden parts are absent.
    """

    names: Mapping[int, str]
    places: Mapping[int, Mapping[int, tuple[float, float]]]

    def fields(self) -> list[str]:
        """The names of an image's numbers."""
        return [f"{name}_{axis}" for name in self.names.values() for axis in "xy"]

    def within(self, image: int, frame: Box) -> dict[str, float | None]:
        """An image's parts as fractions of a frame, null where hidden; what a crop cuts off is not in 0 to 1."""
        left, top, right, bottom = frame
        cells: dict[str, float | None] = dict.fromkeys(self.fields())
        for part, (x, y) in self.places.get(image, {}).items():
            cells[f"{self.names[part]}_x"] = (x - left) / (right - left)
            cells[f"{self.names[part]}_y"] = (y - top) / (bottom - top)
        return cells


def read_parts(names_path: Path, places_path: Path, images: Mapping[int, str]) -> Parts:
    """`parts/parts.txt` and `parts/part_locs.txt`.

    Raises:
        ManymodalError: a malformed line, or a part that comes twice for an image.
    """
    names = by_id(names_path, 2, "PART NAME", lambda cells: cells[0].replace(" ", "_"))
    needed = "IMAGE PART X Y VISIBLE (1 or 0), an image of images.txt and a part of parts.txt"
    places: dict[int, dict[int, tuple[float, float]]] = {}
    seen: set[tuple[int, int]] = set()
    for number, line, (image, part, x, y, visible) in parsed(places_path, 5, needed, _place):
        if image not in images or part not in names:
            raise malformed(places_path, number, line, needed)
        if (image, part) in seen:
            raise malformed(places_path, number, line, "each part of an image once")
        seen.add((image, part))
        if visible:
            places.setdefault(image, {})[part] = (x, y)
    return Parts(names, places)


def box_of(cells: Sequence[str]) -> Box:
    """X, y, width and height as whole pixels; a `ValueError` where they are no box."""
    x, y, width, height = (float(cell) for cell in cells)
    if not all(map(isfinite, (x, y, width, height))) or width <= 0 or height <= 0:
        raise ValueError
    return floor(x), floor(y), ceil(x + width), ceil(y + height)


def within_picture(box: Box, size: tuple[int, int]) -> Box | None:
    """The part of a box that lies on a picture; None where nothing of it does."""
    left, top, right, bottom = max(box[0], 0), max(box[1], 0), min(box[2], size[0]), min(box[3], size[1])
    return (left, top, right, bottom) if left < right and top < bottom else None


def cut(picture: Image, box: Box) -> bytes:
    """The part of a picture inside a box, as the bytes of a JPEG."""
    file = BytesIO()
    picture.crop(box).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _place(cells: list[str]) -> tuple[int, int, float, float, bool]:
    image, part, x, y, visible = cells
    at = float(x), float(y)
    if not all(map(isfinite, at)):
        raise ValueError
    return int(image), int(part), *at, {"1": True, "0": False}[visible]
