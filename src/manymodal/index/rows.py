"""Records as rows of a table: checked, and in the table's own types."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from ..errors import ManymodalError
from .layout import ITEMS, LABELS, Meta, column, words_of
from .records import ITEM, Records, Values


def table_of(records: Records, meta: Meta, schema: pa.Schema) -> pa.Table:
    """Records as rows of a table with that schema; a column that they do not have is null.

    Raises:
        ManymodalError: an id is empty or there twice, a column is of another type than the table's, a modality is
            not of this table, or vectors are of another dimension or not finite.
    """
    n = len(records.ids)
    table = ITEMS if column("vectors", ITEM) in schema.names else LABELS
    _check_ids(records.ids)
    arrays: dict[str, Any] = {"id": pa.array(records.ids, pa.string()), "label": pa.array(records.labels, pa.string())}
    for name, one in meta.columns.items() if table == ITEMS else ():
        if name in records.columns.column_names:
            arrays[one.stored] = _cast(name, records.columns[name], schema.field(one.stored).type)
    for name, values in records.values.items():
        if name not in meta.modalities or meta.per_label(name) != (table == LABELS):
            there = ", ".join(m for m in meta.modalities if meta.per_label(m) == (table == LABELS)) or "none"
            raise ManymodalError(f"{table} of this index have no modality {name!r}; it has: {there}")
        arrays |= _lists(name, values, meta, n)
    if records.composed is not None:
        there_is = (records.composed.norm(dim=1) > 0).nonzero()[:, 0]  # (c,)
        arrays[column("vectors", ITEM)] = pa.ListArray.from_arrays(
            _offsets(there_is, n), _vectors("composed vectors", records.composed[there_is], meta.d)
        )
    return pa.table({field.name: arrays.get(field.name, pa.nulls(n, field.type)) for field in schema}, schema=schema)


def _check_ids(ids: Any) -> None:
    for place, id in enumerate(ids):
        if not id:
            raise ManymodalError(f"row {place} has an empty id; every item needs one of its own")
        check_id(id)
    if len(set(ids)) < len(ids):
        twice = [id for id, count in Counter(ids).items() if count > 1]
        raise ManymodalError(
            f"{len(twice)} ids come more than once, such as {twice[0]!r}; an id names one item: keep one row of each"
        )


def check_id(id: Any) -> None:
    """Refuse what is no text, or one that no file can hold: a lone half of a surrogate pair.

    Raises:
        ManymodalError: it is one of these.
    """
    if not isinstance(id, str):
        raise ManymodalError(f"the id {id!r} is of type {type(id).__name__}; ids are texts, here {str(id)!r}")
    try:
        id.encode()
    except UnicodeEncodeError as error:
        raise ManymodalError(f"the id {id!r} is no valid Unicode: {error.reason}") from error


def _cast(name: str, array: Any, kind: pa.DataType) -> Any:
    """A plain column in the table's type, where nothing is lost by that; NaN is a missing number, as elsewhere."""
    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), None, array)  # the engine would take it for larger than any number
    if array.type == kind or array.null_count == len(array):
        return array if array.type == kind else pa.nulls(len(array), kind)
    try:
        if not _alike(array.type, kind):
            raise pa.ArrowInvalid("these differ")
        cast = array.cast(kind)
        if pa.types.is_timestamp(array.type) and not cast.cast(array.type).equals(array):
            raise pa.ArrowInvalid("a time of day would be lost")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ManymodalError(
            f"column {name!r} came as {array.type} ({words_of(array.type)}); in this index it is {kind} "
            f"({words_of(kind)}): {error}. Convert it, or give the column another name"
        ) from error
    return cast


def _alike(came: pa.DataType, there: pa.DataType) -> bool:
    """Whether what comes as one type may be cast to the other: the same in words, all the way down, and no less."""
    words = words_of(came)
    if pa.types.is_struct(came) and pa.types.is_struct(there):
        fields = {one.name: one.type for one in there}
        return all(one.name in fields and _within(one.type, fields[one.name]) for one in came)
    lists = [pa.types.is_nested(kind) and not pa.types.is_struct(kind) for kind in (came, there)]
    if all(lists):
        return _within(came.value_type, there.value_type)
    return words == words_of(there) and not any(lists)


def _within(came: pa.DataType, there: pa.DataType) -> bool:
    """The same for what lists and records hold, where a lost time of day would not be seen."""
    return bool(pa.types.is_null(came) or came == there or (words_of(came) != "date" and _alike(came, there)))


def _lists(name: str, values: Values, meta: Meta, n: int) -> dict[str, Any]:
    """A modality's columns: lists, with one entry a value."""
    flat = {
        "vectors": _vectors(f"vectors of {name!r}", values.vectors, meta.d),
        "places": pa.array([one.place for one in values.shown], pa.int32()),
        "texts": pa.array([one.text for one in values.shown], pa.string()),
        "types": pa.array([one.type for one in values.shown], pa.string()),
        "media": pa.array(values.media, pa.binary()),
    }
    offsets = _offsets(values.rows, n)
    return {
        column(what, meta.modalities[name].stored): pa.ListArray.from_arrays(offsets, array)
        for what, array in flat.items()
    }


def _vectors(what: str, vectors: Tensor, d: int) -> pa.Array:
    if vectors.shape[1] != d:
        raise ManymodalError(
            f"{what} have d = {vectors.shape[1]}, this index has d = {d}: another space made them. Embed with the "
            "space of this index, or make an index of its own for the other"
        )
    if not torch.isfinite(vectors).all():
        raise ManymodalError(f"{what} hold NaN or infinity; every number must be finite")
    flat = np.ascontiguousarray(vectors.numpy(), dtype=np.float32).reshape(-1)  # (v * d,)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), d)


def _offsets(rows: Tensor, n: int) -> pa.Array:
    """Where each of n records' values begin among `rows` (ascending); a record without any gets a null list."""
    begins = torch.searchsorted(rows, torch.arange(n + 1)).numpy()  # (n + 1,)
    empty = np.append(begins[1:] == begins[:-1], False)
    return pa.array(begins.astype(np.int32), mask=empty)
