"""Exact search in one version of an index: vectors mapped from files that all its processes share."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from ..errors import ManymodalError
from ..files import sync
from .exact import AS_THEY_ARE, Adjustment, Found, search_many
from .items import cells_of, no_item
from .layout import ITEMS, LABELS, PER_VALUE, Meta, column
from .records import ITEM, Nearest, Shown
from .rows import check_id
from .store import View

FOLDER = "exact-"  # and the versions: a snapshot beside the tables it was made from
KEPT = 3  # snapshots of the newest versions that stay on the disk
ABANDONED = 3600.0  # seconds after which nobody is still writing a snapshot
CONDITIONS = 32  # whose rows are remembered


@dataclass(frozen=True, eq=False)
class _Side:
    """All values of a target, ordered by record.

    Args:
        vectors: (m, d) float32.
        owners: (m,) int64, the record of each, ascending.
        shown: m rows of what each looks like, as the tables have it; no columns for `ITEM`.
    """

    vectors: Tensor
    owners: Tensor
    shown: pa.Table


class Snapshot:
    """A version of an index that is searched exactly; a `VectorIndex`. `Snapshot.of` makes one.

    Records are ordered by id, so equal scores come in that order, whatever was written when.

    Args:
        view: that version; conditions are looked up there.
        records: for items (False) and labels (True) their ids and plain columns, ordered by id.
        sides: {target: its values}.
    """

    def __init__(self, view: View, records: dict[bool, pa.Table], sides: dict[str, _Side]) -> None:
        self.version, self._view, self._records, self._sides = view.version, view, records, sides
        self._passing: Callable[[str], Tensor] = lru_cache(CONDITIONS)(self._meet)

    @classmethod
    def of(cls, view: View) -> Snapshot:
        """The snapshot of a version; whoever comes first writes it, beside the tables.

        Where nothing can be written (a full disk, a read-only folder), this process holds it in memory.
        Cost: the first time one read and write of all vectors; afterwards files are mapped, not read.
        """
        folder = view.folder / view.meta.tables / f"{FOLDER}{view.key}"
        try:
            return cls(view, *_load(folder, view.meta))
        except (OSError, ValueError):  # not there yet, or not whole
            pass
        try:
            _write(folder, view)
            return cls(view, *_load(folder, view.meta))
        except (OSError, ValueError):
            records = {per_label: _records(view, per_label) for per_label in _tables(view.meta)}
            return cls(view, records, {target: _side(view, target) for target in _targets(view.meta)})

    def search(
        self, target: str, queries: Tensor, k: int, where: str | None = None, adjust: Adjustment = AS_THEY_ARE
    ) -> list[list[Nearest]]:
        """For each query (q, d) the k best items, best first; an item ranks by its best value, equals by id.

        Args:
            target: a modality, or `ITEM`.
            queries: (q, d) float32.
            k: how many items at most.
            where: a condition on the stored columns, as `compile_where` makes it.
            adjust: what makes scores of the similarities to the rows of `gallery(target)`.

        Raises:
            ManymodalError: a condition where labels are searched.
        """
        side, allowed = self._sides[target], None
        if where is not None:
            check_has_columns(self._view.meta, target)
            allowed = self._passing(where)[side.owners]  # (m,)
        found = search_many(side.vectors, side.owners, queries, k, allowed, adjust=adjust)
        nearest = self._nearest(target, [one for own in found for one in own])
        return [list(islice(nearest, len(own))) for own in found]

    def gallery(self, target: str) -> Tensor:
        """All vectors of a target (m, d) float32, ordered by id; not to be written to."""
        return self._sides[target].vectors

    def stored(self, modality: str, ids: Sequence[str]) -> list[Tensor]:
        """Of each id the vectors (v, d) of its values; v = 0 where it has none.

        Raises:
            ManymodalError: there is no such id.
        """
        side, per_label = self._sides[modality], self._view.meta.per_label(modality)
        known = self._records[per_label]["id"]
        found = []
        for id in ids:
            check_id(id)
            record = bisect_left(range(len(known)), id, key=lambda at: str(known[at].as_py()))
            if record == len(known) or known[record].as_py() != id:
                raise no_item(id, per_label)
            begin, end = torch.searchsorted(side.owners, torch.tensor([record, record + 1])).tolist()
            found.append(side.vectors[begin:end])
        return found

    def sizes(self, target: str) -> tuple[int, int]:
        """How many items (labels) have a value, and how many values there are."""
        owners = self._sides[target].owners
        return len(owners.unique_consecutive()), len(owners)

    def _nearest(self, target: str, found: Sequence[Found]) -> Iterator[Nearest]:
        """What was found, as whoever asked is told: read a column at a time, since a cell at a time takes long."""
        side, meta = self._sides[target], self._view.meta
        per_label, values = meta.per_label(target), [one.row for one in found]
        records = self._records[per_label].take(pa.array([one.item for one in found], pa.int64()))
        looks = [cells.to_pylist() for cells in side.shown.take(pa.array(values, pa.int64())).columns]
        shown = [None] * len(found) if target == ITEM else map(Shown, *looks)
        columns = [{} for _ in found] if per_label else cells_of(records, meta)
        scores = [one.score for one in found]
        return map(Nearest, records["id"].to_pylist(), scores, side.vectors[values], shown, columns)

    def _meet(self, where: str) -> Tensor:
        """(n,) bool, the items that meet a condition."""
        known = self._records[False]["id"]
        with self._view.reading():
            ids = self._view.items.search().where(where).select(["id"]).to_arrow()["id"]
        passing = torch.zeros(len(known), dtype=torch.bool)
        passing[torch.from_numpy(pc.index_in(ids, known).to_numpy().astype(np.int64))] = True
        return passing


def check_has_columns(meta: Meta, target: str) -> None:
    """Refuse a condition where labels are searched.

    Raises:
        ManymodalError: they are.
    """
    if meta.per_label(target):
        raise ManymodalError(
            f"{target!r} has one value per label, and labels have no columns to filter by; leave the condition out, or "
            "search a modality of items"
        )


# -- from the tables -----------------------------------------------------------------------------------------------


def _tables(meta: Meta) -> list[bool]:
    """Whether labels are held, for each table: [False], or [False, True] where there are labels too."""
    return [False, True] if any(map(meta.per_label, meta.modalities)) else [False]


def _targets(meta: Meta) -> list[str]:
    return [*meta.modalities, ITEM]


def _read(view: View, per_label: bool, names: Iterable[str]) -> tuple[pa.Table, Any]:
    """Columns of a table, and the order (n,) of its rows by id."""
    with view.reading():
        rows = view.table(per_label).search().select(["id", *names]).to_arrow().combine_chunks()
    return rows, pc.sort_indices(rows["id"])


def _records(view: View, per_label: bool) -> pa.Table:
    rows, order = _read(view, per_label, [] if per_label else [one.stored for one in view.meta.columns.values()])
    return rows.take(order)


def _side(view: View, target: str) -> _Side:
    stored = view.meta.stored(target)
    names = [column(what, stored) for what in (PER_VALUE[:1] if target == ITEM else PER_VALUE[:4])]
    rows, order = _read(view, view.meta.per_label(target), names)
    flat = {name: pc.list_flatten(rows[name]) for name in names}
    counts = pc.fill_null(pc.list_value_length(rows[names[0]]), 0).to_numpy().astype(np.int64)  # (n,)
    order = order.to_numpy()
    begins, counts = (counts.cumsum() - counts)[order], counts[order]  # (n,) each, by id
    owners = np.repeat(np.arange(len(counts)), counts)  # (m,)
    taken = np.arange(len(owners)) + np.repeat(begins - (counts.cumsum() - counts), counts)  # (m,)
    vectors = pc.list_flatten(flat[names[0]]).to_numpy().reshape(-1, view.meta.d)  # (m, d)
    return _Side(
        torch.from_numpy(vectors[taken]),
        torch.from_numpy(owners),
        pa.table({name: flat[name].take(pa.array(taken)) for name in names[1:]}),
    )


# -- on the disk ---------------------------------------------------------------------------------------------------


def _write(folder: Path, view: View) -> None:
    """Write a snapshot aside, a target at a time, and move it into place, unless somebody else was first."""
    aside = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}")
    try:
        aside.mkdir()
        for per_label in _tables(view.meta):
            _write_table(aside / _table_file(per_label), _records(view, per_label))
        for target in _targets(view.meta):
            side = _side(view, target)
            vectors, owners, shown = (aside / name for name in _side_files(view.meta, target))
            np.save(vectors, side.vectors.numpy(), allow_pickle=False)
            np.save(owners, side.owners.numpy(), allow_pickle=False)
            _write_table(shown, side.shown)
        for file in aside.iterdir():
            sync(file)
        try:
            aside.rename(folder)
        except OSError:
            if not folder.exists():
                raise
        _remove_old(folder, {one["version"] for one in view.items.list_versions()})
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _load(folder: Path, meta: Meta) -> tuple[dict[bool, pa.Table], dict[str, _Side]]:
    """Map a snapshot's files into memory.

    Raises:
        OSError: one is not there.
        ValueError: one is cut short.
    """
    records = {per_label: _map_table(folder / _table_file(per_label)) for per_label in _tables(meta)}
    sides = {}
    for target in _targets(meta):
        vectors, owners, shown = (folder / name for name in _side_files(meta, target))
        sides[target] = _Side(_map_array(vectors), _map_array(owners), _map_table(shown))
    return records, sides


def _table_file(per_label: bool) -> str:
    return f"{LABELS if per_label else ITEMS}.arrow"


def _side_files(meta: Meta, target: str) -> tuple[str, str, str]:
    stored = meta.stored(target)
    return f"{column('vectors', stored)}.npy", f"{column('owners', stored)}.npy", f"{column('shown', stored)}.arrow"


def _write_table(path: Path, table: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def _map_table(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def _map_array(path: Path) -> Tensor:
    """Copy-on-write, since torch has no tensor that cannot be written to."""
    return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))


def _remove_old(own: Path, versions: set[int]) -> None:
    """Remove snapshots of versions that are gone and of all but the newest `KEPT`; who has mapped one keeps it.

    And what killed processes left half-written.
    """
    found = []
    for path in own.parent.glob(f"{FOLDER}*"):
        if path != own and (number := re.fullmatch(rf"{FOLDER}(\d+)-(\d+)", path.name)):
            found.append((int(number[1]) in versions, int(number[1]), int(number[2]), path))
    found.sort(reverse=True)
    old = [path for place, (there, *_, path) in enumerate(found) if not there or place >= KEPT - 1]
    with contextlib.suppress(OSError):  # others clean up too
        old += [path for path in own.parent.glob(f".{FOLDER}*") if time.time() - path.stat().st_mtime > ABANDONED]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
