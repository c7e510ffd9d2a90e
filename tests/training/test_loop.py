"""The loop: same seed same result, resumed = unbroken, best weights kept, divergence and interruption told."""

import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from manymodal.embeddings import Embeddings
from manymodal.encoders.base import Packed
from manymodal.errors import ManymodalError
from manymodal.objectives import PCMC, PCMR
from manymodal.objectives.base import Loss
from manymodal.training import ItemSampler, Rows, TrainSettings, diagnose, train
from manymodal.training.checkpoint import FILE
from manymodal.training.loop import learning_rate, parameter_groups

N, WIDTH = 40, 6


class Tiny(nn.Module):
    """Two linear towers with dropout."""

    def __init__(self):
        super().__init__()
        self.towers = nn.ModuleDict({m: nn.Sequential(nn.Dropout(0.2), nn.Linear(WIDTH, 4)) for m in ("a", "b")})

    def forward(self, batch):
        v = {m: normalize(self.towers[m](rows.values.data), dim=1) for m, rows in batch.items()}
        return Embeddings(
            v, {m: rows.items for m, rows in batch.items()}, {m: rows.labels for m, rows in batch.items()}
        )


def sampler(seed=0, data=None):
    torch.manual_seed(7)
    x = torch.randn(N, WIDTH) if data is None else data
    items, labels = torch.arange(N), torch.full((N,), -1)
    return ItemSampler({m: Rows(Packed(x), items, labels) for m in ("a", "b")}, batch_size=16, seed=seed)


def run(objective=None, seed=0, **options):
    torch.manual_seed(1)
    model = Tiny()
    settings = TrainSettings(epochs=6, lr=0.01, seed=seed, checkpoint_seconds=0, **options.pop("settings", {}))
    objective = objective or PCMC(weights="auto")
    history = train(model, sampler(seed, options.pop("data", None)), objective, settings, **options)
    return model, objective, history


