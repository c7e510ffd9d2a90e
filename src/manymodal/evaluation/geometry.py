"""Measures of how vectors lie in the space: gaps, cones, spread, dimension, repeats. None changes under a rotation.

All are of vectors (n, d) of unit norm, in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..ranks import TOLERANCE

BLOCK = 2**20  # distances held at a time: 8 MB of float64
SAME = 1e-10  # squared distance up to which vectors are one: the same input, encoded in another batch, differs by less


@dataclass(frozen=True)
class Moments:
    """Mean and spread of the vectors of a modality.

    Args:
        mean: (d,).
        root: (k, d), k = min(n, d), any with root^T root = covariance (over n).
    """

    mean: Tensor
    root: Tensor

    @classmethod
    def of(cls, vectors: Tensor) -> Moments:
        """Of vectors (n, d); O(n d min(n, d))."""
        mean = vectors.mean(dim=0)  # (d,)
        triangle = torch.linalg.qr((vectors - mean) / math.sqrt(len(vectors)), mode="r").R  # (k, d)
        return cls(mean, triangle)

    @property
    def variance(self) -> float:
        """The mean squared distance from the mean."""
        return float(self.root.square().sum())

    @property
    def common_component(self) -> float:
        """|mean|: 0 spread all around, 1 all on one point; its square is about the mean cosine of two vectors."""
        return float(self.mean.norm())

    @property
    def effective_dimension(self) -> float | None:
        """exp(entropy) of the shares of the variance along its axes: the effective rank (Roy & Vetterli 2007).

        Of the *centred* second moment, so that a common component, which has a measure of its own, does not hide in how
        many directions vectors differ. At most min(d, n - 1); None where all are the same. O(k^2 d).
        """
        if self.variance <= SAME:
            return None
        variances = torch.linalg.svdvals(self.root).square()  # (k,)
        return float(torch.special.entr(variances / variances.sum()).sum().exp())


def centroid_gap(a: Moments, b: Moments) -> float:
    """|mean of a - mean of b|, the gap between modalities of Liang et al. 2022 (arXiv:2203.02053).

    It sees where two modalities lie and not how: it is small, too, between modalities that share no direction of the
    space. That centroids mislead was measured in arXiv:2604.00279; `distribution_gap` stands beside it.
    """
    return float((a.mean - b.mean).norm())


def distribution_gap(a: Moments, b: Moments) -> float:
    """How much of the squared distance between vectors of two modalities no rearrangement takes away: 0 to 1.

    The squared Fréchet distance of Gaussians with these moments (Dowson & Landau 1982), |mean_a - mean_b|^2 + tr(C_a +
    C_b - 2 (C_a C_b)^(1/2)), as a share of what it is where the modalities share no direction, |mean_a - mean_b|^2 +
    tr(C_a + C_b). 0 for equal means and covariances only. (The energy distance would see more than two moments, but
    between vectors of many dimensions next to nothing but the means.) Of few vectors it is too large: compare it
    with that of random halves of one modality. O(k^2 d + k^3).
    """
    overlap = float(torch.linalg.svdvals(a.root @ b.root.T).sum())  # tr (C_a C_b)^(1/2)
    most = centroid_gap(a, b) ** 2 + a.variance + b.variance
    return max(0.0, 1 - 2 * overlap / most) if most > SAME else 0.0


def uniformity(vectors: Tensor) -> float:
    """Log of the mean of exp(-2 |x - y|^2) over pairs of rows (Wang & Isola 2020, arXiv:2005.10242, t = 2).

    0 all on one point, about -4 even over the sphere of many dimensions. O(n^2 d), in blocks; n >= 2.
    """
    total = sum(float(squared.mul_(-2).exp_().sum()) for squared in _squared_distances(vectors, vectors))
    n = len(vectors)
    return math.log((total - n) / (n * (n - 1)))  # without each row's 1 with itself


@dataclass(frozen=True)
class Separation:
    """Cosines of matching and of non-matching pairs.

    Args:
        matches: mean and standard deviation of those that match.
        others: of those that do not.
    """

    matches: tuple[float, float]
    others: tuple[float, float]

    @property
    def d_prime(self) -> float:
        """Difference of the means over the root mean square of the deviations (d' of signal detection)."""
        spread = math.sqrt((self.matches[1] ** 2 + self.others[1] ** 2) / 2)
        difference = self.matches[0] - self.others[0]
        return difference / max(spread, TOLERANCE)


def separation(a: Tensor, b: Tensor, i: Tensor, j: Tensor) -> Separation | None:
    """How far apart the cosines of matching pairs are from the others'.

    Linear in n and m: the sum of all cosines is (sum of a).(sum of b), that of their squares <a^T a, b^T b>, and what
    the matches have of it is subtracted. O((n + m) d^2 + p d).

    Args:
        a: (n, d) float64. b: (m, d) float64. i, j: (p,) int64, rows of all matching pairs.

    Returns:
        None where no pair matches, or every one does.
    """
    count = len(a) * len(b)
    if not 0 < len(i) < count:
        return None
    size = max(1, BLOCK // a.shape[1])
    own = torch.cat([(a[p] * b[q]).sum(dim=1) for p, q in zip(i.split(size), j.split(size), strict=True)])  # (p,)
    total = float(a.sum(dim=0) @ b.sum(dim=0)) - float(own.sum())
    squares = float(((a.T @ a) * (b.T @ b)).sum()) - float(own.square().sum())
    mean = total / (count - len(own))
    variance = max(0.0, squares / (count - len(own)) - mean**2)
    return Separation((float(own.mean()), float(own.std(correction=0))), (mean, math.sqrt(variance)))


def repeats(vectors: Tensor, owners: Tensor) -> tuple[float, float]:
    """The share of rows with the most frequent repeated vector, and of all rows with one. O(n^2 d), in blocks; n >= 1.

    Args:
        vectors: (n, d) float64; those within 1e-5 of each other are one.
        owners: (n,) int64, the item (label) that each is of. One that shows a vector twice does not repeat it.
    """
    first = [(squared <= SAME).int().argmax(dim=1) for squared in _squared_distances(vectors, vectors)]
    _, vector, rows = torch.cat(first).unique(return_inverse=True, return_counts=True)  # (n,), (distinct,)
    shown = torch.stack([vector, owners]).unique(dim=1)[0]  # (s,) the vector of each owner
    repeated = torch.where(torch.bincount(shown) > 1, rows, 0)  # (distinct,) rows
    return int(repeated.max()) / len(vectors), int(repeated.sum()) / len(vectors)


def _squared_distances(a: Tensor, b: Tensor) -> Iterator[Tensor]:
    """|x - y|^2 of rows of a (n, d), some at a time, and all of b (m, d): (block, m), the caller's to write over."""
    own_b = b.square().sum(dim=1)  # (m,)
    for rows in a.split(max(1, BLOCK // max(1, len(b)))):
        own = rows.square().sum(dim=1, keepdim=True)  # (block, 1)
        yield torch.addmm(own + own_b, rows, b.T, alpha=-2).clamp_(min=0)  # (block, m)
