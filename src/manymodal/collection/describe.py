"""What a collection holds, counted; every value is looked at."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ManymodalError
from .extract import BadRow
from .media import check_picture, check_sound
from .schema import Per
from .splits import SPLITS
from .values import Kind

if TYPE_CHECKING:
    from .collection import Collection


@dataclass(frozen=True)
class ModalityDescription:
    """One modality, counted; where it is `per: label`, labels are counted instead of items.

    Args:
        kind: of its values.
        columns: where they are.
        per: item or label.
        present: items with at least one value, broken ones not counted.
        missing: items without.
        values: how many there are.
        several: the fewest and the most values of an item that has any; None where none has.
        width: numbers in a vector, channels of a series.
    """

    kind: Kind
    columns: list[str]
    per: Per
    present: int
    missing: int
    values: int
    several: tuple[int, int] | None
    width: int | None


@dataclass(frozen=True)
class Description:
    """A whole collection, counted: items, also by split and label; modalities; and the values that are broken."""

    items: int
    splits: dict[str, int]
    labels: dict[str, int]
    modalities: dict[str, ModalityDescription]
    bad: list[BadRow]
    notes: list[str]


def describe(collection: Collection) -> Description:
    """Count what there is and look at every value: pictures and sounds are decoded, numbers must be finite."""
    splits = Counter(collection.split.tolist())
    labels = Counter(collection.label_names[code] for code in collection.labels.tolist() if code >= 0)
    bad: list[BadRow] = []
    modalities = {name: _modality(collection, name, bad) for name in collection.schema.modalities}
    return Description(
        items=len(collection),
        splits={name: splits[name] for name in (*SPLITS, "unused") if splits[name]},
        labels=dict(sorted(labels.items())),
        modalities=modalities,
        bad=bad,
        notes=list(collection.notes),
    )


def _modality(collection: Collection, name: str, bad: list[BadRow]) -> ModalityDescription:
    modality = collection.modality(name)
    found = collection.extracted(name)
    broken = list(found.broken)
    good = np.ones(len(found.data), dtype=bool)
    if modality.kind in ("image", "audio"):
        check = check_picture if modality.kind == "image" else check_sound
        for place, value in enumerate(found.data):
            try:
                check(value)
            except ManymodalError as error:
                good[place] = False
                broken.append((int(found.rows[place]), str(error)))
    bad += [BadRow(name, collection.owner(name, row), reason) for row, reason in sorted(broken)]
    counts = np.unique(found.rows[good], return_counts=True)[1]
    per_label = modality.per == "label"
    owners = len(np.unique(collection.labels[collection.labels >= 0])) if per_label else len(collection)
    return ModalityDescription(
        kind=modality.kind,
        columns=list(modality.columns),
        per=modality.per,
        present=len(counts),
        missing=owners - len(counts),
        values=int(good.sum()),
        several=(int(counts.min()), int(counts.max())) if len(counts) else None,
        width=modality.width,
    )
