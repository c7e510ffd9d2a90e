import numpy as np
import pytest
import torch

from manymodal.errors import ManymodalError
from manymodal.evaluation.metrics import per_query, summary
from manymodal.evaluation.significance import interval
from manymodal.ranks import Ranks, ranks
from oracles import oracle_metrics

K = (1, 5, 10)
AT_K = {"hit": "success", "recall": "recall", "ndcg": "ndcg_cut"}


def made_ranks(queries=40, rows=60, most=14):
    """Random ascending ranks of 1 to `most` matches."""
    lists = [sorted((torch.randperm(rows)[: torch.randint(1, most, ())] + 1).tolist()) for _ in range(queries)]
    offsets = torch.tensor([0, *np.cumsum([len(r) for r in lists])])
    return lists, Ranks(torch.tensor([x for r in lists for x in r]), offsets)


def test_agree_with_the_plain_loop():
    lists, made = made_ranks()
    assert summary(per_query(made, K)) == pytest.approx(oracle_metrics(lists, K), abs=1e-12)


def test_agree_with_trec_eval_where_nothing_ties():
    pytrec_eval = pytest.importorskip("pytrec_eval")
    n, m = 30, 80
    queries, gallery = torch.randn(n, 16), torch.randn(m, 16)
    query_keys, gallery_keys = torch.arange(n) % 10, torch.randint(10, (m,))
    gallery_keys[:10] = torch.arange(10)
    truth = {str(i): {str(j): int(query_keys[i] == gallery_keys[j]) for j in range(m)} for i in range(n)}
    run = {str(i): {str(j): float(s) for j, s in enumerate(row)} for i, row in enumerate(queries @ gallery.T)}
    measures = {"map", "recip_rank", "Rprec", "recall.1,5,10", "success.1,5,10", "ndcg_cut.1,5,10"}
    theirs = pytrec_eval.RelevanceEvaluator(truth, measures).evaluate(run)
    ours = per_query(ranks(queries, gallery, query_keys, gallery_keys), K)
    names = {"map": "map", "mrr": "recip_rank", "r_precision": "Rprec"}
    names |= {f"{name}@{k}": f"{other}_{k}" for name, other in AT_K.items() for k in K}
    assert set(ours) == {*names, "median_rank"}
    for name, other in names.items():
        expected = [theirs[str(i)][other] for i in range(n)]
        np.testing.assert_allclose(ours[name].numpy(), expected, atol=2e-5, err_msg=name)


def test_ndcg_by_hand():
    made = Ranks(torch.tensor([1, 3, 2]), torch.tensor([0, 2, 3]))
    found = per_query(made, (1, 2, 3))
    assert found["ndcg@1"].tolist() == [1, 0]
    assert found["ndcg@2"].tolist() == pytest.approx([1 / (1 + 1 / np.log2(3)), 1 / np.log2(3)])
    assert found["ndcg@3"].tolist() == pytest.approx([(1 + 1 / 2) / (1 + 1 / np.log2(3)), 1 / np.log2(3)])


def test_the_median_of_an_even_number_lies_in_the_middle():
    made = Ranks(torch.tensor([1, 4, 2, 9]), torch.arange(5))
    assert summary(per_query(made))["median_rank"] == 3.0


def test_no_query_has_no_figure():
    none = Ranks(torch.zeros(0, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    assert set(summary(per_query(none, K)).values()) == {None}


def test_queries_without_a_match_are_refused():
    with pytest.raises(ManymodalError, match="query 1 has no match"):
        per_query(Ranks(torch.tensor([1]), torch.tensor([0, 1, 1])))
    with pytest.raises(ManymodalError, match="k=0"):
        per_query(Ranks(torch.tensor([1]), torch.tensor([0, 1])), k=(0,))


def test_interval_covers_the_mean_and_repeats():
    hits, items = (torch.rand(400) < 0.3).double(), torch.arange(400)
    low, high = interval(hits, items, seed=3)
    assert low < hits.mean() < high and interval(hits, items, seed=3) == (low, high)
    spread = 1.96 * (0.3 * 0.7 / 400) ** 0.5
    assert (high - low) / 2 == pytest.approx(spread, rel=0.2)


def test_queries_of_an_item_are_drawn_together():
    """Five copies of every query say no more than one."""
    hits, items = (torch.rand(100) < 0.5).double(), torch.arange(100)
    once, copied = interval(hits, items), interval(hits.repeat(5), items.repeat(5))
    assert once == pytest.approx(copied)
    one_each = interval(hits.repeat(5), torch.arange(500))
    assert one_each[1] - one_each[0] < 0.6 * (once[1] - once[0])


def test_items_with_more_queries_weigh_more():
    assert interval(torch.ones(6), torch.tensor([0, 1, 1, 1, 1, 1])) == (1, 1)
    low, high = interval(torch.tensor([1.0, 0, 0, 0, 0, 0]), torch.tensor([0, 1, 1, 1, 1, 1]))
    assert (low, high) == (0, 1)  # either item may be all that is drawn


def test_interval_needs_queries():
    with pytest.raises(ManymodalError, match="one or more queries"):
        interval(torch.zeros(0), torch.zeros(0, dtype=torch.int64))
