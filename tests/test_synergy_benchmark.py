"""The synergy benchmark's data and its optimum, by brute force over every item that there can be."""

from __future__ import annotations

import importlib
from collections import defaultdict
from itertools import product
from pathlib import Path
from types import ModuleType

import pytest
import torch

from manymodal.embeddings import Embeddings
from manymodal.objectives import PCMC


@pytest.fixture
def synergy(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module("synergy")


@pytest.mark.parametrize("bits", [1, 2, 3])
@pytest.mark.parametrize("p", [0.0, 0.25, 1.0])
def test_the_optimum_is_that_of_the_most_likely_b(synergy: ModuleType, p: float, bits: int) -> None:
    """P(a, b, c) summed up over whether c is joined; the best guess of b takes the largest for each a and c."""
    likely: dict[tuple[int, int], dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for a, b in product(range(2**bits), repeat=2):
        likely[a, a ^ b][b] += p / 4**bits
        likely[a, a][b] += (1 - p) / 4**bits
    best = sum(max(of_b.values()) for of_b in likely.values())
    assert synergy.optimum(p, bits) == pytest.approx(best)


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_items_are_as_the_formula_says(synergy: ModuleType, p: float) -> None:
    items = synergy.sample(4000, p)
    a, b, c = (items[m].long() for m in "abc")
    assert all(values.shape == (4000, 5) and set(values.unique().tolist()) == {0, 1} for values in (a, b, c))
    joined, plain = (c == (a ^ b)).all(1), (c == a).all(1)
    assert bool((joined | plain).all())
    assert joined.double().mean().item() == pytest.approx(p + (1 - p) / 32, abs=0.03)
    assert all(abs(v.double().mean().item() - 0.5) < 0.02 for v in (a, b))


def test_a_perfect_guess_gets_the_optimum_and_a_constant_one_chance(synergy: ModuleType) -> None:
    def exclusive_or(objective: PCMC, asked: Embeddings) -> torch.Tensor:
        a, c, b = (seen[m].long() for m in "acb")
        return ((a ^ c)[:, None] == b[None]).all(2).double()

    def constant(objective: PCMC, asked: Embeddings) -> torch.Tensor:
        return torch.eye(1, 32).expand(1024, 32)

    encoders, seen = synergy.Encoders(), {}
    encoders.register_forward_pre_hook(lambda _, values: seen.update(values[0]))
    for p in synergy.SHARES:
        assert synergy.accuracy(PCMC(), exclusive_or, encoders, p) == pytest.approx(synergy.optimum(p))
        assert synergy.accuracy(PCMC(), constant, encoders, p) == pytest.approx(1 / 32)


def test_every_contender_is_trained_and_asked(synergy: ModuleType, tmp_path: Path) -> None:
    for contender in synergy.CONTENDERS.values():
        objective = contender.make()
        encoders = synergy.trained(objective, 0.5, lr=0.01, steps=1)
        assert 0 <= synergy.accuracy(objective, contender.score, encoders, 0.5) <= 1
    synergy.draw({name: [0.1] * len(synergy.SHARES) for name in synergy.CONTENDERS}, tmp_path / "lines.png")
    assert (tmp_path / "lines.png").read_bytes()[1:4] == b"PNG"
