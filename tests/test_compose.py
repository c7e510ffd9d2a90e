import numpy as np
import pytest
import torch

from cases import random_embeddings, vectors
from manymodal.compose import Part, compose, compose_items, cosines, rows_of
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from oracles import oracle_compose, oracle_composed_rows


def test_one_query_agrees_with_the_plain_loop():
    photo, caption, sound = vectors(1), vectors(3), vectors(2)
    parts = [Part("photo", photo), Part("caption", caption, 0.3), Part("sound", sound, -0.5), Part("tags", vectors(0))]
    twin = oracle_compose([(photo.numpy(), 1), (caption.numpy(), 0.3), (sound.numpy(), -0.5)])
    np.testing.assert_allclose(compose(parts).numpy(), twin, atol=1e-12)


def test_cosines_are_unweighted_and_name_what_is_not_wanted():
    photo, caption, target = vectors(1), vectors(2), vectors(1)[0]
    other = vectors(1)[0]
    parts = [Part("photo", photo, 0.1), Part("photo", caption, -2.0), Part("tags", vectors(0))]
    found, second = cosines(parts, [target, other])
    assert second["photo"] == pytest.approx(float(photo[0] @ other)) and cosines(parts, []) == []
    assert found == {
        "photo": pytest.approx(float(photo[0] @ target)),
        "-photo": pytest.approx(float(oracle_compose([(caption.numpy(), 1)]) @ target.numpy())),
    }


def test_what_cancels_out_is_refused_by_name():
    v = vectors(1)
    with pytest.raises(ManymodalError, match="sum of photo and -caption cancel out"):
        compose([Part("photo", v), Part("caption", v, -1.0)])
    with pytest.raises(ManymodalError, match="values of 'photo' cancel out"):
        compose([Part("photo", torch.cat([v, -v])), Part("caption", v)])
    with pytest.raises(ManymodalError, match="cancel out"):
        compose([Part("photo", v, 0.0)])


def test_queries_without_sense_are_refused():
    with pytest.raises(ManymodalError, match="at least one value"):
        compose([Part("photo", vectors(0))])
    with pytest.raises(ManymodalError, match="given twice"):
        compose([Part("photo", vectors(1)), Part("photo", vectors(1))])
    with pytest.raises(ManymodalError, match="weight nan of 'photo'"):
        compose([Part("photo", vectors(1), float("nan"))])


@pytest.mark.parametrize("modalities", [("a",), ("a", "b"), ("a", "b", "c"), ("b", "kind"), ("kind",), ("a", "nobody")])
@pytest.mark.parametrize("unit", ["item", "value"])
@pytest.mark.parametrize("parts", ["all", "any"])
def test_all_items_at_once_agree_with_the_plain_loop(modalities, unit, parts):
    embeddings = random_embeddings(items=12, labels=4, label_modality=True, absent=True)
    weights = {modalities[0]: 0.4}
    rows = compose_items(embeddings, modalities, weights, parts, unit)
    twin = oracle_composed_rows(embeddings, modalities, unit, parts, weights)
    assert rows.items.tolist() == [item for _, item, _ in twin]
    assert rows.labels.tolist() == [label for _, _, label in twin]
    assert rows.vectors.shape == (len(twin), embeddings.dim)
    if twin:
        np.testing.assert_allclose(rows.vectors.numpy(), np.stack([v for v, _, _ in twin]), atol=1e-12)


def test_an_item_and_a_query_are_composed_by_one_rule():
    embeddings = random_embeddings(items=5, missing=0)
    rows = compose_items(embeddings, ("a", "c"), {"c": 0.7})
    for vector, item in zip(rows.vectors, rows.items, strict=True):
        parts = [Part(m, embeddings.vectors[m][embeddings.items[m] == item], w) for m, w in (("a", 1.0), ("c", 0.7))]
        assert torch.allclose(vector, compose(parts))


def test_shorter_lists_start_over():
    v = vectors(5)
    items = {"photo": torch.tensor([7, 7]), "caption": torch.tensor([7, 7, 7])}
    rows = compose_items(Embeddings({"photo": v[:2], "caption": v[2:]}, items), ("photo", "caption"), unit="value")
    expected = torch.nn.functional.normalize(v[[0, 1, 0]] + v[2:], dim=1)
    assert torch.allclose(rows.vectors, expected) and rows.items.tolist() == [7, 7, 7] and rows.labels is None


def test_gradients_pass_through_a_composition():
    v = vectors(3, grad=True)
    items = {"a": torch.tensor([0, 0]), "b": torch.tensor([0])}
    compose_items(Embeddings({"a": v[:2], "b": v[2:]}, items), ("a", "b")).vectors.sum().backward()
    assert v.grad.abs().sum(dim=1).min() > 0


def test_batches_refuse_by_name():
    v = vectors(1)
    two = torch.tensor([4, 4])
    embeddings = Embeddings({"a": torch.cat([v, -v]), "b": torch.cat([v, v])}, {"a": two, "b": two})
    with pytest.raises(ManymodalError, match="item 4: the values of 'a' cancel out"):
        compose_items(embeddings, ("a", "b"))
    with pytest.raises(ManymodalError, match="item 4: the sum of a and b cancel out"):
        compose_items(embeddings, ("a", "b"), unit="value")
    with pytest.raises(ManymodalError, match="no modality 'photo' here; there are a, b"):
        compose_items(embeddings, ("a", "photo"))
    with pytest.raises(ManymodalError, match="no modality 'b' here; there are a"):
        compose_items(embeddings, ("a",), {"b": 2.0})
    with pytest.raises(ManymodalError, match="named twice"):
        compose_items(embeddings, ("a", "a"))
    with pytest.raises(ManymodalError, match="at least one of a, b"):
        compose_items(embeddings, ())
    with pytest.raises(ManymodalError, match="parts='some'; allowed are \"all\""):
        compose_items(embeddings, ("b",), parts="some")
    with pytest.raises(ManymodalError, match="weight inf of 'b'"):
        compose_items(embeddings, ("b",), {"b": float("inf")})
    kinds = Embeddings({"b": v, "kind": v}, {"b": two[:1], "kind": torch.tensor([-1])})
    with pytest.raises(ManymodalError, match="'kind' has one value per label.*no labels"):
        compose_items(kinds, ("b", "kind"))


def test_rows_of_one_modality_are_as_they_are():
    embeddings = random_embeddings(labels=3)
    rows = rows_of(embeddings, "b")
    assert rows.vectors is embeddings.vectors["b"] and rows.labels is embeddings.labels["b"]
    with pytest.raises(ManymodalError, match="no modality 'z'"):
        rows_of(embeddings, "z")


def test_an_unknown_label_is_nobodys():
    v, ids = vectors(4), torch.tensor([0, 1])
    items = {"photo": ids, "kind": torch.tensor([-1, -1])}
    labels = {"photo": torch.tensor([-1, 5]), "kind": torch.tensor([-1, 5])}
    embeddings = Embeddings({"photo": v[:2], "kind": v[2:]}, items, labels)
    assert compose_items(embeddings, ("photo", "kind")).items.tolist() == [1]
    assert compose_items(embeddings, ("kind",)).labels.tolist() == [5]
