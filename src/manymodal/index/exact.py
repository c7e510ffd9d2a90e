"""Exact search: every vector is compared, an item ranks by its best value."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import ManymodalError

BLOCK = 2**22  # products held at a time: 16 MB of float32


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
    """

    id: str
    score: float
    value: int
    parts: dict[str, float]
    columns: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The hit as JSON has it, in the order above."""
        return asdict(self)


@torch.no_grad()
def search(gallery: Tensor, items: Tensor, query: Tensor, k: int = 10, block: int = BLOCK) -> list[Found]:
    """The k best items, best first; equal scores by row. Fewer where there are fewer items.

    Args:
        gallery: (m, d) float.
        items: (m,) int64, whose row it is (the label, in the gallery of a label modality).
        query: (d,) float.
        k: how many items.
        block: how many products to hold at a time; at least one row's are.

    Raises:
        ManymodalError: k is below 1, or shapes do not fit.
    """
    if k < 1:
        raise ManymodalError(f"k={k}: a search returns at least one item; use k of 1 or more")
    if gallery.ndim != 2 or query.shape != gallery.shape[1:] or items.shape != gallery.shape[:1]:
        raise ManymodalError(
            f"gallery {tuple(gallery.shape)}, items {tuple(items.shape)} and query {tuple(query.shape)} do not fit; "
            "needed: (m, d), (m,) and (d,)"
        )
    if not len(gallery):
        return []
    scores = _scores(gallery, query.float(), block)  # (m,)
    wanted = k
    while True:
        # All rows down to the wanted-th best, ties included; more of them when several are of one item.
        bar = scores.topk(min(wanted, len(scores))).values[-1]
        rows = (scores >= bar).nonzero()[:, 0]  # (r,) ascending
        rows = rows[scores[rows].argsort(descending=True, stable=True)]
        best: dict[int, int] = {}
        for row, item in zip(rows.tolist(), items[rows].tolist(), strict=True):
            best.setdefault(item, row)
        if len(best) >= k or len(rows) == len(scores):
            return [Found(item, row, float(scores[row])) for item, row in list(best.items())[:k]]
        wanted *= 4


def _scores(gallery: Tensor, query: Tensor, block: int) -> Tensor:
    """(m,) float32, summed row by row: a matrix product gives equal rows scores that differ in the last bits."""
    size = max(1, block // max(1, gallery.shape[1]))
    return torch.cat([(part.float() * query).sum(dim=1) for part in gallery.split(size)])
