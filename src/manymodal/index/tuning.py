"""Which form of search an index gets, and the settings with which an approximate one finds what is to be found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..progress import bar
from .approximate import Approximate, indexed, vectors_of
from .layout import Engine, Tuning, column
from .lookup import quoted
from .records import ITEM
from .store import Store, View

EXACT_BELOW = 100_000  # values of the largest modality; comparing all of them takes about ten milliseconds
# (partitions that are looked into, times as many candidates as wanted that are scored from the vectors themselves),
# cheapest first; more partitions than there are means all.
LADDER = ((16, 3), (32, 3), (32, 10), (64, 10), (128, 10), (256, 20), (512, 20), (1024, 50), (4096, 50))
A_TARGET = 400  # queries at most that one target is measured with, however many modalities ask
CLOSE = 1e-5  # scores that rounding may have set apart
BATCH = 8192  # rows of a table at a time


def choose_engine(values: int) -> Engine:
    """The form that finds, for so many values in the largest modality."""
    return "exact" if values < EXACT_BELOW else "lancedb"


def tune(
    store: Store, target_recall: float = 0.98, queries: int = 200, k: int = 10, seed: int = 0
) -> dict[str, Tuning]:
    """Measure recall on the index's own rows, and choose the cheapest settings that reach a target.

    Recall is the share of the k best items (by exact search) that are found, or others that score as high; of each
    pair of a query modality and a target that has an index. Queries are stored values of items drawn at random, asked
    one at a time; a quarter of them also under a condition that a tenth of the items meet (a range of ids), which asks
    for more: the best of those lie further away, in more partitions.

    A target takes the first rung of `LADDER` at which every query modality reaches `target_recall`, by two standard
    errors, and with the condition too. Where none does, it takes the one at which the worst of them is best, and
    `notes` says what falls short.

    Args:
        store: with its indexes built.
        target_recall: between 0 and 1.
        queries: how many of each modality, and fewer where that would be more than `A_TARGET` of all.
        k: how many items.
        seed: of the draw.

    Returns:
        {target: settings and recall}, without targets that are compared whole.
        Cost: reads all vectors of a target once, and asks at most `A_TARGET` queries for each rung tried.
    """
    view = store.view()
    there = indexed(view.items)
    targets = [one for one in (*view.meta.modalities, ITEM) if column("vectors", view.meta.stored(one)) in there]
    queries = max(1, min(queries, A_TARGET // max(1, len(view.meta.modalities))))
    asked = {name: sample(view, name, queries, seed) for name in view.meta.modalities} if targets else {}
    trial = Trial(view, {name: vectors for name, vectors in asked.items() if len(vectors)}, k)
    some = replace(trial, asked={name: own[: max(1, len(own) // 4)] for name, own in trial.asked.items()})
    found = {}
    where = _tenth(view) if targets else ""
    with bar("Measuring recall", len(targets) * (len(LADDER) + 1)) as advance:
        for target in targets:
            best, truth, of_tenth = None, trial.truth(target), some.truth(target, where)
            advance(1, target)
            for rung, (nprobes, refine) in enumerate(LADDER, 1):
                tried = Tuning(nprobes=nprobes, refine=refine, recall={})
                shares = trial.shares(target, tried, truth)
                filtered = _means(some.shares(target, tried, of_tenth, where))
                tried = tried.model_copy(update={"recall": _means(shares), "filtered": filtered})
                if best is None or _worst(tried) > _worst(best):
                    best = tried
                advance(1, target)
                if min(_worst(tried), *map(_surely, shares.values())) >= target_recall:
                    best = tried
                    advance(len(LADDER) - rung, target)
                    break
            assert best is not None
            found[target] = best
    return found


def notes(tuning: Mapping[str, Tuning], target_recall: float) -> list[str]:
    """What fell short of the recall wanted, in words."""
    return [
        f"{query} -> {target}{how}: recall@10 is {recall:.3f}, below the {target_recall:g} asked for, with the best of "
        "the settings tried; `--engine exact` finds all"
        for target, one in tuning.items()
        for how, measured in (("", one.recall), (", with a filter", one.filtered))
        for query, recall in measured.items()
        if recall < target_recall
    ]


@dataclass(frozen=True, eq=False)
class Trial:
    """Queries whose answers are known.

    Args:
        view: what is searched.
        asked: {modality: (q, d)}.
        k: how many items are to be found.
    """

    view: View
    asked: Mapping[str, Tensor]
    k: int

    def truth(self, target: str, where: str | None = None) -> dict[str, Tensor]:
        """{query modality: the scores (q, k) of the best items by a scan of the whole table, best first}; fewer than k
        columns where there are fewer items.
        """
        name = column("vectors", self.view.meta.stored(target))
        queries = torch.cat(list(self.asked.values()))  # (all, d)
        best = queries.new_empty(len(queries), 0)
        rows = self.view.items.search() if where is None else self.view.items.search().where(where)
        for batch in rows.select([name]).to_batches(batch_size=BATCH):
            vectors, counts = vectors_of(batch.column(name), queries.shape[1])  # (v, d), (n,)
            counts = counts[counts > 0]  # (r,)
            if len(counts):
                begins = (counts.cumsum(0) - counts).numpy()
                of_items = np.maximum.reduceat((vectors @ queries.T).numpy(), begins, axis=0)  # (r, all)
                best = torch.cat([best, torch.from_numpy(of_items).T], dim=1)
                best = best.topk(min(self.k, best.shape[1]), dim=1).values
        return dict(zip(self.asked, best.split([len(one) for one in self.asked.values()]), strict=True))

    def shares(
        self, target: str, tuning: Tuning, truth: Mapping[str, Tensor], where: str | None = None
    ) -> dict[str, Tensor]:
        """{query modality: of each query (q,) the share of the best items that some settings find}; ties are no
        misses.
        """
        search = Approximate(self.view, {target: tuning})
        shares = {}
        for modality, queries in self.asked.items():
            wanted = truth[modality].shape[1]
            if wanted:
                found = search.search(target, queries, wanted, where)
                bars = (truth[modality][:, -1] - CLOSE).tolist()
                hits = [sum(one.score >= bar for one in near) for near, bar in zip(found, bars, strict=True)]
                shares[modality] = torch.tensor(hits, dtype=torch.float64) / wanted  # (q,)
        return shares


def _means(shares: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: float(own.mean()) for name, own in shares.items()}


def _surely(shares: Tensor) -> float:
    """A mean less two standard errors: what other queries will hardly fall below."""
    return float(shares.mean() - 2 * shares.std(correction=0) / len(shares) ** 0.5)


def _worst(tuning: Tuning) -> float:
    return min([*tuning.recall.values(), *tuning.filtered.values()], default=1.0)


def sample(view: View, modality: str, queries: int, seed: int) -> Tensor:
    """Queries (q, d): the first value of items (labels) drawn at random among those that have one."""
    there = f"{column('places', view.meta.stored(modality))} IS NOT NULL"
    ids = _ids(view.table(view.meta.per_label(modality)), there)
    drawn = torch.randperm(len(ids), generator=torch.Generator().manual_seed(seed))[:queries].tolist()
    vectors = Approximate(view, {}).stored(modality, [ids[at] for at in drawn])
    return torch.cat([torch.empty(0, view.meta.d), *(own[:1] for own in vectors)])


def _tenth(view: View) -> str:
    """A condition that about a tenth of the items meet."""
    ids = _ids(view.items)
    return f"id >= {quoted(ids[len(ids) * 45 // 100])} AND id < {quoted(ids[len(ids) * 55 // 100])}"


def _ids(table: Any, where: str | None = None) -> list[str]:
    """The ids in a table, in order."""
    rows = table.search() if where is None else table.search().where(where)
    return sorted(rows.select(["id"]).to_arrow()["id"].to_pylist())
