"""Fused pairs against their twin, the fusion networks, gaps, and the exclusive or."""

import pytest
import torch

from cases import random_embeddings, vectors, with_grad
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.objectives.fused import Fused
from oracles import oracle_fused, oracle_fusion, oracle_objective, oracle_pcmc_pair


def made(embeddings, **settings):
    objective = Fused(**{"scale": 4.0, **settings})
    objective.prepare(embeddings.modalities, embeddings.dim)
    return objective.double()


@pytest.mark.parametrize("match", ["item", "label"])
@pytest.mark.parametrize(
    "case",
    [{}, {"absent": True}, {"label_modality": True}, {"modalities": ("x", "y")}, {"modalities": tuple("abcd")}],
    ids=str,
)
def test_equals_its_plain_loop_twin(case, match):
    e = random_embeddings(**{"labels": 3, **case})
    objective = made(e, share=0.3, match=match)
    loss = objective(e)
    _, want = oracle_objective(e, lambda x, y, m: oracle_pcmc_pair(x, y, m, 4.0), match)
    pairs, fused = len(want), 0.0
    names = [m for m in e.modalities if len(e.vectors[m])]
    networks = iter(objective.fusions)
    for i, a in enumerate(e.modalities):
        for b in e.modalities[i + 1 :]:
            layers = next(networks).layers
            first, second = ((f.weight.detach().numpy(), f.bias.detach().numpy()) for f in (layers[0], layers[2]))
            for c in (c for c in names if {a, b} <= set(names) - {c}):
                value = oracle_fused(e, a, b, c, lambda x, y, f=first, s=second: oracle_fusion(x, y, f, s), 4.0, match)
                if value is not None:
                    want[a, b, c] = value
                    fused += value
    assert {k: v.item() for k, v in loss.terms.items()} == pytest.approx(want, rel=1e-6) and not loss.pairs
    mean = sum(v for k, v in want.items() if len(k) == 2) / pairs
    if len(want) > pairs:
        mean = 0.7 * mean + 0.3 * fused / (len(want) - pairs)
    assert loss.total.item() == pytest.approx(mean, rel=1e-6)


def test_gradients_are_those_of_finite_differences():
    e = random_embeddings(items=4, d=3, labels=2, label_modality=True)
    objective = made(e, hidden=3)
    names = [name for name, _ in objective.named_parameters()]

    def total(*values):
        raw, parameters = values[: len(e.modalities)], values[len(e.modalities) :]
        vectors = Embeddings.normalized(dict(zip(e.modalities, raw, strict=True)), e.items, e.labels)
        return torch.func.functional_call(objective, dict(zip(names, parameters, strict=True)), (vectors,)).total

    raw = [e.vectors[m].clone().requires_grad_() for m in e.modalities]
    inputs = [*raw, *(p.detach().clone().requires_grad_() for p in objective.parameters())]
    assert torch.autograd.gradcheck(total, inputs, atol=1e-6, fast_mode=True)


def test_order_of_rows_and_modalities_does_not_matter():
    e = random_embeddings(labels=3, label_modality=True)
    shuffled = {m: torch.randperm(len(v)) for m, v in reversed(e.vectors.items())}
    again = Embeddings(*({m: of[m][r] for m, r in shuffled.items()} for of in (e.vectors, e.items, e.labels)))
    objective = made(e)
    assert objective(e).total.item() == pytest.approx(objective(again).total.item(), rel=1e-12)


def test_share_of_zero_is_the_mean_over_pairs_and_share_of_one_the_fusions():
    e = random_embeddings()
    terms = made(e, share=1.0)(e).terms
    pairs = [v.item() for k, v in terms.items() if len(k) == 2]
    fused = [v.item() for k, v in terms.items() if len(k) == 3]
    assert made(e, share=0.0)(e).total.item() == pytest.approx(sum(pairs) / 3)
    torch.manual_seed(1)
    one = made(e, share=1.0)
    loss = one(e)
    assert loss.total.item() == pytest.approx(sum(v.item() for k, v in loss.terms.items() if len(k) == 3) / 3)
    assert len(fused) == 3 and not any(len(k) == 3 for k in made(e, share=0.0)(e).terms)


def test_preparing_again_changes_nothing_and_saving_survives():
    e = random_embeddings(dtype=torch.float32)
    objective = Fused()
    objective.prepare(["c", "b", "a"], 8)
    networks = objective.fusions
    objective.prepare(["a", "b", "c"], 8)
    assert objective.fusions is networks and len(networks) == 3
    again = Fused()
    again.prepare(["a", "b", "c"], 8)
    assert again(e).total.item() != objective(e).total.item()
    again.load_state_dict(objective.state_dict())
    assert again(e).total.item() == objective(e).total.item()
    objective.prepare(["a", "b", "c", "d"], 8)
    assert len(objective.fusions) == 6


def test_mistakes_are_named():
    e = random_embeddings()
    with pytest.raises(ManymodalError, match="prepare"):
        Fused()(e)
    with pytest.raises(ManymodalError, match="a and c in 8 dimensions.*a, b, d in 8"):
        objective = Fused()
        objective.prepare(["a", "b", "d"], 8)
        objective(e)
    with pytest.raises(ManymodalError, match="share=2"):
        Fused(share=2)
    with pytest.raises(ManymodalError, match="hidden=0"):
        Fused(hidden=0)


@pytest.mark.parametrize("items", [{"a": 0, "b": 10, "c": 20}, {"a": 0}])
def test_nothing_to_compare_is_a_differentiable_zero(items):
    e = with_grad(Embeddings({m: vectors(3) for m in items}, {m: torch.arange(3) + at for m, at in items.items()}))
    loss = made(e)(e)
    loss.total.backward()
    assert loss.total.item() == 0 and not loss.terms
    assert all(not v.grad.any() for v in e.vectors.values())


def test_one_item_alone_has_nothing_to_lose():
    e = with_grad(Embeddings({m: vectors(1) for m in "abc"}, {m: torch.arange(1) for m in "abc"}))
    loss = made(e)(e)
    loss.total.backward()
    assert loss.total.item() == 0 and all(not v.grad.any() for v in e.vectors.values())


def test_it_learns_the_exclusive_or():
    """Of c = a xor b, single bits as fixed vectors, no pair tells anything, the fusion of a and b tells all of c."""
    torch.manual_seed(0)
    tables = [vectors(2, 4, dtype=torch.float32) for _ in range(3)]
    objective = Fused(share=1.0)
    objective.prepare("abc", 4)
    optimiser = torch.optim.AdamW(objective.parameters(), lr=0.03)
    a, b = torch.cartesian_prod(torch.arange(2), torch.arange(2)).T
    rows = dict(zip("abc", (t[i] for t, i in zip(tables, (a, b, a ^ b), strict=True)), strict=True))
    for _ in range(60):
        optimiser.zero_grad()
        objective(Embeddings(rows, {m: torch.arange(4) for m in "abc"})).total.backward()
        optimiser.step()
        objective.after_step()
    found = (objective.fuse(("a", "b"), rows["a"], rows["b"]) @ tables[2].T).argmax(1)
    assert torch.equal(found, a ^ b)
