"""The contrastive loss of one pair of modalities, once the sums over its non-matches are known."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus


def contrast(
    own: Tensor,
    i: Tensor,
    j: Tensor,
    rows: Tensor,
    columns: Tensor,
    alone: bool = True,
    rivals: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, float]:
    """For each row with a match minus the mean over its matches of the log-softmax; mean over rows, both ways, halved.

    Args:
        own: (p,) float64, scale * s of the matches (i, j).
        i: (p,) int64 rows of a. j: (p,) int64 rows of b.
        rows: (n,) float64 log-sum-exp, for each row of a, of scale * s over what its matches are compared with.
        columns: (m,) the same for each row of b.
        alone: a match is not among what it is compared with, nor are the row's other matches.
        rivals: how many each row is compared with, (n,) and (m,); None for all of the other side.

    Returns:
        The loss () float64 and its chance level, the mean log of the number of candidates.
    """
    loss, chance = own.new_zeros(()), 0.0
    for side, (anchor, size, others) in enumerate(((i, len(columns), rows), (j, len(rows), columns))):
        matches = torch.bincount(anchor, minlength=len(others))  # (n,) or (m,)
        share = 1 / (matches[anchor] * (matches > 0).sum()).double()  # (p,) adds up to 1
        surprise = others[anchor] - own  # (p,) -log(e^own / sum of e^other)
        if alone:  # -log(e^own / (e^own + sum of e^other)), exact far beyond the default threshold
            surprise = softplus(surprise, threshold=500)
        loss = loss + (surprise * share).sum() / 2
        compared = size - matches * alone if rivals is None else rivals[side].detach()  # (n,) or (m,)
        chance += float(((compared[anchor] + alone).double().log() * share).sum()) / 2
    return loss, chance
