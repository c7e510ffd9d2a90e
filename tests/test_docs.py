"""What the documents show runs: Python blocks are executed, YAML is read, links lead somewhere."""

import re
from pathlib import Path

import pytest

from manymodal.collection import Config, read_config
from manymodal.encoders import encoder_class
from manymodal.objectives import make_objective

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


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


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target
