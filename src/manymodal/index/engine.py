"""LanceDB, as far as it is not its tables: opened, its errors in words, and what it wrote on the disk for good."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from ..errors import ManymodalError
from ..files import cannot_write, sync

ERRORS = (RuntimeError, OSError, ValueError)  # what it raises, whatever went wrong
MISSING = {errno.ENOENT, errno.ENOTDIR}
CONFLICT = re.compile(r"conflict|concurrent (transaction|writer)|retryable", re.IGNORECASE)


def connect(folder: Path) -> Any:
    """The engine, on a folder of tables; every read sees the newest version.

    Raises:
        ManymodalError: LanceDB is not installed.
    """
    try:
        import lancedb
    except ImportError as error:
        raise ManymodalError(
            "an index needs LanceDB, which is not installed: pip install 'manymodal[index]'"
        ) from error
    return lancedb.connect(str(folder), read_consistency_interval=timedelta(0))


@contextlib.contextmanager
def in_words(folder: Path) -> Iterator[None]:
    """A block that reads or writes the tables of an index; what the engine raises there is said in words.

    Raises:
        ManymodalError: the disk is full or read-only, another program wrote at the same moment, or files are damaged.
    """
    try:
        yield
    except ManymodalError:
        raise
    except ERRORS as error:
        said = str(error)
        if (system := _of_system(error)) is not None:
            raise cannot_write(folder, system) from error
        if CONFLICT.search(said):
            raise ManymodalError(
                f"another process wrote to {folder.name} at the same moment; nothing of this portion is in. "
                "Run it again"
            ) from error
        if type(error) is ValueError and not re.match("Table '.*' was not found", said):
            raise  # the question was wrong, not the tables
        raise ManymodalError(
            f"the tables of {folder.name} are damaged: a file is missing or cut short. Put back a copy of the folder, "
            "or make the index again (--overwrite)"
        ) from error


def _of_system(error: Exception) -> OSError | None:
    """What the operating system refused, where it did; a missing file is damage."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (said := re.search(r"os error (\d+)", str(error))):
        number = int(said[1])
    return None if number is None or number in MISSING else OSError(number, os.strerror(number))


@contextlib.contextmanager
def lasting(folder: Path) -> Iterator[None]:
    """A block that writes, alone, into the tables of a folder: what it wrote is on the disk when it ends.

    LanceDB leaves that to the system, so that what was acknowledged could be lost with the power. And it leaves the
    files of a write that failed, so that a disk that was full would stay so: these are removed.
    """
    before = _files(folder)
    try:
        yield
    except ERRORS:
        new = _files(folder) - before
        if not any(path.suffix == ".manifest" for path in new):  # no version came of it
            for path in new:
                with contextlib.suppress(OSError):
                    path.unlink()
        raise
    new = _files(folder) - before
    holding = {file.parent for file in new}
    made = holding - {file.parent for file in before}
    for path in new | holding | {above for one in made for above in one.parents if above.is_relative_to(folder)}:
        with contextlib.suppress(FileNotFoundError):  # a file moved into place, or cleaned up
            sync(path)


def _files(folder: Path) -> set[Path]:
    found = (one for table in folder.glob("*.lance") for one in os.walk(table))
    return {Path(here, file) for here, _, files in found for file in files}
