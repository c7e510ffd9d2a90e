"""What Symile and GRAM share: the items that hold all members, the anchors in turn, and when there is nothing to see."""

import numpy as np
import pytest
import torch

from cases import random_embeddings, vectors, with_grad
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.objectives.blocks import in_blocks, rivals_logsumexp
from manymodal.objectives.gram import Gram
from manymodal.objectives.members import complete_items
from manymodal.objectives.symile import Symile
from oracles import oracle_complete_items, oracle_gram, oracle_symile

TWINS = {
    "symile": (
        lambda **k: Symile(scale=3.0, negatives="together", **k),
        lambda e, n, a, o, match: oracle_symile(e, a, o, 3.0, [[j] * len(o) for j in range(n)], match),
    ),
    "gram": (
        lambda **k: Gram(scale=3.0, eps=1e-3, **k),
        lambda e, n, a, o, match: oracle_gram(e, a, o, 3.0, 1e-3, match),
    ),
}
CASES = {
    "several and missing values": {},
    "no gaps": {"missing": 0.0},
    "one modality without values": {"absent": True},
    "a label modality": {"labels": 3, "label_modality": True, "items": 12},
    "two modalities": {"modalities": ("x", "y")},
    "five modalities in four dimensions": {"modalities": tuple("abcde"), "items": 5, "d": 4},
}


