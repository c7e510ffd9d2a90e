import numpy as np
import pytest
import torch

from cases import vectors
from manymodal.evaluation import geometry
from manymodal.evaluation.geometry import Moments, centroid_gap, distribution_gap, repeats, separation, uniformity
from oracles import (
    oracle_effective_dimension,
    oracle_gaps,
    oracle_repeats,
    oracle_separation,
    oracle_uniformity,
)


def cone(n, d=6, towards=0.8):
    """(n, d) unit vectors around a direction of their own."""
    return torch.nn.functional.normalize(vectors(n, d) + towards * vectors(1, d), dim=1)


def rotation(d):
    return torch.linalg.qr(torch.randn(d, d, dtype=torch.float64)).Q


@pytest.mark.parametrize(("n", "m"), [(30, 20), (4, 9), (9, 4)])  # more vectors than dimensions, and fewer
def test_gaps_agree_with_the_plain_loop(n, m):
    a, b = cone(n), cone(m)
    centroids, share = oracle_gaps(a.numpy(), b.numpy())
    assert centroid_gap(Moments.of(a), Moments.of(b)) == pytest.approx(centroids, abs=1e-12)
    assert distribution_gap(Moments.of(a), Moments.of(b)) == pytest.approx(share, abs=1e-6)  # the twin's roots
    assert distribution_gap(Moments.of(b), Moments.of(a)) == pytest.approx(share, abs=1e-6)
    assert 0.05 < share < 1


def test_shapes_agree_with_the_plain_loop():
    for n in (30, 4):
        x = cone(n)
        assert Moments.of(x).effective_dimension == pytest.approx(oracle_effective_dimension(x.numpy()), abs=1e-9)
        assert uniformity(x) == pytest.approx(oracle_uniformity(x.numpy()), abs=1e-9)
        assert Moments.of(x).common_component == pytest.approx(float(np.linalg.norm(x.numpy().mean(0))), abs=1e-12)
    assert Moments.of(vectors(1).expand(5, -1)).effective_dimension is None


def test_the_distribution_gap_sees_what_centroids_do_not():
    apart = torch.cat([vectors(400, 8), torch.zeros(400, 8, dtype=torch.float64)], dim=1)
    one, other = Moments.of(apart), Moments.of(apart.flip(1))
    assert centroid_gap(one, other) < 0.1 and distribution_gap(one, other) > 0.99
    same = [Moments.of(vectors(2000)) for _ in range(2)]
    assert distribution_gap(*same) < 0.01 and distribution_gap(same[0], same[0]) == pytest.approx(0, abs=1e-9)


def test_known_values():
    assert uniformity(vectors(500, 256)) == pytest.approx(-4, abs=0.05)
    assert Moments.of(torch.eye(9, dtype=torch.float64)).effective_dimension == pytest.approx(8)
    points = torch.eye(4, dtype=torch.float64)[[0, 0, 0]], torch.eye(4, dtype=torch.float64)[[1, 1]]
    assert uniformity(points[0]) == 0 and distribution_gap(*map(Moments.of, points)) == pytest.approx(1)
    assert distribution_gap(*[Moments.of(points[0])] * 2) == 0  # one point is no gap from itself


def test_nothing_changes_under_a_rotation_or_with_the_order_of_rows():
    a, b = cone(12), cone(9)
    turn, order = rotation(6), torch.randperm(12)
    before, after = (Moments.of(a), Moments.of(b)), (Moments.of((a @ turn)[order]), Moments.of(b @ turn))
    assert centroid_gap(*after) == pytest.approx(centroid_gap(*before))
    assert distribution_gap(*after) == pytest.approx(distribution_gap(*before))
    assert after[0].effective_dimension == pytest.approx(before[0].effective_dimension)
    assert uniformity((a @ turn)[order]) == pytest.approx(uniformity(a))


def test_separation_agrees_with_the_plain_loop(monkeypatch):
    a, b = cone(12), cone(9)
    i, j = torch.tensor([0, 0, 1, 5, 11]), torch.tensor([2, 3, 0, 8, 8])
    matches, others, d_prime = oracle_separation(a.numpy(), b.numpy(), set(zip(i.tolist(), j.tolist(), strict=True)))
    for block in (geometry.BLOCK, 6, 12):
        monkeypatch.setattr(geometry, "BLOCK", block)
        found = separation(a, b, i, j)
        assert found.matches == pytest.approx(matches, abs=1e-12) and found.others == pytest.approx(others, abs=1e-9)
        assert found.d_prime == pytest.approx(d_prime, abs=1e-7)


def test_separation_where_nothing_is_to_be_told_apart():
    a, none = vectors(3), torch.zeros(0, dtype=torch.int64)
    assert separation(a, a, none, none) is None
    every = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    assert separation(a, a, every[:, 0], every[:, 1]) is None
    one_point = vectors(1).expand(3, -1)
    assert separation(one_point, one_point, none + 0, none) is None
    assert separation(one_point, one_point, torch.arange(3), torch.arange(3)).d_prime == pytest.approx(0, abs=1e-6)
    basis = torch.eye(3, dtype=torch.float64)
    assert separation(basis, basis, torch.arange(3), torch.arange(3)).d_prime == 1e6  # finite


def test_repeats_agree_with_the_plain_loop(monkeypatch):
    x = vectors(6)[[0, 1, 1, 2, 2, 2, 3, 3, 4, 5]] + 1e-7 * vectors(10)
    owners = torch.tensor([0, 1, 2, 3, 4, 4, 5, 5, 6, 7])  # 5 shows its own twice: no repeat
    wanted = oracle_repeats(x.tolist(), owners.tolist())
    assert wanted == (0.3, 0.5)
    for block in (geometry.BLOCK, 10, 30):
        monkeypatch.setattr(geometry, "BLOCK", block)
        assert repeats(x, owners) == pytest.approx(wanted)
    assert repeats(vectors(5), torch.arange(5)) == (0, 0)


def test_blocks_give_the_whole(monkeypatch):
    x = cone(13)
    whole = uniformity(x)
    monkeypatch.setattr(geometry, "BLOCK", 30)
    assert uniformity(x) == pytest.approx(whole)
