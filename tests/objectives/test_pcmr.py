"""PCMR beyond what all objectives are tested for: what it is invariant to, focus, precision, settings."""

import pytest
import torch
from torch.nn.functional import normalize

from cases import random_embeddings, vectors, with_grad
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.objectives import PCMR, make_objective, objective_spec
from manymodal.objectives.moments import Similarities
from manymodal.objectives.pcmr import pcmr
from oracles import oracle_focused, oracle_objective, oracle_pcmr_pair


def test_of_the_definition():
    matches = Similarities(2, torch.tensor(1.2), torch.tensor(0.74))  # s = 0.5, 0.7
    others = Similarities(1, torch.tensor(0.3), torch.tensor(0.09))
    expected = (0.5**2 + 0.3**2) / 2 + 4 * (0.3 + 0.1) ** 2
    assert pcmr(matches, others, lam=4.0, beta=-0.1).item() == pytest.approx(expected)
    none = Similarities(0, torch.tensor(0.0), torch.tensor(0.0))
    assert pcmr(matches, none, lam=4.0).item() == pytest.approx((0.5**2 + 0.3**2) / 2)


@pytest.mark.parametrize("match", ["item", "label"])
@pytest.mark.parametrize("case", [{}, {"label_modality": True}, {"missing": 0.0}])
def test_focused_equals_its_twin(case, match):
    embeddings = with_grad(random_embeddings(**{"labels": 3, **case}))

    def twin(x, y, matches):
        positive = oracle_pcmr_pair(x, y, matches, 0.0, 0.0)
        return positive + 2.0 * oracle_focused(x, y, matches, -0.1, 0.2)

    loss = PCMR(lam=2.0, focus=0.2, match=match)(embeddings)
    total, pairs = oracle_objective(embeddings, twin, match)
    assert {p: v.item() for p, v in loss.pairs.items()} == pytest.approx(pairs, rel=1e-9)
    assert loss.total.item() == pytest.approx(total, rel=1e-9)
    loss.total.backward()
    assert all(v.grad.isfinite().all() for v in embeddings.vectors.values())


def test_a_wide_focus_is_the_uniform_form():
    n = torch.arange(6)
    embeddings = Embeddings({"a": vectors(6), "b": vectors(6)}, {"a": n, "b": n})
    assert PCMR(focus=1e6)(embeddings).total.item() == pytest.approx(PCMR()(embeddings).total.item(), rel=1e-5)


@pytest.mark.parametrize("match", ["item", "label"])
def test_all_rows_of_a_modality_twice_change_neither_loss_nor_gradient(match):
    embeddings = random_embeddings(labels=3)
    once = with_grad(embeddings)
    twice = with_grad(embeddings)
    doubled = Embeddings(
        {**twice.vectors, "b": twice.vectors["b"].repeat(2, 1)},
        {**twice.items, "b": twice.items["b"].repeat(2)},
        {**twice.labels, "b": twice.labels["b"].repeat(2)},
    )
    losses = [PCMR(match=match)(e).total for e in (once, doubled)]
    for loss in losses:
        loss.backward()
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-12)
    assert all(torch.allclose(once.vectors[m].grad, twice.vectors[m].grad) for m in "abc")


def test_a_missing_value_is_an_absent_row():
    """Not a zero vector, and not a negative for others: the loss of b's rows alone is that of fewer rows."""
    v = {m: vectors(5) for m in "ab"}
    some = torch.tensor([0, 2, 3])
    loss = PCMR()(Embeddings({"a": v["a"], "b": v["b"][some]}, {"a": torch.arange(5), "b": some})).pairs["a", "b"]
    matches = {(int(i), k) for k, i in enumerate(some)}
    twin = oracle_pcmr_pair(v["a"].numpy(), v["b"][some].numpy(), matches, 10.0, -0.1)
    assert loss.item() == pytest.approx(twin, rel=1e-12)


def test_one_item_has_no_non_matches():
    one = torch.zeros(1, dtype=torch.int64)
    embeddings = with_grad(Embeddings({"a": vectors(1), "b": vectors(1)}, {"a": one, "b": one}))
    s = (embeddings.vectors["a"] @ embeddings.vectors["b"].T).item()
    for objective in (PCMR(), PCMR(focus=0.1)):
        assert objective(embeddings).total.item() == pytest.approx((1 - s) ** 2)


def test_half_precision_gives_a_float32_loss():
    n = torch.arange(50)
    v = {m: normalize(torch.randn(50, 128), dim=1).bfloat16().requires_grad_() for m in "ab"}
    loss = PCMR()(Embeddings(v, {"a": n, "b": n}))
    same = PCMR()(Embeddings({m: x.detach().float() for m, x in v.items()}, {"a": n, "b": n}))
    assert loss.total.dtype == torch.float32 and loss.total.item() == pytest.approx(same.total.item(), rel=1e-5)
    loss.total.backward()
    assert v["a"].grad.dtype == torch.bfloat16


def test_weights_scale_the_gradient_of_a_pair():
    embeddings = with_grad(random_embeddings(modalities=("a", "b", "c")))
    loss = PCMR(weights={"a/b": 1.0, "a/c": 0.0, "b/c": 0.0})(embeddings)
    loss.total.backward()
    assert loss.total.item() == pytest.approx(loss.pairs["a", "b"].item())
    assert embeddings.vectors["c"].grad.abs().sum() == 0 and embeddings.vectors["a"].grad.abs().sum() > 0


def test_settings_make_the_same_objective_again():
    for objective in (PCMR(), PCMR(lam=2, beta=0.0, focus=0.1, match="label", weights={"a/b": 2.0})):
        assert objective_spec(make_objective(objective_spec(objective))) == objective_spec(objective)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"lam": 0}, "lam=0"),
        ({"beta": 1}, r"\[-1, 1\)"),
        ({"focus": 0}, "focus=0"),
        ({"focus": -0.1}, "at least 0.002"),
        ({"focus": 0.001}, "at least 0.002"),
    ],
)
def test_mistakes_are_named(settings, message):
    with pytest.raises(ManymodalError, match=message):
        PCMR(**settings)
