"""A collection's values as a report shows them: texts, thumbnails of pictures, and in words what else there is."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from .collection import Collection
from .collection.media import decode_picture
from .collection.values import Kind
from .embeddings import Embeddings
from .errors import ManymodalError
from .evaluation.names import Names, Shown
from .vectors import Vectors

if TYPE_CHECKING:
    from PIL import Image

SIDE = 160  # of a thumbnail, in pixels
LONGEST = 300  # characters of a text


def names_of(data: Collection, embeddings: Embeddings, ordinals: Mapping[str, Tensor]) -> Names:
    """The collection's words for its items, labels and values.

    Args:
        data: what was embedded.
        embeddings: of its values; items are its row numbers.
        ordinals: {modality: (n,) int64}, each value's place in its item's list.
    """

    def show(modality: str, row: int) -> Shown:
        """The value that a row of the embeddings was made from."""
        owner = int(embeddings.items[modality][row])
        if owner < 0 and embeddings.labels is not None:  # one value per label: that of any row with the label
            owner = int((data.labels == int(embeddings.labels[modality][row])).argmax())
        found = data.extracted(modality, np.array([owner]))
        place = found.ordinal.tolist().index(int(ordinals[modality][row]))
        return shown(found.data[place], data.schema.modalities[modality].kind)

    return Names(dict(enumerate(data.ids)), data.label_names, show)


def names_of_vectors(given: Vectors) -> Names:
    """The words of a folder of vectors: ids, labels and, where it has a table of items, their texts or columns."""

    def show(modality: str, row: int) -> Shown:
        item = int(given.embeddings.items[modality][row])
        cells = given.columns(item) if item >= 0 else {}
        cell = cells.get(modality)
        if isinstance(cell, list) and modality in given.ordinals:
            cell = cell[int(given.ordinals[modality][row])]
        return (
            _text(cell)
            if isinstance(cell, str)
            else _table({n: c for n, c in cells.items() if not isinstance(c, list)})
        )

    return Names(given.ids, given.label_names, None if given.table is None else show)


def shown(value: Any, kind: Kind) -> Shown:
    """A value of a kind: a text as it is, a picture as a thumbnail, anything else in words."""
    return _WAYS[kind](value)


def _text(value: str) -> Shown:
    return Shown(value if len(value) <= LONGEST else value[: LONGEST - 1] + "…")


def _picture(value: Path | bytes) -> Shown:
    name = value.name if isinstance(value, Path) else "picture"
    try:
        picture = decode_picture(value)
    except ManymodalError as error:
        return Shown(f"{name}: {error}")
    return Shown(name, thumbnail(picture, SIDE, quality=80))


def thumbnail(picture: Image.Image, side: int, quality: int) -> bytes:
    """A JPEG file of a picture, made no larger than `side` pixels either way; the picture itself is made so too."""
    picture.thumbnail((side, side))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def _table(value: Mapping[str, Any]) -> Shown:
    return _text(", ".join(f"{name}: {cell}" for name, cell in value.items() if cell is not None))


def _sound(value: Path | bytes) -> Shown:
    return Shown(value.name if isinstance(value, Path) else f"a sound of {len(value):,} bytes")


def _vector(value: np.ndarray[Any, Any]) -> Shown:
    return Shown(f"a vector of {len(value)} numbers")


def _series(value: np.ndarray[Any, Any]) -> Shown:
    """The path of a pen as it was drawn; any other as its channels over time, in grey levels."""
    from PIL import Image, ImageDraw

    said = f"{len(value)} steps of {value.shape[1]} channels"
    if is_path(value):
        sheet = Image.new("L", (SIDE, SIDE), 255)
        pen = ImageDraw.Draw(sheet)
        for before, (x, y, drawing) in pairwise(value):
            if drawing:
                pen.line((*(before[:2] * SIDE), x * SIDE, y * SIDE), fill=0, width=SIDE // 40)
        return Shown(said, _png(sheet))
    levels = np.asarray(value, dtype=np.float32).T[::-1]  # (channels, time), the first channel at the bottom
    low, high = float(levels.min(initial=0)), float(levels.max(initial=1))
    grey = ((levels - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
    picture = Image.fromarray(grey).resize((SIDE, SIDE // 2))
    return Shown(said, _png(picture))


def is_path(series: np.ndarray[Any, Any]) -> bool:
    """Whether a series is the path of a pen: x and y in the unit square (y down), and whether the pen came drawing."""
    if series.shape[1] != 3 or len(series) < 2:
        return False
    places, drawing = series[:, :2], series[:, 2]  # (t, 2), (t,)
    return bool(((places >= 0) & (places <= 1)).all() and np.isin(drawing, (0, 1)).all() and drawing.any())


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


_WAYS: dict[Kind, Callable[[Any], Shown]] = {
    "text": _text,
    "image": _picture,
    "audio": _sound,
    "table": _table,
    "vector": _vector,
    "series": _series,
}
