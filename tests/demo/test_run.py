"""`manymodal demo`, small: it leaves what it says, and what it leaves can be used."""

import json

import manymodal as mm
import samples


def test_it_leaves_a_collection_a_space_a_report_and_pictures(tmp_path):
    out = tmp_path / "demo"
    ran = samples.run("demo", "--out", out, "--limit", 400, "--epochs", 1)
    assert ran.code == 0, ran.err
    assert "400 characters in 7 modalities" in ran.out and 'a drawn arrow and "double"' in ran.out
    assert f"manymodal demo --serve --out {out} " in ran.out  # how to open the page
    report = json.loads((out / "report" / "report.json").read_text(encoding="utf-8"))
    assert (["serif"], ["sans"]) in [(one["query"], one["target"]) for one in report["directions"]]
    for picture in (out / "searches.png", out / "report" / "heatmap.png"):
        assert picture.read_bytes()[:4] == b"\x89PNG"
    space = mm.load(out / "space")
    data = mm.read_collection(out / "glyphs.parquet", schema=space.schema)
    assert len(space.search({"name": "latin small letter a"}, "sans", data, 3)) == 3


def test_it_does_not_write_into_a_folder_of_something_else(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    ran = samples.run("demo", "--out", tmp_path, "--limit", 5)
    assert ran.code == 1 and "holds something else" in ran.err
    assert samples.contents(tmp_path) == {"letter.txt": b"dear"}
