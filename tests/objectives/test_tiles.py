"""Sums in tiles: equal to the whole matrix, forward and backward, whatever is left out and however rows are shared."""

import threading

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cases import vectors
from manymodal.objectives import tiles
from manymodal.objectives.tiles import logsumexp_both_ways
from manymodal.processes import Processes


@pytest.fixture(params=[(3, 4), (4, 3), (512, 512)], ids=str)
def tile_size(request, monkeypatch):
    monkeypatch.setitem(tiles.TILES, "cpu", request.param)


def left_out(n, m, share=0.4):
    """Random entries (i, j), but never a whole row or column."""
    chosen, every = torch.rand(n, m) < share, torch.arange(max(n, m))
    chosen[every % n, every % m] = False
    return chosen.nonzero().unbind(1)


def whole(a, b, i, j, scale):
    """The same with the whole matrix."""
    logits = (scale * (a @ b.T)).index_put((i, j), torch.tensor(-torch.inf, dtype=a.dtype))
    return logits.logsumexp(1), logits.logsumexp(0)


def with_gradients(function, a, b, i, j, scale, u, v):
    rows, columns = function(a, b, i, j, scale)
    return rows, columns, *torch.autograd.grad((rows * u).sum() + (columns * v).sum(), (a, b, scale))


@pytest.mark.parametrize("scale", [7.0, 49.9, 50.1, 100.0])
@pytest.mark.parametrize("n, m", [(7, 10), (1, 1), (9, 1), (8, 12)])
def test_equals_the_whole_matrix(tile_size, n, m, scale):
    scale = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
    given = vectors(n, grad=True), vectors(m, grad=True), *left_out(n, m), scale, torch.randn(n), torch.randn(m)
    for found, expected in zip(with_gradients(logsumexp_both_ways, *given), with_gradients(whole, *given), strict=True):
        assert torch.allclose(found, expected, rtol=1e-11, atol=1e-13)


def test_gradients_are_those_of_finite_differences(tile_size):
    a, b, scale = vectors(5, 3, grad=True), vectors(4, 3, grad=True), torch.tensor(5.0).double().requires_grad_()
    i, j = left_out(5, 4)
    assert torch.autograd.gradcheck(lambda x, y, s: logsumexp_both_ways(x, y, i, j, s), (a, b, scale))


def test_a_row_of_which_nothing_is_left_is_minus_infinity_and_moves_nothing(tile_size):
    a, b = vectors(5, grad=True), vectors(6, grad=True)
    i, j = torch.tensor([2] * 6), torch.arange(6)
    rows, columns = logsumexp_both_ways(a, b, i, j, 3.0)
    assert rows[2] == -torch.inf
    rows.logaddexp(torch.zeros(5)).sum().backward()
    assert (a.grad[2] == 0).all() and b.grad.isfinite().all() and (a.grad[[0, 1, 3, 4]] != 0).all()
    kept = torch.tensor([0, 1, 3, 4])
    expected = whole(a[kept], b, i[:0], j[:0], 3.0)
    assert torch.allclose(rows[kept], expected[0]) and torch.allclose(columns, expected[1])


@pytest.mark.parametrize("n, m", [(0, 3), (3, 0), (0, 0)])
def test_no_rows(n, m):
    a, b, scale = vectors(n, grad=True), vectors(m, grad=True), torch.tensor(2.0, requires_grad=True)
    none = torch.arange(0)
    rows, columns = logsumexp_both_ways(a, b, none, none, scale)
    assert (rows == -torch.inf).all() and (columns == -torch.inf).all() and len(rows) == n and len(columns) == m
    (rows.exp().sum() + columns.exp().sum()).backward()
    assert a.grad.eq(0).all() and b.grad.eq(0).all() and scale.grad == 0


