"""One vector from several modalities: the one rule of evaluation and search.

`q = unit( sum over parts of weight * unit( mean of the part's values ) )`. A part without values is left out; what is
not wanted is a part with a negative weight. What cancels out has no direction and is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from .embeddings import Embeddings
from .errors import ManymodalError

SMALLEST_NORM = 1e-6

Parts = Literal["all", "any"]


@dataclass(frozen=True)
class Part:
    """One modality's share in a query.

    Args:
        modality: its name.
        vectors: (v, d) float, the embeddings of its values; v = 0 is an absent part.
        weight: how much it counts; negative for what the results should be without.
    """

    modality: str
    vectors: Tensor
    weight: float = 1.0

    @property
    def name(self) -> str:
        """The modality, behind a minus where the weight is negative."""
        return f"-{self.modality}" if self.weight < 0 else self.modality

    def unit(self) -> Tensor:
        """(d,) the mean of its values, of norm 1."""
        mean = self.vectors.mean(dim=0, keepdim=True)  # (1, d)
        return _unit(mean, lambda _: f"the values of {self.modality!r}")[0]


def compose(parts: Sequence[Part]) -> Tensor:
    """(d,) unit vector of a query made of several parts.

    Raises:
        ManymodalError: no part has a value, a part is given twice, a weight is not finite, or something cancels out.
    """
    names = [part.name for part in parts]
    if len(set(names)) < len(names):
        raise ManymodalError(f"parts {', '.join(names)}: one is given twice; give several values in one part")
    _check_weights((part.modality, part.weight) for part in parts)
    present = [part for part in parts if len(part.vectors)]
    if not present:
        raise ManymodalError("a query needs at least one value; every part of this one is empty")
    total = torch.stack([part.weight * part.unit() for part in present]).sum(dim=0, keepdim=True)  # (1, d)
    return _unit(total, lambda _: f"the sum of {' and '.join(part.name for part in present)}")[0]


def cosines(parts: Sequence[Part], vectors: Sequence[Tensor]) -> list[dict[str, float]]:
    """Each present part's own cosine, unweighted, to each of n unit vectors (d,); negative parts are keyed "-name"."""
    present = [part for part in parts if len(part.vectors)]
    if not present or not len(vectors):
        return [{} for _ in vectors]
    shares = torch.stack(list(vectors)) @ torch.stack([part.unit() for part in present]).T  # (n, parts)
    return [dict(zip((part.name for part in present), row, strict=True)) for row in shares.tolist()]


class Rows(NamedTuple):
    """Queries or a gallery: vectors and whose they are.

    Args:
        vectors: (n, d) float.
        items: (n,) int64; -1 throughout where rows are per label.
        labels: (n,) int64, -1 unknown; None where the embeddings have none.
    """

    vectors: Tensor
    items: Tensor
    labels: Tensor | None


def rows_of(embeddings: Embeddings, modality: str) -> Rows:
    """The values of one modality, as they are."""
    check_known([modality], embeddings.modalities)
    labels = None if embeddings.labels is None else embeddings.labels[modality]
    return Rows(embeddings.vectors[modality], embeddings.items[modality], labels)


def compose_items(
    embeddings: Embeddings,
    modalities: Sequence[str],
    weights: Mapping[str, float] | None = None,
    parts: Parts = "all",
    unit: Literal["item", "value"] = "item",
) -> Rows:
    """Compose the given modalities for every item at once; for every label where all of them have one value per label.

    Among modalities of items, one with a value per label gives an item its label's values.

    Args:
        embeddings: what to compose; an item's label is known from any of its rows, in whichever modality.
        modalities: names, each once.
        weights: {modality: weight}; 1 where not given.
        parts: "all": items that have every modality; "any": items that have at least one, absent parts left out.
        unit: "item": one row per item, of the mean of its values in each modality; "value": the k-th value of one
            modality with the k-th of the others, shorter lists starting over.

    Returns:
        Rows ordered by item (label), then k.

    Raises:
        ManymodalError: an unknown modality, a weight that is not finite, or values that cancel out.
    """
    check_known(modalities, embeddings.modalities)
    if not modalities:
        raise ManymodalError(f"no modality is named; name at least one of {', '.join(embeddings.modalities)}")
    check_known(weights or {}, modalities)
    _check_weights((weights or {}).items())
    check_parts(parts)
    per_label = all(embeddings.per_label(m) for m in modalities)
    items, labels = _labels(embeddings, modalities) if per_label else _items(embeddings)  # (n,) of the owners of rows
    sides = [_side(embeddings, m, items, labels, mean=unit == "item") for m in modalities]

    sizes = torch.stack([side.size for side in sides])  # (modalities, n)
    kept = (sizes > 0).all(dim=0) if parts == "all" else (sizes > 0).any(dim=0)  # (n,)
    length = torch.where(kept, sizes.amax(dim=0), 0)  # (n,) rows that an owner gets
    owner = torch.arange(len(items), device=items.device).repeat_interleave(length)  # (r,)
    k = torch.arange(len(owner), device=items.device) - (length.cumsum(0) - length)[owner]  # (r,)
    total = sides[0].vectors.new_zeros(len(owner), embeddings.dim)
    for name, side in zip(modalities, sides, strict=True):
        having = (side.size[owner] > 0).nonzero()[:, 0]  # (h,) rows that have this part
        whose = owner[having]  # (h,)
        row = side.first[whose] + k[having] % side.size[whose]  # (h,)
        total = total.index_add(0, having, (weights or {}).get(name, 1.0) * side.vectors[row])
    word, ids = ("label", labels) if per_label else ("item", items)
    vectors = _unit(total, lambda r: f"{word} {int(ids[owner[r]])}: the sum of {' and '.join(modalities)}")
    return Rows(vectors, items[owner], None if embeddings.labels is None else labels[owner])


