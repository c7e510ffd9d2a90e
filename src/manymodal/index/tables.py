"""Tables made, tidied and cleared away, by a writer that is alone with them."""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..errors import ManymodalError
from .engine import connect, in_words
from .layout import ITEMS, LABELS, META, Meta, read_meta, schema_of
from .records import Records
from .rows import table_of


def fill(
    folder: Path, meta: Meta, columns: Mapping[str, pa.DataType], items: Iterable[Records], labels: Records | None
) -> None:
    """Write the tables of a new index.

    Args:
        folder: of the index.
        meta: what there is in it; names the folder of the tables.
        columns: types of the user's plain columns.
        items: in portions.
        labels: None where there are none.

    Raises:
        ManymodalError: an id comes twice, or as `table_of`.
    """
    schema, seen = schema_of(meta, columns, ITEMS), set[str]()
    with in_words(folder):
        db = connect(folder / meta.tables)  # says what is missing where there is no LanceDB
        from lancedb.index import BTree

        table = db.create_table(ITEMS, schema=schema)
    for records in items:  # an error of where these come from is none of the tables
        rows = table_of(records, meta, schema)
        if twice := next((id for id in records.ids if id in seen), None):
            raise ManymodalError(f"the id {twice!r} comes more than once; keep one row of each item")
        seen.update(records.ids)
        with in_words(folder):
            table.add(rows)
    with in_words(folder):
        optimize(table, timedelta(0))  # one file, and no version that is half an index
        table.create_index("id", config=BTree())
        if meta.has_labels:
            schema = schema_of(meta, {}, LABELS)
            rows = schema.empty_table() if labels is None else table_of(labels, meta, schema)
            db.create_table(LABELS, rows, schema=schema)


def optimize(table: Any, older_than: timedelta) -> None:
    """Merge small files, take new rows into the indexes, drop versions older than that and what killed writers left."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "optimize")  # that readers of old versions fail: `View` says so to them
        table.optimize(cleanup_older_than=older_than, delete_unverified=True)


def clear_up(folder: Path) -> None:
    """Remove from an index what killed builds, and the build before, have left."""
    in_use: set[str | None] = set()
    try:
        if (folder / META).exists():
            meta = read_meta(folder)
            in_use = {meta.tables, meta.space.folder if meta.space else None}
    except ManymodalError:
        return  # which tables are in use is not known: somebody may mend the file
    for path in folder.iterdir():
        if re.fullmatch("(tables|space)-[0-9a-f]{8,}", path.name) and path.name not in in_use:
            shutil.rmtree(path, ignore_errors=True)
        elif re.fullmatch(rf"\.{re.escape(META)}\.[0-9a-f]{{8}}", path.name):
            path.unlink(missing_ok=True)
