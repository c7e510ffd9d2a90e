"""Clusters of bounded size: the bound, neighbours kept together, other boundaries by another start, and the cost."""

import math

import pytest
import torch
from torch.nn.functional import normalize
from torch.utils.flop_counter import FlopCounterMode

from manymodal.errors import ManymodalError
from manymodal.objectives import clusters
from manymodal.objectives.clusters import bounded_clusters


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def random_vectors(n, d=8, seed=0):
    return normalize(torch.randn(n, d, generator=seeded(seed)), dim=1)


def groups_of(groups, each, d=24, spread=0.08, seed=0):
    """`groups` well separated groups of `each` rows, one after the other, and which group each row is of."""
    of = torch.arange(groups).repeat_interleave(each)
    centres = random_vectors(groups, d, seed)[of]
    return normalize(centres + spread * torch.randn(len(of), d, generator=seeded(seed + 1)), dim=1), of


def clouds(n=2000, d=16, seed=0):
    """Overlapping clouds of uneven size with some directions wider than others: neighbours, but no clear borders."""
    generator = seeded(seed)
    centres = torch.randn(30, d, generator=generator)
    of = torch.multinomial(torch.arange(1, 31) / 30, n, replacement=True, generator=generator)
    return normalize(centres[of] + torch.randn(n, d, generator=generator) * torch.linspace(1.2, 0.2, d), dim=1)


def neighbours(vectors, k=10):
    """(n, k) the nearest other rows of each."""
    return (vectors @ vectors.T).fill_diagonal_(-2).topk(k).indices


def together(ids, near):
    """(n, k) bool: whether each row's neighbours are in its own cluster."""
    return ids[near] == ids[:, None]


def check(ids, n, size):
    assert ids.dtype == torch.int64 and ids.shape == (n,)
    count = torch.bincount(ids)
    assert (count >= 1).all() and (count <= size).all()
    return count


def full_search(vectors, size, rounds, seed):
    """The same by comparing every row with every centre, a row after the other, the surest first: a slow twin."""
    n = len(vectors)
    k = math.ceil(n / (clusters.FILL * size))
    centres = vectors[torch.randperm(n, generator=seeded(seed))[:k]]
    for _ in range(rounds):
        scores = vectors @ centres.T
        room, ids = [size] * k, [0] * n
        for row in scores.amax(1).argsort(descending=True).tolist():
            ids[row] = next(c for c in scores[row].argsort(descending=True).tolist() if room[c])
            room[ids[row]] -= 1
        ids = torch.tensor(ids)
        centres = torch.stack([normalize(vectors[ids == c].sum(0), dim=0) for c in range(k)])
    return ids


@pytest.mark.parametrize(
    ("n", "size"), [(1, 1), (5, 1), (40, 1), (7, 2), (64, 64), (65, 64), (129, 64), (1000, 10), (3000, 100)]
)
def test_no_cluster_has_more_rows_than_it_may(n, size):
    count = check(bounded_clusters(random_vectors(n), size, generator=seeded(0)), n, size)
    assert len(count) >= math.ceil(n / size)


@pytest.mark.parametrize("size", [10, 64, 200])
def test_clusters_are_nearly_full(size):
    count = check(bounded_clusters(clouds(4000), size, generator=seeded(0)), 4000, size)
    assert count.double().mean() >= 0.8 * size


@pytest.mark.parametrize("n", [0, 1, 9])
def test_what_fits_is_one_cluster(n):
    assert bounded_clusters(random_vectors(n), 9).tolist() == [0] * n


@pytest.mark.parametrize("distinct", [1, 3])
def test_equal_rows_are_shared_out(distinct):
    count = check(bounded_clusters(random_vectors(distinct).repeat(900, 1), 20), 900 * distinct, 20)
    assert count.double().mean() >= 0.8 * 20


def test_many_equal_rows_do_not_spoil_the_others():
    apart, _ = groups_of(30, 16)
    vectors = torch.cat([random_vectors(1, 24, seed=9).repeat(1500, 1), apart])
    ids = bounded_clusters(vectors, 20, generator=seeded(0))
    check(ids, len(vectors), 20)
    assert together(ids[1500:], neighbours(apart, 15)).double().mean() > 0.6


def test_planted_groups_are_found():
    vectors, of = groups_of(60, 25)
    ids = bounded_clusters(vectors, 32, generator=seeded(0))
    same_group, same_cluster = of[:, None] == of, ids[:, None] == ids
    assert same_cluster[same_group].double().mean() > 0.85
    assert same_cluster[~same_group].double().mean() < 0.01


