"""The full loss and gradient from batches: those of one pass, and refusals of what does not add up."""

import pytest
import torch

from cases import random_embeddings
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.objectives import PCMC, PCMR
from manymodal.objectives.accumulate import Accumulated
from manymodal.objectives.spectral import Spectral


class Model(torch.nn.Module):
    """A head for each modality."""

    def __init__(self, modalities, d=6):
        super().__init__()
        self.heads = torch.nn.ModuleDict({m: torch.nn.Linear(8, d).double() for m in modalities})

    def forward(self, features):
        v = {m: self.heads[m](x).tanh() for m, x in features.vectors.items()}
        return Embeddings.normalized(v, features.items, features.labels)


def gradients(model):
    found = torch.cat([p.grad.flatten() for p in model.parameters()])
    model.zero_grad()
    return found


def two_passes(objective, model, batches):
    accumulated = Accumulated(objective)
    for batch in batches:
        accumulated.add(model(batch))
    loss = accumulated.loss()
    for batch in batches:
        accumulated.batch_loss(model(batch)).backward()
    return loss, gradients(model)


def cut_by_label(features, kinds):
    """A batch of the rows of each set of labels; unknown labels are a set of their own."""
    for labels in [[-1], *kinds]:
        rows = {m: torch.isin(y, torch.tensor(labels)) for m, y in features.labels.items()}
        parts = ({m: of[m][r] for m, r in rows.items()} for of in (features.vectors, features.items, features.labels))
        yield Embeddings(*parts)


@pytest.mark.parametrize("weights", ["equal", "auto", {"a/b": 3.0, "b/c": 0.0}])
@pytest.mark.parametrize("make", [PCMR, Spectral])
def test_two_passes_give_the_loss_and_gradient_of_one(make, weights):
    features = random_embeddings(items=11, absent=True)
    model = Model(features.modalities)
    full = make(weights=weights)(model(features))
    full.total.backward()
    want = gradients(model)
    items = torch.arange(100, 111)
    batches = [features.of_items(some) for some in (items[:4], items[4:5], items[5:])]
    whole, got = two_passes(make(weights=weights), model, batches)
    assert whole.total.item() == pytest.approx(full.total.item(), rel=1e-12)
    assert {p: v.item() for p, v in whole.pairs.items()} == pytest.approx({p: v.item() for p, v in full.pairs.items()})
    assert whole.weights == pytest.approx(full.weights) and whole.chance == full.chance
    assert torch.allclose(got, want, rtol=1e-10, atol=1e-13)


def test_an_item_in_two_batches_is_refused_and_nothing_else_is():
    features = random_embeddings(items=6)
    first, second = (features.of_items(torch.arange(*ends)) for ends in ((100, 103), (103, 106)))
    accumulated = Accumulated(PCMR())
    accumulated.add(first)
    with pytest.raises(ManymodalError, match="item 10. was in an earlier batch"):
        accumulated.add(features.only("c"))  # its matches with the first batch would be lost
    accumulated.add(second)
    assert accumulated.loss().total.item() == pytest.approx(PCMR()(features).total.item(), rel=1e-12)


@pytest.mark.parametrize("case", [{"match": "label"}, {"label_modality": True}])
def test_by_label_where_batches_are_by_label(case):
    features = random_embeddings(items=12, labels=4, label_modality=case.get("label_modality", False))
    make = lambda: PCMR(match=case.get("match", "item"))  # noqa: E731
    model = Model(features.modalities)
    make()(model(features)).total.backward()
    want = gradients(model)
    _, got = two_passes(make(), model, list(cut_by_label(features, [[0, 2], [1], [3]])))
    assert torch.allclose(got, want, rtol=1e-10, atol=1e-13)
    items = torch.arange(100, 112)
    with pytest.raises(ManymodalError, match="label . was in an earlier batch"):
        two_passes(make(), model, [features.of_items(items[:6]), features.of_items(items[6:])])


def test_a_label_seen_before_labels_were_in_force_is_remembered():
    features = random_embeddings(items=8, labels=2, label_modality=True)
    items = torch.arange(100, 108)
    without = features.only("a", "b", "c")
    accumulated = Accumulated(PCMR())
    accumulated.add(without.of_items(items[:4]))
    accumulated.add(without.of_items(items[4:]))  # by item alone, labels may come again
    with pytest.raises(ManymodalError, match="label"):
        accumulated.add(features.only("kind"))  # matches rows of both, which are gone


def test_memory_does_not_grow_with_batches():
    accumulated = Accumulated(PCMR())
    for k in range(4):
        batch = random_embeddings(modalities=("a", "b"))
        accumulated.add(Embeddings(batch.vectors, {m: i + 1000 * k for m, i in batch.items.items()}))
        tensors = accumulated._sums.tensors().values()
        assert sum(t.numel() for t in tensors) == 2 * (8 * 8 + 8) + 2 and not any(t.requires_grad for t in tensors)


def test_what_cannot_be_accumulated_is_refused():
    for objective in (PCMR(focus=0.1), PCMR(combinations=0.5), PCMC()):
        with pytest.raises(ManymodalError, match="accumulate PCMR without focus"):
            Accumulated(objective)


def test_order_of_calls_is_checked():
    features = random_embeddings()
    accumulated = Accumulated(PCMR(weights={"a/zebra": 2.0}))
    with pytest.raises(ManymodalError, match="add\\(\\) each"):
        accumulated.batch_loss(features)
    accumulated.add(features)
    with pytest.raises(ManymodalError, match="zebra"):
        accumulated.loss()
    accumulated = Accumulated(PCMR())
    with pytest.raises(ManymodalError, match="no two share a match"):
        accumulated.loss()
    accumulated.add(features.of_items(torch.arange(100, 103)))
    accumulated.loss()
    with pytest.raises(ManymodalError, match="is in no batch that was added"):
        accumulated.batch_loss(features)
    accumulated.add(features.of_items(torch.arange(103, 107)))
    with pytest.raises(ManymodalError, match="call loss"):
        accumulated.batch_loss(features)  # what was known is out of date


def test_clustered_pcmr_is_refused_and_the_message_says_so():
    with pytest.raises(ManymodalError, match="without focus and clusters"):
        Accumulated(PCMR(clusters=4))
