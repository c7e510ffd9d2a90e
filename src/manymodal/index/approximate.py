"""Approximate search in one version of an index: LanceDB's own indexes, one for each modality."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from ..progress import bar
from .items import cells_of, no_item
from .layout import PER_VALUE, Tuning, column
from .lookup import portions, rows_of
from .records import ITEM, Nearest, Shown
from .snapshot import check_has_columns
from .store import Store, View

LEAST = 1000  # values below which a target has no index: all of them are compared in a few milliseconds
TRAINED_ON, ROUNDS = 64, 20  # values per partition, and rounds, of the clustering that makes the partitions
THREADS = 4
EVERY = 2**20  # partitions; more than there are


class Approximate:
    """A version of an index that LanceDB searches; a `VectorIndex`.

    What it finds is scored again from the vectors themselves, as exact search does, and comes in that order, equals by
    id: only what it misses is approximate. Targets without an index (few values, labels) are compared whole.

    Args:
        view: that version.
        tuning: {target: settings}; by default those that the index was built with.
    """

    def __init__(self, view: View, tuning: Mapping[str, Tuning] | None = None) -> None:
        self.version, self._view = view.version, view
        self._tuning = view.meta.tuning if tuning is None else tuning
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="search")

    def search(
        self,
        target: str,
        queries: Tensor,
        k: int,
        where: str | None = None,
        score: Callable[[Tensor], Tensor] | None = None,
    ) -> list[list[Nearest]]:
        """For each query (q, d) the k best items, best first; an item ranks by its best value.

        Args:
            target: a modality, or `ITEM`.
            queries: (q, d) float32 of unit norm.
            k: how many items at most.
            where: a condition on the stored columns, as `compile_where` makes it; it comes before the search.
            score: of all values (v, d) of the items found, what they are ordered by, (v,); None: the similarity.

        Raises:
            ManymodalError: a condition where labels are searched.
        """
        if where is not None:
            check_has_columns(self._view.meta, target)
        with self._view.reading():
            k = min(k, max(1, self._view.table(self._view.meta.per_label(target)).count_rows()))

        def one(query: Tensor) -> list[Nearest]:
            tuning = self._tuning.get(target)
            rows = self._ask(target, query, k, where, tuning)
            if tuning is not None and len(rows) < k:  # a rare condition, or a large k: more may be in other partitions
                rows = self._ask(target, query, k, where, tuning.model_copy(update={"nprobes": EVERY}))
            return self._nearest(target, rows, score or (lambda vectors: (vectors * query).sum(dim=1)))

        return list(self._pool.map(one, queries)) if len(queries) > 1 else [one(query) for query in queries]

    def stored(self, modality: str, ids: Sequence[str]) -> list[Tensor]:
        """Of each id the vectors (v, d) of its values; v = 0 where it has none.

        Raises:
            ManymodalError: there is no such id.
        """
        meta = self._view.meta
        per_label, name = meta.per_label(modality), column("vectors", meta.stored(modality))
        found: dict[str, Tensor] = {}
        for portion in portions(list(dict.fromkeys(ids))):
            with self._view.reading():
                rows = rows_of(self._view.table(per_label), portion, ["id", name])
            vectors, counts = vectors_of(rows[name], meta.d)
            found |= zip(rows["id"].to_pylist(), vectors.split(counts.tolist()), strict=True)
        for id in ids:
            if id not in found:
                raise no_item(id, per_label)
        return [found[id] for id in ids]

    def sizes(self, target: str) -> tuple[int, int]:
        """How many items (labels) have a value, and how many values there are."""
        meta = self._view.meta
        with self._view.reading():
            if target == ITEM:
                there = self._view.items.count_rows(f"{column('vectors', ITEM)} IS NOT NULL")
                return there, there
            name = column("places", meta.stored(target))
            lists = self._view.table(meta.per_label(target)).search().select([name]).to_arrow()[name]
        counts = pc.list_value_length(lists)
        return len(counts) - counts.null_count, pc.sum(counts).as_py() or 0

    def _ask(self, target: str, query: Tensor, k: int, where: str | None, tuning: Tuning | None) -> pa.Table:
        meta = self._view.meta
        per_label, stored = meta.per_label(target), meta.stored(target)
        asked = self._view.table(per_label).search(query.numpy(), vector_column_name=column("vectors", stored))
        asked = asked.distance_type("cosine")
        if tuning is not None:
            asked = asked.nprobes(tuning.nprobes).refine_factor(tuning.refine)
        if where is not None:
            asked = asked.where(where, prefilter=True)
        names = ["id", *(column(what, stored) for what in ("vectors", *self._looks(target)))]
        if not per_label:
            names += [one.stored for one in meta.columns.values()]
        with self._view.reading():
            return asked.select([*names, "_distance"]).limit(k).to_arrow()

    def _looks(self, target: str) -> tuple[str, ...]:
        """The columns that say how a value looks; texts have no media type, and reading it would cost time."""
        if target == ITEM:
            return ()
        return PER_VALUE[1:3] if self._view.meta.modalities[target].kind == "text" else PER_VALUE[1:4]

    def _nearest(self, target: str, rows: pa.Table, score: Callable[[Tensor], Tensor]) -> list[Nearest]:
        meta = self._view.meta
        stored = meta.stored(target)
        vectors, counts = vectors_of(rows[column("vectors", stored)], meta.d)  # (v, d), (r,)
        scores, sizes = score(vectors), counts.tolist()  # (v,) summed as exact search does
        columns = [{} for _ in sizes] if meta.per_label(target) else cells_of(rows, meta)
        looks = [rows[column(what, stored)].to_pylist() for what in self._looks(target)]
        found = []
        for row, (id, own, of_row) in enumerate(
            zip(rows["id"].to_pylist(), scores.split(sizes), vectors.split(sizes), strict=True)
        ):
            if len(own):
                best = int(own.argmax())
                shown = Shown(*(look[row][best] for look in looks)) if looks else None
                found.append(Nearest(id, float(own[best]), of_row[best], shown, columns[row]))
        return sorted(found, key=lambda one: (-one.score, one.id))


def vectors_of(lists: Any, d: int) -> tuple[Tensor, Tensor]:
    """The vectors (v, d) float32 in a column of lists, and how many (r,) each row has; null lists have none."""
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.int64)  # (r,)
    flat = pc.list_flatten(pc.list_flatten(lists)).to_numpy()  # (v * d,)
    return torch.from_numpy(np.array(flat)).view(-1, d), torch.from_numpy(counts)


def indexed(table: Any) -> set[str]:
    """The columns of a table that have an index."""
    return {name for index in table.list_indices() for name in index.columns}


def build_indexes(store: Store) -> None:
    """Give each target with at least `LEAST` values an index of its own.

    An index of vectors is of partitions, about as many as the square root of the values, with 8 bits a number
    (IVF_SQ): of the kinds that LanceDB has, the one that keeps its recall where items have several values.
    Cost: the clustering, O(values ^ 1/2 * `TRAINED_ON` * `ROUNDS`) comparisons of O(values ^ 1/2 d), and one pass.
    """
    from lancedb.index import IvfSq

    search = Approximate(store.view(), {})
    values = {target: search.sizes(target)[1] for target in (*store.meta.modalities, ITEM)}
    targets = [target for target, count in values.items() if count >= LEAST and not store.meta.per_label(target)]
    with bar("Indexing", len(targets)) as advance:
        for target in targets:
            config = IvfSq(
                distance_type="cosine",
                num_partitions=math.isqrt(values[target]),
                max_iterations=ROUNDS,
                sample_rate=TRAINED_ON,
            )
            store.items.create_index(column("vectors", store.meta.stored(target)), config=config)
            advance(1, target)
