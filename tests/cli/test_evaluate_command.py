"""`manymodal evaluate`: a space and a table, or vectors from anywhere; what it writes, and what it refuses."""

import json

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import manymodal as mm
from manymodal.showing import names_of_vectors
from manymodal.vectors import read_vectors
from samples import TEST, rows, run, write, write_config

BESIDE = {"calibrated", "corrected", "ci", "leak", "graded"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a table, a space fitted to it, and that space's vectors of each split."""
    folder = tmp_path_factory.mktemp("evaluate")
    table = write(folder, rows())
    for words in (
        ("fit", table, "--config", write_config(folder), "--out", folder / "pets", "--device", "cpu"),
        *(("embed", folder / "pets", table, "--split", s, "--out", folder / s) for s in ("train", "dev", "test")),
    ):
        ran = run(*words)
        assert ran.code == 0, ran.err
    return folder, table


def report_of(tmp_path, *words):
    ran = run("evaluate", *words, "--out", tmp_path / "report")
    assert ran.code == 0, ran.err
    return json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8")), ran


def raw(report):
    """The figures that need nothing but the vectors."""
    return [{name: figure for name, figure in entry.items() if name not in BESIDE} for entry in report["directions"]]


@pytest.fixture(scope="module")
def of_space(world, tmp_path_factory):
    folder, table = world
    return report_of(tmp_path_factory.mktemp("of_space"), folder / "pets", table)[0]


def test_every_file_of_a_report(world, tmp_path):
    folder, table = world
    report, ran = report_of(tmp_path, folder / "pets", table, "--correct", "nnn", "--correct", "mean_removal")
    assert "report.html" in ran.err
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert {
        "report.html",
        "report.json",
        "queries.parquet",
        "heatmap.png",
        "directions.csv",
        "gains.csv",
        "table.tex",
    } == names
    entries = {(*e["query"], "->", *e["target"], e["unit"]): e for e in report["directions"]}
    combined = entries["captions", "features", "->", "photo", "item"]
    assert set(combined["corrected"]) == {"nnn", "mean_removal"} and combined["calibrated"]["hit@1"] is not None
    assert "calibrated" not in entries["captions", "->", "photo", "item"] and len(combined["ci"]["hit@1"]) == 2
    assert set(report["calibration"]["photo"]) == set(mm.load(folder / "pets").schema.modalities) - {"photo"}
    assert report["gains"] and report["health"] and report["settings"]["correct"] == ["nnn", "mean_removal"]
    assert {one["query"] for one in report["classification"]} >= {"photo", "captions"}
    ranks = pq.read_table(tmp_path / "report" / "queries.parquet")
    assert set(ranks["owner"].to_pylist()) <= {f"a{i}" for i in TEST} | {"disc", "frame", "stroke"}


def test_vectors_of_manymodal_give_the_same_report(world, of_space, tmp_path):
    folder, _ = world
    report, _ = report_of(tmp_path, "--vectors", folder / "test")
    assert raw(report) == raw(of_space) and report["split"] == "test" and report["space"] == of_space["space"]
    assert [g["hit@1"] for g in report["gains"]] == [g["hit@1"] for g in of_space["gains"]]
    assert report["calibration"] is None


def test_a_page_of_vectors_shows_texts_where_the_folder_has_them(world):
    folder, _ = world
    given = read_vectors(folder / "test")
    names = names_of_vectors(given)
    row = 1
    item, place = int(given.embeddings.items["captions"][row]), int(given.ordinals["captions"][row])
    assert names.show("captions", row).text == rows()[int(given.ids[item][1:])]["captions"][place]
    assert "shape: " in names.show("features", 0).text and names.show("meaning", 0).text == ""


def test_nothing_that_matches_is_said(tmp_path):
    for name, ids in (("a", "xy"), ("b", "zw")):
        np.save(tmp_path / f"{name}.npy", np.eye(2, 4, dtype=np.float32))
        (tmp_path / f"{name}.ids.txt").write_text("".join(f"{i}\n" for i in ids))
    ran = run("evaluate", "--vectors", tmp_path)
    assert ran.code == 0 and "no query has a match: check that ids" in ran.err


def test_vectors_of_another_program_give_the_same_report(world, of_space, tmp_path):
    folder, table = world
    space = mm.load(folder / "pets")
    data = mm.read_collection(table, schema=space.schema)
    embeddings = space.encode(data, "test")
    other = tmp_path / "other"
    other.mkdir()
    for m in embeddings.modalities:
        np.save(other / f"{m}.npy", 3 * embeddings.vectors[m].numpy())
        labels = [data.label_names[y] for y in embeddings.labels[m]]
        (other / f"{m}.labels.txt").write_text("".join(f"{label}\n" for label in labels))
        if not embeddings.per_label(m):
            (other / f"{m}.ids.txt").write_text("".join(f"{data.ids[i]}\n" for i in embeddings.items[m]))
    refused = run("evaluate", "--vectors", other)
    assert refused.code == 1 and "--normalize" in refused.err
    report, _ = report_of(tmp_path, "--vectors", other, "--normalize")
    for mine, theirs in zip(raw(report), raw(of_space), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-9) if "hit@1" not in mine else mine.keys() == theirs.keys()
        assert all(mine[k] == (pytest.approx(v) if isinstance(v, float) else v) for k, v in theirs.items())
    owners = [pq.read_table(place / "queries.parquet")["owner"].to_pylist() for place in (tmp_path / "report",)]
    assert {"a3", "disc"} & set(owners[0])


def test_vectors_are_calibrated_and_corrected_with_those_of_dev_and_train(world, tmp_path):
    folder, _ = world
    given = ("--vectors", folder / "test", "--dev", folder / "dev", "--train", folder / "train", "--correct", "csls")
    report, _ = report_of(tmp_path, *given)
    combined = [entry for entry in report["directions"] if len(entry["query"]) > 1 and entry["queries"]]
    assert all("calibrated" in entry for entry in combined) and report["calibration"]
    assert all("csls" in entry["corrected"] for entry in report["directions"])


def test_dev_and_train_are_those_rows_of_a_folder_with_all_splits(world, tmp_path):
    """What is measured is never what was estimated from, though one folder holds both."""
    folder, table = world
    assert run("embed", folder / "pets", table, "--out", tmp_path / "all").code == 0
    more = ("--directions", "captions+features->photo", "--correct", "csls")
    apart = ("--vectors", folder / "test", "--dev", folder / "dev", "--train", folder / "train")
    every = tmp_path / "all"
    together = ("--vectors", every, "--split", "test", "--dev", every, "--train", every)
    expected, _ = report_of(tmp_path, *apart, *more)
    report, ran = report_of(tmp_path, *together, *more)
    assert report["directions"][0]["corrected"] == expected["directions"][0]["corrected"]
    assert report["calibration"].keys() == expected["calibration"].keys()
    assert "several splits together" not in ran.err
    assert "among those measured" not in ran.err


def test_items_that_are_estimated_from_and_measured_are_told(tmp_path):
    embeddings = np.eye(4, dtype=np.float32)
    for name, first in (("here", 0), ("there", 3)):
        (tmp_path / name).mkdir()
        for m in "ab":
            np.save(tmp_path / name / f"{m}.npy", embeddings)
            (tmp_path / name / f"{m}.ids.txt").write_text("".join(f"x{first + i}\n" for i in range(4)))
    ran = run("evaluate", "--vectors", tmp_path / "here", "--dev", tmp_path / "there")
    assert ran.code == 0 and "1 id of --dev among those measured" in ran.err


def test_graded_judgements(world, tmp_path):
    folder, table = world
    judged = [("a3", "a8", 2.0), ("a3", "a13", 1.0), ("a8", "nobody", 3.0)]
    columns = {
        name: list(column) for name, column in zip(("query", "target", "gain"), zip(*judged, strict=True), strict=True)
    }
    pyarrow.csv.write_csv(pyarrow.table(columns), tmp_path / "judged.csv")
    asked = ("--directions", "features->photo", "--unit", "item", "--relevance", tmp_path / "judged.csv")
    report, ran = report_of(tmp_path, folder / "pets", table, *asked)
    (entry,) = report["directions"]
    assert entry["graded"]["queries"] == 1 and 0 < entry["graded"]["ndcg@10"] <= 1
    assert "1 row of 3 left out, ids not known" in ran.err


def test_no_intervals_on_request(world, tmp_path):
    folder, _ = world
    report, _ = report_of(tmp_path, "--vectors", folder / "test", "--bootstrap", "0")
    assert all("ci" not in entry for entry in report["directions"]) and report["gains"][0]["ci"] is None


def test_what_does_not_go_together_is_refused(world):
    folder, table = world
    for words in ((), (folder / "pets",), (folder / "pets", table, "--vectors", folder / "test")):
        ran = run("evaluate", *words)
        assert ran.code == 1 and "either a space and a table, or --vectors FOLDER" in ran.err
    ran = run("evaluate", folder / "pets", table, "--dev", folder / "dev", "--normalize")
    assert ran.code == 1 and "--normalize, --dev: only with --vectors" in ran.err
    ran = run("evaluate", "--vectors", folder / "test", "--on-bad-value", "skip", "--cache", folder)
    assert ran.code == 1 and "--on-bad-value, --cache: only with a space and a table" in ran.err
    ran = run("evaluate", "--vectors", folder / "test", "--correct", "nnn")
    assert ran.code == 1 and "--train FOLDER" in ran.err


def test_where_the_report_goes_is_looked_at_before_any_work(world, tmp_path):
    folder, table = world
    (tmp_path / "taken").write_text("mine")
    ran = run("evaluate", folder / "pets", table, "--out", tmp_path / "taken")
    assert ran.code == 1 and "is a file; name a folder" in ran.err and not ran.out
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_table_of_other_columns_is_refused(world, tmp_path):
    folder, _ = world
    (tmp_path / "strange.csv").write_text("id,split,words\n" + "".join(f"{i},test,hello {i}\n" for i in range(5)))
    ran = run("evaluate", folder / "pets", tmp_path / "strange.csv")
    assert ran.code == 1 and "no item has a value in any of captions" in ran.err and not ran.out
