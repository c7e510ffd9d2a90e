"""The plain columns of a row: scalars, texts and paths, as JSON can hold them."""

from __future__ import annotations

import datetime
import math
from typing import Any

from .arrow import SCALARS, levels


def shown_columns(table: Any) -> list[str]:
    """Columns shown with results: scalars, records of scalars, texts, and the paths of media; no numbers in lists."""

    def is_shown(kind: Any) -> bool:
        depth, leaf = levels(kind)
        return leaf in ("text", "media") if depth else leaf in (*SCALARS, "record", "media") or "time" in str(kind)

    return [field.name for field in table.schema if is_shown(field.type)]


def shown_cells(table: Any, columns: list[str], row: int) -> dict[str, Any]:
    """These columns of a row; of media that are stored in the table, the paths they came from, where there are any."""
    cells: dict[str, Any] = {}
    for name in columns:
        depth, leaf = levels(table.schema.field(name).type)
        cell = table[name][row]
        if leaf != "media":
            cells[name] = _shown(cell.as_py())
        elif cell.is_valid:
            paths = [part["path"].as_py() for part in (cell.values if depth else [cell])]
            cells |= {name: paths if depth else paths[0]} if any(paths) else {}
    return cells


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shown(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_shown(part) for part in value]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, bool | int | float | str | None) else str(value)
