"""PCMC in tiles: CLIP's loss, the full matrix and the plain loops agree; one scale or many."""

import json
import math
from itertools import combinations

import pytest
import torch
from torch.nn.functional import cross_entropy

import manymodal as mm
from cases import random_embeddings, vectors, with_grad
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.matching import pair_keys
from manymodal.objectives import PCMC, make_objective, objective_spec, tiles
from manymodal.objectives.matches import pair_similarities
from manymodal.objectives.pcmc import pcmc
from oracles import oracle_objective, oracle_pcmc_pair, oracle_pcmc_pair_all

DENOMINATORS = {"match": oracle_pcmc_pair, "all": oracle_pcmc_pair_all}


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setitem(tiles.TILES, "cpu", (4, 3))


def full_matrix(a, b, key_a, key_b, scale, denominator="match"):
    """The loss of one pair from its whole matrix of similarities."""
    logits, match = scale * (a @ b.T), (key_a[:, None] == key_b) & (key_a[:, None] >= 0)
    halves = []
    for z, hit in ((logits, match), (logits.T, match.T)):
        anchors = []
        for row, own in zip(z[hit.any(1)], hit[hit.any(1)], strict=True):
            rivals = row if denominator == "all" else row[~own]
            sums = [rivals if denominator == "all" else torch.cat([rivals, one[None]]) for one in row[own]]
            anchors.append(torch.stack([s.logsumexp(0) - one for s, one in zip(sums, row[own], strict=True)]).mean())
        halves.append(torch.stack(anchors).mean())
    return sum(halves) / 2


@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("match", ["item", "label"])
def test_equals_the_full_matrix_and_the_plain_loops(denominator, match):
    e = with_grad(random_embeddings(labels=3, label_modality=True))
    objective = PCMC(scale=20.0, denominator=denominator, match=match).double()
    loss = objective(e)
    scale = objective.log_scale.exp()
    pairs = {
        (a, b): full_matrix(e.vectors[a], e.vectors[b], *pair_keys(e, a, b, match), scale, denominator)
        for a, b in combinations(e.modalities, 2)
        if (a, b) in loss.pairs
    }
    inputs = [*e.vectors.values(), objective.log_scale]
    found = torch.autograd.grad(loss.total, inputs)
    expected = torch.autograd.grad(torch.stack(list(pairs.values())).mean(), inputs)
    for x, y in zip(found, expected, strict=True):
        assert torch.allclose(x, y, rtol=1e-10, atol=1e-13)
    total, loops = oracle_objective(e, lambda x, y, m: DENOMINATORS[denominator](x, y, m, scale.item()), match)
    assert loss.total.item() == pytest.approx(total, rel=1e-10)
    for pair, value in loops.items():
        assert pairs[pair].item() == pytest.approx(value, rel=1e-10)
        assert loss.pairs[pair].item() == pytest.approx(value, rel=1e-10)


@pytest.mark.parametrize("denominator", DENOMINATORS)
def test_with_one_match_each_it_is_clips_loss(denominator):
    a, b, n = vectors(9, grad=True), vectors(9, grad=True), torch.arange(9)
    objective = PCMC(denominator=denominator).double()
    loss = objective(Embeddings({"photo": a, "text": b}, {"photo": n, "text": n})).total
    logits = objective.log_scale.exp() * a @ b.T
    clip = (cross_entropy(logits, n) + cross_entropy(logits.T, n)) / 2
    assert loss.item() == pytest.approx(clip.item(), rel=1e-12)
    inputs = (a, b, objective.log_scale)
    for x, y in zip(torch.autograd.grad(loss, inputs), torch.autograd.grad(clip, inputs), strict=True):
        assert torch.allclose(x, y, rtol=1e-11)


@pytest.mark.parametrize("denominator", DENOMINATORS)
def test_gradients_are_those_of_finite_differences(denominator):
    a, b, scale = vectors(5, 3, grad=True), vectors(6, 3, grad=True), torch.tensor(4.0).double().requires_grad_()
    key_a, key_b = torch.tensor([0, 0, 2, 4, -1]), torch.tensor([0, 2, 2, 6, 0, -1])
    assert torch.autograd.gradcheck(lambda x, y, s: pcmc(x, y, key_a, key_b, s, denominator)[0], (a, b, scale))


def test_the_two_denominators_differ_by_the_other_matches():
    """Three equal values of one item, no rival: nothing to lose, or a third each."""
    same, one = vectors(1).repeat(3, 1), torch.zeros(3, dtype=torch.int64)
    e = with_grad(Embeddings({"a": same, "b": same}, {"a": one, "b": one}))
    assert PCMC(denominator="match")(e).total.item() == 0
    every = PCMC(denominator="all")(e)
    assert every.total.item() == pytest.approx(math.log(3)) == every.chance["a", "b"]
    (every.total + PCMC()(e).total).backward()
    assert all(v.grad.isfinite().all() for v in e.vectors.values())


@pytest.mark.parametrize("denominator", DENOMINATORS)
def test_rows_without_a_match_are_negatives_and_no_anchors(denominator):
    a, b, key = vectors(4, grad=True), vectors(5, grad=True), torch.arange(4) * 2
    far = torch.tensor([0, 2, 98, 99, -1])
    loss, chance = pcmc(a, b, key, far, 3.0, denominator)
    assert loss.item() == pytest.approx(full_matrix(a, b, key, far, 3.0, denominator).item(), rel=1e-12)
    assert chance == pytest.approx((math.log(5) + math.log(4)) / 2)
    fewer, _ = pcmc(a[:3], b, key[:3], far, 3.0, denominator)
    assert fewer.item() < loss.item()
    assert pcmc(a, b, key, key.new_full((5,), -1), 3.0, denominator) is None


