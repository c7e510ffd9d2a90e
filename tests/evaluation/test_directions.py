from itertools import groupby

import pytest
import torch

from cases import random_embeddings, vectors
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.evaluation.directions import Direction, default_directions, parse_direction, resolve, singles


def described(directions):
    return [(str(d), d.unit) for d in directions]


def test_default_is_every_set_to_every_target_and_to_the_rest_composed():
    directions = default_directions(random_embeddings())
    assert described(directions) == [
        *[
            (f"{q}->{t}", u)
            for q, rest in (("a", "bc"), ("b", "ac"), ("c", "ab"))
            for u in ("value", "item")
            for t in (*rest, "+".join(rest))
        ],
        ("a+b->c", "item"),
        ("a+c->b", "item"),
        ("b+c->a", "item"),
    ]
    assert {d.unit for d in default_directions(random_embeddings(), "value")} == {"value"}


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6])
def test_up_to_six_modalities_all_sets_are_asked_with(count):
    directions = default_directions(random_embeddings(modalities=tuple("abcdef"[:count])), "item")
    single = [d for d in directions if len(d.target) == 1]
    assert len(single) == count * (2 ** (count - 1) - 1)  # every target by every set of the others
    composed = [d for d in directions if len(d.target) > 1]
    assert len(composed) == 2**count - 2 - count  # every set but all, and all but one, to the rest
    assert all({*d.query, *d.target} == set("abcdef"[:count]) for d in composed)


def test_beyond_six_it_is_singles_pairs_and_all_but_one():
    directions = default_directions(random_embeddings(modalities=tuple("abcdefgh"), items=12), "item")
    assert {len(d.query) for d in directions} == {1, 2, 7}
    assert {(len(d.query), len(d.target)) for d in directions} == {(1, 1), (1, 7), (2, 1), (2, 6), (7, 1)}
    assert len(directions) == 8 * 8 + 28 * 7 + 8


def test_targets_of_one_query_follow_each_other():
    directions = default_directions(random_embeddings(modalities=tuple("abcd")))
    runs = [key for key, _ in groupby(directions, key=lambda d: (d.query, d.unit))]
    assert len(runs) == len(set(runs))


def test_singles_are_singles():
    assert described(singles(random_embeddings(), "value")) == [
        (f"{q}->{t}", "value") for q in "abc" for t in "abc" if q != t
    ]


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
