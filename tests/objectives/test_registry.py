"""Every objective by its name: made, summed, trained in a space, saved and read again."""

import pytest
import torch

import manymodal as mm
from cases import random_embeddings, with_grad
from manymodal.errors import ManymodalError
from manymodal.objectives import Objective, PairwiseObjective, make_objective, objective_spec
from manymodal.objectives.base import Loss
from manymodal.objectives.registry import OBJECTIVES, WeightedSum

NEEDED = {"anchor": {"anchor": "a"}}  # settings without a default
GIVEN = {
    "anchor": {"anchor": "b", "scale": 5.0, "weights": {"a/b": 2.0}},
    "fused": {"share": 0.2, "hidden": 3, "match": "label"},
    "gram": {"anchor": "b", "eps": 0.01, "members": ["a", "b"]},
    "pcmc": {"scale": 5.0, "scales": "per pair", "match": "label", "combinations": 0.5},
    "pcmr": {"lam": 2.0, "beta": 0.1, "weights": "equal"},
    "sigmoid": {"scale": 5.0, "bias": -3.0, "weights": {"a/b": 2.0}},
    "spectral": {"scale": 5.0, "weights": "equal"},
    "symile": {"negatives": "together", "members": ["c", "a"]},
}


def prepared(spec, embeddings):
    objective = make_objective(spec)
    objective.prepare(embeddings.modalities, embeddings.dim)
    return objective


def test_every_objective_is_tested_here():
    assert set(GIVEN) == set(OBJECTIVES)


@pytest.mark.parametrize("name", GIVEN)
def test_settings_come_back(name):
    for given in ({**NEEDED.get(name, {})}, GIVEN[name]):
        settings = objective_spec(make_objective({name: given}))[name]
        assert given.items() <= settings.items() or sorted(given["members"]) == settings["members"]
        assert objective_spec(make_objective({name: settings})) == {name: settings}
        assert settings.get("weights") == (given.get("weights", "auto") if "weights" in settings else None)


@pytest.mark.parametrize("name", GIVEN)
def test_losses_are_finite_and_reach_every_modality(name):
    e = with_grad(random_embeddings(items=12, dtype=torch.float32, labels=3, label_modality=True))
    objective = prepared({name: NEEDED.get(name, {})}, e)
    loss = objective(e)
    loss.total.backward()
    objective.after_step()
    assert bool(loss.pairs) == isinstance(objective, PairwiseObjective) != bool(loss.terms)
    assert set(loss.chance) == set(loss.weights) == set(loss.pairs)
    assert loss.total.item() > 0 and all(v.grad.isfinite().all() and v.grad.any() for v in e.vectors.values())


def test_sums_carry_pairs_terms_and_weights():
    e = random_embeddings(dtype=torch.float32)
    spec = {"pcmc": {"weight": 0.5, "weights": {"a/b": 3.0}}, "pcmr": {"weight": 2, "weights": "equal"}}
    whole = prepared({**spec, "symile": {"negatives": "together"}, "gram": {"weight": 3}}, e)
    pcmc, pcmr, symile, gram = (part(e) for part in whole.parts.values())
    loss = whole(e)
    want = 0.5 * pcmc.total + 2 * pcmr.total + symile.total + 3 * gram.total
    assert loss.total.item() == pytest.approx(want.item(), rel=1e-6)
    for pair in pcmc.pairs:
        assert loss.pairs[pair].item() == pytest.approx((0.5 * pcmc.pairs[pair] + 2 * pcmr.pairs[pair]).item())
        assert loss.chance[pair] == pytest.approx(0.5 * pcmc.chance[pair] + 2 * pcmr.chance[pair])
    for key in symile.terms:
        assert loss.terms[key].item() == pytest.approx((symile.terms[key] + 3 * gram.terms[key]).item())
    assert loss.weights == pytest.approx(
        {("a", "b"): 0.5 * 3 / 5 + 2 / 3, **dict.fromkeys([("a", "c"), ("b", "c")], 0.5 / 5 + 2 / 3)}
    )
    assert objective_spec(make_objective(objective_spec(whole))) == objective_spec(whole)


