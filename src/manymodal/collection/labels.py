"""Labels as codes, and the one row that stands for each label in a modality `per: label`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..errors import ManymodalError
from .arrow import strings
from .schema import Schema
from .values import Ids


class Codes(NamedTuple):
    """(n,) the label code of each row, -1 unknown; and the label of each code."""

    labels: Ids
    names: list[str]


def code_labels(table: Any, schema: Schema) -> Codes:
    """The rows' labels as codes: those of the schema, then new ones for labels it does not know, sorted."""
    if schema.label not in table.column_names:
        return Codes(np.full(len(table), -1, dtype=np.int64), list(schema.label_names))
    labels = strings(table[schema.label])
    further = sorted({label for label in labels if label is not None} - set(schema.label_names))
    names = [*schema.label_names, *further]
    code: dict[str | None, int] = {name: i for i, name in enumerate(names)}
    return Codes(np.array([code.get(label, -1) for label in labels], dtype=np.int64), names)


def one_row_per_label(modality: str, table: Any, columns: list[str], rows: Ids, labels: Ids, names: list[str]) -> Ids:
    """The first row with a value of each label that has one.

    Args:
        modality: for messages.
        table: of the collection.
        columns: of the modality.
        rows: those with a value, a row once or more.
        labels: (n,) of the table's rows.
        names: of the labels.

    Raises:
        ManymodalError: two rows of a label have different values.
    """
    rows = np.unique(rows[labels[rows] >= 0])
    cells = [table[column].take(rows).to_pylist() for column in columns if column in table.column_names]
    first: dict[int, tuple[int, Any]] = {}
    for row, *value in zip(rows.tolist(), *cells, strict=True):
        chosen, shared = first.setdefault(int(labels[row]), (row, value))
        if value != shared and repr(value) != repr(shared):  # the text is the same where NaN differs from itself
            raise ManymodalError(
                f"modality {modality!r} is `per: label`, but items of label {names[labels[row]]!r} differ: "
                f"{_short(shared)} (row {chosen}) and {_short(value)} (row {row}). "
                "Mend the table, or make it `per: item`"
            )
    return np.array([row for row, _ in first.values()], dtype=np.int64)


def _short(value: list[Any]) -> str:
    text = repr(value[0] if len(value) == 1 else value)
    return text if len(text) <= 80 else text[:77] + "..."
