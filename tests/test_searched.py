"""What many requests share: corrections that are kept, one state for all threads, and the price of none of it."""

import threading

import pytest
import torch

import manymodal as mm
import samples
from indexes import CONFIG, made_rows
from manymodal import Index, ManymodalError, QueryPart, Request
from manymodal.calibration import Calibration
from manymodal.compose import Part
from manymodal.querying import KEPT, calibrated_parts


@pytest.fixture(scope="module")
def index(world, cache, tmp_path_factory):
    data, space = world
    return Index.build(tmp_path_factory.mktemp("exact") / "x.index", data, space, cache=cache)


@pytest.fixture(scope="module")
def approximate(world, cache, tmp_path_factory):
    data, space = world
    return Index.build(tmp_path_factory.mktemp("lancedb") / "x.index", data, space, cache=cache, engine="lancedb")


def ask(k=10, target="photo", weight=1.0, **options):
    parts = [QueryPart("captions", ids=["a3"]), QueryPart("features", ids=["a5"], weight=weight)]
    return Request(parts, target, k, **options)


def told(hits):
    return [(hit.id, hit.value, hit.shown, hit.columns, pytest.approx(hit.score, abs=1e-5)) for hit in hits]


@pytest.mark.parametrize("options", [{}, {"correct": "csls"}, {"correct": "nnn"}, {"correct": "mean_removal"}])
@pytest.mark.parametrize("target", ["captions", "photo", "meaning"])
def test_both_forms_answer_alike(index, approximate, target, options):
    """Captions are several an item: the one that matched is chosen by the corrected score."""
    hits = index.search(ask(99, target, **options))
    assert told(approximate.search(ask(99, target, **options))) == told(hits) and len(hits) > 2
    few = [hit.value for hit in index.search(ask(99, "captions", correct="csls"))]
    assert len(set(few)) > 1


def test_mean_removal_needs_the_mean_of_one_modality(index):
    with pytest.raises(ManymodalError, match="does not go with the target 'item'"):
        index.search(ask(target="item", correct="mean_removal"))
    assert index.search(ask(target="item", correct="csls"))


def test_corrections_of_some_weights_are_kept_and_the_others_forgotten(index):
    first = index.search(ask(correct="nnn"))
    for step in range(2 * KEPT):
        index.search(ask(weight=1.5 + step, correct="nnn"))
    assert len(index._state.kept["photo"]._found) == KEPT
    assert told(index.search(ask(correct="nnn"))) == told(first)


def test_requests_for_many_and_for_few_hits_go_together(index):
    sizes = [1, 2, 3, 7, 24, 1000]
    for k, hits in zip(sizes, index.search_many([ask(k) for k in sizes]), strict=True):
        assert told(hits) == told(index.search(ask(1000))[:k])


def test_fused_hits_show_what_the_best_ranking_part_matched(index):
    parts = [QueryPart("captions", ["blue"]), QueryPart("photo", [samples.picture(3)])]
    alone = [index.search(Request([part], "captions", 99)) for part in parts]
    places = [{hit.id: (rank, hit.value) for rank, hit in enumerate(hits)} for hits in alone]
    fused = index.search(Request(parts, "captions", 99, fusion="rank"))
    assert {hit.id: hit.value for hit in fused} == {
        id: min((place[id] for place in places), key=lambda one: one[0])[1] for id in places[0]
    }
    assert any(places[0][hit.id][1] != places[1][hit.id][1] for hit in fused)


def test_a_part_given_twice_is_refused_however_parts_are_put_together():
    for fusion in ("compose", "rank"):
        with pytest.raises(ManymodalError, match="given twice"):
            Request([QueryPart("photo", ids=["a1"]), QueryPart("photo", ids=["a2"])], "photo", fusion=fusion)


def test_an_absent_part_does_not_weigh():
    """Not on those that are there, either: how they weigh against what is not wanted would change."""
    calibration = Calibration({"photo": {"a": 0.5, "b": 0.5, "c": 2.0}, "a": {}, "b": {}, "c": {}}, "fitted", 9)
    there = [Part(m, torch.eye(2)[:1], 1.0) for m in "ab"]
    absent = Part("c", torch.zeros(0, 2), 1.0)
    weights = [part.weight for part in calibrated_parts([*there, absent], ["photo"], calibration)]
    assert weights == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("form", ["index", "approximate"])