@pytest.mark.parametrize("match", ["item", "label"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", TWINS)
def test_equals_its_plain_loop_twin(name, case, match):
    make, twin = TWINS[name]
    e = random_embeddings(**{"labels": 3, **CASES[case]})
    names = [m for m in e.modalities if len(e.vectors[m])]
    n = len(oracle_complete_items(e, names))
    loss = make(match=match).double()(e)
    assert n >= 2 and not loss.pairs
    assert set(loss.terms) == {(a, *(m for m in names if m != a)) for a in names}
    for (anchor, *others), value in loss.terms.items():
        assert value.item() == pytest.approx(twin(e, n, anchor, others, match), rel=1e-6)
    assert loss.total.item() == pytest.approx(sum(v.item() for v in loss.terms.values()) / len(names), rel=1e-12)


@pytest.mark.parametrize("name", TWINS)
def test_gradients_are_those_of_finite_differences(name):
    e = random_embeddings(items=6, d=3, labels=3, label_modality=True, missing=0.1)
    objective = TWINS[name][0]().double()

    def total(log_scale, *raw):
        made = Embeddings.normalized(dict(zip(e.modalities, raw, strict=True)), e.items, e.labels)
        return torch.func.functional_call(objective, {"scale.log": log_scale}, (made,)).total

    raw = [e.vectors[m].clone().requires_grad_() for m in e.modalities]
    assert torch.autograd.gradcheck(
        total, [torch.tensor(1.0, dtype=torch.float64, requires_grad=True), *raw], atol=1e-6, fast_mode=True
    )


@pytest.mark.parametrize("name", TWINS)
def test_order_of_rows_and_modalities_does_not_matter(name):
    e = random_embeddings(items=12, labels=3, label_modality=True)
    shuffled = {m: torch.randperm(len(v)) for m, v in reversed(e.vectors.items())}
    again = Embeddings(*({m: of[m][r] for m, r in shuffled.items()} for of in (e.vectors, e.items, e.labels)))
    objective = TWINS[name][0]()
    assert objective(e).total > 0
    assert objective(e).total.item() == pytest.approx(objective(again).total.item(), rel=1e-12)


@pytest.mark.parametrize("name", TWINS)
def test_items_that_lack_a_member_are_left_out(name):
    e = random_embeddings()
    whole = torch.tensor([item for item, _, _ in oracle_complete_items(e, e.modalities)])
    assert len(whole) < len(e.items["a"].unique())
    objective = TWINS[name][0]()
    assert objective(e).total.item() == pytest.approx(objective(e.of_items(whole)).total.item(), rel=1e-12)
    named = TWINS[name][0](members=["b", "a"])(e)
    assert set(named.terms) == {("a", "b"), ("b", "a")}
    assert named.total.item() == pytest.approx(objective(e.only("a", "b")).total.item(), rel=1e-12)


def test_several_values_count_as_their_unit_mean():
    e = random_embeddings(items=12, labels=3, label_modality=True)
    complete = complete_items(e, e.modalities)
    want = oracle_complete_items(e, e.modalities)
    assert complete.items.tolist() == [item for item, _, _ in want]
    assert complete.labels.tolist() == [label for _, label, _ in want]
    for m in e.modalities:
        assert torch.allclose(complete.vectors[m], torch.tensor(np.array([v[m] for _, _, v in want])))


def test_label_modalities_alone_are_taken_label_by_label():
    ids, labels = torch.full((3,), -1), torch.tensor([2, 0, 1])
    e = Embeddings({"a": vectors(3), "b": vectors(3)}, {"a": ids, "b": ids}, {"a": labels, "b": labels.flip(0)})
    complete = complete_items(e, ("a", "b"))
    assert complete.labels.tolist() == [0, 1, 2] and complete.items.tolist() == [-1, -1, -1]
    assert torch.equal(complete.vectors["b"], e.vectors["b"][[1, 0, 2]])
    assert Symile()(e).total > 0


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("case", ["nothing shared", "one modality", "empty"])
def test_nothing_to_compare_is_a_differentiable_zero(name, case):
    n = torch.arange(3)
    sets = {
        "nothing shared": ({"a": vectors(3, grad=True), "b": vectors(3, grad=True)}, {"a": n, "b": n + 10}),
        "one modality": ({"a": vectors(3, grad=True)}, {"a": n}),
        "empty": ({"a": vectors(0, grad=True), "b": vectors(0, grad=True)}, {"a": n[:0], "b": n[:0]}),
    }
    v, i = sets[case]
    loss = TWINS[name][0]()(Embeddings(v, i))
    loss.total.backward()
    assert loss.total.item() == 0 and not loss.pairs and not loss.terms
    assert all(torch.equal(x.grad, torch.zeros_like(x)) for x in v.values())


@pytest.mark.parametrize("name", TWINS)
def test_without_a_rival_there_is_nothing_to_lose(name):
    one_label = {m: torch.zeros(4, dtype=torch.int64) for m in "abc"}
    cases = [
        (Embeddings({m: vectors(1) for m in "abc"}, {m: torch.arange(1) for m in "abc"}), "item"),
        (Embeddings({m: vectors(4) for m in "abc"}, {m: torch.arange(4) for m in "abc"}, one_label), "label"),
    ]
    for e, match in cases:
        e = with_grad(e)
        loss = TWINS[name][0](match=match)(e)
        loss.total.backward()
        assert loss.total.item() == 0 and all(not v.grad.any() for v in e.vectors.values())


@pytest.mark.parametrize("name", TWINS)
def test_half_precision_is_computed_in_float32(name):
    e = random_embeddings(dtype=torch.float32, missing=0.0)
    half = e.to(dtype=torch.float16)
    assert TWINS[name][0]()(half).total.item() == pytest.approx(TWINS[name][0]()(e).total.item(), rel=1e-2)
    assert TWINS[name][0]()(half).total.dtype == torch.float32


@pytest.mark.parametrize("name", TWINS)
def test_mistakes_are_named(name):
    make, e = TWINS[name][0], random_embeddings()
    with pytest.raises(ManymodalError, match="'zebra'.*a, b, c"):
        make(members=["a", "zebra"])(e)
    with pytest.raises(ManymodalError, match="'zebra'.*a, b"):
        make(members=["a", "zebra"]).prepare(["a", "b"], 8)
    for members in (["a"], "ab", ["a", "a"]):
        with pytest.raises(ManymodalError, match="at least two"):
            make(members=members)
    with pytest.raises(ManymodalError, match="no labels"):
        make(match="label")(e)
    with pytest.raises(ManymodalError, match="match"):
        make(match="class")


@pytest.mark.parametrize("name", TWINS)
def test_scale_learns_and_is_clamped(name):
    objective = TWINS[name][0]()
    objective(random_embeddings(dtype=torch.float32)).total.backward()
    assert objective.scale.log.grad.abs() > 0
    with torch.no_grad():
        objective.scale.log.fill_(10.0)
    objective.after_step()
    assert float(objective.scale) == pytest.approx(100.0)
    with pytest.raises(ManymodalError, match="1 / temperature"):
        type(objective)(scale=0.07)


@pytest.mark.parametrize("name", TWINS)
def test_blocks_change_nothing(name, monkeypatch):
    e = with_grad(random_embeddings(items=12, labels=3, label_modality=True))
    found = []
    for numbers in (1 << 20, 16):
        monkeypatch.setattr("manymodal.objectives.blocks.NUMBERS", numbers)
        total = TWINS[name][0]()(e).total
        found.append([total.detach(), *torch.autograd.grad(total, list(e.vectors.values()))])
    assert all(torch.allclose(x, y, atol=1e-12) for x, y in zip(*found, strict=True))


def test_blocks_keep_nothing_for_the_backward_pass(monkeypatch):
    monkeypatch.setattr("manymodal.objectives.blocks.NUMBERS", 50)
    a, held = vectors(20, grad=True), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: held.append(t.numel()) or t, lambda t: t):
        results = in_blocks(lambda rows: (rows @ a.T).exp().sum(), (a,), width=20)
    assert len(results) == 10  # of two rows
    assert max(held, default=0) <= a.numel()  # never a block of the matrix beside the rows


def test_rows_without_a_rival_have_a_gradient_of_zero(monkeypatch):
    monkeypatch.setattr("manymodal.objectives.blocks.NUMBERS", 4)
    a, b = vectors(3, grad=True), vectors(4, grad=True)
    key, set_key = torch.tensor([1, 1, -1]), torch.tensor([1, 1, 1, 1])
    rows, columns = rivals_logsumexp(lambda part: a @ part.T, (b,), key, set_key)
    assert rows[:2].isneginf().all() and rows[2].isfinite() and columns.isfinite().all()
    torch.nn.functional.softplus(rows).sum().backward()
    assert not a.grad[:2].any() and a.grad[2].any() and b.grad.isfinite().all()
