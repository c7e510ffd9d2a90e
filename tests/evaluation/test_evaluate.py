import pytest
import torch

from cases import random_embeddings
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.evaluation.directions import Direction
from manymodal.evaluation.evaluate import evaluate
from oracles import oracle_direction


def with_ties(embeddings, kinds=6):
    """The same ids with vectors whose products are multiples of 1/64, and many of them equal."""
    signs = torch.randint(0, 2, (kinds, 64)).float() * 2 - 1
    drawn = {m: signs[torch.randint(kinds, (len(v),))] / 8 for m, v in embeddings.vectors.items()}
    return Embeddings(drawn, embeddings.items, embeddings.labels)


def expect(entry, twin):
    found = entry.to_dict()
    assert found.keys() == twin.keys()
    for name, value in twin.items():
        assert found[name] == (pytest.approx(value, abs=1e-9) if isinstance(value, float) else value), name


CASES = [
    (("a",), ("b",), "value"),
    (("b",), ("a",), "item"),
    (("a", "b"), ("c",), "item"),
    (("b", "c"), ("a",), "value"),
    (("a",), ("b", "c"), "item"),
    (("kind",), ("b",), "label"),
    (("b",), ("kind",), "value"),
    (("a", "kind"), ("c",), "item"),
    (("c",), ("a", "kind"), "value"),
    (("a",), ("nobody",), "value"),
    (("nobody", "a"), ("c",), "item"),
]


@pytest.mark.parametrize("match", ["item", "label"])
@pytest.mark.parametrize("parts", ["all", "any"])
def test_whole_directions_agree_with_the_plain_loop(match, parts):
    for tied in (False, True):
        embeddings = random_embeddings(items=14, labels=4, label_modality=True, absent=True, dtype=torch.float32)
        embeddings = with_ties(embeddings) if tied else embeddings
        asked = [Direction(*case) for case in CASES]
        entries = evaluate(embeddings, directions=asked, match=match, parts=parts)
        for entry, direction in zip(entries, asked, strict=True):
            assert entry.direction == direction
            where = (direction.query, direction.target, direction.unit)
            expect(entry, oracle_direction(embeddings, *where, match, parts))


def test_defaults_agree_with_the_plain_loop():
    embeddings = random_embeddings(items=10, dtype=torch.float32)
    seen = []
    entries = evaluate(embeddings, progress=lambda done, of: seen.append((done, of)))
    for entry in entries:
        expect(entry, oracle_direction(embeddings, entry.direction.query, entry.direction.target, entry.direction.unit))
    assert len({(e.direction, e.match) for e in entries}) == len(entries) == 12 + 6 + 3
    assert seen == [(done, 21) for done in range(1, 22)]


def perfect():
    """Three items; the second lacks a caption, the first has two."""
    eye = torch.eye(4)
    return Embeddings(
        {"photo": eye[:3], "caption": eye[[0, 0, 2]], "sound": eye[[0, 1]]},
        {"photo": torch.tensor([5, 6, 7]), "caption": torch.tensor([5, 5, 7]), "sound": torch.tensor([5, 6])},
    )


def test_gaps_are_counted():
    entry = evaluate(perfect(), directions=["photo->caption"], unit="value", items=torch.tensor([5, 6, 7, 9]))[0]
    assert entry.queries == 2 and entry.gallery == 3 and entry["hit@1"] == 1 and entry["map"] == 1
    assert entry.skipped == {"part": 1, "match": 1}  # item 9 has no photo, item 6 no caption
    entry = evaluate(perfect(), directions=["photo+sound->caption"])[0]
    assert entry.queries == 1 and entry.skipped == {"part": 1, "match": 1}
    entry = evaluate(perfect(), directions=["photo+sound->caption"], parts="any")[0]
    assert entry.queries == 2 and entry.skipped == {"part": 0, "match": 1}


def test_what_is_undefined_is_null():
    entry = evaluate(random_embeddings(absent=True), directions=["nobody->a"], bootstrap=10, k=(3,))[0].to_dict()
    assert entry["queries"] == 0 and entry["hit@1"] is None and entry["hit@3"] is None and entry["map"] is None
    assert "ci" not in entry


def test_leaks_are_marked():
    entries = evaluate(perfect(), unit="item", same_source=[("sound", "caption")])
    leaks = {str(e.direction) for e in entries if e.to_dict().get("leak")}
    assert leaks == {
        *("sound->caption", "caption->sound", "photo+sound->caption", "caption+photo->sound"),
        *("sound->caption+photo", "caption->photo+sound"),
    }


def test_intervals_on_request():
    embeddings = random_embeddings(items=40)
    entry = evaluate(embeddings, directions=["a->b"], unit="value", bootstrap=200, seed=1, k=(20,))[0]
    low, high = entry.to_dict()["ci"]["hit@20"]
    assert low <= entry["hit@20"] <= high and low < high and "hit@1" in entry.ci
    assert "ci" not in evaluate(embeddings, directions=["a->b"])[0].to_dict()


def test_mistakes_are_refused_in_words():
    embeddings = random_embeddings()
    with pytest.raises(ManymodalError, match='match=\'kind\'; allowed are "item" and "label"'):
        evaluate(embeddings, match="kind")
    with pytest.raises(ManymodalError, match="parts='some'"):
        evaluate(embeddings, parts="some")
    with pytest.raises(ManymodalError, match="k=0"):
        evaluate(embeddings, k=(0,))
    with pytest.raises(ManymodalError, match="matches by label, but these embeddings have no labels"):
        evaluate(embeddings, match="label")
    with pytest.raises(ManymodalError, match=r"the first is 10\d\) that `items` lacks"):
        evaluate(embeddings, items=torch.tensor([100]))
