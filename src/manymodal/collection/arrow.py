"""What an Arrow column holds, in the words of this project, and lists of values laid flat."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .values import Ids, Kind

Leaf = Literal["number", "text", "boolean", "date", "media", "record", "bytes", "nothing", "other"]
SCALARS = ("number", "text", "boolean", "date")

# How many lists lie around the leaves of one value of a kind, and what the leaves are.
FORMS: dict[Kind, tuple[int, tuple[Leaf, ...]]] = {
    "text": (0, ("text",)),
    "image": (0, ("media", "text", "bytes")),
    "audio": (0, ("media", "text", "bytes")),
    "vector": (1, ("number",)),
    "series": (2, ("number",)),
    "table": (0, ("record",)),
}


def is_list(kind: Any) -> bool:
    """Whether an Arrow type is a list of any sort (after `plain_type`)."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def plain_type(kind: Any) -> Any:
    """The type without what only concerns storage: extensions, dictionaries, views, decimals, nanoseconds."""
    if isinstance(kind, pa.BaseExtensionType):
        return plain_type(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if pa.types.is_decimal(kind):
        return pa.float64()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(plain_type(field.type)) for field in kind])
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(plain_type(kind.value_type), kind.list_size)
    if pa.types.is_large_list(kind) or str(kind).startswith("large_list_view"):
        return pa.large_list(plain_type(kind.value_type))
    if pa.types.is_list(kind) or str(kind).startswith("list_view"):
        return pa.list_(plain_type(kind.value_type))
    return {"string_view": pa.large_string(), "binary_view": pa.large_binary()}.get(str(kind), kind)


def levels(kind: Any) -> tuple[int, Leaf]:
    """How many lists lie around the leaves of a column, and what the leaves are."""
    depth = 0
    while is_list(kind):
        depth, kind = depth + 1, kind.value_type
    return depth, _leaf(kind)


def several_of(kind: Kind, column_type: Any) -> bool | None:
    """Whether a column of that type holds lists of values of `kind`; None where it holds none of that kind at all."""
    own, leaves = FORMS[kind]
    depth, leaf = levels(column_type)
    if leaf == "nothing":
        return depth > own if depth <= own + 1 else None
    return depth > own if leaf in leaves and depth in (own, own + 1) else None


def lengths(column: Any) -> Ids:
    """(n,) int64, how long each list is; 0 for a null."""
    counts: Ids = pc.list_value_length(column).fill_null(0).to_numpy().astype(np.int64)
    return np.where(valid(column), counts, 0)


def valid(column: Any) -> NDArray[np.bool_]:
    """(n,) bool, where there is no null."""
    return np.asarray(pc.is_valid(column).to_numpy(), dtype=bool)


def flattened(column: Any) -> Any:
    """The elements of all lists of a chunked column, one after the other; nothing is copied."""
    return pa.chunked_array([chunk.flatten() for chunk in column.chunks], type=column.type.value_type)


def exploded(column: Any) -> tuple[Any, Ids, Ids]:
    """The elements of a column of lists, and of each (total,) its row and its place in the row's list."""
    count = lengths(column)
    rows = np.repeat(np.arange(len(count)), count)  # (total,)
    start = np.cumsum(count) - count  # (n,)
    return flattened(column), rows, np.arange(len(rows)) - np.repeat(start, count)


def lengths_of_text(column: Any) -> Ids:
    """(n,) int64, bytes in each string; 0 for a null."""
    if pa.types.is_null(column.type):
        return np.zeros(len(column), dtype=np.int64)
    count: Ids = pc.binary_length(column).fill_null(0).to_numpy().astype(np.int64)
    return count


def cells_of(column_type: Any) -> dict[str, Leaf]:
    """What the fields of a struct (in lists or not) hold."""
    while is_list(column_type):
        column_type = column_type.value_type
    return {field.name: _leaf(field.type) for field in column_type}


def strings(column: Any) -> list[str | None]:
    """Ids, labels, splits or groups as strings; whole numbers held as floats (as pandas does beside gaps) as whole.

    Nulls and NaN are None.
    """
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        numbers = column.drop_null().to_numpy()
        if np.isfinite(numbers).all() and (numbers == np.rint(numbers)).all() and (np.abs(numbers) < 2**53).all():
            column = column.cast(pa.int64())
    return [None if value is None else str(value) for value in column.to_pylist()]


def _leaf(kind: Any) -> Leaf:
    is_ = pa.types
    if is_.is_integer(kind) or is_.is_floating(kind):
        return "number"
    if is_.is_string(kind) or is_.is_large_string(kind):
        return "text"
    if is_.is_boolean(kind):
        return "boolean"
    if is_.is_date(kind) or is_.is_timestamp(kind):
        return "date"
    if is_.is_binary(kind) or is_.is_large_binary(kind) or is_.is_fixed_size_binary(kind):
        return "bytes"
    if is_.is_null(kind):
        return "nothing"
    if is_.is_struct(kind):
        fields = {field.name: _leaf(field.type) for field in kind}
        if set(fields) == {"bytes", "path"} and fields["bytes"] in ("bytes", "nothing"):
            return "media"
        if fields and all(leaf in (*SCALARS, "nothing") for leaf in fields.values()):
            return "record"
    return "other"
