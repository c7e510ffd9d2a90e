import json
import math

import pytest
import torch
from torch.nn.functional import normalize

from cases import random_embeddings, vectors
from manymodal import calibration
from manymodal.calibration import Calibration, calibrate
from manymodal.compose import compose_items
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.matching import keys
from manymodal.ranks import ranks
from oracles import oracle_calibration_loss, oracle_concentrations


def noisy(items=60, d=16, noise=None, first=0):
    """Modalities that show the same hidden vector of each item with more or less noise."""
    truth = normalize(torch.randn(items, d), dim=1)
    ids = first + torch.arange(items)
    noise = noise or {"good": 0.1, "fair": 0.2, "junk": 3.0, "goal": 0.1}
    return Embeddings.normalized(
        {m: truth + s * torch.randn(items, d) for m, s in noise.items()}, dict.fromkeys(noise, ids)
    )


def hit(embeddings, query, target, weights=None):
    asked, gallery = compose_items(embeddings, query, weights), compose_items(embeddings, [target])
    found = ranks(asked.vectors, gallery.vectors, *(keys(side.items, None, False) for side in (asked, gallery)))
    return float((found.ranks == 1).double().mean())


def close(found, expected, tolerance=1e-6):
    assert found.weights.keys() == expected.weights.keys()
    for target, weights in expected.weights.items():
        assert found.weights[target] == pytest.approx(weights, rel=tolerance)


@pytest.mark.parametrize("labels", [False, True])
def test_closed_form_agrees_with_the_plain_loop(labels):
    embeddings = random_embeddings(items=12, labels=4 * labels, label_modality=labels, absent=True)
    found = calibrate(embeddings, "cosine")
    for target, weights in found.weights.items():
        parts = [m for m in embeddings.modalities if m != target]
        logs = oracle_concentrations(embeddings, parts, target)
        mean = sum(math.exp(x) for x in logs) / len(logs)
        assert weights == pytest.approx({m: math.exp(x) / mean for m, x in zip(parts, logs, strict=True)})


def labelled(items=9, d=8):
    """Few noisy values of items, some missing, and two modalities with one value per label, one of them pure noise."""
    of_item = torch.arange(items) % 4 - 1
    kinds = normalize(torch.randn(4, d, dtype=torch.float64), dim=1)
    truth = kinds[of_item] + vectors(items, d)
    shown = {m: truth + s * vectors(items, d) for m, s in (("a", 1.0), ("c", 0.5))}
    ids = {m: (torch.rand(items) < 0.8).nonzero()[:, 0] for m in shown}
    per_label = torch.full((3,), -1)
    return Embeddings.normalized(
        {**{m: v[ids[m]] for m, v in shown.items()}, "kind": kinds[:3] + 0.5 * vectors(3, d), "traits": vectors(3, d)},
        {**ids, "kind": per_label, "traits": per_label},
        {**{m: of_item[i] for m, i in ids.items()}, "kind": torch.arange(3), "traits": torch.arange(3)},
    )


@pytest.mark.parametrize("target", ["c", "kind"])
def test_no_other_weights_have_a_greater_posterior(target):
    embeddings = labelled()
    parts = [m for m in embeddings.modalities if m != target]
    prior = oracle_concentrations(embeddings, parts, target)
    found = [math.log(calibrate(embeddings).weights[target][m]) for m in parts]
    best = oracle_calibration_loss(embeddings, parts, target, found, prior)
    assert best < oracle_calibration_loss(embeddings, parts, target, prior, prior) - 1e-4
    for place in range(len(parts)):
        for step in (-0.005, 0.005):
            other = [w + step * (p == place) for p, w in enumerate(found)]
            assert oracle_calibration_loss(embeddings, parts, target, other, prior) > best


@pytest.mark.parametrize("method", ["fitted", "cosine"])
def test_a_weak_part_that_hurts_in_equal_weights_no_longer_does(method):
    drawn = [noisy(first=0), noisy(items=300, first=1000)]
    found = calibrate(drawn[0], method)
    assert found.weights["goal"]["junk"] < 0.3 * found.weights["goal"]["fair"]
    alone, test = hit(drawn[1], ["fair"], "goal"), drawn[1]
    assert hit(test, ["fair", "junk"], "goal") < alone - 0.1
    assert hit(test, ["fair", "junk"], "goal", found.of(["fair", "junk"], ["goal"])) > alone - 0.03


def test_parts_of_one_worth_weigh_alike():
    found = calibrate(noisy(items=200, noise={"a": 0.2, "b": 0.2, "goal": 0.1}))
    assert found.weights["goal"]["a"] == pytest.approx(1, abs=0.15)


def test_order_of_modalities_and_rows_does_not_matter():
    embeddings = labelled()
    order = {m: torch.randperm(len(v)) for m, v in embeddings.vectors.items()}
    turned = Embeddings(
        *(
            {m: side[m][order[m]] for m in reversed(embeddings.modalities)}
            for side in (embeddings.vectors, embeddings.items, embeddings.labels)
        )
    )
    for method in ("fitted", "cosine"):
        close(calibrate(turned, method), calibrate(embeddings, method), 1e-4)


