import pytest
import torch

from cases import random_embeddings, vectors
from manymodal.compose import Rows, compose_items
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.evaluation.generalised import choose_penalty, generalised, harmonic_mean, hold_out
from manymodal.evaluation.zero_shot import class_embeddings, classify
from oracles import oracle_class, oracle_classify, oracle_stacking


def embeddings(**given):
    """Items of up to five labels, some unknown; modality "kind" has one value per label."""
    return random_embeddings(**{"items": 30, "labels": 5, "label_modality": True, "dtype": torch.float32, **given})


def rows(labels, d=8):
    """Random queries or classes with these labels."""
    labels = torch.as_tensor(labels)
    return Rows(vectors(len(labels), d, torch.float32), torch.arange(len(labels)), labels)


def signs(labels, kinds=5):
    """Rows of few different vectors whose products are multiples of 1/64: many ties, all exact."""
    labels = torch.as_tensor(labels)
    drawn = torch.randint(0, 2, (kinds, 64)).float() * 2 - 1
    return Rows(drawn[torch.randint(kinds, (len(labels),))] / 8, torch.arange(len(labels)), labels)


def pairs(of):
    return list(zip(of.vectors.double().numpy(), of.labels.tolist(), strict=True))


def table(of):
    return {label: vector for vector, label in pairs(of)}


# -- class embeddings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", ["all", "any"])
@pytest.mark.parametrize("names", [("kind",), ("b",), ("kind", "b"), ("a", "kind", "c"), ("a", "b")])
def test_class_embeddings_agree_with_the_plain_loop(names, parts):
    data, weights = embeddings(), {names[-1]: 0.3}
    found = class_embeddings(data, names, weights=weights, parts=parts)
    twin = {label: oracle_class(data, names, label, weights, parts) for label in range(5)}
    twin = {label: vector for label, vector in twin.items() if vector is not None}
    assert found.labels.tolist() == sorted(twin) and bool((found.items == -1).all())
    for label, vector in table(found).items():
        assert vector == pytest.approx(twin[label], abs=1e-6)


def test_an_item_with_many_values_counts_once():
    eye = torch.eye(3)
    data = Embeddings(
        {"caption": eye[[0, 0, 0, 1]]},
        {"caption": torch.tensor([5, 5, 5, 6])},
        {"caption": torch.tensor([2, 2, 2, 2])},
    )
    assert class_embeddings(data, ["caption"]).vectors[0] == pytest.approx([0.5**0.5, 0.5**0.5, 0])


def test_label_modalities_alone_are_composed_as_queries_are():
    data = embeddings()
    twice = Embeddings(
        {"kind": data.vectors["kind"], "sound": data.vectors["kind"].flip(0)},
        dict.fromkeys(("kind", "sound"), data.items["kind"]),
        dict.fromkeys(("kind", "sound"), data.labels["kind"]),
    )
    found, composed = class_embeddings(twice, ["kind", "sound"]), compose_items(twice, ["kind", "sound"])
    assert torch.equal(found.vectors, composed.vectors) and torch.equal(found.labels, composed.labels)


def test_only_the_labels_asked_for_are_classes():
    data = embeddings()
    found = class_embeddings(data, ["kind", "b"], torch.tensor([3, 1, 77]))
    assert found.labels.tolist() == [1, 3]
    every = table(class_embeddings(data, ["kind", "b"]))
    assert all((vector == every[label]).all() for label, vector in table(found).items())


def test_a_class_without_a_part():
    data = embeddings()
    there = data.labels["kind"] != 2
    data = Embeddings(
        {**data.vectors, "kind": data.vectors["kind"][there]},
        {**data.items, "kind": data.items["kind"][there]},
        {**data.labels, "kind": data.labels["kind"][there]},
    )
    whole, any_part = (class_embeddings(data, ["b", "kind"], parts=parts) for parts in ("all", "any"))
    assert whole.labels.tolist() == [0, 1, 3, 4] and any_part.labels.tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(any_part.vectors[2], class_embeddings(data, ["b"], torch.tensor([2])).vectors[0])
    queries = rows([2, 2, 0, -1])
    assert classify(queries, whole).skipped == {"label": 1, "class": 2}


def test_class_embeddings_refuse():
    data = embeddings(absent=True)
    with pytest.raises(ManymodalError, match="no modality 'name'"):
        class_embeddings(data, ["name"])
    with pytest.raises(ManymodalError, match="'nobody' has no value of any of these classes"):
        class_embeddings(data, ["nobody", "kind"])
    with pytest.raises(ManymodalError, match="'kind' has no value of any"):
        class_embeddings(data, ["kind"], torch.tensor([77]))
    with pytest.raises(ManymodalError, match="have none"):
        class_embeddings(random_embeddings(), ["a"])


