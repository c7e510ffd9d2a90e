"""What is nearby one by one, and what is far by its moments: exact sums, and an estimate that is exact where it can be."""

import math

import pytest
import torch

from cases import random_embeddings, vectors, with_grad
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.objectives import PCMC, PCMR, make_objective, objective_spec
from manymodal.objectives.clustered import Side, pcmc_clustered
from manymodal.objectives.groups import Groups
from manymodal.objectives.near import _tiles, clusters_of, near_sums
from manymodal.processes import Processes
from oracles import oracle_near_sums, oracle_pcmc_clustered_rows

CASES = {
    "items": {},
    "labels": {"labels": 3, "label_modality": True},
    "one modality absent": {"absent": True},
    "two modalities": {"modalities": ("x", "y")},
}


def drawn(n=13, m=11, d=4, clusters=4):
    keys = torch.randint(-1, 6, (n,)), torch.randint(-1, 6, (m,))
    return vectors(n, d), vectors(m, d), *keys, torch.randint(0, clusters, (n,)), torch.randint(0, clusters, (m,))


@pytest.mark.parametrize("scale", [5.0, 90.0])
def test_near_sums_equal_their_loops(scale):
    given = drawn()
    for found, twin in zip(near_sums(*given, torch.tensor(scale)), oracle_near_sums(*given, scale), strict=True):
        torch.testing.assert_close(
            torch.stack(list(found)), torch.tensor(twin, dtype=torch.float64), rtol=1e-10, atol=1e-10
        )


def test_near_sums_have_the_gradient_of_finite_differences():
    a, b, *rest = drawn()
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)

    def sums(a, b, scale):
        return [part for side in near_sums(a, b, *rest, scale) for part in side]

    assert torch.autograd.gradcheck(sums, [a.requires_grad_(), b.requires_grad_(), scale])


def test_what_is_estimated_has_the_gradient_of_finite_differences():
    a, b, key_a, key_b, cluster_a, cluster_b = drawn()
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)

    def loss(a, b, scale):
        return pcmc_clustered(Side(a, cluster_a), Side(b, cluster_b), key_a, key_b, scale)[0]

    assert torch.autograd.gradcheck(loss, [a.requires_grad_(), b.requires_grad_(), scale])


def test_clusters_keep_the_values_of_an_item_together_and_their_size():
    embeddings = random_embeddings(items=50, missing=0.2)
    clusters = clusters_of(embeddings, 8)
    of_item = {}
    for m, found in clusters.items():
        for item, cluster in zip(embeddings.items[m].tolist(), found.tolist(), strict=True):
            assert of_item.setdefault(item, cluster) == cluster
    assert len(set(of_item.values())) > 1
    assert max(list(of_item.values()).count(cluster) for cluster in set(of_item.values())) <= 8


class Second(Processes):
    """The second of two processes, of which the first put every item into a cluster of its own."""

    def gather(self, tensor):
        return torch.cat([torch.arange(len(tensor)), tensor])


def test_all_processes_have_the_clusters_of_the_first():
    embeddings = random_embeddings(items=20)
    clusters, every = clusters_of(embeddings, 5, Second()), torch.cat(list(embeddings.items.values())).unique()
    for m, found in clusters.items():
        assert torch.equal(found, torch.searchsorted(every, embeddings.items[m]))


def test_one_wide_cluster_does_not_widen_the_others():
    """An item with 500 values beside 100 clusters of 3 values: products of 500 x 500 once, not 101 times."""
    cluster = torch.cat([torch.zeros(500, dtype=torch.int64), torch.arange(1, 101).repeat(3)])
    tiles = list(_tiles(Groups.of([cluster, cluster]), vectors(1)))
    assert sum(tile.matches for tile in tiles) == 500**2 + 100 * 3**2
    assert sum(tile.i.shape[0] * tile.i.shape[1] * tile.j.shape[1] for tile in tiles) < 2 * 500**2