def flat(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_learns_and_is_the_same_for_the_same_seed_alone():
    one, _, history = run()
    torch.manual_seed(99)  # what else is random in the process does not matter
    again, _, _ = run()
    other, _, _ = run(seed=1)
    assert torch.equal(flat(one), flat(again)) and not torch.equal(flat(one), flat(other))
    losses = [epoch["loss"] for epoch in history.epochs]
    assert losses[-1] < losses[0] and set(history.epochs[0]["pairs"]) == {"a/b"}


def test_leaves_the_global_random_state_alone():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    model, objective = Tiny(), PCMC()
    state = torch.random.get_rng_state()
    train(model, sampler_without_seeding(), objective, TrainSettings(epochs=1))
    assert torch.equal(torch.random.get_rng_state(), state) and not torch.equal(before, state)


def sampler_without_seeding():
    x = torch.linspace(-1, 1, N * WIDTH).reshape(N, WIDTH)
    rows = Rows(Packed(x), torch.arange(N), torch.full((N,), -1))
    return ItemSampler({"a": rows, "b": rows}, batch_size=16)


class Broken(Exception):
    pass


@pytest.mark.parametrize("objective", [partial(PCMC, weights="auto"), partial(PCMR, weights="auto")])
def test_resumed_equals_unbroken(tmp_path, objective):
    whole, whole_objective, whole_history = run(objective(), validate=lambda: 0.5)
    calls = iter([0.5, 0.5, 0.5])

    def breaks_in_epoch_four():
        try:
            return next(calls)
        except StopIteration:
            raise Broken from None

    with pytest.raises(Broken):
        run(objective(), folder=tmp_path, validate=breaks_in_epoch_four)
    assert (tmp_path / FILE).exists()
    model, resumed_objective, history = run(objective(), folder=tmp_path, resume=True, validate=lambda: 0.5)
    assert torch.allclose(flat(model), flat(whole), atol=1e-6)
    assert [e["epoch"] for e in history.epochs] == [1, 2, 3, 4, 5, 6]
    assert [e["loss"] for e in history.epochs] == pytest.approx([e["loss"] for e in whole_history.epochs])
    assert resumed_objective.auto.learned == pytest.approx(whole_objective.auto.learned)


def test_keeps_the_weights_that_were_best_on_dev(tmp_path):
    scores = iter([0.1, 0.9, 0.3, 0.2, 0.2, 0.2])
    seen = []
    torch.manual_seed(1)
    model = Tiny()

    def validate():
        assert not model.training
        seen.append(flat(model).clone())
        return next(scores)

    history = train(model, sampler(), PCMC(), TrainSettings(epochs=6, lr=0.01), validate=validate)
    assert history.best_epoch == 2 and torch.equal(flat(model), seen[1])


def test_stops_early_when_dev_no_longer_improves():
    _, _, history = run(validate=iter([0.5, *[0.1] * 9]).__next__, settings={"patience": 2})
    assert history.stopped == "early" and len(history.epochs) == 3 and history.best_epoch == 1


def test_interrupt_ends_the_run_with_the_best_weights():
    calls = iter([0.4, 0.3])

    def validate():
        try:
            return next(calls)
        except StopIteration:
            raise KeyboardInterrupt from None

    model, _, history = run(validate=validate)
    assert history.stopped == "interrupted" and history.best_epoch == 1 and len(history.epochs) == 2
    assert not model.training


def test_a_loss_that_is_not_finite_stops_with_advice_and_the_best_weights():
    scores = iter([0.5] * 6)

    class Diverges(PCMC):
        steps = 0

        def forward(self, embeddings):
            Diverges.steps += 1
            loss = super().forward(embeddings)
            if Diverges.steps <= 4:
                return loss
            pairs = {p: v * math.nan for p, v in loss.pairs.items()}
            return Loss(loss.total * math.nan, pairs, loss.chance, terms={("b", "a"): loss.total * math.inf})

    torch.manual_seed(1)
    model, seen = Tiny(), []

    def validate():
        seen.append(flat(model).clone())
        return next(scores)

    with pytest.raises(ManymodalError, match=r"the loss is nan \(of a/b, b/a\)\. .*--lr"):
        train(model, sampler(), Diverges(), TrainSettings(epochs=6, lr=0.01), validate=validate)
    assert len(seen) == 1 and torch.equal(flat(model), seen[0])


def test_values_that_are_not_finite_are_told_by_modality():
    x = torch.randn(N, WIDTH)
    x[3, 2] = torch.inf
    with pytest.raises(ManymodalError, match="training diverged: vectors.'a'.*not finite.*--lr"):
        run(data=x)


def test_damaged_checkpoint_is_told(tmp_path):
    (tmp_path / FILE).write_bytes(b"not a checkpoint")
    with pytest.raises(ManymodalError, match="damaged.*without --resume"):
        run(folder=tmp_path, resume=True)


def test_learning_rate_rises_then_falls_to_nothing():
    rates = [learning_rate(step, 100, 1.0) for step in range(100)]
    assert rates.index(max(rates)) in (9, 10) and max(rates) == 1.0 and rates[-1] < 0.001
    assert rates[:10] == sorted(rates[:10]) and rates[10:] == sorted(rates[10:], reverse=True)


def test_only_matrices_decay():
    model, objective = Tiny(), PCMC()
    decayed, free = parameter_groups(model, objective, 0.05)
    assert {p.ndim for p in decayed["params"]} == {2} and decayed["weight_decay"] == 0.05
    assert any(p is objective.log_scale for p in free["params"]) and free["weight_decay"] == 0.0


def test_settings_name_what_is_wrong():
    with pytest.raises(ManymodalError, match="'epoch'.*epochs, batch_size"):
        TrainSettings.of({"epoch": 3})
    with pytest.raises(ManymodalError, match="lr=-1"):
        TrainSettings.of({"lr": -1})


def test_diagnosis_in_words():
    stuck = [{"pairs": {"a/b": 4.0, "a/c": 1.0}, "chance": {"a/b": 4.1, "a/c": 4.1}}]
    v = normalize(torch.ones(5, 4) + 0.01 * torch.randn(5, 4), dim=1)
    e = Embeddings({"a": v, "b": normalize(torch.randn(5, 4), dim=1)}, {"a": torch.arange(5), "b": torch.arange(5)})
    said = diagnose(stuck, e)
    assert len(said) == 2
    assert said[0].startswith("nothing was learned from a/b:") and said[1].startswith("the space has collapsed in a:")
    assert diagnose([], e.only("b")) == []


def test_a_gradient_that_is_not_finite_stops_before_the_weights_change():
    class Steep(PCMC):
        def forward(self, embeddings):
            loss = super().forward(embeddings)
            total = loss.total + (embeddings.vectors["a"] - embeddings.vectors["a"].detach()).abs().sum().sqrt()
            return Loss(total, loss.pairs, loss.chance, loss.weights)

    model = Tiny()
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(ManymodalError, match="norm of the gradient.*smaller lr"):
        train(model, sampler(), Steep(), TrainSettings(epochs=1))
    assert all(torch.equal(p, q) for p, q in zip(before, model.parameters(), strict=True))
