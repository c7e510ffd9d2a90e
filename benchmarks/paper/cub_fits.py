"""One fit on CUB, ours or a baseline's, and how well it classifies photos of seen and unseen species."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from baselines import devise, eszsl, ridge
from birds import Birds, collection, judge, of_role, pick
from torch import nn
from torch.nn.functional import normalize

from manymodal import Space
from manymodal.collection import Collection
from manymodal.compose import Rows, rows_of
from manymodal.encoders.store import FeatureStore
from manymodal.evaluation.zero_shot import class_embeddings, classify
from manymodal.preparing import prepare

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7)  # of the name beside the attributes
SIDE_WEIGHT = 0.3  # the same, in the longer vectors of the baselines
KINDS = ("attributes", "name")  # the modalities with one value per species
BOTH = " + ".join(KINDS)
DIM = 256
TRAINING = {"batch_size": 512, "validations": 1}

Figures = dict[str, dict[str, float]]  # by what classes are made of
Setting = dict[str, Any]

OBJECTIVES: dict[str, Any] = {"PCMC": "pcmc", "PCMR": "pcmr", "PCMR, clustered": {"pcmr": {"clusters": 64}}}
OURS: list[Setting] = [
    {"epochs": 20},
    {"epochs": 30, "dropout": [0.7, 0.8], "initial": 1.0},
    {"epochs": 30, "dropout": [0.7, 0.8], "initial": 0.1},
    {"epochs": 30, "dropout": [0.8, 0.9], "initial": 0.1},
    {"epochs": 30, "dropout": [0.5, 0.5], "initial": 0.1},
    {"epochs": 30, "dropout": [0.8, 0.8], "initial": 0.03, "lr": 3e-4},
]
BASELINES: dict[str, list[Setting]] = {
    "ESZSL": [{"gamma": gamma, "lam": lam} for gamma in (1, 3, 10) for lam in (0.3, 1, 3, 10)],
    "DeViSE-style": [
        {"margin": margin, "lr": lr, "epochs": 20}
        for margin, lr in (
            (0.1, 1e-3),
            (0.1, 5e-3),
            (0.3, 1e-3),
            (0.3, 5e-3),
            (1, 1e-3),
            (1, 5e-3),
            (1, 2e-2),
            (3, 5e-3),
            (3, 2e-2),
        )
    ],
    "ridge to attributes": [{"gamma": gamma} for gamma in (0.03, 0.1, 0.3, 1, 3, 10, 30)],
}
METHODS = {"ESZSL": eszsl, "DeViSE-style": devise, "ridge to attributes": ridge}


def ours(
    birds: Birds,
    roles: tuple[str, ...],
    names: Sequence[str],
    objective: Any,
    setting: Setting,
    seed: int,
    penalties: Mapping[str, float],
) -> Figures:
    """Fit a space over the photos' features and these modalities of classes; photos by every composition of them."""
    data = collection(birds, roles, (birds.features, *names))
    embeddings = fitted(birds, data, objective, setting, seed).encode(data)
    photos = rows_of(embeddings, birds.features)
    return {
        words: judge(photos, roles, class_embeddings(embeddings, by, weights=weights), penalties.get(words))
        for words, (by, weights) in compositions(names).items()
    }


def fitted(birds: Birds, data: Collection, objective: Any, setting: Setting, seed: int) -> Space:
    """A space with the library's heads or, where the setting has `dropout` (of items, of species), with linear ones.

    Of a few dozen species a linear map is all that can be learned; much dropout is its ridge. What the species do not
    span is left as it was initially, which an unseen species meets as noise: it is small where `initial` is.
    """
    space = Space.for_collection(data, seed=seed, objective=objective, dim=DIM)
    settings = {**TRAINING, **setting}
    dropout, initial = settings.pop("dropout", None), settings.pop("initial", 1.0)
    if dropout is not None:
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(seed)
            for name in space.towers.names:
                tower = space.towers[name]
                linear = nn.Linear(tower.encoder.width, DIM)
                for parameter in linear.parameters():
                    parameter.mul_(initial)
                tower.head = nn.Sequential(nn.Dropout(dropout[name in KINDS]), linear)
    return space.fit(data, **settings)


