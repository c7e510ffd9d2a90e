"""`Index`: the items of a collection, kept to be searched with any combination of modalities; a thin facade."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from torch import Tensor

from .answering import Answer, answer, embed_values, parts_of
from .building import add_items, add_vectors, build_index, build_index_of_vectors, space_of
from .collection import Collection
from .compose import compose
from .errors import ManymodalError
from .evaluation.sides import CORRECTIONS
from .index.exact import Hit
from .index.items import Item, item_of, items_where, media_of
from .index.layout import Engine, Meta
from .index.records import ITEM, Removed, Version, Written
from .index.store import Store, key_of
from .index.tuning import notes
from .index.where import columns_of, compile_where
from .overview import IndexedModality
from .requests import QueryPart, Request, as_parts
from .searched import Searched
from .space import Space
from .vectors import Vectors


class Index:
    """The items of a collection, kept to be searched. Made by `Index.build` or `Index.open`.

    It answers from one version, which `refresh` changes in one step; safe to use from several threads.

    Args:
        store: its tables.
        space: what encodes queries; None where only vectors and stored items can be asked with.
        version: to stay at; None for the newest at each `refresh`.
    """

    def __init__(self, store: Store, space: Space | None, version: int | None = None) -> None:
        self._pinned, self._lock = version, threading.Lock()
        self._state = Searched.of(store, space, version)

    # -- making and opening ----------------------------------------------------------------------------------------

    @classmethod
    def build(cls, folder: Path | str, data: Collection, space: Space, **options: Any) -> Index:
        """Embed the items of a collection and keep them in a folder, with what is shown of them; see `build_index`."""
        return cls(build_index(Path(folder), data, space, **options), space)

    @classmethod
    def build_from_vectors(cls, folder: Path | str, vectors: Vectors, **options: Any) -> Index:
        """Keep vectors that any program made, as `read_vectors` reads them; see `build_index_of_vectors`."""
        return cls(*build_index_of_vectors(Path(folder), vectors, **options))

    @classmethod
    def open(cls, folder: Path | str, *, version: int | None = None, space: Space | Path | str | None = None) -> Index:
        """An index that is there.

        Args:
            folder: of the index.
            version: an earlier state of it, of `versions`; None for the newest.
            space: in place of the one that the index holds or names; it must be the same.

        Raises:
            ManymodalError: not an index, a damaged one, a version that is gone, or another space.
        """
        store = Store.open(Path(folder))
        return cls(store, space_of(store, space), version)

    def refresh(self) -> bool:
        """Take the newest version, if there is another than the one that answers now; of an index made anew its space.

        Raises:
            ManymodalError: the space that an index was made anew with is not there; what was open still answers.
        """
        with self._lock:
            if self._pinned is not None:
                return False
            now = self._state
            store = now.store.current()
            if store is now.store and key_of(store.versions) == now.view.key:
                return False
            same = store.meta.fingerprint == now.meta.fingerprint
            self._state = Searched.of(store, space_of(store, now.space if same else None))
            return True

    # -- what there is ---------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The folder's, without its ending."""
        return self._state.store.folder.name.removesuffix(".index")

    @property
    def version(self) -> int:
        """Of the state that answers."""
        return self._state.view.version

    @property
    def engine(self) -> Engine:
        """Which form finds."""
        return self._meta.engine

    @property
    def space(self) -> Space | None:
        """What encodes queries; None where only vectors and stored items can be asked with."""
        return self._state.space

    @property
    def d(self) -> int:
        """Dimension of the space."""
        return self._meta.d

    @property
    def fingerprint(self) -> str | None:
        """Of the space that made the vectors; None where nobody said."""
        return self._meta.fingerprint

    @property
    def items(self) -> int:
        """How many there are."""
        return self._state.items

    @property
    def calibrated(self) -> bool:
        """Whether parts of a query can be weighed by what each is worth."""
        space = self.space
        return space is not None and space.reference.calibration is not None

    @property
    def notes(self) -> list[str]:
        """Where approximate search falls short of the recall that it was to reach, in words."""
        return notes(self._meta.tuning, self._meta.target_recall)

    @property
    def corrections(self) -> tuple[str, ...]:
        """What can be corrected for: it takes embeddings of train items, which a fitted space keeps."""
        space = self.space
        return tuple(CORRECTIONS) if space is not None and space.reference.bank is not None else ()

    @property
    def columns(self) -> dict[str, str]:
        """The plain columns, and what each holds in words."""
        return {name: column.type for name, column in self._meta.columns.items()}

    @property
    def modalities(self) -> dict[str, IndexedModality]:
        """By name."""
        return self._state.modalities

    @property
    def _meta(self) -> Meta:
        return self._state.meta

    # -- finding ---------------------------------------------------------------------------------------------------

    def search(
        self,
        query: Request | Mapping[str, Any],
        target: str | None = None,
        k: int = 10,
        *,
        weights: Mapping[str, float] | None = None,
        without: Mapping[str, Any] | None = None,
        where: str | None = None,
        **options: Any,
    ) -> list[Hit]:
        """The items nearest to a query.

        Args:
            query: a `Request`, or {modality: value or list of values} as `Space.search` takes it, and then:
            target: the modality to search in, or "item".
            k: how many items at most.
            weights: {modality: weight of that part}, 1 unless said; they multiply the calibrated ones.
            without: {modality: value(s)} that hits should not be like; parts of weight -0.5.
            where: a condition on the plain columns.
            options: of `Request`: calibrated, correct, fusion.

        Raises:
            ManymodalError: an unknown modality, target or column, a value that cannot be read, parts that cancel out.
        """
        if not isinstance(query, Request):
            if target is None:
                raise ManymodalError(f"no target; name one of {', '.join((*self._meta.modalities, ITEM))}")
            kinds = {name: one.kind for name, one in self._meta.modalities.items()}
            query = Request(as_parts(query, weights or {}, without or {}, kinds), target, k, where, **options)
        (found,) = self.search_many([query])
        if isinstance(found, ManymodalError):
            raise found
        return found

    def search_many(self, requests: Sequence[Request]) -> list[Answer]:
        """The hits of each request, or what is wrong with it: one pass through each encoder, one scan a target."""
        return answer(self._state, requests)

    def embed(self, modality: str, values: Sequence[Any]) -> Tensor:
        """(n, d) unit vectors of raw values.

        Raises:
            ManymodalError: the index has no encoder of that modality, or a value cannot be read.
        """
        return embed_values(self._state, modality, values)

    def classify(
        self, parts: Sequence[QueryPart], modality: str, classes: Sequence[Any], calibrated: bool = True
    ) -> list[tuple[int, float]]:
        """(place among the classes, cosine to the composed query), best first.

        Args:
            parts: what is to be classified.
            modality: of the classes.
            classes: raw values, such as names.
            calibrated: weigh several parts by what each is worth for that modality.

        Raises:
            ManymodalError: no class, or as `search`.
        """
        if not classes:
            raise ManymodalError("no classes; give at least one")
        searched = self._state
        query = compose(parts_of(searched, Request(parts, modality, calibrated=calibrated)))
        similarities = embed_values(searched, modality, classes) @ query  # (classes,)
        order = similarities.argsort(descending=True, stable=True)
        return [(int(place), float(similarities[place])) for place in order]

    def item(self, id: str) -> Item:
        """The item with an id.

        Raises:
            ManymodalError: there is none.
        """
        return item_of(self._state.view, id)

    def list_items(self, where: str | None = None, limit: int = 20, offset: int = 0) -> tuple[list[Item], int]:
        """A page of the items that meet a condition, in the order of the table; and how many there are in all.

        Raises:
            ManymodalError: a condition that is none, a limit or offset below 0.
        """
        view = self._state.view
        condition = None if where is None else compile_where(where, columns_of(view.meta))
        return items_where(view, condition, limit, offset)

    def media(self, id: str, modality: str, place: int = 0) -> tuple[bytes, str]:
        """What is kept of a value to be seen or heard, and its media type; of labels, `id` is the label.

        Raises:
            ManymodalError: there is no such item or value, or nothing is kept of it.
        """
        view = self._state.view
        if modality not in view.meta.modalities:
            raise ManymodalError(f"no modality {modality!r}; there are {', '.join(view.meta.modalities)}")
        return media_of(view, id, modality, place)

    # -- changing --------------------------------------------------------------------------------------------------

    def add(self, data: Collection, split: str | None = None, cache: Path | str | None = None) -> Written:
        """Put the items of a collection in; an item whose id is there is replaced whole, in one atomic write.

        Args:
            data: read with the space's schema, with a column of ids.
            split: which rows; None for all.
            cache: folder of the feature store; None for the user's cache folder.

        Raises:
            ManymodalError: no ids, no space, a column of another type, a broken value, the disk is full.
        """
        state = self._state
        done = add_items(state.store, data, state.space, split, cache)
        self.refresh()
        return done

    def add_vectors(self, vectors: Vectors) -> Written:
        """Put vectors that any program made in, as `add` does.

        Raises:
            ManymodalError: of another space, of other modalities or another d, the disk is full.
        """
        done = add_vectors(self._state.store, vectors)
        self.refresh()
        return done

    def remove(self, ids: Sequence[str]) -> Removed:
        """Take items out; ids that are not there are listed.

        Raises:
            ManymodalError: the disk is full or read-only.
        """
        done = self._state.store.delete(ids)
        self.refresh()
        return done

    def compact(self, older_than: timedelta = timedelta(days=7)) -> None:
        """Merge what many writes left, and drop versions that are older than that; searches go on meanwhile."""
        self._state.store.compact(older_than)
        self.refresh()

    def versions(self) -> list[Version]:
        """States that can still be searched, oldest first."""
        return self._state.store.history()
