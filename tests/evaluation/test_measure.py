import pytest
import torch

from cases import random_embeddings
from manymodal.calibration import Calibration
from manymodal.embeddings import Embeddings
from manymodal.evaluation.classification import classify_all
from manymodal.evaluation.evaluate import evaluate
from manymodal.evaluation.measure import measure
from manymodal.evaluation.zero_shot import class_embeddings, classify


def embeddings(items=40):
    return random_embeddings(items=items, dtype=torch.float32, labels=4, label_modality=True, missing=0.1)


def test_a_report_has_it_all():
    given, bank = embeddings(), embeddings()
    equal = Calibration({t: {m: 1.0 for m in given.modalities if m != t} for t in given.modalities}, "given", 3)
    made = measure(
        given, split="dev", calibration=equal, bank=bank, correct=["nnn"], bootstrap=50, same_source=[("a", "b")]
    )
    entries = evaluate(given, bootstrap=50, calibration=equal, bank=bank, correct=["nnn"], same_source=[("a", "b")])
    assert list(made.directions) == entries and made.items == 40
    assert made.settings == {"correct": ["nnn"], "bootstrap": 50}  # choices alone, no data
    content = made.to_json()
    assert len(content["gains"]) == len(made.gains) > 0 and content["gains"][0]["ci"][0] <= content["gains"][0]["ci"][1]
    assert {finding["name"] for finding in content["health"]} >= {"centroid_gap", "uniformity"}
    assert {(one["query"], one["setting"]) for one in content["classification"]} == {(m, "all") for m in "abc"}
    assert content["calibration"] == equal.weights and made.examples


def test_items_without_any_value_count():
    given = embeddings()
    made = measure(given, split="dev", items=torch.arange(100, 160), directions=["a->b"], unit="value")
    assert made.items == 60 and made.directions[0].skipped["part"] >= 20


def test_what_was_trained_on_is_told_apart():
    given = embeddings(60)
    (everything, *_) = [one for one in classify_all(given) if one.query == "a"]
    assert {one.setting for one in classify_all(given)} == {"all"}
    found = {one.setting: one for one in classify_all(given, torch.tensor([0, 1])) if one.query == "a"}
    assert set(found) == {"all", "unseen", "generalised"}
    classes = class_embeddings(given, ["kind"])
    assert found["all"].to_dict() == everything.to_dict()
    assert set(found["unseen"].result.labels.tolist()) == {2, 3}
    known = given.labels["a"] >= 0
    rows = type(classes)(given.vectors["a"][known], given.items["a"][known], given.labels["a"][known])
    truth = rows.labels
    both = classify(rows, classes)
    sides = found["generalised"].result
    assert sides.seen.queries + sides.unseen.queries == both.queries == len(truth)
    shares = [sides.seen.top1 * sides.seen.queries, sides.unseen.top1 * sides.unseen.queries]
    assert sum(shares) / both.queries == pytest.approx(both.top1)
    assert {one.setting for one in classify_all(given, torch.arange(4))} == {"all"}  # nothing is unseen


def test_without_labels_nothing_is_classified():
    assert classify_all(random_embeddings()) == []
    given = embeddings()
    assert classify_all(Embeddings({"a": given.vectors["a"]}, {"a": given.items["a"]}, {"a": given.labels["a"]})) == []


def test_label_modalities_that_share_no_label_are_not_composed():
    """Attributes of some kinds and names of others: each tells its own apart, and no class has both."""
    given = embeddings()
    kinds = {name: given.only("kind").vectors["kind"][at] for name, at in (("kind", [0, 1]), ("other", [2, 3]))}
    apart = Embeddings(
        {**given.vectors, **kinds},
        {**given.items, **dict.fromkeys(kinds, torch.tensor([-1, -1]))},
        {**given.labels, "kind": given.labels["kind"][:2], "other": given.labels["kind"][2:]},
    )
    assert {one.classes for one in classify_all(apart, torch.tensor([0, 2]))} == {("kind",), ("other",)}
