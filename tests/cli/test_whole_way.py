"""From a table to search on the command line, for each form that a table comes in."""

import json

import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import manymodal as mm
from manymodal.folder import load_embeddings
from samples import ITEMS, MODALITIES, TEST, rows, run, write, write_config

METRICS = {f"{name}@{k}" for name in ("hit", "recall", "ndcg") for k in (1, 5, 10)} | {
    "mrr",
    "median_rank",
    "map",
    "r_precision",
}


@pytest.fixture(scope="module", params=["parquet", "csv", "jsonl"])
def world(request, tmp_path_factory):
    """A folder with `pets.<form>` and the space `pets` fitted to it; nothing else is written into it."""
    folder = tmp_path_factory.mktemp(request.param)
    table = write(folder, rows(), request.param)
    ran = run("fit", table, "--config", write_config(folder), "--out", folder / "pets", "--device", "cpu")
    assert ran.code == 0, ran.err
    assert "split: train 16, dev 4, test 4" in ran.err and f"is in {folder / 'pets'}" in ran.out
    assert not (folder / "pets.training").exists()
    return folder, table


def test_every_form_of_a_table_gives_the_same_collection(world):
    folder, table = world
    space = mm.load(folder / "pets")
    data = mm.read_collection(table, schema=space.schema)
    assert len(data) == ITEMS and sorted(space.schema.modalities) == MODALITIES
    made = mm.read_collection(rows(), schema=space.schema)
    ours, theirs = space.encode(data), space.encode(made)
    for m in MODALITIES:
        torch.testing.assert_close(ours.vectors[m], theirs.vectors[m], rtol=0, atol=1e-5)
        assert ours.items[m].tolist() == theirs.items[m].tolist()


def test_evaluate(world, tmp_path):
    folder, table = world
    ran = run("evaluate", folder / "pets", table, "--out", tmp_path / "report")
    assert ran.code == 0 and "hit@1 in %, test split, 4 items" in ran.out and "report.html" in ran.err
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert {"schema": 1, "split": "test", "items": 4, "seed": 0}.items() <= report.items()
    assert report["space"] == mm.load(folder / "pets").fingerprint
    assert {"manymodal", "torch", "python"} <= set(report["versions"])
    keys = [(tuple(e["query"]), tuple(e["target"]), e["unit"], e["match"]) for e in report["directions"]]
    assert len(set(keys)) == len(keys)
    singles = {(query, target) for query, target, unit, _ in keys if len(query) == len(target) == 1 and unit != "value"}
    assert len(singles) == len(MODALITIES) * (len(MODALITIES) - 1)
    assert {len(query) for query, *_ in keys} == {1, 2, len(MODALITIES) - 1}
    for entry in report["directions"]:
        beside = {"ci"} if entry["queries"] else set()
        beside |= {"calibrated"} if len(entry["query"]) > 1 else set()
        plain = len(entry["query"]) == len(entry["target"]) == 1 and entry["unit"] == "value"
        beside |= {"hubness"} if plain and entry["queries"] and entry["gallery"] > 10 else set()
        assert set(entry) == {"query", "target", "unit", "match", "queries", "skipped", "gallery"} | METRICS | beside
        assert all(entry[m] is None or 0 <= entry[m] <= 1 for m in METRICS - {"median_rank"})
        assert (entry["hit@1"] is None) == (entry["queries"] == 0)
    with Image.open(tmp_path / "report" / "heatmap.png") as drawn:
        assert drawn.format == "PNG" and min(drawn.size) > 200


def test_embed(world, tmp_path):
    folder, table = world
    ran = run("embed", folder / "pets", table, "--out", tmp_path / "vectors")
    assert ran.code == 0 and "d=16" in ran.out
    names = {f"{m}.safetensors" for m in MODALITIES} | {"items.parquet", "labels.parquet", "meta.json"}
    assert {path.name for path in (tmp_path / "vectors").iterdir()} == names
    space = mm.load(folder / "pets")
    expected, found = (
        space.encode(mm.read_collection(table, schema=space.schema)),
        load_embeddings(tmp_path / "vectors"),
    )
    for m in MODALITIES:
        torch.testing.assert_close(found.vectors[m], expected.vectors[m], rtol=0, atol=1e-6)
        assert found.items[m].tolist() == expected.items[m].tolist()
        assert found.labels[m].tolist() == expected.labels[m].tolist()
    items = pq.read_table(tmp_path / "vectors" / "items.parquet").to_pylist()
    assert [row["item"] for row in items] == list(range(ITEMS)) and items[3]["id"] == "a3"
    assert [row["item"] for row in items if row["split"] == "test"] == list(TEST)
    assert [row["photo"] for row in items[6:9]] == ["6.png", None, "8.png"] and items[2]["colour"] == "blue"
    labels = pq.read_table(tmp_path / "vectors" / "labels.parquet").to_pylist()
    assert labels == [{"label": i, "name": name} for i, name in enumerate(["disc", "frame", "stroke"])]
    assert [row["label"] for row in items[:3]] == [0, 1, 2]
    meta = json.loads((tmp_path / "vectors" / "meta.json").read_text())
    assert {"d": 16, "dtype": "float32", "space": space.fingerprint}.items() <= meta.items()


def test_search(world):
    folder, table = world
    ran = run(
        "search", folder / "pets", table, "--query", "captions=a red disc", "--target", "photo", "-k", 3, "--json"
    )
    hits = json.loads(ran.out)  # stdout holds nothing else
    assert ran.code == 0 and len(hits) == 3
    for hit in hits:
        assert list(hit) == ["id", "score", "value", "parts", "columns"]
        assert hit["columns"]["id"] == hit["id"] and hit["columns"]["photo"] == f"{hit['id'][1:]}.png"
        assert hit["parts"] == {"captions": pytest.approx(hit["score"], abs=1e-6)}
