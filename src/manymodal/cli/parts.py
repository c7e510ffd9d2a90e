"""Parts of a query as they are written on the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Written(NamedTuple):
    """What NAME=VALUE texts say of one modality: raw values, and ids of items whose own values are asked with."""

    values: list[Any]
    ids: list[str]


def parse_parts(texts: list[str], kinds: Mapping[str, str | None]) -> dict[str, Written]:
    """{modality: what was said} of NAME=VALUE and id:NAME=ID texts; a repeated name gives several values.

    Args:
        texts: as they were written.
        kinds: {modality: its kind}; None where raw values of it cannot be read.

    Raises:
        ManymodalError: no "=", an unknown name, or a file that cannot be read.
    """
    from ..errors import ManymodalError

    parts: dict[str, Written] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        stored = name.startswith("id:")
        name = name.removeprefix("id:")
        if not sign:
            raise ManymodalError(f"{text!r}: write NAME=VALUE, NAME=@file or id:NAME=ID")
        if name not in kinds:
            raise ManymodalError(f"no modality {name!r}; there are {', '.join(kinds)}")
        said, kind = parts.setdefault(name, Written([], [])), kinds[name]
        if stored:
            said.ids.append(value)
        elif kind is None:
            raise ManymodalError(f"{text!r}: vectors of {name!r} came without a space; ask with id:{name}=ID")
        else:
            said.values.append(parse_value(value, name, kind))
    return parts


def parse_value(text: str, name: str, kind: str) -> Any:
    """A value as it is written on the command line, for a modality of the given kind."""
    from ..errors import ManymodalError

    if kind == "text":
        if text.startswith("@@"):
            return text[1:]
        return (
            text
            if not text.startswith("@")
            else _reading(Path(text[1:]), lambda path: path.read_text(encoding="utf-8"))
        )
    if not text.startswith("@"):
        wanted = {"image": "picture", "audio": "sound", "table": ".json file"}.get(kind, ".npy file")
        raise ManymodalError(f"{name}={text}: {name!r} is {kind}; give a {wanted} as {name}=@FILE, or id:{name}=ID")
    path = Path(text[1:])
    if kind in ("vector", "series"):
        return _reading(path, _array)
    if kind == "table":
        return _reading(path, lambda path: json.loads(path.read_text(encoding="utf-8")))
    return path if path.is_file() else _reading(path, Path.read_bytes)


def parse_weights(texts: list[str]) -> dict[str, float]:
    """{modality: weight} of NAME=NUMBER texts."""
    from ..errors import ManymodalError

    weights = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            weights[name] = float(value)
        except ValueError:
            raise ManymodalError(f"--weight {text!r}: write NAME=NUMBER, such as photo=0.3") from None
    return weights


def _array(path: Path) -> Any:
    import numpy as np

    with path.open("rb") as file:  # read_array takes a .npy file and nothing else, where np.load would try more
        return np.lib.format.read_array(file, allow_pickle=False).astype(np.float32)


def _reading(path: Path, read: Any) -> Any:
    from ..errors import ManymodalError

    try:
        return read(path)
    except OSError as error:
        raise ManymodalError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ManymodalError(f"{path} does not hold what was asked for: {error}") from error
