"""`Index`: what a space finds in a collection, kept; every way to ask; what changes, and what is refused."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

import manymodal as mm
import samples
from indexes import fitted_space, made_rows
from manymodal import Index, ManymodalError, QueryPart, Request
from manymodal.compose import compose_items
from manymodal.folder import save_embeddings
from manymodal.vectors import read_vectors


@pytest.fixture(scope="module")
def built(world, cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("built") / "pets.index"
    data, space = world
    Index.build(folder, data, space, cache=cache)
    return folder


@pytest.fixture(scope="module")
def index(built):
    """Opened anew, so that all it knows comes from the folder."""
    return Index.open(built)


@pytest.fixture
def own(world, cache, tmp_path):
    """An index that a test may change."""
    data, space = world
    return Index.build(tmp_path / "own.index", data, space, cache=cache)


def same_hits(found, wanted, tolerance=1e-5):
    """Same items, values, scores and parts; near-equal scores may change places."""
    assert [hit.score for hit in found] == pytest.approx([hit.score for hit in wanted], abs=tolerance)
    by_id = {hit.id: hit for hit in wanted}
    for hit in found:
        assert hit.id in by_id
        assert hit.value == by_id[hit.id].value
        assert hit.parts == pytest.approx(by_id[hit.id].parts, abs=tolerance)


QUERIES = [
    ({"captions": "a red disc"}, "photo", {}),
    ({"captions": ["a red disc", "disc number 5"], "photo": samples.picture(3)}, "speech", {}),
    ({"captions": "blue"}, "captions", {"without": {"captions": "disc"}}),
    ({"captions": "blue", "photo": samples.picture(3)}, "trace", {"weights": {"photo": 0.3}, "calibrated": False}),
    ({"speech": samples.sound(4)}, "meaning", {}),
    ({"meaning": "an empty box"}, "features", {}),
    ({"table": {"weight": 2.0, "colour": "red"}, "features": [3.0] * 6, "trace": [[1.0, 2.0]] * 4}, "photo", {}),
    ({"captions": "blue"}, "photo", {"correct": "csls"}),
    ({"captions": "blue", "table": {"colour": "red"}}, "photo", {"correct": "qb_norm"}),
    ({"captions": "blue"}, "photo", {"correct": "mean_removal"}),
]


@pytest.mark.parametrize(
    "query, target, options", QUERIES, ids=lambda one: "-".join(one) if isinstance(one, dict) else ""
)
def test_an_index_finds_what_its_space_finds_in_the_collection(world, index, cache, query, target, options):
    data, space = world
    wanted = space.search(query, target, data, 7, cache=cache, **options)
    tolerance = 1e-3 if "correct" in options else 1e-5  # a saved bank is in half precision
    same_hits(index.search(query, target, 7, **options), wanted, tolerance)


def test_columns_and_looks_come_with_a_hit(index, world):
    hit = index.search({"captions": "a red disc"}, "photo", 1)[0]
    row = next(row for row in made_rows() if row["id"] == hit.id)
    assert hit.columns["year"] == row["year"] and hit.columns["seen"] == row["seen"].isoformat()
    assert hit.columns["tags"] == row["tags"] and hit.columns["weight"] == row["weight"]
    assert hit.shown.type == "image/png" and hit.shown.place == hit.value == 0
    assert index.media(hit.id, "photo", hit.shown.place) == (row["photo"]["bytes"], "image/png")
    text = index.search({"captions": "a red disc"}, "captions", 1)[0]
    words = next(row for row in made_rows() if row["id"] == text.id)["captions"]
    assert text.shown.text == words[text.value] and text.shown.type is None
    label = index.search({"captions": "a red disc"}, "meaning", 1)[0]
    assert label.id in samples.SHAPES and label.shown.text == samples.MEANINGS[label.id] and label.columns == {}
    assert json.loads(json.dumps(hit.to_dict()))["shown"]["type"] == "image/png"


def test_items_ask_with_their_own_values_without_the_table(index, world):
    _data, _space = world
    texts = next(row for row in made_rows() if row["id"] == "a3")["captions"]
    by_id = index.search(Request([QueryPart("captions", ids=["a3"])], "photo"))
    same_hits(by_id, index.search({"captions": texts}, "photo"))
    best = index.search(Request([QueryPart("meaning", ids=["disc"])], "meaning"))[0]
    assert best.id == "disc" and best.score == pytest.approx(1, abs=1e-5)
    vectors = index.embed("captions", texts)
    same_hits(index.search(Request([QueryPart("captions", vectors=vectors)], "photo")), by_id)
    mixed = [QueryPart("captions", values=[texts[0]], ids=["a2"], vectors=vectors[1:])]
    two = next(row for row in made_rows() if row["id"] == "a2")["captions"]
    same_hits(index.search(Request(mixed, "photo")), index.search({"captions": [texts[0], *two, *texts[1:]]}, "photo"))


def test_whole_items_are_found_by_all_that_they_have(index, world, cache):
    data, space = world
    embeddings = space.encode(data, cache=cache)
    rows = compose_items(embeddings, embeddings.modalities, parts="any")
    query = index.embed("captions", ["a red disc"])[0]
    scores = dict(zip([data.ids[item] for item in rows.items.tolist()], (rows.vectors @ query).tolist(), strict=True))
    hits = index.search({"captions": "a red disc"}, "item", 30)
    assert [hit.id for hit in hits] == sorted(scores, key=lambda id: -scores[id])
    assert [hit.score for hit in hits] == pytest.approx(sorted(scores.values(), reverse=True), abs=1e-5)
    assert hits[0].shown is None


def test_a_condition_keeps_the_best_of_those_that_meet_it(index):
    everyone = index.search({"captions": "a red disc"}, "photo", 30)
    some = index.search({"captions": "a red disc"}, "photo", 3, where="year > 2000 and colour in ('red', 'blue')")
    meeting = [hit for hit in everyone if hit.columns["year"] > 2000 and hit.columns["colour"] in ("red", "blue")]
    assert [hit.id for hit in some] == [hit.id for hit in meeting[:3]] and len(some) == 3
    assert index.search({"captions": "a red disc"}, "photo", where="year > 3000") == []
    corrected = index.search({"captions": "a red disc"}, "photo", 30, where="year > 2000", correct="csls")
    assert {hit.id for hit in corrected} == {hit.id for hit in everyone if hit.columns["year"] > 2000}
    items, total = index.list_items("year > 2000", limit=2, offset=1)
    assert total == sum(row["year"] > 2000 for row in made_rows()) and len(items) == 2
    with pytest.raises(ManymodalError, match="yaer"):
        index.search({"captions": "a red disc"}, "photo", where="yaer > 2000")
    with pytest.raises(ManymodalError, match="per label|label"):
        index.search({"captions": "a red disc"}, "meaning", where="year > 2000")


def test_ranks_are_fused_on_request(index):
    parts = [QueryPart("captions", ["a red disc"], weight=2.0), QueryPart("photo", [samples.picture(3)])]
    alone = [[hit.id for hit in index.search(Request([part], "speech", 99))] for part in parts]
    wanted = {
        id: sum(w * 61 / (60 + 1 + ids.index(id)) for w, ids in zip((2.0, 1.0), alone, strict=True)) / 3.0
        for id in alone[0]
    }
    hits = index.search(Request(parts, "speech", 5, fusion="rank"))
    assert [hit.id for hit in hits] == sorted(wanted, key=lambda id: (-wanted[id], id))[:5]
    assert [hit.score for hit in hits] == pytest.approx(sorted(wanted.values(), reverse=True)[:5])
    assert set(hits[0].parts) == {"captions", "photo"}


def test_many_requests_at_once_are_those_one_by_one(index):
    requests = [
        Request([QueryPart("captions", ["a red disc"])], "photo", 3),
        Request([QueryPart("captions", ["blue"]), QueryPart("photo", [samples.picture(5)])], "photo", 8),
        Request([QueryPart("captions", ["blue"])], "item", 2, where="year > 2000"),
        Request([QueryPart("photo", [b"no picture"])], "photo"),
        Request([QueryPart("captions", ["x"]), QueryPart("captions", ["x"], weight=-1.0)], "photo"),
        Request([QueryPart("photo", [samples.picture(2)])], "photo", 4),
        Request([QueryPart("captions", ["blue"])], "nowhere"),
        Request([QueryPart("captions", ids=["a0"])], "photo"),  # it has no caption
    ]
    answers = index.search_many(requests)
    for request, found in zip(requests, answers, strict=True):
        if isinstance(found, ManymodalError):
            with pytest.raises(ManymodalError) as raised:
                index.search(request)
            assert str(raised.value).split("(")[0] == str(found).split("(")[0]  # a norm of nearly 0 is told too
        else:
            same_hits(found, index.search(request))
            assert len(found) == request.k
    broken = [number for number, found in enumerate(answers) if isinstance(found, ManymodalError)]
    assert broken == [3, 4, 6, 7]
    assert "cancel out" in str(answers[4]) and "no value in 'captions'" in str(answers[7])


def test_classes_are_named_on_the_spot(index):
    classes = ["a filled round spot", "an empty box", "one slanted line"]
    parts = [QueryPart("photo", [samples.picture(0)])]
    ranked = index.classify(parts, "meaning", classes)
    cosines = (index.embed("meaning", classes) @ index.embed("photo", [samples.picture(0)])[0]).tolist()
    assert [place for place, _ in ranked] == sorted(range(3), key=lambda place: -cosines[place])
    assert [share for _, share in ranked] == pytest.approx(sorted(cosines, reverse=True), abs=1e-5)
    with pytest.raises(ManymodalError, match="no classes"):
        index.classify(parts, "meaning", [])


def test_what_there_is(index, world):
    _data, space = world
    assert (index.items, index.d, index.engine, index.name) == (24, 16, "exact", "pets")
    assert index.fingerprint == space.fingerprint and index.calibrated and "csls" in index.corrections
    assert set(index.modalities) == set(samples.MODALITIES)
    captions, meaning, table = (index.modalities[m] for m in ("captions", "meaning", "table"))
    assert (captions.kind, captions.per, captions.queryable) == ("text", "item", True)
    texts = [row["captions"] or [] for row in made_rows()]
    assert (captions.items, captions.values) == (sum(map(bool, texts)), sum(map(len, texts)))
    assert (meaning.per, meaning.items, meaning.values) == ("label", 3, 3)
    assert table.cells["colour"].categories == sorted(samples.COLOURS) and table.cells["weight"].kind == "number"
    assert index.modalities["features"].width == 6 and index.modalities["trace"].width == 2
    assert {n: index.columns[n] for n in ("year", "seen", "tags", "colour")} == {
        "year": "number", "seen": "date", "tags": "list", "colour": "text"
    }  # fmt: skip
    item = index.item("a3")
    assert item.label == "disc" and item.columns["year"] == 1993 and len(item.values["captions"]) == 3
    assert "meaning" not in item.values and [one.place for one in item.values["captions"]] == [0, 1, 2]
    with pytest.raises(ManymodalError, match="no item 'b1'"):
        index.item("b1")


def test_sounds_and_large_pictures_are_kept_small(world, cache, tmp_path):
    _data, space = world
    row = dict(made_rows()[1])
    row |= {"id": "big", "photo": {"bytes": samples.picture(1, "BMP", size=900), "path": None}}
    more = mm.read_collection([row], schema=space.schema)
    index = Index.build(tmp_path / "x.index", more, space, cache=cache)
    content, kind = index.media("big", "photo")
    with Image.open(io.BytesIO(content)) as thumbnail:
        assert kind == "image/jpeg" and max(thumbnail.size) == 256
    content, kind = index.media("big", "speech")
    assert kind == "audio/wav" and soundfile.info(io.BytesIO(content)).frames == 3200
    bare = Index.build(tmp_path / "y.index", more, space, media=False, cache=cache)
    with pytest.raises(ManymodalError, match="nothing is kept"):
        bare.media("big", "photo")
    assert bare.search({"captions": "red"}, "photo", 1)[0].shown.type is None


def test_items_come_go_and_are_replaced(own, world, cache):
    _data, space = world
    gone = own.remove(["a1", "a2", "nobody"])
    assert (gone.removed, gone.absent) == (2, ["nobody"]) and own.items == 22
    everyone = {hit.id for hit in own.search({"captions": "red"}, "photo", 99)}
    assert not everyone & {"a1", "a2"} and "a3" in everyone
    changed = dict(made_rows()[3]) | {"captions": ["something else"], "photo": None, "year": 1}
    again = mm.read_collection([changed, made_rows()[1]], schema=space.schema)
    done = own.add(again, cache=cache)
    assert (done.added, done.replaced) == (1, 1) and own.items == 23
    assert own.item("a3").values["captions"][0].text == "something else" and len(own.item("a3").values["captions"]) == 1
    hits = own.search({"captions": "something else"}, "captions", 99)
    assert hits[0].id == "a3" and hits[0].score == pytest.approx(1, abs=1e-5) and hits[0].columns["year"] == 1
    assert "a3" not in {hit.id for hit in own.search({"captions": "red"}, "photo", 99)}
    past = Index.open(own._state.store.folder, version=gone.version)
    assert past.items == 22 and past.item("a3").columns["year"] == 1993 and not past.refresh()


def test_another_opens_what_one_wrote(own, world, cache):
    other = Index.open(own._state.store.folder)
    assert not other.refresh()
    own.remove(["a5"])
    assert "a5" in {hit.id for hit in other.search({"captions": "red"}, "captions", 99)}
    assert other.refresh() and other.items == 23
    assert "a5" not in {hit.id for hit in other.search({"captions": "red"}, "captions", 99)}
    before = other.search({"captions": "red"}, "captions", 99)
    own.compact()
    other.refresh()
    same_hits(other.search({"captions": "red"}, "captions", 99), before)


def test_the_space_is_remembered_by_name_or_by_copy(world, cache, tmp_path):
    data, space = world
    space.save(tmp_path / "space")
    by_name = Index.build(tmp_path / "a.index", data, space, space_folder=tmp_path / "space", cache=cache)
    assert not list((tmp_path / "a.index").glob("space*")) and list((tmp_path / "a.index").glob("index.json"))
    query = {"captions": "a red disc"}
    same_hits(Index.open(tmp_path / "a.index").search(query, "photo"), by_name.search(query, "photo"))
    _, other = fitted_space(cache, seed=5)
    other.save(tmp_path / "other")
    with pytest.raises(ManymodalError, match="was made by the space"):
        Index.open(tmp_path / "a.index", space=tmp_path / "other")
    with pytest.raises(ManymodalError, match="another space"):
        Index.build(tmp_path / "b.index", data, space, space_folder=tmp_path / "other", cache=cache)
    assert not (tmp_path / "b.index" / "index.json").exists()


def test_vectors_of_any_program_make_an_index(world, index, cache, tmp_path):
    data, space = world
    embeddings, ordinals = space.encode_with_ordinals(data, cache=cache)
    save_embeddings(tmp_path / "embedded", embeddings, ordinals, data, space.fingerprint, None)
    vectors = read_vectors(tmp_path / "embedded")
    bare = Index.build_from_vectors(tmp_path / "v.index", vectors)
    by_id = Request([QueryPart("captions", ids=["a3"])], "photo")
    same_hits(bare.search(by_id), index.search(by_id))
    assert bare.search(by_id)[0].columns["year"] == index.search(by_id)[0].columns["year"]
    assert bare.item("a3").values["captions"][1].text == "disc number 3"
    with pytest.raises(ManymodalError, match="no encoder"):
        bare.search({"captions": "red"}, "photo")
    space.save(tmp_path / "space")
    whole = Index.build_from_vectors(tmp_path / "w.index", vectors, space=tmp_path / "space")
    same_hits(whole.search({"captions": "red"}, "photo"), index.search({"captions": "red"}, "photo"))
    assert whole.remove(["a3"]).removed == 1
    assert whole.add_vectors(vectors) == (1, 23, whole.version, ())
    _, other = fitted_space(cache, seed=5)
    embeddings, ordinals = other.encode_with_ordinals(data, cache=cache)
    other.save(tmp_path / "other")
    save_embeddings(tmp_path / "elsewhere", embeddings, ordinals, data, other.fingerprint, None)
    with pytest.raises(ManymodalError, match="made by the space"):
        whole.add_vectors(read_vectors(tmp_path / "elsewhere"))


def test_what_is_there_is_not_overwritten_unasked(built, world, cache, tmp_path):
    data, space = world
    with pytest.raises(ManymodalError, match="index already"):
        Index.build(built, data, space, cache=cache)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(ManymodalError, match="not an index"):
        Index.build(tmp_path / "mine", data, space, cache=cache, overwrite=True)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"
    with pytest.raises(ManymodalError, match="not an index"):
        Index.open(tmp_path / "mine")
    few = mm.read_collection(made_rows()[:4], schema=space.schema)
    Index.build(tmp_path / "x.index", data, space, cache=cache)
    reader = Index.open(tmp_path / "x.index")
    Index.build(tmp_path / "x.index", few, space, cache=cache, overwrite=True)
    assert reader.items == 24 and reader.refresh() and reader.items == 4


def test_a_table_without_ids_is_not_added(own, world, cache):
    _data, space = world
    row = {name: cell for name, cell in made_rows()[0].items() if name != "id"}
    with pytest.raises(ManymodalError, match="no column of ids"):
        own.add(mm.read_collection([row], schema=space.schema), cache=cache)


@pytest.mark.parametrize(
    "request_, words",
    [
        (lambda: Request([], "photo"), "the query is empty"),
        (lambda: Request([QueryPart("captions", ["x"])], "photo", 0), "k=0"),
        (lambda: Request([QueryPart("captions", ["x"], weight=float("nan"))], "photo"), "not a finite number"),
        (lambda: Request([QueryPart("captions", ["x"])], "photo", fusion="sum"), "allowed are compose, rank"),
        (lambda: Request([QueryPart("captions", ["x"], weight=-1.0)], "photo", fusion="rank"), "above 0"),
        (lambda: Request([QueryPart("tail", ["x"])], "photo"), "no modality 'tail'"),
        (lambda: Request([QueryPart("captions", ["x"])], "tail"), "no target 'tail'"),
        (lambda: Request([QueryPart("captions")], "photo"), "every part of this one is empty"),
        (lambda: Request([QueryPart("captions", ids=["zz"])], "photo"), "no item 'zz'"),
        (lambda: Request([QueryPart("meaning", ids=["zz"])], "photo"), "no label 'zz'"),
        (lambda: Request([QueryPart("photo", ["a.png"])], "photo"), "str is never opened"),
        (lambda: Request([QueryPart("captions", vectors=torch.ones(1, 16))], "photo"), "unit norm"),
        (lambda: Request([QueryPart("captions", vectors=torch.ones(1, 3))], "photo"), "needed: (v, 16)"),
        (lambda: Request([QueryPart("features", [[1.0, 2.0]])], "photo"), "2 numbers"),
        (lambda: Request([QueryPart("table", [{"colour": 3}])], "photo"), "category"),
        (lambda: Request([QueryPart("captions", ["x"])], "photo", correct="luck"), "allowed are"),
    ],
)
def test_mistakes_are_named(index, request_, words):
    with pytest.raises(ManymodalError) as raised:
        index.search(request_())
    assert words in str(raised.value) and str(Path.cwd()) not in str(raised.value)


def test_features_of_queries_are_not_kept(index, tmp_path, monkeypatch):
    monkeypatch.setenv("MANYMODAL_CACHE", str(tmp_path / "cache"))
    index.search({"captions": "a secret"}, "photo")
    assert not (tmp_path / "cache").exists()
    assert np.isfinite(index.embed("captions", ["a", "b"]).numpy()).all()


def test_an_approximate_index_answers_like_an_exact_one(world, index, cache, tmp_path):
    data, space = world
    near = Index.build(tmp_path / "near.index", data, space, engine="lancedb", cache=cache)
    assert near.engine == "lancedb" and near.notes == []
    for query in ({"captions": "a red disc"}, {"photo": samples.picture(3), "captions": "blue"}):
        same_hits(near.search(query, "speech", 5), index.search(query, "speech", 5), 1e-4)
