"""One modality's vectors as another program stores them: NAME.npy with lists of ids and labels, or NAME.parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .collection.arrow import flattened, lengths, levels, strings, valid
from .collection.sources import read_source
from .embeddings import NORM_TOLERANCE
from .errors import ManymodalError
from .words import counted

IDS, LABELS = ".ids.txt", ".labels.txt"  # what NAME.npy has beside it
FLOATS = (np.dtype("float16"), np.dtype("float32"), np.dtype("float64"))


@dataclass(frozen=True)
class VectorFile:
    """The values of one modality.

    Args:
        vectors: (n, d) float32, of unit norm.
        ids: (n,) the id of the item that each was observed on; None where there is one value per label.
        labels: (n,) the label of each, None where it is unknown; all known, and no two alike, where `ids` is None.
        notes: what was left aside in reading it.
    """

    vectors: Tensor
    ids: list[str] | None
    labels: list[str | None]
    notes: list[str] = field(default_factory=list)


def read_npy(path: Path, normalize: bool) -> VectorFile:
    """NAME.npy, (n, d) float16, float32 or float64, with NAME.ids.txt and NAME.labels.txt, a line for each row.

    The array is memory-mapped; float32 in rows is used in place, anything else is converted. Nothing is unpickled.

    Args:
        path: of NAME.npy.
        normalize: divide each vector by its norm.

    Raises:
        ManymodalError: a file cannot be read, the lists are shorter or longer than the array, or a row is not as it
            must be.
    """
    try:
        array = np.lib.format.open_memmap(path, mode="c")  # pages are copied when written to, the file never is
    except Exception as error:  # a damaged header fails in many ways
        raise ManymodalError(
            f"cannot read {path} ({error}); needed: an array of floats (n, d), as numpy.save writes it"
        ) from error
    vectors = unit_vectors(_tensor(array, path.name), path.name, normalize)
    name = path.name.removesuffix(".npy")
    ids, labels = (_read_lines(path.with_name(name + ending), len(vectors), path.name) for ending in (IDS, LABELS))
    if ids is None and labels is None:
        raise ManymodalError(
            f"{path.name} has no {name}{IDS} beside it; write the id of each row's item there, one a line "
            f"(or, for one value per label, the labels in {name}{LABELS})"
        )
    return _vector_file(path.name, vectors, ids, labels, [])


def read_parquet(path: Path, normalize: bool) -> VectorFile:
    """NAME.parquet (a file, or a folder of shards) with the columns `vector`, `id` and, optional, `label`.

    Args:
        path: of NAME.parquet.
        normalize: divide each vector by its norm.

    Raises:
        ManymodalError: the file cannot be read, lacks a column, or a row is not as it must be.
    """
    table = read_source(path).table
    there = {name: table[name] for name in ("id", "label", "vector") if name in table.column_names}
    if "vector" not in there or len(there) < 2:
        raise ManymodalError(
            f"{path.name} has the columns {', '.join(table.column_names)}; needed are vector and id "
            "(or label alone, for one value per label)"
        )
    vectors = unit_vectors(_tensor(_array(there["vector"], path.name), path.name), path.name, normalize)
    ids, labels = (strings(there[name]) if name in there else None for name in ("id", "label"))
    if ids is not None and labels is not None and all(one is None for one in ids):
        ids = None  # one value per label
    others = ", ".join(name for name in table.column_names if name not in there)
    notes = [f"{path.name}: ignored columns: {others}"] if others else []
    return _vector_file(path.name, vectors, ids, labels, notes)


def unit_vectors(vectors: Tensor, file: str, normalize: bool) -> Tensor:
    """(n, d) float32 of unit norm from (n, d) float of any precision.

    Args:
        vectors: as they were stored.
        file: for messages.
        normalize: divide each by its norm, where otherwise a norm more than 1e-3 off one is refused.

    Raises:
        ManymodalError: a vector is not finite, is zero or, unless `normalize`, is off unit norm.
    """
    if vectors.ndim != 2 or not vectors.shape[1] or not vectors.is_floating_point():
        raise ManymodalError(
            f"{file} holds {str(vectors.dtype).removeprefix('torch.')} of shape {tuple(vectors.shape)}; "
            "needed: floats (n, d), a row for each value"
        )
    vectors = vectors.to(torch.promote_types(vectors.dtype, torch.float32))
    largest = torch.maximum(vectors.amax(dim=1), -vectors.amin(dim=1))  # (n,) NaN where one is in the row
    _refuse(~largest.isfinite(), file, "is not finite (NaN or infinity)")
    _refuse(largest == 0, file, "is zero and has no direction; a missing value is an absent row, so leave it out")
    if normalize:
        vectors = vectors / largest[:, None]  # first, so that no square overflows or vanishes
        vectors = vectors / vectors.norm(dim=1, keepdim=True)
    else:
        norms = vectors.norm(dim=1)  # (n,)
        off = (norms - 1).abs() > NORM_TOLERANCE
        found = f"has norm {float(norms[off][0]):.4g}" if bool(off.any()) else ""
        wanted = f"unit norm (within {NORM_TOLERANCE}) is needed: --normalize (normalize=True) divides by it"
        _refuse(off, file, f"{found}, and {int(off.sum())} of {counted(len(off), 'row')} are off; {wanted}")
    return vectors.float()


def _refuse(bad: Tensor, file: str, reason: str) -> None:
    """Refuse the first row that is marked in (n,) bool, if any."""
    if bool(bad.any()):
        raise ManymodalError(f"{file}, row {int(bad.int().argmax())} {reason}")


def _tensor(array: NDArray[Any], file: str) -> Tensor:
    """An array of floats as a tensor, in place where its layout allows."""
    native = array.dtype.newbyteorder("=")
    if native not in FLOATS:
        raise ManymodalError(f"{file} holds {array.dtype}; needed: {', '.join(map(str, FLOATS))}")
    tensor: Tensor = torch.from_numpy(np.require(array, native, ["C", "W"]))
    return tensor


def _array(column: Any, file: str) -> NDArray[Any]:
    """(n, d) the lists of a column."""
    if levels(column.type) != (1, "number"):
        raise ManymodalError(f"{file}: column vector is {column.type}; needed: a list of numbers in each row")
    width = lengths(column)  # (n,)
    _refuse(torch.from_numpy(~valid(column)), file, "has no vector; a missing value is an absent row, so leave it out")
    _refuse(
        torch.from_numpy(width != width[0]), file, f"has a vector of another length than row 0, which has {width[0]}"
    )
    numbers = flattened(column).to_numpy()  # (n d,) nulls become NaN
    floats: NDArray[Any] = numbers if numbers.dtype in FLOATS else numbers.astype(np.float64)
    return floats.reshape(len(column), width[0])  # (n, d)


def _read_lines(path: Path, n: int, beside: str) -> list[str | None] | None:
    """The n lines of a text file, None where one is blank; None where there is no such file."""
    if not path.exists():
        return None
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # reads CRLF as one end of line
    except OSError as error:
        raise ManymodalError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ManymodalError(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    if not lines[-1]:
        lines.pop()  # what follows the end of the last line
    if len(lines) != n:
        raise ManymodalError(
            f"{path.name} has {counted(len(lines), 'line')} and {beside} has {counted(n, 'row')}; "
            "needed: one line a row"
        )
    return [line if line.strip() else None for line in lines]


def _vector_file(
    file: str,
    vectors: Tensor,
    ids: Sequence[str | None] | None,
    labels: Sequence[str | None] | None,
    notes: list[str],
) -> VectorFile:
    """What was read, once every value is known to belong to an item or, where there are no ids, to a label alone."""
    known = [label if label and label.strip() else None for label in labels or [None] * len(vectors)]
    if ids is not None:
        for row, id in enumerate(ids):
            if id is None or not id.strip():
                raise ManymodalError(f"{file}, row {row} has a blank id; give it one, or leave the row out")
        return VectorFile(vectors, [str(id) for id in ids], known, notes)
    row_of: dict[str, int] = {}
    for row, label in enumerate(known):
        if label is None:
            raise ManymodalError(f"{file}, row {row} has neither an id nor a label; give it one, or leave the row out")
        if row_of.setdefault(label, row) != row:
            raise ManymodalError(
                f"{file} has no ids, so it has one value per label, but rows {row_of[label]} and {row} both have the "
                f"label {label!r}; give ids, or one row a label"
            )
    count = counted(len(known), "label")
    return VectorFile(vectors, None, known, [*notes, f"{file}: no ids, so one value per label ({count})"])
