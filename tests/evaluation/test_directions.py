import pytest
import torch

from cases import random_embeddings, vectors
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.evaluation.directions import Direction, default_directions, parse_direction, resolve


def described(directions):
    return [(str(d), d.unit) for d in directions]


def test_default_is_singles_in_both_units_and_all_but_one():
    directions = default_directions(random_embeddings())
    assert described(directions) == [
        *[(f"{q}->{t}", u) for q in "abc" for u in ("value", "item") for t in "abc" if q != t],
        ("b+c->a", "item"),
        ("a+c->b", "item"),
        ("a+b->c", "item"),
    ]
    assert {d.unit for d in default_directions(random_embeddings(), "value")} == {"value"}


def test_two_modalities_have_no_combined_direction_and_one_has_none():
    assert len(default_directions(random_embeddings(modalities=("a", "b")))) == 4
    with pytest.raises(ManymodalError, match="only 'a'"):
        default_directions(random_embeddings(modalities=("a",)))


def test_label_modalities_are_asked_by_label():
    directions = default_directions(random_embeddings(labels=3, label_modality=True, modalities=("a", "b")))
    assert ("kind->a", "label") in described(directions) and ("a+b->kind", "item") in described(directions)
    assert ("kind->a", "value") not in described(directions)


def test_a_modality_without_values_joins_no_query_of_several():
    directions = described(default_directions(random_embeddings(absent=True)))
    assert ("a+b->c", "item") in directions and ("nobody->a", "value") in directions
    assert ("a+b+c->nobody", "item") in directions


def test_parsing():
    known = ["photo", "caption", "speech", "black+white"]
    assert parse_direction("photo+caption->speech", known) == (("photo", "caption"), ("speech",))
    assert parse_direction(" photo -> caption + speech ", known) == (("photo",), ("caption", "speech"))
    assert parse_direction("black+white->photo", known) == (("black+white",), ("photo",))
    with pytest.raises(ManymodalError, match="no modality 'sound' here; there are photo, caption, speech"):
        parse_direction("photo->sound", known)
    for text in ("photo", "photo->caption->speech"):
        with pytest.raises(ManymodalError, match="needed is QUERY->TARGET"):
            parse_direction(text, known)


def test_directions_are_put_in_order_and_checked():
    assert Direction(("b", "a"), ("c",), "item") == Direction(("a", "b"), ("c",), "item")
    with pytest.raises(ManymodalError, match="share none"):
        Direction(("a", "b"), ("b",), "item")
    with pytest.raises(ManymodalError, match="at least one"):
        Direction((), ("b",), "item")
    with pytest.raises(ManymodalError, match="unit 'values'"):
        Direction(("a",), ("b",), "values")


def test_asked_directions_come_once_each_in_the_unit_wanted():
    embeddings = random_embeddings(labels=3, label_modality=True)
    assert described(resolve(["b+a->c", "a+b->c", "a->c"], embeddings)) == [
        ("a+b->c", "item"),
        ("a->c", "value"),
        ("a->c", "item"),
    ]
    assert described(resolve(["a+b->c", "kind->c"], embeddings, "value")) == [("a+b->c", "value"), ("kind->c", "label")]
    with pytest.raises(ManymodalError, match='unit "label" is for queries of label modalities alone, not for a'):
        resolve(["a->c"], embeddings, "label")
    with pytest.raises(ManymodalError, match="no modality 'z'"):
        resolve([Direction(("z",), ("a",), "item")], embeddings)
    with pytest.raises(ManymodalError, match='asked by "label", not by'):
        resolve([Direction(("kind",), ("a",), "item")], embeddings)


def test_only_label_modalities():
    both = torch.tensor([-1, -1])
    embeddings = Embeddings({"name": vectors(2), "traits": vectors(2)}, {"name": both, "traits": both})
    assert described(default_directions(embeddings)) == [("name->traits", "label"), ("traits->name", "label")]