class _Side(NamedTuple):
    """One modality's values, ordered by owner: those of owner i are vectors[first[i]:first[i] + size[i]]."""

    vectors: Tensor  # (v, d)
    first: Tensor  # (n,)
    size: Tensor  # (n,)


def _side(embeddings: Embeddings, modality: str, items: Tensor, labels: Tensor, mean: bool) -> _Side:
    """The values of one modality for owners with the given items and labels (n,); or each owner's one mean."""
    per_label = embeddings.per_label(modality)
    ids, wanted = (_known_labels(embeddings, modality), labels) if per_label else (embeddings.items[modality], items)
    order = ids.argsort(stable=True)
    ids, vectors = ids[order], embeddings.vectors[modality][order]
    if vectors.dtype in (torch.float16, torch.bfloat16):
        vectors = vectors.float()  # sums of half precision would lose what they add
    if mean:
        ids, group, values = ids.unique_consecutive(return_inverse=True, return_counts=True)  # (g,), (v,), (g,)
        sums = vectors.new_zeros(len(ids), embeddings.dim).index_add(0, group, vectors)  # (g, d)
        word = "label" if per_label else "item"
        vectors = _unit(sums / values[:, None], lambda r: f"{word} {int(ids[r])}: the values of {modality!r}")
    first = torch.searchsorted(ids, wanted)  # (n,)
    size = torch.searchsorted(ids, wanted, right=True) - first  # (n,)
    return _Side(vectors, first, torch.where(wanted >= 0, size, 0))


def _items(embeddings: Embeddings) -> tuple[Tensor, Tensor]:
    """Every item that has a value anywhere, ascending, and its label, -1 where unknown: (n,), (n,)."""
    names = [m for m in embeddings.modalities if not embeddings.per_label(m)]
    items, inverse = torch.cat([embeddings.items[m] for m in names]).unique(return_inverse=True)
    labels = torch.full_like(items, -1)
    if embeddings.labels is not None:
        labels[inverse] = torch.cat([embeddings.labels[m] for m in names])  # an item has one label in all its rows
    return items, labels


def _labels(embeddings: Embeddings, modalities: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Every label that has a value in these modalities, ascending, behind items of -1: (n,), (n,)."""
    labels = torch.cat([_known_labels(embeddings, m) for m in modalities]).unique()
    labels = labels[labels >= 0]
    return torch.full_like(labels, -1), labels


def _known_labels(embeddings: Embeddings, modality: str) -> Tensor:
    if embeddings.labels is None:
        raise ManymodalError(
            f"{modality!r} has one value per label, but these embeddings have no labels; "
            "give labels=, or a `label` column"
        )
    return embeddings.labels[modality]


def _unit(vectors: Tensor, name: Callable[[int], str]) -> Tensor:
    """(n, d) of norm 1; a row too short to have a direction is refused under its name."""
    norms = vectors.norm(dim=1, keepdim=True)  # (n, 1)
    short = (norms.detach() < SMALLEST_NORM).nonzero()[:, 0]
    if len(short):
        row = int(short[0])
        raise ManymodalError(
            f"{name(row)} cancel out (norm {float(norms[row]):.1e}, at least {SMALLEST_NORM:.0e} is needed); "
            "change a weight or leave a part out"
        )
    unit: Tensor = vectors / norms
    return unit


def check_known(names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse names of modalities that are not there, and one given twice."""
    names, known = list(names), list(known)
    for name in names:
        if name not in known:
            raise ManymodalError(f"no modality {name!r} here; there are {', '.join(known)}")
    if len(set(names)) < len(names):
        raise ManymodalError(f"{', '.join(names)}: a modality is named twice; name each once")


def check_parts(parts: str) -> None:
    """Refuse anything but "all" and "any"."""
    if parts not in ("all", "any"):
        raise ManymodalError(f'parts={parts!r}; allowed are "all" (every part is needed) and "any" (at least one)')


def _check_weights(weights: Iterable[tuple[str, float]]) -> None:
    for name, weight in weights:
        if not math.isfinite(weight):
            raise ManymodalError(
                f"weight {weight} of {name!r} is not a finite number; use 1, or less than 0 for what is not wanted"
            )