def test_limits_at_their_ends(form, request):
    index = request.getfixturevalue(form)
    assert index.list_items(limit=0) == ([], 24) and index.list_items(offset=24) == ([], 24)
    items, there = index.list_items(limit=10**12, offset=20)
    assert len(items) == 4 and there == 24
    for wrong in ({"limit": -1}, {"offset": -1}):
        with pytest.raises(ManymodalError, match="use 0 or more"):
            index.list_items(**wrong)
    assert told(index.search(ask(2**40))) == told(index.search(ask(24)))


@pytest.mark.parametrize("form", ["index", "approximate"])
def test_ids_are_texts(form, request):
    index = request.getfixturevalue(form)
    for use in (lambda: index.item(3), lambda: index.remove([3]), lambda: index.media(3, "photo")):
        with pytest.raises(ManymodalError, match="ids are texts, here '3'"):
            use()
    with pytest.raises(ManymodalError, match="ids are texts"):
        index.search(Request([QueryPart("photo", ids=[3])], "photo"))
    with pytest.raises(ManymodalError, match="give a list of ids"):
        index.remove("a3")
    with pytest.raises(ManymodalError, match="label 'nothing'|no label"):
        index.search(Request([QueryPart("meaning", ids=["nothing"])], "photo"))


@pytest.mark.parametrize(
    "modality, value", [("table", {"weight": 10**400}), ("features", [10**400] * 6), ("trace", [[10**400, 1]])]
)
def test_numbers_beyond_all_floats_are_bad_values(index, modality, value):
    with pytest.raises(ManymodalError, match=f"query, {modality}"):
        index.search({modality: value}, "photo")


def test_columns_may_be_called_like_the_tables_own(world, cache, tmp_path):
    _, space = world
    names = ("vectors__photo", "vectors: photo", "vectors__item", "_distance", "label", "item", "Year")
    rows = [row | {name: n * 100 + i for n, name in enumerate(names)} for i, row in enumerate(made_rows()[:4])]
    index = Index.build(tmp_path / "x.index", mm.read_collection(rows, schema=space.schema), space, cache=cache)
    for n, name in enumerate(names):
        assert index.item("a2").columns[name] == n * 100 + 2
        items, _ = index.list_items(f'"{name}" = {n * 100 + 2}')
        assert [item.id for item in items] == ["a2"]
    assert {hit.id for hit in index.search({"captions": "red"}, "photo")} == {"a0", "a1", "a2", "a3"}


def test_tables_that_another_took_away_are_said_to_be_gone(world, cache, tmp_path):
    data, space = world
    Index.build(tmp_path / "x.index", data, space, cache=cache)
    reader = Index.open(tmp_path / "x.index")
    for _ in range(2):  # the tables before stay until the next build
        Index.build(tmp_path / "x.index", data, space, cache=cache, overwrite=True)
    for read in (lambda: reader.item("a3"), reader.list_items, lambda: reader.media("a3", "photo")):
        with pytest.raises(ManymodalError, match="version .* is not there"):
            read()
    assert reader.refresh() and reader.item("a3").id == "a3"


def test_threads_that_read_meet_one_whole_state_or_the_other(world, cache, tmp_path):
    """While an index is made anew with another space, of another d and with another column."""
    data, space = world
    folder = tmp_path / "x.index"
    index = Index.build(folder, data, space, cache=cache)
    rows = [row | {"further": i} for i, row in enumerate(made_rows())]
    more = mm.read_collection(rows, config={**CONFIG, "ignore": [*CONFIG["ignore"], "further"]})
    other = mm.Space.for_collection(more, dim=8, cache=cache).fit(
        more, cache=cache, device="cpu", epochs=1, batch_size=8
    )
    wrong, done = [], threading.Event()

    def read():
        while not done.is_set():
            try:
                state = index._state
                assert state.meta is state.view.meta and state.space.dim == state.meta.d
                (hit,) = index.search({"captions": "a red disc"}, "photo", 1)
                assert set(index.item(hit.id).columns) - set(hit.columns) <= {"further"}
                index.list_items("year > 2000", limit=2)
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    Index.build(folder, more, other, cache=cache, overwrite=True)
    assert index.refresh()
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == [] and index.d == 8 and "further" in index.columns
