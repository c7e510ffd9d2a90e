"""What holds for PCMC and PCMR, in every form, whatever the embeddings: drawn by hypothesis, small and full of gaps."""

import math
from functools import partial
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cases import vectors, with_grad
from manymodal.embeddings import Embeddings
from manymodal.objectives import PCMC, PCMR
from oracles import oracle_objective, oracle_pcmc_pair

EVERYTHING = 1000  # items in a cluster, more than any test has: one cluster, in which nothing is estimated
FORMS = {
    "pcmc": PCMC,
    "pcmc, all matches": partial(PCMC, denominator="all"),
    "pcmc, scales per pair": partial(PCMC, scales="per pair"),
    "pcmc, clusters": partial(PCMC, clusters=EVERYTHING),
    "pcmr": PCMR,
    "pcmr, focus": partial(PCMR, focus=0.2),
    "pcmr, clusters": partial(PCMR, clusters=EVERYTHING),
}
MODALITIES = ("a", "b", "c", "kind")
form = pytest.mark.parametrize("form", FORMS)
property_of = settings(max_examples=6, deadline=None, derandomize=True, database=None)
close = partial(pytest.approx, rel=1e-9, abs=1e-9)


def made(form, match="item", **kwargs):
    objective = FORMS[form](match=match, **kwargs).double()
    objective.prepare((*MODALITIES, "nobody"), 4)
    return objective


@st.composite
def embeddings_of(draw, modalities=("a", "b", "c"), items=(1, 6), values=(0, 3), kind=True):
    """Items with none to several values in each modality, labels (some unknown), and maybe a modality of labels."""
    names = draw(st.permutations(modalities))
    count = draw(st.integers(*items))
    of_item = torch.tensor(draw(st.lists(st.integers(-1, 2), min_size=count, max_size=count)))
    sizes = st.lists(st.integers(*values), min_size=count, max_size=count)
    ids = {m: torch.arange(count).repeat_interleave(torch.tensor(draw(sizes))) for m in names}
    labels = {m: of_item[i] for m, i in ids.items()}
    if kind and draw(st.booleans()):
        labels["kind"] = of_item[of_item >= 0].unique()
        ids["kind"] = torch.full_like(labels["kind"], -1)
    torch.manual_seed(draw(st.integers(0, 2**31)))
    return Embeddings({m: vectors(len(i), 4) for m, i in ids.items()}, ids, labels)


matches = st.sampled_from(["item", "label"])


def rows(embeddings, chosen):
    """The given rows of each modality."""
    return Embeddings(
        {m: embeddings.vectors[m][r] for m, r in chosen.items()},
        {m: embeddings.items[m][r] for m, r in chosen.items()},
        {m: embeddings.labels[m][r] for m, r in chosen.items()},
    )


def twice(embeddings, modality):
    """With all rows of one modality given twice."""
    n = {m: torch.arange(len(v)) for m, v in embeddings.vectors.items()}
    return rows(embeddings, {**n, modality: n[modality].repeat(2)})


def numbers(loss):
    """All that a loss says, as plain numbers."""
    return {"total": loss.total.item(), **{p: v.item() for p, v in loss.pairs.items()}}


def gradients(objective, embeddings):
    """The loss, and its gradient by every modality's vectors: 0 too where autograd says None."""
    embeddings = with_grad(embeddings)
    loss = objective(embeddings)
    loss.total.backward()
    return loss, {m: torch.zeros_like(v) if v.grad is None else v.grad for m, v in embeddings.vectors.items()}


@form
@property_of
@given(e=embeddings_of(), match=matches, seed=st.integers(0, 99))
def test_the_order_of_modalities_and_of_rows_does_not_matter(form, e, match, seed):
    torch.manual_seed(seed)
    order = {m: torch.randperm(len(v)) for m, v in reversed(e.vectors.items())}
    (loss, grad), (again, moved) = (gradients(made(form, match), x) for x in (e, rows(e, order)))
    assert numbers(again) == close(numbers(loss)) and again.chance == close(loss.chance)
    for m, r in order.items():
        torch.testing.assert_close(moved[m], grad[m][r], rtol=1e-8, atol=1e-10)


@form
@property_of
@given(e=embeddings_of(), match=matches)
def test_modalities_go_by_any_name(form, e, match):
    """Names say which pairs there are, and nothing else: reversing their order swaps the sides of each pair."""
    other = dict(zip(sorted(e.vectors), sorted(e.vectors, reverse=True), strict=True))
    renamed = Embeddings(
        {other[m]: v for m, v in e.vectors.items()},
        {other[m]: i for m, i in e.items.items()},
        {other[m]: y for m, y in e.labels.items()},
    )
    loss, again = (made(form, match)(x) for x in (e, renamed))
    assert {tuple(sorted((other[a], other[b]))): v for (a, b), v in numbers_of_pairs(loss).items()} == close(
        numbers_of_pairs(again)
    )


def numbers_of_pairs(loss):
    return {p: v.item() for p, v in loss.pairs.items()}


