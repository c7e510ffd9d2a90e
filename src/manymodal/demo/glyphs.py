"""The glyph collection: every Unicode character that the fonts shipped with matplotlib can draw, seen in many ways.

Nothing is downloaded: pictures and pen paths come from the fonts, names and properties from the standard library. Gaps
are real: a serif face lacks many characters.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

from .blocks import block
from .faces import FACES, Face
from .families import families

if TYPE_CHECKING:
    import pyarrow as pa

PROPERTIES = ["category", "block", "bidirectional", "decomposition", "numeric", "combining", "mirrored", "width"]

# How to read the table: what `read_collection(..., config=)` takes.
GLYPH_CONFIG: dict[str, Any] = {
    "id": "id",
    "split_by": "family",
    "modalities": {
        **{face: {"kind": "image", "column": face, "options": {"size": 32}} for face in FACES},
        "outline": {"kind": "series", "column": "outline"},
        "name": {"kind": "text", "column": "name"},
        "properties": {"kind": "table", "columns": PROPERTIES},
    },
    "ignore": ["character"],
    "same_source": [["sans", "outline"]],
}


def glyph_table(limit: int | None = None) -> pa.Table:
    """Draw the collection; the same bytes each time for the same versions of Python, matplotlib and Pillow.

    Args:
        limit: only the first so many characters by code point.

    Returns:
        A row per character, by code point: `id` ("U+0041"), `character`, `family` (the id of the first character that
        is canonically equal or drawn alike in any face, directly or through others), a column of pictures per face of
        `FACES` (48 x 48 grey PNG as struct<bytes, path>, null where the face lacks the character or draws nothing),
        `outline` (pen path of the sans glyph, see `Face.outline`), `name` and the `PROPERTIES`.
    """
    import pyarrow as pa

    faces = {name: Face(name) for name in FACES}
    rows: list[dict[str, Any]] = []
    keys: list[list[str | bytes]] = []
    for character in sorted(set().union(*(face.characters for face in faces.values()))):
        if len(rows) == limit:
            break
        glyphs = {name: face.glyph(character) for name, face in faces.items()}
        drawn = [glyph for glyph in glyphs.values() if glyph is not None]
        if not drawn:
            continue
        outline = faces["sans"].outline(character)
        rows.append(
            {
                "id": f"U+{ord(character):04X}",
                "character": character,
                **{name: glyph and {"bytes": glyph.picture, "path": None} for name, glyph in glyphs.items()},
                "outline": None if outline is None else list(outline),
                "name": unicodedata.name(character).lower(),
                **_properties(character),
            }
        )
        keys.append([unicodedata.normalize("NFD", character), *(mark for glyph in drawn for mark in glyph.marks)])
    for row, first in zip(rows, families(keys), strict=True):
        row["family"] = rows[first]["id"]
    return pa.Table.from_pylist(rows, schema=_schema())


def _properties(character: str) -> dict[str, Any]:
    """What the standard library and the block table know of a character."""
    decomposition = unicodedata.decomposition(character)
    kind = decomposition[1:].split(">")[0] if decomposition.startswith("<") else "canonical"
    return {
        "category": unicodedata.category(character),
        "block": block(ord(character)),
        "bidirectional": unicodedata.bidirectional(character),
        "decomposition": kind if decomposition else "none",
        "numeric": unicodedata.numeric(character, None),
        "combining": unicodedata.combining(character),
        "mirrored": bool(unicodedata.mirrored(character)),
        "width": unicodedata.east_asian_width(character),
    }


def _schema() -> pa.Schema:
    import pyarrow as pa

    types = {
        **dict.fromkeys(("id", "character", "family"), pa.string()),
        **dict.fromkeys(FACES, pa.struct({"bytes": pa.binary(), "path": pa.string()})),
        "outline": pa.list_(pa.list_(pa.float32())),
        "name": pa.string(),
        **dict.fromkeys(PROPERTIES, pa.string()),
        "numeric": pa.float64(),
        "combining": pa.int64(),
        "mirrored": pa.bool_(),
    }
    return pa.schema(list(types.items()))
