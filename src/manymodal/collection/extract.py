"""A modality's values out of a table: where they are, and as what encoders read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .arrow import exploded, flattened, lengths, lengths_of_text, levels, valid
from .schema import Modality
from .values import Ids


@dataclass(frozen=True)
class BadRow:
    """A value that cannot be used; for a modality `per: label`, `id` is the label."""

    modality: str
    id: str
    reason: str


@dataclass(frozen=True)
class Located:
    """Where a modality's values are, missing ones left out.

    Args:
        elements: the chunked column of all elements, present or not.
        index: (n,) which of them are values.
        rows: (n,) the table's row of each value, ascending.
        ordinal: (n,) its place in the row's list.
    """

    elements: Any
    index: Ids
    rows: Ids
    ordinal: Ids

    def of_rows(self, rows: Ids) -> Located:
        """Those of the given rows."""
        kept = np.isin(self.rows, rows)
        return Located(self.elements, self.index[kept], self.rows[kept], self.ordinal[kept])


@dataclass(frozen=True)
class Extracted:
    """Values that can be used, whose they are, and those that cannot be: (row, reason)."""

    data: Sequence[Any]
    rows: Ids
    ordinal: Ids
    broken: list[tuple[int, str]]


class Media(Sequence[bytes | Path]):
    """Files' contents or paths, taken out of the table one at a time."""

    def __init__(self, contents: Any | None, paths: Any | None, folder: Path, index: Ids) -> None:
        self._contents, self._paths, self._folder, self._index = contents, paths, folder, index

    def __len__(self) -> int:
        return len(self._index)

    @overload
    def __getitem__(self, place: int) -> bytes | Path: ...
    @overload
    def __getitem__(self, place: slice) -> Media: ...
    def __getitem__(self, place: int | slice) -> bytes | Path | Media:
        """The content where the table holds it, else the path, which starts at the table's folder."""
        if isinstance(place, slice):
            return Media(self._contents, self._paths, self._folder, self._index[place])
        row = int(self._index[place])
        content: bytes | None = None if self._contents is None else self._contents[row].as_py()
        if content is not None:
            return content
        assert self._paths is not None
        return self._folder / str(self._paths[row].as_py())


def locate(table: Any, modality: Modality) -> Located:
    """Find a modality's values; an absent column has none."""
    names = [name for name in modality.columns if name in table.column_names]
    nothing = np.zeros(0, dtype=np.int64)
    if not names:
        return Located(pa.chunked_array([], pa.null()), nothing, nothing, nothing)
    column = table[names[0]] if modality.kind != "table" or modality.struct else _struct(table, names)
    if levels(column.type)[1] == "nothing":
        return Located(column, nothing, nothing, nothing)
    if modality.several:
        elements, rows, ordinal = exploded(column)
    else:
        elements, rows, ordinal = column, np.arange(len(column)), np.zeros(len(column), dtype=np.int64)
    index = np.flatnonzero(_present(modality, elements))
    return Located(elements, index, rows[index], ordinal[index])


def common_width(located: Located, modality: Modality) -> tuple[int | None, int | None]:
    """The length of most vectors (channels of most series), and the first row where it is another, if any."""
    if not len(located.index) or modality.kind not in ("vector", "series"):
        return None, None
    values = _taken(located)
    rows, count = located.rows, lengths(values)
    if modality.kind == "series":
        rows, count = np.repeat(rows, count), lengths(flattened(values))
    found, often = np.unique(count[count > 0], return_counts=True)
    width = modality.width or (int(found[often.argmax()]) if len(found) else None)
    other = np.flatnonzero(count != width)
    return width, int(rows[other[0]]) if len(other) else None


def extract(located: Located, modality: Modality, folder: Path) -> Extracted:
    """The located values, as `Values` describes them."""
    if modality.kind in ("image", "audio"):
        return Extracted(_media(located, folder), located.rows, located.ordinal, [])
    if not len(located.index):
        return Extracted([], located.rows, located.ordinal, [])
    elements = _taken(located)
    if modality.kind == "text":
        return Extracted(elements.to_pylist(), located.rows, located.ordinal, [])
    if modality.kind == "table":
        data, faults = _records(elements, modality)
    else:
        width = modality.width or common_width(located, modality)[0] or 1
        data, faults = _vectors(elements, width) if modality.kind == "vector" else _series(elements, width)
    broken = [(int(row), fault) for row, fault in zip(located.rows, faults, strict=True) if fault is not None]
    kept = [value for value, fault in zip(data, faults, strict=True) if fault is None]
    good = np.array([fault is None for fault in faults], dtype=bool)
    return Extracted(kept, located.rows[good], located.ordinal[good], broken)


