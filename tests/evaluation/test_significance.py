import json
import math

import pytest
import torch

from manymodal.errors import ManymodalError
from manymodal.evaluation.significance import (
    Difference,
    Resamples,
    holm,
    holm_intervals,
    interval,
    p_value,
    quantile_of_t,
)
from oracles import oracle_difference, oracle_drawn_mean, oracle_holm, oracle_percentiles


def queries(n, items, seed=0):
    """Figures (n,) of 0 to 1 and whose they are (n,): ids from 100 on, some with several queries, some with none."""
    random = torch.Generator().manual_seed(seed)
    return torch.rand(n, generator=random).double(), 100 + torch.randint(items, (n,), generator=random)


def drawn(resamples):
    """What was drawn, as {owner: count} of each draw."""
    return [dict(zip(resamples.owners.tolist(), row.tolist(), strict=True)) for row in resamples.counts]


# -- against loops -----------------------------------------------------------------------------------------------------


def test_each_draw_has_as_many_items_as_there_are():
    resamples = Resamples(torch.arange(100, 130), n=50)
    assert resamples.counts.shape == (50, 30) and (resamples.counts.sum(axis=1) == 30).all()
    assert 0.8 < float(resamples.counts.astype(float).var()) < 1.15  # about 1 - 1/30, as a multinomial's


def test_interval_agrees_with_the_loop():
    resamples = Resamples(torch.arange(100, 110), seed=3, n=60)
    values, owners = queries(17, 10)
    means = [oracle_drawn_mean(values.tolist(), owners.tolist(), counts) for counts in drawn(resamples)]
    assert resamples.interval(values, owners) == pytest.approx(oracle_percentiles(means), abs=1e-12)


def test_difference_agrees_with_the_loop_also_where_items_lack_a_side():
    resamples = Resamples(torch.arange(100, 112), n=40)
    a, b = queries(9, 6, seed=1), queries(15, 12, seed=2)
    found = resamples.difference(*a, *b)
    mean, low, high, se = oracle_difference(
        (a[0].tolist(), a[1].tolist()), (b[0].tolist(), b[1].tolist()), drawn(resamples)
    )
    assert (found.mean, *found.ci, found.se) == pytest.approx((mean, low, high, se), abs=1e-12)


def test_draws_that_meet_no_query_are_left_out():
    resamples = Resamples(torch.arange(100, 130), n=30)
    values, owners = torch.tensor([0.25, 0.75], dtype=torch.float64), torch.tensor([101, 107])
    means = [oracle_drawn_mean(values.tolist(), owners.tolist(), counts) for counts in drawn(resamples)]
    met = [mean for mean in means if mean is not None]
    assert 0 < len(met) < 30
    assert resamples.interval(values, owners) == pytest.approx(oracle_percentiles(met))


def test_blocks_of_draws_are_the_whole(monkeypatch):
    values, owners = queries(40, 20)
    whole = Resamples(torch.arange(100, 120), n=30)
    monkeypatch.setattr("manymodal.evaluation.significance.BLOCK", 50)  # two draws at a time
    blocks = Resamples(torch.arange(100, 120), n=30)
    assert (whole.counts == blocks.counts).all()
    assert whole.interval(values, owners) == blocks.interval(values, owners)


# -- what must not matter ----------------------------------------------------------------------------------------------


def test_order_of_owners_and_of_queries_does_not_matter():
    (values, owners), order, other = queries(30, 12), torch.randperm(30), torch.randperm(12)
    one, two = Resamples(torch.arange(100, 112)), Resamples(100 + other)
    assert one.interval(values, owners) == pytest.approx(two.interval(values[order], owners[order]))
    found = one.difference(values, owners, values.flip(0), owners)
    again = two.difference(values[order], owners[order], values.flip(0), owners)
    assert (found.mean, *found.ci, found.se, found.p) == pytest.approx((again.mean, *again.ci, again.se, again.p))


def test_queries_of_an_item_are_drawn_together():
    """Copies of every query say no more than the queries do."""
    resamples = Resamples(torch.arange(100, 120))
    values, owners = queries(40, 20)
    other = values.flip(0)
    assert resamples.interval(values.repeat(5), owners.repeat(5)) == pytest.approx(resamples.interval(values, owners))
    once = resamples.difference(values, owners, other, owners)
    copied = resamples.difference(values.repeat(3), owners.repeat(3), other, owners)
    assert (copied.mean, *copied.ci, copied.se, copied.p) == pytest.approx((once.mean, *once.ci, once.se, once.p))


