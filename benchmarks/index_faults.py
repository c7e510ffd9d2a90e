"""`kill -9` at random moments of building, adding, removing and compacting an index, with a reader at work.

    python benchmarks/index_faults.py [--kills 20] [--seed 1]

A child writes to an index and notes, on the disk, what it begins and what has been acknowledged to it; it is killed after
a random time. Then the index is read whole: it holds exactly what was acknowledged, with or without the write that was in
flight, and every row's columns and vectors are of one write. Another child searches all the while, from index to index.
Needs no data.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from common import Result
from manymodal.errors import ManymodalError
from manymodal.index.layout import ColumnMeta, Meta, ModalityMeta
from manymodal.index.records import Records, Shown, Values
from manymodal.index.store import Store
from manymodal.progress import bar

NAME = "index_faults"
KINDS = {"build": 4.0, "add": 1.0, "remove": 1.0, "compact": 1.0}  # builds' time that a writer has at most once ready
D, ITEMS, PORTION = 8, 1000, 25
KEPT = 20.0  # seconds that an earlier version can still be read

State = Mapping[str, int]  # {id: the write that the item is of}
Operation = Mapping[str, Any]  # kind, ids, write
CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["manymodal.index.store", "lancedb"])


# -- items that tell which write they are of ---------------------------------------------------------------------------


def vector(id: str, write: int, place: int) -> np.ndarray:
    """(D,) float32, another one for each id, write and place."""
    turned = np.sin(int(id) * 1.3 + write * 2.1 + place * 0.7 + np.arange(D) * (1 + write % 5))
    return (turned / np.linalg.norm(turned)).astype(np.float32)


def vectors(id: str, write: int) -> np.ndarray:
    """(v, D) all of an item's; how many there are depends on the write, too."""
    return np.stack([vector(id, write, place) for place in range(1 + (int(id) + write) % 3)])


def records(ids: Sequence[str], write: int) -> Records:
    """Items of one write."""
    each = [vectors(id, write) for id in ids]
    counts = torch.tensor([len(one) for one in each])
    shown = [Shown(place, f"{write}") for one in each for place in range(len(one))]
    values = Values(
        torch.from_numpy(np.concatenate(each)),
        torch.arange(len(ids)).repeat_interleave(counts),
        shown,
        [None] * len(shown),
    )
    columns = pa.table({"write": pa.array([write] * len(ids), pa.int64())})
    composed = torch.from_numpy(np.stack([one[0] for one in each]))
    return Records(ids, [str(write)] * len(ids), columns, {"a": values}, composed)


def whole(row: Mapping[str, Any]) -> bool:
    """Whether everything in a row of the table is of one write."""
    expected = vectors(row["id"], row["write"])
    return (
        row["label"] == str(row["write"])
        and np.array_equal(np.array(row["vectors__a"], dtype=np.float32), expected)
        and np.array_equal(np.array(row["vectors__item"], dtype=np.float32), expected[:1])
        and row["texts__a"] == [str(row["write"])] * len(expected)
    )


COLUMNS = ["id", "label", "write", "vectors__a", "vectors__item", "texts__a"]


# -- the writer --------------------------------------------------------------------------------------------------------


def operations(kind: str, state: State, seed: int) -> Iterator[Operation]:
    """What a writer does, for ever; nearly all of one kind."""
    draw, now = random.Random(seed), dict(state)
    write = max(now.values(), default=0)
    while True:
        write += 1
        some = draw.sample(sorted(now), min(PORTION, len(now)))
        new = [str(max(map(int, now), default=-1) + 1 + number) for number in range(PORTION)]
        chosen: Operation = {"kind": "add", "ids": some + new, "write": write}
        if kind == "build":
            chosen = {"kind": kind, "ids": [str(number) for number in range(ITEMS)], "write": write}
        elif kind == "remove" and len(now) > ITEMS / 2:
            chosen = {"kind": kind, "ids": some, "write": write}
        elif kind == "compact" and write % 3:
            chosen = {"kind": kind, "ids": [], "write": write}
        yield chosen
        now = after(now, chosen)


