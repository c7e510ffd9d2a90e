"""Directions laid out for reading: a row for each query, a column for each target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .entry import Entry

EVERYTHING_ELSE = "everything else"

_HEADINGS = {"value": "one value", "item": "whole item", "label": "label"}


@dataclass(frozen=True)
class Row:
    """One query and its targets.

    Args:
        heading: what the rows beside it have in common: what one query is, and what matches.
        name: the query, in words.
        cells: {target, in words: entry}.
    """

    heading: str
    name: str
    cells: dict[str, Entry]


def grid(entries: Sequence[Entry]) -> tuple[list[str], list[Row]]:
    """Names of the columns, and the rows under their headings: singles first, then combined queries.

    Queries of all modalities but the target share one row, since each of them has one cell only; galleries of all
    modalities but those asked with share one column. Where every item has one value at most, its value and the whole
    item are the same query, and one row shows both.
    """
    names = _names_of_values(entries)
    shared = sum(_asks_with_the_rest(entry, names) for entry in entries) > 1
    merged = sum(_searches_the_rest(entry, names) for entry in entries) > 1
    rows: dict[tuple[bool, str, str], dict[str, Entry]] = {}
    for entry in entries:
        query, target = (" + ".join(side) for side in (entry.direction.query, entry.direction.target))
        name = EVERYTHING_ELSE if shared and _asks_with_the_rest(entry, names) else query
        column = EVERYTHING_ELSE if merged and _searches_the_rest(entry, names) else target
        if not _says_no_more(entry, entries):
            key = (len(entry.direction.query) > 1, _heading(entry, entries), name)
            rows.setdefault(key, {})[column] = entry
    headings = list(dict.fromkeys(key[:2] for key in sorted(rows, key=lambda key: key[0])))
    columns = sorted({target for cells in rows.values() for target in cells}, key=_last_composed)
    return columns, [
        Row(heading, name, cells)
        for group in headings
        for (combined, heading, name), cells in rows.items()
        if (combined, heading) == group
    ]


def cell(entry: Entry) -> str:
    """hit@1 in %, a dash where it is undefined, a star where one side was made from the other."""
    figure = entry["hit@1"]
    return ("–" if figure is None else f"{100 * figure:.1f}") + ("*" if entry.leak else "")


def _names_of_values(entries: Sequence[Entry]) -> set[str]:
    """The modalities that have a value in what was measured."""
    asked = {m for e in entries if e.queries for m in e.direction.query}
    return asked | {m for e in entries if e.gallery for m in e.direction.target if len(e.direction.target) == 1}


def _asks_with_the_rest(entry: Entry, names: set[str]) -> bool:
    """Whether a combined query names all but the one modality that is searched."""
    query, target = entry.direction.query, entry.direction.target
    return len(query) > 1 and len(target) == 1 and set(query) == names - set(target)


def _searches_the_rest(entry: Entry, names: set[str]) -> bool:
    """Whether a composed gallery names all but the modalities of the query."""
    query, target = entry.direction.query, entry.direction.target
    return len(target) > 1 and set(target) == names - set(query)


def _last_composed(target: str) -> tuple[bool, bool, str]:
    """Sorts single targets first, everything else last."""
    return target == EVERYTHING_ELSE, " + " in target, target


def _says_no_more(entry: Entry, entries: Sequence[Entry]) -> bool:
    """Whether a single modality asked by item is the same query as asked by value, which is among the entries."""
    if entry.direction.unit != "item" or len(entry.direction.query) > 1:
        return False
    by_value = replace(entry.direction, unit="value")
    return any(
        (other.direction, other.match) == (by_value, entry.match)
        and (replace(other, direction=entry.direction) == entry or _one_value_each(other))
        for other in entries
    )


def _one_value_each(entry: Entry) -> bool:
    """Whether no item has two queries: its one value, composed, is that value but for rounding."""
    return entry.scored is not None and len(entry.scored.owners.unique()) == entry.queries > 0


def _heading(entry: Entry, entries: Sequence[Entry]) -> str:
    """What one query is; what matches too, where that differs among the entries."""
    unit = _HEADINGS[entry.direction.unit]
    words = f"combined, {unit}" if len(entry.direction.query) > 1 else unit
    return words if len({e.match for e in entries}) == 1 else f"{words}, by {entry.match}"
