"""Composed queries in training: what is drawn, the loss against loops, gaps and labels."""

from collections import Counter

import pytest
import torch

from cases import random_embeddings
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.objectives import PCMC, PCMR, make_objective, objective_spec
from manymodal.objectives.combinations import composed_queries, draw_queries
from manymodal.processes import Processes
from oracles import oracle_composed_rows, oracle_objective, oracle_pcmc_pair, oracle_pcmr_pair

OBJECTIVES = {
    "pcmc": (lambda **k: PCMC(scale=5.0, **k).double(), lambda x, y, m: oracle_pcmc_pair(x, y, m, 5.0)),
    "pcmr": (lambda **k: PCMR(lam=3.0, beta=-0.1, **k), lambda x, y, m: oracle_pcmr_pair(x, y, m, 3.0, -0.1)),
}
CASES = {
    "several and missing values": {},
    "an absent modality": {"absent": True},
    "labels": {"labels": 3},
    "a label modality": {"labels": 3, "label_modality": True},
    "five modalities": {"modalities": tuple("abcde"), "missing": 0.1},
}


def two_label_modalities(items=12):
    """`kind` and `family` have one value per label, `a` and `b` are of items."""
    e = random_embeddings(items=items, labels=3, label_modality=True, modalities=("a", "b"))
    family = Embeddings(
        {"family": e.vectors["kind"].flip(1)}, {"family": e.items["kind"]}, {"family": e.labels["kind"]}
    )
    return Embeddings.concatenate([e, family])


def oracle_term(embeddings, query, target, pair_loss, match):
    """The loss of one composed query and its target, or None without a match: by rows composed in loops."""
    rows = oracle_composed_rows(embeddings, list(query), "item", "all")
    if not rows:
        return None
    vectors, items, labels = zip(*rows, strict=True)
    pair = Embeddings(
        {"query": torch.stack([torch.from_numpy(v) for v in vectors]), "target": embeddings.vectors[target]},
        {"query": torch.tensor(items), "target": embeddings.items[target]},
        None if embeddings.labels is None else {"query": torch.tensor(labels), "target": embeddings.labels[target]},
    )
    _, pairs = oracle_objective(pair, pair_loss, match)
    return pairs.get(("query", "target"))


def test_draws_all_sizes_and_sets_alike():
    drawn = [draw_queries("edcba", torch.Generator().manual_seed(k)) for k in range(600)]
    assert all(list(queries) == list("abcde") for queries in drawn)
    of_a = Counter(queries["a"] for queries in drawn)
    assert all("a" not in query and len(query) >= 2 and list(query) == sorted(query) for query in of_a)
    sizes = Counter(len(queries["a"]) for queries in drawn)
    assert set(sizes) == {2, 3, 4} and min(sizes.values()) > 150
    pairs = [count for query, count in of_a.items() if len(query) == 2]
    assert len(pairs) == 6 and max(pairs) < 3 * min(pairs)
    assert draw_queries("ab", torch.Generator()) == {}
    assert draw_queries("cab", torch.Generator()) == {"a": ("b", "c"), "b": ("a", "c"), "c": ("a", "b")}


