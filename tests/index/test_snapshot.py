"""The exact form of an index: equal to its twin, shared by all who open it, and none the worse for a disk that fails."""

import errno
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import nearest_cases as cases
from manymodal.errors import ManymodalError
from manymodal.index import snapshot
from manymodal.index.exact import Adjustment
from manymodal.index.records import ITEM, Shown
from manymodal.index.snapshot import Snapshot
from manymodal.index.store import Store
from oracles import oracle_nearest

IDS = [f"id {n * 37 % 101}" for n in range(60)]  # not in the order of ids
LABELS = ["owl", "cat", "dog"]


def found(hits):
    return [(hit.id, hit.shown.place if hit.shown else 0, hit.score) for hit in hits]


def snapshots(store):
    return sorted(path.name for path in (store.folder / store.meta.tables).glob("*exact*"))


@pytest.mark.parametrize("k", [1, 7, 1000])
def test_equals_the_twin(tmp_path, k):
    whole, names, queries = cases.records(IDS), cases.labels(LABELS), cases.eighths(4)
    index = Snapshot.of(cases.store(tmp_path / "x", whole, of_labels=names).view())
    for target, held in (("a", whole), ("b", whole), (ITEM, whole), ("kind", names)):
        values = cases.plain(held, target)
        got = [found(hits) for hits in index.search(target, queries, k)]
        assert got == [oracle_nearest(values, query, k) for query in queries]
        counts = [len(v) for v in values.values()]
        assert index.sizes(target) == (sum(count > 0 for count in counts), sum(counts))


def test_a_hit_says_which_value_matched_and_shows_its_columns(tmp_path):
    whole = cases.records(IDS)
    index = Snapshot.of(cases.store(tmp_path / "x", whole).view())
    for hit in index.search("a", cases.eighths(1), 100)[0]:
        row = whole.ids.index(hit.id)
        values, cells = cases.plain(whole, "a")[hit.id], whole.columns.slice(row, 1).to_pylist()[0]
        assert torch.equal(hit.vector, values[hit.shown.place])
        place = hit.shown.place
        assert hit.shown == Shown(place, f"t{place}", "image/png" if place == 0 else None)
        price = None if row % 5 == 4 else cells["price"]  # NaN
        assert hit.columns == {**cells, "price": price, "seen": cells["seen"].isoformat()}
        json.dumps(hit.columns, allow_nan=False)
    assert index.search(ITEM, cases.eighths(1), 1)[0][0].shown is None


def test_a_condition_comes_before_the_search_and_labels_have_none(tmp_path):
    whole, queries = cases.records(IDS), cases.eighths(3)
    index = Snapshot.of(cases.store(tmp_path / "x", whole, of_labels=cases.labels(LABELS)).view())
    years = dict(zip(whole.ids, whole.columns["year"].to_pylist(), strict=True))
    passing = {id: v for id, v in cases.plain(whole, "a").items() if years[id] is not None and years[id] > 2002}
    for _ in range(2):  # looked up, then remembered
        got = [found(hits) for hits in index.search("a", queries, 9, "year > 2002")]
        assert got == [oracle_nearest(passing, query, 9) for query in queries]
    assert index.search("a", queries, 9, "year > 3000") == [[], [], []]
    with pytest.raises(ManymodalError, match="'kind' has one value per label, and labels have no columns"):
        index.search("kind", queries, 1, "year > 2002")


def test_what_is_replaced_or_deleted_is_not_found(tmp_path):
    store = cases.store(tmp_path / "x", cases.records(IDS))
    before = store.versions[0]
    old = Snapshot.of(store.view())
    changed, queries = cases.records([*IDS[20:30], "new"]), cases.eighths(4)
    store.upsert([changed])
    store.delete(IDS[40:50])
    index = Snapshot.of(store.view())
    first = cases.plain(cases.records(IDS), "a")
    everything = {id: list(v) for id, v in zip(IDS, old.stored("a", IDS), strict=True)}
    assert {id: len(v) for id, v in everything.items()} == {id: len(v) for id, v in first.items()}
    now = {id: v for id, v in {**everything, **cases.plain(changed, "a")}.items() if id not in IDS[40:50]}
    assert [found(h) for h in index.search("a", queries, 100)] == [oracle_nearest(now, q, 100) for q in queries]
    again = Snapshot.of(Store.open(store.folder).view(before))  # the earlier version, whatever came later
    assert again.version == before
    assert [found(h) for h in again.search("a", queries, 100)] == [oracle_nearest(everything, q, 100) for q in queries]


def test_own_vectors_of_items_and_labels(tmp_path):
    whole, names = cases.records(IDS), cases.labels(LABELS)
    index = Snapshot.of(cases.store(tmp_path / "x", whole, of_labels=names).view())
    asked = [IDS[3], IDS[1], IDS[3]]
    for id, vectors in zip(asked, index.stored("a", asked), strict=True):
        expected = cases.plain(whole, "a")[id]
        assert vectors.shape == (len(expected), cases.D) and all(map(torch.equal, vectors, expected))
    assert torch.equal(index.stored("kind", ["dog"])[0][0], cases.plain(names, "kind")["dog"][0])
    for modality, id, what in (("a", "no such", "item"), ("a", "", "item"), ("kind", "zebra", "label")):
        with pytest.raises(ManymodalError, match=f"no {what} '{id}'"):
            index.stored(modality, [id])


