"""The results page follows from the results alone, and a result says nothing about the machine that it should not."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from manymodal.errors import ManymodalError

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def common(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("common")


@pytest.fixture
def results(common: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with one result of every kind of cell."""
    hits = common.by_seed(lambda seed: {"photo -> en": 0.25 + seed / 100, "en -> photo": 0.2}, seeds=(1, 2, 3))
    result = common.Result("pets", "Pets: photos and words", {"epochs": 30, "objective": {"pcmr": {"lam": 10}}})
    result.table("hit@1, %", ["direction", "PCMC"], [[name, common.percent(values)] for name, values in hits.items()])
    rows = [["a|b", 5000, 0.0625, None], ["gain", common.percent([0.034], ci=[0.029, 0.04]), True, 123.4]]
    result.table("Others", ["what", "x", "y", "z"], rows, note="A note.")
    result.claim("{photo, en} -> zh: {value}, at least {threshold}", common.percent(hits["photo -> en"]), at_least=0.24)
    result.claim("fit takes {value} s, at most {threshold}", 130.2, at_most=120)
    folder = tmp_path / "results"
    write = common.write_result
    monkeypatch.setattr(common, "write_result", lambda name, content: write(name, content, folder))
    result.write()
    return folder


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "results_page.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_page_in_docs_is_what_the_results_give() -> None:
    checked = run("--check")
    assert checked.returncode == 0, checked.stderr


def test_page_shows_every_kind_of_cell(results: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    assert run("--results", results, "--page", page).returncode == 0
    lines = page.read_text(encoding="utf-8").splitlines()
    assert "## Pets: photos and words" in lines
    assert "**1 of 2 claims hold.**" in lines
    assert "- holds: {photo, en} -> zh: 27.0 ± 1.0, at least 24.0" in lines
    assert "- **does not hold**: fit takes 130 s, at most 120" in lines
    assert "| photo -> en | 27.0 ± 1.0 |" in lines
    assert "| --- | ---: |" in lines
    assert "| a\\|b | 5,000 | 0.0625 | – |" in lines
    assert "| gain | 3.4 [2.9, 4.0] | yes | 123 |" in lines
    assert "- settings: epochs 30, objective (pcmr (lam 10))" in lines


def test_check_fails_once_a_result_changes(results: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    asked = ("--results", results, "--page", page)
    assert run(*asked, "--check").returncode == 1
    run(*asked)
    assert run(*asked, "--check").returncode == 0
    content = json.loads((results / "pets.json").read_text(encoding="utf-8"))
    content["tables"][0]["rows"][0][1]["mean"] = 0.5
    (results / "pets.json").write_text(json.dumps(content), encoding="utf-8")
    before = page.read_text(encoding="utf-8")
    checked = run(*asked, "--check")
    assert checked.returncode == 1
    assert "results_page.py" in checked.stderr
    assert page.read_text(encoding="utf-8") == before


@pytest.mark.parametrize(("text", "said"), [("{", "not JSON"), ('{"name": "x"}', "lacks claims, hardware")])
def test_a_file_that_is_no_result_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "broken.json").write_text(text, encoding="utf-8")
    made = run("--results", tmp_path, "--page", tmp_path / "page.md")
    assert made.returncode == 1
    assert "broken.json" in made.stderr
    assert said in made.stderr
    assert not (tmp_path / "page.md").exists()


def test_result_holds_what_it_was_measured_with(results: Path) -> None:
    content = json.loads((results / "pets.json").read_text(encoding="utf-8"))
    assert content["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"torch", "numpy", "manymodal"} <= content["versions"].keys()
    assert content["hardware"]["cores"] >= 1
    assert content["tables"][0]["rows"][0][1] == {
        "mean": pytest.approx(0.27),
        "spread": pytest.approx(0.01),
        "seeds": 3,
        "percent": True,
    }


@pytest.mark.parametrize("text", ["/home/ann/model", "model=/opt/models/x", r"C:\Users\ann\model"])
def test_a_path_of_the_machine_is_refused(common: ModuleType, tmp_path: Path, text: str) -> None:
    with pytest.raises(ManymodalError, match="path of this machine"):
        common.write_result("pets", {"settings": {"encoder": [text]}}, tmp_path)
    assert not list(tmp_path.iterdir())


def test_names_with_slashes_are_no_paths(common: ModuleType, tmp_path: Path) -> None:
    common.write_result("pets", {"a": common.MINILM, "b": "hit@1/5/10, https://example.org/a/b"}, tmp_path)
    assert (tmp_path / "pets.json").exists()


def test_mistakes_in_a_script_are_named(common: ModuleType) -> None:
    result = common.Result("pets", "Pets", {})
    with pytest.raises(ManymodalError, match="2 columns; the row of 'photo' has 1 cells"):
        result.table("hit@1", ["direction", "PCMC"], [["photo"]])
    with pytest.raises(ManymodalError, match="one of at_least and at_most"):
        result.claim("{value}", 0.3)
    with pytest.raises(ManymodalError, match="different figures: b"):
        common.by_seed(lambda seed: {"a": 1.0} if seed == 1 else {"a": 1.0, "b": 2.0}, seeds=(1, 2))


def test_one_seed_has_no_spread(common: ModuleType) -> None:
    assert common.spread([0.5]) == {"mean": 0.5, "spread": None, "seeds": 1}


def test_peak_memory_is_that_of_this_process(common: ModuleType) -> None:
    before = common.peak_memory()
    held = bytearray(b"x") * 300_000_000
    assert common.peak_memory() > max(before, len(held))


def test_the_readme_shows_the_demo_table(common: ModuleType, results: Path, tmp_path: Path) -> None:
    content = json.loads((results / "pets.json").read_text(encoding="utf-8"))
    content["name"], content["tables"] = "glyphs", content["tables"][1:]
    (results / "glyphs.json").write_text(json.dumps(content), encoding="utf-8")
    readme = tmp_path / "README.md"
    readme.write_text("Before\n<!-- demo: begin -->\nold\n<!-- demo: end -->\nafter\n", encoding="utf-8")
    arguments = ("--results", results, "--page", tmp_path / "page.md", "--readme", readme)
    assert run(*arguments).returncode == 0 and run("--check", *arguments).returncode == 0
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("Before\n") and text.endswith("<!-- demo: end -->\nafter\n")
    assert "| gain |" in text and "A note." in text and "old" not in text
    readme.write_text(text.replace("| gain |", "| more |"), encoding="utf-8")
    assert run("--check", *arguments).returncode == 1
