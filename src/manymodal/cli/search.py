"""`manymodal search`: any combination of modalities, against any one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import BadValues, Cache, Correction, OnBadValue, SpaceFolder, Table, console, read_with_schema, say_bad

if TYPE_CHECKING:
    from ..collection import Collection
    from ..index.exact import Hit

WIDEST = 60  # characters shown of a cell


def search(
    space: SpaceFolder,
    table: Table,
    query: Annotated[
        list[str],
        typer.Option(
            help="NAME=text, NAME=@file (picture, sound, .npy vector or series, .json for a table) or id:NAME=ID "
            "(that item's own value). Repeat it for several parts or values; @@ at the start is a literal @.",
            show_default=False,
        ),
    ],
    target: Annotated[str, typer.Option(help="Modality to search in.", show_default=False)],
    weight: Annotated[list[str] | None, typer.Option(help="NAME=0.3: how much a part counts; 1 unless said.")] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="As --query: what hits should not be like (weight -0.5).")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many items.")] = 10,
    split: Annotated[str | None, typer.Option(help="Search among train, dev or test rows. Default: every row.")] = None,
    correct: Annotated[
        Correction | None, typer.Option(help="Against hubs, or against the gap between modalities.")
    ] = None,
    equal_weights: Annotated[
        bool, typer.Option("--equal-weights", help="Several parts count alike, not as calibrated on dev.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the hits as JSON.")] = False,
    on_bad_value: BadValues = OnBadValue.stop,
    cache: Cache = None,
) -> None:
    """Find the items of a table that fit a query of one or several parts."""
    from ..space import load

    loaded = load(space)
    data = read_with_schema(table, loaded.schema, on_bad_value)
    parts, not_like = (parse_parts(texts or [], data) for texts in (query, without))
    hits = loaded.search(
        parts,
        target,
        data,
        k,
        weights=parse_weights(weight or []),
        without=not_like,
        split=split,
        calibrated=not equal_weights,
        correct=correct and correct.value,
        cache=cache,
    )
    say_bad(data)
    if as_json:
        typer.echo(json.dumps([hit.to_dict() for hit in hits], ensure_ascii=False, default=str))
    else:
        show(hits)


def parse_parts(texts: list[str], data: Collection) -> dict[str, list[Any]]:
    """{modality: values} of NAME=VALUE texts; a repeated name gives several values.

    Raises:
        ManymodalError: no "=", an unknown name, or a file that cannot be read.
    """
    from ..errors import ManymodalError

    parts: dict[str, list[Any]] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        stored = name.startswith("id:")
        name = name.removeprefix("id:")
        if not sign:
            raise ManymodalError(f"{text!r}: write NAME=VALUE, NAME=@file or id:NAME=ID")
        if name not in data.schema.modalities:
            raise ManymodalError(f"no modality {name!r}; there are {', '.join(data.schema.modalities)}")
        if stored:
            values = data.value_of(name, value)
            if not values:
                raise ManymodalError(f"item {value!r} has no value in {name!r}, so it cannot be asked with")
            parts.setdefault(name, []).extend(values)
        else:
            parts.setdefault(name, []).append(parse_value(value, name, data.schema.modalities[name].kind))
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


def show(hits: list[Hit]) -> None:
    """Hits as a table for people."""
    from rich.table import Table as RichTable

    table = RichTable("")
    parts = list(hits[0].parts) if hits else []
    for name in ("id", "score", *(f"~ {part}" for part in parts)):
        table.add_column(name, justify="left" if name == "id" else "right", no_wrap=True)
    names = dict.fromkeys(name for hit in hits for name in hit.columns)
    columns = [name for name in names if any(str(hit.columns.get(name)) != hit.id for hit in hits)]
    for name in columns:
        table.add_column(name, overflow="fold")
    for place, hit in enumerate(hits, 1):
        figures = [f"{hit.score:.3f}", *(f"{hit.parts[part]:.3f}" for part in parts)]
        table.add_row(str(place), hit.id, *figures, *(_short(hit.columns.get(name)) for name in columns))
    console().print(table)


def _short(cell: Any) -> str:
    text = "" if cell is None else str(cell)
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"
