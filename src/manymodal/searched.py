"""What requests to an index are answered from: all of one version, taken in one step."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property

from .index.approximate import Approximate
from .index.layout import Meta
from .index.records import VectorIndex
from .index.snapshot import Snapshot
from .index.store import Store, View
from .overview import IndexedModality, modalities_of
from .querying import Corrections
from .space import Space


@dataclass(frozen=True)
class Searched:
    """One version of an index; nothing in it changes, so any number of threads may ask.

    Args:
        store: where it is written to; sees the newest version.
        view: the tables at this version.
        form: what finds in them.
        space: encodes raw values, knows weights and a bank; None where only vectors and stored items can be asked with.
        kept: {target: corrections that were estimated}, for the next request.
    """

    store: Store
    view: View
    form: VectorIndex
    space: Space | None
    kept: dict[str, Corrections] = field(default_factory=lambda: defaultdict(Corrections))

    @classmethod
    def of(cls, store: Store, space: Space | None, version: int | None = None) -> Searched:
        """A version of a store's tables, or the newest."""
        view = store.view(version)
        if space is not None:
            space.towers.eval()
        return cls(store, view, Snapshot.of(view) if store.meta.engine == "exact" else Approximate(view), space)

    @property
    def meta(self) -> Meta:
        """Of the index."""
        return self.view.meta

    @cached_property
    def items(self) -> int:
        """How many there are."""
        with self.view.reading():
            return int(self.view.items.count_rows())

    @cached_property
    def modalities(self) -> dict[str, IndexedModality]:
        """What each modality holds; counted once, which may take long."""
        return modalities_of(self)
