"""Recall is measured as it is, and settings are chosen that reach what was asked for, or it is said that none does."""

import pytest
import torch
from torch.nn.functional import normalize

import nearest_cases as cases
from manymodal.index import approximate, tuning
from manymodal.index.approximate import build_indexes
from manymodal.index.layout import Tuning
from manymodal.index.records import ITEM
from manymodal.index.snapshot import Snapshot
from manymodal.index.tuning import choose_engine, notes, tune

IDS = [f"{n:04}" for n in range(1200)]


def units(n, d=cases.D):
    return normalize(torch.randn(n, d), dim=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    torch.manual_seed(0)
    made = cases.store(
        tmp_path_factory.mktemp("x") / "x", cases.records(IDS, units), of_labels=cases.labels(["owl", "cat"], units)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(approximate, "LEAST", 500)
        build_indexes(made)
    return made


def measured(store, target, modality, settings, queries, k):
    """Mean share of the k best ids of exact search among those found, over values of some items."""
    view = store.view()
    exact, search = Snapshot.of(view), approximate.Approximate(view, {target: settings})
    asked = exact.gallery(modality)[:queries]
    lists = [one.search(target, asked, k) for one in (exact, search)]
    return sum(len({h.id for h in a} & {h.id for h in b}) for a, b in zip(*lists, strict=True)) / (k * len(asked))


def test_more_partitions_are_looked_into_where_recall_is_low(store, monkeypatch):
    monkeypatch.setattr(tuning, "LADDER", ((1, 3), (8, 3), (64, 10)))
    low = tune(store, target_recall=-1.0, queries=16)  # any will do, however few queries there are
    high = tune(store, target_recall=0.97, queries=16)
    assert set(low) == set(high) == {"a", "b", ITEM}  # labels are compared whole
    for target in high:
        assert set(high[target].recall) == set(high[target].filtered) == {"a", "b", "kind"}
        assert low[target].nprobes == 1 < high[target].nprobes
        assert min(low[target].recall.values()) < 0.9
        assert min([*high[target].recall.values(), *high[target].filtered.values()]) >= 0.97
    assert notes(high, 0.97) == []


def test_the_figure_is_what_other_queries_find_too(store, monkeypatch):
    monkeypatch.setattr(tuning, "LADDER", ((6, 3),))
    found = tune(store, queries=40)
    for modality, target in (("a", "a"), ("a", "b"), ("b", ITEM)):
        expected = measured(store, target, modality, found[target], 40, 10)
        assert found[target].recall[modality] == pytest.approx(expected, abs=0.1)


def test_it_is_said_where_no_setting_reaches_the_target(store, monkeypatch):
    monkeypatch.setattr(tuning, "LADDER", ((1, 1), (12, 1), (2, 1)))
    found = tune(store, target_recall=0.999, queries=16)
    assert {one.nprobes for one in found.values()} == {12}  # the best of them
    told = notes(found, 0.999)
    measured = [recall for one in found.values() for recall in (*one.recall.values(), *one.filtered.values())]
    assert len(told) == sum(recall < 0.999 for recall in measured) >= 4
    assert any(line.startswith("b -> a: recall@10 is 0.") and "0.999" in line for line in told)


def test_ties_are_no_misses(tmp_path, monkeypatch):
    monkeypatch.setattr(approximate, "LEAST", 100)
    monkeypatch.setattr(tuning, "LADDER", ((1, 1),))
    one = units(1)
    store = cases.store(tmp_path / "x", cases.records(IDS[:400], lambda n: one.repeat(n, 1)))
    build_indexes(store)
    assert all(recall == 1 for target in tune(store, queries=20).values() for recall in target.recall.values())


def test_nothing_to_tune_without_indexes(tmp_path):
    store = cases.store(tmp_path / "x", cases.records(IDS[:30], units))
    build_indexes(store)
    assert tune(store) == {} and notes({}, 0.98) == []
    assert notes({"a": Tuning(nprobes=1, refine=1, recall={"b": 0.98})}, 0.98) == []


def test_choice_of_the_form():
    assert choose_engine(99_999) == "exact" and choose_engine(100_000) == "lancedb"
