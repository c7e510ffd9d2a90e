"""The baselines of the bird experiment are what their papers say, and learn what can be learned."""

import importlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

PAPER = Path(__file__).parents[1] / "benchmarks" / "paper"


@pytest.fixture
def module(monkeypatch):
    """A file of benchmarks/paper, by name."""
    for folder in (PAPER.parent, PAPER):
        monkeypatch.syspath_prepend(str(folder))
    return importlib.import_module


def case(seen=60, unseen=6, each=5, width=10, attributes=8):
    """Features that are a linear map of their class's attributes, and noise: (features, labels, classes), all float64."""
    classes = torch.nn.functional.normalize(torch.randn(seen + unseen, attributes, dtype=torch.float64), dim=1)
    labels = torch.arange(seen + unseen).repeat_interleave(each)
    features = classes[labels] @ torch.randn(attributes, width, dtype=torch.float64)
    return features + 0.05 * torch.randn_like(features), labels, classes, seen


def unseen_accuracy(matrix, features, labels, classes, seen):
    """Of the classes that were not learned from, among these."""
    new = labels >= seen
    return float((((features[new] @ matrix) @ classes[seen:].T).argmax(1) + seen == labels[new]).double().mean())


def test_eszsl_is_the_minimum_of_its_loss(module):
    features, labels, classes, _ = case(unseen=0)
    gamma, lam = 0.7, 0.3
    found = module("baselines").eszsl(features, labels, classes, gamma, lam)

    def loss(w):
        target = -torch.ones(len(features), len(classes), dtype=torch.float64)
        target[torch.arange(len(labels)), labels] = 1
        ridges = gamma * (w @ classes.T).square().sum() + lam * (features @ w).square().sum()
        return (features @ w @ classes.T - target).square().sum() + ridges + gamma * lam * w.square().sum()

    w = found.clone().requires_grad_()
    loss(w).backward()
    assert float(w.grad.abs().max()) < 1e-8


def test_ridge_is_the_minimum_of_its_loss(module):
    features, labels, classes, _ = case()
    w = module("baselines").ridge(features, labels, classes, 0.7).requires_grad_()
    ((features @ w - classes[labels]).square().sum() + 0.7 * w.square().sum()).backward()
    assert float(w.grad.abs().max()) < 1e-8


def test_all_of_them_tell_classes_apart_that_they_never_saw(module):
    baselines = module("baselines")
    features, labels, classes, seen = case()
    known = labels < seen
    given = features[known], labels[known], classes[:seen]
    maps = [
        baselines.eszsl(*given, 0.1, 0.1),
        baselines.ridge(*given, 0.1),
        baselines.devise(*given, margin=0.3, lr=1e-2, epochs=30),
    ]
    for matrix in maps:
        assert matrix.shape == (10, 8) and unseen_accuracy(matrix, features, labels, classes, seen) > 0.6
    assert unseen_accuracy(torch.zeros(10, 8, dtype=torch.float64), features, labels, classes, seen) < 0.4


def test_devise_depends_on_its_seed_alone(module):
    features, labels, classes, _ = case(unseen=0)
    devise = module("baselines").devise
    first, again, other = (devise(features, labels, classes, 0.3, 1e-2, epochs=2, seed=s) for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def table():
    """Ten species, two unseen, eight photos each, half of them official train ones; features say which species it is."""
    species = [k for k in range(10) for _ in range(8)]
    attributes = torch.randn(10, 6)
    features = attributes[species] @ torch.randn(6, 7) + 0.1 * torch.randn(80, 7)
    return pa.table(
        {
            "id": [str(k) for k in range(80)],
            "split": ["train" if k % 2 else "test" for k in range(80)],
            "zero_shot_split": ["test" if k >= 64 else "train" if k % 2 else "unused" for k in range(80)],
            "label": [f"bird {k}" for k in species],
            "generic_features": pa.array(features.tolist(), pa.list_(pa.float32())),
            "attributes": pa.array(attributes[species].tolist(), pa.list_(pa.float32())),
        }
    )


@pytest.fixture
def birds(module, tmp_path, monkeypatch):
    """The table, names read by the library's own text encoder."""
    pq.write_table(table(), tmp_path / "birds.parquet")
    modalities = {
        "generic_features": {"kind": "vector"},
        "attributes": {"kind": "vector", "per": "label"},
        "name": {"kind": "text", "column": "label", "per": "label"},
    }
    monkeypatch.setattr(module("birds"), "minilm", lambda: "text")
    return module("birds").Birds.read(tmp_path / "birds.parquet", {"modalities": modalities}, "generic_features")


def test_what_bird_photos_are_used_for(module, birds):
    standard = birds.roles(None)
    assert [standard[k] for k in (0, 1, 64, 65)] == ["seen", "train", "unseen", "unseen"]
    of_species = birds.species.tolist()
    for fold in (1, 2):
        roles = birds.roles(fold)
        held = {of_species[k] for k in range(80) if roles[k] == "unseen"}
        assert len(held) == 2 and not held & {8, 9}
        for k, role in enumerate(roles):
            assert (role == "unused") == (standard[k] != "train")  # trials see nothing of the test
            assert role == "unused" or (of_species[k] in held) == (role == "unseen")
    data = module("birds").collection(birds, standard, ("generic_features", "attributes"))
    assert list(data.schema.modalities) == ["generic_features", "attributes"]
    assert data.split.tolist() == [{"seen": "dev", "unseen": "test"}.get(role, role) for role in standard]


@pytest.mark.parametrize(
    ("method", "setting"),
    [
        ("PCMR", {"epochs": 20, "dropout": [0.0, 0.0], "initial": 0.1, "lr": 1e-2}),
        ("ESZSL", {"gamma": 0.1, "lam": 0.1}),
    ],
)
def test_a_fit_is_judged_by_every_composition(module, birds, method, setting):
    run_of = module("cub_fits").run_of
    trial = run_of(birds, method, 1, setting, 1, {})
    found = run_of(birds, method, None, setting, 1, dict.fromkeys(trial, 0.25))
    assert trial.keys() == found.keys() and {"attributes", "name", "attributes + name"} < found.keys()
    for words, figures in found.items():
        assert figures["penalty"] == 0.25 and 0 <= figures["zero-shot"] <= 1
        assert trial[words]["harmonic"] >= trial[words]["plain"]  # the penalty was chosen on these photos
    assert found["attributes"]["known"] > 0.5 and found["attributes"]["zero-shot"] >= 0.5
