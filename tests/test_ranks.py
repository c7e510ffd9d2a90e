import time

import pytest
import torch
from torch.nn.functional import normalize

from manymodal.errors import ManymodalError
from manymodal.ranks import MANY, ranks
from oracles import oracle_ranks


def exact(n, d=64, levels=64):
    """Unit vectors whose products are multiples of 1/64, few of them different: many ties, all of them exact."""
    signs = torch.randint(0, 2, (levels, d)).float() * 2 - 1
    return signs[torch.randint(levels, (n,))] / 8


def check(queries, gallery, query_keys, gallery_keys, **options):
    found = ranks(queries, gallery, query_keys, gallery_keys, **options)
    scores = (queries.double() @ gallery.double().T).tolist()
    for i, key in enumerate(query_keys.tolist()):
        matches = [j for j, other in enumerate(gallery_keys.tolist()) if other == key >= 0]
        assert found.ranks[found.offsets[i] : found.offsets[i + 1]].tolist() == oracle_ranks(scores[i], matches)
    return found


@pytest.mark.parametrize("block", [1, 40, 10**9])
def test_agree_with_the_plain_loop_where_scores_tie(block):
    query_keys, gallery_keys = torch.randint(-1, 9, (23,)), torch.randint(-1, 7, (31,))
    found = check(exact(23, levels=5), exact(31, levels=5), query_keys, gallery_keys, block=block)
    assert found.ranks.dtype == torch.int64 and len(found) == 23
    assert (found.matches == (query_keys[:, None] == gallery_keys).sum(dim=1) * (query_keys >= 0)).all()


def test_many_matches_are_counted_by_sorting_and_few_by_comparing_alike():
    queries, gallery = exact(6, levels=4), exact(3 * MANY, levels=20)
    check(queries, gallery, torch.tensor([0, 1, 2, 0, 5, -1]), torch.arange(3 * MANY) % 2)  # more than MANY each
    check(queries, gallery, torch.tensor([0, 1, 2, 0, 5, -1]), torch.arange(3 * MANY) % 4)  # fewer


def test_a_collapsed_space_ranks_last():
    """All vectors alike: every non-match stands before the match."""
    same = torch.zeros(10, 4)
    same[:, 0] = 1
    found = ranks(same, same, torch.arange(10), torch.arange(10))
    assert found.ranks.tolist() == [10] * 10


def test_matches_that_tie_take_consecutive_ranks():
    v = torch.tensor([[1.0, 0.0]])
    found = ranks(v, v.repeat(5, 1), torch.tensor([3]), torch.tensor([3, 0, 3, 3, 1]))
    assert found.ranks.tolist() == [3, 4, 5]


def test_near_ties_within_the_tolerance_count_against_the_query():
    gallery = torch.tensor([[0.5, 0.0], [0.5 - 5e-7, 0.0], [0.5 - 2e-6, 0.0]])
    assert ranks(torch.tensor([[1.0, 0.0]]), gallery, torch.tensor([0]), torch.tensor([0, 1, 2])).ranks.tolist() == [2]


def test_half_precision_is_ranked_in_float32():
    queries, gallery = exact(5), exact(9)
    keys = torch.randint(3, (5,)), torch.randint(3, (9,))
    assert torch.equal(ranks(queries.half(), gallery.half(), *keys).ranks, ranks(queries, gallery, *keys).ranks)


def test_nothing_to_rank():
    none = torch.zeros(0, 4)
    some, ids = torch.eye(4), torch.arange(4)
    assert ranks(none, some, ids[:0], ids).offsets.tolist() == [0]
    found = ranks(some, none, ids, ids[:0])
    assert found.ranks.shape == (0,) and found.offsets.tolist() == [0] * 5


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ManymodalError, match=r"\(2, 3\) and gallery \(2, 4\)"):
        ranks(torch.zeros(2, 3), torch.zeros(2, 4), torch.arange(2), torch.arange(2))
    with pytest.raises(ManymodalError, match="1 keys for 2 queries"):
        ranks(torch.zeros(2, 3), torch.zeros(2, 3), torch.arange(1), torch.arange(2))


def test_five_thousand_photos_rank_their_captions_in_seconds():
    captions = normalize(torch.randn(25_000, 64), dim=1)
    start = time.perf_counter()
    found = ranks(captions[::5], captions, torch.arange(5000), torch.arange(5000).repeat_interleave(5))
    assert time.perf_counter() - start < 15  # about one on an idle core
    assert (found.matches == 5).all() and (found.ranks[found.offsets[:-1]] == 1).all()
