"""What the benchmarks of search make indexes of: embeddings of a space, and clustered vectors of any number."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import torch
from torch import Tensor
from torch.nn.functional import normalize

from manymodal import Embeddings
from manymodal.compose import compose_items, rows_of
from manymodal.index.layout import Meta, ModalityMeta
from manymodal.index.records import Records, Shown, Values
from manymodal.index.store import Store

D = 256
PORTION = 20_000  # items written at a time


def meta_of(modalities: list[str], d: int) -> Meta:
    """What index.json says of an index of bare vectors."""
    stored = {name: ModalityMeta(stored=name, kind="text") for name in modalities}
    return Meta(manymodal="0", tables="", d=d, modalities=stored, columns={}, engine="lancedb")


def new_store(folder: Path, meta: Meta, portions: Iterator[Records]) -> Store:
    """A store in a folder of its own; what was there before goes."""
    shutil.rmtree(folder, ignore_errors=True)
    return Store.create(folder, meta, {}, portions, None)


def values_of(vectors: Tensor, rows: Tensor) -> Values:
    """Values with a text each."""
    begins = torch.searchsorted(rows, rows)
    places = (torch.arange(len(rows)) - begins).tolist()
    return Values(
        vectors,
        rows,
        [Shown(place, f"value {place}, {random.randbytes(20).hex()}") for place in places],
        [None] * len(rows),
    )


def records_of(embeddings: Embeddings) -> Records:
    """Items of a space's embeddings, with the composed vector over all their modalities."""
    names = list(embeddings.modalities)
    composed = compose_items(embeddings, names, parts="any")
    ids = torch.cat([embeddings.items[name] for name in names]).unique()
    values = {}
    for name in names:
        rows = rows_of(embeddings, name)
        row, order = torch.searchsorted(ids, rows.items).sort(stable=True)
        values[name] = values_of(rows.vectors[order].float(), row)
    of_items = torch.zeros(len(ids), composed.vectors.shape[1])
    of_items[torch.searchsorted(ids, composed.items)] = composed.vectors.float()
    texts = [str(id) for id in ids.tolist()]
    return Records(texts, [None] * len(texts), pa.table({}), values, of_items)


def clustered(items: int, seed: int = 0) -> Iterator[Records]:
    """Photos (of nine items in ten) and one to four captions each, so 2.5 an item, in portions.

    Items lie in clusters of uneven size, those in 50 larger ones, and vary inside in few dimensions, plus noise; each
    modality is shifted by a constant of its own, as it is in real spaces.
    """
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    clusters = max(50, items // 200)
    larger = normalize(noise(50, D), dim=1)
    of_larger = torch.randint(50, (clusters,), generator=generator)
    centres = 0.8 * larger[of_larger] + 0.6 * normalize(noise(clusters, D), dim=1)
    bases = normalize(noise(50, 8, D), dim=2)  # of each larger cluster the directions in which its items vary
    sizes = torch.rand(clusters, generator=generator) ** 3 + 0.01
    gaps = {"photo": normalize(noise(1, D), dim=1), "caption": normalize(noise(1, D), dim=1)}
    for start in range(0, items, PORTION):
        n = min(PORTION, items - start)
        cluster = torch.multinomial(sizes, n, replacement=True, generator=generator)
        within = torch.bmm(0.25 * noise(n, 1, 8), bases[of_larger[cluster]])[:, 0]  # (n, D)
        thing = centres[cluster] + within + 0.3 * noise(n, D) / D**0.5
        counts = {
            "photo": (torch.rand(n, generator=generator) < 0.9).long(),
            "caption": 1 + (torch.arange(n) % 4)[torch.randperm(n, generator=generator)],
        }
        values, sums = {}, torch.zeros(n, D)
        for name, count in counts.items():
            rows = torch.arange(n).repeat_interleave(count)
            vectors = normalize(thing[rows] + gaps[name] + 0.4 * noise(len(rows), D) / D**0.5, dim=1)
            means = torch.zeros(n, D).index_add_(0, rows, vectors)
            sums += normalize(means, dim=1)
            values[name] = values_of(vectors, rows)
        ids = [f"{start + row:08}" for row in range(n)]
        yield Records(ids, [None] * n, pa.table({}), values, normalize(sums, dim=1))
