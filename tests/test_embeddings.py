"""The one type that crosses every border: what it refuses, by name, and what its parts and sums keep."""

import pytest
import torch

from cases import random_embeddings, vectors
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError


def two(**changes):
    content = {
        "vectors": {"a": vectors(3), "b": vectors(2)},
        "items": {"a": torch.tensor([0, 1, 2]), "b": torch.tensor([2, 2])},
        "labels": {"a": torch.tensor([5, -1, 7]), "b": torch.tensor([7, 7])},
    }
    for name, change in changes.items():
        content[name] = {**content[name], **change}
    return Embeddings(**content)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"vectors": {"b": vectors(2) * 1.01}}, "'b'.*norm 1.01.*normalized"),
        ({"vectors": {"b": torch.full((2, 8), torch.nan, dtype=torch.float64)}}, "'b'.*row 0 is not finite"),
        ({"vectors": {"b": vectors(2, 7)}}, "d=7"),
        ({"vectors": {"b": vectors(2).float()}}, "float64"),
        ({"vectors": {"b": torch.ones(2, 8, dtype=torch.int64)}}, "floats"),
        ({"vectors": {"b": vectors(2)[0]}}, r"\(8,\)"),
        ({"items": {"b": torch.tensor([1])}}, r"items\['b'\].*\(1,\).*\(2,\)"),
        ({"items": {"b": torch.tensor([1, 2], dtype=torch.int32)}}, "int32.*int64"),
        ({"items": {"b": torch.tensor([1, -1])}}, "mix negative"),
        ({"items": {"b": torch.tensor([-2, -2])}}, "mix negative"),
        ({"labels": {"b": torch.tensor([7])}}, r"labels\['b'\]"),
        ({"labels": {"b": torch.tensor([7, 8])}}, "item 2 has more than one label"),
        ({"items": {"c": torch.tensor([1])}}, "same modalities"),
    ],
)
def test_refuses_by_name(changes, words):
    with pytest.raises(ManymodalError, match=words):
        two(**changes)


def test_refuses_nothing_at_all():
    with pytest.raises(ManymodalError, match="at least one modality"):
        Embeddings({}, {})


def test_allows_empty_modalities_and_says_what_it_is():
    e = Embeddings(
        {"a": vectors(2), "b": vectors(0)}, {"a": torch.tensor([4, 9]), "b": torch.zeros(0, dtype=torch.int64)}
    )
    assert len(e) == 2 and e.dim == 8 and not e.per_label("b")
    assert repr(e) == "Embeddings(a: 2, b: 0; d=8, float64)"


def test_norms_within_a_thousandth_are_kept_as_they_are():
    v = vectors(3) * 1.0009
    assert torch.equal(Embeddings({"a": v}, {"a": torch.arange(3)}).vectors["a"], v)


def test_normalized_divides_when_asked_and_lets_gradients_through():
    v = (5 * vectors(3)).requires_grad_()
    e = Embeddings.normalized({"a": v}, {"a": torch.arange(3)})
    assert torch.allclose(e.vectors["a"].norm(dim=1), torch.ones(3, dtype=torch.float64))
    e.vectors["a"][:, 0].sum().backward()
    assert v.grad.abs().sum() > 0
    with pytest.raises(ManymodalError, match="norm 0"):
        Embeddings.normalized({"a": torch.zeros(1, 3)}, {"a": torch.arange(1)})


def test_only_names_what_is_there():
    assert two().only("b").modalities == ("b",)
    with pytest.raises(ManymodalError, match="'c'.*a, b"):
        two().only("c")


def test_items_picked_and_parts_joined_are_the_whole():
    e = random_embeddings(labels=3, label_modality=True)
    items = torch.cat([i for m, i in e.items.items() if m != "kind"]).unique()
    parts = [e.of_items(items[:3]), e.of_items(items[3:])]
    for m in ("a", "b", "c"):
        assert sum(len(p.items[m]) for p in parts) == len(e.items[m])
        assert all(
            torch.isin(p.items[m], chosen).all() for p, chosen in zip(parts, (items[:3], items[3:]), strict=True)
        )
    for p in parts:  # a label modality keeps the rows of the labels that are left
        kept = torch.cat([p.labels[m] for m in ("a", "b", "c")]).unique()
        assert set(p.labels["kind"].tolist()) == {x for x in kept.tolist() if x >= 0}
    joined = Embeddings.concatenate([p.only("a", "b", "c") for p in parts])
    assert {m: sorted(i.tolist()) for m, i in joined.items.items()} == {
        m: sorted(e.items[m].tolist()) for m in ("a", "b", "c")
    }


def test_joining_names_its_mistakes():
    with pytest.raises(ManymodalError, match="nothing to concatenate"):
        Embeddings.concatenate([])
    with pytest.raises(ManymodalError, match="some parts have labels"):
        Embeddings.concatenate([random_embeddings(), random_embeddings(labels=2)])


def test_moving_changes_the_type_of_the_vectors_alone():
    e = two().to(dtype=torch.float32)
    assert {v.dtype for v in e.vectors.values()} == {torch.float32} and {i.dtype for i in e.items.values()} == {
        torch.int64
    }


def test_ids_that_matching_could_not_double_are_refused():
    with pytest.raises(ManymodalError, match="below 2"):
        Embeddings({"a": vectors(1)}, {"a": torch.tensor([1 << 62])})
