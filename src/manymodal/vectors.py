"""Vectors from `manymodal embed` or another program: a folder -> `Embeddings`, and whose they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import torch
from torch import Tensor

from .collection.schema import check_name
from .collection.splits import NAMES, SPLITS
from .embeddings import Embeddings
from .errors import ManymodalError
from .folder import ITEMS, LABELS, META, OWN_COLUMNS, read_folder
from .progress import bar
from .vector_files import IDS as IDS_FILE
from .vector_files import LABELS as LABELS_FILE
from .vector_files import VectorFile, read_npy, read_parquet, unit_vectors

READERS: dict[str, Callable[[Path, bool], VectorFile]] = {".npy": read_npy, ".parquet": read_parquet}


@dataclass(frozen=True, eq=False)
class Vectors:
    """A folder of vectors. Items and labels are numbered within it: two folders' numbers say nothing of each other.

    Args:
        folder: where they came from.
        embeddings: float32.
        ids: {item: the user's id}, every item of the split.
        label_names: the label of each code.
        items: (n,) int64, all items of the split, also those without a value; None where the folder does not say.
        space: fingerprint of the space that made them; None where another program did.
        split: the one that is here; None for all, or where the folder does not say.
        ordinals: {modality: (n,) int64}, each value's place in its item's list; empty where the folder does not say.
        table: Arrow table of the items, a row for each of `ids`; None where there is none.
        notes: what was decided or left aside, one line each.
    """

    folder: Path
    embeddings: Embeddings
    ids: dict[int, str]
    label_names: list[str]
    items: Tensor | None = None
    space: str | None = None
    split: str | None = None
    ordinals: dict[str, Tensor] = field(default_factory=dict)
    table: Any = None
    notes: list[str] = field(default_factory=list)

    def columns(self, item: int) -> dict[str, Any]:
        """An item's plain columns; none where the folder has no table of items."""
        if self.table is None:
            return {}
        (row,) = self.table.slice(self._row_of[item], 1).to_pylist()
        return {name: cell for name, cell in row.items() if name not in OWN_COLUMNS}

    @cached_property
    def _row_of(self) -> dict[int, int]:
        return {item: row for row, item in enumerate(self.ids)}


def read_vectors(folder: Path, *, split: str | None = None, normalize: bool = False) -> Vectors:
    """Read a folder of vectors.

    A folder with `meta.json` is one of `manymodal embed`. Any other has a file for each modality: `NAME.npy` (n, d)
    with `NAME.ids.txt` and, optional, `NAME.labels.txt`, or `NAME.parquet` with `id`, `vector` and, optional, `label`.
    Ids are strings, shared by all modalities; an id that occurs again is a further value of its item. A modality with
    labels and no ids has one value per label. An item's label may be said in one modality alone. Items are numbered in
    the order of their sorted ids, labels likewise, so that the order of rows changes nothing.

    Args:
        folder: where they are.
        split: which rows of a folder of `manymodal embed`; None or "all" for every one. Other folders have no splits.
        normalize: divide each vector by its norm.

    Raises:
        ManymodalError: the folder is neither of the two, holds fewer than two modalities, lacks the split, or a file or
            row of it is not as it must be.
    """
    if not folder.is_dir():
        raise ManymodalError(f"{folder} is {'a file' if folder.exists() else 'not there'}; needed: a folder of vectors")
    split = None if split == "all" else split
    read = (
        _read_embedded(folder, split, normalize) if (folder / META).exists() else _read_files(folder, split, normalize)
    )
    if len(read.embeddings.modalities) < 2:
        raise ManymodalError(
            f"{folder} has one modality, {read.embeddings.modalities[0]!r}; at least two are needed: one to ask with "
            "and one to search in"
        )
    return read


def read_vectors_of(folder: Path, split: str, *, normalize: bool = False) -> Vectors:
    """The vectors of one split: those rows of a folder of `manymodal embed`, all of a folder of another program.

    For vectors to estimate something from, which must hold nothing of the split that is measured.

    Raises:
        ManymodalError: as `read_vectors`.
    """
    has_splits = (folder / META).exists()
    return read_vectors(folder, split=split if has_splits else None, normalize=normalize)


def check_same_modalities(a: Vectors, b: Vectors) -> None:
    """Refuse two folders whose vectors cannot lie in one space: other modalities, another d, another space.

    Raises:
        ManymodalError: they do not fit together.
    """
    one, other = a.embeddings, b.embeddings
    for what, of_a, of_b in (
        ("modalities", ", ".join(one.modalities), ", ".join(other.modalities)),
        ("d =", one.dim, other.dim),
    ):
        if of_a != of_b:
            raise ManymodalError(f"{a.folder} has {what} {of_a}, {b.folder} has {what} {of_b}; both need the same")
    for m in one.modalities:
        if len(one.items[m]) and len(other.items[m]) and one.per_label(m) != other.per_label(m):
            by_label, by_item = (a, b) if one.per_label(m) else (b, a)
            raise ManymodalError(
                f"modality {m!r} has one value per label in {by_label.folder}, but ids in {by_item.folder}; "
                "both need the same"
            )
    if None not in (a.space, b.space) and a.space != b.space:
        raise ManymodalError(
            f"{a.folder} was made by the space {a.space}, {b.folder} by the space {b.space}; embed both with one"
        )


# -- folders of `manymodal embed` --------------------------------------------------------------------------------------


def _read_embedded(folder: Path, split: str | None, normalize: bool) -> Vectors:
    saved = read_folder(folder)
    known = {META, ITEMS, LABELS, *(f"{m}.safetensors" for m in saved.tensors)}
    others = [path for path in sorted(folder.iterdir()) if path.name not in known]
    for path in others:
        if path.suffix in READERS:
            raise ManymodalError(
                f"{folder} has {META}, so its vectors are those of `manymodal embed`, and {path.name} beside them; "
                "keep one of the two in a folder of its own"
            )
    vectors = {m: unit_vectors(v, f"{m}.safetensors", normalize) for m, v in saved.each("vectors").items()}
    embeddings = Embeddings(vectors, saved.each("items"), saved.each("labels") or None)
    ordinals, table, notes = saved.each("values"), saved.items, _ignored(others)
    _check_codes("items", embeddings.items, torch.tensor(table["item"].to_pylist(), dtype=torch.int64))
    _check_codes("labels", embeddings.labels or {}, torch.arange(len(saved.label_names)))
    if split is None:
        of_splits = Counter(table["split"].to_pylist())
        if len(of_splits) > 1:
            counts = ", ".join(f"{name} {count}" for name, count in sorted(of_splits.items()))
            notes.append(f"{folder} holds several splits together: {counts}")
    else:
        split, table = _of_split(table, split, folder)
        rows = _rows(embeddings, table)
        embeddings, ordinals = embeddings.pick(rows), {m: ordinals[m][kept] for m, kept in rows.items()}
    items = table["item"].to_pylist()
    return Vectors(
        folder,
        embeddings,
        dict(zip(items, table["id"].to_pylist(), strict=True)),
        saved.label_names,
        torch.tensor(items, dtype=torch.int64),
        saved.space,
        split or saved.split,
        ordinals,
        table,
        notes,
    )


def _of_split(table: Any, split: str, folder: Path) -> tuple[str, Any]:
    """The split's own name, and its rows of the table of items."""
    name = NAMES.get(split)
    if name is None:
        raise ManymodalError(f"split={split!r}; allowed are {', '.join(SPLITS)} and all")
    rows = table.filter(pc.equal(table["split"], name))
    if not len(rows):
        there = ", ".join(sorted(set(table["split"].to_pylist())))
        raise ManymodalError(f"no items of split {name!r} in {folder}; there are those of {there}")
    return name, rows


def _rows(embeddings: Embeddings, table: Any) -> dict[str, Tensor]:
    """{modality: (n,) bool}, the values of these items and, of one per label, those of their labels."""
    items, labels = (torch.tensor(table[name].to_pylist(), dtype=torch.int64) for name in ("item", "label"))
    of_labels = embeddings.labels or {}
    return {
        m: torch.isin(of_labels[m], labels) if of_labels and embeddings.per_label(m) else torch.isin(ids, items)
        for m, ids in embeddings.items.items()
    }


def _check_codes(what: str, found: Mapping[str, Tensor], known: Tensor) -> None:
    for m, codes in found.items():
        strange = codes[(codes >= 0) & ~torch.isin(codes, known)]
        if len(strange):
            raise ManymodalError(
                f"the embeddings are damaged: {m}.safetensors has {what} (the first is {int(strange[0])}) that "
                f"{what}.parquet does not list; make them again"
            )


# -- a file for each modality ------------------------------------------------------------------------------------------


def _read_files(folder: Path, split: str | None, normalize: bool) -> Vectors:
    if split is not None:
        raise ManymodalError(
            f"split={split!r}: {folder} holds vectors of another program, which have no splits; keep a folder for each "
            "split, and name that folder"
        )
    paths, notes = _find_files(folder)
    files: dict[str, VectorFile] = {}
    with bar("reading vectors", len(paths)) as advance:
        for name, path in sorted(paths.items()):
            files[name] = READERS[path.suffix](path, normalize)
            advance(1, name)
    ids = sorted({id for file in files.values() for id in file.ids or ()})
    label_names = sorted({label for file in files.values() for label in file.labels if label is not None})
    label_of = _labels_of_items(files)
    item = {id: number for number, id in enumerate(ids)}
    code = {None: -1} | {label: number for number, label in enumerate(label_names)}
    items = {
        m: [-1] * len(file.labels) if file.ids is None else [item[id] for id in file.ids] for m, file in files.items()
    }
    labels = {
        m: [code[label] for label in (file.labels if file.ids is None else map(label_of.get, file.ids))]
        for m, file in files.items()
    }
    embeddings = Embeddings(
        {m: file.vectors for m, file in files.items()},
        {m: torch.tensor(numbers, dtype=torch.int64) for m, numbers in items.items()},
        {m: torch.tensor(codes, dtype=torch.int64) for m, codes in labels.items()} if label_names else None,
    )
    notes += [note for file in files.values() for note in file.notes] + _strangers(files)
    return Vectors(folder, embeddings, dict(enumerate(ids)), label_names, notes=notes)


def _find_files(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """{modality: its file}, and notes on the files that belong to none."""
    paths: dict[str, Path] = {}
    others = []
    for path in sorted(folder.iterdir()):
        if path.suffix in READERS:
            check_name(path.stem)
            if path.stem in paths:
                raise ManymodalError(
                    f"{folder} has the modality {path.stem!r} twice, {paths[path.stem].name} and {path.name}; "
                    "keep one of them"
                )
            paths[path.stem] = path
        elif path.name.endswith((IDS_FILE, LABELS_FILE)):
            array = path.with_name(path.name.removesuffix(IDS_FILE).removesuffix(LABELS_FILE) + ".npy")
            if not array.exists():
                raise ManymodalError(f"{folder} has {path.name} but no {array.name}, whose rows it lists")
        else:
            others.append(path)
    if not paths:
        there = ", ".join(path.name for path in others[:5]) or "nothing"
        raise ManymodalError(
            f"{folder} holds no vectors (but {there}); needed: for each modality NAME.npy with NAME{IDS_FILE}, or "
            f"NAME.parquet; or what `manymodal embed` writes, with its {META}"
        )
    return paths, _ignored(others)


def _labels_of_items(files: Mapping[str, VectorFile]) -> dict[str, str]:
    """{id: its label}, from any of its rows, in whichever modality."""
    label_of: dict[str, str] = {}
    for m, file in files.items():
        for id, label in zip(file.ids or (), file.labels if file.ids is not None else (), strict=True):
            if label is not None and label_of.setdefault(id, label) != label:
                raise ManymodalError(
                    f"the item {id!r} has two labels, {label_of[id]!r} and {label!r} (in modality {m!r}); an item has "
                    "one, or none where it is unknown"
                )
    return label_of


def _strangers(files: Mapping[str, VectorFile]) -> list[str]:
    """Notes on modalities whose items no other modality knows: mostly ids that are written another way."""
    ids = {m: set(file.ids) for m, file in files.items() if file.ids}
    modalities = Counter(id for known in ids.values() for id in known)
    return [
        f"{m}: none of its ids ({min(known)!r} ...) is in another modality; are they written alike?"
        for m, known in ids.items()
        if len(ids) > 1 and all(modalities[id] == 1 for id in known)
    ]


def _ignored(others: list[Path]) -> list[str]:
    return [f"ignored: {', '.join(path.name for path in others)}"] if others else []
