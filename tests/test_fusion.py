import pytest
import torch

from cases import vectors
from manymodal.errors import ManymodalError
from manymodal.fusion import reciprocal_rank_scores
from manymodal.ranks import ranks, ranks_of
from oracles import oracle_reciprocal_ranks


@pytest.mark.parametrize("weights", [None, [2.0, 0.5, 1.0]])
def test_agrees_with_the_plain_loop(weights):
    signs = torch.randint(0, 2, (9, 8)).float() / 8**0.5  # few levels: ties
    gallery, parts = signs[torch.randint(9, (17,))], [signs[torch.randint(9, (5,))] for _ in range(3)]
    owners = torch.randint(6, (17,))
    things, scores = reciprocal_rank_scores(parts, gallery, owners, 10, weights)
    found = scores(slice(0, 5))
    assert things.tolist() == sorted(set(owners.tolist())) and found.dtype == torch.float32
    for i in range(5):
        asked = [part[i].double().numpy() for part in parts]
        twin = oracle_reciprocal_ranks(asked, gallery.double().numpy(), owners.tolist(), 10, weights or [1.0, 1.0, 1.0])
        assert found[i].tolist() == pytest.approx([twin[thing] for thing in things.tolist()])


def test_blocks_rows_and_parts_in_any_order_agree():
    parts, gallery, owners = [vectors(11), vectors(11)], vectors(20), torch.arange(20) // 2
    things, scores = reciprocal_rank_scores(parts, gallery, owners)
    order = torch.randperm(20)
    turned, again = reciprocal_rank_scores(parts[::-1], gallery[order], owners[order])
    assert torch.equal(things, turned)
    torch.testing.assert_close(torch.cat([again(slice(0, 4)), again(slice(4, 11))]), scores(slice(0, 11)))


def test_one_part_keeps_its_order_and_the_best_in_every_part_scores_one():
    queries, gallery, ids = vectors(30), vectors(50), torch.arange(50)
    _, scores = reciprocal_rank_scores([queries], gallery, ids)
    alone = ranks(queries, gallery, ids[:30], ids)
    for block in (1, 10**6):
        assert torch.equal(ranks_of(scores, ids[:30], ids, block).ranks, alone.ranks)
    assert scores(slice(0, 30)).amax(dim=1).tolist() == pytest.approx([1] * 30)


def test_an_item_ranks_by_its_best_value():
    gallery = torch.eye(3)[[0, 1, 2, 0]]
    query = torch.tensor([[0.8, 0.6, 0.0]])
    _, scores = reciprocal_rank_scores([query], gallery, torch.tensor([7, 8, 9, 9]), k=1)
    assert scores(slice(0, 1)).tolist() == [pytest.approx([2 / 3, 2 / 4, 2 / 3])]  # 7 and 9 share the second place


def test_mistakes_are_refused_in_words():
    one, ids = vectors(2), torch.arange(2)
    with pytest.raises(ManymodalError, match="0 parts"):
        reciprocal_rank_scores([], one, ids)
    with pytest.raises(ManymodalError, match=r"weights \[0.0\]"):
        reciprocal_rank_scores([one], one, ids, weights=[0.0])
    with pytest.raises(ManymodalError, match="do not fit"):
        reciprocal_rank_scores([one, vectors(3)], one, ids)
    with pytest.raises(ManymodalError, match="2 owners for 2 gallery rows"):
        reciprocal_rank_scores([one], one, torch.tensor([0, -1]))
