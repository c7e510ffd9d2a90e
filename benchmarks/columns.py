"""The benchmark data's arrays and texts, read without pickle, and as Arrow columns in the layout of a collection."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from manymodal.errors import ManymodalError

PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of a .npz file."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def array(path: Path) -> NDArray[Any]:
    """The array of a .npy file."""
    loaded: NDArray[Any] = np.load(path, allow_pickle=False)
    return loaded


def json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file."""
    with path.open(encoding="utf-8") as lines:  # not str.splitlines: it also breaks at separators that texts may hold
        return [json.loads(line) for line in lines]


def csv_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, by its header."""
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def vectors(matrix: NDArray[Any]) -> pa.Array:
    """(n, w) numbers as a column of n vectors, list<float32>."""
    offsets = np.arange(len(matrix) + 1, dtype=np.int32) * matrix.shape[1]
    return pa.ListArray.from_arrays(offsets, pa.array(matrix.astype(np.float32).ravel()))


def packed_pictures(packed: NDArray[np.uint8], offsets: NDArray[np.int64], paths: Sequence[str]) -> pa.Array:
    """Picture i is the JPEG in bytes offsets[i] to offsets[i + 1] of `packed`."""
    whole = packed.tobytes()
    pictures = [whole[start:end] for start, end in itertools.pairwise(offsets)]
    return pa.array([{"bytes": jpeg, "path": path} for jpeg, path in zip(pictures, paths, strict=True)], PICTURE)


def drawings(path: Path, codes: Sequence[str]) -> pa.Array:
    """Pictures (n, side, side[, 3]) uint8 as PNG files, null where `present` says that there is none."""
    stored = arrays(path)
    columns = zip(codes, stored["images"], stored["present"], strict=True)
    return pa.array(
        [{"bytes": png(pixels), "path": f"{code}.png"} if there else None for code, pixels, there in columns], PICTURE
    )


def png(pixels: NDArray[np.uint8]) -> bytes:
    """The picture's PNG file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def logmels(path: Path) -> pa.Array:
    """Utterances of (time, 40) log-mel frames, in decibels: -80 to 34 in whole steps, so that a byte each will do."""
    stored = arrays(path)
    decibels = stored["frames"].astype(np.int16) - 80  # (frames, 40)
    if decibels.max() > np.iinfo(np.int8).max:
        raise ManymodalError(f"{path.name} holds {decibels.max()} dB; at most 127 fit the column's type, int8")
    bands = np.arange(len(decibels) + 1, dtype=np.int32) * decibels.shape[1]
    frames = pa.ListArray.from_arrays(bands, pa.array(decibels.astype(np.int8).ravel()))
    return pa.ListArray.from_arrays(stored["offsets"].astype(np.int32), frames)


def grouped(values: pa.Array, owners: NDArray[np.int64], items: int) -> pa.Array:
    """Values as lists, one for each item, in their order; an item that owns none has an empty list."""
    ends = np.bincount(owners, minlength=items).cumsum()
    offsets = np.concatenate([[0], ends]).astype(np.int32)  # (items + 1,)
    return pa.ListArray.from_arrays(offsets, values.take(pa.array(np.argsort(owners, kind="stable"))))
