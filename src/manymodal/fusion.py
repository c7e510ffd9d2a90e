"""Late fusion of ranks: what a combined query is when its parts are searched one by one and their ranks are added up.

Reciprocal rank fusion (Cormack, Clarke, Buettcher 2009, SIGIR) needs no weights and no common scale of scores, which is
why engines offer it. It is here as the alternative to composition: it forgets how sure a part is, so a part that knows
nothing counts as much as one that knows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .errors import ManymodalError


def reciprocal_rank_scores(
    parts: Sequence[Tensor], gallery: Tensor, owners: Tensor, k: int = 60, weights: Sequence[float] | None = None
) -> tuple[Tensor, Callable[[slice], Tensor]]:
    """Scores of things by the ranks that each part of a query gives them, for `manymodal.ranks.ranks_of`.

    score = sum over parts of weight * (k + 1) / (k + rank), over the sum of the weights: 1 for what is first in every
    part. A thing ranks by its best value; equals all take the last of their places.

    Args:
        parts: of each modality asked with, (n, d) float: the queries' vectors.
        gallery: (m, d) float.
        owners: (m,) int64 >= 0, whose value each row of the gallery is: an item or a label (or its key).
        k: how slowly a rank loses its worth; 60 in the paper.
        weights: of the parts, > 0; equal unless given.

    Returns:
        The owners searched, (g,) ascending, and a function from a slice of queries to their scores (b, g) float32.

    Raises:
        ManymodalError: no part, shapes that do not fit, or a weight or k that is not positive.

    Cost: a product of (b, d) and (d, m) and a sort of (b, g) for each part.
    """
    weights = [1.0] * len(parts) if weights is None else list(weights)
    if not parts or len(weights) != len(parts) or not all(w > 0 for w in weights) or k <= 0:
        raise ManymodalError(
            f"{len(parts)} parts with weights {weights} and k={k}; "
            "needed: at least one part, a positive weight for each, and k > 0"
        )
    shapes = [tuple(part.shape) for part in parts]
    if len(set(shapes)) > 1 or parts[0].ndim != 2 or gallery.shape[1:] != parts[0].shape[1:]:
        raise ManymodalError(f"parts {shapes} and gallery {tuple(gallery.shape)} do not fit; needed: (n, d) and (m, d)")
    if owners.shape != gallery.shape[:1] or bool((owners < 0).any()):
        raise ManymodalError(f"{len(owners)} owners for {len(gallery)} gallery rows; needed: one >= 0 a row")
    sides = [part.detach().float() for part in parts]
    values = gallery.detach().float()
    things, column = owners.unique(return_inverse=True)  # (g,), (m,)

    def scores(rows: slice) -> Tensor:
        total = values.new_zeros(len(sides[0][rows]), len(things))
        for side, weight in zip(sides, weights, strict=True):
            total += weight * (k + 1) / (k + _places(side[rows] @ values.T, column, len(things)))  # (b, g)
        return total / sum(weights)

    return things, scores


def _places(scores: Tensor, column: Tensor, things: int) -> Tensor:
    """(b, g) rank of each thing by the best of its columns in scores (b, m)."""
    best = scores.new_full((len(scores), things), -torch.inf)
    best.scatter_reduce_(1, column.expand(len(scores), -1), scores, "amax")
    return things - torch.searchsorted(best.sort(dim=1).values, best)


def fused_lists(lists: Sequence[Sequence[str]], weights: Sequence[float], k: int = 60) -> dict[str, float]:
    """Reciprocal rank fusion of lists of ids, each best first: {id: score}, best first, equal scores by id.

    The score is that of `reciprocal_rank_scores`, but for what a list does not reach, which adds nothing there, and for
    equals, which take the places that the list gives them.

    Args:
        lists: of each part, the ids that it finds.
        weights: of the parts, > 0.
        k: how slowly a rank loses its worth; 60 in the paper.
    """
    scores: dict[str, float] = {}
    for ids, weight in zip(lists, weights, strict=True):
        for rank, id in enumerate(ids, 1):
            scores[id] = scores.get(id, 0.0) + weight * (k + 1) / (k + rank) / sum(weights)
    return dict(sorted(scores.items(), key=lambda one: (-one[1], one[0])))