def after(state: State, done: Operation) -> dict[str, int]:
    """What the index holds after an operation."""
    if done["kind"] == "build":
        return dict.fromkeys(done["ids"], done["write"])
    if done["kind"] == "remove":
        return {id: write for id, write in state.items() if id not in set(done["ids"])}
    return {**state, **dict.fromkeys(done["ids"], done["write"])}


def perform(folder: Path, chosen: Operation) -> None:
    """Do it; what returns is acknowledged."""
    ids, write = chosen["ids"], chosen["write"]
    if chosen["kind"] == "build":
        build(folder, (records(ids[start : start + 250], write) for start in range(0, len(ids), 250)))
    elif chosen["kind"] == "add":
        Store.open(folder).upsert([records(ids, write)])
    elif chosen["kind"] == "remove":
        Store.open(folder).delete(ids)
    else:
        Store.open(folder).compact(timedelta(seconds=KEPT))


def build(folder: Path, items: Iterator[Records]) -> None:
    """An index with approximate search, so that its indexes are written, too."""
    meta = Meta(
        manymodal=importlib.metadata.version("manymodal"),
        tables="",
        d=D,
        modalities={"a": ModalityMeta(stored="a")},
        columns={"write": ColumnMeta(stored="write", type="number")},
        engine="lancedb",
    )
    Store.create(folder, meta, {"write": pa.int64()}, items, None, indexed)


def indexed(store: Store) -> Meta:
    """With a vector index."""
    from lancedb.index import IvfFlat

    store.items.create_index("vectors__a", config=IvfFlat(distance_type="cosine", num_partitions=2))
    return store.meta


def write(folder: Path, log: Path, kind: str, state: State, seed: int) -> None:
    """The child that is killed."""
    with log.open("a", encoding="utf-8") as notes:

        def note(word: str, chosen: Operation | None = None) -> None:
            notes.write(json.dumps({"word": word, "operation": chosen}) + "\n")
            notes.flush()
            os.fsync(notes.fileno())

        Store.open(folder).values("a")  # what takes long the first time comes before the clock runs
        note("ready")
        for chosen in operations(kind, state, seed):
            note("begin", chosen)
            perform(folder, chosen)
            note("done", chosen)


# -- the reader --------------------------------------------------------------------------------------------------------


def read(folder: Path, report: Path, stop: Path) -> None:
    """The child that searches until it is told to stop; it reports how often, and what went wrong."""
    searches, again, errors = 0, 0, []
    while not stop.exists():
        try:
            errors += searched(folder, searches)
        except ManymodalError as error:
            if "is not there" in str(error) and (again := again + 1) < 3:
                continue  # it was made anew twice since it was opened: open it again, as the error says
            errors.append(str(error))
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
        searches, again = searches + 1, 0
        report.write_text(json.dumps({"searches": searches, "errors": errors}), encoding="utf-8")


def searched(folder: Path, number: int) -> list[str]:
    """Search an index once; what is wrong with what comes back."""
    view = Store.open(folder).view()
    with view.reading():
        asked = view.items.search(vector(str(number), 0, 0), vector_column_name="vectors__a")
        found = asked.distance_type("cosine").select([*COLUMNS, "_distance"]).limit(10).to_arrow().to_pylist()
    fine = len({row["id"] for row in found}) == 10 and all(map(whole, found))
    return [] if fine else [f"half-written or missing rows in version {view.version}"]


# -- kills, and what they leave ----------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What the kills of one kind came to."""

    kills: int = 0
    in_flight: int = 0
    acknowledged: int = 0
    searches: int = 0
    wrong: list[str] = field(default_factory=list)
    reader: list[str] = field(default_factory=list)