@form
@property_of
@given(e=embeddings_of(), match=matches)
def test_an_absent_modality_is_its_pairs_removed(form, e, match):
    whole = numbers_of_pairs(made(form, match)(e))
    for gone in e.modalities:
        names = [m for m in e.modalities if m != gone]
        expected = {p: v for p, v in whole.items() if gone not in p}
        empty = rows(e, {m: slice(0 if m == gone else None) for m in e.modalities})
        for less in (e.only(*names), empty):
            loss = made(form, match)(less)
            assert numbers_of_pairs(loss) == close(expected)
            assert loss.total.item() == close(sum(expected.values()) / max(1, len(expected)))


@pytest.mark.parametrize("form", [name for name in FORMS if name != "pcmr, clusters"])
@property_of
@given(e=embeddings_of(), match=matches)
def test_a_modality_given_twice_changes_what_its_mathematics_says(form, e, match):
    """PCMR not at all; PCMC equals its twin, in which twice the rows are twice the candidates."""
    for m in e.modalities:
        loss, doubled = (made(form, match, **({} if "pcmr" in form else {"scale": 5.0}))(x) for x in (e, twice(e, m)))
        if "pcmr" in form:
            assert numbers(doubled) == close(numbers(loss))
        elif "all matches" not in form:
            total, pairs = oracle_objective(twice(e, m), lambda x, y, hits: oracle_pcmc_pair(x, y, hits, 5.0), match)
            assert numbers(doubled) == pytest.approx({"total": total, **pairs}, rel=1e-6, abs=1e-9)
        else:  # in the denominators as well: log 2 more one way, nothing the other way
            more = {p: v + (math.log(2) / 2 if m in p else 0) for p, v in numbers_of_pairs(loss).items()}
            assert numbers_of_pairs(doubled) == close(more)


@form
@property_of
@given(e=embeddings_of(kind=False), scale=st.floats(1.0, 100.0))
def test_only_similarities_count_at_any_scale(form, e, scale):
    """Every modality turned by one rotation is the same space; and at no scale is anything infinite."""
    rotation = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q
    turned = Embeddings({m: v @ rotation for m, v in e.vectors.items()}, e.items, e.labels)
    objective = made(form, **({} if "pcmr" in form else {"scale": scale}))
    (loss, grad), (again, moved) = (gradients(objective, x) for x in (e, turned))
    assert numbers(again) == pytest.approx(numbers(loss), rel=1e-8, abs=1e-8)
    for m in grad:
        assert grad[m].isfinite().all()
        torch.testing.assert_close(moved[m], grad[m] @ rotation, rtol=1e-6, atol=1e-7)


@form
@property_of
@given(e=embeddings_of(items=(1, 1), kind=False), match=matches)
def test_one_item_alone_has_matches_and_no_rivals(form, e, match):
    loss, grad = gradients(made(form, match), e)
    here = [m for m in e.modalities if len(e.vectors[m])]
    assert set(loss.pairs) == set(combinations(here, 2))
    assert all(g.isfinite().all() for g in grad.values())
    for (a, b), value in loss.pairs.items():
        s = e.vectors[a] @ e.vectors[b].T
        if form.startswith("pcmr"):
            assert value.item() == close((1 - s).square().mean().item())
        elif form == "pcmc, all matches":
            assert loss.chance[a, b] == close((math.log(s.shape[0]) + math.log(s.shape[1])) / 2)
        else:
            assert value.item() == 0 == loss.chance[a, b]


@form
@property_of
@given(e=embeddings_of(modalities=("a",), kind=False), match=matches)
def test_one_modality_alone_is_a_differentiable_zero(form, e, match):
    loss, grad = gradients(made(form, match), e)
    assert loss.total.item() == 0 and not loss.pairs and not grad["a"].any()


@form
@property_of
@given(e=embeddings_of())
def test_labels_that_are_items_and_items_that_are_labels(form, e):
    """Where every item is a kind of its own the two rules are one; unknown labels leave the rule of items."""
    e = e.only(*(m for m in e.modalities if m != "kind"))
    by_item = made(form)(e)
    own = Embeddings(e.vectors, e.items, dict(e.items))
    unknown = Embeddings(e.vectors, e.items, {m: torch.full_like(i, -1) for m, i in e.items.items()})
    for labelled in (own, unknown):
        assert numbers(made(form, "label")(labelled)) == close(numbers(by_item))
    known = rows(e, {m: e.labels[m] >= 0 for m in e.modalities})
    as_items = Embeddings(known.vectors, dict(known.labels))
    assert numbers(made(form, "label")(known)) == close(numbers(made(form)(as_items)))


@form
@property_of
@given(
    e=embeddings_of(items=(2, 6)), size=st.integers(2, 5), match=matches, dtype=st.sampled_from(["float32", "float64"])
)
def test_no_case_gives_anything_but_finite_numbers(form, e, size, match, dtype):
    """With small clusters too, whatever their boundaries; one unit of total weight among the pairs that are there."""
    objective = made(form, match, **({"combinations": 0.5} | ({"clusters": size} if "clusters" in form else {})))
    loss, grad = gradients(objective, e.to(dtype=getattr(torch, dtype)))
    assert loss.total.isfinite() and all(v.isfinite() for v in loss.pairs.values())
    assert all(g.isfinite().all() and g.dtype == getattr(torch, dtype) for g in grad.values())
    assert set(loss.weights) == set(loss.chance) == set(loss.pairs)
    for parameter in objective.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()