def compositions(names: Sequence[str]) -> dict[str, tuple[list[str], dict[str, float]]]:
    """What classes can be made of, in words: modalities and weights."""
    found: dict[str, tuple[list[str], dict[str, float]]] = {name: ([name], {}) for name in names}
    if len(names) == 2:
        found[BOTH] = (list(names), {})
        found |= {f"{BOTH} x {weight}": (list(names), {"name": weight}) for weight in WEIGHTS}
    return found


@cache
@torch.no_grad()
def inputs(birds: Birds, fold: int | None) -> dict[str, Rows]:
    """What the heads of a space read, standardised by train rows: one unit vector a species, photos / sqrt(width)."""
    data, store = collection(birds, birds.roles(fold), (birds.features, *KINDS)), FeatureStore()
    towers, found = Space.for_collection(data).towers, {}
    for name in towers.names:
        rows, tower = prepare(towers[name], data, name, None, store), towers[name]
        vectors = tower.encoder(rows.values) if tower.standardise is None else tower.standardise(rows.values.data)
        vectors = vectors.double() / vectors.shape[1] ** 0.5  # (n, width)
        order = rows.labels.argsort(stable=True) if name in KINDS else slice(None)
        found[name] = Rows(normalize(vectors, dim=1) if name in KINDS else vectors, rows.items, rows.labels)
        found[name] = pick(found[name], order)
    attributes, names = (found[name] for name in KINDS)
    for words, weight in ((BOTH, 1.0), (f"{BOTH} x {SIDE_WEIGHT}", SIDE_WEIGHT)):
        both = torch.cat([attributes.vectors, weight * names.vectors], dim=1)  # (c, a + t)
        found[words] = attributes._replace(vectors=normalize(both, dim=1))
    return found


def baseline(
    birds: Birds, fold: int | None, method: str, setting: Setting, seed: int, penalties: Mapping[str, float]
) -> Figures:
    """Fit a map from photos to class vectors: attributes, names, and both side by side."""
    given, roles = inputs(birds, fold), birds.roles(fold)
    photos = given[birds.features]
    train = of_role(photos, roles, "train")
    assert train.labels is not None
    trained, place = train.labels.unique(return_inverse=True)  # (k,), (n,)
    more = {"seed": seed} if method == "DeViSE-style" else {}
    found = {}
    for words in (words for words in given if words != birds.features):
        classes = given[words]
        assert classes.labels is not None
        known = classes.vectors[torch.isin(classes.labels, trained)]  # (k, a)
        matrix = METHODS[method](train.vectors, place, known, **setting, **more)
        mapped = photos._replace(vectors=photos.vectors @ matrix)  # (n, a)
        found[words] = judge(mapped, roles, classes, penalties.get(words))
    return found


def settings_of(method: str) -> list[Setting]:
    """A method's trials."""
    return BASELINES.get(method, OURS)


def run_of(
    birds: Birds,
    method: str,
    fold: int | None,
    setting: Setting,
    seed: int,
    penalties: Mapping[str, float],
    names: Sequence[str] = KINDS,
) -> Figures:
    """One fit, on a fold or (None) for the test."""
    if method in BASELINES:
        return baseline(birds, fold, method, setting, seed, penalties)
    return ours(birds, birds.roles(fold), names, OBJECTIVES[method], setting, seed, penalties)


def captioned(birds: Birds, objective: Any, setting: Setting, seed: int) -> dict[str, float]:
    """Official test photos of the species that have captions, told apart by what is known of these from train rows.

    All species are trained on here: this is no zero-shot task.
    """
    roles = tuple("train" if train else "seen" for train in birds.train.tolist())
    data = collection(birds, roles, (birds.features, *KINDS, "captions"))
    space = fitted(birds, data, objective, setting, seed)
    described = space.encode(data, "train")
    assert described.labels is not None
    species = described.labels["captions"].unique()
    photos = of_role(rows_of(space.encode(data, None, [birds.features]), birds.features), roles, "seen")
    photos = pick(photos, torch.isin(photos.labels, species))
    sets = [["captions"], ["attributes"], ["name"], ["attributes", "captions"], ["attributes", "captions", "name"]]
    found = {}
    for by in sets:
        result = classify(photos, class_embeddings(described, by, species))
        found[" + ".join(by)] = result.per_class or 0.0
    return found