def test_scores_are_adjusted_row_by_row(tmp_path):
    index = Snapshot.of(cases.store(tmp_path / "x", cases.records(IDS)).view())
    bias = torch.zeros(index.sizes("a")[1])
    bias[5] = -100
    (hits,) = index.search("a", torch.ones(1, cases.D), 3, adjust=Adjustment(bias=bias))
    assert torch.equal(hits[0].vector, index.gallery("a")[5]) and hits[0].score > 90


def test_an_index_without_any_row_or_value(tmp_path):
    empty = Snapshot.of(cases.store(tmp_path / "x", cases.records([]), of_labels=cases.labels([])).view())
    assert empty.search("a", cases.eighths(2), 3) == [[], []] and empty.sizes("kind") == (0, 0)
    bare = cases.records(["1"])
    store = cases.store(tmp_path / "y", bare.__class__(bare.ids, bare.labels, bare.columns, {}))
    assert Snapshot.of(store.view()).search(ITEM, cases.eighths(1), 3) == [[]]


# -- on the disk -------------------------------------------------------------------------------------------------------


def test_one_copy_for_all_who_open_it_at_once(tmp_path):
    store = cases.store(tmp_path / "x", cases.records(IDS))
    query = cases.eighths(1)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: Snapshot.of(Store.open(store.folder).view()), range(4)))
    assert len(snapshots(store)) == 1
    lists = [found(one.search("a", query, 50)[0]) for one in made]
    assert lists[1:] == lists[:-1]
    (folder,) = (store.folder / store.meta.tables).glob("exact-*")
    stamps = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    code = (
        "import json, sys, torch; from pathlib import Path\n"
        "from manymodal.index.snapshot import Snapshot; from manymodal.index.store import Store\n"
        "index = Snapshot.of(Store.open(Path(sys.argv[1])).view())\n"
        "hits = index.search('a', torch.tensor(json.loads(sys.argv[2])), 50)[0]\n"
        "print(json.dumps([[hit.id, hit.shown.place, hit.score] for hit in hits]))"
    )
    call = [sys.executable, "-c", code, str(store.folder), json.dumps(query.tolist())]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    assert [tuple(hit) for hit in json.loads(done.stdout)] == lists[0]
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == stamps


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_where_nothing_can_be_written_it_is_held_in_memory(tmp_path, monkeypatch, code):
    store = cases.store(tmp_path / "x", cases.records(IDS))
    view, query = store.view(), cases.eighths(2)
    expected = Snapshot.of(view)
    (folder,) = (store.folder / store.meta.tables).glob("exact-*")
    folder.rename(tmp_path / "away")

    def fail(*_, **__):
        raise OSError(code, "no")

    if code == errno.ENOSPC:
        monkeypatch.setattr(np, "save", fail)  # half-way
    else:
        monkeypatch.setattr(snapshot.Path, "mkdir", fail)
    index = Snapshot.of(view)
    assert snapshots(store) == []
    lists = [[found(hits) for hits in one.search("a", query, 50)] for one in (index, expected)]
    assert lists[0] == lists[1]


def test_one_that_is_cut_short_is_not_used(tmp_path):
    whole, query = cases.records(IDS), cases.eighths(1)
    store = cases.store(tmp_path / "x", whole)
    Snapshot.of(store.view())
    (folder,) = (store.folder / store.meta.tables).glob("exact-*")
    (folder / "vectors__a.npy").write_bytes((folder / "vectors__a.npy").read_bytes()[:-100])
    (hits,) = Snapshot.of(store.view()).search("a", query, 9)
    assert found(hits) == oracle_nearest(cases.plain(whole, "a"), query[0], 9)


def test_old_ones_go_and_whoever_uses_one_keeps_it(tmp_path):
    whole, query = cases.records(IDS), cases.eighths(1)
    store = cases.store(tmp_path / "x", whole)
    first = Snapshot.of(store.view())
    tables = store.folder / store.meta.tables
    (tables / ".exact-1-0.abandoned").mkdir()
    for n in range(4):
        store.upsert([cases.records([f"new {n}"])])
        Snapshot.of(store.view())
    kept = [f"exact-{store.versions[0] - n}-0" for n in range(snapshot.KEPT)]
    assert snapshots(store) == sorted([*kept, ".exact-1-0.abandoned"])  # may still be written
    assert found(first.search("a", query, 9)[0]) == oracle_nearest(cases.plain(whole, "a"), query[0], 9)


def test_what_a_killed_process_left_goes_after_a_while(tmp_path, monkeypatch):
    store = cases.store(tmp_path / "x", cases.records(IDS))
    (store.folder / store.meta.tables / ".exact-1-0.abandoned").mkdir()
    monkeypatch.setattr(snapshot, "ABANDONED", -1.0)
    Snapshot.of(store.view())
    assert len(snapshots(store)) == 1
