"""GRAM: InfoNCE on the volume that the modalities' vectors span (Cicchetti et al., ICLR 2025, arXiv:2412.11959).

The volume of the parallelotope of M unit vectors, sqrt(det of their Gram matrix), is 0 where all are the same and 1
where all are orthogonal. Two defects are stabilised here. The square root has no gradient at 0, perfect alignment: it
is that of det + eps. And more than d vectors always have determinant 0: their volume is then the root of the sum of the
squared volumes of all d of them (Cauchy-Binet: det of the d x d scatter matrix), divided by the largest it can be.

What the measure cannot tell stays: any two vectors alike or opposite make the volume 0, wherever the others point, so
perfect alignment is not its only minimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ..compose import check_known
from ..errors import ManymodalError
from ..matching import Match
from .blocks import rivals_logsumexp
from .members import Complete, MemberObjective
from .scale import CLIP_SCALE

EPS = 1e-6


def adjugate(matrices: Tensor) -> Tensor:
    """(n, k, k) adjugates, A adj(A) = det(A) I, by the recursion of Faddeev and LeVerrier.

    It is a polynomial in the entries, so unlike det(A) A^-1 it is right, with its gradient, where A is singular.
    O(k^4) each.
    """
    k = matrices.shape[-1]
    eye = torch.eye(k, dtype=matrices.dtype, device=matrices.device)
    found = eye.expand_as(matrices)
    for step in range(1, k):
        product = matrices @ found  # (n, k, k)
        found = product - _trace(product)[:, None, None] / step * eye
    return found if k % 2 else -found


def determinants(matrices: Tensor, adjugates: Tensor) -> Tensor:
    """(n,) from (n, k, k) and their adjugates."""
    return _trace(matrices @ adjugates) / matrices.shape[-1]


def _trace(matrices: Tensor) -> Tensor:
    return matrices.diagonal(dim1=-2, dim2=-1).sum(-1)


def volumes(vectors: Tensor, eps: float = EPS) -> Tensor:
    """(n,) sqrt(det + eps) of each row's vectors, (n, M, d), of unit norm; within [sqrt(eps), sqrt(1 + eps)]."""
    count, dim = vectors.shape[1:]
    x = vectors.double()  # the smaller of the two square matrices
    matrices = x @ x.mT if count <= dim else x.mT @ x * (dim / count)
    squares = determinants(matrices, adjugate(matrices))  # (n,)
    return (squares.clamp(min=0) + eps).sqrt().to(vectors.dtype)


def cross_volumes(anchor: Tensor, sets: Tensor, eps: float = EPS) -> Tensor:
    """(n, c) volume of each anchor (n, d) with each set (c, M - 1, d), from one inverse-like matrix for each set.

    For the Gram matrix G of a set B (Schur): det = |a|^2 det(G) - (B a)^T adj(G) (B a). O(n c M (d + M)).
    """
    dim, count = anchor.shape[1], sets.shape[1] + 1
    x = sets.double()
    if count <= dim:
        gram = x @ x.mT  # (c, k, k)
        adj = adjugate(gram)
        base = determinants(gram, adj).to(anchor.dtype)  # (c,)
        dual = (adj @ x).to(anchor.dtype)  # (c, k, d)
        s, t = (anchor @ v.permute(1, 2, 0) for v in (sets, dual))  # (k, n, c) each
        squares = anchor.square().sum(1)[:, None] * base - (s * t).sum(0)  # (n, c)
    else:  # det(S + a a^T) = det(S) + a^T adj(S) a
        scatter = x.mT @ x * (dim / count)  # (c, d, d)
        adj = adjugate(scatter)
        quadratic = ((anchor @ adj.to(anchor.dtype)) * anchor).sum(2).T * (dim / count)  # (n, c)
        squares = determinants(scatter, adj).to(anchor.dtype) + quadratic
    found: Tensor = (squares.clamp(min=0) + eps).sqrt()
    return found


def gram(anchor: Tensor, others: Tensor, key: Tensor, scale: Tensor | float, eps: float = EPS) -> Tensor:
    """GRAM's loss of one anchor modality: logits -scale * volume, anchors over sets and sets over anchors, halved.

    Each item's own set is its match; other sets that match it (a label's) are no rivals. Cost: O(n^2 M (d + M))
    operations; memory O(M n d), in blocks of sets.

    Args:
        anchor: (n, d) unit vectors. others: (n, M - 1, d) the set of each item.
        key: (n,) int64; an anchor and a set match when keys are equal and >= 0.
        scale: the multiplier. eps: what is added to the determinant.

    Returns:
        ().
    """
    own = -scale * volumes(torch.cat([anchor[:, None], others], dim=1), eps)  # (n,)
    rows, columns = rivals_logsumexp(lambda sets: -scale * cross_volumes(anchor, sets, eps), (others,), key, key)
    return (softplus(rows - own).mean() + softplus(columns - own).mean()) / 2


class Gram(MemberObjective):
    """InfoNCE on minus the volume of all members' vectors, of the items that hold all of them; stabilised.

    Uses the unit mean of an item's values in each modality. `.terms` are keyed (anchor, *others). The paper's label
    smoothing is left out.

    Args:
        scale: starting multiplier, within [1, 100]; learned, and kept there after each step.
        anchor: the modality whose vectors are exchanged for others'; None for each in turn. (The paper's is the text.)
        eps: added to determinants; volumes below its root are hardly told apart, and gradients stay finite.
        members: the modalities, two or more; None for all that have a value.
        match: "item" or "label"; see `manymodal.matching`.
    """

    def __init__(
        self,
        scale: float = CLIP_SCALE,
        anchor: str | None = None,
        eps: float = EPS,
        members: Sequence[str] | None = None,
        match: Match = "item",
    ) -> None:
        super().__init__(scale, members, match)
        if not 0 < eps < 1:
            raise ManymodalError(f"eps={eps}; it must lie between 0 and 1 ({EPS:g} is the default)")
        if self.members is not None and anchor is not None:
            check_known([anchor], self.members)
        self.anchor, self.eps = anchor, float(eps)

    def prepare(self, modalities: Sequence[str], dim: int) -> None:
        """Check the names of anchor and members."""
        super().prepare(modalities, dim)
        check_known([self.anchor] if self.anchor else [], modalities)

    def anchors(self, names: Sequence[str]) -> Sequence[str]:
        """The named anchor, or each modality in turn."""
        if self.anchor is None:
            return names
        check_known([self.anchor], names)
        return [self.anchor]

    def term(self, complete: Complete, anchor: str, others: tuple[str, ...]) -> Tensor:
        """() GRAM's loss of one anchor."""
        vectors = complete.vectors[anchor]
        sets = torch.stack([complete.vectors[m] for m in others], dim=1)  # (n, M - 1, d)
        key = complete.ids(anchor, complete.lead(anchor, others))
        return gram(vectors, sets, key, self.scale(), self.eps)

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {"anchor": self.anchor, "eps": self.eps, **super().settings()}
