"""Corrected and calibrated figures, beside the raw ones."""

import pytest
import torch
from torch.nn.functional import normalize

from cases import random_embeddings
from manymodal.calibration import Calibration
from manymodal.centring import means, remove_means
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.evaluation.evaluate import evaluate
from manymodal.evaluation.sides import CORRECTIONS
from manymodal.hubness import corrected, fit_correction
from manymodal.ranks import ranks


def with_a_hub(items, seed, gap=0.0):
    """Two noisy views of each thing; the gallery's item 0 lies near every query, and modalities lie apart by a gap."""
    g = torch.Generator().manual_seed(seed)
    truth = torch.randn(items, 16, generator=g)
    common = torch.ones(16) * 1.5
    a = truth + 0.5 * torch.randn(items, 16, generator=g) + common
    b = truth + 0.5 * torch.randn(items, 16, generator=g)
    b[0] = common
    b[1:] += gap * torch.randn(16, generator=torch.Generator().manual_seed(9))
    return Embeddings.normalized({"a": a, "b": b}, {m: torch.arange(items) for m in "ab"})


@pytest.mark.parametrize("method", [m for m in CORRECTIONS if m != "mean_removal"])
def test_corrections_are_beside_the_raw_figures_and_repair_a_hub(method):
    test, bank = with_a_hub(60, 1), with_a_hub(300, 2)
    (raw,) = evaluate(test, directions=["a->b"], unit="value")
    (entry,) = evaluate(test, directions=["a->b"], unit="value", correct=[method], bank=bank)
    assert entry.metrics == raw.metrics and entry.corrected[method]["hit@1"] > raw["hit@1"]
    sides = corrected(
        fit_correction(method, bank.vectors["a"], test.vectors["b"]), test.vectors["a"], test.vectors["b"]
    )
    found = ranks(*sides, test.items["a"], test.items["b"])
    assert entry.corrected[method]["hit@1"] == pytest.approx(float((found.ranks == 1).double().mean()))
    assert entry.to_dict()["corrected"] == entry.corrected


def test_mean_removal_is_that_of_the_embeddings():
    test, bank = random_embeddings(items=40, dtype=torch.float32), random_embeddings(items=40, dtype=torch.float32)
    entries = evaluate(test, correct=["mean_removal"], bank=bank)
    without = evaluate(remove_means(test, means(bank)))
    assert [e.corrected["mean_removal"] for e in entries] == [e.metrics for e in without]
    assert any(e.metrics != e.corrected["mean_removal"] for e in entries)


@pytest.mark.parametrize("method", CORRECTIONS)
def test_what_was_not_seen_in_train_is_null_and_spoils_nothing_else(method):
    """A modality without values anywhere; a query that no train item has all parts of."""
    test = random_embeddings(items=40, dtype=torch.float32, absent=True)
    bank = random_embeddings(items=40, dtype=torch.float32, absent=True)
    lacking = {m: (bank.items[m] % 2 == side) | (m == "c") for m, side in (("a", 0), ("b", 1), ("c", 0))}
    apart = Embeddings(
        {m: v[lacking[m]] if m in lacking else v for m, v in bank.vectors.items()},
        {m: i[lacking[m]] if m in lacking else i for m, i in bank.items.items()},
    )
    for entry in evaluate(test, correct=[method], bank=apart):
        figures = entry.corrected[method]
        never = {"a", "b"} <= {*entry.direction.query} and method != "mean_removal"
        assert figures.keys() == entry.metrics.keys()
        assert (figures["mrr"] is None) == (entry.queries == 0 or never)


def test_a_modality_without_values_need_not_be_calibrated():
    test = random_embeddings(items=40, dtype=torch.float32, absent=True)
    filled = [m for m in test.modalities if len(test.vectors[m])]
    calibration = Calibration({t: {m: 1.0 for m in filled if m != t} for t in filled}, "given", 1)
    assert any(e.queries == 0 and len(e.direction.query) > 1 for e in evaluate(test, calibration=calibration))


def test_calibrated_weights_are_those_of_compose():
    embeddings = random_embeddings(items=40, dtype=torch.float32, missing=0.1)
    calibration = Calibration({t: {"a": 4.0, "b": 1.0, "c": 1.0} for t in "abc"}, "given", 1)
    (entry,) = evaluate(embeddings, directions=["a+b->c"], calibration=calibration)
    weights = calibration.of(("a", "b"), ("c",))
    assert weights["a"] == pytest.approx(4 * weights["b"])
    hits = []
    for item in sorted({*embeddings.items["a"].tolist()} & {*embeddings.items["b"].tolist()}):
        mean = {m: normalize(embeddings.vectors[m][embeddings.items[m] == item].mean(0), dim=0) for m in "ab"}
        scores = embeddings.vectors["c"] @ (weights["a"] * mean["a"] + weights["b"] * mean["b"])
        own = embeddings.items["c"] == item
        if own.any():
            hits.append(bool(scores[own].max() > scores[~own].max()))
    assert entry.queries == len(hits) and entry.calibrated["hit@1"] == pytest.approx(sum(hits) / len(hits))
    assert entry.calibrated_scored.rows.equal(entry.scored.rows)


def test_single_modalities_have_no_weights():
    calibration = Calibration({"a": {}, "b": {"a": 2.0, "c": 1.0}, "c": {}}, "given", 1)
    entries = evaluate(random_embeddings(missing=0), directions=["a->b", "a+c->b"], calibration=calibration)
    assert [e.calibrated is None for e in entries] == [True, True, False]


def test_mistakes_are_refused_in_words():
    embeddings = random_embeddings()
    with pytest.raises(ManymodalError, match="correction 'nns'; allowed are qb_norm, nnn, csls, mean_removal"):
        evaluate(embeddings, correct=["nns"], bank=embeddings)
    with pytest.raises(ManymodalError, match=r"correct=\['nnn'\] takes embeddings of train items"):
        evaluate(embeddings, correct=["nnn"])