def test_half_precision_gives_a_float32_loss():
    a, b, key = vectors(30, 16).bfloat16(), vectors(30, 16).bfloat16(), torch.arange(30)
    loss, _ = pcmc(a.requires_grad_(), b, key, key, 14.0)
    exact, _ = pcmc(a.double(), b.double(), key, key, 14.0)
    loss.backward()
    assert loss.dtype == torch.float32 and a.grad.dtype == torch.bfloat16
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)


def test_one_scale_per_pair_learns_where_its_pair_is():
    e = random_embeddings(modalities=("b", "a.x", "c"), absent=True)
    objective = PCMC(scale=9.0, scales="per pair")
    with pytest.raises(ManymodalError, match="a.x/b.*prepare"):
        objective(e)
    objective.prepare(["nobody", "b", "a.x", "c"], e.dim)
    parameter = objective.log_scale
    objective.prepare(e.modalities, e.dim)
    assert objective.log_scale is parameter  # an optimiser may hold it
    assert objective.scale == pytest.approx(dict.fromkeys(combinations(e.modalities, 2), 9.0))
    with torch.no_grad():
        parameter[objective.scaled_pairs.index(("a.x", "b"))] = math.log(30.0)
    loss = objective(e)
    for pair, value in loss.pairs.items():
        alone = PCMC(scale=30.0 if pair == ("a.x", "b") else 9.0)(e)
        assert value.item() == pytest.approx(alone.pairs[pair].item(), rel=1e-6)
    loss.total.backward()
    moved = {pair for pair, g in zip(objective.scaled_pairs, parameter.grad, strict=True) if g != 0}
    assert moved == set(loss.pairs) == {("a.x", "b"), ("a.x", "c"), ("b", "c")}
    with torch.no_grad():
        parameter.fill_(7.0)
    objective.after_step()
    assert list(objective.scale.values()) == pytest.approx([100.0] * 6)


def test_scales_per_pair_survive_saving_and_new_modalities():
    objective = PCMC(scales="per pair")
    objective.prepare(["a", "b"], 8)
    with torch.no_grad():
        objective.log_scale.fill_(math.log(50.0))
    again = make_objective(json.loads(json.dumps(objective_spec(objective))))
    again.prepare(["b", "a"], 8)
    again.load_state_dict(objective.state_dict())
    assert again.scale == objective.scale == {("a", "b"): pytest.approx(50.0)}
    again.prepare(["a", "b", "c"], 8)
    assert again.scale["a", "b"] == pytest.approx(50.0) and again.scale["b", "c"] == pytest.approx(1 / 0.07)


def test_a_space_learns_and_keeps_one_scale_per_pair(tmp_path):
    """Names that no parameter could have, in the optimiser before the first step, and back from the folder."""
    rows = [{"photo.raw": vectors(1, 4)[0].tolist(), "b": vectors(1, 3)[0].tolist()} for _ in range(12)]
    data = mm.read_collection(rows)
    space = mm.Space.for_collection(data, dim=4, objective={"pcmc": {"scales": "per pair"}}, cache=tmp_path)
    assert space.objective.scale == {("b", "photo.raw"): pytest.approx(1 / 0.07)}
    space.fit(data, epochs=2, lr=0.1, patience=9, device="cpu", cache=tmp_path)
    learned = space.objective.scale
    assert learned != {("b", "photo.raw"): pytest.approx(1 / 0.07)}
    space.save(tmp_path / "space")
    assert mm.load(tmp_path / "space").objective.scale == learned


def test_a_composed_query_uses_the_mean_scale_of_its_parts():
    objective = PCMC(scales="per pair", combinations=1.0)
    objective.prepare(["a", "b", "c"], 8)
    with torch.no_grad():
        objective.log_scale.copy_(torch.tensor([2.0, 3.0, 4.0]))  # a/b, a/c, b/c
    assert objective._scale_of(("a/b", "c")).log().item() == pytest.approx(3.5)
    assert set(objective(random_embeddings(missing=0.0)).terms) == {("a", "b", "c"), ("a", "c", "b"), ("b", "c", "a")}


def test_settings_round_trip_and_mistakes_are_named():
    given = {"scale": 5.0, "scales": "per pair", "denominator": "all", "match": "label", "weights": {"a/b": 2.0}}
    settings = objective_spec(make_objective({"pcmc": given}))["pcmc"]
    assert settings == {**given, "clusters": None, "combinations": 0.0}
    assert objective_spec(make_objective({"pcmc": settings})) == {"pcmc": settings}
    with pytest.raises(ManymodalError, match="one.*shared.*per pair"):
        PCMC(scales="one")
    with pytest.raises(ManymodalError, match="some.*match.*all"):
        PCMC(denominator="some")


def test_pair_similarities_in_blocks(monkeypatch):
    monkeypatch.setattr("manymodal.objectives.moments.BLOCK", 8)
    a, b = vectors(5, 4, grad=True), vectors(6, 4, grad=True)
    i, j = torch.randint(0, 5, (17,)), torch.randint(0, 6, (17,))
    assert torch.allclose(pair_similarities(a, b, i, j), (a[i] * b[j]).sum(1))
    assert torch.autograd.gradcheck(lambda x, y: pair_similarities(x, y, i, j), (a, b))
    half = pair_similarities(a.bfloat16(), b.bfloat16(), i, j)
    assert half.dtype == torch.float32
    assert torch.allclose(half, (a.bfloat16().float()[i] * b.bfloat16().float()[j]).sum(1))
