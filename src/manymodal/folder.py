"""Embeddings on disk: a safetensors file for each modality, items and labels as Parquet, meta.json."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from .collection import Collection
from .embeddings import Embeddings
from .errors import ManymodalError
from .files import replacing_folder, write_tensors

META, FORMAT = "meta.json", 1
ITEMS, LABELS = "items.parquet", "labels.parquet"
OWN_COLUMNS = ("item", "id", "split", "label")  # of items.parquet; the others are the user's


def save_embeddings(
    folder: Path,
    embeddings: Embeddings,
    ordinals: Mapping[str, Tensor],
    data: Collection,
    space: str | None,
    split: str | None,
) -> None:
    """Write embeddings of a collection's rows to a folder, in place of an earlier one.

    `<modality>.safetensors` holds vectors (n, d), items (n,), values (n,) (a value's place in its item's list, from 0)
    and, where there are any, labels (n,); `items.parquet` has item, id, split, label (its code) and the plain columns
    of each row; `labels.parquet` has each label's code and name. A plain column of one of those four names that is not
    what the name says gets a `_` behind its own.

    Raises:
        ManymodalError: the folder is there and holds something else, or cannot be written; nothing is lost.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if folder.exists() and not (folder / META).exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ManymodalError(f"{folder} exists and holds no embeddings; choose another folder")
    rows = data.rows(split)
    table = {
        "item": rows,
        "id": [data.ids[row] for row in rows],
        "split": [str(data.split[row]) for row in rows],
        "label": [int(data.labels[row]) for row in rows],
    }
    columns = [data.columns(int(row)) for row in rows]
    plain = {}
    for name in dict.fromkeys(name for row in columns for name in row):
        if name in table and getattr(data.schema, name, None) == name:
            continue  # the ids, splits and labels themselves
        free = name
        while free in table or free in plain:
            free += "_"
        plain[free] = pa.array([row.get(name) for row in columns])
    with replacing_folder(folder) as aside:
        for m in embeddings.modalities:
            content = {
                "vectors": embeddings.vectors[m],
                "items": embeddings.items[m],
                "values": ordinals[m],
            }
            if embeddings.labels is not None:
                content["labels"] = embeddings.labels[m]
            write_tensors(aside / f"{m}.safetensors", {key: tensor.contiguous() for key, tensor in content.items()})
        pq.write_table(pa.table({**table, **plain}), aside / ITEMS)
        names_of_labels = {"label": pa.array(range(len(data.label_names)), pa.int64()), "name": data.label_names}
        pq.write_table(
            pa.table(names_of_labels, schema=pa.schema({"label": pa.int64(), "name": pa.string()})),
            aside / LABELS,
        )
        meta = {
            "format": FORMAT,
            "manymodal": version("manymodal"),
            "d": embeddings.dim,
            "dtype": str(next(iter(embeddings.vectors.values())).dtype).removeprefix("torch."),
            "modalities": list(embeddings.modalities),
            "space": space,
            "split": split,
        }
        (aside / META).write_text(json.dumps(meta, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


class Saved(NamedTuple):
    """What a folder of embeddings holds, as it is stored.

    Args:
        tensors: {modality: {"vectors": (n, d) float, "items": (n,) int64, "values": (n,) int64, "labels" where there
            are any: (n,) int64}}.
        items: Arrow table of `items.parquet`, a row for each item, also for those without a value.
        label_names: the label of each code.
        space: fingerprint of the space that made them; None where none did.
        split: the only one that was embedded; None for all.
    """

    tensors: dict[str, dict[str, Tensor]]
    items: Any
    label_names: list[str]
    space: str | None
    split: str | None

    def each(self, key: str) -> dict[str, Tensor]:
        """{modality: tensor of that key}, of the modalities that have it."""
        return {m: part[key] for m, part in self.tensors.items() if key in part}


def read_folder(folder: Path) -> Saved:
    """What `save_embeddings` wrote to a folder.

    Raises:
        ManymodalError: the folder holds no embeddings, or they are damaged.
    """
    import pyarrow.parquet as pq
    from safetensors.torch import load_file

    if not (folder / META).is_file():
        raise ManymodalError(f"{folder} has no {META}: not a folder of embeddings. `manymodal embed` makes one")
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
        saved = Saved(
            {m: load_file(folder / f"{m}.safetensors") for m in meta["modalities"]},
            pq.ParquetFile(folder / ITEMS).read(),
            pq.ParquetFile(folder / LABELS).read()["name"].to_pylist(),
            meta["space"],
            meta["split"],
        )
        for name, part in saved.tensors.items():
            _check_is_there(f"{name}.safetensors", part, ("vectors", "items", "values"))
        _check_is_there(ITEMS, saved.items.column_names, OWN_COLUMNS)
    except Exception as error:  # json, safetensors and Parquet each have their own
        raise ManymodalError(f"{folder} holds damaged embeddings ({error}); make them again") from error
    return saved


def load_embeddings(folder: Path) -> Embeddings:
    """The embeddings in a folder; its `items.parquet` says whose they are.

    Raises:
        ManymodalError: the folder holds no embeddings, or they are damaged.
    """
    saved = read_folder(folder)
    return Embeddings(saved.each("vectors"), saved.each("items"), saved.each("labels") or None)


def _check_is_there(file: str, found: Container[str], needed: Iterable[str]) -> None:
    lacking = [name for name in needed if name not in found]
    if lacking:
        raise ManymodalError(f"{file} lacks {', '.join(lacking)}")
