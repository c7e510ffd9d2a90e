"""One Arrow table from any source: Parquet, a folder of shards, CSV, JSONL, a DataFrame, or a list of dicts."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ..errors import ManymodalError
from ..words import counted
from .arrow import levels, plain_type

SHARD = re.compile(r"(train|dev|val|validation|valid|test)-\d+-of-\d+\.parquet")


@dataclass(frozen=True)
class Source:
    """A table as it came.

    Args:
        table: with plain types.
        folder: where relative paths in it start.
        name: for messages.
        notes: what was decided in reading it.
    """

    table: Any
    folder: Path
    name: str
    notes: list[str] = field(default_factory=list)


def read_source(source: Any, as_text: frozenset[str] = frozenset()) -> Source:
    """Read a table.

    Args:
        source: path (str or Path) of a Parquet, CSV, JSONL or NDJSON file or of a folder of Parquet shards; a pandas
            or polars DataFrame, an Arrow table, or a list of dicts.
        as_text: columns of a CSV that stay text whatever they look like ("007").

    Raises:
        ManymodalError: no such file, a format not known, a file that is broken or not UTF-8, or no rows.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        found = _read_path(path, as_text)
        folder, name = (path if path.is_dir() else path.parent), path.name
    else:
        found, folder, name = _read_object(source), Path(), "the table"
    table, notes = found
    if len(set(table.column_names)) < len(table.column_names):
        twice = next(c for c in table.column_names if table.column_names.count(c) > 1)
        raise ManymodalError(f"{name} has two columns {twice!r}; rename one of them")
    if not table.num_rows or not table.num_columns:
        raise ManymodalError(
            f"{name} is empty ({table.num_rows} rows, {table.num_columns} columns); needed: a row per item"
        )
    return Source(_plain(table, name), folder, name, notes)


def _read_path(path: Path, as_text: frozenset[str]) -> tuple[Any, list[str]]:
    if not path.exists():
        raise ManymodalError(f"no such file or folder: {path}")
    if path.is_dir():
        return _read_shards(path)
    readers: dict[str, Callable[[], Any]] = {
        ".parquet": lambda: _read_parquet(path),
        ".csv": lambda: _read_csv(path, as_text),
        **dict.fromkeys((".jsonl", ".json", ".ndjson"), lambda: _read_json(path)),
    }
    if path.suffix.lower() not in readers:
        raise ManymodalError(
            f"{path.name}: cannot tell its format; allowed are {', '.join(readers)} and folders of Parquet"
        )
    return readers[path.suffix.lower()](), []


def _read_shards(folder: Path) -> tuple[Any, list[str]]:
    files = sorted(folder.rglob("*.parquet"))
    if not files:
        raise ManymodalError(f"{folder} holds no Parquet files; name a file, or a folder of *.parquet shards")
    tables = [_read_parquet(file) for file in files]
    notes = [counted(len(files), "Parquet file")]
    named = [SHARD.fullmatch(file.name) for file in files]
    if all(named) and not any("split" in table.column_names for table in tables):
        splits = [match[1] for match in named if match]
        tables = [
            table.append_column("split", pa.array([split] * len(table)))
            for table, split in zip(tables, splits, strict=True)
        ]
        notes.append("split: from the names of the files")
    try:
        return pa.concat_tables(tables, promote_options="permissive"), notes
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ManymodalError(f"the shards in {folder} disagree about a column: {error}") from error


def _read_parquet(path: Path) -> Any:
    try:
        table = pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError) as error:
        raise ManymodalError(f"cannot read {path} as Parquet: {error}") from error
    return _with_class_names(table)


def _with_class_names(table: Any) -> Any:
    """Columns that `datasets` stores as the numbers of classes, as the classes' names."""
    content = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}"))
    features = (content.get("info") or {}).get("features") or {}
    for name, feature in features.items():
        names = feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None
        if names and name in table.column_names and pa.types.is_integer(table.schema.field(name).type):
            codes = table[name].to_pylist()
            known = [names[code] if code is not None and 0 <= code < len(names) else None for code in codes]
            table = table.set_column(table.column_names.index(name), name, pa.array(known, pa.string()))
    return table


