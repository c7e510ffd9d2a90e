"""The whole way through in Python: every kind of column, missing and several values, from rows to hits and back."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import normalize

import manymodal as mm
import samples
from manymodal import ManymodalError, querying
from manymodal.demo.faces import FACES
from manymodal.demo.glyphs import GLYPH_CONFIG, glyph_table
from manymodal.embeddings import Embeddings
from manymodal.objectives import PCMR
from manymodal.showing import names_of

SETTINGS = {"epochs": 3, "batch_size": 8}


def fitted(rows, cache, seed=0, encoders=None, **settings):
    data = mm.read_collection(rows, config=samples.CONFIG)
    space = mm.Space.for_collection(data, dim=16, seed=seed, encoders=encoders, cache=cache)
    return data, space.fit(data, cache=cache, device="cpu", **{**SETTINGS, **settings})


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("features")


@pytest.fixture(scope="module")
def pets(cache):
    """(collection, space) of all kinds; tests leave both as they are."""
    return fitted(samples.rows(), cache)


@pytest.fixture(scope="module")
def saved(pets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "pets"
    pets[1].save(folder)
    return folder


def same(one, other, tolerance=1e-6):
    assert one.modalities == other.modalities
    for m in one.modalities:
        torch.testing.assert_close(one.vectors[m], other.vectors[m], rtol=0, atol=tolerance)
        assert torch.equal(one.items[m], other.items[m])


def vector_of(space, **row):
    """{modality: (d,)} of one row's values, by the way of a collection."""
    embeddings = space.encode(mm.read_collection([row], schema=space.schema), modalities=list(row))
    return {m: embeddings.vectors[m][0] for m in row}


# -- encode and evaluate -----------------------------------------------------------------------------------------------


def test_every_value_is_encoded_and_no_gap_is(pets):
    data, space = pets
    embeddings = space.encode(data)
    assert list(embeddings.modalities) == samples.MODALITIES and embeddings.dim == 16
    rows = samples.rows()
    expected = {m: [i for i, row in enumerate(rows) if row[m]] for m in ("photo", "features", "trace", "speech")}
    expected["captions"] = [i for i, row in enumerate(rows) for _ in row["captions"] or ()]
    expected["table"] = list(range(len(rows)))  # item 13 still has a colour
    for m, items in expected.items():
        assert embeddings.items[m].tolist() == items, m
        assert embeddings.labels[m].tolist() == [data.label_names.index(rows[i]["shape"]) for i in items]
    assert embeddings.per_label("meaning")
    assert sorted(embeddings.labels["meaning"].tolist()) == [0, 1, 2]


def test_a_split_is_encoded_alone(pets):
    data, space = pets
    embeddings = space.encode(data, "test", ["photo", "captions"])
    assert embeddings.modalities == ("captions", "photo")
    assert embeddings.items["photo"].tolist() == list(samples.TEST)
    assert embeddings.items["captions"].tolist() == [3, 3, 3, 13, 18, 18]


def test_every_direction_is_measured_and_gaps_are_counted(pets):
    data, space = pets
    report = space.evaluate(data, "test")
    by_value, by_item = (report.find("captions", "photo", unit) for unit in ("value", "item"))
    assert (by_value.queries, by_item.queries, by_value.gallery) == (6, 3, 4)
    assert by_value.skipped == by_item.skipped == {"part": 1, "match": 0}
    assert report.find("photo", "captions", "value").skipped == {"part": 0, "match": 1}  # item 8 has no caption
    to_label = report.find("photo", "meaning", "value")
    assert to_label.match == "label" and to_label.queries == 4 and to_label.gallery == 3
    rest = [m for m in samples.MODALITIES if m != "photo"]
    assert report.find(rest, "photo").queries == 3  # item 8 lacks a part
    assert all(0 <= entry["hit@1"] <= 1 for entry in report.directions if entry.queries)