@pytest.mark.parametrize("match", ["item", "label"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_equals_its_plain_loop_twin(name, case, match):
    make, twin = OBJECTIVES[name]
    embeddings = random_embeddings(**{"items": 9, "labels": 3, **CASES[case]})
    torch.manual_seed(3)
    loss = make(match=match, combinations=0.7)(embeddings)
    torch.manual_seed(3)
    queries = {q.target: q.query for q in composed_queries(embeddings)}
    assert set(queries) == set(embeddings.modalities) - {"nobody"}
    wanted = {(*q, t): oracle_term(embeddings, q, t, twin, match) for t, q in queries.items()}
    wanted = {key: value for key, value in wanted.items() if value is not None}
    mean, pairs = oracle_objective(embeddings, twin, match)
    assert {key: v.item() for key, v in loss.terms.items()} == pytest.approx(wanted, rel=1e-6)
    assert {key: v.item() for key, v in loss.pairs.items()} == pytest.approx(pairs, rel=1e-6)
    assert loss.total.item() == pytest.approx((mean + 0.7 * sum(wanted.values()) / len(wanted)) / 1.7, rel=1e-6)


def test_label_modalities_alone_are_composed_per_label():
    embeddings = two_label_modalities()
    seen = set()
    for seed in range(12):
        torch.manual_seed(seed)
        for composed in composed_queries(embeddings):
            seen.add(composed.query)
            rows = oracle_composed_rows(embeddings, composed.query, "item", "all")
            assert composed.embeddings.items["/".join(composed.query)].tolist() == [item for _, item, _ in rows]
    assert {("family", "kind"), ("a", "kind"), ("a", "family", "kind")} <= seen


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradients_are_those_of_finite_differences(name):
    embeddings = random_embeddings(items=4, d=3, labels=2, label_modality=True)
    names, objective = embeddings.modalities, OBJECTIVES[name][0](combinations=2.0)

    def total(*raw):
        torch.manual_seed(1)
        vectors = dict(zip(names, raw, strict=True))
        return objective(Embeddings.normalized(vectors, embeddings.items, embeddings.labels)).total

    raw = [embeddings.vectors[m].clone().requires_grad_() for m in names]
    assert torch.autograd.gradcheck(total, raw, atol=1e-6, fast_mode=True)


def test_a_term_weighs_what_its_pairs_weigh():
    embeddings = random_embeddings()
    loss = PCMC(weights={"a/b": 0.0, "b/c": 3.0}, combinations=1.0)(embeddings)
    weights = {("b", "c", "a"): 0.5, ("a", "c", "b"): 1.5, ("a", "b", "c"): 2.0}  # of a/c: 1
    assert set(loss.terms) == set(weights)
    pairs = (loss.pairs["a", "c"] + 3 * loss.pairs["b", "c"]) / 4
    terms = sum(weight * loss.terms[key] for key, weight in weights.items()) / 4
    assert torch.allclose(loss.total, (pairs + terms) / 2)


def test_order_of_rows_and_modalities_does_not_matter():
    embeddings = random_embeddings(labels=3, label_modality=True)
    shuffled = {m: torch.randperm(len(v)) for m, v in reversed(embeddings.vectors.items())}
    again = Embeddings(
        {m: embeddings.vectors[m][r] for m, r in shuffled.items()},
        {m: embeddings.items[m][r] for m, r in shuffled.items()},
        {m: embeddings.labels[m][r] for m, r in shuffled.items()},
    )
    totals = []
    for e in (embeddings, again):
        torch.manual_seed(5)
        totals.append(PCMC(combinations=1.0).double()(e).total.item())
    assert totals[0] == pytest.approx(totals[1], rel=1e-12)


def test_without_three_modalities_nothing_is_composed():
    embeddings = random_embeddings().only("a", "b")
    empty = Embeddings.concatenate(
        [embeddings, Embeddings({"c": embeddings.vectors["a"][:0]}, {"c": embeddings.items["a"][:0]})]
    )
    for e in (embeddings, empty):
        loss = PCMC(combinations=1.0)(e)
        assert loss.terms == {} and torch.equal(loss.total, PCMC()(e).total)


def test_items_that_lack_the_target_are_non_matches():
    embeddings = random_embeddings(missing=0.0)
    kept = embeddings.items["c"] != embeddings.items["c"][0]
    fewer = Embeddings(
        {**embeddings.vectors, "c": embeddings.vectors["c"][kept]},
        {**embeddings.items, "c": embeddings.items["c"][kept]},
    )
    (composed,) = (q for q in composed_queries(fewer) if q.target == "c")
    assert len(composed.embeddings.vectors["a/b"]) == 7 and composed.embeddings.items["c"].unique().numel() == 6


def test_settings_and_refusals():
    objective = make_objective({"pcmr": {"combinations": 0.5}})
    assert objective.combinations == 0.5
    assert objective_spec(make_objective(objective_spec(objective))) == objective_spec(objective)
    for bad in (-1, float("inf"), float("nan")):
        with pytest.raises(ManymodalError, match="combinations="):
            PCMC(combinations=bad)
    with pytest.raises(ManymodalError, match="wrong type"):
        make_objective({"pcmc": {"combinations": "some"}})


class Told(Processes):
    """A process that hears what the first one drew."""

    def gather(self, tensor):
        return torch.tensor([5])


def test_all_processes_draw_what_the_first_one_does():
    embeddings = random_embeddings(modalities=tuple("abcde"))
    told, alone = set(), set()
    for seed in range(4):
        for drawn, processes in ((told, Told()), (alone, Processes())):
            torch.manual_seed(seed)
            drawn.add(tuple(q.query for q in composed_queries(embeddings, processes)))
    assert len(told) == 1 < len(alone)
