"""The losses whose cost is compared: vectors of each modality in, a step forward and backward over all pairs out.

All of them are given the same unit vectors, by modality, one value per item and modality, row k of each being of item
k; none of them has a temperature other than 0.07, and a step leaves the gradient of the mean over pairs in `.grad`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import combinations

import torch
from torch import Tensor, nn

from manymodal import Embeddings
from manymodal.errors import ManymodalError
from manymodal.objectives import PCMC, PCMR, Objective

SCALE = 1 / 0.07  # PCMC learns it from here; its gradient is part of what PCMC's step computes
CLUSTER = 64  # items of a cluster at most, in the clustered objectives
LABELS = 100_000  # where labels match
CACHED_ROWS = 1024  # of a mini-batch of sentence-transformers: its default of 32 is several times slower

Vectors = Mapping[str, Tensor]
Step = Callable[[], float]  # the loss; adds to the gradients of the vectors


def make_vectors(n: int, modalities: int, dim: int) -> dict[str, Tensor]:
    """{modality: (n, dim) float32} random unit vectors that ask for gradients; matching ones have a cosine of 0.5 to 0.7.

    Made in place, so that no freed memory is left behind that a step could use unseen.
    """
    generator = torch.Generator().manual_seed(0)
    vectors: dict[str, Tensor] = {}
    for k in range(modalities):
        v = torch.empty(n, dim).normal_(std=dim**-0.5, generator=generator)  # (n, d)
        if k > 0:
            v += vectors["m0"]
        v /= v.norm(dim=1, keepdim=True)
        vectors[f"m{k}"] = v
    return {name: v.requires_grad_() for name, v in vectors.items()}


# -- ours --------------------------------------------------------------------------------------------------------------


def of_objective(
    make: Callable[[], Objective], vectors: Vectors, shuffled: bool = False, kinds: int | None = None
) -> Step:
    """An objective of this library; making and checking `Embeddings` counts as a part of its step.

    Args:
        shuffled: each modality has its items in an order of its own (so other vectors match; the cost is what counts).
        kinds: how many labels the items have; None for none.
    """
    objective = make()
    items = {m: torch.randperm(len(v)) if shuffled else torch.arange(len(v)) for m, v in vectors.items()}
    labels = None if kinds is None else {m: ids % kinds for m, ids in items.items()}

    def step() -> float:
        loss = objective(Embeddings(vectors, items, labels)).total
        loss.backward()
        return float(loss.detach())

    return step


# -- written by hand ---------------------------------------------------------------------------------------------------


def per_pair(vectors: Vectors, loss_of: Callable[[Tensor, Tensor], Tensor]) -> Step:
    """One pair of modalities after the other, each with a backward pass of its own: one pair's memory at a time."""
    pairs = list(combinations(vectors.values(), 2))

    def step() -> float:
        total = 0.0
        for a, b in pairs:
            loss = loss_of(a, b) / len(pairs)
            loss.backward()
            total += float(loss.detach())
        return total

    return step


def full_matrix(vectors: Vectors) -> Step:
    """CLIP's loss on one matrix of all similarities, backward per pair: the frugal way to write it plainly."""
    labels = torch.arange(len(next(iter(vectors.values()))))

    def loss_of(a: Tensor, b: Tensor) -> Tensor:
        s = SCALE * (a @ b.T)  # (n, n)
        return (nn.functional.cross_entropy(s, labels) + nn.functional.cross_entropy(s.T, labels)) / 2

    return per_pair(vectors, loss_of)


def clip_style(vectors: Vectors) -> Step:
    """What one writes around a CLIP loss: a matrix for each direction, the mean over pairs, one backward pass."""
    labels = torch.arange(len(next(iter(vectors.values()))))
    pairs = list(combinations(vectors.values(), 2))

    def step() -> float:
        losses = []
        for a, b in pairs:
            of_a, of_b = SCALE * (a @ b.T), SCALE * (b @ a.T)  # (n, n) each
            losses.append((nn.functional.cross_entropy(of_a, labels) + nn.functional.cross_entropy(of_b, labels)) / 2)
        loss = torch.stack(losses).mean()
        loss.backward()
        return float(loss.detach())

    return step


# -- other libraries ---------------------------------------------------------------------------------------------------


def metric_learning(kind: str, vectors: Vectors) -> Step:
    """pytorch-metric-learning over the two modalities of a pair stacked, so the values of one's own modality are
    negatives too. Both kinds are one loss here, where a row has one match.

    Args:
        kind: "NTXentLoss", which holds 8 n^3 numbers for n items, or "SupConLoss", which holds matrices.
    """
    try:
        from pytorch_metric_learning import distances, losses
    except ImportError as error:
        raise missing_rivals(error) from error
    dot = distances.DotProductSimilarity(normalize_embeddings=False)
    criterion = getattr(losses, kind)(temperature=1 / SCALE, distance=dot)
    labels = torch.arange(len(next(iter(vectors.values())))).repeat(2)  # (2 n,)
    return per_pair(vectors, lambda a, b: criterion(torch.cat([a, b]), labels))


class Given(nn.Module):
    """Stands where sentence-transformers has its network: the embeddings are given."""

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The slice at hand."""
        return {"sentence_embedding": features["vectors"]}


def sentence_transformers(vectors: Vectors) -> Step:
    """The cached multiple negatives ranking loss of sentence-transformers, both directions."""
    try:
        from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss
        from sentence_transformers.util import dot_score
    except ImportError as error:
        raise missing_rivals(error) from error
    criterion = CachedMultipleNegativesRankingLoss(
        nn.Sequential(Given()),
        scale=SCALE,
        similarity_fct=dot_score,
        mini_batch_size=CACHED_ROWS,
        directions=("query_to_doc", "doc_to_query"),
        partition_mode="per_direction",
    )
    return per_pair(vectors, lambda a, b: criterion([{"vectors": a}, {"vectors": b}], None))


def missing_rivals(error: ImportError) -> ManymodalError:
    """What to do where a compared library is not installed."""
    return ManymodalError(f"{error.name} is not installed; pip install -r benchmarks/requirements.txt")


CONTENDERS: dict[str, Callable[[Vectors], Step]] = {
    "PCMR": partial(of_objective, PCMR),
    "PCMR, rows in any order": partial(of_objective, PCMR, shuffled=True),
    "PCMR by label": partial(of_objective, partial(PCMR, match="label"), shuffled=True, kinds=LABELS),
    "PCMR, clustered": partial(of_objective, partial(PCMR, clusters=CLUSTER)),
    "PCMC, clustered": partial(of_objective, partial(PCMC, clusters=CLUSTER)),
    "PCMC, streamed": partial(of_objective, PCMC),
    "full matrix, pair by pair": full_matrix,
    "CLIP-style, by hand": clip_style,
    "sentence-transformers": sentence_transformers,
    "pytorch-metric-learning, NTXentLoss": partial(metric_learning, "NTXentLoss"),
    "pytorch-metric-learning, SupConLoss": partial(metric_learning, "SupConLoss"),
}
