"""A table with columns of every kind and of odd names, to try filters on."""

import lancedb
import pyarrow as pa

from manymodal.index.where import Column, compile_where

COLUMNS = {
    "year": Column("year", "number"),
    "wing span": Column("wing_span", "number"),
    "Größe.cm": Column("Gr__e_cm", "number"),
    "count": Column("count_2", "number"),
    "kind": Column("kind", "text"),
    "Kind": Column("Kind_2", "text"),
    "order": Column("order", "text"),
    'odd "`name`': Column("odd___name_", "text"),
    "indoor": Column("indoor", "boolean"),
    "date": Column("date", "date"),
    "seen.at": Column("seen_at", "date"),
    "zoned": Column("zoned", "date"),
    "tags": Column("tags", "list"),
    "camera": Column("camera", "record"),
}
STORED = {
    "year": pa.int64(),
    "wing span": pa.float64(),
    "Größe.cm": pa.int64(),
    "count": pa.uint64(),
    "kind": pa.string(),
    "Kind": pa.string(),
    "order": pa.string(),
    'odd "`name`': pa.string(),
    "indoor": pa.bool_(),
    "date": pa.date32(),
    "seen.at": pa.timestamp("us"),
    "zoned": pa.timestamp("us", "UTC"),
    "tags": pa.list_(pa.string()),
    "camera": pa.struct({"make": pa.string()}),
}


def table(folder, rows):
    schema = pa.schema({"id": pa.int64()} | {COLUMNS[name].stored: kind for name, kind in STORED.items()})
    rows = [{"id": n} | {COLUMNS[name].stored: value for name, value in row.items()} for n, row in enumerate(rows)]
    return lancedb.connect(folder).create_table("items", pa.Table.from_pylist(rows, schema), mode="overwrite")


def matching(made, text):
    found = made.search().where(compile_where(text, COLUMNS)).select(["id"]).limit(1_000).to_list()
    return sorted(row["id"] for row in found)