def _read_csv(path: Path, as_text: frozenset[str]) -> Any:
    content = utf8(path)
    if not content.strip():
        raise ManymodalError(f"{path.name} is empty; needed: a line of column names, then a row per item")
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    # One block, so that a column's type is inferred from all of its cells. Only an empty cell is a missing one.
    whole = pyarrow.csv.ReadOptions(block_size=min(len(content) + 1, 2**31 - 1))
    convert = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(as_text, pa.string()), null_values=[""], strings_can_be_null=True
    )
    try:
        table = pyarrow.csv.read_csv(pa.BufferReader(content), whole, parse, convert)
    except pa.ArrowException as error:
        raise ManymodalError(f"cannot read {path.name} as CSV: {error}") from error
    for i, name in enumerate(table.column_names):
        lists = _json_lists(table.column(i))
        if lists is not None:
            table = table.set_column(i, name, _column(name, lists))
    return table


def _json_lists(column: Any) -> list[list[Any] | None] | None:
    """The lists that every filled cell of a CSV column spells in JSON; None where some cell is something else."""
    if not pa.types.is_string(column.type) or column.null_count == len(column):
        return None
    lists: list[list[Any] | None] = []
    for cell in column.to_pylist():
        try:
            value = None if cell is None else json.loads(cell) if cell.lstrip().startswith("[") else cell
        except ValueError:
            return None
        if not isinstance(value, list | None):
            return None
        lists.append(value)
    return lists


def _read_json(path: Path) -> Any:
    text = utf8(path).decode()
    if text.lstrip().startswith("["):
        try:
            return _from_dicts(json.loads(text), path.name)
        except json.JSONDecodeError as error:
            raise ManymodalError(f"{path.name}, line {error.lineno}: not JSON: {error.msg}") from error
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):  # not splitlines: a string may hold U+2028
        if line.strip():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise ManymodalError(f"{path.name}, line {number}: not JSON: {error.msg}") from error
    return _from_dicts(rows, path.name)


def utf8(path: Path) -> bytes:
    try:
        content = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise ManymodalError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ManymodalError(
            f"{path}, line {line}: not UTF-8 text (byte {content[error.start]:#04x}); save it as UTF-8"
        ) from error
    return content


def _read_object(source: Any) -> tuple[Any, list[str]]:
    origin = type(source).__module__.split(".")[0]
    if isinstance(source, pa.Table):
        return source, []
    if isinstance(source, pa.RecordBatch):
        return pa.Table.from_batches([source]), []
    if origin == "polars" and hasattr(source, "to_arrow"):
        return source.to_arrow(), []
    if origin == "pandas" and hasattr(source, "columns"):
        if any(name is not None for name in source.index.names):  # an index with a name is data
            source = source.reset_index()
        names = [str(name) for name in source.columns]
        return pa.table([_column(n, source.iloc[:, i]) for i, n in enumerate(names)], names=names), []
    if isinstance(source, list | tuple):
        return _from_dicts(source, "the list"), []
    raise ManymodalError(
        f"cannot read a {type(source).__name__}; allowed: a path, a pandas or polars DataFrame, an Arrow table, "
        "a list of dicts"
    )


def _from_dicts(rows: Iterable[Any], name: str) -> Any:
    rows = list(rows)
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise ManymodalError(f"{name}, row {number}: a {type(row).__name__}; needed: a dict of columns")
    names = list(dict.fromkeys(key for row in rows for key in row))
    return pa.table([_column(key, [row.get(key) for row in rows]) for key in names], names=[str(key) for key in names])


def _column(name: str, values: Any) -> Any:
    """Python values, or a pandas Series, as one Arrow column."""
    try:
        try:
            return pa.array(values, from_pandas=not isinstance(values, list))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            return pa.array([_pythonic(value) for value in values], from_pandas=True)
    except (pa.ArrowException, OverflowError) as error:
        raise ManymodalError(
            f"column {name!r} mixes types or holds something that a table cannot: {error}. Each column needs one type"
        ) from error


def _pythonic(value: Any) -> Any:
    """What Arrow does not take by itself: paths, and arrays of more than one dimension."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_pythonic(part) for part in value]
    if isinstance(value, dict):
        return {key: _pythonic(part) for key, part in value.items()}
    return value


def _plain(table: Any, name: str) -> Any:
    """The table with plain types, its text checked to be UTF-8."""
    columns = []
    for column_name, column in zip(table.column_names, table.columns, strict=True):
        wanted = plain_type(column.type)
        try:
            if isinstance(column.type, pa.BaseExtensionType):
                column = pa.chunked_array([chunk.storage for chunk in column.chunks], type=column.type.storage_type)
            column = column if column.type == wanted else column.cast(wanted, safe=False)
            if levels(wanted)[1] in ("text", "record", "media"):
                column.validate(full=True)
        except pa.ArrowException as error:
            raise ManymodalError(f"{name}: column {column_name!r} is broken: {error}") from error
        columns.append(column)
    return pa.table(columns, names=table.column_names)
