"""The plain columns of a row: scalars, texts and paths, as JSON can hold them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..cells import as_json
from .arrow import SCALARS, flattened, levels
from .values import Ids


def shown_columns(table: Any) -> list[str]:
    """Columns shown with results: scalars, records of scalars, texts, and the paths of media; no numbers in lists."""

    def is_shown(field: Any) -> bool:
        depth, leaf = levels(field.type)
        if leaf == "media":
            return _has_paths(table[field.name], depth)
        return leaf == "text" if depth else leaf in (*SCALARS, "record") or "time" in str(field.type)

    return [field.name for field in table.schema if is_shown(field)]


def _has_paths(column: Any, depth: int) -> bool:
    for _ in range(depth):
        column = flattened(column)
    return any(pc.struct_field(chunk, "path").null_count < len(chunk) for chunk in column.chunks)


def shown_cells(table: Any, columns: list[str], row: int) -> dict[str, Any]:
    """These columns of a row; of media that are stored in the table, the paths they came from, where there are any."""
    cells: dict[str, Any] = {}
    for name in columns:
        depth, leaf = levels(table.schema.field(name).type)
        cell = table[name][row]
        if leaf != "media":
            cells[name] = as_json(cell.as_py())
        elif cell.is_valid:
            paths = [part["path"].as_py() for part in (cell.values if depth else [cell])]
            cells |= {name: paths if depth else paths[0]} if any(paths) else {}
    return cells


def shown_table(table: Any, columns: list[str], rows: Ids) -> Any:
    """These columns of some rows as an Arrow table; of media that are stored in it, the paths they came from."""
    chosen = table.select(columns).take(pa.array(rows))
    found = {}
    for name in columns:
        column = chosen[name]
        depth, leaf = levels(column.type)
        if leaf == "media":
            cells = column.to_pylist()
            paths = [cell and ([one and one["path"] for one in cell] if depth else cell["path"]) for cell in cells]
            column = pa.array(paths, pa.list_(pa.string()) if depth else pa.string())
        found[name] = column
    return pa.table(found)
