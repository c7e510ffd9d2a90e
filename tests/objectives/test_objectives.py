"""PCMC and PCMR against plain-loop twins, their invariances, and the cases that break other people's losses."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from cases import random_embeddings, vectors, with_grad
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.objectives import PCMC, PCMR, make_objective, objective_spec
from oracles import oracle_objective, oracle_pcmc_pair, oracle_pcmr_pair

OBJECTIVES = {
    "pcmc": (lambda **k: PCMC(scale=5.0, **k), lambda x, y, m: oracle_pcmc_pair(x, y, m, 5.0)),
    "pcmr": (lambda **k: PCMR(lam=3.0, beta=-0.1, **k), lambda x, y, m: oracle_pcmr_pair(x, y, m, 3.0, -0.1)),
}
CASES = {
    "several and missing values": {},
    "no gaps": {"missing": 0.0},
    "one modality absent": {"absent": True},
    "a label modality": {"labels": 3, "label_modality": True},
    "two modalities": {"modalities": ("x", "y")},
    "five modalities": {"modalities": tuple("abcde"), "items": 5},
}


@pytest.mark.parametrize("match", ["item", "label"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_equals_its_plain_loop_twin(name, case, match):
    make, twin = OBJECTIVES[name]
    embeddings = random_embeddings(**{"labels": 3, **CASES[case]})
    loss = make(match=match, weights="equal")(embeddings)
    total, pairs = oracle_objective(embeddings, twin, match)
    assert set(loss.pairs) == set(pairs)
    assert all(a < b for a, b in loss.pairs)
    for pair, value in pairs.items():
        assert loss.pairs[pair].item() == pytest.approx(value, rel=1e-6 if name == "pcmc" else 1e-11)
    assert loss.total.item() == pytest.approx(total, rel=1e-6 if name == "pcmc" else 1e-11)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradients_are_those_of_finite_differences(name):
    embeddings = random_embeddings(items=4, d=3, labels=2, label_modality=True)
    names = embeddings.modalities
    objective = OBJECTIVES[name][0](weights="equal").double()

    def total(*raw):
        return objective(
            Embeddings.normalized(dict(zip(names, raw, strict=True)), embeddings.items, embeddings.labels)
        ).total

    assert torch.autograd.gradcheck(total, [embeddings.vectors[m].clone().requires_grad_() for m in names], atol=1e-6)


def test_pcmc_with_two_modalities_and_one_value_is_clips_loss():
    a, b, n = vectors(9, dtype=torch.float32), vectors(9, dtype=torch.float32), torch.arange(9)
    objective = PCMC()
    logits = objective.scale * a @ b.T
    clip = (cross_entropy(logits, n) + cross_entropy(logits.T, n)) / 2
    assert objective(Embeddings({"photo": a, "text": b}, {"photo": n, "text": n})).total.item() == pytest.approx(
        clip.item(), rel=1e-5
    )


def test_pcmc_scale_learns_and_is_clamped():
    objective = PCMC(scale=99.0)
    assert objective.scale == pytest.approx(99.0)
    objective(random_embeddings(dtype=torch.float32)).total.backward()
    assert objective.log_scale.grad.abs() > 0
    with torch.no_grad():
        objective.log_scale.fill_(10.0)
    objective.after_step()
    assert objective.scale == pytest.approx(100.0)
    with pytest.raises(ManymodalError, match="0.07"):
        PCMC(scale=0.07)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_order_of_rows_and_modalities_does_not_matter(name):
    embeddings = random_embeddings(labels=3, label_modality=True)
    shuffled = {m: torch.randperm(len(v)) for m, v in reversed(embeddings.vectors.items())}
    again = Embeddings(
        {m: embeddings.vectors[m][r] for m, r in shuffled.items()},
        {m: embeddings.items[m][r] for m, r in shuffled.items()},
        {m: embeddings.labels[m][r] for m, r in shuffled.items()},
    )
    objective = OBJECTIVES[name][0](weights="equal")
    assert objective(embeddings).total.item() == pytest.approx(objective(again).total.item(), rel=1e-12)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_absent_modality_is_its_pairs_removed(name):
    embeddings = random_embeddings()
    objective = OBJECTIVES[name][0](weights="equal")
    without, whole = objective(embeddings.only("a", "b")), objective(embeddings)
    assert set(without.pairs) == {("a", "b")}
    assert without.total.item() == pytest.approx(whole.pairs["a", "b"].item(), rel=1e-12)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("case", ["nothing shared", "one modality", "empty"])
def test_nothing_to_compare_is_a_differentiable_zero(name, case):
    n = torch.arange(3)
    sets = {
        "nothing shared": ({"a": vectors(3, grad=True), "b": vectors(3, grad=True)}, {"a": n, "b": n + 10}),
        "one modality": ({"a": vectors(3, grad=True)}, {"a": n}),
        "empty": ({"a": vectors(0, grad=True), "b": vectors(0, grad=True)}, {"a": n[:0], "b": n[:0]}),
    }
    v, i = sets[case]
    loss = OBJECTIVES[name][0]()(Embeddings(v, i))
    loss.total.backward()
    assert loss.total.item() == 0 and not loss.pairs
    assert all(torch.equal(x.grad, torch.zeros_like(x)) for x in v.values())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_half_precision_gives_a_float32_zero(name):
    nothing = Embeddings({"a": vectors(3, dtype=torch.float32).half().requires_grad_()}, {"a": torch.arange(3)})
    assert OBJECTIVES[name][0]()(nothing).total.dtype == torch.float32


@pytest.mark.parametrize("name", OBJECTIVES)
def test_all_rows_match_and_single_rows_stay_finite(name):
    for items in (torch.zeros(3, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)):
        e = with_grad(Embeddings({"a": vectors(len(items)), "b": vectors(len(items))}, {"a": items, "b": items}))
        loss = OBJECTIVES[name][0]()(e)
        loss.total.backward()
        assert all(v.grad.isfinite().all() for v in e.vectors.values())
        if name == "pcmc":
            assert loss.total.item() == 0  # no rival, nothing to lose


def test_pcmr_does_not_change_when_all_rows_of_a_modality_are_doubled():
    e = random_embeddings()
    twice = Embeddings({**e.vectors, "b": e.vectors["b"].repeat(2, 1)}, {**e.items, "b": e.items["b"].repeat(2)})
    objective = PCMR(weights="equal")
    assert objective(e).total.item() == pytest.approx(objective(twice).total.item(), rel=1e-12)


def test_pcmr_in_float32_keeps_few_non_matches():
    """One item but for a single row: 1 in 400 pairs is a non-match, and a float32 subtraction would lose it."""
    items = torch.zeros(400, dtype=torch.int64)
    items[-1] = 1
    e = Embeddings(
        {"a": vectors(400, dtype=torch.float32), "b": vectors(400, dtype=torch.float32)}, {"a": items, "b": items}
    )
    _, pairs = oracle_objective(e, lambda x, y, m: oracle_pcmr_pair(x, y, m, 10.0, -0.1))
    assert PCMR()(e).pairs["a", "b"].item() == pytest.approx(pairs["a", "b"], rel=1e-4)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_chance_level_is_what_an_ignorant_space_gets(name):
    n = torch.arange(6)
    same = vectors(1).repeat(6, 1)
    loss = OBJECTIVES[name][0]()(Embeddings({"a": same, "b": same}, {"a": n, "b": n}))
    if name == "pcmc":
        assert loss.pairs["a", "b"].item() == pytest.approx(math.log(6)) == loss.chance["a", "b"]
    else:  # the best constant similarity
        best = min((1 - s / 1000) ** 2 + 3.0 * (s / 1000 + 0.1) ** 2 for s in range(-1000, 1001))
        assert loss.chance["a", "b"] == pytest.approx(best, abs=1e-5)


def test_given_weights():
    e = random_embeddings()
    loss = PCMC(weights={"b/a": 3.0, ("a", "c"): 0.0})(e)
    total, _ = oracle_objective(
        e, lambda x, y, m: oracle_pcmc_pair(x, y, m, 1 / 0.07), weights={("a", "b"): 3.0, ("a", "c"): 0.0}
    )
    assert loss.total.item() == pytest.approx(total, rel=1e-5)
    with pytest.raises(ManymodalError, match="'zebra'.*a, b, c"):
        PCMC(weights={"a/zebra": 1.0})(e)
    with pytest.raises(ManymodalError, match="not below 0"):
        PCMC(weights={"a/b": -1.0})
    with pytest.raises(ManymodalError, match="pair"):
        PCMC(weights={"a": 1.0})
    with pytest.raises(ManymodalError, match="equal"):
        PCMC(weights="best")
    alone = e.only("a", "b")
    alone = Embeddings.concatenate([alone, Embeddings({"c": e.vectors["c"][:0]}, {"c": e.items["c"][:0]})])
    idle = PCMC(weights={"a/b": 0.0})(alone)  # only a pair that is not to count has a match
    assert float(idle.total) == 0 and set(idle.pairs) == {("a", "b")}
    with pytest.raises(ManymodalError, match="are all 0"):
        PCMC(weights={"a/b": 0.0})(e.only("a", "b"))


def test_auto_weights_follow_what_was_learned_and_survive_saving():
    n, noise = torch.arange(32), vectors(32, dtype=torch.float32)
    known = vectors(32, dtype=torch.float32)
    e = Embeddings({"a": known, "b": known, "noise": noise}, {"a": n, "b": n, "noise": n})
    objective = PCMC(weights="auto")
    first = objective(e).weights
    for _ in range(50):
        last = objective(e).weights
    assert first["a", "b"] <= 4 * first["a", "noise"]
    assert last["a", "b"] > 20 * last["a", "noise"]
    again = PCMC(weights="auto")
    again.load_state_dict(objective.state_dict())
    assert again.eval()(e).weights == objective.eval()(e).weights == pytest.approx(last)


def test_registry_makes_sums_and_names_mistakes():
    both = make_objective({"pcmc": {"weight": 0.5}, "pcmr": {"lam": 2}})
    e = random_embeddings(dtype=torch.float32)
    expected = 0.5 * PCMC()(e).total + PCMR(lam=2)(e).total
    assert both(e).total.item() == pytest.approx(expected.item(), rel=1e-6)
    assert objective_spec(make_objective(objective_spec(both))) == objective_spec(both)
    assert objective_spec(make_objective("pcmr")) == objective_spec(PCMR(weights="auto"))
    with pytest.raises(ManymodalError, match="pcmx.*pcmc, pcmr"):
        make_objective("pcmx")
    with pytest.raises(ManymodalError, match="lambda.*lam, beta"):
        make_objective({"pcmr": {"lambda": 3}})
    with pytest.raises(ManymodalError, match="weight"):
        make_objective({"pcmr": {"weight": 0}})
    with pytest.raises(ManymodalError, match="match"):
        PCMR(match="class")


def test_labels_needed_but_absent():
    with pytest.raises(ManymodalError, match="no labels"):
        PCMC(match="label")(random_embeddings())