@pytest.mark.parametrize("match", ["item", "label"])
@pytest.mark.parametrize("case", CASES)
def test_one_cluster_of_everything_is_pcmc_itself(case, match):
    embeddings = with_grad(random_embeddings(**{"labels": 3, **CASES[case]}))
    exact, clustered = (PCMC(match=match, clusters=c).double() for c in (None, 1000))
    losses = exact(embeddings), clustered(embeddings)
    assert losses[0].chance == pytest.approx(losses[1].chance)
    for pair, value in losses[0].pairs.items():
        assert losses[1].pairs[pair].item() == pytest.approx(value.item(), rel=1e-10)
    leaves = [v for v in embeddings.vectors.values() if len(v)]
    for whole, part in zip(*(torch.autograd.grad(loss.total, leaves) for loss in losses), strict=True):
        torch.testing.assert_close(whole, part, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("case", ["items", "labels"])
def test_clusters_within_the_batch_equal_the_loops(case):
    embeddings = random_embeddings(items=30, **CASES[case])
    objective = PCMC(scale=4.0, clusters=6).double()
    torch.manual_seed(3)
    loss = objective(embeddings)
    torch.manual_seed(3)
    clusters = clusters_of(embeddings, 6)
    for (a, b), value in loss.pairs.items():
        twin = oracle_pcmc_clustered_rows(embeddings, a, b, clusters[a], clusters[b], objective.scale)
        assert value.item() == pytest.approx(twin, rel=1e-8)


def test_far_away_normal_similarities_are_estimated_well():
    n, d = 600, 256
    a, b, items = vectors(n, d), vectors(n, d), torch.arange(n)
    embeddings = Embeddings({"a": a, "b": b}, {"a": items, "b": items})
    exact, estimate = (PCMC(clusters=c).double()(embeddings).total.item() for c in (None, 16))
    assert estimate == pytest.approx(exact, rel=5e-3)


@pytest.mark.parametrize("objective", [PCMC(clusters=4), PCMR(clusters=4)], ids=["pcmc", "pcmr"])
@pytest.mark.parametrize("case", CASES)
def test_gradients_are_finite_and_of_every_modality_with_a_match(objective, case):
    embeddings = with_grad(random_embeddings(items=20, **CASES[case]))
    objective.double()(embeddings).total.backward()
    for name, v in embeddings.vectors.items():
        if name != "nobody":
            assert v.grad.isfinite().all() and v.grad.abs().sum() > 0


def test_pcmr_adds_the_contrastive_loss_within_clusters():
    embeddings = random_embeddings(items=20)
    uniform = PCMR(lam=3.0)(embeddings)
    everything = PCMR(lam=3.0, clusters=1000, near=0.5)(embeddings)
    contrastive = PCMC()(embeddings)
    for pair, value in everything.pairs.items():
        assert value.item() == pytest.approx((uniform.pairs[pair] + 0.5 * contrastive.pairs[pair]).item(), rel=1e-6)
        assert everything.chance[pair] == pytest.approx(uniform.chance[pair] + 0.5 * contrastive.chance[pair])


@pytest.mark.parametrize("make", [PCMC, PCMR])
def test_small_batches_work(make):
    for ids in ([0], [0, 1], [0, 0, 0]):
        items = torch.tensor(ids)
        embeddings = with_grad(Embeddings({m: vectors(len(ids)) for m in "ab"}, dict.fromkeys("ab", items)))
        loss = make(clusters=2)(embeddings)
        loss.total.backward()
        assert math.isfinite(loss.total.item())
        assert embeddings.vectors["a"].grad.isfinite().all()


@pytest.mark.parametrize("name", ["pcmc", "pcmr"])
def test_settings_round_trip_and_mistakes_are_named(name):
    objective = make_objective({name: {"clusters": 32}})
    assert objective.clusters == 32
    assert objective_spec(make_objective(objective_spec(objective))) == objective_spec(objective)
    for wrong in (1, 0.5, "64"):
        with pytest.raises(ManymodalError, match="clusters="):
            make_objective({name: {"clusters": wrong}})
    with pytest.raises(ManymodalError, match="denominator"):
        PCMC(clusters=8, denominator="all")
    with pytest.raises(ManymodalError, match="give one"):
        PCMR(clusters=8, focus=0.1)
