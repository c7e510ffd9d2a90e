import io
import json

import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from rich.console import Console

from cases import random_embeddings, vectors
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.evaluation.evaluate import evaluate
from manymodal.evaluation.grid import EVERYTHING_ELSE, grid
from manymodal.evaluation.names import Names
from manymodal.evaluation.report import Report


def report(embeddings=None, **options):
    entries = evaluate(embeddings or random_embeddings(items=20), **options)
    return Report("dev", 20, entries, seed=3, space="f00", settings={"parts": "all"})


def text(made, width=200):
    console = Console(width=width, file=io.StringIO())
    console.print(made.table())
    return console.file.getvalue()


def test_saved_as_json_and_picture(tmp_path):
    made = report(same_source=[("a", "b")], bootstrap=20)
    made.save(tmp_path / "new" / "report")
    content = json.loads((tmp_path / "new" / "report" / "report.json").read_text(encoding="utf-8"))
    assert content == json.loads(json.dumps(made.to_json()))
    assert {k: content[k] for k in ("schema", "split", "items", "seed", "space")} == {
        "schema": 1,
        "split": "dev",
        "items": 20,
        "seed": 3,
        "space": "f00",
    }
    assert {"python", "manymodal", "torch"} <= content["versions"].keys() and content["settings"] == {"parts": "all"}
    first = content["directions"][0]
    assert list(first)[:7] == ["query", "target", "unit", "match", "queries", "skipped", "gallery"]
    assert (
        first["query"] == ["a"]
        and first["target"] == ["b"]
        and first["leak"] is True
        and len(first["ci"]["hit@1"]) == 2
    )
    with Image.open(tmp_path / "new" / "report" / "heatmap.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 300
    assert sorted(p.name for p in (tmp_path / "new" / "report").iterdir()) == [
        *("directions.csv", "gains.csv", "heatmap.png", "queries.parquet", "report.html", "report.json", "table.tex")
    ]


def test_ranks_of_all_queries_are_saved_under_the_users_ids(tmp_path):
    embeddings = random_embeddings(items=20, labels=3, label_modality=True)
    entries = evaluate(embeddings)
    names = Names({100 + i: f"item {i}" for i in range(20)}, ["red", "green", "blue"])
    Report("dev", 20, entries, names=names).save(tmp_path)
    rows = pq.read_table(tmp_path / "queries.parquet").to_pylist()
    assert len(rows) == sum(entry.queries for entry in entries)
    for number, entry in enumerate(entries):
        mine = [row for row in rows if row["direction"] == number]
        hits = sum(row["first"] <= 5 for row in mine) / len(mine) if mine else None
        assert hits == (None if entry["hit@5"] is None else pytest.approx(entry["hit@5"]))
        known = {"red", "green", "blue"} if entry.direction.unit == "label" else set(names.items.values())
        assert {row["owner"] for row in mine} <= known
        assert all(row["calibrated_first"] is None for row in mine)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "report").write_text("a file")
    with pytest.raises(ManymodalError, match="cannot write .*report"):
        report().save(tmp_path / "report")


def test_undefined_figures_are_null_in_json_and_dashes_elsewhere(tmp_path):
    made = report(random_embeddings(absent=True))
    made.save(tmp_path)
    content = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert any(entry["hit@1"] is None for entry in content["directions"])
    assert "–" in text(made)


def test_find():
    made = report()
    assert made.find("a", "b", unit="item").direction.unit == "item"
    assert made.find(("c", "a"), "b").direction.query == ("a", "c")
    with pytest.raises(ManymodalError, match="is here 2 times.*unit='value'.*unit='item'"):
        made.find("a", "b")
    with pytest.raises(ManymodalError, match="a->z.*not measured"):
        made.find("a", "z")


def test_the_table_has_every_figure():
    made = report()
    shown = text(made)
    for entry in made.directions:
        assert f"{100 * entry['hit@1']:.1f}" in shown
    assert "hit@1 in %, dev split, 20 items" in shown and "-> c" in shown
    assert shown.index("one value") < shown.index("whole item") < shown.index("combined, whole item")
    assert EVERYTHING_ELSE in shown and "skipped: without a part" in shown and "*" not in shown
    assert "*" in text(report(same_source=[("a", "b")]))


def test_names_are_shown_as_they_are_and_many_are_numbered():
    names = [f"[bold]a very long name of a modality, number {i}" for i in range(4)]
    shown = text(report(random_embeddings(modalities=names)))
    assert "-> 4" in shown and f"2: {names[1]}" in shown and f"-> {names[0]}" not in shown


def test_all_but_one_share_a_row_and_other_combinations_keep_theirs():
    embeddings = random_embeddings(modalities=("a", "b", "c", "d"), absent=True)
    asked = ["b+c+d->a", "a+b+c->d", "a+b->c", "a->b+c", "a->b", "a->c", "nobody->a"]
    columns, rows = grid(evaluate(embeddings, directions=asked, unit="item"))
    assert columns == ["a", "b", "c", "d", "b + c"]
    assert [(r.heading, r.name, sorted(r.cells)) for r in rows] == [
        ("whole item", "a", ["b", "b + c", "c"]),
        ("whole item", "nobody", ["a"]),
        ("combined, whole item", EVERYTHING_ELSE, ["a", "d"]),
        ("combined, whole item", "a + b", ["c"]),
    ]


def test_headings_say_what_matches_where_that_differs():
    ids = torch.arange(4)
    embeddings = Embeddings(
        {"a": vectors(4), "b": vectors(4), "kind": vectors(2)},
        {"a": ids, "b": ids, "kind": torch.full((2,), -1)},
        {"a": ids % 2, "b": ids % 2, "kind": ids[:2]},
    )
    _, rows = grid(evaluate(embeddings, directions=["a->b", "kind->b"], unit="item"))
    assert [(r.heading, r.name) for r in rows] == [("whole item, by item", "a"), ("label, by label", "kind")]


def test_galleries_of_the_rest_share_a_column():
    columns, rows = grid(evaluate(random_embeddings(modalities=("a", "b", "c", "d")), unit="item"))
    assert columns == ["a", "b", "c", "d", EVERYTHING_ELSE]
    cells = {row.name: sorted(row.cells) for row in rows}
    assert cells["a"] == ["b", "c", "d", EVERYTHING_ELSE] and cells["a + b"] == ["c", "d", EVERYTHING_ELSE]
    assert cells[EVERYTHING_ELSE] == ["a", "b", "c", "d"]
    (ab,) = [row for row in rows if row.name == "a + b"]
    assert ab.cells[EVERYTHING_ELSE].direction.target == ("c", "d")


def test_a_modality_with_one_value_an_item_has_one_row():
    ids = {m: torch.arange(30) for m in "ab"} | {"c": torch.arange(15).repeat(2)}
    embeddings = Embeddings({m: vectors(30, dtype=torch.float32) for m in "abc"}, ids)
    _, rows = grid(evaluate(embeddings))
    assert [(r.heading, r.name) for r in rows][:4] == [
        ("one value", "a"),
        ("one value", "b"),
        ("one value", "c"),
        ("whole item", "c"),
    ]