def test_the_schemas_leaks_are_named(cache):
    data = mm.read_collection(samples.rows(), config={**samples.CONFIG, "same_source": [["captions", "speech"]]})
    space = mm.Space.for_collection(data, dim=8, cache=cache)
    leaking = {str(entry.direction) for entry in space.evaluate(data, "test").directions if entry.leak}
    assert {"captions->speech", "speech->captions"} <= leaking and "photo->speech" not in leaking


# -- fit ---------------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_space_and_another_seed_another(pets, cache):
    data, space = pets
    again, other = (fitted(samples.rows(), cache, seed)[1].encode(data, "test") for seed in (0, 1))
    same(space.encode(data, "test"), again, 0)
    assert (again.vectors["photo"] - other.vectors["photo"]).abs().max() > 0.01


def test_fit_keeps_a_history_and_the_best_epoch(pets):
    history = pets[1].history
    assert [epoch["epoch"] for epoch in history.epochs] == [1, 2, 3]
    scores = [epoch["dev"] for epoch in history.epochs]
    assert scores[history.best_epoch - 1] == max(scores)
    assert "captions/photo" in history.epochs[0]["pairs"]


def test_dev_rows_that_match_nothing_keep_the_last_weights(cache):
    """Dev items with a label that has a value, and with no value of their own to match it."""
    rows = [row | ({"split": "train"} if row["split"] != "test" else {}) for row in samples.rows()]
    bare = dict.fromkeys(("photo", "captions", "features", "trace", "speech", "weight", "colour"))
    rows += [rows[i] | bare | {"id": f"dev {i}", "split": "dev"} for i in range(3)]
    space = fitted(rows, cache, epochs=1)[1]
    assert space.notes[0] == "no dev rows with a match: the last weights were kept, not the best"


def test_what_cannot_be_fitted_is_refused_in_words(pets, cache):
    data, space = pets
    for objective, said in (
        ({"pcmc": {"weights": {"captions/smell": 2}}}, "weights name 'smell'"),
        ({"pcmr": {"lam": "much"}}, "objective pcmr: a setting in .* is of a wrong type"),
        ({"pcmr": {"weights": 3}}, "weights=3; allowed are"),
        ({"pcmr": 5}, "objective .*; write a name"),
        (["pcmr"], "objective .*; write a name"),
    ):
        with pytest.raises(ManymodalError, match=f"^{said}"):
            mm.Space.for_collection(data, dim=4, objective=objective, cache=cache).fit(data, epochs=1, cache=cache)
    config = {"modalities": {"photo": {"kind": "image", "options": {"size": "64"}}}}
    with pytest.raises(ManymodalError, match=r"'photo': encoder 'image' cannot use \{'size': '64'\}"):
        mm.Space.for_collection(mm.read_collection(samples.rows(), config=config), cache=cache)
    with pytest.raises(ManymodalError, match="no objective 'pcmx'"):
        mm.Space.for_collection(data, objective="pcmx")
    with pytest.raises(ManymodalError, match="no modality 'photos'; did you mean 'photo'"):
        mm.Space.for_collection(data, encoders={"photos": space.towers["photo"].encoder}, cache=cache)
    with pytest.raises(ManymodalError, match="device 'abacus' cannot be used here"):
        mm.Space.for_collection(data, dim=4, cache=cache).fit(data, device="abacus", cache=cache)


def test_an_objective_itself_and_folders_as_strings(cache, tmp_path):
    data = mm.read_collection(samples.rows(), config=samples.CONFIG)
    space = mm.Space.for_collection(data, dim=4, objective=PCMR(lam=5), cache=str(cache))
    space.fit(data, epochs=2, folder=str(tmp_path), checkpoint_seconds=0, device="cpu", cache=str(cache))
    assert space.objective.lam == 5 and (tmp_path / "checkpoint.pt").exists()
    space.evaluate(data, progress=lambda done, of: None).save(tmp_path / "report")
    assert json.loads((tmp_path / "report" / "report.json").read_text())["settings"] == {"bootstrap": 1000}


