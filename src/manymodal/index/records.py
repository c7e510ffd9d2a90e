"""What goes into an index and what comes out of it, whichever form of it does the finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from torch import Tensor

ITEM = "item"  # the target that is each item's own modalities, composed; no modality may be called so


@dataclass(frozen=True)
class Shown:
    """A value as people see it.

    Args:
        place: in its item's list in the table, from 0; gaps count.
        text: the text itself, or what the value is in words; None where a picture or sound says it.
        type: media type of what is stored to be looked at or listened to, such as "image/jpeg"; None: nothing is.
    """

    place: int
    text: str | None = None
    type: str | None = None


@dataclass(frozen=True, eq=False)
class Values:
    """One modality's values of some records, ordered by record.

    Args:
        vectors: (v, d) float32 of unit norm.
        rows: (v,) int64, the record that each is of, ascending.
        shown: what each looks like.
        media: the content of what `shown` gives a type to.
    """

    vectors: Tensor
    rows: Tensor
    shown: Sequence[Shown]
    media: Sequence[bytes | None]


@dataclass(frozen=True, eq=False)
class Records:
    """Some items as an index takes them; or some labels, for modalities with one value per label.

    Args:
        ids: n ids of the user, each once; names, of labels.
        labels: of each item the name of its label, None where it is unknown; of labels, nothing but None.
        columns: Arrow table of n rows, the user's plain columns.
        values: {modality: its values}; a modality may be absent.
        composed: (n, d) float32, each item's modalities composed, zero where it has none; None for labels.
    """

    ids: Sequence[str]
    labels: Sequence[str | None]
    columns: Any
    values: Mapping[str, Values]
    composed: Tensor | None = None


class Nearest(NamedTuple):
    """An item (or label) that was found.

    Args:
        id: of the item; the name of the label.
        score: similarity of the query and the value that matched.
        vector: (d,) that value's.
        shown: how that value looks; None for `ITEM`.
        columns: the item's plain columns, as JSON can hold them.
    """

    id: str
    score: float
    vector: Tensor
    shown: Shown | None
    columns: dict[str, Any]


class Written(NamedTuple):
    """What an `add` did.

    Args:
        added: items that were new.
        replaced: items that took the place of an earlier one.
        version: that has them.
        notes: what was left aside, one line each.
    """

    added: int
    replaced: int
    version: int
    notes: tuple[str, ...] = ()


class Removed(NamedTuple):
    """What a `remove` did: items that are gone, ids that were not there, the version without them."""

    removed: int
    absent: list[str]
    version: int


class Version(NamedTuple):
    """A state of the index that can still be searched."""

    number: int
    time: datetime
    items: int


class VectorIndex(Protocol):
    """One version of an index's vectors, ready to be searched; safe to use from several threads.

    Two forms are here, `Snapshot` (exact) and `Approximate` (LanceDB); an engine that holds one vector a row, such as
    Milvus, fits with one collection for each modality.
    """

    version: int

    def search(self, target: str, queries: Tensor, k: int, where: str | None = None) -> list[list[Nearest]]:
        """For each query (q, d) the k best items, best first; an item ranks by its best value.

        Args:
            target: a modality, or `ITEM`.
            queries: (q, d) float32 of unit norm.
            k: how many items at most.
            where: a condition on the stored columns, as `compile_where` makes it; never a user's own text.
        """
        ...

    def stored(self, modality: str, ids: Sequence[str]) -> list[Tensor]:
        """Of each id the vectors (v, d) of its values; v = 0 where it has none.

        Raises:
            ManymodalError: there is no such id.
        """
        ...

    def sizes(self, target: str) -> tuple[int, int]:
        """How many items (labels) have a value, and how many values there are."""
        ...