@pytest.mark.parametrize("size", [16, 64])
def test_keeps_neighbours_as_well_as_a_full_search(size):
    vectors = clouds()
    near = neighbours(vectors)
    found = together(bounded_clusters(vectors, size, generator=seeded(0)), near).double().mean()
    full = together(full_search(vectors, size, 8, seed=0), near).double().mean()
    random = together(torch.randperm(len(vectors)) // size, near).double().mean()
    assert found > 0.93 * full
    assert found > 8 * random


def test_the_last_rounds_take_the_walls_between_cells_down(monkeypatch):
    vectors = clouds()
    near = neighbours(vectors)
    wide = together(bounded_clusters(vectors, 16, generator=seeded(0)), near).double().mean()
    monkeypatch.setattr(clusters, "LAST", 0)
    walled = together(bounded_clusters(vectors, 16, generator=seeded(0)), near).double().mean()
    assert wide > walled + 0.02


def test_more_rounds_are_better():
    vectors = clouds()
    near = neighbours(vectors)
    one, many = (
        together(bounded_clusters(vectors, 32, rounds=r, generator=seeded(0)), near).double().mean() for r in (1, 8)
    )
    assert many > one + 0.03


def test_one_state_of_the_generator_is_one_clustering():
    vectors = clouds()
    first = bounded_clusters(vectors, 32, generator=seeded(3))
    assert torch.equal(first, bounded_clusters(vectors, 32, generator=seeded(3)))
    with torch.random.fork_rng():
        torch.manual_seed(3)
        assert torch.equal(first, bounded_clusters(vectors, 32))


def test_neighbours_apart_in_one_clustering_meet_in_another():
    vectors = clouds()
    near = neighbours(vectors)
    generator = seeded(0)
    met = [together(bounded_clusters(vectors, 32, generator=generator), near) for _ in range(3)]
    alone = [m.double().mean() for m in met]
    assert max(alone) - min(alone) < 0.05
    assert (met[0] | met[1] | met[2]).double().mean() > 1.3 * max(alone)


def test_the_order_of_rows_does_not_matter_for_the_quality():
    vectors = clouds()
    order = torch.randperm(len(vectors), generator=seeded(1))
    quality = [
        together(bounded_clusters(v, 32, generator=seeded(0)), neighbours(v)).double().mean()
        for v in (vectors, vectors[order], vectors[(vectors @ vectors[0]).argsort()])
    ]
    assert max(quality) - min(quality) < 0.05


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_any_precision(dtype):
    vectors, _ = groups_of(40, 25)
    ids = bounded_clusters(vectors.to(dtype), 32, generator=seeded(0))
    check(ids, len(vectors), 32)
    assert together(ids, neighbours(vectors, 24)).double().mean() > 0.8


def test_no_gradient_is_kept_and_nothing_is_changed():
    vectors = clouds(500).requires_grad_()
    before = vectors.detach().clone()
    assert not bounded_clusters(vectors, 16).requires_grad
    assert torch.equal(vectors, before)


def test_work_grows_far_below_quadratically():
    def work(n):
        with FlopCounterMode(display=False) as counter:
            bounded_clusters(clouds(n), 16, generator=seeded(0))
        return counter.get_total_flops()

    assert math.log(work(8000) / work(500)) / math.log(16) < 1.6


@pytest.mark.parametrize(
    ("vectors", "arguments", "message"),
    [
        (torch.zeros(3), {"size": 2}, "needed: floats"),
        (torch.zeros(3, 2, dtype=torch.int64), {"size": 2}, "needed: floats"),
        (random_vectors(3), {"size": 0}, "size=0"),
        (random_vectors(3), {"size": 2, "rounds": 0}, "rounds=0"),
    ],
)
def test_what_is_refused(vectors, arguments, message):
    with pytest.raises(ManymodalError, match=message):
        bounded_clusters(vectors, **arguments)


def test_places_go_to_the_best_of_those_who_ask_first():
    generator = seeded(0)
    n, k, c, size = 60, 9, 3, 8
    best = torch.rand(n, k, generator=generator).topk(c)
    choices = best.indices.clone()
    choices[::7, 2] = k  # none
    room, expected = [size] * k, [-1] * n
    for nth in range(c):
        for row in best.values[:, nth].argsort(descending=True).tolist():
            if expected[row] < 0 and (want := int(choices[row, nth])) < k and room[want]:
                expected[row], room[want] = want, room[want] - 1
    ids = clusters._place(best.values, choices, k, size)
    expected = torch.tensor(expected)
    assert 0 < (expected < 0).sum() < 20
    assert torch.equal(ids[expected >= 0], expected[expected >= 0])
    check(ids.unique(return_inverse=True)[1], n, size)
