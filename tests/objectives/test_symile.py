"""Symile: its candidates, CLIP at two modalities, and that it sees the exclusive or."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from cases import random_embeddings, vectors
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.objectives.symile import Symile, candidate_owners, symile
from oracles import oracle_complete_items, oracle_symile


@pytest.mark.parametrize("negatives", ["shuffled", "together", "all"])
def test_with_two_modalities_it_is_clips_loss(negatives):
    a, b, n = vectors(9, dtype=torch.float32), vectors(9, dtype=torch.float32), torch.arange(9)
    objective = Symile(negatives=negatives)
    logits = float(objective.scale) * a @ b.T
    clip = (cross_entropy(logits, n) + cross_entropy(logits.T, n)) / 2
    assert objective(Embeddings({"x": a, "y": b}, {"x": n, "y": n})).total.item() == pytest.approx(
        clip.item(), rel=1e-5
    )


@pytest.mark.parametrize("match", ["item", "label"])
def test_all_combinations_equal_the_twin(match):
    e = random_embeddings(items=6, labels=3, label_modality=True, missing=0.1)
    n = len(oracle_complete_items(e, e.modalities))
    sets = candidate_owners(n, 3, "all")
    assert n >= 3
    assert len(sets) == n**3 == len(sets.unique(dim=0))
    for (anchor, *others), value in Symile(scale=2.0, negatives="all", match=match).double()(e).terms.items():
        assert value.item() == pytest.approx(oracle_symile(e, anchor, others, 2.0, sets.tolist(), match), rel=1e-6)


def test_shuffled_candidates_equal_the_twin():
    e = random_embeddings(items=12, labels=3, label_modality=True)
    torch.manual_seed(5)
    loss = Symile(scale=2.0).double()(e)
    torch.manual_seed(5)
    n = len(oracle_complete_items(e, e.modalities))
    for (anchor, *others), value in loss.terms.items():
        generator = torch.Generator().manual_seed(int(torch.randint(2**62, (1,))))
        sets = candidate_owners(n, 3, "shuffled", generator)
        assert all(sorted(column.tolist()) == list(range(n)) for column in sets.T)
        assert value.item() == pytest.approx(oracle_symile(e, anchor, others, 2.0, sets.tolist()), rel=1e-6)


def test_logits_spread_as_cosines_do_for_any_number_of_modalities():
    torch.manual_seed(0)
    x = [vectors(2000, 64) for _ in range(4)]
    spread = [(64 ** ((m - 2) / 2) * torch.stack(x[:m]).prod(0).sum(1)).std().item() for m in (2, 3, 4)]
    assert spread == pytest.approx([1 / 8] * 3, rel=0.15)


def test_memory_holds_no_product_of_all_sets():
    n, d = 40, 8
    x, key = [vectors(n, d, grad=True) for _ in range(3)], torch.arange(n)
    sets, held = candidate_owners(n, 2, "all"), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: held.append(t.numel()) or t, lambda t: t):
        loss = symile(x[0], x[1:], sets, key, torch.full((len(sets),), -1), 2.0)
    loss.backward()
    assert max(held) < len(sets) * d  # (1600, 8) products are made again


def test_it_learns_the_exclusive_or():
    """Of c = a xor b, bit by bit, no pair tells anything; a space of three tables of vectors must still find c."""
    torch.manual_seed(0)
    values = torch.tensor([[i >> k & 1 for k in range(3)] for i in range(8)]).float()
    encoders = torch.nn.ModuleList([torch.nn.Linear(3, 8) for _ in range(3)])
    objective = Symile()
    optimiser = torch.optim.AdamW([*encoders.parameters(), *objective.parameters()], lr=0.05)
    n = torch.arange(128)

    def embed(a, b):
        parts = (values[a], values[b], (values[a] + values[b]) % 2)
        return [torch.nn.functional.normalize(f(x), dim=1) for f, x in zip(encoders, parts, strict=True)]

    for _ in range(150):
        x = dict(zip("abc", embed(*torch.randint(8, (2, 128))), strict=True))
        optimiser.zero_grad()
        objective(Embeddings(x, dict.fromkeys("abc", n))).total.backward()
        optimiser.step()
    a, b = torch.cartesian_prod(torch.arange(8), torch.arange(8)).T
    x, y, _ = embed(a, b)
    every = torch.nn.functional.normalize(encoders[2](values), dim=1)  # (8, d)
    assert ((x * y) @ every.T).argmax(1).eq(a ^ b).float().mean() > 0.9


def test_mistakes_are_named():
    with pytest.raises(ManymodalError, match="shuffled, together, all"):
        Symile(negatives="none")
