"""Labels put into a table that has some: what is not given now stays, and what changes is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .layout import Meta, column
from .lookup import portions, rows_of

NAMED = 3  # labels in a note


def put_labels(table: Any, rows: pa.Table, meta: Meta) -> list[str]:
    """Put labels in, in one atomic write, by a writer that is alone; returns what is to be known of it, a line each.

    Args:
        table: of labels.
        rows: of the same schema; where a modality is null, the value that the label has stays.
        meta: of the index.
    """
    vectors = {m: column("vectors", one.stored) for m, one in meta.modalities.items() if one.per == "label"}
    given = np.zeros(len(rows), dtype=bool)  # (n,)
    for name in vectors.values():
        given |= rows[name].is_valid().to_numpy()
    rows = rows.filter(pa.array(given))
    if not len(rows):
        return []
    ids = rows["id"].to_pylist()
    there = pa.concat_tables([rows_of(table, portion, rows.column_names) for portion in portions(ids)])
    notes = [
        f"{m!r} has another value than before for {', '.join(other[:NAMED])}{', ...' * (len(other) > NAMED)}: "
        "items put in earlier keep the old one in what they are found by as whole items, until they are put in again"
        for m, name in vectors.items()
        if (other := _others(rows, there, name))
    ]
    rows = _completed(rows, there)
    table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows)
    return notes


def _others(rows: pa.Table, there: pa.Table, name: str) -> list[str]:
    """The labels whose vectors in a column were others before, by more than rounding."""
    before = dict(zip(there["id"].to_pylist(), there[name].to_pylist(), strict=True))
    return [
        id
        for id, own in zip(rows["id"].to_pylist(), rows[name].to_pylist(), strict=True)
        if own and before.get(id) and not np.allclose(np.mean(own, axis=0), np.mean(before[id], axis=0), atol=1e-4)
    ]


def _completed(rows: pa.Table, there: pa.Table) -> pa.Table:
    """The rows, where one is null in a column with what the row of the same id has there."""
    both = pa.concat_tables([rows, there.select(rows.column_names).cast(rows.schema)]).combine_chunks()
    place = pc.index_in(rows["id"], there["id"])  # (n,) null where the label is new
    own, other = pa.array(np.arange(len(rows))), pc.add(place, len(rows))  # (n,) each, rows of `both`
    columns = [
        both[name].take(pc.if_else(pc.or_(rows[name].is_valid(), place.is_null()), own, other))
        for name in rows.column_names
    ]
    return pa.table(columns, schema=rows.schema)
