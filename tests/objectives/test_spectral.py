"""The spectral contrastive loss against its twin, and what its optimum is."""

import pytest
import torch

from cases import random_embeddings, vectors
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.objectives.moments import Similarities
from manymodal.objectives.spectral import Spectral, spectral
from oracles import oracle_objective, oracle_spectral_pair


@pytest.mark.parametrize("match", ["item", "label"])
@pytest.mark.parametrize("case", [{}, {"label_modality": True}, {"absent": True}])
def test_equals_its_plain_loop_twin(case, match):
    embeddings = random_embeddings(**{"labels": 3, **case})
    loss = Spectral(scale=3.0, match=match)(embeddings)
    total, pairs = oracle_objective(embeddings, lambda x, y, m: oracle_spectral_pair(x, y, m, 3.0), match)
    assert {p: v.item() for p, v in loss.pairs.items()} == pytest.approx(pairs, rel=1e-11)
    assert loss.total.item() == pytest.approx(total, rel=1e-11)


def test_gradients_are_those_of_finite_differences():
    embeddings = random_embeddings(items=3, d=3, labels=2, label_modality=True)

    def total(*raw):
        v = dict(zip(embeddings.modalities, raw, strict=True))
        return Spectral()(Embeddings.normalized(v, embeddings.items, embeddings.labels)).total

    raw = [embeddings.vectors[m].clone().requires_grad_() for m in embeddings.modalities]
    assert torch.autograd.gradcheck(total, raw, atol=1e-6)


@pytest.mark.parametrize("scale", [0.5, 1.0, 10.0])
def test_chance_is_the_best_constant_similarity(scale):
    constant = [Similarities(1, s, s * s) for s in torch.linspace(-1, 1, 401, dtype=torch.float64)]
    best = min(spectral(all_alike, all_alike, scale).item() for all_alike in constant)
    assert Spectral(scale).chance == pytest.approx(best, abs=1e-4 * scale**2) and best > 0


def test_aligned_and_orthogonal_is_the_optimum():
    """Where d items lie on d axes, -2 r + r^2 / d is least at r = d (HaoChen et al.: the rank-d factorisation)."""
    n, axes = torch.arange(5), torch.eye(5, dtype=torch.float64)
    loss = Spectral(scale=5.0)(Embeddings({"a": axes, "b": axes}, {"a": n, "b": n})).total.item()
    assert loss - 2 * 5.0 == pytest.approx(-5.0)
    for _ in range(5):
        assert Spectral(scale=5.0)(Embeddings({"a": vectors(5, 5), "b": vectors(5, 5)}, {"a": n, "b": n})).total > loss


def test_scale_must_be_above_0():
    with pytest.raises(ManymodalError, match="scale=0"):
        Spectral(scale=0)
    assert Spectral(scale=4).settings()["scale"] == 4.0
