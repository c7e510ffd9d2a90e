import dataclasses

import pytest
import torch
from torch.nn.functional import normalize

from cases import random_embeddings
from manymodal.calibration import Calibration
from manymodal.embeddings import Embeddings
from manymodal.evaluation.evaluate import evaluate
from manymodal.evaluation.gains import gains


def views(items=200, noise=(1.6, 2.5, 6.0), missing=0.2):
    """A thing seen by "target" clearly, and by "a", "b", "c" ever more dimly, each with gaps of its own."""
    truth = normalize(torch.randn(items, 32), dim=1)
    vectors, ids = {"target": truth}, {"target": torch.arange(items)}
    for name, level in zip("abc", noise, strict=True):
        ids[name] = (torch.rand(items) >= missing).nonzero()[:, 0]
        vectors[name] = truth[ids[name]] + level * torch.randn(len(ids[name]), 32) / 32**0.5
    return Embeddings.normalized(vectors, ids)


def oracle_gain(entries, query, added, target):
    """hit@1 over the items that both entries score, from their ranks alone."""
    of = {(e.direction.query, e.direction.target, e.direction.unit): e for e in entries}
    more = of[tuple(sorted((*query, added))), (target,), "item"].scored
    less = of[tuple(query), (target,), "item"].scored
    first = [dict(zip(s.owners.tolist(), s.first.tolist(), strict=True)) for s in (less, more)]
    both = sorted(first[0].keys() & first[1].keys())
    return len(both), *(sum(ranks[item] == 1 for item in both) / len(both) for ranks in first)


def test_like_is_compared_with_like():
    entries = evaluate(views())
    found = gains(entries)
    assert {(g.query, g.added, g.target) for g in found if len(g.query) == 1 and g.target == ("target",)} == {
        ((q,), added, ("target",)) for q in "abc" for added in "abc" if q != added
    }
    assert {g.query for g in found if len(g.query) == 2 and g.target == ("target",)} == {
        ("a", "b"),
        ("a", "c"),
        ("b", "c"),
    }
    for gain in found:
        assert gain.unit == "item" and len(gain.target) == 1 and gain.ci is None and gain.p is None
        items, less, more = oracle_gain(entries, gain.query, gain.added, gain.target[0])
        assert (gain.items, *gain.hit) == (items, pytest.approx(less), pytest.approx(more))
    assert len({gain.items for gain in found}) > 1  # gaps differ


def test_a_clear_view_helps_a_dim_one_and_a_dim_one_harms_a_clear_one():
    found = {(g.query, g.added, g.target): g for g in gains(evaluate(views(600, missing=0)), bootstrap=500)}
    helped, harmed = found[("c",), "a", ("target",)], found[("a",), "c", ("target",)]
    assert helped.gain > 0.1 and helped.ci[0] > 0 and helped.p < 0.01
    assert harmed.gain < 0 and harmed.ci[1] < 0 and harmed.p < 0.05
    assert helped.ci[0] <= helped.gain <= helped.ci[1]
    assert gains(evaluate(views(20)), bootstrap=50, seed=1) != []


def test_calibrated_gains_compare_calibrated_with_calibrated():
    embeddings = views(600, missing=0)
    ignoring_c = Calibration(
        {m: {"a": 1.0, "b": 1.0, "c": 1e-9, "target": 1.0} for m in embeddings.modalities}, "given", 1
    )
    entries = evaluate(embeddings, calibration=ignoring_c)
    found = {(g.query, g.added, g.target): g for g in gains(entries, bootstrap=200)}
    gain = found[("a",), "c", ("target",)]
    assert gain.hit[1] < gain.hit[0] and gain.calibrated.hit == (gain.hit[0], gain.hit[0])
    assert gain.calibrated.p == 1 and gain.to_dict()["calibrated"]["hit@1"] == list(gain.calibrated.hit)
    whole = found[("a", "b"), "c", ("target",)]
    assert whole.calibrated.hit[0] == whole.calibrated.hit[1] > whole.hit[1]
    assert all(g.calibrated is None for g in gains(evaluate(embeddings)))


def test_a_gain_from_what_the_target_was_made_of_is_marked():
    entries = evaluate(views(30), directions=["a+c->target", "a->target", "b+target->c", "b->c", "a+b->c"], unit="item")
    marked = {(g.added, g.target[0]) for g in gains(entries, same_source=[("c", "target")]) if g.leak}
    assert marked == {("c", "target"), ("target", "c")}


def test_p_values_are_adjusted_for_all_gains():
    entries = evaluate(views())
    one = [e for e in entries if {*e.direction.query, *e.direction.target} <= {"a", "b", "target"}]
    alone = {(g.query, g.added, g.target): g.p for g in gains(one, bootstrap=300)}
    among = {(g.query, g.added, g.target): g.p for g in gains(entries, bootstrap=300)}
    assert all(among[key] >= p - 0.02 for key, p in alone.items()) and any(among[k] > p for k, p in alone.items())


def test_entries_without_a_smaller_query_have_no_gain():
    embeddings = random_embeddings(items=12)
    assert gains(evaluate(embeddings, directions=["a+b->c"])) == []
    entries = evaluate(embeddings, directions=["a+b->c", "a->c"], unit="item")
    assert [(g.query, g.added) for g in gains(entries)] == [(("a",), "b")]
    assert gains([dataclasses.replace(e, scored=None) for e in entries]) == []
