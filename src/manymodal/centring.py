"""Mean removal: without what all vectors of a modality have in common, modalities no longer lie apart.

A space keeps a gap between modalities: the vectors of each share a component that says of which modality they are and
nothing of the thing. Within one modality it is a constant; where vectors of several are added, or compared as one list,
it is not. GR-CLIP (arXiv:2507.19054) takes it away after the training: v -> unit(v - mean of its modality).

Measure before using it: it changes weights too. What is left of a vector close to its mean, as those of a weak modality
are, becomes as long as any other, and counts more in a composed query than it did.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .compose import SMALLEST_NORM
from .embeddings import Embeddings
from .errors import ManymodalError


def means(embeddings: Embeddings) -> dict[str, Tensor]:
    """The mean of each modality's vectors, {modality: (d,)}; modalities without rows are left out.

    Take them from train: means of the split that is measured would look at all its queries at once. Half precision is
    summed in float32.
    """
    return {
        m: v.mean(dim=0, dtype=torch.promote_types(v.dtype, torch.float32))  # (d,)
        for m, v in embeddings.vectors.items()
        if len(v)
    }


def remove_means(embeddings: Embeddings, means: Mapping[str, Tensor]) -> Embeddings:
    """The same embeddings with each modality's mean removed, of unit norm again.

    Args:
        embeddings: of any split.
        means: {modality: (d,)}, as `means` gives them; those of further modalities are not used.

    Raises:
        ManymodalError: a modality with rows has no mean, a mean is of another shape, or a vector equals its mean.
    """
    vectors = dict(embeddings.vectors)
    for name, v in vectors.items():
        if not len(v):
            continue
        if name not in means:
            raise ManymodalError(
                f"modality {name!r} has no mean; there are means of {', '.join(sorted(means)) or 'none'}: "
                "take them from embeddings that have this modality, or leave it out"
            )
        vectors[name] = centred(v, means[name], f"vectors[{name!r}]")
    return Embeddings(vectors, embeddings.items, embeddings.labels)


def centred(vectors: Tensor, mean: Tensor, what: str = "vectors") -> Tensor:
    """unit(vector - mean) of each row, in the dtype that came.

    Args:
        vectors: (n, d) float.
        mean: (d,) float32 or finer, of the modality that the vectors are of.
        what: how a message calls the vectors.

    Returns:
        (n, d) of unit norm.

    Raises:
        ManymodalError: shapes do not fit, or a vector is within 1e-6 of the mean.
    """
    if vectors.ndim != 2 or mean.shape != vectors.shape[1:]:
        raise ManymodalError(f"{what} {tuple(vectors.shape)} and mean {tuple(mean.shape)}; needed: (n, d) and (d,)")
    rest = vectors - mean.to(vectors.device)  # (n, d)
    norms = rest.norm(dim=1, keepdim=True)  # (n, 1)
    short = (norms.detach() < SMALLEST_NORM).nonzero()[:, 0]
    if len(short):
        row = int(short[0])
        raise ManymodalError(
            f"{what} row {row} is its modality's mean (norm {float(norms[row]):.1e} without it, at least "
            f"{SMALLEST_NORM:.0e} is needed), so nothing is left of it; take the mean over more rows or leave it out"
        )
    unit: Tensor = (rest / norms).to(vectors.dtype)
    return unit
