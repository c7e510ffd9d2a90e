"""Columns of a table modality: what each holds, and a cell as one number."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import cached_property
from numbers import Real
from typing import Any, Literal

import numpy as np

from ..errors import ManymodalError

MISSING = math.nan
UNKNOWN = 0  # the code of a category that training never saw; those that it saw follow
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        kind: "number", "date" (which becomes days since 1970) or "category" (strings, booleans).
        categories: those of the training values, sorted; empty for numbers and dates.
    """

    kind: Literal["number", "date", "category"]
    categories: tuple[str | bool, ...] = ()

    @classmethod
    def of(cls, cells: Iterable[Any]) -> Column:
        """What a column holds, from its training cells. One without any is a category of which nothing is known.

        Raises:
            ManymodalError: cells of different kinds, or of a kind that no table has.
        """
        known = [plain(cell) for cell in cells if not is_missing(cell)]
        kinds = {kind_of(cell) for cell in known} or {"category"}
        types = {bool if isinstance(cell, bool) else str for cell in known if kind_of(cell) == "category"}
        if len(kinds) > 1 or len(types) > 1:
            found = sorted({type(cell).__name__ for cell in known})
            raise ManymodalError(f"cells of different kinds ({', '.join(found)}); a column holds one")
        kind = kinds.pop()
        return cls(kind, tuple(sorted(set(known))) if kind == "category" else ())

    def number(self, cell: Any) -> float:
        """A cell as a number: itself, days since 1970 or the code of its category; NaN where it is missing.

        Raises:
            ManymodalError: a cell of another kind than the column's.
        """
        if is_missing(cell):
            return MISSING
        cell = plain(cell)
        kind = kind_of(cell)
        if kind != self.kind:
            raise ManymodalError(f"{cell!r} is a {kind}; the column holds {self.kind} cells")
        if kind == "category":
            return self._codes.get(cell, UNKNOWN)
        if kind == "date":
            at = cell if isinstance(cell, datetime) else datetime.combine(cell, time())
            return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - EPOCH).total_seconds() / 86_400
        try:
            number = float(cell)
        except OverflowError:  # a whole number beyond all that floats reach
            number = math.inf
        if math.isinf(number):
            raise ManymodalError("an infinite number")
        return number

    @cached_property
    def _codes(self) -> dict[str | bool, int]:
        return {category: code for code, category in enumerate(self.categories, UNKNOWN + 1)}


def is_missing(cell: Any) -> bool:
    """None and NaN are missing cells."""
    return cell is None or bool(isinstance(cell, Real) and cell != cell)


def plain(cell: Any) -> Any:
    """The Python object for a NumPy scalar; anything else as it is."""
    return cell.item() if isinstance(cell, np.generic) else cell


def kind_of(cell: Any) -> Literal["number", "date", "category"]:
    """The kind of column that would hold this cell.

    Raises:
        ManymodalError: not a number, string, boolean or date.
    """
    if isinstance(cell, (str, bool)):
        return "category"
    if isinstance(cell, Real):
        return "number"
    if isinstance(cell, date):  # datetime is one too
        return "date"
    raise ManymodalError(f"a cell came as {type(cell).__name__}; needed: a number, string, boolean, date or None")