def test_sides_that_are_turned_turn_the_sign():
    resamples = Resamples(torch.arange(100, 120))
    a, b = queries(40, 20), queries(30, 20, seed=5)
    d, turned = resamples.difference(*a, *b), resamples.difference(*b, *a)
    assert turned.mean == pytest.approx(-d.mean) and turned.p == pytest.approx(d.p)
    assert turned.ci == pytest.approx((-d.ci[1], -d.ci[0]))


def test_one_interval_alone_is_that_of_the_items_with_queries():
    values, owners = queries(40, 20)
    assert interval(values, owners, seed=2, n=200) == Resamples(owners.unique(), 2, 200).interval(values, owners)


# -- what it should say ------------------------------------------------------------------------------------------------


def test_what_both_owe_to_an_item_cancels():
    """Two settings that find the same easy items: paired, a small difference is seen; apart, it is not."""
    items = torch.arange(300)
    easy = (torch.rand(300) < 0.5).double()
    better = torch.where(torch.rand(300) < 0.05, torch.ones(300, dtype=torch.float64), easy)
    together = Resamples(items).difference(better, items, easy, items)
    apart = Resamples(torch.arange(600)).difference(better, items, easy, items + 300)
    assert together.mean == apart.mean > 0
    assert together.se < 0.6 * apart.se and together.p < 0.01 < apart.p


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """95 % intervals of a mean over 50 items with 1 to 4 queries each, of an item's own difficulty."""
    owners = torch.arange(50).repeat_interleave(1 + torch.arange(50) % 4)
    resamples = Resamples(torch.arange(50), n=400)
    held = held_of_values = 0
    for _ in range(200):
        difficulty = torch.rand(50).double()  # of mean 1/2
        values = (torch.rand(len(owners)).double() < difficulty[owners]).double()
        low, high = resamples.interval(values, owners)
        held += low <= 0.5 <= high
        spread = 1.96 * float(values.std()) / math.sqrt(len(values))
        held_of_values += abs(float(values.mean()) - 0.5) <= spread
    assert 0.89 <= held / 200 <= 0.985
    assert held_of_values < held  # queries taken for independent are too sure


def test_p_is_uniform_where_nothing_differs():
    torch.manual_seed(1)
    items = torch.arange(80)
    resamples = Resamples(items, n=300)
    p = []
    for _ in range(500):
        shared = torch.rand(80).double()
        a, b = (shared + torch.randn(80).double() / 3 for _ in range(2))
        p.append(resamples.difference(a, items, b, items).p)
    shares = [sum(one <= level for one in p) / 500 for level in (0.05, 0.25, 0.5, 0.75)]
    assert 0.03 <= shares[0] <= 0.08
    assert shares[1:] == pytest.approx([0.25, 0.5, 0.75], abs=0.06)


def test_few_items_are_not_surer_than_they_can_be():
    """The spread of ten items is itself uncertain: with the normal's tails one null in thirty had p < 0.01."""
    items, zeros = torch.arange(10), torch.zeros(10).double()
    resamples = Resamples(items, n=400)
    p = [resamples.difference(torch.randn(10).double(), items, zeros, items).p for _ in range(1500)]
    assert sum(one < 0.01 for one in p) <= 30 and sum(one < 0.05 for one in p) <= 120


def test_p_has_a_floor_where_all_items_agree():
    items = torch.arange(6)
    ones, zeros = torch.ones(6).double(), torch.zeros(6).double()
    resamples = Resamples(items)
    found = resamples.difference(ones, items, zeros, items)
    assert (found.mean, found.ci, found.se, found.p) == (1, (1, 1), 0, 2**-5)
    assert resamples.difference(ones[:1], items[:1], zeros[:1], items[:1]).p == 1  # one item shows nothing
    assert resamples.difference(ones, items, ones, items).p == 1
    thirds = torch.full((6,), 1 / 3, dtype=torch.float64)
    assert resamples.difference(thirds.repeat(7), items.repeat(7), thirds, items).p == 1  # but for rounding, alike


