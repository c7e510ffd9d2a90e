"""From a collection and a space, or from vectors of any program, to the records that an index takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from .collection import Collection, Values
from .collection.values import Ids
from .compose import compose_items
from .embeddings import Embeddings
from .encoders.store import FeatureStore
from .errors import ManymodalError
from .folder import OWN_COLUMNS
from .index.layout import OWN, ColumnMeta, Engine, IndexedCell, Meta, ModalityMeta, stored_names, words_of
from .index.records import ITEM, Records, Shown
from .index.records import Values as Indexed
from .keeping import kept
from .preparing import embed_packed, prepare_values
from .progress import bar
from .space import Space
from .vectors import Vectors

PORTION = 2048  # items that are embedded, held and written at a time; their media stay below 2 GB


# -- what there is, for index.json ---------------------------------------------------------------------------------


def meta_of_space(space: Space, columns: Any, engine: Engine, media: bool, target_recall: float) -> Meta:
    """What `index.json` says of an index of a collection; `columns` is the Arrow schema of its plain columns."""
    modalities = {}
    stored = stored_names(space.schema.modalities, [ITEM])
    for name, modality in space.schema.modalities.items():
        cells = space.towers[name].encoder.settings().get("columns", {}) if modality.kind == "table" else {}
        modalities[name] = ModalityMeta(
            stored=stored[name],
            kind=modality.kind,
            per=modality.per,
            cells={column: IndexedCell(**cell) for column, cell in cells.items()},
            width=modality.width,
        )
    return _meta(space.dim, modalities, columns, engine, media, target_recall)


def meta_of_vectors(given: Vectors, engine: Engine, target_recall: float) -> Meta:
    """What `index.json` says of an index of vectors that any program made."""
    names = given.embeddings.modalities
    stored = stored_names(names, [ITEM])
    modalities = {
        m: ModalityMeta(stored=stored[m], per="label" if given.embeddings.per_label(m) else "item") for m in names
    }
    return _meta(given.embeddings.dim, modalities, plain_of_vectors(given).schema, engine, False, target_recall)


def _meta(
    d: int, modalities: dict[str, ModalityMeta], columns: Any, engine: Engine, media: bool, target_recall: float
) -> Meta:
    plain = stored_names(columns.names, OWN)
    return Meta(
        manymodal=version("manymodal"),
        tables="",
        d=d,
        modalities=modalities,
        columns={field.name: ColumnMeta(stored=plain[field.name], type=words_of(field.type)) for field in columns},
        engine=engine,
        media=media,
        target_recall=target_recall,
    )


# -- items and labels of a collection ------------------------------------------------------------------------------


def label_records(
    space: Space, data: Collection, rows: Ids, store: FeatureStore, media: bool
) -> tuple[Records | None, Embeddings | None]:
    """The values of modalities `per: label` for the labels of these rows; and the same as embeddings."""
    names = [m for m, spec in space.schema.modalities.items() if spec.per == "label"]
    if not names:
        return None, None
    known = np.unique(data.labels[rows])
    known = known[known >= 0]
    values, vectors, codes = {}, {}, {}
    for m in names:
        found, indexed = _values(space, data, m, data.values_of(m, rows), known, store, media)
        values[m], vectors[m], codes[m] = indexed, indexed.vectors, torch.as_tensor(found.labels)
    records = Records([data.label_names[code] for code in known], [None] * len(known), pa.table({}), values)
    return records, Embeddings(vectors, {m: torch.full_like(c, -1) for m, c in codes.items()}, codes)


def item_records(
    space: Space, data: Collection, rows: Ids, of_labels: Embeddings | None, store: FeatureStore, media: bool
) -> Iterator[Records]:
    """The items of these rows, `PORTION` at a time."""
    names = [m for m, spec in space.schema.modalities.items() if spec.per == "item"]
    with bar("indexing", len(rows)) as advance:
        for start in range(0, len(rows), PORTION):
            portion = rows[start : start + PORTION]
            values = {m: _values(space, data, m, data.values_of(m, portion), portion, store, media)[1] for m in names}
            labels = data.labels[portion]
            composed = _composed(values, torch.as_tensor(labels), of_labels, space.dim)
            yield Records(
                [data.ids[row] for row in portion],
                [data.label_names[code] if code >= 0 else None for code in labels],
                data.plain(portion),
                values,
                composed,
            )
            advance(len(portion), "")


def _values(
    space: Space, data: Collection, modality: str, values: Values, owners: Ids, store: FeatureStore, media: bool
) -> tuple[Values, Indexed]:
    """A modality's values embedded, by the place of their owner among `owners` (rows or label codes, ascending)."""
    tower, kind = space.towers[modality], space.schema.modalities[modality].kind
    ready, values = prepare_values(tower, data, modality, values, store)
    whose = values.labels if space.schema.modalities[modality].per == "label" else values.items
    order = whose.argsort(kind="stable")
    looks = [kept(values.data[place], kind, media) for place in order]
    shown = [Shown(int(values.ordinal[at]), look.text, look.type) for at, look in zip(order, looks, strict=True)]
    vectors = embed_packed(tower, ready.values.take(torch.as_tensor(order)))  # (v, d)
    places = torch.as_tensor(np.searchsorted(owners, whose[order]))  # (v,)
    values = Values([values.data[at] for at in order], values.items[order], values.labels[order], values.ordinal[order])
    return values, Indexed(vectors, places, shown, [look.media for look in looks])


