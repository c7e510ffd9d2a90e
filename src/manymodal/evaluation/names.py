"""What owners of queries are called, and what a value looks like: for those who read a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from .directions import Unit


@dataclass(frozen=True)
class Shown:
    """A value as a page shows it.

    Args:
        text: the text itself, or what the value is in words.
        picture: a PNG or JPEG file; None where the value is not to be looked at.
    """

    text: str
    picture: bytes | None = None


@dataclass(frozen=True)
class Names:
    """The user's own words for items, labels and values.

    Args:
        items: {item: the user's id}; an item that is not there is called by its number.
        labels: the name of each label code.
        show: (modality, row of its embeddings) -> what that value looks like; None where only ids are known.
    """

    items: Mapping[int, str] = field(default_factory=dict)
    labels: Sequence[str] = ()
    show: Callable[[str, int], Shown] | None = None

    def owner(self, unit: Unit, owner: int) -> str:
        """The item's id, or the label's name where the unit is "label"."""
        if unit == "label":
            return self.label(owner)
        return self.items.get(owner, str(owner))

    def label(self, label: int) -> str:
        """A label's name; its number where there is none."""
        return self.labels[label] if 0 <= label < len(self.labels) else str(label)