def test_it_overfits_glyphs(cache):
    """128 characters, each drawn in every face and unlike all others, are learned by heart."""
    table = glyph_table(250).to_pylist()
    families = [row["family"] for row in table]
    whole = [row for row in table if all(row[face] for face in FACES) and families.count(row["family"]) == 1][:128]
    assert len(whole) == 128
    names = ("sans", "serif", "name")
    rows = [{key: row[key] for key in ("id", *names)} | {"split": "train"} for row in whole]
    rows.append({"id": "alone", "name": "nothing matches this, so that the last weights are kept", "split": "dev"})
    small = {"kind": "image", "options": {"size": 16, "augment": 0}}
    config = {**dict.fromkeys(("sans", "serif"), small), "name": GLYPH_CONFIG["modalities"]["name"]}
    data = mm.read_collection(rows, config={"modalities": config})
    space = mm.Space.for_collection(data, dim=64, head={"dropout": 0.0}, cache=cache)
    space.fit(data, epochs=40, batch_size=64, lr=3e-3, device="cpu")
    assert space.notes == ["no dev rows with a match: the last weights were kept, not the best"]
    report = space.evaluate(data, "train")
    missed = {str(e.direction): e["hit@1"] for e in report.directions if e["hit@1"] <= 0.95}
    assert not missed and len(report.directions) == 21  # six singles and three to the rest in two units, three pairs


# -- save and load -----------------------------------------------------------------------------------------------------


def test_a_saved_space_is_four_plain_files(pets, saved):
    names = sorted(path.name for path in saved.iterdir())
    assert names == ["README.md", "bank.safetensors", "config.json", "weights.safetensors"]
    config = json.loads((saved / "config.json").read_text())
    assert config["schema"]["modalities"]["meaning"]["per"] == "label"
    assert config["fingerprint"] == pets[1].fingerprint
    card = (saved / "README.md").read_text()
    assert "| photo | image | photo | image |" in card and "mm.load" in card
    assert not [path.name for path in saved.parent.iterdir() if path.name != "pets"]  # nothing is left aside


