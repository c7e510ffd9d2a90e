"""A further table under the schema of an earlier one: what is absent is said, what differs is refused."""

from __future__ import annotations

from typing import Any

from ..errors import ManymodalError
from .arrow import cells_of, levels, several_of
from .schema import Modality, Schema
from .sources import Source


def bind(source: Source, schema: Schema) -> list[str]:
    """Check a table against a schema.

    Returns:
        A note on each column of the schema that the table lacks.

    Raises:
        ManymodalError: a column is of another type than the schema says.
    """
    present = set(source.table.column_names)
    notes = []
    without = {
        "id": "ids are the row numbers",
        "split": "rows are split by a hash of their ids",
        "split_by": "rows are not grouped",
        "label": "no item has a label",
    }
    for role, consequence in without.items():
        column = getattr(schema, role)
        if column is not None and column not in present:
            notes.append(f"{role}: no column {column!r}, so {consequence}")
    for name, modality in schema.modalities.items():
        found = [column for column in modality.columns if column in present]
        absent = ", ".join(repr(column) for column in modality.columns if column not in present)
        if not found:
            notes.append(f"{name}: missing everywhere (no column {absent})")
            continue
        if absent:
            notes.append(f"{name}: no column {absent}, taken as null")
        _check_types(name, modality, {column: source.table.schema.field(column).type for column in found})
    return notes


def _check_types(name: str, modality: Modality, types: dict[str, Any]) -> None:
    if modality.kind == "table" and not modality.struct:
        for column, column_type in types.items():
            depth, leaf = levels(column_type)
            _check_cell(name, column, modality, "a list" if depth else leaf)
        return
    [(column, column_type)] = types.items()
    several = several_of(modality.kind, column_type)
    if several is None or (several != modality.several and levels(column_type)[1] != "nothing"):
        form = f"a list of {modality.kind} values" if modality.several else f"one {modality.kind} value"
        raise ManymodalError(
            f"modality {name!r}: column {column!r} is {column_type}; the schema says {form} per row. "
            "Convert the column, or learn a new space from this table"
        )
    if modality.kind == "table" and levels(column_type)[1] == "record":
        for field, leaf in cells_of(column_type).items():
            _check_cell(name, field, modality, leaf)


def _check_cell(name: str, column: str, modality: Modality, leaf: str) -> None:
    said = modality.cells.get(column)
    if said is not None and leaf not in (said, "nothing"):
        raise ManymodalError(
            f"modality {name!r}: column {column!r} holds {leaf}; the schema says {said}. "
            "Convert the column, or learn a new space from this table"
        )
