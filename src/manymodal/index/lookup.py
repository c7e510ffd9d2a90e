"""Rows of a table by their ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from .rows import check_id

AT_ONCE = 500  # ids in one condition


def literal(text: str) -> str:
    """A text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def quoted(text: str) -> str:
    """An id as a literal of SQL."""
    check_id(text)
    return literal(text)


def among(ids: Iterable[str]) -> str:
    """The condition that an id is one of these."""
    return f"id IN ({', '.join(map(quoted, ids))})"


def portions(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """The ids, `AT_ONCE` at a time."""
    return (ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE))


def rows_of(table: Any, ids: Sequence[str], columns: Sequence[str]) -> pa.Table:
    """These columns of the rows with these ids (at most `AT_ONCE`), in the table's order; absent ids have none."""
    return table.search().where(among(ids)).select(list(columns)).limit(len(ids)).to_arrow()
