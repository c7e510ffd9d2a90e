"""Which values match: the one rule, as an integer key per row and as an explicit list of pairs.

Two values match when their items are equal and >= 0 or, where labels are in force, when their labels are equal and
>= 0. Labels are in force for a pair of modalities when either side has one value per label, and everywhere under
`match="label"`. Since an item has one label, both rules are one comparison: rows match when their *keys* are equal
and >= 0, where a key is the label if labels are in force and it is known, else the item.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Literal

import torch
from torch import Tensor

from .embeddings import Embeddings
from .errors import ManymodalError

Match = Literal["item", "label"]


def check_match(match: str) -> None:
    """Refuse anything but "item" and "label"."""
    if match not in ("item", "label"):
        raise ManymodalError(f'match={match!r}; allowed are "item" and "label"')


def labels_in_force(
    embeddings: Embeddings, a: str, b: str, match: Match = "item", per_label: Container[str] | None = None
) -> bool:
    """Whether values of modalities `a` and `b` match by label (else by item alone).

    Args:
        per_label: the modalities with one value per label, where these rows alone do not show it.
    """
    if per_label is None:
        return match == "label" or embeddings.per_label(a) or embeddings.per_label(b)
    return match == "label" or a in per_label or b in per_label


def keys(items: Tensor, labels: Tensor | None, by_label: bool) -> Tensor:
    """(n,) int64 key per row: rows match when their keys are equal and >= 0.

    Items take the even keys and labels the odd ones, so that the two never meet by accident.
    """
    by_item = torch.where(items >= 0, 2 * items, -1)
    if not by_label or labels is None:
        return by_item
    return torch.where(labels >= 0, 2 * labels + 1, by_item)


def pair_keys(
    embeddings: Embeddings, a: str, b: str, match: Match = "item", per_label: Container[str] | None = None
) -> tuple[Tensor, Tensor]:
    """Keys of the rows of modalities `a` (n,) and `b` (m,), under the rule in force for that pair.

    Args:
        per_label: the modalities with one value per label, where these rows alone do not show it.

    Raises:
        ManymodalError: labels are in force but the embeddings carry none.
    """
    by_label = labels_in_force(embeddings, a, b, match, per_label)
    if by_label and embeddings.labels is None:
        raise ManymodalError(
            f"{a!r} and {b!r} match by label, but these embeddings have no labels: give labels=, or a `label` column"
        )
    labels = embeddings.labels or {}
    return (
        keys(embeddings.items[a], labels.get(a), by_label),
        keys(embeddings.items[b], labels.get(b), by_label),
    )


def matching_pairs(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Row numbers (i, j), each (p,) int64, of all pairs with a[i] == b[j] >= 0, ordered by i, then j.

    Args:
        a: (n,) int64 keys. b: (m,) int64 keys.
    """
    order = b.argsort(stable=True)
    sorted_b = b[order]  # (m,)
    first = torch.searchsorted(sorted_b, a)  # (n,) where each a's run begins
    count = torch.searchsorted(sorted_b, a, right=True) - first  # (n,) how long it is
    count = torch.where(a >= 0, count, 0)
    i = torch.repeat_interleave(torch.arange(len(a), device=a.device), count)  # (p,)
    start = count.cumsum(0) - count  # (n,)
    j = order[first[i] + torch.arange(len(i), device=a.device) - start[i]]  # (p,)
    return i, j
