"""The focused negative term: equal to its plain-loop twin; its gradient does not go through the weights."""

import pytest
import torch

from cases import vectors
from manymodal.objectives import tiles
from manymodal.objectives.focused import SHARPEST, focused
from oracles import oracle_focused


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setitem(tiles.TILES, "cpu", (4, 3))


def keys_of(n, kinds=6):
    return torch.randint(-1, kinds, (n,))


def matches_of(key_a, key_b):
    match = (key_a[:, None] == key_b) & (key_a[:, None] >= 0)
    return {(int(i), int(j)) for i, j in match.nonzero()}


def whole(a, b, key_a, key_b, beta, tau):
    """The same with the whole matrix."""
    s, other = a @ b.T, (key_a[:, None] != key_b) | (key_a[:, None] < 0)
    means = []
    for dim in (1, 0):
        weights = (s.detach() / tau).masked_fill(~other, -torch.inf).softmax(dim)
        means.append((weights * (s - beta).square()).nansum(dim)[other.any(dim)].mean())
    return sum(means) / 2


@pytest.mark.parametrize("tau", [0.5, 0.1, 0.015])
@pytest.mark.parametrize("n, m, kinds", [(9, 7, 4), (1, 5, 1), (6, 6, 30)])
def test_equals_its_plain_loop_twin(n, m, kinds, tau):
    a, b, key_a, key_b = vectors(n), vectors(m), keys_of(n, kinds), keys_of(m, kinds)
    expected = oracle_focused(a.numpy(), b.numpy(), matches_of(key_a, key_b), -0.1, tau)
    assert focused(a, b, key_a, key_b, -0.1, tau).item() == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("tau", [0.3, 0.015])
def test_gradient_is_that_of_constant_weights(tau):
    a, b, key_a, key_b = vectors(9, grad=True), vectors(8, grad=True), keys_of(9), keys_of(8)
    found = torch.autograd.grad(focused(a, b, key_a, key_b, 0.1, tau), (a, b))
    for x, y in zip(found, torch.autograd.grad(whole(a, b, key_a, key_b, 0.1, tau), (a, b)), strict=True):
        assert torch.allclose(x, y, rtol=1e-10, atol=1e-14)


def test_a_row_that_matches_everything_has_no_say():
    key_a, key_b = torch.tensor([0, 1, 2]), torch.tensor([0, 0, 0])
    a, b = vectors(3, grad=True), vectors(3, grad=True)
    value = focused(a, b, key_a, key_b, -0.1, 0.2)
    assert value.item() == pytest.approx(
        oracle_focused(a.detach().numpy(), b.detach().numpy(), {(0, 0), (0, 1), (0, 2)}, -0.1, 0.2), rel=1e-12
    )
    value.backward()
    assert (a.grad[0] == 0).all() and (a.grad[1:] != 0).any(1).all() and b.grad.isfinite().all()


@pytest.mark.parametrize("n, m", [(3, 2), (0, 2), (0, 0)])
def test_no_non_match_is_a_differentiable_zero(n, m):
    a, b = vectors(n, grad=True), vectors(m, grad=True)
    value = focused(a, b, torch.zeros(n, dtype=torch.int64), torch.zeros(m, dtype=torch.int64), -0.1, 0.2)
    value.backward()
    assert value.item() == 0 and a.grad.eq(0).all() and b.grad.eq(0).all()


def test_the_sides_and_the_order_of_rows_do_not_matter():
    a, b, key_a, key_b = vectors(9), vectors(7), keys_of(9), keys_of(7)
    p, q = torch.randperm(9), torch.randperm(7)
    value = focused(a, b, key_a, key_b, 0.0, 0.1).item()
    assert focused(b, a, key_b, key_a, 0.0, 0.1).item() == pytest.approx(value, rel=1e-12)
    assert focused(a[p], b[q], key_a[p], key_b[q], 0.0, 0.1).item() == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_sharpest_focus_is_finite(dtype):
    """Rivals alike and rivals opposite: e^(s / tau) at its largest and its smallest."""
    one = vectors(1, dtype=dtype)
    a, b = one.repeat(4, 1).requires_grad_(), torch.cat([one, one, -one, -one]).requires_grad_()
    value = focused(a, b, torch.arange(4), torch.arange(4), -0.1, SHARPEST)
    value.backward()
    assert value.item() == pytest.approx(((1 + 0.1) ** 2 * 3 + (1 - 0.1) ** 2) / 4, rel=1e-5)
    assert a.grad.isfinite().all() and b.grad.isfinite().all()


def test_float32_keeps_its_precision():
    a, b, key = vectors(60, 16), vectors(60, 16), torch.arange(60)
    for tau in (0.021, 0.019):  # to either side of where exponentials become float64
        value = focused(a.float(), b.float(), key, key, -0.1, tau)
        assert value.item() == pytest.approx(focused(a, b, key, key, -0.1, tau).item(), rel=1e-5)