def killed(
    folder: Path, log: Path, kind: str, state: State, seed: int, longest: float
) -> tuple[State, Operation | None, int]:
    """Let a writer run for a random time and kill it.

    Returns:
        What was acknowledged comes to, what was in flight, how many operations were acknowledged.
    """
    log.write_text("", encoding="utf-8")
    child = CHILDREN.Process(target=write, args=(folder, log, kind, state, seed))
    child.start()
    while not log.read_text(encoding="utf-8").endswith("\n"):
        if not child.is_alive():
            raise ManymodalError("the writer came to an end before it began")
        time.sleep(0.005)
    time.sleep(random.Random(seed).uniform(0, longest))
    if not child.is_alive():
        raise ManymodalError("the writer came to an end by itself; its error is above")
    child.kill()
    child.join()
    lines = [
        json.loads(line) for line in log.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")
    ]
    done = [line["operation"] for line in lines if line["word"] == "done"]
    for operation in done:
        state = after(state, operation)
    return state, lines[-1]["operation"] if lines[-1]["word"] == "begin" else None, len(done)


def held(folder: Path) -> tuple[dict[str, int], list[str]]:
    """What an index holds, and what is wrong with it."""
    view = Store.open(folder).view()
    with view.reading():
        rows = view.items.to_arrow().select(COLUMNS).to_pylist()
    found = {row["id"]: row["write"] for row in rows}
    wrong = [f"item {row['id']} is of several writes" for row in rows if not whole(row)]
    if len(found) < len(rows):
        wrong.append(f"{len(rows) - len(found)} ids are there twice")
    return found, wrong


def trial(kind: str, kills: int, seed: int, folder: Path) -> Outcome:
    """Kill so many writers of one kind, one after the other, on one index that somebody reads meanwhile."""
    index, stop, report = folder / "index", folder / "stop", folder / "report.json"
    state: State = {}
    for first, _ in zip(operations("build", {}, seed), range(2), strict=False):  # the second one is the one to time
        begin = time.perf_counter()
        perform(index, first)
        state, longest = after(state, first), KINDS[kind] * (time.perf_counter() - begin)
    reader = CHILDREN.Process(target=read, args=(index, report, stop))
    reader.start()
    while not report.exists():  # imports take long the first time
        time.sleep(0.01)
    outcome = Outcome()
    try:
        with bar(kind, kills) as advance:
            for number in range(kills):
                state, flying, count = killed(index, folder / "log", kind, state, seed * 1000 + number, longest)
                found, wrong = held(index)
                if flying is not None and found == after(state, flying):
                    state = found
                elif found != state:
                    wrong.append(f"what is there is not what was acknowledged ({kind}, kill {number})")
                outcome.kills, outcome.acknowledged = outcome.kills + 1, outcome.acknowledged + count
                outcome.in_flight += flying is not None
                outcome.wrong += wrong
                state = found
                advance(1, f"{count} writes")
    finally:
        stop.touch()
        reader.join()
    said = json.loads(report.read_text(encoding="utf-8"))
    outcome.searches, outcome.reader = said["searches"], said["errors"]
    return outcome


def main() -> None:
    """Try every kind, write the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    os.environ["PYTHONWARNINGS"] = "ignore:lancedb fork support:RuntimeWarning"  # imported, not used, before the fork
    outcomes = {}
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            outcomes[kind] = trial(kind, options.kills, options.seed, Path(folder))
        print(f"{kind}: {outcomes[kind]}", flush=True)
    settings = {
        "kills of each": options.kills,
        "seed": options.seed,
        "items": ITEMS,
        "items a write": 2 * PORTION,
        "lancedb": importlib.metadata.version("lancedb"),
    }
    result = Result(NAME, "Faults: writers of an index that are killed", settings)
    result.table(
        f"kill -9 at {options.kills} random moments of each, with a reader at work",
        [
            "writer",
            "kills",
            "in the midst of a write",
            "writes acknowledged",
            "lost or half-written",
            "searches meanwhile",
            "failed",
        ],
        [
            [k, o.kills, o.in_flight, o.acknowledged, len(o.wrong), o.searches, len(o.reader)]
            for k, o in outcomes.items()
        ],
        "After each kill the index is read whole: it holds what was acknowledged, with or without the write in flight.",
    )
    every = outcomes.values()
    result.claim("{value} acknowledged writes were lost or half-written", sum(len(o.wrong) for o in every), at_most=0)
    result.claim("{value} searches failed meanwhile", sum(len(o.reader) for o in every), at_most=0)
    result.write()


if __name__ == "__main__":
    main()
