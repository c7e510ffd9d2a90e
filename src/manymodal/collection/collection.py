"""A table of items, read by a schema: rows, splits, labels and the values of each modality."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ManymodalError
from ..words import counted, did_you_mean
from .arrow import strings
from .bind import bind
from .extract import BadRow, Extracted, Located, common_width, extract, locate
from .infer import infer
from .labels import code_labels, one_row_per_label
from .schema import Config, Modality, Schema, make_config, read_config
from .shown import shown_cells, shown_columns, shown_table
from .sources import Source, read_source
from .splits import NAMES, SPLITS, counts_in_words, split_rows
from .values import Ids, Values

if TYPE_CHECKING:
    from .describe import Description

OnBadValue = Literal["stop", "skip"]


def read_collection(
    source: Any,
    *,
    config: Config | Mapping[str, Any] | Path | str | None = None,
    schema: Schema | None = None,
    on_bad_value: OnBadValue = "stop",
) -> Collection:
    """Read a table.

    Args:
        source: path (str or Path) of a Parquet, CSV, JSONL or NDJSON file or of a folder of Parquet shards; a pandas
            or polars DataFrame, an Arrow table, or a list of dicts.
        config: what is to be read otherwise than inferred: a `Config`, its keys, or the path of a YAML file. Its
            `objective` and `train` are for `manymodal fit`; in Python, `Space.for_collection` and `fit` take them.
        schema: of an earlier table, by which this one is read; nothing is inferred then.
        on_bad_value: "stop" refuses a broken value; "skip" lists it in `Collection.bad` and takes it as missing.

    Raises:
        ManymodalError: the table, the config or a value is not as it must be; the text says where and why.
    """
    if config is not None and schema is not None:
        raise ManymodalError("give either config= or schema=: a table read by a schema has nothing left to configure")
    if on_bad_value not in ("stop", "skip"):
        raise ManymodalError(f'on_bad_value={on_bad_value!r}; allowed are "stop" and "skip"')
    if schema is not None:
        read = read_source(source, _as_text(schema))
        return Collection(read, schema, [*read.notes, *bind(read, schema)], on_bad_value)
    if isinstance(config, str | Path):
        config = read_config(Path(config))
    elif not isinstance(config, Config):
        config = make_config(config or {})
    read = read_source(source, _as_text(config))
    inferred, notes = infer(read, config)
    codes = code_labels(read.table, inferred)
    schema = inferred.model_copy(update={"label_names": codes.names})
    return Collection(read, schema, [*read.notes, *notes], on_bad_value)


def _as_text(named: Config | Schema) -> frozenset[str]:
    """Columns of a CSV that are text whatever their cells look like ("007")."""
    columns = {getattr(named, role) or role for role in ("id", "split", "label")} | {named.split_by or "split_by"}
    for name, said in named.modalities.items():
        if isinstance(said, Modality):
            columns |= {column for column, cell in said.cells.items() if cell == "text"}
            columns |= set(said.columns) if said.kind in ("text", "image", "audio") else set()
        elif said.kind in ("text", "image", "audio"):
            columns.add(said.column or name)
    return frozenset(columns)


class Collection:
    """Items and what was observed on them. Made by `read_collection`.

    Args:
        source: the table.
        schema: how it is read.
        notes: what was decided so far, one line each.
        on_bad_value: see `read_collection`.

    Attributes:
        ids: (n,) the user's id of each row.
        split: (n,) "train", "dev", "test" or "unused".
        labels: (n,) int64 label code; -1 unknown.
        label_names: the label of each code: the schema's, then those that only this table has.
        notes: everything inferred or decided, one line each, to be printed.
        bad: values skipped so far under "skip".
    """

    def __init__(self, source: Source, schema: Schema, notes: list[str], on_bad_value: OnBadValue) -> None:
        self._source, self._table, self._on_bad_value = source, source.table, on_bad_value
        self.schema, self.bad, self._listed = schema, list[BadRow](), set[BadRow]()
        self.ids = self._read_ids()
        self.split, of_split = self._read_split()
        self.labels, self.label_names = code_labels(self._table, schema)
        self.notes = [*notes, *of_split]
        self._modalities = dict(schema.modalities)
        self._located = {name: self._locate(name) for name in self._modalities}
        self._note_bare_items()

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        names, splits = ", ".join(self.schema.modalities), counts_in_words(self.split)
        return f"Collection({counted(len(self), 'item')}; {names}; {splits})"

    @property
    def has_ids(self) -> bool:
        """Whether the table has ids of its own; without them an item's id is its row number."""
        return self.schema.id in self._table.column_names

    def rows(self, split: str | None = None) -> Ids:
        """The row numbers of a split, ascending; None or "all" is every row.

        Raises:
            ManymodalError: no such split, or no rows in it.
        """
        if split in (None, "all"):
            return np.arange(len(self), dtype=np.int64)
        name = NAMES.get(str(split))
        if name is None:
            raise ManymodalError(f"split={split!r}; allowed are {', '.join(SPLITS)} and all")
        rows = np.flatnonzero(self.split == name)
        if not len(rows):
            raise ManymodalError(
                f"no rows in split {name!r}; there are {counts_in_words(self.split)}. Use --split all to take every row"
            )
        return rows

    def values(self, modality: str, split: str | None = None) -> Values:
        """All values of a modality in a split; of one `per: label`, one for each label that occurs there.

        Raises:
            ManymodalError: no such modality or split, or a broken value where these are not skipped.
        """
        return self.values_of(modality, self.rows(split))

    def values_of(self, modality: str, rows: Ids) -> Values:
        """All values of a modality in these rows; of one `per: label`, one for each label that occurs there.

        Raises:
            ManymodalError: no such modality, or a broken value where these are not skipped.
        """
        found = self.extracted(modality, rows)
        self._refuse_all(modality, found)
        per_label = self.modality(modality).per == "label"
        items = np.full(len(found.rows), -1, dtype=np.int64) if per_label else found.rows
        return Values(found.data, items, self.labels[found.rows], found.ordinal)

    def refuse(self, modality: str, values: Values, index: int, reason: str) -> None:
        """What is done about a value that its encoder cannot use: an error or, under "skip", an entry in `bad`.

        Args:
            modality: its name.
            values: of this collection.
            index: which of them is broken.
            reason: what is wrong with it.

        Raises:
            ManymodalError: broken values are not skipped; the item, column and reason are named.
        """
        item, label = int(values.items[index]), int(values.labels[index])
        self._refuse(modality, self.ids[item] if item >= 0 else self.label_names[label], reason)

    def owner(self, modality: str, row: int) -> str:
        """Whose a row's value is, for messages: the item's id, or its label where the modality is `per: label`."""
        if self.modality(modality).per == "label":
            return self.label_names[int(self.labels[row])]
        return self.ids[row]

    def columns(self, row: int) -> dict[str, Any]:
        """A row's plain columns as JSON can hold them: scalars, texts and paths; no media, no vectors."""
        return shown_cells(self._table, self._shown, row)

    def plain(self, rows: Ids) -> Any:
        """The plain columns of these rows as an Arrow table: scalars, texts, records and, of media, their paths."""
        return shown_table(self._table, self._shown, rows)

    def row_of(self, id: str) -> int:
        """The row of an id.

        Raises:
            ManymodalError: no such id.
        """
        if str(id) not in self._row_of:
            raise ManymodalError(
                f"no item with id {id!r} among these {len(self)}; ids are strings such as {self.ids[0]!r}"
            )
        return self._row_of[str(id)]

    def value_of(self, modality: str, id: str) -> list[Any]:
        """An item's own stored values; of a modality `per: label`, those of its label."""
        rows = np.array([self.row_of(id)], dtype=np.int64)
        found = self.extracted(modality, rows)
        self._refuse_all(modality, found)
        return list(found.data)

    def describe(self) -> Description:
        """What there is, counted; every value is looked at, pictures and sounds are decoded."""
        from .describe import describe

        return describe(self)

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {id: row for row, id in enumerate(self.ids)}

    @cached_property
    def _shown(self) -> list[str]:
        return shown_columns(self._table)

    def _refuse(self, modality: str, owner: str, reason: str) -> None:
        spec, bad = self.modality(modality), BadRow(modality, owner, reason)
        if self._on_bad_value == "stop":
            raise ManymodalError(
                f"modality {modality!r} (column {', '.join(spec.columns)}), {spec.per} {owner!r}: {reason}. "
                "Mend it, or skip such values with --on-bad-value skip (on_bad_value='skip')"
            )
        if bad not in self._listed:
            self._listed.add(bad)
            self.bad.append(bad)

    def _refuse_all(self, modality: str, found: Extracted) -> None:
        for row, reason in found.broken:
            self._refuse(modality, self.owner(modality, row), reason)

    def extracted(self, modality: str, rows: Ids | None = None) -> Extracted:
        """The values that these rows (None: all) own or, `per: label`, that their labels do; broken ones told apart."""
        spec, found = self.modality(modality), self._located[modality]
        if rows is None:
            return extract(found, spec, self._source.folder)
        if spec.per == "label":
            rows = found.rows[np.isin(self.labels[found.rows], self.labels[rows])]
        return extract(found.of_rows(rows), spec, self._source.folder)

    def modality(self, name: str) -> Modality:
        """How a modality is read; its width is that of this table where the schema has none.

        Raises:
            ManymodalError: no such modality.
        """
        if name not in self._modalities:
            known = list(self._modalities)
            raise ManymodalError(f"no modality {name!r}; {did_you_mean(name, known)}there are {', '.join(known)}")
        return self._modalities[name]

    def _read_ids(self) -> list[str]:
        rows = range(len(self._table))
        if not self.has_ids:
            return [str(row) for row in rows]
        row_of: dict[str, int] = {}
        for row, id in enumerate(strings(self._table[self.schema.id])):
            if id is None:
                raise ManymodalError(f"row {row} has no id in column {self.schema.id!r}; each item needs one")
            if row_of.setdefault(id, row) != row:
                raise ManymodalError(
                    f"two items have the id {id!r} (rows {row_of[id]} and {row}, column {self.schema.id!r}); "
                    "ids must be unique"
                )
        return list(row_of)

    def _read_split(self) -> tuple[NDArray[np.str_], list[str]]:
        given = groups = None
        if self.schema.split in self._table.column_names:
            given = strings(self._table[self.schema.split])
        if self.schema.split_by in self._table.column_names:
            groups = strings(self._table[self.schema.split_by])
        together = [id if group is None else group for id, group in zip(self.ids, groups or self.ids, strict=True)]
        return split_rows(given, together, self.schema.split_seed)

    def _locate(self, name: str) -> Located:
        """Where a modality's values lie (`per: label`: in one row for each label), and its width, checked."""
        modality = self._modalities[name]
        found = locate(self._table, modality)
        if modality.per == "label":
            unlabelled = np.unique(found.rows[self.labels[found.rows] < 0])
            if len(unlabelled):
                self.notes.append(
                    f"{name}: the values of {counted(len(unlabelled), 'row')} without a label are left out"
                )
            chosen = one_row_per_label(name, self._table, modality.columns, found.rows, self.labels, self.label_names)
            found = found.of_rows(chosen)
        width, other = common_width(found, modality)
        if width != modality.width and width is not None:
            modality = self._modalities[name] = modality.model_copy(update={"width": width})
        if other is not None and self._on_bad_value == "stop":
            broken = extract(found.of_rows(np.array([other])), modality, self._source.folder).broken
            self._refuse(name, self.owner(name, other), broken[0][1])
        return found

    def _note_bare_items(self) -> None:
        """Say how many items have no value at all; a value of their label counts."""
        bare = np.ones(len(self), dtype=bool)
        for name, found in self._located.items():
            if self._modalities[name].per == "label":
                bare &= ~np.isin(self.labels, self.labels[found.rows])
            else:
                bare[found.rows] = False
        if bare.any():
            first = self.ids[int(bare.argmax())]
            self.notes.append(
                f"{counted(int(bare.sum()), 'item')} without a value in any modality (the first: {first!r})"
            )
