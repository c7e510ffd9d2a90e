"""Writing that never harms what is already there: beside, synced, then moved into place."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from .errors import ManymodalError

if TYPE_CHECKING:
    from torch import Tensor


def sync(path: Path) -> None:
    """Flush a file's or folder's contents to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write a file to; on success it takes `path`'s place in one step, else it goes.

    Raises:
        ManymodalError: the disk is full, the folder is read-only or the file cannot be written; `path` is untouched.
    """
    aside = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        sync(aside)
        aside.replace(path)
        sync(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give a fresh folder beside `path` to fill; on success it takes `path`'s place, else it goes and `path` stays.

    A folder cannot be swapped with another in one step, so an existing `path` is first moved aside, and moved back
    if the new one does not get into place. What a process that was killed between the two moves has left is put back
    first. Where `path` is a link to a folder, that folder is replaced.

    Raises:
        ManymodalError: the disk is full, the parent is read-only or a file cannot be written; `path` is untouched.
    """
    given, path = path, path.resolve()
    mark = uuid4().hex[:8]
    aside, old = path.with_name(f".{path.name}.{mark}"), path.with_name(f".{path.name}.{mark}.old")
    try:
        _clear_up(path)
        aside.mkdir(parents=True)
        yield aside
        for file in aside.rglob("*"):
            sync(file)
        sync(aside)
        if path.exists():
            path.rename(old)
        aside.rename(path)
        sync(path.parent)
    except OSError as error:
        raise cannot_write(given, error) from error
    finally:
        if old.exists() and not path.exists():  # whatever kept the new one out, Ctrl-C included
            old.rename(path)
        for folder in (aside, old):
            shutil.rmtree(folder, ignore_errors=True)


def _clear_up(path: Path) -> None:
    """Put back, or throw away where `path` is in place, what a killed process moved aside; and what it wrote."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.old")
    left = [one for one in path.parent.glob(".*.old") if pattern.fullmatch(one.name)]
    for old in left:
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(path)
        shutil.rmtree(old.with_suffix(""), ignore_errors=True)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON (no NaN: what is undefined is null), beside and then into place."""
    with replacing(path) as aside:
        aside.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors as a safetensors file; where that fails, with an `OSError` as any other file would.

    Raises:
        OSError: the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(tensors, path)
    except SafetensorError as error:
        raise OSError(str(error)) from error


def cannot_write(path: Path, error: OSError) -> ManymodalError:
    """The error for a failed write, in words; what stood at `path` before is still there."""
    reason = error.strerror or str(error)
    return ManymodalError(
        f"cannot write {path}: {reason}. What was there before is untouched; free space or name another place"
    )