def test_a_value_said_twice_changes_nothing():
    embeddings = noisy()
    twice = torch.arange(60).repeat_interleave(torch.arange(60) % 3 + 1)
    vectors_of, items = ({m: side[m][twice] for m in side} for side in (embeddings.vectors, embeddings.items))
    close(calibrate(Embeddings(vectors_of, items)), calibrate(embeddings))


def test_the_same_seed_gives_the_same_weights_and_another_draws_other_values(monkeypatch):
    monkeypatch.setattr(calibration, "MOST_ITEMS", 20)
    embeddings = random_embeddings(items=40, missing=0)
    one, same, other = calibrate(embeddings), calibrate(embeddings), calibrate(embeddings, seed=1)
    assert one == same and one.weights != other.weights and one.items == 40


def test_many_modalities_take_fewer_items(monkeypatch):
    monkeypatch.setattr(calibration, "MOST_SCORES", 400)
    seen = []
    monkeypatch.setattr(calibration, "_fit", lambda log, dev: seen.append(dev.scores.shape) or log)
    calibrate(noisy(noise=dict.fromkeys("abc", 1.0)))
    calibrate(noisy(noise=dict.fromkeys("abcd", 1.0)))
    assert seen == [(2, 20, 20)] * 3 + [(3, 10, 10)] * 4


def test_what_dev_cannot_tell_counts_as_the_mean_of_the_others_and_is_said():
    few = noisy(items=3)
    apart = Embeddings({**few.vectors, "apart": few.vectors["goal"]}, {**few.items, "apart": few.items["goal"] + 100})
    found = calibrate(apart)
    others = [found.weights["goal"][m] for m in ("good", "fair", "junk")]
    assert found.weights["goal"]["apart"] == pytest.approx(math.prod(others) ** (1 / 3), rel=1e-6)
    assert any(note.startswith("apart -> goal: no item has both") for note in found.notes)
    assert any(note.startswith("junk -> goal: only 3 items with both") for note in found.notes)
    assert not calibrate(noisy(items=30)).notes


def test_any_number_of_modalities_and_labels_alone():
    assert calibrate(noisy(noise={"only": 1.0})).weights == {"only": {}}
    assert calibrate(noisy(noise={"a": 1.0, "b": 1.0})).weights == {"a": {"b": 1}, "b": {"a": 1}}
    kinds, none = torch.arange(30), torch.full((30,), -1)
    names = ("name", "traits", "text")
    found = calibrate(
        Embeddings(
            {m: vectors(30) for m in names} | {"nobody": vectors(0)},
            dict.fromkeys(names, none) | {"nobody": none[:0]},
            dict.fromkeys(names, kinds) | {"nobody": kinds[:0]},
        )
    )
    assert found.items == 30 and all(w > 0 for of in found.weights.values() for w in of.values())


def test_half_precision_and_gradients_do_not_matter():
    embeddings = noisy()
    with_grad = Embeddings({m: v.requires_grad_() for m, v in embeddings.vectors.items()}, embeddings.items)
    close(calibrate(with_grad), calibrate(embeddings))
    close(calibrate(embeddings.to(dtype=torch.float16)), calibrate(embeddings), 0.02)


KNOWN = Calibration({"a": {"b": 0.5, "c": 1.5}, "b": {"a": 1.2, "c": 0.8}, "c": {"a": 0.4, "b": 1.6}}, "fitted", 9)


def test_weights_of_a_query_have_mean_one():
    assert KNOWN.of(["b", "c"], ["a"]) == {"b": 0.5, "c": 1.5}
    assert KNOWN.of(["c"], ["a"]) == {"c": 1}
    three = Calibration({"t": {"x": 2.0, "y": 1.0, "z": 0.0001}, "x": {}, "y": {}}, "fitted", 9)
    assert three.of(["x", "y"], ["t"]) == pytest.approx({"x": 4 / 3, "y": 2 / 3})


def test_a_composed_target_takes_the_mean_and_the_targets_own_part_that_of_the_others():
    weights = {"t": {"x": 1.0, "y": 3.0}, "u": {"x": 30.0, "y": 10.0}, "x": {}, "y": {}}
    assert Calibration(weights, "fitted", 9).of(["x", "y"], ["t", "u"]) == pytest.approx({"x": 1.0, "y": 1.0})
    assert KNOWN.of(["a", "b", "c"], ["a"]) == {"a": 1, "b": 0.5, "c": 1.5}
    assert KNOWN.of(["a"], ["a"]) == {"a": 1}


def test_there_and_back():
    content = json.loads(json.dumps(calibrate(noisy(items=5)).to_dict()))
    assert Calibration.of_dict(content).to_dict() == content and content["notes"]
    assert Calibration.of_dict(json.loads(json.dumps(KNOWN.to_dict()))) == KNOWN


def test_mistakes_are_refused_in_words():
    with pytest.raises(ManymodalError, match="method 'mean'; allowed are fitted, cosine"):
        calibrate(noisy(), "mean")
    with pytest.raises(ManymodalError, match="no calibrated weights of 'd'; there are some of a, b, c"):
        KNOWN.of(["a", "d"], ["b"])
    with pytest.raises(ManymodalError, match="a calibration cannot be read"):
        Calibration.of_dict({"weights": {}})
    with pytest.raises(ManymodalError, match="weight -1.0 of 'b' for 'a'"):
        Calibration.of_dict({"weights": {"a": {"b": -1}}, "method": "fitted", "items": 1})
