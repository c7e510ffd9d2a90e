"""`manymodal search`: every way to ask. And options of `evaluate` and `embed` that need a space."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

import manymodal as mm
from manymodal.folder import load_embeddings, save_embeddings
from samples import MEANINGS, TEST, picture, rows, run, sound, write, write_config


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    table = write(folder, rows())
    ran = run(
        "fit", table, "--config", write_config(folder), "--out", folder / "pets", "--epochs", 1, "--device", "cpu"
    )
    assert ran.code == 0, ran.err
    return folder / "pets", table


def ask(world, *words, target="photo", k=5):
    ran = run("search", *world, *words, "--target", target, "-k", k, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def refusal(world, *words, target="photo"):
    ran = run("search", *world, *words, "--target", target)
    assert ran.code == 1 and not ran.out and len(ran.err.splitlines()) <= 2
    return ran.err


def test_files_are_asked_with_by_an_at_sign(world, tmp_path):
    first = rows()[0]
    (tmp_path / "p.png").write_bytes(picture(0))
    (tmp_path / "s.wav").write_bytes(sound(0))
    np.save(tmp_path / "v.npy", np.array(first["features"]))
    np.save(tmp_path / "t.npy", np.array(first["trace"]))
    (tmp_path / "c.json").write_text(json.dumps({"weight": 0.0, "colour": "red"}))
    (tmp_path / "w.txt").write_text("disc number 5", encoding="utf-8")
    files = {"photo": "p.png", "speech": "s.wav", "features": "v.npy", "trace": "t.npy", "table": "c.json"}
    for name, file in files.items():
        best = ask(world, "--query", f"{name}=@{tmp_path / file}", target=name)[0]
        assert best["id"] == "a0" and best["score"] == pytest.approx(1, abs=1e-4), name
    from_file = ask(world, "--query", f"captions=@{tmp_path / 'w.txt'}")
    assert from_file == ask(world, "--query", "captions=disc number 5")


def test_two_at_signs_are_one_that_is_meant(world, tmp_path):
    space, table = world
    data = mm.read_collection(table, schema=mm.load(space).schema)
    hits = mm.load(space).search({"captions": "@home"}, "photo", data, k=5)
    assert ask(world, "--query", "captions=@@home") == [hit.to_dict() for hit in hits]


def test_an_items_own_values(world):
    best = ask(world, "--query", "id:photo=a4", target="photo")[0]
    assert best["id"] == "a4" and best["score"] == pytest.approx(1, abs=1e-5)
    texts = rows()[3]["captions"]
    of_item = ask(world, "--query", "id:captions=a3")
    assert of_item == ask(world, *(word for text in texts for word in ("--query", f"captions={text}")))
    label = ask(world, "--query", "id:meaning=a1", target="meaning")[0]
    assert label["id"] == "frame" and label["columns"] == {}


def test_parts_weights_and_without(world):
    both = ("--query", "captions=red disc", "--query", f"meaning={MEANINGS['disc']}")
    plain, weighted = ask(world, *both, k=1), ask(world, *both, "--weight", "meaning=0.25", k=99)
    assert set(plain[0]["parts"]) == {"captions", "meaning"}
    same = next(hit for hit in weighted if hit["id"] == plain[0]["id"])
    assert same["parts"] == pytest.approx(plain[0]["parts"]) and same["score"] != pytest.approx(plain[0]["score"])
    without = ask(world, *both, "--without", "captions=green", k=1)[0]
    assert set(without["parts"]) == {"captions", "meaning", "-captions"}


def test_a_split_is_searched_alone(world):
    hits = ask(world, "--query", "captions=red", "--split", "test", k=99)
    assert sorted(hit["id"] for hit in hits) == sorted(f"a{i}" for i in TEST)


def test_hits_are_a_table_for_people(world):
    ran = run(
        "search", *world, "--query", "captions=red disc", "--query", "id:photo=a1", "--target", "captions", "-k", 30
    )
    assert ran.code == 0
    heading, *lines = (
        [c.strip() for c in line.split("│")[1:-1]]
        for line in ran.out.replace("┃", "│").splitlines()
        if "│" in line or "┃" in line
    )
    assert heading[:6] == ["", "id", "score", "~ captions", "~ photo", "split"] and "colour" in heading
    hits = [line for line in lines if line[0]]
    assert len(hits) == 18  # items with captions
    assert all(float(cell) <= 1 for line in hits for cell in line[2:5])  # figures are never cut off


def test_cells_are_shown_as_they_are(world, tmp_path):
    made = [row | {"captions": ["[/bold] :smile: [red]"]} for row in rows()]
    table = write(tmp_path, made)
    ran = run("search", world[0], table, "--query", "captions=red", "--target", "captions", "-k", 1)
    assert ran.code == 0 and "[/bold] :smile: [red]" in ran.out


def test_what_cannot_be_asked_is_refused_in_words(world, tmp_path):
    assert "no modality 'smell'; there are" in refusal(world, "--query", "smell=sweet")
    assert "no modality 'smell'" in refusal(world, "--query", "captions=red", target="smell")
    assert "write NAME=VALUE" in refusal(world, "--query", "captions")
    assert "'photo' is image; give a picture as photo=@FILE" in refusal(world, "--query", "photo=cat.png")
    assert "nowhere.png: No such file" in refusal(world, "--query", f"photo=@{tmp_path / 'nowhere.png'}")
    assert "'a7' has no value in 'photo'" in refusal(world, "--query", "id:photo=a7")
    assert "no item with id 'b1'" in refusal(world, "--query", "id:photo=b1")
    assert "write NAME=NUMBER" in refusal(world, "--query", "captions=red", "--weight", "captions=much")
    assert "not a finite number" in refusal(world, "--query", "captions=red", "--weight", "captions=nan")
    np.save(tmp_path / "five.npy", np.zeros(5))
    assert "5" in refusal(world, "--query", f"features=@{tmp_path / 'five.npy'}")
    for name, content in {"empty.npy": b"", "odd.npy": b"PK\x03\x04", "words.npy": b"no array"}.items():
        (tmp_path / name).write_bytes(content)
        assert "does not hold what was asked for" in refusal(world, "--query", f"features=@{tmp_path / name}")
    np.savez(tmp_path / "several.npz", a=np.zeros(6))
    assert "does not hold what was asked for" in refusal(world, "--query", f"features=@{tmp_path / 'several.npz'}")
    (tmp_path / "list.json").write_text("[1]")
    assert "table" in refusal(world, "--query", f"table=@{tmp_path / 'list.json'}")
    (tmp_path / "not.png").write_text("no picture")
    assert "query, photo: not a picture" in refusal(world, "--query", f"photo=@{tmp_path / 'not.png'}")


def test_options_of_evaluate(world, tmp_path):
    words = ("--directions", "photo+captions->speech", "--directions", "speech->photo", "--unit", "item")
    ran = run(
        "evaluate", *world, "--split", "all", *words, "--bootstrap", 20, "--parts", "any", "--out", tmp_path / "r"
    )
    assert ran.code == 0, ran.err
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    assert report["split"] == "all" and report["items"] == 24
    assert report["settings"] == {"unit": "item", "match": "item", "parts": "any", "bootstrap": 20}
    assert [(e["query"], e["target"]) for e in report["directions"]] == [
        (["captions", "photo"], ["speech"]),
        (["speech"], ["photo"]),
    ]
    low, high = report["directions"][0]["ci"]["hit@1"]
    assert 0 <= low <= report["directions"][0]["hit@1"] <= high <= 1
    by_label = run("evaluate", *world, "--match", "label", "--directions", "photo->speech", "--out", tmp_path / "l")
    assert by_label.code == 0
    assert {e["match"] for e in json.loads((tmp_path / "l" / "report.json").read_text())["directions"]} == {"label"}
    wrong = run("evaluate", *world, "--directions", "photo->smell")
    assert wrong.code == 1 and "smell" in wrong.err


def test_embeddings_of_a_split(world, tmp_path):
    ran = run("embed", *world, "--split", "test", "--out", tmp_path / "v")
    assert ran.code == 0
    assert pq.read_table(tmp_path / "v" / "items.parquet")["item"].to_pylist() == list(TEST)
    embeddings = load_embeddings(tmp_path / "v")
    assert embeddings.items["captions"].tolist() == [3, 3, 3, 13, 18, 18]
    assert load_file(tmp_path / "v" / "captions.safetensors")["values"].tolist() == [0, 1, 2, 0, 0, 1]
    again = run("embed", *world, "--split", "dev", "--out", tmp_path / "v")  # takes the place of what it wrote itself
    assert again.code == 0 and 3 not in load_embeddings(tmp_path / "v").items["captions"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear you")
    refused = run("embed", *world, "--out", tmp_path / "other")
    assert refused.code == 1 and "holds no embeddings" in refused.err
    assert (tmp_path / "other" / "letter.txt").exists()


def test_a_values_place_counts_gaps_and_broken_values(world, tmp_path):
    space = mm.load(world[0])
    broken = {"bytes": picture(0)[:40], "path": "0.png"}
    made = [row | {"captions": [None, *(row["captions"] or ())]} for row in rows()]
    data = mm.read_collection(made, schema=space.schema)
    hit = space.search({"captions": "disc number 3"}, "captions", data, k=1)[0]
    assert (hit.id, hit.value) == ("a3", 2) and hit.columns["captions"][hit.value] == "disc number 3"
    table = write(tmp_path, made, "parquet")
    assert run("embed", world[0], table, "--out", tmp_path / "v", "--split", "test").code == 0
    assert load_file(tmp_path / "v" / "captions.safetensors")["values"].tolist() == [1, 2, 3, 1, 1, 2]
    photos = [{"id": i, "photos": [broken, {"bytes": picture(i), "path": ""}], "words": f"{i}"} for i in range(12)]
    config = {"modalities": {"photos": {"kind": "image", "options": {"size": 16}}, "words": {"kind": "text"}}}
    data = mm.read_collection(photos, config=config, on_bad_value="skip")
    space = mm.Space.for_collection(data, dim=4)
    assert {hit.value for hit in space.search({"words": "3"}, "photos", data)} == {1}


def test_plain_columns_are_kept_under_a_name_that_is_free(tmp_path):
    made = [{"item": f"no. {i}", "label": f"tag {i}", "kind": "ab"[i % 2], "a": [1.0, i]} for i in range(20)]
    data = mm.read_collection(
        made,
        config={"label": "kind", "modalities": {"b": {"kind": "vector", "column": "a"}}, "ignore": ["item", "label"]},
    )
    embeddings = mm.Embeddings({"b": torch.eye(20)}, {"b": torch.arange(20)})
    save_embeddings(tmp_path / "v", embeddings, {"b": torch.zeros(20, dtype=torch.int64)}, data, None, None)
    row = pq.read_table(tmp_path / "v" / "items.parquet").to_pylist()[3]
    assert {"item": 3, "item_": "no. 3", "label": 1, "label_": "tag 3", "kind": "b", "id": "3"}.items() <= row.items()
