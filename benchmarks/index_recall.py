"""What approximate search finds of what exact search finds, at the default target, in each direction of three sets.

    python benchmarks/index_recall.py            # writes benchmarks/results/index_recall.json

Flickr8k and emoji need what `vectors.py` writes (their spaces are those of `composition.py`); the third set is made
here: 400,000 items with 1,000,000 captions. LanceDB is forced on the two small sets, which would be searched exactly.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from common import WORK, Result
from composition import spaces
from index_sets import D, clustered, meta_of, new_store, records_of
from manymodal import Embeddings
from manymodal.index.approximate import Approximate, build_indexes
from manymodal.index.records import ITEM, Records
from manymodal.index.store import Store
from manymodal.index.tuning import Trial, notes, sample, tune

NAME, TARGET, QUERIES = "index_recall", 0.98, 1200  # of all modalities together


def of_space(name: str) -> Embeddings:
    """Embeddings of dev, test and (up to) 2,000 train items in a space fitted to a collection."""
    found = spaces(name, 1)
    return Embeddings.concatenate([found["dev"], found["test"], found["bank"]])


def measure(
    result: Result, title: str, modalities: list[str], d: int, portions: Iterator[Records], folder: Path
) -> list[Any]:
    """Build an index, measure each direction with other queries than it was set by; a row of what it costs."""
    seconds = [time.perf_counter()]
    store = new_store(folder, meta_of(modalities, d), portions)
    seconds.append(time.perf_counter())
    build_indexes(store)
    seconds.append(time.perf_counter())
    tuning = tune(store, TARGET)
    seconds.append(time.perf_counter())
    for line in notes(tuning, TARGET):
        print(title, line)
    view, queries = store.view(), QUERIES // len(modalities)
    trial = Trial(view, {name: sample(view, name, queries, seed=1) for name in modalities}, 10)
    recall = {}
    for target, one in tuning.items():
        shares = trial.shares(target, one, trial.truth(target))
        recall[target] = {name: float(own.mean()) for name, own in shares.items()}
    search = Approximate(view, tuning)
    sizes = {target: search.sizes(target) for target in (*modalities, ITEM)}
    rows = []
    for target, one in tuning.items():
        cells = [recall[target][name] for name in modalities]
        rate = 1 / statistics.median(timed(search, target, query) for query in trial.asked[modalities[0]][:100])
        rows.append(
            [target, sizes[target][1], *cells, min(one.filtered.values()), one.nprobes, one.refine, round(rate)]
        )
    others = [f"{name} ({sizes[name][1]} values)" for name in sizes if name not in tuning]
    result.table(
        f"{title}: recall@10",
        [
            "searched",
            "values",
            *(f"asked by {name}" for name in modalities),
            "worst with a filter",
            "partitions looked into",
            "refined",
            "queries/s",
        ],
        rows,
        f"{queries} queries a direction, others than those that chose the settings; the filter passes a tenth of the items. "
        "One query at a time, from asking to hits with all that is shown."
        + (f" Compared whole: {', '.join(others)}." if others else ""),
    )
    worst = min(value for of_target in recall.values() for value in of_target.values())
    result.claim(
        f"{title}: the worst direction has recall@10 {{value}}, at least {{threshold}}", worst, at_least=TARGET
    )
    spent = [round(after - before, 1) for before, after in itertools.pairwise(seconds)]
    values = sum(count for name, (_, count) in sizes.items() if name != ITEM)
    return [title, store.items.count_rows(), values, *spent, round(disk(store) / 1e6), round(values * 4 * d / 1e6)]


def timed(search: Approximate, target: str, query: torch.Tensor) -> float:
    """Seconds of one search."""
    start = time.perf_counter()
    search.search(target, query[None], 10)
    return time.perf_counter() - start


def disk(store: Store) -> int:
    """Bytes that the tables take."""
    return sum(path.stat().st_size for path in (store.folder / store.meta.tables).rglob("*") if path.is_file())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all sets, write the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=400_000, help="of the clustered set; 2.5 captions each")
    items = parser.parse_args(arguments).items
    result = Result(NAME, "Search: what approximate indexes find", {"target": TARGET, "k": 10, "items": items})
    rows = []
    for name, title in (("flickr8k", "Flickr8k"), ("emoji", "Emoji")):
        embeddings = of_space(name)
        d = next(iter(embeddings.vectors.values())).shape[1]
        portions = iter([records_of(embeddings)])
        rows.append(measure(result, title, list(embeddings.modalities), d, portions, WORK / f"index_{name}"))
        print(rows[-1], flush=True)
    title, folder = f"Clustered, {items * 5 // 2:,} captions", WORK / f"index_clustered_{items}"
    rows.append(measure(result, title, ["photo", "caption"], D, clustered(items), folder))
    print(rows[-1], flush=True)
    result.table(
        "What a build costs",
        ["set", "items", "values", "written, s", "indexed, s", "recall measured, s", "disk, MB", "vectors alone, MB"],
        rows,
        "The disk also holds each item's composed vector, and an index of each modality with a byte a number.",
    )
    result.write()


if __name__ == "__main__":
    main()
