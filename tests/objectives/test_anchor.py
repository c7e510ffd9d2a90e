"""Anchor: PCMC's pairs with one modality, and no others."""

import pytest
import torch

from cases import random_embeddings, with_grad
from manymodal.errors import ManymodalError
from manymodal.objectives import PCMC, make_objective, objective_spec
from manymodal.objectives.anchor import Anchor
from oracles import oracle_objective, oracle_pcmc_pair


@pytest.mark.parametrize("match", ["item", "label"])
@pytest.mark.parametrize(
    "case", [{}, {"absent": True}, {"label_modality": True}, {"modalities": tuple("abcd")}], ids=str
)
def test_is_pcmc_over_the_pairs_with_the_anchor(case, match):
    e = random_embeddings(**{"labels": 3, **case})
    loss = Anchor("b", scale=4.0, match=match).double()(e)
    _, every = oracle_objective(e, lambda x, y, m: oracle_pcmc_pair(x, y, m, 4.0), match)
    want = {pair: value for pair, value in every.items() if "b" in pair}
    assert {p: v.item() for p, v in loss.pairs.items()} == pytest.approx(want, rel=1e-6) and len(want) < len(every)
    assert loss.total.item() == pytest.approx(sum(want.values()) / len(want), rel=1e-6)
    assert set(loss.chance) == set(loss.weights) == set(want)


def test_with_two_modalities_it_is_pcmc():
    e = random_embeddings(modalities=("a", "b"))
    assert Anchor("a")(e).total.item() == pytest.approx(PCMC()(e).total.item(), rel=1e-12)


def test_gradients_are_those_of_the_pairs():
    found = []
    for weights, make in (("equal", lambda w: Anchor("a", weights=w)), ({"b/c": 0.0}, lambda w: PCMC(weights=w))):
        torch.manual_seed(0)
        e = with_grad(random_embeddings())
        objective = make(weights)
        objective(e).total.backward()
        found.append([*(v.grad for v in e.vectors.values()), objective.log_scale.grad])
    assert all(torch.allclose(x, y) for x, y in zip(*found, strict=True))


def test_composed_queries_are_those_for_the_anchor():
    e = random_embeddings()
    assert set(Anchor("b", combinations=1.0)(e).terms) == {("a", "c", "b")}


def test_a_scale_per_pair():
    e = random_embeddings()
    objective = Anchor("b", scales="per pair")
    objective.prepare(e.modalities, e.dim)
    objective(e).total.backward()
    assert set(objective.scale) == {("a", "b"), ("b", "c")} and objective.log_scale.grad.all()


def test_the_anchor_is_named_and_known():
    with pytest.raises(ManymodalError, match=r"objective: \{anchor: \{anchor: photo\}\}"):
        make_objective("anchor")
    with pytest.raises(ManymodalError, match="'zebra'.*a, b, c"):
        Anchor("zebra")(random_embeddings())
    with pytest.raises(ManymodalError, match="'zebra'.*a, b"):
        Anchor("zebra").prepare(["a", "b"], 4)
    assert objective_spec(make_objective({"anchor": {"anchor": "b"}}))["anchor"]["anchor"] == "b"


def test_a_weight_for_a_pair_without_the_anchor_is_refused():
    with pytest.raises(ManymodalError, match="a/c.*not compared.*a/b, b/c"):
        Anchor("b", weights={"a/c": 2.0})(random_embeddings())
