"""Batched exact search beside its twin, where products are exact and where they are rounded."""

import pytest
import torch

from cases import vectors
from manymodal.errors import ManymodalError
from manymodal.index import exact
from manymodal.index.exact import search, search_many
from nearest_cases import eighths
from oracles import oracle_nearest


def twin(gallery, owners, query, k, allowed=None):
    """Found items of the slow twin; keyed by first row, since equal scores go by row."""
    rows = [row for row in range(len(gallery)) if allowed is None or allowed[row]]
    found = {}  # of each item its best row, and the score
    for row, _, score in oracle_nearest({row: [gallery[row]] for row in rows}, query, len(rows)):
        found.setdefault(int(owners[row]), (row, score))
    return [(item, row, score) for item, (row, score) in found.items()][:k]


@pytest.mark.parametrize("block", [1, 100, 10**6])
@pytest.mark.parametrize("k", [1, 4, 1000])
@pytest.mark.parametrize("items", [3, 30, 10**6])
def test_equals_the_twin_with_ties_and_several_values(items, k, block):
    gallery, owners, queries = eighths(70), torch.randint(items, (70,)), 64 * eighths(5)
    for allowed in (None, torch.rand(70) < 0.3, torch.zeros(70, dtype=torch.bool)):
        found = search_many(gallery, owners, queries, k, allowed, block)
        assert found == [twin(gallery, owners, query, k, allowed) for query in queries]


@pytest.mark.parametrize("d", [3, 33, 256])
def test_a_score_depends_on_nothing_but_query_and_row(d):
    one, queries = vectors(1, d, torch.float32), vectors(9, d, torch.float32)
    gallery = torch.cat([vectors(300, d, torch.float32), one.repeat(200, 1)])[torch.randperm(500)]
    same = (gallery == one).all(dim=1).nonzero()[:, 0].tolist()
    together = search_many(gallery, torch.arange(500), queries, 500)
    for query, found in zip(queries, together, strict=True):
        assert [f.row for f in found if f.row in set(same)] == same  # equal scores, by row
        assert found[:7] == search(gallery, torch.arange(500), query, 7)
        assert found[:7] == search_many(gallery, torch.arange(500), query[None], 7, block=64)[0]
        (alone,) = search(gallery[same[:1]], torch.zeros(1, dtype=torch.int64), query, 1)
        assert {f.score for f in found if f.row in set(same)} == {alone.score}


def test_rows_that_rounding_swaps_are_found_in_their_own_order():
    base = vectors(1, 64, torch.float32)
    gallery = base + torch.arange(400)[torch.randperm(400), None] * 3e-9  # apart by less than a product's rounding
    scores = (gallery * base).sum(dim=1)
    expected = sorted(range(400), key=lambda row: (-float(scores[row]), row))[:20]
    assert [f.row for f in search(gallery, torch.arange(400), base[0], 20)] == expected


def test_a_wide_gallery_of_half_precision_and_one_mapped_from_a_file(tmp_path):
    import numpy as np

    gallery, queries, owners = vectors(300, 16, torch.float32), vectors(3, 16, torch.float32), torch.arange(300) // 3
    half = search_many(gallery.half(), owners, queries, 5, block=512)
    assert half == search_many(gallery.half().float(), owners, queries, 5)
    np.save(tmp_path / "gallery.npy", gallery.numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "gallery.npy", mmap_mode="c"))
    assert search_many(mapped, owners, queries, 5) == search_many(gallery, owners, queries, 5)


def test_the_best_item_may_have_all_of_the_first_rows():
    gallery = torch.cat([torch.eye(4)[:1].repeat(5000, 1), torch.eye(4)])
    owners = torch.cat([torch.zeros(5000, dtype=torch.int64), torch.arange(4)])
    found = search_many(gallery, owners, torch.tensor([[1.0, 0.5, 0.2, 0.1], [0.1, 0.2, 0.5, 1.0]]), 3)
    assert [[f.item for f in one] for one in found] == [[0, 1, 2], [3, 2, 1]]


def test_scores_are_held_in_blocks(monkeypatch):
    held = []
    products = exact._products

    def counted(queries, gallery, block):
        scores = products(queries, gallery, block)
        held.append(scores.numel())
        return scores

    monkeypatch.setattr(exact, "_products", counted)
    search_many(vectors(50, 4, torch.float32), torch.arange(50), vectors(40, 4, torch.float32), 2, block=500)
    assert sum(held) == 50 * 40 and max(held) <= 500


def test_what_does_not_fit_is_refused():
    with pytest.raises(ManymodalError, match=r"allowed \(3,\) does not fit a gallery of 4 rows"):
        search_many(torch.eye(4), torch.arange(4), torch.eye(4), 1, torch.ones(3, dtype=torch.bool))
    assert search_many(torch.eye(4), torch.arange(4), torch.zeros(0, 4), 1) == []
