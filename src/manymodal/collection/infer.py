"""A schema for a table: what the config says, and for the rest what the columns look like."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pyarrow.compute as pc

from ..errors import ManymodalError
from ..words import did_you_mean
from .arrow import SCALARS, Leaf, cells_of, flattened, levels, several_of
from .extract import common_width, locate
from .media import kind_of_bytes, kind_of_suffix
from .schema import Cell, Config, Modality, ModalityConfig, Schema, check_name
from .sources import Source
from .values import Kind

Media = Literal["image", "audio"]
LOOK_AT = 20  # non-null values, to see whether a column names files or holds media
FEW = 20  # distinct strings that still make a category
FEW_SHARE = 0.01


def infer(source: Source, config: Config) -> tuple[Schema, list[str]]:
    """The schema of a table, and a note on everything that was inferred.

    Raises:
        ManymodalError: the config names a column that is not there, or one that cannot be of the kind it says; a name
            that no modality can have; columns of which some files exist and some do not.
    """
    table, notes = source.table, list[str]()
    roles = {role: _role(role, config, source) for role in ("id", "split", "split_by", "label")}
    notes += [f"{role}: column {column!r}" for role, column in roles.items() if column is not None]
    if roles["id"] is None:
        notes.append("id: the row number, since there is no column of ids")
    for name in config.ignore:
        _check_column(name, source, "ignore")
    modalities = {name: _configured(name, said, source, notes) for name, said in config.modalities.items()}
    used = {*roles.values(), *config.ignore, *(c for modality in modalities.values() for c in modality.columns)}
    scalars: list[str] = []
    for name in table.column_names:
        if name in used:
            continue
        kind, several = _look(name, table[name], source.folder, notes)
        if kind is None:
            notes.append(f"{name}: a plain column ({table[name].type})")
        elif kind == "table" and levels(table[name].type)[1] != "record":
            scalars.append(name)
        else:
            check_name(name)
            _check_free(name, modalities)
            modalities[name] = Modality(kind=kind, columns=[name], several=several, struct=kind == "table")
            notes.append(f"{name}: {kind}{', several values per item' if several else ''}")
    if scalars:
        _check_free("table", modalities)
        modalities["table"] = Modality(kind="table", columns=scalars)
        notes.append(f"table: columns {', '.join(scalars)}")
    _check_whole(config, roles["label"], modalities)
    schema = Schema(
        id=roles["id"],
        split=roles["split"],
        split_by=roles["split_by"],
        label=roles["label"],
        split_seed=config.split_seed,
        modalities={name: _bound(modality, table) for name, modality in modalities.items()},
        same_source=config.same_source,
        ignore=config.ignore,
    )
    return schema, notes


def _role(role: str, config: Config, source: Source) -> str | None:
    """The column of ids, splits, groups or labels: as said (None too, where said), else the one of that name."""
    if role in config.model_fields_set or role == "split_by":
        said: str | None = getattr(config, role)
        if said is not None:
            _check_column(said, source, role)
        return said
    return role if role in source.table.column_names else None


def _configured(name: str, said: ModalityConfig, source: Source, notes: list[str]) -> Modality:
    """A modality that the config names; what it leaves out is inferred from its column."""
    columns = said.columns or [said.column or name]
    for column in columns:
        _check_column(column, source, f"modality {name!r}")
    column = source.table[columns[0]]
    shared: dict[str, Any] = {"columns": columns, "per": said.per, "encoder": said.encoder, "options": said.options}
    leaf = levels(column.type)[1]
    kind = said.kind
    if kind is None and len(columns) > 1:
        kind = "table"
    if kind is None:
        elements = flattened(column) if said.several and levels(column.type)[0] else column
        kind = _look(columns[0], elements, source.folder, notes)[0]
        if kind is None:
            raise ManymodalError(
                f"modality {name!r}: column {columns[0]!r} ({column.type}) could be several kinds; say which"
            )
        notes.append(f"{name}: {kind}, from column {columns[0]!r}")
    if kind == "table" and leaf != "record":
        for column_name in columns:
            depth, cell = levels(source.table[column_name].type)
            if depth or cell not in (*SCALARS, "nothing"):
                raise _not_that(name, kind, column_name, source.table[column_name].type)
        return Modality(kind="table", **shared)
    several = several_of(kind, column.type)
    if several is None or len(columns) > 1:
        raise _not_that(name, kind, columns[0], column.type)
    if said.several is not None and several != said.several and leaf != "nothing":
        form = "lists of values" if several else "single values"
        raise ManymodalError(
            f"modality {name!r}: `several: {str(said.several).lower()}`, but column {columns[0]!r} ({column.type}) "
            f"holds {form} of kind {kind}"
        )
    return Modality(kind=kind, several=several, struct=kind == "table", **shared)


def _look(name: str, column: Any, folder: Path, notes: list[str]) -> tuple[Kind | None, bool]:
    """What a column looks like: its kind (None: no modality) and whether it holds lists of values.

    A scalar column that would be part of the modality `table` is of kind table.
    """
    depth, leaf = levels(column.type)
    if leaf == "media" and depth <= 1:
        kind = _kind_of_media(column if depth == 0 else flattened(column))
        if kind is None:
            notes.append(f"{name}: neither pictures nor sounds by their first bytes")
        return kind, depth == 1
    if leaf == "text" and depth <= 1:
        kind = _kind_of_files(name, column if depth == 0 else flattened(column), folder, notes)
        if kind is not None or depth == 1:
            return kind or "text", depth == 1
        if column.null_count == len(column):
            return None, False
        return ("table" if _repeats(column) else "text"), False
    if leaf == "number" and depth in (1, 2):
        return ("vector" if depth == 1 else "series"), False
    return ("table" if depth == 0 and leaf in (*SCALARS, "record") else None), False


def _first(column: Any) -> list[Any]:
    found: list[Any] = column.drop_null().slice(0, LOOK_AT).to_pylist()
    return found


def _kind_of_media(elements: Any) -> Media | None:
    def kinds() -> Iterator[Media | None]:
        for value in _first(elements):
            yield kind_of_bytes(value["bytes"][:12]) if value["bytes"] else kind_of_suffix(value["path"] or "")

    return next((kind for kind in kinds() if kind is not None), None)


def _kind_of_files(name: str, elements: Any, folder: Path, notes: list[str]) -> Media | None:
    paths = _first(elements)
    kinds = {kind_of_suffix(path) for path in paths}
    if len(kinds) != 1 or None in kinds:
        return None
    missing = [path for path in paths if not _is_file(folder / path)]
    if len(missing) == len(paths):
        notes.append(f"{name}: looks like names of files, but none of them exists under {folder}")
        return None
    if missing:
        raise ManymodalError(
            f"column {name!r} names files of which some exist and some do not: {missing[0]!r} is not under {folder}. "
            "Restore it, or say what the column is (YAML: `modalities`, or `ignore`)"
        )
    return kinds.pop()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # too long for a name: a text that ends in ".jpg"
        return False


def _repeats(column: Any) -> bool:
    """Whether strings are the names of categories instead of texts."""
    filled = len(column) - column.null_count
    distinct = int(pc.count_distinct(column).as_py())
    return distinct < filled / 2 and (distinct <= FEW or distinct < FEW_SHARE * filled)


def _bound(modality: Modality, table: Any) -> Modality:
    """The modality with the width or the cells that this table has."""
    if modality.kind != "table":
        return modality.model_copy(update={"width": common_width(locate(table, modality), modality)[0]})
    if modality.struct:
        found = cells_of(table.schema.field(modality.columns[0]).type)
    else:
        found = {name: levels(table.schema.field(name).type)[1] for name in modality.columns}
    cells: dict[str, Cell] = {name: leaf for name, leaf in found.items() if _is_cell(leaf)}  # type: ignore[misc]
    return modality.model_copy(update={"cells": cells})


def _is_cell(leaf: Leaf) -> bool:
    return leaf in SCALARS


def _check_column(name: str, source: Source, where: str) -> None:
    known = source.table.column_names
    if name not in known:
        raise ManymodalError(
            f"{where}: no column {name!r} in {source.name}; {did_you_mean(name, known)}there are {', '.join(known)}"
        )


def _check_free(name: str, modalities: dict[str, Modality]) -> None:
    if name in modalities:
        raise ManymodalError(
            f"two modalities would be called {name!r}; "
            "name one of them in the config (`modalities: {name: {column: ...}}`)"
        )


def _check_whole(config: Config, label: str | None, modalities: dict[str, Modality]) -> None:
    for name, modality in modalities.items():
        if modality.per == "label" and label is None:
            raise ManymodalError(
                f"modality {name!r} is `per: label`, but there is no column of labels; say `label: COLUMN`"
            )
    for name in (name for group in config.same_source for name in group):
        if name not in modalities:
            known = list(modalities)
            raise ManymodalError(
                f"same_source names {name!r}, which is no modality; "
                f"{did_you_mean(name, known)}there are {', '.join(known)}"
            )


def _not_that(name: str, kind: Kind, column: str, column_type: Any) -> ManymodalError:
    needed = {
        "text": "string",
        "image": "struct<bytes, path> or a path",
        "audio": "struct<bytes, path> or a path",
        "vector": "list of numbers",
        "series": "list of lists of numbers (time x channels)",
        "table": "scalar columns or one struct of scalars",
    }[kind]
    return ManymodalError(
        f"modality {name!r}: column {column!r} is {column_type}, which is not {kind}; needed: {needed}"
        + ("" if kind == "table" else ", or a list of such")
    )
