"""Features of frozen encoders, computed once: on disk, by content and model."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ..collection.media import open_media
from ..errors import BadValue, ManymodalError
from ..files import replacing
from .base import Encoder, Packed

BATCH = 256  # values computed at once, between two reports of progress
SHARD = 2_048  # values in a file: what a killed run loses at most
KEY_BYTES = 16
Keys = NDArray[np.bytes_]


def cache_folder() -> Path:
    """Where features are kept unless said: MANYMODAL_CACHE, else `manymodal` in the user's cache folder."""
    if own := os.environ.get("MANYMODAL_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "manymodal"


class FeatureStore:
    """A folder with a folder for each encoder (its fingerprint), with shards of keys and features.

    Shards are only ever added, each under a name of its own and put in place when complete: several processes may
    fill one store, and one that is killed leaves nothing broken. A value's key is a hash of its content, so the same
    caption in another table, or the same picture under another name, is found.

    Args:
        folder: None for `cache_folder()`.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = cache_folder() if folder is None else Path(folder)
        self._writable = True

    def features(
        self, encoder: Encoder, values: Sequence[Any], progress: Callable[[int], None] | None = None
    ) -> Tensor:
        """(n, width) float32 features, on the CPU; each distinct value that is not stored is computed once and stored.

        Args:
            encoder: in evaluation mode here, whatever mode it is in.
            values: n raw values.
            progress: called with how many more of the n values are done; the calls add up to n.

        Raises:
            BadValue: with the number of a value that cannot be used; what was computed before it is stored.
        """
        if not len(values):
            return torch.zeros(0, encoder.width)
        keys = np.array([key_of(encoder, value, index) for index, value in enumerate(values)], f"S{KEY_BYTES}")
        distinct, first, inverse, times = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        done = progress or (lambda count: None)
        found = torch.zeros(len(distinct), encoder.width)
        folder = self.folder / "features" / encoder.fingerprint()
        have = self._fill(found, distinct, folder)
        if have.any():
            done(int(times[have].sum()))
        missing = np.flatnonzero(~have)
        missing = missing[first[missing].argsort()]  # in the order of the values
        for shard in _parts(missing, SHARD):
            try:
                for rows in _parts(shard, BATCH):
                    found[rows] = _computed(encoder, values, first[rows])
                    have[rows] = True
                    done(int(times[rows].sum()))
            finally:
                kept = shard[have[shard]]
                self._write(folder, distinct[kept], found[kept])
        return found[inverse]  # (n, width)

    def _fill(self, found: Tensor, distinct: Keys, folder: Path) -> NDArray[np.bool_]:
        """Copy what the shards hold; which rows of `found` that was."""
        have = np.zeros(len(distinct), dtype=bool)
        for file in sorted(folder.glob("*.safetensors")):
            stored = _read(file, found.shape[1])
            if stored is None:
                continue
            keys, features = stored
            place = np.searchsorted(distinct, keys).clip(max=len(distinct) - 1)  # (k,)
            hit = distinct[place] == keys  # (k,)
            found[place[hit]] = features[hit]
            have[place[hit]] = True
        return have

    def _write(self, folder: Path, keys: Keys, features: Tensor) -> None:
        if not self._writable or not len(keys):
            return
        raw = torch.from_numpy(np.frombuffer(keys.tobytes(), dtype=np.uint8).copy()).view(-1, KEY_BYTES)  # (k, 16)
        try:
            with replacing(folder / f"{uuid4().hex}.safetensors") as aside:
                aside.write_bytes(save({"keys": raw, "features": features.contiguous()}))
        except ManymodalError as error:
            self._writable = False
            warnings.warn(f"features are computed but not kept: {error}", stacklevel=3)


def key_of(encoder: Encoder, value: Any, index: int) -> bytes:
    """A value's key: a hash of its content; files and bytes, text and whatever the encoder packs never share one."""
    if isinstance(value, str):
        kind, content = b"text", value.encode("utf-8", "surrogatepass")
    elif isinstance(value, (bytes, Path)):
        try:
            kind, content = b"file", open_media(value)
        except ManymodalError as error:
            raise BadValue(index, str(error)) from error
    else:
        packed = encoder.pack([value], first=index).data
        kind, content = f"{packed.dtype}{tuple(packed.shape)}".encode(), packed.contiguous().numpy().tobytes()
    return blake2b(content, digest_size=KEY_BYTES, key=kind[:64]).digest()


def computed(encoder: Encoder, values: Sequence[Any]) -> Tensor:
    """(n, width) float32 features, computed and kept nowhere, on the CPU.

    Raises:
        BadValue: with the number of a value that cannot be used.
    """
    return torch.cat([_computed(encoder, values, rows) for rows in _parts(np.arange(len(values)), BATCH)])


def _computed(encoder: Encoder, values: Sequence[Any], rows: NDArray[np.int64]) -> Tensor:
    packed = Packed.concatenate([encoder.pack([values[row]], first=row) for row in rows.tolist()])
    training = encoder.training
    encoder.eval()
    with torch.no_grad():
        features: Tensor = encoder(packed.to(encoder.device))
    encoder.train(training)
    return features.float().cpu()


def _read(file: Path, width: int) -> tuple[Keys, Tensor] | None:
    """A shard's keys and features; None, said and thrown away, where it is not a whole one."""
    try:
        shard = load_file(file)
        keys, features = shard["keys"], shard["features"]
        if keys.shape == (len(features), KEY_BYTES) and features.shape[1:] == (width,):
            return np.frombuffer(keys.numpy().tobytes(), dtype=f"S{KEY_BYTES}"), features
        reason = f"features {tuple(features.shape)} for keys {tuple(keys.shape)}"
    except FileNotFoundError:  # another process threw it away meanwhile
        return None
    except (SafetensorError, OSError, KeyError) as error:
        reason = str(error)
    warnings.warn(f"a broken file of stored features is replaced: {file} ({reason})", stacklevel=4)
    with suppress(OSError):  # a read-only store keeps it, and it is passed over again next time
        file.unlink(missing_ok=True)
    return None


def _parts(rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))
