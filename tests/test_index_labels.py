"""Values per label in an index that items are added to: what is not given stays, what is given counts at once."""

import pytest
import torch

import manymodal as mm
import samples
from indexes import made_rows
from manymodal import Index
from manymodal.embeddings import Embeddings
from manymodal.vectors import Vectors

QUERY = {"captions": "a red disc"}


@pytest.fixture
def index(world, cache, tmp_path):
    _, space = world
    return Index.build(tmp_path / "x.index", collection(space, made_rows()[:12]), space, cache=cache)


def collection(space, rows):
    return mm.read_collection(rows, schema=space.schema)


def scores(index, target):
    return {hit.id: pytest.approx(hit.score, abs=1e-5) for hit in index.search(QUERY, target, 99)}


@pytest.mark.parametrize("lacking", ["no column", "null"])
def test_a_table_without_values_of_labels_takes_none_away(index, world, cache, tmp_path, lacking):
    _, space = world
    row = made_rows()[13]
    more = {name: cell for name, cell in row.items() if name != "meaning"} | (
        {} if lacking == "no column" else {"meaning": None}
    )
    assert index.add(collection(space, [more]), cache=cache).notes == ()
    rows = [*made_rows()[:12], row]
    twin = Index.build(tmp_path / "twin.index", collection(space, rows), space, cache=cache)
    for target in ("meaning", "item"):  # a13 is composed with its label's value, which the index knows
        assert scores(index, target) == scores(twin, target)


def test_new_labels_come_in_and_changed_ones_are_told(index, world, cache):
    _, space = world
    rows = [
        made_rows()[13] | {"shape": "ring", "meaning": "a ring"},
        made_rows()[15] | {"meaning": "a coin"},
        made_rows()[16],
    ]
    done = index.add(collection(space, rows), cache=cache)
    assert len(done.notes) == 1 and "another value than before for disc:" in done.notes[0]
    hits = {hit.id: hit.shown.text for hit in index.search({"captions": "a coin"}, "meaning", 9)}
    assert hits == samples.MEANINGS | {"disc": "a coin", "ring": "a ring"}
    assert index.search({"meaning": "a coin"}, "meaning", 1)[0].score == pytest.approx(1, abs=1e-5)


def test_vectors_of_known_labels_need_not_come_again(tmp_path):
    one, two = torch.eye(2)

    def given(a, ids, **kind):
        rows = torch.arange(len(ids))
        vectors, items, labels = {"a": a}, {"a": rows}, {"a": torch.zeros_like(rows)}
        for name, own in kind.items():
            vectors[name], items[name], labels[name] = own, torch.tensor([-1]), torch.tensor([0])
        return Vectors(tmp_path, Embeddings(vectors, items, labels), dict(enumerate(ids)), ["cat"])

    index = Index.build_from_vectors(tmp_path / "x.index", given(one[None], ["1"], kind=two[None]))
    index.add_vectors(given(torch.stack([one, two]), ["2", "3"]))
    hits = index.search(mm.Request([mm.QueryPart("a", vectors=one[None])], "item"))
    assert [(hit.id, round(hit.score, 4)) for hit in hits] == [("1", 0.7071), ("2", 0.7071), ("3", 0.0)]
    assert [hit.id for hit in index.search(mm.Request([mm.QueryPart("a", ids=["3"])], "kind"))] == ["cat"]
