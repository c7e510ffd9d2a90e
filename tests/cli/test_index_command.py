"""`manymodal index`, `add`, `remove`, `compact` and `search` of an index: the way of a user, and what is refused."""

import json

import pyarrow.parquet as pq
import pytest

import manymodal as mm
import samples
from indexes import fitted_space, made_rows
from samples import run, write


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """(space, table, index) in a folder."""
    folder = tmp_path_factory.mktemp("world")
    _, space = fitted_space(folder / "cache")
    space.save(folder / "pets")
    table = write(folder, made_rows())
    ran = run("index", folder / "pets", table, "--out", folder / "pets.index", "--cache", folder / "cache")
    assert ran.code == 0, ran.err
    assert "24 items, d=16, exact search" in ran.out and "captions: 36 values of 18 items" in ran.out
    assert "meaning: 3 values of 3 labels" in ran.out
    return folder / "pets", table, folder / "pets.index"


def ask(world, *words, target="photo", k=5):
    ran = run("search", world[2], *words, "--target", target, "-k", k, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_an_index_answers_as_its_table_does(world, tmp_path):
    space, table, _ = world
    (tmp_path / "p.png").write_bytes(samples.picture(3))
    words = ("--query", f"photo=@{tmp_path / 'p.png'}", "--query", "captions=a red disc", "--without", "captions=green")
    ran = run("search", space, table, *words, "--weight", "photo=0.5", "--target", "photo", "-k", 5, "--json")
    by_table, by_index = json.loads(ran.out), ask(world, *words, "--weight", "photo=0.5")
    assert [hit["id"] for hit in by_index] == [hit["id"] for hit in by_table]
    for one, other in zip(by_index, by_table, strict=True):
        assert one["parts"] == pytest.approx(other["parts"], abs=1e-5)
        assert set(one["parts"]) == {"photo", "captions", "-captions"}


def test_conditions_items_and_fusion(world):
    found = ask(world, "--query", "captions=a red disc", "--where", "year > 2000 AND colour = 'red'")
    assert found and all(hit["columns"]["year"] > 2000 and hit["columns"]["colour"] == "red" for hit in found)
    assert ask(world, "--query", "id:photo=a4")[0]["id"] == "a4"
    assert ask(world, "--query", "id:meaning=disc", target="meaning")[0]["id"] == "disc"
    assert ask(world, "--query", "captions=red", target="item")[0].keys() == {
        "id",
        "score",
        "value",
        "parts",
        "columns",
    }
    ranked = ask(world, "--query", "captions=red", "--query", "id:photo=a4", "--fusion", "rank", target="speech")
    assert 0 < ranked[0]["score"] <= 1


def test_hits_are_shown_as_a_table(world):
    ran = run("search", world[2], "--query", "captions=a red disc", "--target", "photo", "-k", 2)
    assert ran.code == 0 and "~ captions" in ran.out and "year" in ran.out


def test_nothing_found_is_said(world):
    ran = run("search", world[2], "--query", "captions=a red disc", "--target", "photo", "--where", "year > 3000")
    assert ran.code == 0 and ran.out.strip() == "nothing found"


def test_items_come_and_go(world, tmp_path):
    space, table, _ = world
    own = tmp_path / "own.index"
    assert run("index", space, table, "--out", own, "--split", "train", "--link-space").code == 0
    more = write(tmp_path, made_rows()[3:6], name="more")
    ran = run("add", own, more)
    assert ran.code == 0 and "2 items added, 1 replaced" in ran.out, ran.err
    (tmp_path / "ids.txt").write_text("a3\nzz\n\n", encoding="utf-8")
    ran = run("remove", own, "--ids", tmp_path / "ids.txt", "--id", "a4")
    assert ran.code == 0 and "2 items removed" in ran.out and "1 id not there: 'zz'" in ran.err
    version = int(ran.out.split()[-1])
    ran = run("search", own, "--query", "captions=red", "--target", "captions", "-k", 99, "--json")
    assert not {"a3", "a4"} & {hit["id"] for hit in json.loads(ran.out)}
    ran = run(
        "search", own, "--version", version - 1, "--query", "captions=red", "--target", "captions", "-k", 99, "--json"
    )
    assert "a4" in {hit["id"] for hit in json.loads(ran.out)} or "a3" in {hit["id"] for hit in json.loads(ran.out)}
    ran = run("compact", own, "--keep-days", 0)
    before, after = (int(word) for word in ran.out.split(";")[1].split() if word.isdigit())
    assert ran.code == 0 and after < before
    ran = run("search", own, "--version", 1, "--query", "captions=red", "--target", "captions")
    assert ran.code == 1 and "version 1" in ran.err


def test_vectors_of_any_program(world, tmp_path):
    space, table, _ = world
    assert run("embed", space, table, "--out", tmp_path / "embedded").code == 0
    own = tmp_path / "own.index"
    ran = run("index", "--vectors", tmp_path / "embedded", "--out", own)
    assert ran.code == 0 and "24 items" in ran.out, ran.err
    ran = run("search", own, "--query", "id:captions=a3", "--target", "photo", "--json")
    assert ran.code == 0 and len(json.loads(ran.out)) == 10
    ran = run("search", own, "--query", "captions=red", "--target", "photo")
    assert ran.code == 1 and "id:captions=ID" in ran.err
    assert run("add", own, "--vectors", tmp_path / "embedded").out.startswith("0 items added, 24 replaced")
    ran = run("add", own, table)
    assert ran.code == 1 and "no space to embed a table with" in ran.err


@pytest.mark.parametrize(
    "words, said",
    [
        (["index", "SPACE", "--out", "x"], "give a space and a table"),
        (["index", "SPACE", "TABLE", "--vectors", "y", "--out", "x"], "not both"),
        (["index", "SPACE", "TABLE", "--out", "INDEX"], "--overwrite"),
        (["search", "INDEX", "TABLE", "--query", "captions=x", "--target", "photo"], "leave the table"),
        (["search", "SPACE", "--query", "captions=x", "--target", "photo"], "not an index"),
        (["search", "SPACE", "TABLE", "--query", "captions=x", "--target", "photo", "--where", "a=1"], "for an index"),
        (["search", "INDEX", "--query", "captions=x"], "no target; --target NAME says where to search: photo"),
        (["search", "SPACE", "TABLE", "--query", "captions=x"], "no target; --target NAME says where to search: photo"),
        (["search", "nowhere", "--query", "captions=x", "--target", "photo", "--where", "a=1"], "is not there"),
        (["index", "TABLE", "SPACE", "--out", "x"], "the space comes first"),
        (["add", "TABLE", "INDEX"], "is an index, which comes first"),
        (["remove", "INDEX", "--ids", "nowhere.txt"], "cannot read nowhere.txt: No such file"),
        (["remove", "INDEX", "--ids", "TABLE"], "is not a text file"),
        (["serve", "INDEX", "--key-file", "nowhere.txt"], "cannot read nowhere.txt: No such file"),
        (["serve", "INDEX", "--cors", "*"], "scheme and host alone"),
        (["search", "INDEX", "--target", "photo"], "the query is empty"),
        (["search", "INDEX", "--query", "captions=x", "--target", "photo", "--weight", "speech=2"], "no part of"),
        (["search", "INDEX", "--query", "captions=x", "--target", "photo", "--where", "year >"], "cannot be read"),
        (["remove", "INDEX"], "--ids FILE"),
        (["add", "INDEX"], "one of the two"),
        (["add", "SPACE", "TABLE"], "not an index"),
        (["compact", "nowhere"], "not an index"),
        (["serve", "nowhere"], "not an index"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_mistakes_are_named(world, words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = dict(zip(("SPACE", "TABLE", "INDEX"), world, strict=True))
    ran = run(*(named.get(word, word) for word in words))
    assert ran.code == 1 and said in ran.err and "Traceback" not in ran.err, ran.err


def test_an_index_serves_when_its_table_and_space_are_gone(world, tmp_path):
    space, table, _ = world
    moved = tmp_path / "pets.parquet"
    pq.write_table(pq.read_table(table), moved)
    mm.load(space).save(tmp_path / "pets")
    assert run("index", tmp_path / "pets", moved, "--out", tmp_path / "own.index").code == 0
    for path in sorted((tmp_path / "pets").iterdir()):
        path.unlink()
    moved.unlink()
    ran = run("search", tmp_path / "own.index", "--query", "captions=a red disc", "--target", "photo", "--json")
    assert ran.code == 0 and json.loads(ran.out)[0]["columns"]["colour"] in samples.COLOURS
