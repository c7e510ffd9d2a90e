"""Small random `Embeddings` that show every case: several values, missing values, labels, an absent modality."""

import torch
from torch.nn.functional import normalize

from manymodal.embeddings import Embeddings


def vectors(n, d=8, dtype=torch.float64, grad=False):
    """(n, d) random unit vectors."""
    v = normalize(torch.randn(n, d, dtype=dtype), dim=1)
    return v.requires_grad_() if grad else v


def random_embeddings(
    *,
    items=7,
    d=8,
    dtype=torch.float64,
    labels=0,
    label_modality=False,
    absent=False,
    modalities=("a", "b", "c"),
    missing=0.3,
):
    """Modalities with 0 to 3 values per item; `labels` kinds, some of them unknown; optionally one value per label."""
    ids = {}
    for position, m in enumerate(modalities):
        values = torch.randint(1, 4 if position else 2, (items,)) * (torch.rand(items) >= missing)
        values[:2] = values[:2].clamp(min=1)  # so that every pair has a match
        ids[m] = (100 + torch.arange(items)).repeat_interleave(values)
        ids[m] = ids[m][torch.randperm(len(ids[m]))]
    if absent:
        ids["nobody"] = torch.zeros(0, dtype=torch.int64)
    of_item = torch.randint(-1, labels, (items,)) if labels else None
    tags = None if of_item is None else {m: of_item[i - 100] for m, i in ids.items()}
    if label_modality:
        known = of_item.unique()
        known = known[known >= 0]
        ids["kind"], tags["kind"] = torch.full((len(known),), -1), known
    return Embeddings({m: vectors(len(i), d, dtype) for m, i in ids.items()}, ids, tags)


def with_grad(embeddings):
    """The same with vectors that collect gradients."""
    return Embeddings(
        {m: v.detach().clone().requires_grad_() for m, v in embeddings.vectors.items()},
        embeddings.items,
        embeddings.labels,
    )