def test_a_fresh_process_without_the_data_gives_the_same_embeddings(pets, saved, tmp_path):
    data, space = pets
    few = samples.write(tmp_path, samples.rows()[:9])
    code = (
        "import sys, manymodal as mm\nfrom pathlib import Path\nfrom safetensors.torch import save_file\n"
        "space, table, out = sys.argv[1:]\nspace = mm.load(space)\n"
        "vectors = space.encode(mm.read_collection(table, schema=space.schema)).vectors\n"
        "save_file({m: v.contiguous() for m, v in vectors.items()}, out)\n"
        "assert not {'transformers', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, saved, few, tmp_path / "out.safetensors"], check=True, timeout=60)
    expected = space.encode(mm.read_collection(few, schema=space.schema)).vectors
    found = load_file(tmp_path / "out.safetensors")
    assert set(found) == set(expected)
    for m, vectors in expected.items():
        torch.testing.assert_close(found[m], vectors, rtol=0, atol=1e-6)
    everything = space.encode(data)  # a value's embedding does not depend on what it is read with
    torch.testing.assert_close(found["photo"], everything.vectors["photo"][: len(found["photo"])], rtol=0, atol=1e-5)


def test_a_loaded_space_is_the_one_that_was_saved(pets, saved, tmp_path):
    data, space = pets
    loaded = mm.load(saved)
    same(loaded.encode(data), space.encode(data))
    assert (loaded.schema, loaded.history, loaded.notes) == (space.schema, space.history, space.notes)
    assert loaded.fingerprint == space.fingerprint and loaded.settings == space.settings
    assert loaded.objective.auto.learned == space.objective.auto.learned != {}
    assert loaded.evaluate(data).to_json()["space"] == loaded.fingerprint
    assert loaded.evaluate(data).to_json() == space.evaluate(data).to_json()
    loaded.save(tmp_path / "again")
    assert samples.contents(tmp_path / "again")["weights.safetensors"] == (saved / "weights.safetensors").read_bytes()


def test_saving_replaces_a_space_unless_told_otherwise_and_nothing_else(pets, saved, tmp_path):
    space = pets[1]
    with pytest.raises(ManymodalError, match="exists"):
        space.save(saved, overwrite=False)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("you")
    with pytest.raises(ManymodalError, match="not a space"):
        space.save(tmp_path / "letters")
    assert samples.contents(tmp_path) == {"letters/dear.txt": b"you"}


def test_an_encoder_of_ones_own(cache, tmp_path):
    @mm.register("length of a text")
    class Length(mm.Encoder):
        kind, width = "text", 2

        def tensor(self, value):
            return torch.tensor([float(len(value)), float("round" in value)])  # (2,)

        def forward(self, values):
            return values.data

        def settings(self):
            return {}

    data, space = fitted(samples.rows(), cache, encoders={"captions": Length()}, epochs=1)
    assert type(space.towers["captions"].encoder) is Length
    space.save(tmp_path / "own")
    loaded = mm.load(tmp_path / "own")
    assert type(loaded.towers["captions"].encoder) is Length
    same(loaded.encode(data), space.encode(data))


# -- later tables are read by the schema -------------------------------------------------------------------------------


def test_an_absent_column_is_a_modality_missing_everywhere_and_that_is_said(saved, pets):
    space = mm.load(saved)
    rows = [{key: value for key, value in row.items() if key not in ("photo", "meaning")} for row in samples.rows()]
    data = mm.read_collection(rows, schema=space.schema)
    assert "photo: missing everywhere (no column 'photo')" in data.notes
    embeddings = space.encode(data)
    assert embeddings.vectors["photo"].shape == embeddings.vectors["meaning"].shape == (0, 16)
    torch.testing.assert_close(embeddings.vectors["trace"], space.encode(pets[0]).vectors["trace"])
    report = space.evaluate(data, "test")
    assert report.find("captions", "trace", "item").queries == 3
    assert not [entry for entry in report.directions if "photo" in entry.direction.query and entry.queries]
    assert space.search({"captions": "red"}, "photo", data) == []


def test_a_column_of_another_type_is_refused_by_name(saved):
    space = mm.load(saved)
    rows = [row | {"features": f"vector {i}"} for i, row in enumerate(samples.rows())]
    with pytest.raises(ManymodalError, match=r"'features': column 'features' is string; the schema says one vector"):
        mm.read_collection(rows, schema=space.schema)
    longer = [row | {"features": [0.0] * 7} for row in samples.rows()]
    with pytest.raises(ManymodalError, match="7 numbers, the others 6"):
        mm.read_collection(longer, schema=space.schema)


def test_further_columns_are_plain_and_shown(saved):
    space = mm.load(saved)
    rows = [row | {"keeper": f"keeper of {row['id']}", "shape": "star"} for row in samples.rows()]
    data = mm.read_collection([row | {"meaning": "five points"} for row in rows], schema=space.schema)
    assert list(space.encode(data).modalities) == samples.MODALITIES
    hit = space.search({"captions": "red"}, "trace", data, k=1)[0]
    assert hit.columns["keeper"] == f"keeper of {hit.id}"
    assert space.search({"captions": "red"}, "meaning", data)[0].id == "star"  # a label that training never saw


# -- search ------------------------------------------------------------------------------------------------------------


def test_a_values_own_item_and_place_are_found(pets):
    data, space = pets
    hit = space.search({"captions": "disc number 3"}, "captions", data, k=1)[0]
    assert (hit.id, hit.value) == ("a3", 1) and hit.score == pytest.approx(1, abs=1e-5)
    assert hit.columns["captions"][hit.value] == "disc number 3"


def test_hits_say_why_they_were_found(pets):
    data, space = pets
    query = {"captions": "green stroke", "photo": samples.picture(5)}
    hits = space.search(query, "speech", data, k=5, calibrated=False)
    assert len(hits) == 5 and [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    part = vector_of(space, captions=["green stroke"], photo={"bytes": samples.picture(5), "path": None})
    gallery = space.encode(data)
    for hit in hits:
        row = gallery.items["speech"].tolist().index(data.row_of(hit.id))
        value = gallery.vectors["speech"][row]
        assert hit.parts == pytest.approx({m: float(v @ value) for m, v in part.items()}, abs=1e-5)
        assert hit.score == pytest.approx(float(normalize(sum(part.values()), dim=0) @ value), abs=1e-5)
        assert hit.columns["colour"] == samples.rows()[data.row_of(hit.id)]["colour"]


def test_weights_and_what_hits_should_be_without(pets):
    data, space = pets
    query = {"captions": "green stroke", "photo": samples.picture(5)}
    part = vector_of(space, captions=["green stroke"], photo={"bytes": samples.picture(5), "path": None})
    value = space.encode(data).vectors["trace"][0]

    def score(**options):
        hits = space.search(query, "trace", data, k=99, calibrated=False, **options)
        return next(hit for hit in hits if hit.id == "a0")

    weighted = normalize(part["captions"] + 0.25 * part["photo"], dim=0)
    assert score(weights={"photo": 0.25}).score == pytest.approx(float(weighted @ value), abs=1e-5)
    assert score(weights={"photo": 0.25}).parts == pytest.approx(score().parts)  # these are unweighted
    against = vector_of(space, captions=["a red disc"])["captions"]
    without = score(without={"captions": "a red disc"})
    assert set(without.parts) == {"captions", "photo", "-captions"}
    assert without.parts["-captions"] == pytest.approx(float(against @ value), abs=1e-5)
    composed = normalize(part["captions"] + part["photo"] - 0.5 * against, dim=0)
    assert without.score == pytest.approx(float(composed @ value), abs=1e-5)
    with pytest.raises(ManymodalError, match="weight for 'speech', which is no part"):
        space.search(query, "trace", data, weights={"speech": 2.0})


def test_labels_are_found_by_name(pets):
    data, space = pets
    hits = space.search({"photo": samples.picture(0)}, "meaning", data)
    assert sorted(hit.id for hit in hits) == sorted(samples.SHAPES)
    asked = space.search({"meaning": samples.MEANINGS["frame"]}, "meaning", data)[0]
    assert asked.id == "frame" and asked.score == pytest.approx(1, abs=1e-5)


def test_k_beyond_the_items_gives_all_that_have_a_value(pets):
    data, space = pets
    assert len(space.search({"captions": "red"}, "photo", data, k=1000)) == samples.ITEMS - 1
    found = space.search({"captions": "red"}, "photo", data, k=1000, split="test")
    assert sorted(hit.id for hit in found) == sorted(f"a{i}" for i in samples.TEST)
    with pytest.raises(ManymodalError, match="k=0"):
        space.search({"captions": "red"}, "photo", data, k=0)


def test_a_str_is_never_opened(pets, tmp_path):
    data, space = pets
    (tmp_path / "red.png").write_bytes(samples.picture(0))
    (tmp_path / "red.txt").write_text("a red disc")
    assert space.search({"photo": tmp_path / "red.png"}, "captions", data)
    for name in ("photo", "speech"):
        with pytest.raises(ManymodalError, match="a str is never opened"):
            space.search({name: str(tmp_path / "red.png")}, "captions", data)
    path = str(tmp_path / "red.txt")
    hit = space.search({"captions": path}, "trace", data, k=1)[0]
    words = vector_of(space, captions=[path])["captions"]
    gallery = space.encode(data, modalities=["trace"])
    value = gallery.vectors["trace"][gallery.items["trace"].tolist().index(data.row_of(hit.id))]
    assert hit.score == pytest.approx(float(words @ value), abs=1e-5)  # of the path's letters, not of the file


def test_queries_come_as_arrays_and_lists_too(pets):
    data, space = pets
    first = samples.rows()[0]
    vector, trace = first["features"], first["trace"]
    for query in (
        {"features": vector},
        {"features": np.array(vector)},
        {"features": [np.array(vector, dtype=np.float32)]},
        {"features": list(np.array(vector, dtype=np.float32))},
        {"trace": trace},
        {"trace": np.array(trace)},
        {"table": {"weight": 0.0, "colour": "red"}},
    ):
        [name] = query
        hit = space.search(query, name, data, k=1)[0]
        assert hit.id == "a0" and hit.score == pytest.approx(1, abs=1e-5)
    two = space.search({"captions": ["red", "a red disc"]}, "photo", data, k=3)
    assert len(two) == 3


def test_what_cannot_be_asked_is_refused(pets):
    data, space = pets
    with pytest.raises(ManymodalError, match="query is empty"):
        space.search({}, "photo", data)
    with pytest.raises(ManymodalError, match="no modality 'smell' in this space"):
        space.search({"smell": "sweet"}, "photo", data)
    with pytest.raises(ManymodalError, match="no modality 'smell'"):
        space.search({"captions": "red"}, "smell", data)
    with pytest.raises(ManymodalError, match=r"query, features: .*5"):
        space.search({"features": [0.0] * 5}, "photo", data)
    for query in ({"features": [0.0] * 5 + ["a"]}, {"trace": [[1.0, 2.0], [3.0]]}):
        with pytest.raises(ManymodalError, match=r"query, .*: not an array of numbers"):
            space.search(query, "photo", data)


def test_a_fit_forgets_the_galleries_of_the_space_before(cache):
    data, space = fitted(samples.rows(), cache, epochs=1)
    before = space.search({"captions": "red"}, "photo", data, k=3)
    space.fit(data, epochs=2, batch_size=8, lr=0.01, device="cpu")
    after = space.search({"captions": "red"}, "photo", data, k=3)
    assert [hit.score for hit in before] != [hit.score for hit in after]
    fresh = mm.read_collection(samples.rows(), schema=space.schema)
    assert after == space.search({"captions": "red"}, "photo", fresh, k=3)


# -- what a space keeps beside its weights -------------------------------------------------------------------------------


def test_a_fitted_space_keeps_train_embeddings_and_calibrated_weights(pets, saved):
    data, space = pets
    same(space.reference.bank, space.encode(data, "train"))  # few enough to keep them all
    targets = space.reference.calibration.weights
    assert set(targets) <= set(space.schema.modalities) and all(m not in weights for m, weights in targets.items())
    loaded = mm.load(saved)
    assert loaded.reference.calibration == space.reference.calibration
    same(loaded.reference.bank, space.reference.bank, tolerance=1e-3)  # kept in half precision
    assert "bank.safetensors" in (saved / "README.md").read_text()


def test_a_space_of_an_earlier_version_is_calibrated_anew(pets, saved, tmp_path):
    data, space = pets
    shutil.copytree(saved, tmp_path / "old")
    (tmp_path / "old" / "bank.safetensors").unlink()
    config = json.loads((tmp_path / "old" / "config.json").read_text())
    del config["calibration"]
    (tmp_path / "old" / "config.json").write_text(json.dumps(config))
    old = mm.load(tmp_path / "old")
    assert old.reference.bank is None and old.reference.calibration is None
    assert all(entry.calibrated is None for entry in old.evaluate(data, bootstrap=None).directions)
    with pytest.raises(ManymodalError, match=r"space.calibrate\(data\)"):
        old.search({"captions": "a red disc"}, "photo", data, correct="nnn")
    with pytest.raises(ManymodalError, match=r"nnn, csls: that takes .*space.calibrate\(data\)"):
        old.evaluate(data, correct=["nnn", "csls"])  # not --train, which is for vectors of another program
    assert old.calibrate(data).reference.calibration == space.reference.calibration


def test_a_search_weighs_parts_as_calibrated_and_by_the_users_word(pets):
    data, space = pets
    parts = {"captions": "a red disc", "features": [1.0] * 6}
    worth = space.reference.calibration.of(list(parts), ["photo"])
    calibrated = space.search(parts, "photo", data)
    by_hand = space.search(parts, "photo", data, weights=worth, calibrated=False)
    assert [(h.id, pytest.approx(h.score)) for h in calibrated] == [(h.id, h.score) for h in by_hand]
    twice = {name: 2 * weight for name, weight in worth.items()}
    assert space.search(parts, "photo", data, weights=dict.fromkeys(parts, 2.0))[0].score == pytest.approx(
        space.search(parts, "photo", data, weights=twice, calibrated=False)[0].score
    )


def test_a_correction_is_estimated_once_for_queries_alike_and_anew_with_the_bank(pets, saved, monkeypatch):
    data, _ = pets
    space, counted = mm.load(saved), []
    fit_correction = querying.fit_correction
    monkeypatch.setattr(querying, "fit_correction", lambda *words: counted.append(words) or fit_correction(*words))

    def search(**options):
        return space.search({"captions": "a red disc"}, "photo", data, correct="nnn", **options)

    assert search() == search() and len(counted) == 1
    search(split="train"), search(weights={"captions": 2.0})  # the only part: a weight says nothing
    assert len(counted) == 2
    query = {"captions": "a red disc", "features": [1.0] * 6}
    for weight in (1.0, 2.0, 1.0):
        space.search(query, "photo", data, correct="nnn", weights={"features": weight})
    assert len(counted) == 4
    space.calibrate(data)
    search()
    assert len(counted) == 5


@pytest.mark.parametrize("method", ["csls", "mean_removal"])
def test_a_correction_that_knows_nothing_of_the_query_is_refused(pets, saved, method):
    data, _ = pets
    space = mm.load(saved)
    bank = space.reference.bank
    gone = torch.zeros(0, dtype=torch.int64)
    space.reference.bank = Embeddings(
        *(
            {m: part[m][gone] if m == "captions" else part[m] for m in part}
            for part in (bank.vectors, bank.items, bank.labels)
        )
    )
    with pytest.raises(ManymodalError, match=f"{method}: no train item that was kept has .*captions"):
        space.search({"captions": "a red disc"}, "photo", data, correct=method)


@pytest.mark.parametrize("method", ["qb_norm", "nnn", "csls", "mean_removal"])
def test_a_corrected_search_is_the_corrected_evaluation(pets, method):
    data, space = pets
    (entry,) = space.evaluate(data, "train", directions=["features->photo"], unit="value", correct=[method]).directions
    embeddings = space.encode(data, "train")
    hits = []
    for item in set(embeddings.items["features"].tolist()) & set(embeddings.items["photo"].tolist()):
        query = {"features": data.value_of("features", data.ids[item])[0]}
        found = space.search(query, "photo", data, 1, split="train", correct=method)
        hits.append(found[0].id == data.ids[item])
    assert entry.queries == len(hits) and entry.corrected[method]["hit@1"] == pytest.approx(sum(hits) / len(hits))


def test_what_the_measured_items_have_had_a_part_in_is_said(pets):
    data, space = pets
    notes = {s: space.evaluate(data, s, directions=["photo->speech"], correct=["csls"]).notes for s in ("dev", "test")}
    assert notes["test"] == [] and len(notes["dev"]) == 1 and "fitted on dev" in notes["dev"][0]
    learned = space.evaluate(data, "train", directions=["photo->speech"], correct=["csls"], calibrated=False)
    assert ["bank" in note for note in learned.notes] == [True, False] and "learned" in learned.remarks()[1]
    assert learned.to_json()["notes"] == learned.notes


def test_values_are_shown_in_a_report(pets):
    data, space = pets
    embeddings, ordinals = space.encode_with_ordinals(data, "test")
    names = names_of(data, embeddings, ordinals)
    for m in embeddings.modalities:
        for row in range(len(embeddings.vectors[m])):
            shown = names.show(m, row)
            assert shown.text and (shown.picture is not None) == (m in ("photo", "trace"))
    row = 1
    item, place = int(embeddings.items["captions"][row]), int(ordinals["captions"][row])
    assert names.show("captions", row).text == samples.rows()[item]["captions"][place]
    label = data.label_names[int(embeddings.labels["meaning"][0])]
    assert names.show("meaning", 0).text == samples.MEANINGS[label]
