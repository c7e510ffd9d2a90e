"""Sums of similarities, by every route, against the whole matrix; their gradients; what adds up."""

from itertools import combinations

import pytest
import torch

from cases import random_embeddings, vectors, with_grad
from manymodal.embeddings import Embeddings
from manymodal.objectives.groups import Groups
from manymodal.objectives.moments import moments
from manymodal.objectives.sums import sums_of
from oracles import oracle_matches

ROUTES = {
    "as they come": {},
    "in small tiles": {"moments.BLOCK": 8, "groups.TALL": 2},
    "through moments": {"groups.FEW": 0},
    "through moments in small blocks": {"groups.FEW": 0, "moments.BLOCK": 4},
}


@pytest.fixture(params=ROUTES)
def route(request, monkeypatch):
    for name, value in ROUTES[request.param].items():
        monkeypatch.setattr(f"manymodal.objectives.{name}", value)
    return request.param


def dense(embeddings, a, b, match):
    """(n, m) similarities, with a graph, and (n, m) bool of the matches."""
    s = embeddings.vectors[a] @ embeddings.vectors[b].T
    hit = torch.zeros(s.shape, dtype=torch.bool)
    for i, j in oracle_matches(embeddings, a, b, match):
        hit[i, j] = True
    return s, hit


@pytest.mark.parametrize("match", ["item", "label"])
@pytest.mark.parametrize("case", [{}, {"label_modality": True}, {"absent": True}, {"items": 25}])
def test_sums_and_their_gradients_are_those_of_the_whole_matrix(route, case, match):
    embeddings = with_grad(random_embeddings(**{"labels": 3, "d": 2, **case}))
    sums = sums_of(embeddings, match)
    got, want = torch.zeros(()), torch.zeros(())
    for k, pair in enumerate(combinations(embeddings.modalities, 2)):
        s, hit = dense(embeddings, *pair, match)
        for found, chosen in (
            (sums.matches[pair], hit),
            (sums.everything(pair), hit | True),
            (sums.others(pair), ~hit),
        ):
            assert found.count == int(chosen.sum())
            assert torch.allclose(found.s, s[chosen].sum()) and torch.allclose(found.squares, s[chosen].square().sum())
            got = got + (k + 1) * found.s + (k - 2) * found.squares
            want = want + (k + 1) * s[chosen].sum() + (k - 2) * s[chosen].square().sum()
    leaves = list(embeddings.vectors.values())
    for x, y in zip(torch.autograd.grad(got, leaves), torch.autograd.grad(want, leaves), strict=True):
        assert torch.allclose(x, y)


def test_the_routes_are_really_taken(monkeypatch):
    groups = Groups.of([torch.tensor([5, 5, 5, 5, 7, -1]), torch.tensor([7, 5, 5, 5, 5, 9])])
    nothing = torch.zeros(len(groups.keys), dtype=torch.bool)
    key = {name: groups.keys[k].tolist() for name, k in groups.routes([(0, 1)], 2, nothing)._asdict().items()}
    assert key == {"direct": [5, 7], "moments": []}  # 9 has no match
    monkeypatch.setattr("manymodal.objectives.groups.FEW", 0)
    key = {name: groups.keys[k].tolist() for name, k in groups.routes([(0, 1)], 2, nothing)._asdict().items()}
    assert key == {"direct": [7], "moments": [5]}  # 4 * 4 >= (4 + 4) * 2
    assert groups.keys[groups.routes([(0, 1)], 3, nothing).direct].tolist() == [5, 7]
    assert groups.keys[groups.routes([(0, 1)], 3, groups.keys == 7).moments].tolist() == [7]


@pytest.mark.parametrize("tall", [2, 2048])
def test_tiles_hold_every_match_once(tall, monkeypatch):
    monkeypatch.setattr("manymodal.objectives.groups.TALL", tall)
    a, b = torch.randint(-1, 6, (40,)), torch.randint(-1, 6, (30,))
    groups, found = Groups.of([a, b]), []
    for tile in groups.tiles(0, 1, torch.arange(len(groups.keys)), dim=4, numbers=64):
        shape = (*tile.i.shape, tile.j.shape[1])
        inside = torch.ones(shape, dtype=torch.bool) if tile.inside is None else tile.inside
        assert tile.matches == int(inside.sum())
        i, j = tile.i[:, :, None].expand(shape)[inside], tile.j[:, None, :].expand(shape)[inside]
        found += zip(i.tolist(), j.tolist(), strict=True)
    match = (a[:, None] == b) & (a[:, None] >= 0)  # (40, 30)
    assert sorted(map(list, found)) == match.nonzero().tolist()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_low_precision_loses_no_more_than_its_own_rounding(dtype, monkeypatch):
    monkeypatch.setattr("manymodal.objectives.moments.BLOCK", 1 << 10)
    n = torch.arange(600) // 2
    low = {m: vectors(600, 128, torch.float32).to(dtype).requires_grad_() for m in "ab"}
    high = {m: v.detach().double().requires_grad_() for m, v in low.items()}
    results = []
    for v in (low, high):
        embeddings = Embeddings(v, {"a": n, "b": n})
        sums = sums_of(embeddings)
        others, matches = sums.others(("a", "b")), sums.matches["a", "b"]
        (others.squares / 100 + matches.s + matches.squares).backward()
        results.append((others.squares, matches.squares, others.s, matches.s))
    for x, y in zip(*results, strict=True):
        assert x.dtype == torch.float64 and x.item() == pytest.approx(y.item(), rel=1e-5, abs=1e-4)
    for m in "ab":
        assert low[m].grad.dtype == dtype
        assert torch.allclose(low[m].grad.double(), high[m].grad, rtol=4 * torch.finfo(dtype).eps, atol=1e-6)


def test_sums_of_parts_by_item_add_up():
    embeddings = random_embeddings(items=9, labels=3, absent=True)
    items = torch.arange(100, 109)
    parts = [sums_of(embeddings.of_items(some)) for some in (items[:2], items[2:3], items[3:])]
    parts.append(sums_of(embeddings.only("a").of_items(items[:0])))  # of one modality, without rows
    total, whole = parts[0] + parts[1] + parts[2] + parts[3], sums_of(embeddings)
    assert total.tensors().keys() == whole.tensors().keys()
    assert all(torch.allclose(tensor, whole.tensors()[name]) for name, tensor in total.tensors().items())
    assert [m.count for m in total.moments.values()] == [m.count for m in whole.moments.values()]
    assert {p: s.count for p, s in total.matches.items()} == {p: s.count for p, s in whole.matches.items()}


def test_what_needs_no_gradient_gets_none():
    embeddings = random_embeddings(modalities=("a", "b"))
    vectors_ = {"a": embeddings.vectors["a"], "b": embeddings.vectors["b"].clone().requires_grad_()}
    sums = sums_of(Embeddings(vectors_, embeddings.items))
    (sums.others(("a", "b")).squares + sums.matches["a", "b"].s).backward()
    assert vectors_["a"].grad is None and vectors_["b"].grad.abs().sum() > 0


def test_moments_of_some_rows():
    v, rows = vectors(9, 3), torch.tensor([4, 1, 4])
    of = moments(v, rows)
    assert of.count == 3 and torch.allclose(of.total, v[rows].sum(0)) and torch.allclose(of.gram, v[rows].T @ v[rows])


def test_a_second_derivative_is_refused():
    embeddings = with_grad(random_embeddings(modalities=("a", "b")))
    squares = sums_of(embeddings).everything(("a", "b")).squares
    (first,) = torch.autograd.grad(squares, embeddings.vectors["a"], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()