def _composed(values: Mapping[str, Indexed], labels: Tensor, of_labels: Embeddings | None, d: int) -> Tensor:
    """(n, d) each item's modalities composed, its label's values among them; zero where it has none."""
    out = torch.zeros(len(labels), d)
    if not values:
        return out
    whole = Embeddings(
        {m: one.vectors for m, one in values.items()},
        {m: one.rows for m, one in values.items()},
        {m: labels[one.rows] for m, one in values.items()},
    )
    if of_labels is not None:
        whole = Embeddings.concatenate([whole, of_labels])
    try:
        rows = compose_items(whole, whole.modalities, parts="any")
        out[rows.items] = rows.vectors
    except ManymodalError:  # the values of some item cancel out
        for item in torch.cat([one.rows for one in values.values()]).unique():
            with suppress(ManymodalError):  # then it has no composed vector, and is found by its values alone
                out[item] = compose_items(whole.of_items(item[None]), whole.modalities, parts="any").vectors[0]
    return out


# -- vectors of any program ----------------------------------------------------------------------------------------


def records_of_vectors(given: Vectors, known: Embeddings | None = None) -> tuple[list[Records], Records | None]:
    """All items of a folder of vectors, `PORTION` at a time; and its labels, where modalities are per label.

    Args:
        given: the vectors.
        known: the values of labels that items are composed with; None: those given.
    """
    embeddings = given.embeddings
    numbers = torch.tensor(sorted(given.ids), dtype=torch.int64)  # (n,)
    label_of = _label_of_items(embeddings, numbers)  # (n,)
    names = [m for m in embeddings.modalities if not embeddings.per_label(m)]
    by_label = [m for m in embeddings.modalities if embeddings.per_label(m)]
    of_labels = embeddings.only(*by_label) if by_label else None
    known = of_labels if known is None else known
    columns = plain_of_vectors(given)
    found = []
    with bar("indexing", len(numbers)) as advance:
        for start in range(0, len(numbers), PORTION):
            portion = numbers[start : start + PORTION]
            labels = label_of[start : start + PORTION]
            values = {m: _stored_values(given, m, embeddings.items[m], portion) for m in names}
            found.append(
                Records(
                    [given.ids[number] for number in portion.tolist()],
                    [given.label_names[code] if code >= 0 else None for code in labels.tolist()],
                    columns.slice(start, PORTION),
                    values,
                    _composed(values, labels, known, embeddings.dim),
                )
            )
            advance(len(portion), "")
    if of_labels is None or of_labels.labels is None:
        return found, None
    codes = torch.cat([of_labels.labels[m] for m in by_label]).unique()  # (c,)
    values = {m: _stored_values(given, m, of_labels.labels[m], codes) for m in by_label}
    label_ids = [given.label_names[code] for code in codes.tolist()]
    return found, Records(label_ids, [None] * len(codes), pa.table({}), values)


def _stored_values(given: Vectors, modality: str, owner_of: Tensor, owners: Tensor) -> Indexed:
    """A modality's vectors whose owner is among `owners` (ascending); its texts where the table of items has them."""
    of_these = torch.isin(owner_of, owners).nonzero()[:, 0]  # (v,)
    of_these = of_these[owner_of[of_these].argsort(stable=True)]
    rows = torch.searchsorted(owners, owner_of[of_these])  # (v,)
    places = torch.arange(len(rows)) - torch.searchsorted(rows, rows)  # (v,)
    if modality in given.ordinals:
        places = given.ordinals[modality][of_these]
    shown = []
    for owner, place in zip(owner_of[of_these].tolist(), places.tolist(), strict=True):
        cell = None if given.embeddings.per_label(modality) else given.columns(owner).get(modality)
        cell = cell[place] if isinstance(cell, list) and place < len(cell) else cell
        shown.append(Shown(place, cell if isinstance(cell, str) else None))
    return Indexed(given.embeddings.vectors[modality][of_these], rows, shown, [None] * len(shown))


def _label_of_items(embeddings: Embeddings, numbers: Tensor) -> Tensor:
    """(n,) the label of each item, from any of its rows; -1 where it is unknown."""
    labels = torch.full_like(numbers, -1)
    for m, of_rows in (embeddings.labels or {}).items():
        if not embeddings.per_label(m):
            labels[torch.searchsorted(numbers, embeddings.items[m])] = of_rows
    return labels


def plain_of_vectors(given: Vectors) -> Any:
    """The plain columns of the items, in the order of their numbers, as an Arrow table."""
    if given.table is None:
        return pa.table({})
    table = given.table.sort_by("item")
    return table.drop_columns([name for name in table.column_names if name in OWN_COLUMNS])
