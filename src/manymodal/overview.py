"""What an index holds, in figures and in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from .index.layout import IndexedCell
from .words import counted

if TYPE_CHECKING:
    from .search_index import Index
    from .searched import Searched


@dataclass(frozen=True)
class IndexedModality:
    """A modality of an index.

    Args:
        kind: how its raw values are read; None where another program made the vectors.
        per: whether items have values of their own, or share their label's.
        queryable: whether raw values can be asked with.
        items: how many items (labels) have a value.
        values: how many values there are.
        recall: {query modality: recall@10 of approximate search, as measured}; empty where search is exact.
        cells: of a table, what its columns hold.
        width: numbers in a vector, channels of a series.
    """

    kind: str | None
    per: Literal["item", "label"]
    queryable: bool
    items: int
    values: int
    recall: dict[str, float] = field(default_factory=dict)
    cells: dict[str, IndexedCell] = field(default_factory=dict)
    width: int | None = None


def modalities_of(searched: Searched) -> dict[str, IndexedModality]:
    """The modalities of an index at a version, by name."""
    found = {}
    for name, one in searched.meta.modalities.items():
        items, values = searched.form.sizes(name)
        tuning = searched.meta.tuning.get(name)
        queryable = searched.space is not None and name in searched.space.towers.names
        recall = {} if tuning is None else tuning.recall
        found[name] = IndexedModality(one.kind, one.per, queryable, items, values, recall, one.cells, one.width)
    return found


def summary(index: Index) -> str:
    """What there is, in a few lines."""
    how = "exact search" if index.engine == "exact" else "approximate search (LanceDB)"
    lines = [f"{index.name}: {counted(index.items, 'item')}, d={index.d}, {how}, version {index.version}"]
    for name, one in index.modalities.items():
        line = f"  {name}: {counted(one.values, 'value')} of {counted(one.items, one.per)}"
        if one.recall:
            line += "; recall@10 from " + ", ".join(f"{query} {share:.3f}" for query, share in one.recall.items())
        lines.append(line)
    return "\n".join(lines)