def test_sums_pass_on_what_they_are_told():
    told = []

    class Listener(Objective):
        def prepare(self, modalities, dim):
            told.append(("prepare", tuple(modalities), dim))

        def after_step(self):
            told.append("step")

        def forward(self, embeddings):
            return Loss(embeddings.vectors["a"].sum())

        def settings(self):
            return {}

    both = WeightedSum({"one": Listener(), "two": Listener()}, {"one": 1.0, "two": 2.0})
    both.prepare(["a"], 4), both.after_step()
    assert told == [("prepare", ("a",), 4)] * 2 + ["step"] * 2


def test_the_command_line_names_them_all():
    from manymodal.cli import fit

    assert ", ".join(sorted(OBJECTIVES)) == fit.OBJECTIVES


def test_mistakes_are_named():
    with pytest.raises(ManymodalError, match="pcmx.*anchor, fused, gram, pcmc, pcmr, sigmoid, spectral, symile"):
        make_objective("pcmx")
    with pytest.raises(
        ManymodalError, match="symile has no setting 'weights'; it has scale, negatives, members, match, weight"
    ):
        make_objective({"symile": {"weights": "equal"}})
    with pytest.raises(ManymodalError, match="gram: a setting in .* is of a wrong type"):
        make_objective({"gram": {"eps": "small"}})
    with pytest.raises(ManymodalError, match="weight 0; it must be"):
        make_objective({"fused": {"weight": 0}})


@pytest.fixture(scope="module")
def table():
    """Sixteen items in three modalities of vectors, the first missing in some."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(16, 4, generator=generator)
    noisy = [(rows + 0.1 * torch.randn(16, 4, generator=generator)).tolist() for _ in "abc"]
    splits = ["train"] * 12 + ["dev"] * 4
    return [
        {"id": str(i), "split": splits[i], "a": None if i % 5 == 4 else a, "b": b, "c": c}
        for i, (a, b, c) in enumerate(zip(*noisy, strict=True))
    ]


@pytest.mark.parametrize(
    "spec", [*({n: NEEDED.get(n, {})} for n in GIVEN), {"fused": {"weight": 0.5}, "pcmr": {}}], ids=str
)
def test_a_space_is_trained_with_it_saved_and_read(spec, table, tmp_path):
    data = mm.read_collection(table)
    space = mm.Space.for_collection(data, dim=4, objective=spec, cache=tmp_path / "cache")
    before = {k: v.clone() for k, v in space.objective.state_dict().items() if isinstance(v, torch.Tensor)}
    space.fit(data, epochs=2, batch_size=6, device="cpu", cache=tmp_path / "cache")
    epoch = space.history.epochs[-1]
    assert epoch["loss"] > 0 and (epoch["pairs"] or epoch["terms"])
    assert not before or any(not torch.equal(v, space.objective.state_dict()[k]) for k, v in before.items())
    space.save(tmp_path / "space")
    again = mm.load(tmp_path / "space")
    assert objective_spec(again.objective) == objective_spec(space.objective)
    for key, value in space.objective.state_dict().items():
        got = again.objective.state_dict()[key]
        assert torch.equal(got, value) if isinstance(value, torch.Tensor) else got == value


def test_first_weights_of_an_objective_follow_the_seed(table, tmp_path):
    data = mm.read_collection(table)
    made = [
        mm.Space.for_collection(data, dim=4, objective="fused", seed=seed, cache=tmp_path).objective.state_dict()
        for seed in (1, 1, 2)
    ]
    key = "fusions.0.layers.0.weight"
    assert torch.equal(made[0][key], made[1][key]) and not torch.equal(made[0][key], made[2][key])