def _taken(located: Located) -> Any:
    """The values alone; where they are all there is, nothing is copied."""
    if len(located.index) == len(located.elements):
        return located.elements
    return located.elements.take(pa.array(located.index))


def _struct(table: Any, names: list[str]) -> Any:
    column = table.select(names).to_struct_array()
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])


def _present(modality: Modality, elements: Any) -> NDArray[np.bool_]:
    """(total,) bool, which elements are values and not gaps."""
    present = valid(elements)
    if modality.kind in ("vector", "series"):
        return present & (lengths(elements) > 0)
    if modality.kind == "table":
        filled = [~np.asarray(pc.is_null(cells, nan_is_null=True)) for cells in _fields(elements).values()]
        any_filled: NDArray[np.bool_] = np.logical_or.reduce(filled)
        return present & any_filled
    if modality.kind in ("image", "audio"):
        contents, paths = _contents_and_paths(elements)
        named = np.zeros_like(present) if paths is None else lengths_of_text(paths) > 0
        return present & (named if contents is None else named | valid(contents))
    return present


def _fields(elements: Any) -> dict[str, Any]:
    return {field.name: pc.struct_field(elements, field.name) for field in elements.type}


def _contents_and_paths(elements: Any) -> tuple[Any | None, Any | None]:
    leaf = levels(elements.type)[1]
    if leaf == "media":
        fields = _fields(elements)
        return fields["bytes"], fields["path"]
    return (elements, None) if leaf == "bytes" else (None, elements)


def _media(located: Located, folder: Path) -> Media:
    if not len(located.index):
        return Media(None, None, folder, located.index)
    return Media(*_contents_and_paths(located.elements), folder, located.index)


def _numbers(flat: Any) -> NDArray[np.float32]:
    """An own float32 copy (Arrow's memory is read-only, which torch warns of); a null becomes NaN."""
    with np.errstate(over="ignore"):
        return np.array(flat.to_numpy(), dtype=np.float32)


def _vectors(elements: Any, width: int) -> tuple[list[Any], list[str | None]]:
    count = lengths(elements)
    fits = count == width
    numbers = _numbers(flattened(elements.filter(pa.array(fits)))).reshape(-1, width)  # (fitting, width)
    vectors = _spread(iter(numbers), fits)
    faults = [
        f"the vector has {n} numbers, the others {width}" if vector is None else _fault_in(vector)
        for n, vector in zip(count, vectors, strict=True)
    ]
    return vectors, faults


def _series(elements: Any, width: int) -> tuple[list[Any], list[str | None]]:
    steps = lengths(elements)
    frames = flattened(elements)
    channels = lengths(frames)
    ends = np.cumsum(steps)
    uneven = np.add.reduceat(channels != width, ends - steps) > 0  # every series has a step, else it were missing
    fits = np.repeat(~uneven, steps)
    numbers = _numbers(flattened(frames.filter(pa.array(fits)))).reshape(-1, width)  # (time of all fitting, width)
    parts = np.split(numbers, np.cumsum(steps[~uneven])[:-1]) if not uneven.all() else []
    series = _spread(iter(parts), ~uneven)
    faults = [
        f"a step of the series has another number of channels than {width}" if part is None else _fault_in(part)
        for part in series
    ]
    return series, faults


def _spread(found: Iterator[Any], where: NDArray[np.bool_]) -> list[Any | None]:
    """The found ones, in order, at the places where `where` is true, and None at the others."""
    return [next(found) if here else None for here in where]


def _fault_in(numbers: NDArray[np.float32]) -> str | None:
    if np.isfinite(numbers).all():
        return None
    return f"{(~np.isfinite(numbers)).sum()} of {numbers.size} numbers are not finite (NaN, infinity or null)"


def _records(elements: Any, modality: Modality) -> tuple[list[Any], list[str | None]]:
    fields = _fields(elements)
    wanted = list(modality.cells) or list(fields)
    cells = {name: fields[name].to_pylist() if name in fields else [None] * len(elements) for name in wanted}
    rows = [
        {name: None if value != value else value for name, value in zip(wanted, row, strict=True)}  # NaN is a gap
        for row in zip(*cells.values(), strict=True)
    ]
    return rows, [_infinite_cell(row) for row in rows]


def _infinite_cell(row: dict[str, Any]) -> str | None:
    infinite = [name for name, value in row.items() if isinstance(value, float) and np.isinf(value)]
    return f"{infinite[0]!r} is infinite" if infinite else None
