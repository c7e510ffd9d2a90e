"""Sigmoid against its plain-loop twin, SigLIP's own form, its chance level, and in blocks."""

import math

import pytest
import torch
from torch.nn.functional import logsigmoid

from cases import random_embeddings, vectors, with_grad
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.objectives.sigmoid import Sigmoid, sigmoid
from oracles import oracle_objective, oracle_sigmoid_pair

CASES = {
    "several and missing values": {},
    "one modality without values": {"absent": True},
    "a label modality": {"label_modality": True},
    "two modalities": {"modalities": ("x", "y")},
}


@pytest.mark.parametrize("match", ["item", "label"])
@pytest.mark.parametrize("case", CASES)
def test_equals_its_plain_loop_twin(case, match):
    e = random_embeddings(**{"labels": 3, **CASES[case]})
    loss = Sigmoid(scale=4.0, bias=-2.0, match=match).double()(e)
    total, pairs = oracle_objective(e, lambda x, y, m: oracle_sigmoid_pair(x, y, m, 4.0, -2.0), match)
    assert {p: v.item() for p, v in loss.pairs.items()} == pytest.approx(pairs, rel=1e-6)
    assert loss.total.item() == pytest.approx(total, rel=1e-6)


def test_one_value_per_item_gives_siglips_loss():
    a, b, n = vectors(9), vectors(9), torch.arange(9)
    y = 2 * torch.eye(9, dtype=torch.float64) - 1
    want = -logsigmoid(y * (10 * a @ b.T - 10)).sum() / 9
    loss = Sigmoid().double()(Embeddings({"a": a, "b": b}, {"a": n, "b": n}))
    assert loss.total.item() == pytest.approx(want.item(), rel=1e-6)


def test_rows_without_a_match_are_negatives_and_no_anchors():
    a, b = vectors(3), vectors(2)
    loss, _ = sigmoid(a, b, torch.tensor([0, 2, 4]), torch.tensor([0, 2]), 2.0, -1.0)
    y = torch.tensor([[1.0, -1], [-1, 1], [-1, -1]])
    assert loss.item() == pytest.approx((-logsigmoid(y * (2 * a @ b.T - 1)).sum() / 2).item())
    assert sigmoid(a, b, torch.tensor([0, 2, 4]), torch.tensor([6, -1]), 2.0, -1.0) is None


def test_gradients_are_those_of_finite_differences(monkeypatch):
    monkeypatch.setattr("manymodal.objectives.blocks.NUMBERS", 10)
    e = random_embeddings(items=4, d=3, labels=2, label_modality=True)
    objective = Sigmoid()

    def total(log_scale, bias, *raw):
        made = Embeddings.normalized(dict(zip(e.modalities, raw, strict=True)), e.items, e.labels)
        return torch.func.functional_call(objective, {"scale.log": log_scale, "bias": bias}, (made,)).total

    learned = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (1.0, -2.0)]
    raw = [e.vectors[m].clone().requires_grad_() for m in e.modalities]
    assert torch.autograd.gradcheck(total, [*learned, *raw], atol=1e-6, fast_mode=True)


def test_chance_is_the_best_constant_logit():
    e = random_embeddings()
    key = torch.arange(0, 16, 2)
    a, b = vectors(8), vectors(5)
    _, chance = sigmoid(a, b, key, key[:5], 1.0, 0.0)
    constant = [sigmoid(a * 0, b, key, key[:5], 1.0, bias / 100)[0].item() for bias in range(-400, 0)]
    assert chance == pytest.approx(min(constant), abs=1e-4) and chance <= min(constant)
    assert all(level > 0 for level in Sigmoid()(e).chance.values())
    assert sigmoid(a, b, key * 0, key[:5] * 0, 1.0, 0.0)[1] == 0  # everything matches: nothing to know


def test_order_of_rows_and_blocks_do_not_matter(monkeypatch):
    e = random_embeddings(labels=3, label_modality=True)
    shuffled = {m: torch.randperm(len(v)) for m, v in reversed(e.vectors.items())}
    again = Embeddings(*({m: of[m][r] for m, r in shuffled.items()} for of in (e.vectors, e.items, e.labels)))
    want = Sigmoid()(e).total.item()
    monkeypatch.setattr("manymodal.objectives.blocks.NUMBERS", 10)
    assert Sigmoid()(again).total.item() == pytest.approx(want, rel=1e-12)


def test_nothing_to_compare_is_a_differentiable_zero():
    e = with_grad(Embeddings({"a": vectors(3), "b": vectors(0)}, {"a": torch.arange(3), "b": torch.arange(0)}))
    loss = Sigmoid()(e)
    loss.total.backward()
    assert loss.total.item() == 0 and not loss.pairs and not e.vectors["a"].grad.any()


def test_scale_and_bias_learn_and_the_scale_is_clamped():
    objective = Sigmoid()
    objective(random_embeddings(dtype=torch.float32)).total.backward()
    assert objective.scale.log.grad.abs() > 0 and objective.bias.grad.abs() > 0
    with torch.no_grad():
        objective.scale.log.fill_(-3.0)
    objective.after_step()
    assert float(objective.scale) == pytest.approx(1.0)
    with pytest.raises(ManymodalError, match="bias=nan"):
        Sigmoid(bias=math.nan)
    with pytest.raises(ManymodalError, match="1 to 100"):
        Sigmoid(scale=1000)
