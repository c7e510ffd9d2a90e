"""Writers take turns: one lock for an index, let go of by the end of a process however that comes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ..errors import ManymodalError
from ..files import cannot_write

LOCK = ".write.lock"
BUILDING = "makes it anew"  # may take hours, and leaves other tables behind: nobody waits for it to end
PATIENCE, MOMENT = 120.0, 0.5  # seconds to wait for a write; for a build


@contextlib.contextmanager
def locked(folder: Path, doing: str) -> Iterator[None]:
    """A block in which no other process, and no other thread, writes to an index.

    Args:
        folder: of the index.
        doing: what the block does, in words, for those who wait.

    Raises:
        ManymodalError: somebody else is writing, and is not done within `PATIENCE` seconds or builds; or the folder
            cannot be written to.
    """
    try:
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        _wait(handle, folder)
        with contextlib.suppress(OSError):  # a full disk keeps nobody from removing items
            os.ftruncate(handle, 0)
            os.pwrite(handle, doing.encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _wait(handle: int, folder: Path) -> None:
    begin = time.monotonic()
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            doing = os.pread(handle, 100, 0).decode(errors="replace")
        except OSError as error:
            raise cannot_write(folder, error) from error
        if time.monotonic() - begin > (MOMENT if doing == BUILDING else PATIENCE):
            raise ManymodalError(
                f"another process is writing to {folder.name} ({doing or 'just now'}); nothing of this portion is in. "
                "Run it again when that is done"
            )
        time.sleep(0.01)
