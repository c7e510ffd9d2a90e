"""The durable tables of an index: one row an item, written and read by any number of processes (LanceDB).

A write is one transaction of the engine's: all of a portion is in, or nothing of it. Two things are added to that.
Writers take turns, so that no id can come in twice, no write is lost to a rebuild, and no conflict has to be resolved;
and what is acknowledged is on the disk.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import ManymodalError
from .engine import connect, in_words, lasting
from .label_rows import put_labels
from .layout import ITEMS, LABELS, Meta, column, read_meta, write_meta
from .locking import BUILDING, locked
from .lookup import among, portions, rows_of
from .records import Records, Removed, Version, Written
from .rows import table_of
from .tables import clear_up, fill, optimize

KEPT = timedelta(days=7)  # how long an earlier version can be searched, unless said
# When a writer tidies up by itself: every search looks through all rows that no index knows yet, and a write through
# all fragments; more than this of either is felt.
UNINDEXED, SHARE, FRAGMENTS = 10_000, 0.05, 100


class Store:
    """The tables of one index folder. A handle always sees the newest version; `view` holds one.

    Args:
        folder: of the index.
        meta: what its `index.json` says.

    Raises:
        ManymodalError: the tables are not there, or damaged.
    """

    def __init__(self, folder: Path, meta: Meta) -> None:
        self.folder, self.meta = folder, meta
        with in_words(folder):
            if not (folder / meta.tables).is_dir():
                raise FileNotFoundError(meta.tables)
            db = connect(folder / meta.tables)
            self.items = db.open_table(ITEMS)
            self.labels = db.open_table(LABELS) if meta.has_labels else None

    @classmethod
    def open(cls, folder: Path) -> Store:
        """The tables that `index.json` names now.

        Raises:
            ManymodalError: not an index, or a damaged one.
        """
        while True:
            meta = read_meta(folder)
            try:
                return cls(folder, meta)
            except ManymodalError:
                if read_meta(folder) == meta:
                    raise  # else it was made anew while it was being opened

    @classmethod
    def create(
        cls,
        folder: Path,
        meta: Meta,
        columns: Mapping[str, pa.DataType],
        items: Iterable[Records],
        labels: Records | None,
        finish: Callable[[Store], Meta] = lambda store: store.meta,
    ) -> Store:
        """Write new tables beside those in use, then name them in `index.json`: readers see the old or the new.

        The tables in use until then stay for those who still read them, till the next build or compaction.

        Args:
            folder: of the index; made where it is not there.
            meta: all but `tables`, which is chosen here.
            columns: types of the user's plain columns.
            items: in portions, each written before the next is asked for.
            labels: values of modalities `per: label`; None where there are none.
            finish: what is to be done before anybody sees the new tables; gives what `index.json` is to say.

        Raises:
            ManymodalError: an id comes twice, another process writes to this index, or the disk is full or read-only.
        """
        with in_words(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, BUILDING):
            clear_up(folder)
            meta = meta.model_copy(update={"tables": f"tables-{uuid4().hex[:8]}"})
            try:
                with lasting(folder / meta.tables):
                    fill(folder, meta, columns, items, labels)
                    with in_words(folder):
                        meta = finish(cls(folder, meta))
                write_meta(folder, meta)
            except BaseException:
                shutil.rmtree(folder / meta.tables, ignore_errors=True)
                raise
        return cls(folder, meta)

    def current(self) -> Store:
        """Itself, or a store of what `index.json` says now where that is something else; cheap."""
        return self if read_meta(self.folder) == self.meta else Store.open(self.folder)

    @property
    def versions(self) -> tuple[int, int]:
        """The newest version of the items and of the labels."""
        with in_words(self.folder):
            return self.items.version, 0 if self.labels is None else self.labels.version

    def values(self, modality: str) -> int:
        """How many values there are of a modality; reads one small column."""
        table = self.labels if self.meta.per_label(modality) else self.items
        name = column("places", self.meta.stored(modality))
        with in_words(self.folder):
            batches = table.search().select([name]).to_batches()  # type: ignore[union-attr]
            return sum(pc.sum(pc.list_value_length(batch[name])).as_py() or 0 for batch in batches)

    def unindexed(self) -> int:
        """Rows that came after the indexes were made or brought up to date, the most of any index."""
        return max((int(index.num_unindexed_rows) for index in self.items.list_indices()), default=0)

    # -- writing -----------------------------------------------------------------------------------------------------

    def upsert(self, items: Iterable[Records], labels: Records | None = None) -> Written:
        """Put items in, each portion in one atomic write; an item that is there is replaced whole.

        A label keeps the values that it has in modalities in which none is given now. Where a portion is refused, those
        before it are in, and may be put in again.

        Raises:
            ManymodalError: as `table_of`, or as `locked`.
        """
        added = replaced = 0
        left_out: dict[str, None] = {}
        notes = [] if labels is None else self._put_labels(labels)
        for records in items:
            done = self._merge(records)
            added, replaced = added + done.num_inserted_rows, replaced + done.num_updated_rows
            left_out |= dict.fromkeys(n for n in records.columns.column_names if n not in self.meta.columns)
            if self._untidy():
                with suppress(ManymodalError):  # the portion is in; what could not be done now, the next writer does
                    self._optimize(KEPT)
        notes += [f"column {n!r} is not in this index and was left out; make it again to have it" for n in left_out]
        return Written(added, replaced, self.versions[0], tuple(notes))

    def delete(self, ids: Sequence[str]) -> Removed:
        """Take items out, in one atomic write for each `AT_ONCE` ids.

        Raises:
            ManymodalError: something that is no list of texts, or as `locked`.
        """
        if isinstance(ids, str):
            raise ManymodalError(f"{ids!r} is one text; give a list of ids: [{ids!r}]")
        ids = list(dict.fromkeys(ids))
        absent: list[str] = []
        for portion in portions(ids):
            with self._writing("takes items out"):
                there = set(rows_of(self.items, portion, ["id"])["id"].to_pylist())
                absent += [id for id in portion if id not in there]
                if there:
                    self.items.delete(among(there))
        return Removed(len(ids) - len(absent), absent, self.versions[0])

    def compact(self, older_than: timedelta = KEPT) -> None:
        """Merge small files, take new rows into the indexes, and drop versions older than that and left-overs.

        Raises:
            ManymodalError: as `locked`.
        """
        self._optimize(older_than)
        with self._writing("clears up"):
            clear_up(self.folder)

    def _merge(self, records: Records) -> Any:
        with in_words(self.folder):
            schema = self.items.schema
        rows = table_of(records, self.meta, schema)
        with self._writing("puts items in"):
            return self.items.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def _put_labels(self, labels: Records) -> list[str]:
        if self.labels is None:
            raise ManymodalError(f"{self.folder.name} has no modality with one value per label")
        with in_words(self.folder):
            schema = self.labels.schema
        rows = table_of(labels, self.meta, schema)
        with self._writing("puts labels in"):
            return put_labels(self.labels, rows, self.meta)

    def _tables(self) -> list[Any]:
        return [self.items] if self.labels is None else [self.items, self.labels]

    def _untidy(self) -> bool:
        with in_words(self.folder):
            stats = self.items.stats()
            many = int(stats["fragment_stats"]["num_small_fragments"]) > FRAGMENTS
            return many or self.unindexed() > max(UNINDEXED, SHARE * int(stats["num_rows"]))

    def _optimize(self, older_than: timedelta) -> None:
        with self._writing("compacts"):
            for table in self._tables():
                optimize(table, older_than)

    @contextmanager
    def _writing(self, doing: str) -> Iterator[None]:
        """A block that writes alone; what it wrote is on the disk when it ends."""
        with locked(self.folder, doing), in_words(self.folder):
            if read_meta(self.folder).tables != self.meta.tables:
                raise ManymodalError(
                    f"{self.folder.name} was made anew while it was open; nothing of this portion is in. Run it again"
                )
            with lasting(self.folder / self.meta.tables):
                yield

    # -- versions ----------------------------------------------------------------------------------------------------

    def history(self) -> list[Version]:
        """Versions that can still be searched, oldest first."""
        with in_words(self.folder):
            return [
                Version(one["version"], one["timestamp"].astimezone(UTC), int(one["metadata"]["total_rows"]))
                for one in self.items.list_versions()
            ]

    def view(self, version: int | None = None) -> View:
        """The tables as they are at a version, whatever is written from now on."""
        return View(Store(self.folder, self.meta), version)


class View:
    """A store at one version of its items; only reads. Labels are the newest at the moment it is made.

    Args:
        store: of its own, since its tables are held at that version.
        version: of the items; None for the newest.

    Raises:
        ManymodalError: that version is not there (any more).
    """

    def __init__(self, store: Store, version: int | None = None) -> None:
        self.folder, self.meta, self.items, self.labels = store.folder, store.meta, store.items, store.labels
        newest, of_labels = store.versions
        self.version = newest if version is None else version
        self.key = key_of((self.version, of_labels))
        self._held = list(zip(store._tables(), (self.version, of_labels), strict=False))
        with self.reading():
            for table, number in self._held:
                table.checkout(number)

    def table(self, per_label: bool) -> Any:
        """The table of items, or of labels."""
        return self.labels if per_label else self.items

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A block that reads these tables: whatever goes wrong with them there is said in words.

        Raises:
            ManymodalError: the version is gone, its files are damaged, or they cannot be read.
        """
        try:
            with in_words(self.folder):
                yield
        except (ManymodalError, ValueError) as error:
            if self._is_gone():
                raise ManymodalError(
                    f"version {self.version} of {self.folder.name} is not there: it never was, is compacted away, or "
                    "the index was made anew. Open it again for the newest version, or choose one of those it has"
                ) from error
            raise

    def _is_gone(self) -> bool:
        now = Store.open(self.folder)
        return now.meta.tables != self.meta.tables or any(
            number not in {one["version"] for one in table.list_versions()}
            for table, (_, number) in zip(now._tables(), self._held, strict=True)
        )


def key_of(versions: tuple[int, int]) -> str:
    """The name of what is made from the rows of these versions."""
    return f"{versions[0]}-{versions[1]}"
