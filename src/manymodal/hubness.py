"""Hubs: gallery rows that come up for query after query, how to count them, and three ways to correct for them.

Every correction here is one number per gallery row: s'(q, j) = s(q, j) - bias_j. A bias is one more dimension,
q' = [q, 1] and g'_j = [g_j, -bias_j], so that a plain dot product of `corrected` rows is the corrected score, and
`ranks`, exact search and any index of dot products serve it unchanged. (The rows are no longer of unit norm: an index
of cosines would not do.) A query that is to stay raw has a 0 there.

The bias is estimated from a *bank*: queries of the same modalities, composed the same way, from *train*. Published
figures often take the test queries themselves; then the answer to one query depends on which others are asked, and a
search that sees one query at a time could not have it (they are transductive).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .embeddings import Embeddings
from .errors import ManymodalError

BLOCK = 2**22  # scores held at a time: 16 MB of float32


# -- how strong hubs are -------------------------------------------------------------------------------------------


@torch.no_grad()
def k_occurrences(queries: Tensor, gallery: Tensor, k: int = 10, block: int = BLOCK) -> Tensor:
    """How often each gallery row is among the k nearest of the queries; equal scores by row.

    Args:
        queries: (n, d) float.
        gallery: (m, d) float.
        k: how many count as near; all rows where there are fewer.
        block: how many scores to hold at a time (as float32; a few times that is the peak); at least one query's are.

    Returns:
        (m,) int64; they sum to n * min(k, m). Cost: O(n m d).

    Raises:
        ManymodalError: shapes do not fit, or k is below 1.
    """
    _check_count("k", k)
    counts = torch.zeros(len(gallery), dtype=torch.int64, device=gallery.device)
    for scores in _products(queries, gallery, block):  # (b, m)
        best, rows = scores.topk(min(k + 1, len(gallery)), dim=1)  # (b, k + 1)
        near = rows[:, :k]
        if best.shape[1] > k:
            level = best[:, k - 1] == best[:, k]  # (b,) which of several equals are near is not for topk to say
            near[level] = scores[level].sort(dim=1, descending=True, stable=True).indices[:, :k]
        counts += torch.bincount(near.flatten(), minlength=len(gallery))  # (m,)
    return counts


def skewness(counts: Tensor) -> float:
    """The third standardised moment of how often rows are found, the usual measure of hubness.

    Near 0 where all rows are found about equally often, above 1 where some are hubs (Radovanović et al., JMLR 2010).
    That takes enough queries: n of them, each with k nearest, that find m rows at random give sqrt(m / (n k)).

    Args:
        counts: (m,), as `k_occurrences` gives them.

    Returns:
        A number; 0 where all counts are the same, or there are none.
    """
    off = counts.double() - counts.double().mean()
    spread = float(off.square().mean().sqrt()) if len(counts) else 0.0
    return float((off / spread).pow(3).mean()) if spread else 0.0


# -- corrections ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Correction:
    """What to take off the scores of each row of one gallery, for queries like those of one bank.

    Args:
        bias: (m,) float32.
        hubs: (m,) bool, only queries whose nearest row is one of these are corrected; None for all queries.
    """

    bias: Tensor
    hubs: Tensor | None = None


@torch.no_grad()
def qb_norm(bank: Tensor, gallery: Tensor, beta: float = 20.0, block: int = BLOCK) -> Correction:
    """Query bank normalisation with dynamic inverted softmax (Bogolin et al., CVPR 2022, arXiv:2112.12777).

    The score is exp(beta s(q, j)) / sum_b exp(beta s(b, j)) over the bank's rows b, for queries whose nearest row is
    also the nearest of some bank row (a hub); the others stay raw. By its logarithm over beta, the bias is the bank's
    soft maximum log(mean_b exp(beta s(b, j))) / beta. (A mean for the sum changes no ranking and keeps the bias between
    the mean similarity to the bank, where beta is small, and the highest, where it is large.)

    Args:
        bank: (b, d) float, queries from train.
        gallery: (m, d) float.
        beta: inverse temperature of cosines between -1 and 1; 20 as published.
        block: how many scores to hold at a time; at least one gallery row's (b) are.

    Raises:
        ManymodalError: shapes do not fit, the bank is empty, or beta is not above 0.
    """
    if not (beta > 0 and math.isfinite(beta)):
        raise ManymodalError(f"beta={beta}: the inverse temperature is a number above 0; the paper's is 20")
    _check_bank("qb_norm", bank)
    sums = torch.cat([(beta * scores).logsumexp(dim=1) for scores in _products(gallery, bank, block)])  # (m,)
    hubs = torch.zeros(len(gallery), dtype=torch.bool, device=gallery.device)
    if len(gallery):
        hubs[_nearest(bank, gallery, block)] = True
    return Correction((sums - math.log(len(bank))) / beta, hubs)


@torch.no_grad()
def nnn(bank: Tensor, gallery: Tensor, k: int = 128, alpha: float = 0.75, block: int = BLOCK) -> Correction:
    """Nearest neighbour normalisation (Chowdhury et al., EMNLP 2024, arXiv:2410.24114).

    The bias is alpha times the mean of a row's k highest similarities to the bank.

    Args:
        bank: (b, d) float, queries from train.
        gallery: (m, d) float.
        k: how many of the bank's rows; all of them where the bank is smaller.
        alpha: how much of it is taken off.
        block: how many scores to hold at a time; at least one gallery row's (b) are.

    Raises:
        ManymodalError: shapes do not fit, the bank is empty, k is below 1, or alpha is not finite.
    """
    _check_count("k", k)
    if not math.isfinite(alpha):
        raise ManymodalError(
            f"alpha={alpha}: how much of the bias is taken off is a finite number; the paper's is 0.75"
        )
    _check_bank("nnn", bank)
    k = min(k, len(bank))
    near = [scores.topk(k, dim=1).values.mean(dim=1) for scores in _products(gallery, bank, block)]
    return Correction(alpha * torch.cat(near))  # (m,)


def csls(bank: Tensor, gallery: Tensor, k: int = 10, block: int = BLOCK) -> Correction:
    """Cross-domain similarity local scaling (Conneau et al., ICLR 2018, arXiv:1710.04087).

    As published, 2 s(q, j) - r(q) - r(j), r the mean of the k highest similarities to the other side. A query's own r
    is the same for all rows, so the ranking is that of s(q, j) - r(j) / 2: `nnn` with an alpha of a half.
    """
    _check_bank("csls", bank)
    return nnn(bank, gallery, k, alpha=0.5, block=block)


METHODS: dict[str, Callable[..., Correction]] = {"qb_norm": qb_norm, "nnn": nnn, "csls": csls}


def fit_correction(method: str, bank: Tensor, gallery: Tensor, **options: float) -> Correction:
    """A correction of one gallery by the method of that name.

    Args:
        method: "qb_norm", "nnn" or "csls", which see.
        bank: (b, d) float, queries from train: of the same modalities and composed as those to be corrected.
        gallery: (m, d) float.
        options: of the method: beta; k and alpha; k. And block.

    Raises:
        ManymodalError: another method or option, and whatever the method refuses.
    """
    if method not in METHODS:
        raise ManymodalError(f"hubness correction {method!r}; allowed are {', '.join(METHODS)}")
    known = list(inspect.signature(METHODS[method]).parameters)[2:]
    for name in options:
        if name not in known:
            raise ManymodalError(f"{method} has no option {name!r}; it has {', '.join(known)}")
    return METHODS[method](bank, gallery, **options)


@torch.no_grad()
def corrected(correction: Correction, queries: Tensor, gallery: Tensor, block: int = BLOCK) -> tuple[Tensor, Tensor]:
    """Queries and gallery with one more dimension, whose dot products are the corrected scores.

    Args:
        correction: fitted to this gallery.
        queries: (n, d) float.
        gallery: (m, d) float.
        block: how many scores to hold at a time where each query's nearest row decides; at least one query's are.

    Returns:
        (n, d + 1) and (m, d + 1) float32, not of unit norm.

    Raises:
        ManymodalError: shapes do not fit, or the correction is of a gallery of another size.
    """
    _check_shapes(queries, gallery)
    if len(correction.bias) != len(gallery):
        raise ManymodalError(
            f"the correction is of a gallery of {len(correction.bias)} rows and this one has {len(gallery)}; "
            "fit one to this gallery"
        )
    applies = torch.ones(len(queries), device=queries.device)  # (n,)
    if correction.hubs is not None and len(gallery):
        applies = correction.hubs[_nearest(queries, gallery, block)].float()
    return (
        torch.cat([queries.detach().float(), applies[:, None]], dim=1),  # (n, d + 1)
        torch.cat([gallery.detach().float(), -correction.bias[:, None]], dim=1),  # (m, d + 1)
    )


# -- the bank ------------------------------------------------------------------------------------------------------


def sample_bank(embeddings: Embeddings, items: int = 2000, seed: int = 0) -> Embeddings:
    """Some items to make banks from: all values of each, the same items in every modality.

    Modalities with one value per label keep all their rows.

    Args:
        embeddings: of the train split.
        items: how many at most.
        seed: of the draw, which does not depend on the order of rows.

    Raises:
        ManymodalError: items is below 1.
    """
    _check_count("items", items)
    ids = torch.cat(list(embeddings.items.values())).unique()
    ids = ids[ids >= 0]
    drawn = torch.randperm(len(ids), generator=torch.Generator().manual_seed(seed))[:items].to(ids.device)
    by_label = [m for m in embeddings.modalities if embeddings.per_label(m)]
    by_item = [m for m in embeddings.modalities if m not in by_label]
    parts = [embeddings.only(*by_item).of_items(ids[drawn])] if by_item else []
    return Embeddings.concatenate([*parts, embeddings.only(*by_label)] if by_label else parts)


# -- products in blocks, and checks --------------------------------------------------------------------------------


def _products(a: Tensor, b: Tensor, block: int) -> Iterator[Tensor]:
    """The scores (rows of a, rows of b) in float32, so many rows of `a` at a time that a block is not exceeded."""
    _check_shapes(a, b)
    a, b = a.detach().float(), b.detach().float()
    for rows in a.split(max(1, block // max(1, len(b)))):
        yield rows @ b.T


def _nearest(queries: Tensor, gallery: Tensor, block: int) -> Tensor:
    """(n,) int64, the row of the gallery that each query scores highest, the first of equals."""
    return torch.cat([scores.argmax(dim=1) for scores in _products(queries, gallery, block)])


def _check_shapes(a: Tensor, b: Tensor) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ManymodalError(f"vectors {tuple(a.shape)} and {tuple(b.shape)} do not fit; needed: (n, d) and (m, d)")


def _check_count(name: str, value: int) -> None:
    if value < 1:
        raise ManymodalError(f"{name}={value}; use 1 or more")


def _check_bank(method: str, bank: Tensor) -> None:
    if not len(bank):
        raise ManymodalError(
            f"{method}: the bank is empty, so nothing can be estimated; give queries of the same modalities from train"
        )
