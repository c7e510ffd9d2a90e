"""The state of an unfinished run in one file, written aside and moved into place; read with `weights_only`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from ..errors import ManymodalError
from ..files import replacing
from ..processes import Processes

FILE = "checkpoint.pt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write tensors, numbers, strings, lists and dicts; the previous checkpoint stays until this one is complete."""
    content = _to_bytes(state)  # torch writing to a file of its own would not say why it cannot
    with replacing(folder / FILE) as aside:
        aside.write_bytes(content)


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The last complete checkpoint, or None where there is none yet.

    Raises:
        ManymodalError: the file is there but cannot be read.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        return _from_bytes(path.read_bytes())
    except Exception as error:  # torch raises many kinds for a damaged file
        raise ManymodalError(f"{path} is damaged ({error}); remove {folder} and start without --resume") from error


def state_of_first(state: dict[str, Any], processes: Processes) -> dict[str, Any]:
    """The state that process 0 has, on every process."""
    if processes.size == 1:
        return state
    return _from_bytes(processes.first(_to_bytes(state) if processes.rank == 0 else b""))


def _to_bytes(state: dict[str, Any]) -> bytes:
    content = io.BytesIO()
    torch.save(state, content)
    return content.getvalue()


def _from_bytes(content: bytes) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return state
