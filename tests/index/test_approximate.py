"""LanceDB's own search: equal to exact search where it looks everywhere, and across a gap between modalities."""

import json
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

import nearest_cases as cases
from manymodal.errors import ManymodalError
from manymodal.index import approximate
from manymodal.index.approximate import Approximate, build_indexes, indexed
from manymodal.index.layout import Tuning
from manymodal.index.records import ITEM
from manymodal.index.snapshot import Snapshot

IDS = [f"id {n * 37 % 401}" for n in range(400)]
LABELS = ["owl", "cat", "dog"]
ALL = Tuning(nprobes=4096, refine=50, recall={})  # every partition
EVERYWHERE = dict.fromkeys(("a", "b", ITEM), ALL)


def units(n, d=cases.D):
    return normalize(torch.randn(n, d), dim=1)


@pytest.fixture
def small(monkeypatch):
    """Few values are enough for an index."""
    monkeypatch.setattr(approximate, "LEAST", 50)


@pytest.fixture
def store(tmp_path, small):
    made = cases.store(tmp_path / "x", cases.records(IDS, units), of_labels=cases.labels(LABELS, units))
    build_indexes(made)
    return made


def key(hits):
    return [(hit.id, hit.score, hit.vector.tolist(), hit.shown, hit.columns) for hit in hits]


def test_every_target_with_enough_values_has_an_index(store, monkeypatch, tmp_path):
    assert indexed(store.items) == {"vectors__a", "vectors__b", "vectors__item", "id"}
    monkeypatch.setattr(approximate, "LEAST", 380)
    other = cases.store(tmp_path / "y", cases.records(IDS, units))
    build_indexes(other)
    assert indexed(other.items) == {"vectors__a", "id"}  # 600 values; 320 of `b`, 360 composed


@pytest.mark.parametrize("target", ["a", "b", ITEM, "kind"])
def test_equals_exact_search_where_all_partitions_are_looked_into(store, target):
    view, queries = store.view(), units(12)
    exact, search = Snapshot.of(view), Approximate(view, EVERYWHERE)
    assert search.sizes(target) == exact.sizes(target)
    for k in (1, 10, 1000):
        lists = [search.search(target, queries, k), exact.search(target, queries, k)]
        assert [key(hits) for hits in lists[0]] == [key(hits) for hits in lists[1]]
    assert key(search.search(target, queries[:1], 5)[0]) == key(lists[1][0][:5])  # one alone


def test_a_condition_comes_before_the_search_and_finds_all_that_pass(store):
    view, queries = store.view(), units(5)
    few = Approximate(view, {"a": Tuning(nprobes=1, refine=50, recall={})})
    for where in ("year > 2002", "year = 2003 AND kind_of = 'k1'", "year > 3000"):
        lists = [one.search("a", queries, 300, where) for one in (few, Snapshot.of(view))]
        assert [key(hits) for hits in lists[0]] == [key(hits) for hits in lists[1]]
    with pytest.raises(ManymodalError, match="labels have no columns"):
        few.search("kind", queries, 3, "year > 2002")


def test_own_vectors_of_items_and_labels(store):
    view = store.view()
    search, exact = Approximate(view), Snapshot.of(view)
    for modality, ids in (("a", [IDS[3], IDS[1], IDS[3], *IDS]), ("kind", LABELS)):
        lists = zip(search.stored(modality, ids), exact.stored(modality, ids), strict=True)
        assert all(torch.equal(mine, other) for mine, other in lists)
    for modality, id, what in (("a", "it's none", "item"), ("kind", "zebra", "label")):
        with pytest.raises(ManymodalError, match=f"no {what} "):
            search.stored(modality, [id])


def test_what_is_replaced_or_deleted_after_the_build_is_not_found(store):
    view = store.view()
    gone = {id: vectors[0] for id, vectors in zip(IDS, Approximate(view).stored("a", IDS), strict=True) if len(vectors)}
    changed, removed = [id for id in gone if int(id[3:]) % 5 == 0], [id for id in gone if int(id[3:]) % 5 == 1]
    store.upsert([cases.records([*changed, "new"], units)])
    store.delete(removed)
    now = store.view()
    search, exact = Approximate(now, EVERYWHERE), Snapshot.of(now)
    queries = torch.stack([gone[id] for id in [*changed[:10], *removed[:10]]])
    for target in ("a", ITEM):
        lists = [one.search(target, queries, 20) for one in (search, exact)]
        assert [key(hits) for hits in lists[0]] == [key(hits) for hits in lists[1]]
    for id, hits in zip([*changed[:10], *removed[:10]], search.search("a", queries, 20), strict=True):
        assert all(hit.score < 0.9999 for hit in hits if hit.id == id) and not {hit.id for hit in hits} & {*removed}
    before = Approximate(view, EVERYWHERE).search("a", queries[:1], 1)[0][0]  # the version of before
    assert before.id == changed[0] and before.score == pytest.approx(1)


def test_a_query_from_across_a_wide_gap_finds_its_rows(tmp_path, small):
    """In one column for all modalities the partitions near such a query would hold its own kind alone."""
    ids = [f"{n:04}" for n in range(1500)]
    thing = torch.randn(len(ids), cases.D)
    made = cases.records(ids)
    gap = {"a": torch.tensor([9.0, 0, 0, 0, 0, 0]), "b": torch.tensor([0, 9.0, 0, 0, 0, 0])}
    values = {
        name: replace(
            one, vectors=normalize(thing[one.rows] + 0.1 * torch.randn(len(one.rows), cases.D) + gap[name], dim=1)
        )
        for name, one in made.values.items()
    }
    store = cases.store(tmp_path / "x", replace(made, values=values))
    build_indexes(store)
    view = store.view()
    search = Approximate(view, {m: Tuning(nprobes=16, refine=10, recall={}) for m in ("a", "b")})
    for query, target in (("a", "b"), ("b", "a")):
        queries = values[query].vectors[::30]
        truth = Snapshot.of(view).search(target, queries, 10)
        assert max(hits[0].score for hits in truth) < 0.7  # far apart
        found = search.search(target, queries, 10)
        shared = [len({h.id for h in f} & {h.id for h in t}) for f, t in zip(found, truth, strict=True)]
        assert sum(shared) >= 0.9 * 10 * len(shared)


def test_columns_are_what_json_can_hold(store):
    (hits,) = Approximate(store.view()).search("a", units(1), 50)
    assert any(hit.columns["price"] is None for hit in hits)
    json.dumps([hit.columns for hit in hits], allow_nan=False)