@pytest.mark.parametrize("scale", [50.0, 100.0])
@pytest.mark.parametrize("cosine", [-1.0, 1.0])
def test_float32_holds_the_largest_scales(scale, cosine):
    """All similarities at one end: exponentials of e^+-100 are summed, inverted and multiplied back."""
    one = vectors(1)
    a, b, none = one.repeat(600, 1), cosine * one.repeat(700, 1), torch.arange(0)
    a[0], b[0] = vectors(2)
    weights = torch.full((600,), 1 / 600), torch.full((700,), 1 / 700)
    given = none, none, torch.tensor(scale, requires_grad=True), *weights
    exact = with_gradients(whole, a.requires_grad_(), b.requires_grad_(), *given)
    a, b = a.detach().float().requires_grad_(), b.detach().float().requires_grad_()
    for found, expected in zip(with_gradients(logsumexp_both_ways, a, b, *given), exact, strict=True):
        assert found.isfinite().all() and (found - expected).abs().max() <= 3e-5 * expected.abs().max()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_multiplied_and_summed_in_float32(dtype):
    a, b = vectors(40, 16).to(dtype), vectors(50, 16).to(dtype)
    given = *left_out(40, 50), torch.tensor(20.0, requires_grad=True), torch.randn(40), torch.randn(50)
    found = with_gradients(logsumexp_both_ways, a.requires_grad_(), b.requires_grad_(), *given)
    exact = with_gradients(whole, a.detach().double().requires_grad_(), b.detach().double().requires_grad_(), *given)
    assert [x.dtype for x in found[2:]] == [dtype, dtype, torch.float32]
    for position, (x, y) in enumerate(zip(found, exact, strict=True)):
        tolerance = torch.finfo(dtype).eps if position in (2, 3) else 1e-5  # gradients are as coarse as the vectors
        assert torch.allclose(x.double(), y.double(), rtol=tolerance, atol=1e-5)


class Largest(TorchDispatchMode):
    """Remembers the size of the largest tensor that any operation makes."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for x in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(x, torch.Tensor):
                self.numbers = max(self.numbers, x.numel())
        return result


def test_no_matrix_is_ever_whole(monkeypatch):
    monkeypatch.setitem(tiles.TILES, "cpu", (16, 24))
    a, b = vectors(120, 4, grad=True), vectors(90, 4, grad=True)
    i, j = left_out(120, 90, 0.01)
    with Largest() as largest:
        rows, columns = logsumexp_both_ways(a, b, i, j, 5.0)
        (rows.sum() + columns.sum()).backward()
    assert 16 * 24 <= largest.numbers < 120 * 90 / 10


class Thread(Processes):
    """A process that is a thread, for what needs no gradient."""

    def __init__(self, rank, size, board, barrier):
        self.rank, self.size, self.board, self.barrier = rank, size, board, barrier

    def everyone(self, tensor):
        assert not tensor.requires_grad
        self.board[self.rank] = tensor
        self.barrier.wait(timeout=20)
        parts = list(self.board)
        self.barrier.wait(timeout=20)
        return parts

    def sum(self, tensor):
        return sum(self.everyone(tensor))

    def gather(self, tensor):
        return torch.cat(self.everyone(tensor))


def test_each_process_gives_its_own_rows_gradient_and_its_share_of_the_scales(monkeypatch):
    monkeypatch.setitem(tiles.TILES, "cpu", (3, 4))
    shares = [(slice(0, 4), slice(0, 0)), (slice(4, 4), slice(0, 5)), (slice(4, 9), slice(5, 11))]
    a, b, i, j = vectors(9), vectors(11), *left_out(9, 11)
    u, v, scale = torch.randn(9), torch.randn(11), torch.tensor(6.0).double()
    board, barrier, results = [None] * 3, threading.Barrier(3), [None] * 3

    def run(rank):
        own_a, own_b = shares[rank]
        results[rank] = with_gradients(
            lambda *given: logsumexp_both_ways(*given, own_a, own_b, Thread(rank, 3, board, barrier)),
            a.clone().requires_grad_(), b.clone().requires_grad_(), i, j, scale.clone().requires_grad_(), u, v,
        )  # fmt: skip

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(3)]
    [t.start() for t in threads], [t.join(timeout=30) for t in threads]
    alone = with_gradients(
        whole, a.clone().requires_grad_(), b.clone().requires_grad_(), i, j, scale.clone().requires_grad_(), u, v
    )
    for (own_a, own_b), (rows, columns, grad_a, grad_b, _) in zip(shares, results, strict=True):
        assert torch.allclose(rows, alone[0]) and torch.allclose(columns, alone[1])
        for grad, expected, own in ((grad_a, alone[2], own_a), (grad_b, alone[3], own_b)):
            assert torch.allclose(grad[own], expected[own])
            others = torch.ones(len(grad), dtype=torch.bool)
            others[own] = False
            assert (grad[others] == 0).all()
    assert torch.allclose(sum(result[4] for result in results) / 3, alone[4])
