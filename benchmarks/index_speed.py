"""How long a search takes beside the least that it could: a bare scan, and LanceDB called bare.

    python benchmarks/index_speed.py            # writes benchmarks/results/index_speed.json

Both sides run in turn in one process on the same vectors. Needs no data; wants a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from common import WORK, Result
from index_sets import D, clustered, meta_of, new_store
from manymodal.errors import ManymodalError
from manymodal.index.approximate import Approximate, build_indexes, indexed
from manymodal.index.exact import search_many
from manymodal.index.snapshot import Snapshot
from manymodal.index.store import Store
from manymodal.index.tuning import tune

NAME, K, AT_ONCE, TARGET = "index_speed", 10, 32, "photo"


def in_turn(calls: Mapping[str, Callable[[int], Any]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each call, one after the other in every round; each is given the round's number."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(-2, rounds):
        for name in sorted(calls, reverse=bool(number % 2)):
            start = time.perf_counter()
            calls[name](abs(number))
            if number >= 0:
                spent[name].append(1000 * (time.perf_counter() - start))
    return spent


def kept_store(items: int) -> Store:
    """A clustered set of that many items, kept in `work/`."""
    folder = WORK / f"index_clustered_{items}"
    try:
        return Store.open(folder)
    except ManymodalError:
        return new_store(folder, meta_of(["photo", "caption"], D), clustered(items))


def beside(spent: Mapping[str, list[float]], ours: str, bare: str) -> float:
    """How many times the bare call's time ours takes: the median over rounds, each compared within itself."""
    return statistics.median(a / b for a, b in zip(spent[ours], spent[bare], strict=True))


def exact_rows(result: Result, values: int, rounds: int) -> list[list[Any]]:
    """Exact search of that many photos, one query at a time and `AT_ONCE` together."""
    index = Snapshot.of(kept_store(round(values / 0.9)).view())
    gallery = index.gallery(TARGET).clone()
    owners, matrix = torch.arange(len(gallery)), gallery.numpy()
    queries = gallery[torch.randperm(len(gallery), generator=torch.Generator().manual_seed(0))[: AT_ONCE * 8]]
    rows = []
    for together in (1, AT_ONCE):
        portions = queries.split(together)

        def of(number: int, portions: tuple[torch.Tensor, ...] = portions) -> torch.Tensor:
            return portions[number % len(portions)]

        def bare_torch(number: int) -> Any:
            asked = of(number)
            return (gallery @ asked[0]).topk(K) if len(asked) == 1 else (asked @ gallery.T).topk(K)

        def bare_numpy(number: int) -> Any:
            asked = of(number).numpy()
            scores = (matrix @ asked[0])[None] if len(asked) == 1 else asked @ matrix.T
            best = np.argpartition(-scores, K, axis=1)[:, :K]
            return np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, 1), axis=1), 1)

        spent = in_turn(
            {
                "torch": bare_torch,
                "numpy": bare_numpy,
                "search": lambda number: search_many(gallery, owners, of(number), K),
                "index": lambda number: index.search(TARGET, of(number), K),
            },
            max(30, rounds // together),
        )
        medians = [round(statistics.median(spent[name]), 3) for name in ("torch", "numpy", "search", "index")]
        ratios = [round(beside(spent, "search", "torch"), 2), round(beside(spent, "index", "torch"), 2)]
        rows.append([len(gallery), together, *medians, *ratios])
        if values >= 100_000:
            what = "one query at a time" if together == 1 else f"{together} queries at once"
            result.claim(
                f"exact search of {len(gallery):,} vectors, {what}: {{value}} times a bare scan by torch, at most {{threshold}}",
                ratios[1],
                at_most=1.3,
            )
        print(rows[-1], flush=True)
    return rows


def approximate_row(result: Result, items: int, rounds: int) -> list[Any]:
    """Approximate search of the captions of that many items, beside LanceDB asked for ids alone."""
    store = kept_store(items)
    if "vectors__caption" not in indexed(store.items):
        build_indexes(store)
    tuning = tune(store)["caption"]
    view = store.view()
    search = Approximate(view, {"caption": tuning})
    ids = [f"{row * 97 % items:08}" for row in range(200)]
    queries = [own[0] for own in search.stored("photo", ids) if len(own)]

    def bare(number: int) -> Any:
        asked = view.items.search(queries[number % len(queries)].numpy(), vector_column_name="vectors__caption")
        asked = asked.distance_type("cosine").nprobes(tuning.nprobes).refine_factor(tuning.refine)
        return asked.select(["id", "_distance"]).limit(K).to_arrow()

    spent = in_turn(
        {"bare": bare, "index": lambda number: search.search("caption", queries[number % len(queries)][None], K)},
        rounds,
    )
    ratio, values = round(beside(spent, "index", "bare"), 2), search.sizes("caption")[1]
    result.claim(
        f"LanceDB over {values:,} vectors, one query at a time: {{value}} times LanceDB called bare, at most {{threshold}}",
        ratio,
        at_most=1.5,
    )
    medians = [round(statistics.median(spent[name]), 2) for name in ("bare", "index")]
    row = [values, tuning.nprobes, tuning.refine, min(tuning.recall.values()), *medians, ratio]
    print(row, flush=True)
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=200, help="queries one at a time")
    rounds = parser.parse_args(arguments).rounds
    result = Result(NAME, "Search: how long it takes", {"d": D, "k": K, "rounds": rounds})
    result.table(
        "Exact search, milliseconds",
        ["vectors", "queries at once", "torch", "numpy", "our scan", "our index", "scan / torch", "index / torch"],
        [row for values in (10_000, 100_000) for row in exact_rows(result, values, rounds)],
        "Bare torch and numpy give rows and scores; our scan gives items, equal scores in a fixed order; our index also ids, "
        "columns and what is shown. Ratios are medians over rounds.",
    )
    result.table(
        "LanceDB, one query at a time, milliseconds",
        ["vectors", "partitions looked into", "refined", "recall@10", "bare", "our index", "index / bare"],
        [approximate_row(result, items, rounds) for items in (40_000, 400_000)],
        "Captions asked for by photos; bare gives ids and distances with the same settings, our index also scores of its own, "
        "columns and what is shown.",
    )
    result.write()


if __name__ == "__main__":
    main()
