"""The 312 attributes of CUB-200-2011: of each species, and of each photo."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import ManymodalError
from ...progress import bar
from ...words import counted
from .layout import by_id, lines, malformed


def class_attributes(path: Path, names: Path | None, classes: Mapping[int, str]) -> dict[int, list[float]]:
    """How large a share of people, 0 to 1, saw each attribute in each class.

    Args:
        path: `class_attribute_labels_continuous.txt`, a line of percentages for each class.
        names: `attributes.txt`, a line for each attribute, where it is.
        classes: in their order.

    Raises:
        ManymodalError: a malformed line, or too few or too many.
    """
    width = None if names is None else attribute_count(names)
    found: list[list[float]] = []
    for number, line in lines(path):
        try:
            shares = [float(cell) / 100 for cell in line.split()]
        except ValueError:
            raise malformed(path, number, line, "percentages") from None
        if not all(isfinite(share) and 0 <= share <= 1 for share in shares):
            raise malformed(path, number, line, "percentages between 0 and 100")
        width = width or len(shares)
        if len(shares) != width:
            raise malformed(path, number, line, f"{width} percentages, and there are {len(shares)}")
        found.append(shares)
    if len(found) != len(classes):
        raise ManymodalError(
            f"{path}: found {counted(len(found), 'line')}; needed: one for each of the {len(classes)} classes"
        )
    return dict(zip(sorted(classes), found, strict=True))


def attribute_count(path: Path) -> int:
    """How many attributes `attributes.txt` names.

    Raises:
        ManymodalError: they are not numbered from 1.
    """
    names = by_id(path, 2, "ATTRIBUTE NAME", lambda cells: cells[0])
    if sorted(names) != list(range(1, len(names) + 1)):
        raise ManymodalError(
            f"{path}: found numbers up to {max(names)} for {len(names)} attributes; needed: 1, 2, 3 ..."
        )
    return len(names)


def image_attributes(
    path: Path, names: Path, images: Mapping[int, str], notes: list[str]
) -> dict[int, NDArray[np.int8]]:
    """Which attributes one person saw in each photo.

    In the published file some lines have further columns after the certainty; what is read stands before it.

    Args:
        path: `image_attribute_labels.txt`, lines of IMAGE ATTRIBUTE PRESENT CERTAINTY TIME.
        names: `attributes.txt`.
        images: by number.
        notes: gets a line on lines with more or fewer than five columns.

    Returns:
        (attributes,) int8 for each image, 1 where the attribute was seen.

    Raises:
        ManymodalError: a line whose first three columns are malformed, or an image without some attribute.
    """
    width, odd = attribute_count(names), 0
    rows = {image: row for row, image in enumerate(images)}
    seen = np.full((len(rows), width), -1, dtype=np.int8)  # (images, attributes), -1 until said
    needed = f"IMAGE ATTRIBUTE PRESENT ...: an image of images.txt, an attribute from 1 to {width}, 0 or 1"
    with bar(f"reading {path.name}", len(rows)) as advance:
        for number, line in lines(path):
            cells = line.split()
            odd += len(cells) != 5
            try:
                row, attribute, present = rows[int(cells[0])], int(cells[1]), ("0", "1").index(cells[2])
            except (ValueError, LookupError):
                raise malformed(path, number, line, needed) from None
            if not 1 <= attribute <= width:
                raise malformed(path, number, line, needed)
            if seen[row, attribute - 1] >= 0:
                raise malformed(path, number, line, "each attribute of an image once")
            seen[row, attribute - 1] = present
            if number % width == 0:  # about a photo's worth
                advance(1, "")
    if odd:
        notes.append(f"{path.name}: {counted(odd, 'line')} with more or fewer than 5 columns, of which 3 were read")
    for image, row in rows.items():
        if (seen[row] < 0).any():
            count = int((seen[row] >= 0).sum())
            raise ManymodalError(f"{path}: found {count} attributes of image {image}; needed: all {width}")
    return {image: seen[row] for image, row in rows.items()}
