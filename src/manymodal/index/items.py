"""Items as an index keeps them: their columns, and what their values look and sound like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..cells import as_json
from ..errors import ManymodalError
from .layout import Meta, column
from .lookup import rows_of
from .records import Shown
from .store import View


@dataclass(frozen=True)
class Item:
    """One item.

    Args:
        id: the user's own.
        label: the name of its label; None where it is unknown.
        columns: its plain columns, as JSON can hold them.
        values: {modality: its values}; modalities without one are absent, and so are those `per: label`.
    """

    id: str
    label: str | None
    columns: dict[str, Any]
    values: dict[str, list[Shown]]

    def to_dict(self) -> dict[str, Any]:
        """The item as JSON has it."""
        return asdict(self)


def item_of(view: View, id: str) -> Item:
    """The item with an id.

    Raises:
        ManymodalError: there is none.
    """
    with view.reading():
        rows = rows_of(view.items, [id], _columns(view.meta))
    found = list(_items(view.meta, rows))
    if not found:
        raise no_item(id)
    return found[0]


def items_where(view: View, where: str | None, limit: int, offset: int) -> tuple[list[Item], int]:
    """A page of the items that meet a condition (of stored columns), in the table's order; and how many there are.

    Raises:
        ManymodalError: a limit or offset below 0.
    """
    if limit < 0 or offset < 0:
        raise ManymodalError(f"limit={limit}, offset={offset}; use 0 or more")
    with view.reading():
        there = int(view.items.count_rows(where))
        if (limit := min(limit, there - offset)) <= 0:  # which the engine would take for no limit
            return [], there
        asked = view.items.search()
        if where is not None:
            asked = asked.where(where)
        rows = asked.select(_columns(view.meta)).limit(limit).offset(offset).to_arrow()
    return list(_items(view.meta, rows)), there


def media_of(view: View, id: str, modality: str, place: int) -> tuple[bytes, str]:
    """What is kept of a value to be seen or heard: its content and media type.

    Args:
        view: of the index.
        id: of the item; the name of the label, where the modality is `per: label`.
        modality: its name.
        place: of the value in its item's list in the table.

    Raises:
        ManymodalError: there is no such item or value, or nothing is kept of it.
    """
    stored, per_label = view.meta.stored(modality), view.meta.per_label(modality)
    names = [column(what, stored) for what in ("places", "types", "media")]
    with view.reading():
        rows = rows_of(view.table(per_label), [id], names).to_pylist()
    if not rows:
        raise no_item(id, per_label)
    places, types, media = (rows[0][name] or [] for name in names)
    for at, type, content in zip(places, types, media, strict=True):
        if at == place and type is not None and content is not None:
            return content, type
    raise ManymodalError(f"of value {place} of {id!r} in {modality!r} nothing is kept to be shown")


def no_item(id: str, per_label: bool = False) -> ManymodalError:
    """The error for an id, or a label, that is not in an index."""
    return ManymodalError(f"no {'label' if per_label else 'item'} {id!r} in this index")


def cells_of(rows: Any, meta: Meta) -> list[dict[str, Any]]:
    """The plain columns of each row of an Arrow table, by the user's names, as JSON can hold them."""
    columns = [map(as_json, rows[one.stored].to_pylist()) for one in meta.columns.values()]
    cells = zip(*columns, strict=True) if columns else [()] * len(rows)
    return [dict(zip(meta.columns, own, strict=True)) for own in cells]


def _columns(meta: Meta) -> Sequence[str]:
    per_value = [
        column(what, modality.stored)
        for modality in meta.modalities.values()
        if modality.per == "item"
        for what in ("places", "texts", "types")
    ]
    return ["id", "label", *(one.stored for one in meta.columns.values()), *per_value]


def _items(meta: Meta, rows: Any) -> Iterator[Item]:
    for row, columns in zip(rows.to_pylist(), cells_of(rows, meta), strict=True):
        values = {}
        for name, modality in meta.modalities.items():
            lists = [row.get(column(what, modality.stored)) or [] for what in ("places", "texts", "types")]
            if shown := [Shown(*one) for one in zip(*lists, strict=True)]:
                values[name] = shown
        yield Item(row["id"], row["label"], columns, values)
