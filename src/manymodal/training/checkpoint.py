"""The state of an unfinished run in one file, written aside and moved into place; read with `weights_only`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from ..errors import ManymodalError
from ..files import replacing

FILE = "checkpoint.pt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write tensors, numbers, strings, lists and dicts; the previous checkpoint stays until this one is complete."""
    content = io.BytesIO()  # torch writing to a file of its own would not say why it cannot
    torch.save(state, content)
    with replacing(folder / FILE) as aside:
        aside.write_bytes(content.getbuffer())


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The last complete checkpoint, or None where there is none yet.

    Raises:
        ManymodalError: the file is there but cannot be read.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise ManymodalError(f"{path} is damaged ({error}); remove {folder} and start without --resume") from error
    return state