# -- classification ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [rows, signs])
def test_classification_agrees_with_the_plain_loop(make):
    queries, classes = make(torch.randint(-1, 9, (60,))), make([7, 3, 0, 1, 5, 4, 2, 20])
    seen = torch.tensor([0, 1, 2, 20])
    for penalty in (0.0, 0.125, -0.25):
        found = classify(queries, classes, seen, penalty)
        top1, top5, each = oracle_classify(pairs(queries), table(classes), seen.tolist(), penalty)
        assert (found.top1, found.top5) == (pytest.approx(top1), pytest.approx(top5))
        assert found.per_class_each == pytest.approx(each)
        assert found.per_class == pytest.approx(sum(each.values()) / len(each))
        assert torch.equal(found.truth, queries.labels[found.rows])
        assert found.top1 == pytest.approx(float((found.predicted == found.truth).double().mean()))
        assert found.queries + sum(found.skipped.values()) == 60 and found.without_queries >= 1
        assert bool(torch.isin(found.predicted, classes.labels).all())


def test_a_tie_counts_against_the_query():
    eye = torch.eye(4)
    queries = Rows(eye[:1], torch.tensor([0]), torch.tensor([1]))
    classes = Rows(eye[[0, 0, 1]], torch.full((3,), -1), torch.tensor([1, 2, 3]))
    found = classify(queries, classes)
    assert found.top1 == 0 and found.top5 == 1 and found.predicted.tolist() == [2]
    assert classify(queries, Rows(*(column[[0, 2]] for column in classes))).top1 == 1


def test_one_point_for_everything_is_never_right():
    same = torch.ones(6, 4) / 2
    labels = torch.arange(6)
    assert classify(Rows(same, labels, labels), Rows(same, labels, labels)).top1 == 0


def test_the_mean_over_classes_weighs_them_alike():
    eye = torch.eye(3)
    queries = Rows(eye[[0, 0, 0, 2]], torch.arange(4), torch.tensor([0, 0, 0, 1]))
    found = classify(queries, Rows(eye, torch.full((3,), -1), torch.arange(3)))
    assert found.top1 == 0.75 and found.per_class == 0.5 and found.per_class_each == {0: 1.0, 1: 0.0}
    assert found.without_queries == 1


def test_orders_and_blocks_change_nothing(monkeypatch):
    queries, classes = rows(torch.randint(0, 6, (40,))), rows(range(6))
    found = classify(queries, classes)
    order = torch.randperm(6)
    shuffled = classify(queries, Rows(classes.vectors[order], classes.items[order], classes.labels[order]))
    monkeypatch.setattr("manymodal.evaluation.zero_shot.BLOCK", 13)
    for other in (shuffled, classify(queries, classes)):
        assert torch.equal(other.predicted, found.predicted) and other.top5 == found.top5
        assert other.per_class_each == found.per_class_each


def test_without_queries_figures_are_undefined():
    found = classify(rows(torch.tensor([-1, 9])), rows(range(3)))
    assert found.to_dict() == {
        "classes": 3,
        "without_queries": 3,
        "queries": 0,
        "skipped": {"label": 1, "class": 1},
        "top1": None,
        "top5": None,
        "per_class": None,
    }


def test_classification_refuses():
    queries, classes = rows([0, 1]), rows([0, 1])
    with pytest.raises(ManymodalError, match="label 1 has two"):
        classify(queries, rows([0, 1, 1]))
    with pytest.raises(ManymodalError, match="no class to choose"):
        classify(queries, rows(torch.zeros(0, dtype=torch.int64)))
    with pytest.raises(ManymodalError, match="say with seen="):
        classify(queries, classes, penalty=0.1)
    with pytest.raises(ManymodalError, match="have none"):
        classify(queries._replace(labels=None), classes)
    with pytest.raises(ManymodalError, match="do not fit"):
        classify(queries, rows([0, 1], d=4))


# -- seen and unseen classes together ----------------------------------------------------------------------------------


