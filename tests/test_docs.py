"""What the documents show runs: Python blocks are executed, YAML is read, links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest
import typer

import manymodal as mm
import real_index
from manymodal.cli.app import app
from manymodal.collection import Config, read_config
from manymodal.encoders import encoder_class
from manymodal.objectives import make_objective

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


COMMANDS = typer.main.get_command(app)


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_idea_in_python_runs():
    (code,) = blocks(ROOT / "docs" / "idea.md", "python")
    names = {}
    exec(code, names)
    assert set(names["loss"].pairs) == {("caption", "photo")}
    by_value = {str(e.direction): e for e in names["entries"] if e.direction.unit == "value"}
    assert by_value["photo->caption"].skipped == {"part": 1, "match": 1}  # item 7 has no photo, item 3 no caption


def test_the_encoder_of_ones_own_runs():
    (code,) = blocks(ROOT / "docs" / "data.md", "python")
    exec(code, {})
    encoder = encoder_class("sorted")(4)
    one, other = encoder.pack([[1.0, 2.0, 3.0, 4.0]]), encoder.pack([[4.0, 1.0, 3.0, 2.0]])
    assert encoder(one).equal(encoder(other)) and encoder(one).shape == (1, 32)


def test_the_yaml_is_read(tmp_path):
    (text,) = blocks(ROOT / "docs" / "data.md", "yaml")
    (tmp_path / "pets.yaml").write_text(text)
    config = read_config(tmp_path / "pets.yaml")
    assert isinstance(config, Config) and set(config.modalities) == {"photo", "caption", "traits", "species"}
    assert make_objective(config.objective).lam == 10


def test_the_index_in_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(ROOT / "docs" / "serving.md", "python")
    data = mm.read_collection(real_index.rows(), config=real_index.CONFIG)
    space = mm.Space.for_collection(data, dim=8, cache=tmp_path / "cache")
    space.fit(data, epochs=1, batch_size=16, device="cpu", cache=tmp_path / "cache")
    names = {"data": data, "space": space}
    exec(code, names)
    assert len(names["hits"]) == 5 and all(hit.columns["year"] > 2010 for hit in names["hits"])
    assert {"photo", "-caption"} == set(names["more"][0].parts)
    assert names["index"].items == len(data) - 1


def told(page):
    """The words of every command that a page shows in a block."""
    text = page.read_text(encoding="utf-8")
    return [
        shlex.split(line, comments=True)[1:] for line in re.findall(r"^ *(manymodal .*)$", text, flags=re.MULTILINE)
    ]


@pytest.mark.parametrize(
    "words", [words for page in PAGES for words in told(page) if "..." not in words], ids=lambda words: " ".join(words)
)
def test_commands_are_understood(words):
    command, given = COMMANDS, list(words)
    while hasattr(command, "commands"):
        command = command.commands[given.pop(0)]
    assert command.make_context("", given).params


def test_the_options_that_serving_names_are_there():
    known = {option for name in COMMANDS.commands.values() for each in name.params for option in each.opts}
    text = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    assert {*re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)} <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target
