"""An index, made from a collection and a space or from vectors of any program, and items put into one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import torch

from .collection import Collection
from .embeddings import Embeddings
from .encoders.store import FeatureStore
from .errors import ManymodalError
from .index.approximate import build_indexes, vectors_of
from .index.layout import META, Engine, Meta, SpaceMeta, column
from .index.lookup import portions, rows_of
from .index.records import Records, Written
from .index.store import Store
from .index.tuning import choose_engine, tune
from .indexing import (
    item_records,
    label_records,
    meta_of_space,
    meta_of_vectors,
    plain_of_vectors,
    records_of_vectors,
)
from .saving import save_space
from .space import Space, load
from .vectors import Vectors


def build_index(
    folder: Path,
    data: Collection,
    space: Space,
    *,
    split: str | None = None,
    engine: Engine | None = None,
    recall: float = 0.98,
    media: bool = True,
    space_folder: Path | str | None = None,
    overwrite: bool = False,
    cache: Path | str | None = None,
) -> Store:
    """Embed the items of a collection and keep them, with what is shown of them, in a folder.

    Args:
        folder: of the index.
        data: read with the space's schema.
        space: fitted.
        split: which rows; None for all.
        engine: "exact" or "lancedb"; None: by how many vectors there are.
        recall: what approximate search aims at, as recall@10 on the index's own rows.
        media: keep thumbnails of pictures, and sounds up to half a megabyte.
        space_folder: where the space lies, to be named in the index; None: the index holds a copy.
        overwrite: replace an index that is there.
        cache: folder of the feature store; None for the user's cache folder.

    Raises:
        ManymodalError: the folder holds an index or something else, a value is broken, the disk is full.
    """
    check_free(folder, overwrite)
    reference = None if space_folder is None else _reference(space, space_folder)
    store, rows = FeatureStore(cache), data.rows(split)
    columns = data.plain(rows[:0]).schema
    space.towers.eval()
    meta = meta_of_space(space, columns, engine or "exact", media, recall).model_copy(update={"space": reference})
    labels, of_labels = label_records(space, data, rows, store, media)
    items = item_records(space, data, rows, of_labels, store, media)
    return _finished(folder, meta, columns, items, labels, engine, None if reference else space)


def build_index_of_vectors(
    folder: Path,
    vectors: Vectors,
    *,
    space: Path | str | None = None,
    engine: Engine | None = None,
    recall: float = 0.98,
    overwrite: bool = False,
) -> tuple[Store, Space | None]:
    """Keep vectors that any program made, as `read_vectors` reads them.

    Args:
        folder: of the index.
        vectors: of any number of modalities.
        space: folder of the space that made them, where raw values are to be asked with.
        engine: "exact" or "lancedb"; None: by how many vectors there are.
        recall: what approximate search aims at, as recall@10 on the index's own rows.
        overwrite: replace an index that is there.

    Raises:
        ManymodalError: the folder holds an index or something else, the space is another, the disk is full.
    """
    check_free(folder, overwrite)
    loaded = None if space is None else load(space)
    meta = meta_of_vectors(vectors, engine or "exact", recall)
    if vectors.space is not None:
        meta = meta.model_copy(update={"space": SpaceMeta(fingerprint=vectors.space)})
    if loaded is not None:
        check_same_space(loaded, vectors.space, "these vectors")
    items, labels = records_of_vectors(vectors)
    return _finished(folder, meta, plain_of_vectors(vectors).schema, items, labels, engine, loaded), loaded


def add_items(
    store: Store, data: Collection, space: Space | None, split: str | None, cache: Path | str | None
) -> Written:
    """Put the items of a collection into an index.

    Raises:
        ManymodalError: no column of ids, no space, or as `build_index`.
    """
    if space is None:
        raise ManymodalError(
            f"{store.folder.name} has no space to embed a table with; add vectors, or make it again with its space"
        )
    if not data.has_ids:
        raise ManymodalError(
            f"this table has no column of ids ({space.schema.id!r}), so its rows could not be told from those that are "
            "there; add one"
        )
    check_same_space(space, store.meta.fingerprint, store.folder.name)
    features, rows, media = FeatureStore(cache), data.rows(split), store.meta.media
    labels, of_labels = label_records(space, data, rows, features, media)
    names = {code: data.label_names[code] for code in set(data.labels[rows].tolist()) if code >= 0}
    of_labels = _with_stored(store, names, of_labels)
    return store.upsert(item_records(space, data, rows, of_labels, features, media), labels)


def add_vectors(store: Store, vectors: Vectors) -> Written:
    """Put vectors that any program made into an index.

    Raises:
        ManymodalError: of another space, of a modality that the index does not have, or of another d.
    """
    meta = store.meta
    if None not in (vectors.space, meta.space) and meta.space and vectors.space != meta.space.fingerprint:
        raise ManymodalError(
            f"these vectors were made by the space {vectors.space}, {store.folder.name} is of the space "
            f"{meta.space.fingerprint}; embed them with that one"
        )
    for m in vectors.embeddings.modalities:
        if m not in meta.modalities:
            raise ManymodalError(f"no modality {m!r} in {store.folder.name}; there are {', '.join(meta.modalities)}")
        per_label = vectors.embeddings.per_label(m)
        if len(vectors.embeddings.vectors[m]) and per_label != meta.per_label(m):
            raise ManymodalError(f"modality {m!r} has one value per {meta.modalities[m].per} in {store.folder.name}")
    if vectors.embeddings.dim != meta.d:
        raise ManymodalError(f"these vectors have d={vectors.embeddings.dim}, {store.folder.name} has d={meta.d}")
    names = {} if vectors.embeddings.labels is None else dict(enumerate(vectors.label_names))
    by_label = [m for m in vectors.embeddings.modalities if vectors.embeddings.per_label(m)]
    given = vectors.embeddings.only(*by_label) if by_label else None
    items, labels = records_of_vectors(vectors, _with_stored(store, names, given))
    return store.upsert(items, labels)


def _with_stored(store: Store, names: Mapping[int, str], given: Embeddings | None) -> Embeddings | None:
    """The values of labels that are added, and those that the index has of labels without any there.

    Args:
        store: of the index.
        names: {code: label}, those that items are added of.
        given: by code; None where no modality has one value per label.
    """
    by_label = {m: one for m, one in store.meta.modalities.items() if one.per == "label"}
    if not by_label or not names:
        return given
    vectors, codes = {}, {}
    for m, one in by_label.items():
        there = given.labels[m].tolist() if given is not None and given.labels and m in given.labels else []
        lacking = {name: code for code, name in names.items() if code not in set(there)}
        found, of = [torch.zeros(0, store.meta.d)], list[int]()
        for portion in portions(list(lacking)):
            rows = rows_of(store.labels, portion, ["id", column("vectors", one.stored)])
            own, counts = vectors_of(rows[column("vectors", one.stored)], store.meta.d)  # (v, d), (n,)
            found.append(own)
            of += [lacking[id] for id, n in zip(rows["id"].to_pylist(), counts.tolist(), strict=True) for _ in range(n)]
        vectors[m], codes[m] = torch.cat(found), torch.tensor(of, dtype=torch.int64)
    stored = Embeddings(vectors, {m: torch.full_like(own, -1) for m, own in codes.items()}, codes)
    return stored if given is None else Embeddings.concatenate([given, stored])


def space_of(store: Store, given: Space | Path | str | None) -> Space | None:
    """The space that an index was made with: what is given in its place, else what it holds or names, if anything.

    Raises:
        ManymodalError: it is not there, or another one.
    """
    of_index, name = store.meta.space, f"the index {store.folder.name}"
    if isinstance(given, Space):
        space = given
    elif given is not None:
        space = load(given)
    elif of_index is None or of_index.folder is None:
        return None
    else:
        try:
            space = load(store.folder / of_index.folder)
        except ManymodalError as error:
            raise ManymodalError(
                f"{name} cannot be opened with its space: {error}; or say where it is, Index.open(folder, space=...)"
            ) from error
    check_same_space(space, store.meta.fingerprint, name)
    if space.dim != store.meta.d:
        raise ManymodalError(f"{name} has d={store.meta.d}, this space has d={space.dim}; give the one that made it")
    return space


def check_same_space(space: Space, fingerprint: str | None, what: str) -> None:
    """Refuse a space that did not make some vectors.

    Raises:
        ManymodalError: it is another one, or changed since.
    """
    if fingerprint is not None and space.fingerprint != fingerprint:
        raise ManymodalError(
            f"{what} was made by the space {fingerprint}, and this one is {space.fingerprint or 'not saved'}: its "
            "vectors lie elsewhere. Give the space that made it, or make the index again"
        )


def check_free(folder: Path, overwrite: bool) -> None:
    """Refuse to write an index over one that is to be kept, or over something else.

    Raises:
        ManymodalError: the folder holds an index, and it may not be replaced; or it holds something else.
    """
    if (folder / META).exists():
        if not overwrite:
            raise ManymodalError(f"{folder} is an index already; --overwrite replaces it, `manymodal add` adds to it")
    elif folder.exists() and (not folder.is_dir() or any(not _ours(path.name) for path in folder.iterdir())):
        raise ManymodalError(f"{folder} exists and is not an index; choose another folder")


def _ours(name: str) -> bool:
    """Whether a file or folder may be what a killed build left."""
    return name.startswith(("tables-", "space-", "."))


def _reference(space: Space, folder: Path | str) -> SpaceMeta:
    """The name of the folder where a space lies."""
    there = load(folder)
    if space.fingerprint is None or there.fingerprint != space.fingerprint:
        raise ManymodalError(f"{folder} holds another space than the one given; save it there first")
    return SpaceMeta(fingerprint=there.fingerprint, folder=str(Path(folder).resolve()))


def _copied(space: Space, folder: Path) -> SpaceMeta:
    """The space as a folder of the index, of a new name: that of an index that is being replaced stays as it is."""
    name = f"space-{uuid4().hex[:8]}"
    space.fingerprint = save_space(space, folder / name, overwrite=False)
    return SpaceMeta(fingerprint=space.fingerprint, folder=name)


def _finished(
    folder: Path,
    meta: Meta,
    columns: pa.Schema,
    items: Iterable[Records],
    labels: Records | None,
    engine: Engine | None,
    space: Space | None,
) -> Store:
    """The tables written and, where search is to be approximate, its indexes built and set to the recall wanted.

    The space is copied last, where one is to be: what fails before leaves nothing of it.
    """

    def finish(store: Store) -> Meta:
        found = store.meta
        values = max((store.values(m) for m in meta.modalities), default=0)
        if (engine or choose_engine(values)) == "lancedb":
            build_indexes(store)
            found = found.model_copy(update={"engine": "lancedb", "tuning": tune(store, meta.target_recall)})
        return found if space is None else found.model_copy(update={"space": _copied(space, folder)})

    types = {field.name: field.type for field in columns}
    return Store.create(folder, meta, types, items, labels, finish)
