"""What stands for a whole report: each modality alone, and the largest query to each target; and how figures read."""

from __future__ import annotations

from collections.abc import Sequence

from .directions import Unit
from .entry import Entry


def singles(entries: Sequence[Entry], unit: Unit = "value") -> list[Entry]:
    """Every direction of one modality to one other, once: in this unit, or in the one that it was measured in."""
    chosen: dict[tuple[str, ...], Entry] = {}
    for entry in entries:
        query, target = entry.direction.query, entry.direction.target
        if len(query) == len(target) == 1:
            key = (*query, *target, entry.match)
            if key not in chosen or entry.direction.unit == unit:
                chosen[key] = entry
    return list(chosen.values())


def largest(entries: Sequence[Entry]) -> list[Entry]:
    """To each single target the combined query of the most modalities that has a match: by default all the others."""
    chosen: dict[tuple[str, ...], Entry] = {}
    for entry in entries:
        query, target = entry.direction.query, entry.direction.target
        if len(query) > 1 and len(target) == 1 and entry.queries:
            key = (*target, entry.direction.unit, entry.match)
            if key not in chosen or len(query) > len(chosen[key].direction.query):
                chosen[key] = entry
    return list(chosen.values())


def in_words(entry: Entry) -> str:
    """A direction as a reader meets it: `photo + caption → speech`."""
    return " → ".join(" + ".join(side) for side in (entry.direction.query, entry.direction.target))


def points(change: float) -> str:
    """A change of a share, in points: `+1.2`."""
    rounded = round(100 * change, 1) + 0.0  # no minus before a nought
    return f"{rounded:+.1f}".replace("-", "−")


def between(ends: tuple[float, float] | None) -> str:
    """An interval of a change, in points, in brackets; nothing where there is none, or no two draws differ."""
    return "" if ends is None or ends[0] == ends[1] else f" ({points(ends[0])} to {points(ends[1])})"
