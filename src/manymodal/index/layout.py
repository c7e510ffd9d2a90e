"""How an index lies on the disk: `index.json`, and the columns of its tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import ManymodalError
from ..files import write_json
from .records import ITEM

META = "index.json"
FORMAT: Literal[1] = 1
ITEMS, LABELS = "items", "labels"  # the two tables
OWN = ("id", "label")  # columns of every table
PER_VALUE = ("vectors", "places", "texts", "types", "media")  # columns of each modality: lists, one entry a value

Engine = Literal["exact", "lancedb"]
Words = Literal["text", "number", "boolean", "date", "list", "record"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IndexedCell(_Strict):
    """A column of a `table` modality: what it holds, and its categories where these are all it takes."""

    kind: str
    categories: list[str | bool] = []


class ModalityMeta(_Strict):
    """A modality of an index.

    Args:
        stored: its name in the tables' columns.
        kind: how raw values are read; None where another program made the vectors.
        per: whether items have values of their own, or share their label's.
        cells: of a table, what its columns hold.
        width: numbers in a vector, channels of a series.
    """

    stored: str
    kind: str | None = None
    per: Literal["item", "label"] = "item"
    cells: dict[str, IndexedCell] = {}
    width: int | None = None


class ColumnMeta(_Strict):
    """A plain column: its name in the table, and what it holds in words."""

    stored: str
    type: Words


class SpaceMeta(_Strict):
    """The space that made the vectors: its fingerprint, and its folder (relative to the index, or absolute), if any."""

    fingerprint: str
    folder: str | None = None


class Tuning(_Strict):
    """Settings of approximate search in one target, and the recall@10 measured with them for each query modality.

    `filtered` is the same under a condition that a tenth of the items meet.
    """

    nprobes: int
    refine: int
    recall: dict[str, float]
    filtered: dict[str, float] = {}


class Meta(_Strict):
    """`index.json`.

    Args:
        tables: the folder of the tables, beside it; a rebuild makes another and then names it here.
        d: dimension of the space.
        modalities: by name.
        columns: the user's plain columns, by name.
        engine: which form finds.
        space: what made the vectors; None where nobody said.
        media: whether pictures and sounds are kept to be shown.
        target_recall: what `tuning` aimed at.
        tuning: {target: settings and what they reach}; empty where search is exact.
    """

    format: Literal[1] = FORMAT
    manymodal: str
    tables: str = Field(pattern=r"^(tables-[0-9a-f]{8})?$")  # nothing outside, whoever wrote the file
    d: int
    modalities: dict[str, ModalityMeta]
    columns: dict[str, ColumnMeta]
    engine: Engine
    space: SpaceMeta | None = None
    media: bool = True
    target_recall: float = 0.98
    tuning: dict[str, Tuning] = {}

    def stored(self, target: str) -> str:
        """The name of a target in the tables' columns."""
        return ITEM if target == ITEM else self.modalities[target].stored

    @property
    def fingerprint(self) -> str | None:
        """Of the space that made the vectors; None where nobody said."""
        return None if self.space is None else self.space.fingerprint

    @property
    def has_labels(self) -> bool:
        """Whether some modality has one value per label, so that there is a table of labels."""
        return any(modality.per == "label" for modality in self.modalities.values())

    def per_label(self, target: str) -> bool:
        """Whether what is searched there are labels."""
        return target != ITEM and self.modalities[target].per == "label"


def read_meta(folder: Path) -> Meta:
    """`index.json` of an index.

    Raises:
        ManymodalError: there is none, or it cannot be read.
    """
    try:
        content = (folder / META).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ManymodalError(
            f"{folder} has no {META}: not an index. `manymodal index SPACE TABLE --out {folder}` makes one"
        ) from error
    except OSError as error:
        raise ManymodalError(f"cannot read {folder / META}: {error.strerror or error}") from error
    try:
        return Meta.model_validate_json(content)
    except ValidationError as error:
        format, made = _origin(content)
        if format not in (None, FORMAT):
            raise ManymodalError(
                f"{folder} has format {format}, this version reads {FORMAT}: it was written by manymodal {made}; "
                "install that version, or make the index again"
            ) from error
        raise ManymodalError(
            f"{folder / META} is damaged ({error.errors()[0]['msg']}); put back a copy of it, or make the index again"
        ) from error


def _origin(content: bytes) -> tuple[int | None, str]:
    """Format and maker of what may be another version's `index.json`; None where it is nobody's."""
    try:
        found = json.loads(content)
        return int(found["format"]), str(found.get("manymodal", "of another version"))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, ""


def write_meta(folder: Path, meta: Meta) -> None:
    """Put `index.json` in place in one step."""
    write_json(folder / META, meta.model_dump(mode="json"))


def stored_names(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """{name: the same or, where a table could not have it so, something like it}; no two alike, even in case.

    None begins or ends with an underscore, which the engine's own columns do, nor holds two in a row, as `column` does.
    """
    used = {name.lower() for name in taken}
    found: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[\W_]+", "_", name, flags=re.ASCII).strip("_") or "column"
        free, number = plain, 2
        while free.lower() in used:
            free, number = f"{plain}_{number}", number + 1
        used.add(free.lower())
        found[name] = free
    return found


def words_of(kind: pa.DataType) -> Words:
    """What a plain column of an Arrow type holds, in words; what has no word of its own is text."""
    if pa.types.is_dictionary(kind):
        return words_of(kind.value_type)
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "number"
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return "date"
    if pa.types.is_struct(kind):
        return "record"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return "list" if words_of(kind.value_type) == "text" else "record"  # texts can be looked for in a list
    return "text"


def stored_type(kind: pa.DataType) -> pa.DataType:
    """The type that a plain column is stored as: the widest of its word, so that what is added later fits in."""
    words = words_of(kind)
    if pa.types.is_dictionary(kind):
        return stored_type(kind.value_type)
    if words == "number":
        return pa.float64() if pa.types.is_floating(kind) else pa.uint64() if kind == pa.uint64() else pa.int64()
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(one.name, stored_type(one.type)) for one in kind])
    if words in ("list", "record"):
        return pa.list_(stored_type(kind.value_type))
    if pa.types.is_timestamp(kind):  # others compare wrongly in the engine: seconds lose fractions, nanoseconds years
        return pa.timestamp("us", kind.tz and "UTC")
    if words == "date":
        return pa.date32()
    return pa.string() if words == "text" else kind


def column(what: str, stored: str) -> str:
    """The name of one of a modality's columns; two underscores, which no plain column has (`stored_names`)."""
    return f"{what}__{stored}"


def schema_of(meta: Meta, columns: Mapping[str, pa.DataType], table: str) -> pa.Schema:
    """The Arrow schema of a table; `columns` are the types of the user's."""
    vector = pa.list_(pa.float32(), meta.d)
    types = {"vectors": vector, "places": pa.int32(), "texts": pa.string(), "types": pa.string(), "media": pa.binary()}
    fields = [pa.field("id", pa.string(), nullable=False)]
    if table == ITEMS:
        fields += [pa.field("label", pa.string())]
        fields += [pa.field(meta.columns[name].stored, stored_type(kind)) for name, kind in columns.items()]
        fields += [pa.field(column("vectors", ITEM), pa.list_(vector))]
    for modality in meta.modalities.values():
        if (modality.per == "label") == (table == LABELS):
            fields += [pa.field(column(what, modality.stored), pa.list_(types[what])) for what in PER_VALUE]
    return pa.schema(fields)
