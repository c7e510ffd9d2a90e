"""Filters: a condition that anybody may have written -> SQL for the engine, written anew from what was understood.

The text itself is never handed on: its tree (see `where_tree`) is checked against the columns there are and what they
hold, and put down again with the table's own names. So the worst that a condition can come to is a refusal.

How it is put down is what LanceDB was seen to need:

- Its reader of SQL takes exponential time over nested NOTs and gives up beyond some twenty brackets, so negations are
  carried down to the comparisons (with NULL too, NOT (a AND b) is NOT a OR NOT b), and brackets are few.
- A plain number must be exactly of the column's own type, or the query fails; one with a type of its own may be any.
- Dates before 1677 or after 2262 overflow unless column and value are both cast to microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

from ..errors import ManymodalError
from ..words import did_you_mean
from .layout import Meta, Words
from .lookup import literal
from .where_tree import ALLOWED, COMPARISONS, KEYWORDS, STRANGE, read, short

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

MAX_PATTERN = 256  # characters
LISTED = 30  # columns in a message

CONTRARY = {"=": "!=", "!=": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}  # of a null, both are null
MIRRORED = {"=": "=", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
HOLDS = {"number": "a number", "text": "a text", "boolean": "true or false", "date": "a date"}
EXAMPLES = {"number": "2010", "text": "'red'", "boolean": "TRUE", "date": "'2020-12-31'"}


class Column(NamedTuple):
    """A column that users may name in a filter: its name in the table, and what it holds."""

    stored: str
    type: Words


def columns_of(meta: Meta) -> dict[str, Column]:
    """The columns of an index that filters may name."""
    return {name: Column(one.stored, one.type) for name, one in meta.columns.items()}


def compile_where(text: str, columns: Mapping[str, Column]) -> str:
    """SQL for LanceDB of a condition that a user wrote, such as `year > 2010 and kind in ('a', 'b')`.

    Cost: about a millisecond, whatever the text; no text takes long.

    Args:
        text: the condition; it may come from a stranger.
        columns: {the user's name: column}; all others are unknown to filters.

    Raises:
        ManymodalError: as `read`, or an unknown column, or a value that does not go with its column.
    """
    return _Conditions(columns).condition(read(text, columns))


class _Conditions:
    """Writes conditions on known columns."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self.columns = columns

    def condition(self, node: Expr, negated: bool = False) -> str:
        """The node as SQL; its contrary where negated."""
        no = "NOT " if negated else ""
        match node.key:
            case "paren":
                return self.condition(node.this, negated)
            case "not":
                return self.condition(node.this, not negated)
            case "and" | "or" as word:
                parts = [self.condition(part, negated) for part in node.flatten()]
                return " AND ".join(parts) if (word == "and") != negated else f"({' OR '.join(parts)})"
            case "boolean":
                return "TRUE" if node.this != negated else "FALSE"
            case "column":
                name, column = self.comparable(node)
                if column.type != "boolean":
                    raise _mistake(name, column, "=", "alone is no condition")
                return no + _sql(column)
            case "is":
                name, column = self.column(node.this, "IS NULL")
                if node.expression.key != "null":
                    raise ManymodalError(f"IS goes with NULL alone; write {_name(name)} = {_said(node.expression)}")
                return f"`{column.stored}` IS {no}NULL"
            case "in":
                name, column = self.comparable(node.this, "IN")
                values = [_value(value, name, column) for value in node.expressions]
                if not values:
                    raise ManymodalError(f"filters do not know {STRANGE['in']}")
                return f"{_sql(column)} {no}IN ({', '.join(values)})"
            case "between":
                name, column = self.comparable(node.this, "BETWEEN")
                low, high = (_value(node.args[end], name, column) for end in ("low", "high"))
                return f"{_sql(column)} {no}BETWEEN {low} AND {high}"
            case "like" | "ilike" as word:
                return self.like(node, word.upper(), negated != bool(node.args.get("negate")))
            case "contains":
                return no + self.contains(node)
            case key if key in COMPARISONS:
                sign = COMPARISONS[key]
                return self.comparison(node.this, CONTRARY[sign] if negated else sign, node.expression, sign)
        raise ManymodalError(f"{_said(node)} alone is no condition; {ALLOWED}")

    def comparison(self, left: Expr, sign: str, right: Expr, written: str) -> str:
        """A comparison by a sign; `written` is the one that the user wrote."""
        left, right = left.unnest(), right.unnest()
        if left.key != "column":
            left, right, sign, written = right, left, MIRRORED[sign], MIRRORED[written]
        name, column = self.comparable(left, written)
        if right.key != "column":
            return f"{_sql(column)} {sign} {_value(right, name, column, written)}"
        other, second = self.comparable(right, written, name if column.type == "text" else None)
        if second.type != column.type:
            raise _mistake(name, column, written, f"was compared with {_name(other)}, {HOLDS[second.type]}")
        return f"{_sql(column)} {sign} {_sql(second)}"

    def like(self, node: Expr, word: str, negated: bool) -> str:
        name, column = self.comparable(node.this, word)
        pattern = node.expression.unnest()
        if column.type != "text":
            raise _mistake(name, column, "=", f"does not go with {word}, which is for texts")
        if pattern.key != "literal" or not pattern.is_string:
            raise ManymodalError(f"{word} takes a text; write {_name(name)} {word} 'a%', not {_said(pattern)}")
        if len(pattern.name) > MAX_PATTERN:
            raise ManymodalError(
                f"a {word} pattern of {len(pattern.name)} characters; at most {MAX_PATTERN} are allowed"
            )
        if "\\" in re.sub(r"\\[\\%_]", "", pattern.name):
            raise ManymodalError(rf"in a {word} pattern a backslash stands before %, _ or another; write \\ for itself")
        return f"{_sql(column)} {'NOT ' if negated else ''}{word} {literal(pattern.name)}"

    def contains(self, node: Expr) -> str:
        name, column = self.column(node.this, "contains")
        value = node.expression.unnest()
        if column.type != "list":
            hint = f"; write {_name(name)} LIKE '%x%'" if column.type == "text" else ""
            raise ManymodalError(f"contains looks into a list, and {_name(name)} is none{hint}")
        if value.key != "literal" or not value.is_string:
            raise ManymodalError(f"contains looks for a text; write contains({_name(name)}, 'x'), not {_said(value)}")
        return f"array_has(`{column.stored}`, {literal(value.name)})"

    def comparable(self, node: Expr, word: str = "", text: str | None = None) -> tuple[str, Column]:
        """The column that is to be compared, which must hold single values."""
        name, column = self.column(node, word, text)
        if column.type == "list":
            raise ManymodalError(f"{_name(name)} is a list; write contains({_name(name)}, 'x')")
        if column.type == "record":
            raise ManymodalError(
                f"{_name(name)} is a record, which filters cannot look into: only IS NULL goes with it"
            )
        return name, column

    def column(self, node: Expr, word: str = "", text: str | None = None) -> tuple[str, Column]:
        """The user's name of a column, and the column.

        Args:
            node: what should be a column.
            word: that it stands with.
            text: the column of texts that it was compared with, where it may be a text without its quotes.
        """
        node = node.unnest()
        if node.key != "column":
            raise ManymodalError(
                f"{word} needs a column on its left, not {_said(node)}; write for instance: year > 2010"
            )
        name = ".".join(part.name for part in node.parts)  # type: ignore[attr-defined]
        if name in self.columns:
            return name, self.columns[name]
        alike = [known for known in self.columns if known.casefold() == name.casefold()]
        if len(alike) == 1:
            return alike[0], self.columns[alike[0]]
        if alike:
            raise ManymodalError(
                f"{short(name)} may be any of {', '.join(map(_name, alike))}; write it as it is written there"
            )
        if (first := node.parts[0].name) != name and first in self.columns:  # type: ignore[attr-defined]
            raise ManymodalError(
                f"{short(first)} has no fields that filters can look into; they reach whole columns only"
            )
        quote = f"; a text goes in single quotes: {_name(text)} = {literal(name.strip('‘’“”'))}" if text else ""
        meant = did_you_mean(name, self.columns)
        listed = ", ".join(map(_name, islice(self.columns, LISTED))) + ", ..." * (len(self.columns) > LISTED)
        there = f"there are {listed}" if self.columns else "there are no columns to filter by"
        raise ManymodalError(f"no column {short(name)}{quote}; {meant}{there}")


def _value(node: Expr, name: str, column: Column, sign: str = "=") -> str:
    """A value that a column is compared with, in the column's type."""
    node = node.unnest()
    minus, number = ("-", node.this.unnest()) if node.key == "neg" else ("", node)
    if node.key == "null":
        raise ManymodalError(f"nothing equals NULL; write {_name(name)} IS NULL or {_name(name)} IS NOT NULL")
    is_string = node.key == "literal" and node.is_string
    if column.type == "number" and number.key == "literal" and not number.is_string:
        return _number(minus + number.name)
    if column.type == "boolean" and node.key == "boolean":
        return "TRUE" if node.this else "FALSE"
    if column.type == "text" and is_string:
        return literal(node.name)
    if column.type == "date" and is_string:
        return _date(node.name, name)
    raise _mistake(name, column, sign, f"was compared with {_said(node)}", node)


def _number(text: str) -> str:
    try:
        if text.lstrip("-").isdecimal() and -(2**63) <= (whole := int(text)) < 2**63:
            return f"CAST({whole} AS BIGINT)"
        value = float(text)
    except ValueError as error:
        raise ManymodalError(f"{short(text)} is not a number; write it like 2010, -0.5 or 1e6") from error
    if not isfinite(value):
        raise ManymodalError(f"{short(text)} is too large for a number; those of filters reach to 1e308")
    return f"CAST({value!r} AS DOUBLE)"


def _date(text: str, name: str) -> str:
    """An ISO date or time, as the engine compares it: without a zone, as UTC."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError) as error:
        raise ManymodalError(
            f"{_name(name)} holds a date, and {short(text)} is none; write '2020-12-31' or '2020-12-31T23:59:59'"
        ) from error
    return f"CAST('{moment.isoformat(sep=' ')}' AS TIMESTAMP(6))"


def _sql(column: Column) -> str:
    """A column as it is compared."""
    return f"CAST(`{column.stored}` AS TIMESTAMP(6))" if column.type == "date" else f"`{column.stored}`"


def _mistake(name: str, column: Column, sign: str, trouble: str, value: Expr | None = None) -> ManymodalError:
    """Says what does not go with a column, and what would; `value` is what the user wrote."""
    example, wrong = EXAMPLES[column.type], ""
    if value is not None and value.key in ("literal", "column"):
        wrong = f", not {_name(name)} {sign} {_said(value)}"
        if column.type == "text":
            example = short(literal(value.name), "")
        elif column.type == "number" and value.name.isdecimal():
            example = short(value.name, "")
    return ManymodalError(
        f"{_name(name)} holds {HOLDS[column.type]} and {trouble}; write {_name(name)} {sign} {example}{wrong}"
    )


def _said(node: Expr) -> str:
    """A node as its writer knows it."""
    node = node.unnest()
    match node.key:
        case "literal":
            return short(literal(node.name) if node.is_string else node.name, "")
        case "column":
            return short(node.name, "")
        case "boolean":
            return "TRUE" if node.this else "FALSE"
        case "neg":
            return f"-{_said(node.this)}"
    return {"null": "NULL"}.get(node.key, "another condition")


def _name(name: str) -> str:
    """A column's name as it stands in a filter."""
    bare = name.isidentifier() and name.upper() not in KEYWORDS
    return name if bare else '"' + name.replace('"', '""') + '"'
