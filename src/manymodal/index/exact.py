"""Exact search: every vector is compared, an item ranks by its best value."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import ManymodalError
from .records import Shown

BLOCK = 2**24  # products held at a time: 64 MB of float32
ROWS = 2**13  # scored row by row at a time
WIDER = 4  # times as many rows are looked at, first than items are wanted, then than before


class Adjustment(NamedTuple):
    """What makes a score of a similarity, row by row: similarity * scale - bias.

    Args:
        scale: (m,) float >= 0; None for 1.
        bias: (m,) float; None for 0.
    """

    scale: Tensor | None = None
    bias: Tensor | None = None

    def __call__(self, scores: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        """Scores (..., r) of similarities to these rows, in place."""
        if self.scale is not None:
            scores *= self.scale[rows]
        if self.bias is not None:
            scores -= self.bias[rows]
        return scores

    @property
    def reach(self) -> tuple[float, float]:
        """The greatest scale and the greatest bias, either way."""
        scale = 1.0 if self.scale is None else float(self.scale.max())
        return scale, 0.0 if self.bias is None else float(self.bias.abs().max())


AS_THEY_ARE = Adjustment()


class Found(NamedTuple):
    """An item, the row of the gallery that it was found by, and that row's score."""

    item: int
    row: int
    score: float


@dataclass(frozen=True)
class Hit:
    """A result of a search, as a user sees it.

    Args:
        id: the user's own id of the item; the label where a label modality was searched.
        score: similarity of the query and the value that matched.
        value: place of that value in the item's list in the table, from 0; gaps count.
        parts: each part's own cosine to that value, unweighted; parts of negative weight are keyed "-name".
        columns: the item's row of the table.
        shown: how the value that matched looks, where an index was searched; None for a composed target.
    """

    id: str
    score: float
    value: int
    parts: dict[str, float]
    columns: dict[str, Any] = field(default_factory=dict)
    shown: Shown | None = None

    def to_dict(self) -> dict[str, Any]:
        """The hit as JSON has it, in the order above; without `shown` where there is none."""
        return {name: part for name, part in asdict(self).items() if name != "shown" or part is not None}


@torch.no_grad()
def search(
    gallery: Tensor, items: Tensor, query: Tensor, k: int = 10, block: int = BLOCK, adjust: Adjustment = AS_THEY_ARE
) -> list[Found]:
    """The k best items for one query (d,): `search_many` of that one, which see."""
    return search_many(gallery, items, query[None], k, block=block, adjust=adjust)[0]


@torch.no_grad()
def search_many(
    gallery: Tensor,
    items: Tensor,
    queries: Tensor,
    k: int = 10,
    allowed: Tensor | None = None,
    block: int = BLOCK,
    adjust: Adjustment = AS_THEY_ARE,
) -> list[list[Found]]:
    """For each query the k best items, best first; equal scores by row. Fewer where there are fewer items.

    Scores come from a matrix product, in which equal rows may differ in the last bits. So all rows that its rounding
    could have put among the best are scored once more, row by row: a score depends on nothing but query and row.

    Args:
        gallery: (m, d) float of any precision, in memory or mapped from a file; finite.
        items: (m,) int64, whose row it is (the label, in the gallery of a label modality).
        queries: (q, d) float, finite.
        k: how many items.
        allowed: (m,) bool, the rows that may be found; None for all.
        block: how many products to hold at a time; at least one query's are.
        adjust: what makes scores of the products.

    Returns:
        q lists. Cost: O(q m d); the gallery is read once for every `block / m` queries.

    Raises:
        ManymodalError: k is below 1, or shapes do not fit.
    """
    if k < 1:
        raise ManymodalError(f"k={k}: a search returns at least one item; use k of 1 or more")
    if gallery.ndim != 2 or queries.shape[1:] != gallery.shape[1:] or items.shape != gallery.shape[:1]:
        raise ManymodalError(
            f"gallery {tuple(gallery.shape)}, items {tuple(items.shape)} and query {tuple(queries.shape[1:])} do not "
            "fit; needed: (m, d), (m,) and (d,)"
        )
    if allowed is not None and allowed.shape != items.shape:
        raise ManymodalError(
            f"allowed {tuple(allowed.shape)} does not fit a gallery of {len(items)} rows; needed: (m,)"
        )
    rows = len(items) if allowed is None else int(allowed.sum())
    if not rows or not len(queries):
        return [[] for _ in queries]
    wanted = WIDER * k  # rows, since an item may have several values among the best
    found = []
    for part in queries.float().split(max(1, block // max(len(items), wanted * gallery.shape[1]))):
        scores = adjust(_products(part, gallery, block))  # (b, m)
        if allowed is not None:
            scores.masked_fill_(~allowed, -torch.inf)
        found += _best(scores, gallery, items, part, k, rows, wanted, adjust)
    return found


def _products(queries: Tensor, gallery: Tensor, block: int) -> Tensor:
    """(b, m) float32; a gallery of another precision is widened in portions."""
    scores = queries.new_empty(len(queries), len(gallery))
    size = max(1, block // (4 * gallery.shape[1]))
    for into, part in zip(scores.split(size, dim=1), gallery.split(size), strict=True):
        torch.mm(queries, part.float().T, out=into)
    return scores


def _best(
    scores: Tensor,
    gallery: Tensor,
    items: Tensor,
    queries: Tensor,
    k: int,
    rows: int,
    wanted: int,
    adjust: Adjustment,
) -> list[list[Found]]:
    """For each query the k best items by its scores (b, m), of which the `rows` highest count.

    The `wanted` highest are looked at, and more for a query that these do not settle.
    """
    highest, near = scores.topk(min(wanted, rows))
    near = near.sort().values  # (b, w) ascending, which is the order of equals
    own, rounding = _row_by_row(gallery, near, queries, adjust)  # (b, w), (b,)
    own, order = own.sort(descending=True, stable=True)
    near = near.gather(1, order)
    found = []
    for at, columns in enumerate(zip(items[near].tolist(), near.tolist(), own.tolist(), strict=True)):
        best: dict[int, Found] = {}
        for one in map(Found, *columns):
            best.setdefault(one.item, one)
        first = list(best.values())[:k]
        # What was left out scores at most the lowest product, and the rounding of that and of its own score.
        bar = float(highest[at, -1] + 2 * rounding[at])
        if wanted < rows and (len(first) < k or first[-1].score <= bar):
            own_row = slice(at, at + 1)
            (first,) = _best(scores[own_row], gallery, items, queries[own_row], k, rows, WIDER * wanted, adjust)
        found.append(first)
    return found


def _row_by_row(gallery: Tensor, rows: Tensor, queries: Tensor, adjust: Adjustment) -> tuple[Tensor, Tensor]:
    """Scores (b, w), each summed alone, and how far (b,) rounding may move the score of a row as long as these."""
    scores, longest = [], []
    for part in rows.split(max(1, ROWS // len(rows)), dim=1):
        vectors = gallery[part].float()  # (b, p, d)
        scores.append(adjust((vectors * queries[:, None]).sum(dim=2), part))
        longest.append(vectors.norm(dim=2).amax(dim=1))
    scale, bias = adjust.reach
    reach = torch.stack(longest).amax(dim=0) * queries.norm(dim=1) * scale + bias  # (b,)
    return torch.cat(scores, dim=1), reach * queries.shape[1] * torch.finfo(torch.float32).eps
