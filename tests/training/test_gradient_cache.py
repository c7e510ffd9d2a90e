"""The gradient of a batch in chunks is that of the batch at once, dropout included, in the memory of one chunk."""

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from cases import random_embeddings
from manymodal.embeddings import Embeddings
from manymodal.encoders.base import Packed
from manymodal.objectives import PCMC, PCMR
from manymodal.training import Rows, TrainSettings
from manymodal.training.gradient_cache import GradientCache
from manymodal.training.step import train_step

OBJECTIVES = (PCMC, PCMR)


class Towers(nn.Module):
    """Two layers with dropout for each modality; counts how often each is run, and how many values wait for backward."""

    def __init__(self, modalities, dropout=0.4, frozen=()):
        super().__init__()
        torch.manual_seed(2)
        self.towers = nn.ModuleDict(
            {
                m: nn.Sequential(nn.Linear(8, 16), nn.Dropout(dropout), nn.ReLU(), nn.Linear(16, 6)).double()
                for m in modalities
            }
        )
        for m in frozen:
            self.towers[m].requires_grad_(False)
        self.seen = dict.fromkeys(modalities, 0)
        self.waiting, self.most = 0, 0

    def forward(self, batch):
        vectors = {}
        for m, rows in batch.items():
            self.seen[m] += len(rows)
            vectors[m] = normalize(self.towers[m](rows.values.data), dim=1)
            if vectors[m].requires_grad:
                self._watch(vectors[m])
        return Embeddings(vectors, {m: r.items for m, r in batch.items()}, {m: r.labels for m, r in batch.items()})

    def _watch(self, vectors):
        self.waiting += len(vectors)
        self.most = max(self.most, self.waiting)

        def done(grad):
            self.waiting -= len(grad)

        vectors.register_hook(done)


def batch_of(items=11, **kinds):
    raw = random_embeddings(items=items, labels=3, label_modality=True, **kinds)
    return {m: Rows(Packed(v), raw.items[m], raw.labels[m]) for m, v in raw.vectors.items()}


def gradients(*modules):
    return {
        f"{number}.{name}": torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for number, module in enumerate(modules)
        for name, p in module.named_parameters()
    }


def cached(model, objective, batch, chunk_size):
    torch.manual_seed(4)
    cache = GradientCache(model, batch, chunk_size)
    loss = objective(cache.embeddings)
    loss.total.backward()
    cache.backward()
    return loss, gradients(model, objective)


def plain(model, objective, batch, chunk_size):
    """The same chunks from the same random states, all graphs at once."""
    torch.manual_seed(4)
    chunks = {m: torch.arange(len(rows)).split(chunk_size) for m, rows in batch.items()}
    seeds = {m: torch.randint(2**62, (len(parts),)).tolist() for m, parts in chunks.items()}
    parts = []
    for m, rows in batch.items():
        for at, seed in zip(chunks[m], seeds[m], strict=True):
            torch.manual_seed(seed)
            parts.append(model({m: rows.take(at)}))
    loss = objective(Embeddings.concatenate(parts))
    loss.total.backward()
    return loss, gradients(model, objective)


def same(one, other):
    torch.testing.assert_close(one[0].total, other[0].total, rtol=0, atol=1e-12)
    assert one[1].keys() == other[1].keys()
    for name in one[1]:
        torch.testing.assert_close(one[1][name], other[1][name], rtol=0, atol=1e-10)
    assert any(grad.abs().max() > 1e-4 for grad in one[1].values())


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("chunk_size", [1, 4, 1000])
def test_gradient_is_that_of_the_chunks_at_once_with_dropout(objective, chunk_size):
    batch = batch_of(absent=True)
    made = [(Towers(batch), objective().double()) for _ in range(2)]
    same(cached(*made[0], batch, chunk_size), plain(*made[1], batch, chunk_size))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_without_dropout_it_is_that_of_the_batch_at_once(objective):
    batch = batch_of()
    made = [(Towers(batch, dropout=0.0), objective().double()) for _ in range(2)]
    model, other = made[1]
    loss = other(model(batch))
    loss.total.backward()
    same(cached(*made[0], batch, 3), (loss, gradients(model, other)))


def test_dropout_differs_from_chunk_to_chunk():
    rows = Rows(Packed(torch.ones(6, 8, dtype=torch.float64)), torch.arange(6), torch.arange(6))
    vectors = GradientCache(Towers("a"), {"a": rows}, 1).embeddings.vectors["a"]
    assert len(vectors.detach().unique(dim=0)) > 1


def test_graphs_of_one_chunk_at_a_time():
    for items in (11, 44):
        batch = batch_of(items=items)
        model = Towers(batch)
        cached(model, PCMC().double(), batch, 4)
        # The hook of a chunk that was only looked at for its graph never fires: one chunk a modality.
        assert model.most <= 4 * (len(batch) + 1)
        assert len(batch["c"]) > 12 or items == 11


def test_what_is_not_trained_is_encoded_once():
    batch = batch_of()
    model = Towers(batch, frozen=["b"])
    other = Towers(batch, frozen=["b"])
    same(cached(model, PCMC().double(), batch, 2), plain(other, PCMC().double(), batch, 2))
    assert model.seen["b"] == len(batch["b"]) and model.seen["a"] == 2 * len(batch["a"])


def test_a_training_step_takes_it_from_the_settings():
    batch = batch_of()
    stepped = []
    for chunk_size in (None, 3):
        model, objective = Towers(batch, dropout=0.0), PCMC().double()
        optimiser = torch.optim.SGD([*model.parameters(), *objective.parameters()], lr=0.1)
        train_step(model, objective, optimiser, batch, TrainSettings(chunk_size=chunk_size), 0, "cpu")
        stepped.append([p.detach() for p in (*model.parameters(), *objective.parameters())])
        assert model.seen["a"] == len(batch["a"]) * (1 if chunk_size is None else 2)
    for one, other in zip(*stepped, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)
