"""GRAM: volumes, the degenerate cases, finite gradients where the square root has none, and more vectors than dimensions."""

import math
from itertools import permutations

import pytest
import torch

from cases import random_embeddings, vectors, with_grad
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.objectives.gram import Gram, adjugate, cross_volumes, determinants, volumes
from oracles import oracle_gram, oracle_squared_volume


@pytest.mark.parametrize("k", [1, 2, 3, 5, 8])
def test_adjugate(k):
    a = torch.randn(4, k, k, dtype=torch.float64)
    adj, det = adjugate(a), torch.linalg.det(a)
    assert torch.allclose(a @ adj, det[:, None, None] * torch.eye(k, dtype=a.dtype), atol=1e-9)
    assert torch.allclose(determinants(a, adj), det)


def test_adjugate_of_a_singular_matrix_and_its_gradient():
    a = torch.ones(1, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.equal(adjugate(a), torch.zeros_like(a))
    assert torch.autograd.gradcheck(adjugate, a) and torch.autograd.gradcheck(lambda x: determinants(x, adjugate(x)), a)


@pytest.mark.parametrize(("count", "d"), [(2, 8), (3, 8), (4, 4), (5, 3), (6, 2)])
def test_volumes_equal_their_twin(count, d):
    x, sets = vectors(5, d), torch.stack([vectors(6, d) for _ in range(count - 1)], dim=1)
    across = cross_volumes(x, sets, eps=0.01)
    for i, j in ((0, 0), (4, 5), (2, 3)):
        want = math.sqrt(oracle_squared_volume([x[i].numpy(), *sets[j].numpy()]) + 0.01)
        assert across[i, j].item() == pytest.approx(want)
        assert volumes(torch.cat([x[i, None], sets[j]])[None], eps=0.01).item() == pytest.approx(want)


def test_the_degenerate_cases():
    """Two alike or opposite vectors make the volume 0 wherever the third points: alignment is not its only minimum."""
    x, y, z = torch.eye(4, dtype=torch.float64)[:3]
    probe = torch.stack([torch.stack(v) for v in ((x, x, x), (x, x, y), (x, -x, x), (x, y, z))])
    assert volumes(probe, eps=1e-12).tolist() == pytest.approx([0, 0, 0, 1], abs=1e-5)
    assert volumes(probe).tolist() == pytest.approx([1e-3, 1e-3, 1e-3, 1], abs=1e-6)
    n = torch.arange(4)
    basis = torch.eye(4, dtype=torch.float64)
    aligned, opposed = (
        Gram(anchor="a")(Embeddings({"a": basis, "b": basis, "c": c}, dict.fromkeys("abc", n))).total.item()
        for c in (basis, -basis)
    )
    assert aligned == pytest.approx(opposed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_at_perfect_alignment(dtype):
    x, n = vectors(6, dtype=dtype), torch.arange(6)
    e = with_grad(Embeddings(dict.fromkeys("abcd", x), dict.fromkeys("abcd", n)))
    loss = Gram()(e)
    loss.total.backward()
    assert all(v.grad.isfinite().all() and v.grad.abs().max() < 100 for v in e.vectors.values())
    naive = torch.stack([x[0], x[0]]).requires_grad_()
    torch.linalg.det(naive @ naive.T).clamp(min=0).sqrt().backward()
    assert not naive.grad.isfinite().all()  # what it is stabilised against


def test_float32_agrees_with_float64():
    e = random_embeddings(items=30, d=16)
    wide = Gram().double()(with_grad(e))
    e32 = with_grad(e.to(dtype=torch.float32))
    narrow = Gram()(e32)
    assert narrow.total.item() == pytest.approx(wide.total.item(), rel=1e-5)


@pytest.mark.parametrize(("count", "d"), [(3, 8), (5, 4), (4, 2)])
def test_descent_aligns_the_modalities_also_beyond_d_of_them(count, d):
    torch.manual_seed(0)
    names = "abcde"[:count]
    n, start = torch.arange(8), vectors(8, d, dtype=torch.float32)
    free = {m: torch.nn.Parameter(start + 0.7 * vectors(8, d, dtype=torch.float32)) for m in names}
    objective = Gram()
    optimiser = torch.optim.Adam(free.values(), lr=0.03)

    def volume():
        unit = torch.nn.functional.normalize(torch.stack(list(free.values()), dim=1), dim=2)
        return volumes(unit).mean().item()

    before = volume()
    for _ in range(40):
        optimiser.zero_grad()
        objective(Embeddings.normalized(free, dict.fromkeys(names, n))).total.backward()
        optimiser.step()
    assert volume() < before / 2


def test_largest_volume_beyond_d_vectors_is_one():
    angle = torch.arange(5, dtype=torch.float64) * math.pi / 5  # evenly spread lines in a plane
    spread = torch.stack([angle.cos(), angle.sin()], dim=1)[None]
    assert volumes(spread, eps=1e-12).item() == pytest.approx(1.0)
    assert volumes(vectors(40, 2).view(8, 5, 2)).max() < 1.001


def test_a_named_anchor_is_the_only_one():
    e = random_embeddings()
    loss = Gram(anchor="b", scale=2.0)(e)
    assert list(loss.terms) == [("b", "a", "c")]
    assert loss.total.item() == pytest.approx(oracle_gram(e, "b", ["a", "c"], 2.0, 1e-6), rel=1e-6)
    assert Gram(scale=2.0)(e).terms["b", "a", "c"].item() == pytest.approx(loss.total.item())


def test_volume_does_not_depend_on_the_order_of_vectors():
    x = torch.stack([vectors(3) for _ in range(4)], dim=1)
    want = volumes(x)
    assert all(torch.allclose(volumes(x[:, list(order)]), want) for order in permutations(range(4)))


def test_mistakes_are_named():
    with pytest.raises(ManymodalError, match="eps=0"):
        Gram(eps=0)
    with pytest.raises(ManymodalError, match="'zebra'.*a, b, c"):
        Gram(anchor="zebra")(random_embeddings())
    with pytest.raises(ManymodalError, match="'zebra'.*a, b"):
        Gram(anchor="zebra").prepare(["a", "b"], 4)
    with pytest.raises(ManymodalError, match="'c'.*a, b"):
        Gram(anchor="c", members=["a", "b"])
