"""Which characters count as one: those that Unicode calls equal, and those that some face draws alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any


def families(keys: Sequence[Iterable[Hashable]]) -> list[int]:
    """Join rows that share a key, directly or by way of other rows.

    Args:
        keys: for each row, its keys.

    Returns:
        For each row the first row that it is joined with (itself where there is none before it).
    """
    parent = list(range(len(keys)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    holder: dict[Hashable, int] = {}
    for row, own in enumerate(keys):
        for key in own:
            one, other = root(holder.setdefault(key, row)), root(row)
            parent[max(one, other)] = min(one, other)
    return [root(row) for row in range(len(keys))]


def twin_share(table: Any, rows: Sequence[int]) -> float:
    """The share of characters that have a twin among them: another character of their family.

    Twins look or are the same, so one of them may be found in place of the other. Report this share beside the figures
    of a split: it is how much of them rests on telling twins apart.

    Args:
        table: as `glyph_table` gives it.
        rows: row numbers of a split.

    Returns:
        Share of the rows, 0 to 1; 0 for no rows.
    """
    family = table.column("family").to_pylist()
    size = Counter(family[row] for row in rows)
    return sum(count for count in size.values() if count > 1) / max(len(rows), 1)
