"""Small records and stores for tests of an index: items with several and with missing values, labels, plain columns."""

import numpy as np
import pyarrow as pa
import torch

from cases import vectors
from manymodal.index.layout import ColumnMeta, Meta, ModalityMeta, words_of
from manymodal.index.records import Records, Shown, Values
from manymodal.index.store import Store

D = 4
COLUMNS = {
    "year": pa.int64(),
    "price": pa.float64(),
    "kind of": pa.string(),
    "seen": pa.date32(),
    "tags": pa.list_(pa.string()),
}
STORED = {"year": "year", "price": "price", "kind of": "kind_of", "seen": "seen", "tags": "tags"}


def meta(columns=COLUMNS, labels=False, d=D, **changed):
    """What index.json says of an index with modalities `a` and `b` and, where asked, `kind` per label."""
    modalities = {m: ModalityMeta(stored=m) for m in ("a", "b")}
    if labels:
        modalities["kind"] = ModalityMeta(stored="kind", per="label")
    known = {n: ColumnMeta(stored=STORED.get(n, n), type=words_of(t)) for n, t in columns.items()}
    return Meta(manymodal="0", tables="", d=d, modalities=modalities, columns=known, engine="exact", **changed)


def values(counts, d=D, text="t"):
    """As many values of each record as said, with texts to tell them apart and media on the first."""
    rows = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts, dtype=torch.int64))
    places = [place for count in counts for place in range(count)]
    shown = [Shown(place, f"{text}{place}", "image/png" if place == 0 else None) for place in places]
    return Values(vectors(len(rows), d, torch.float32), rows, shown, [b"x" if place == 0 else None for place in places])


def records(ids, *, columns=None, a=None, b=None, d=D, text="t", label="cat"):
    """Items; by default one to three values in `a`, and none in `b`."""
    n = len(ids)
    columns = pa.table({}) if columns is None else pa.table(columns)
    of = {"a": values(a or [1 + i % 3 for i in range(n)], d, text)}
    if b is not None:
        of["b"] = values(b, d, text)
    return Records(list(ids), [label] * n, columns, of, vectors(n, d, torch.float32))


def labels(names, text="t"):
    """Labels with one value each."""
    return Records(list(names), [None] * len(names), pa.table({}), {"kind": values([1] * len(names), text=text)})


def store(folder, *portions, of_labels=None, **options):
    """A store of these portions."""
    has = of_labels is not None
    return Store.create(folder, meta(labels=has, **options), COLUMNS, portions or [records(["1", "2", "3"])], of_labels)


def rows(where):
    """{id: row} of a store or a view, lists of vectors as arrays."""
    found = {row["id"]: row for row in where.items.to_arrow().to_pylist()}
    assert len(found) == where.items.count_rows(), "an id is there twice"
    for row in found.values():
        row["vectors__a"] = np.array(row["vectors__a"] or np.zeros((0, D)), dtype=np.float32)
    return found
