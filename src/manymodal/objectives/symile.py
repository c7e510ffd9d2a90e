"""Symile: InfoNCE on the multilinear inner product of all modalities (Saporta et al., NeurIPS 2024, arXiv:2411.01053).

For M unit vectors it is <x, y, z, ...> = sum over dimensions of x_k y_k z_k ..., high only when all agree, so that it
sees what no pair of modalities shows (the exclusive or of two, say). With two modalities it is CLIP's loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ..errors import ManymodalError
from ..matching import Match
from .blocks import rivals_logsumexp
from .members import Complete, MemberObjective
from .scale import CLIP_SCALE

Negatives = Literal["shuffled", "together", "all"]
NEGATIVES = ("shuffled", "together", "all")


def symile(
    anchor: Tensor, others: Sequence[Tensor], owners: Tensor, key: Tensor, set_key: Tensor, scale: Tensor | float
) -> Tensor:
    """Symile's loss for one anchor modality: the mean over items of minus the log-softmax of their own set.

        logit(i, set) = scale * d^((M - 2) / 2) * <anchor_i, the set's vectors>

    An item's candidates are its own set, and every set of `owners` that does not match it. The power of d is ours: the
    product of M random unit vectors is of size d^-((M - 1) / 2); with it, logits spread alike for any M, and a scale
    means what it means for a cosine. Cost: O(n c d (M - 1)) operations; memory O((n + c) d), in blocks of sets.

    Args:
        anchor: (n, d) unit vectors. others: M - 1 tensors (n, d); row i of all of them is one item.
        owners: (c, M - 1) int64, whose vectors make each candidate set: row owners[s, k] of others[k].
        key: (n,) int64. set_key: (c,) int64; an item and a set match when keys are equal and >= 0.
        scale: the multiplier.

    Returns:
        ().
    """
    factor = scale * anchor.shape[1] ** ((len(others) - 1) / 2)

    def logits(part: Tensor) -> Tensor:
        made = [vectors[rows] for vectors, rows in zip(others, part.unbind(1), strict=True)]  # (r, d) each
        product: Tensor = factor * (anchor @ reduce(torch.mul, made).T)  # (n, r)
        return product

    own = factor * reduce(torch.mul, (anchor, *others)).sum(1)  # (n,)
    rivals, _ = rivals_logsumexp(logits, (owners,), key, set_key)  # (n,)
    return softplus(rivals - own).mean()


def candidate_owners(items: int, others: int, negatives: Negatives, generator: torch.Generator | None = None) -> Tensor:
    """(c, others) int64, the items whose vectors make up each candidate set; see `Symile`."""
    rows = torch.arange(items)
    if negatives == "together":
        return rows[:, None].expand(items, others)  # (n, M - 1)
    if negatives == "all":
        return torch.cartesian_prod(*[rows] * others).view(-1, others)  # (n ** (M - 1), M - 1)
    return torch.stack([torch.randperm(items, generator=generator) for _ in range(others)], dim=1)  # (n, M - 1)


class Symile(MemberObjective):
    """InfoNCE on the multilinear inner product, each modality the anchor in turn.

    Uses the items that hold all members (one weak or rare member costs all of them: name `members` then), with the unit
    mean of an item's values. `.terms` are keyed (anchor, *others).

    Args:
        scale: starting multiplier, within [1, 100]; learned, and kept there after each step.
        negatives: "shuffled": n sets, each modality's vectors in an order of its own (the paper's O(n)): an estimate
            that bounds total correlation; "together": n sets, the others of one item: no draw, and only the dependence
            of the anchor on the others taken together counts; "all": every one of n ** (M - 1) sets, exact and
            for small n alone.
        members: the modalities, two or more; None for all that have a value.
        match: "item" or "label"; see `manymodal.matching`.
    """

    def __init__(
        self,
        scale: float = CLIP_SCALE,
        negatives: Negatives = "shuffled",
        members: Sequence[str] | None = None,
        match: Match = "item",
    ) -> None:
        super().__init__(scale, members, match)
        if negatives not in NEGATIVES:
            raise ManymodalError(f"negatives={negatives!r}; allowed are {', '.join(NEGATIVES)}")
        self.negatives = negatives

    def term(self, complete: Complete, anchor: str, others: tuple[str, ...]) -> Tensor:
        """() Symile's loss of one anchor."""
        vectors = complete.vectors[anchor]
        owners = candidate_owners(len(vectors), len(others), self.negatives, self._generator()).to(vectors.device)
        key, set_key = _keys(complete, anchor, others, owners)
        return symile(vectors, [complete.vectors[m] for m in others], owners, key, set_key, self.scale())

    def _generator(self) -> torch.Generator:
        """Draws alike on all processes: seeded by the first one's draw from torch's generator."""
        seed = torch.randint(2**62, (1,), device=self.scale.log.device)
        return torch.Generator().manual_seed(int(self.processes.gather(seed)[0]))

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {"negatives": self.negatives, **super().settings()}


def _keys(complete: Complete, anchor: str, others: Sequence[str], owners: Tensor) -> tuple[Tensor, Tensor]:
    """Keys of items (n,) and of sets (c,): a set matches an item when each of its vectors matches the anchor's.

    By item, where some modality matches the anchor by item; a set of vectors that match no one item has key -1.
    """
    at = others.index(complete.lead(anchor, others))
    key = complete.ids(anchor, others[at])  # (n,)
    agree = torch.ones(len(owners), dtype=torch.bool, device=owners.device)
    for k, m in enumerate(others):
        ids = complete.ids(anchor, m)  # (n,)
        agree &= ids[owners[:, k]] == ids[owners[:, at]]
    return key, torch.where(agree, key[owners[:, at]], -1)