def test_p_is_that_of_student():
    """Of tables of the t distribution: two-sided 5 % and 0.1 %."""
    for df, five, tenth in ((3, 3.182, 12.92), (4, 2.776, 8.610), (10, 2.228, 4.587), (30, 2.042, 3.646)):
        assert p_value(five, 1, df) == pytest.approx(0.05, rel=0.03)
        assert p_value(-tenth, 1, df) == pytest.approx(0.001, rel=0.3)
        assert quantile_of_t(0.95, df) == pytest.approx(five, rel=0.02)
        assert p_value(quantile_of_t(0.99, df), 1, df) == pytest.approx(0.01)
    assert p_value(1.959964, 1) == pytest.approx(0.05, abs=1e-6) and quantile_of_t(0.95) == pytest.approx(1.959964)
    assert p_value(8, 1) == pytest.approx(1.244e-15, rel=1e-3)  # far below one in a thousand draws


# -- many at once ------------------------------------------------------------------------------------------------------


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6, 0.9]) == [1, 1, 1]
    assert holm([0.02]) == [0.02] and holm([]) == []


def test_what_was_not_tested_stays_so_and_does_not_count():
    assert holm([None, 0.02, math.nan, 0.03]) == [None, 0.04, None, 0.04]
    assert json.dumps(holm([math.nan]), allow_nan=False) == "[null]"


@pytest.mark.parametrize("seed", range(4))
def test_holm_is_the_closed_test(seed):
    p = (torch.rand(6, generator=torch.Generator().manual_seed(seed)).double() ** 3).tolist()
    assert holm(p) == pytest.approx(oracle_holm(p), abs=1e-15)
    turned = holm(p[::-1])
    assert turned == holm(p)[::-1]


def made(mean, se=1.0, items=None):
    return Difference(mean, (mean - 2 * se, mean + 2 * se), se, p_value(mean, se, items=items))


def test_holm_intervals_by_hand():
    """By z of levels 1 - 0.05 / 3, 1 - 0.05 / 2, 1 - 0.05 / 2: the third gets the second's."""
    found = holm_intervals([made(2.1), made(3.0), made(-2.0)])
    reach = [2.2414, 2.3940, 2.2414]
    for (low, high), mean, z in zip(found, (2.1, 3.0, -2.0), reach, strict=True):
        assert (low, high) == pytest.approx((mean - z, mean + z), abs=1e-4)


def test_holm_intervals_agree_with_the_test():
    means = [*(3 * torch.randn(30)).tolist(), 0.0]
    differences = [made(mean, se) for mean, se in zip(means, (0.5 + torch.rand(31)).tolist(), strict=True)]
    differences.append(made(1.0, 0.0, items=4))  # p = 1/8
    adjusted = holm([d.p for d in differences])
    for (low, high), p in zip(holm_intervals(differences), adjusted, strict=True):
        assert (low > 0 or high < 0) == (p < 0.05)
    assert {p < 0.05 for p in adjusted} == {True, False}
    order = torch.randperm(32).tolist()
    assert holm_intervals([differences[i] for i in order]) == [holm_intervals(differences)[i] for i in order]


# -- mistakes ----------------------------------------------------------------------------------------------------------


def test_mistakes_are_refused_in_words():
    items, none = torch.arange(5), torch.zeros(0, dtype=torch.int64)
    values = torch.ones(5).double()
    with pytest.raises(ManymodalError, match="0 items to draw from"):
        Resamples(none)
    with pytest.raises(ManymodalError, match="n=0"):
        Resamples(items, n=0)
    with pytest.raises(ManymodalError, match="one or more queries"):
        Resamples(items).interval(values[:0], none)
    with pytest.raises(ManymodalError, match="one or more queries"):
        Resamples(items).interval(values[:3], items)
    with pytest.raises(ManymodalError, match=r"the first is 9\) that are not among the 5 drawn"):
        Resamples(items).interval(values, torch.tensor([0, 1, 9, 3, 4]))
    with pytest.raises(ManymodalError, match="1 of 1 draws met .* needed are 2 or more; give more draws"):
        Resamples(items, n=1).difference(values, items, values, items)
    with pytest.raises(ManymodalError, match="level=95"):
        holm_intervals([made(1.0)], level=95)