def both_sides(make, n=40):
    """Queries and classes that favour the seen labels 0 to 3 over the unseen 4 to 6."""
    classes = make(range(7))
    truth = torch.cat([torch.arange(4).repeat(n // 4), torch.randint(4, 7, (n,))])
    mixed = make(truth).vectors
    if make is rows:
        mixed = mixed * 0.5 + classes.vectors[truth] + 0.6 * classes.vectors[truth % 4]
        mixed = torch.nn.functional.normalize(mixed, dim=1)
    sides = [Rows(mixed[at], torch.arange(n), truth[at]) for at in (slice(0, n), slice(n, None))]
    return *sides, classes, torch.arange(4)


@pytest.mark.parametrize("make", [rows, signs])
def test_the_sweep_agrees_with_the_plain_loop(make):
    of_seen, of_unseen, classes, seen = both_sides(make)
    found = choose_penalty(of_seen, of_unseen, classes, seen)
    best, area = oracle_stacking(pairs(of_seen), pairs(of_unseen), table(classes), seen.tolist())
    assert found.harmonic == pytest.approx(best, abs=1e-9) and found.ausuc == pytest.approx(area, abs=1e-9)
    assert generalised(of_seen, of_unseen, classes, seen, found.penalty).harmonic == pytest.approx(best, abs=1e-9)


def test_no_penalty_of_a_grid_does_better():
    of_seen, of_unseen, classes, seen = both_sides(rows)
    best = choose_penalty(of_seen, of_unseen, classes, seen)
    plain = generalised(of_seen, of_unseen, classes, seen).harmonic
    grid = [generalised(of_seen, of_unseen, classes, seen, float(p)).harmonic for p in torch.linspace(-1, 1, 81)]
    assert max(grid) <= best.harmonic + 1e-9 and plain < best.harmonic and best.penalty > 0
    assert 0 < best.ausuc <= 1


def test_a_penalty_moves_accuracy_from_seen_to_unseen():
    of_seen, of_unseen, classes, seen = both_sides(rows)
    low, high = (generalised(of_seen, of_unseen, classes, seen, p) for p in (-9.0, 9.0))
    assert low.unseen.per_class == 0 and high.seen.per_class == 0 and low.harmonic == high.harmonic == 0
    alone = classify(of_unseen, Rows(*(column[4:] for column in classes)))
    assert high.unseen.per_class == pytest.approx(alone.per_class)


def test_what_is_separate_needs_no_penalty():
    eye, labels = torch.eye(4), torch.arange(4)
    classes = Rows(eye, torch.full((4,), -1), labels)
    of_seen, of_unseen = (Rows(eye[at], labels[at], labels[at]) for at in (slice(0, 2), slice(2, 4)))
    found = choose_penalty(of_seen, of_unseen, classes, torch.tensor([0, 1]))
    assert found.penalty == pytest.approx(0, abs=1e-6) and found.harmonic == 1 and found.ausuc == 1


def test_the_best_penalty_may_lie_beyond_all_thresholds():
    """Seen queries that are never right leave every harmonic mean at 0; the choice is still a finite one."""
    eye, labels = torch.eye(4), torch.arange(4)
    classes = Rows(eye[[0, 0, 2, 2]], torch.full((4,), -1), labels)
    of_seen, of_unseen = (Rows(eye[at], labels[at], labels[at]) for at in (slice(0, 2), slice(2, 4)))
    found = choose_penalty(of_seen, of_unseen, classes, torch.tensor([0, 1]))
    assert found.harmonic == 0 and abs(found.penalty) < 10


def test_generalised_figures_for_the_report():
    of_seen, of_unseen, classes, seen = both_sides(rows)
    found = generalised(of_seen, of_unseen, classes, seen, 0.1).to_dict()
    assert found["classes"] == 7 and found["queries"] == {"seen": 40, "unseen": 40} and found["penalty"] == 0.1
    assert found["harmonic"] == pytest.approx(harmonic_mean(found["seen"], found["unseen"]))
    assert harmonic_mean(0.0, 0.0) == 0 and harmonic_mean(0.5, 0.25) == pytest.approx(1 / 3)


def test_queries_on_the_wrong_side_are_refused():
    of_seen, of_unseen, classes, seen = both_sides(rows)
    for call in (generalised, choose_penalty):
        with pytest.raises(ManymodalError, match="among the queries of seen classes"):
            call(of_unseen, of_unseen, classes, seen)
        with pytest.raises(ManymodalError, match="among the queries of unseen classes"):
            call(of_seen, of_seen, classes, seen)
    nobody = Rows(of_seen.vectors[:0], of_seen.items[:0], of_seen.labels[:0])
    assert generalised(nobody, of_unseen, classes, seen).harmonic is None
    with pytest.raises(ManymodalError, match="no query of seen classes"):
        choose_penalty(nobody, of_unseen, classes, seen)


def test_held_out_labels():
    labels = torch.tensor([4, 4, -1, 0, 9, 2, 2, 7])
    held = hold_out(labels, 0.4, seed=3)
    assert len(held) == 2 and set(held.tolist()) < {0, 2, 4, 7, 9} and held.tolist() == sorted(held.tolist())
    assert torch.equal(held, hold_out(labels.flip(0), 0.4, seed=3))
    assert len({tuple(hold_out(torch.arange(50), seed=s).tolist()) for s in range(5)}) == 5
    assert len(hold_out(labels, 0.01)) == 1 and len(hold_out(labels, 0.99)) == 4
    with pytest.raises(ManymodalError, match="cannot hold out 0.2 of 1 labels"):
        hold_out(torch.tensor([3, -1]))
    with pytest.raises(ManymodalError, match="fraction between 0 and 1"):
        hold_out(labels, 1.0)
