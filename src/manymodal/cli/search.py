"""`manymodal search`: any combination of modalities, against any one, in an index or in a table."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import BadValues, Cache, Correction, OnBadValue, console, read_with_schema, say_bad
from .parts import parse_parts, parse_weights

if TYPE_CHECKING:
    from ..collection import Collection
    from ..index.exact import Hit
    from ..space import Space

WIDEST = 60  # characters shown of a cell


class FusionName(StrEnum):
    """How several parts become one list."""

    compose = "compose"
    rank = "rank"


def search(
    where_to: Annotated[
        Path, typer.Argument(metavar="INDEX|SPACE", help="Folder of an index, or of a space.", show_default=False)
    ],
    table: Annotated[Path | None, typer.Argument(help="With a space: the table to search.", show_default=False)] = None,
    query: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=text, NAME=@file (picture, sound, .npy vector or series, .json for a table) or id:NAME=ID "
            "(that item's own value). Repeat it for several parts or values; @@ at the start is a literal @.",
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Modality to search in; of an index also item: all of them.", show_default=False)
    ] = None,
    weight: Annotated[list[str] | None, typer.Option(help="NAME=0.3: how much a part counts; 1 unless said.")] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="As --query: what hits should not be like (weight -0.5).")
    ] = None,
    where: Annotated[
        str | None, typer.Option(help='Of an index: a condition on its columns, such as "year > 2010".')
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many items.")] = 10,
    split: Annotated[
        str | None, typer.Option(help="Of a table: search train, dev or test rows. Default: every row.")
    ] = None,
    correct: Annotated[
        Correction | None, typer.Option(help="Against hubs, or against the gap between modalities.")
    ] = None,
    equal_weights: Annotated[
        bool, typer.Option("--equal-weights", help="Several parts count alike, not as calibrated on dev.")
    ] = False,
    fusion: Annotated[
        FusionName, typer.Option(help="Of an index: one composed query, or the parts' ranks added up.")
    ] = FusionName.compose,
    version: Annotated[int | None, typer.Option(help="Of an index: an earlier version of it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the hits as JSON.")] = False,
    on_bad_value: BadValues = OnBadValue.stop,
    cache: Cache = None,
) -> None:
    """Find the items of an index, or of a table, that fit a query of one or several parts."""
    from ..errors import ManymodalError
    from ..index.layout import META

    if not where_to.exists():
        raise ManymodalError(f"{where_to} is not there; needed: the folder of an index, or of a space and then a table")
    is_index = (where_to / META).exists()
    if is_index and (table is not None or split is not None):
        raise ManymodalError(f"{where_to} is an index, which has its items: leave the table and --split out")
    if not is_index and (where is not None or version is not None or fusion is not FusionName.compose):
        raise ManymodalError("--where, --version and --fusion are for an index; make one with `manymodal index`")
    weights = parse_weights(weight or [])
    options: dict[str, Any] = {"calibrated": not equal_weights, "correct": correct and correct.value}
    if is_index:
        options |= {"where": where, "fusion": fusion.value}
        hits = _in_index(where_to, version, query or [], without or [], weights, target, k, options)
    else:
        if table is None:
            raise ManymodalError(f"{where_to} is not an index; give the table to search: manymodal search SPACE TABLE")
        space, data = _space_and_table(where_to, table, on_bad_value)
        target = _chosen(target, list(data.schema.modalities))
        parts, not_like = (_values(texts, data) for texts in (query or [], without or []))
        hits = space.search(
            parts, target, data, k, weights=weights, without=not_like, split=split, cache=cache, **options
        )
        say_bad(data)
    if as_json:
        typer.echo(json.dumps([hit.to_dict() for hit in hits], ensure_ascii=False, default=str))
    else:
        show(hits)


def _in_index(
    folder: Path,
    version: int | None,
    query: list[str],
    without: list[str],
    weights: dict[str, float],
    target: str | None,
    k: int,
    options: dict[str, Any],
) -> list[Hit]:
    from ..index.records import ITEM
    from ..querying import WITHOUT, check_weights
    from ..requests import QueryPart, Request
    from ..search_index import Index

    index = Index.open(folder, version=version)
    target = _chosen(target, [*index.modalities, ITEM])
    kinds = {name: one.kind if one.queryable else None for name, one in index.modalities.items()}
    asked, not_like = parse_parts(query, kinds), parse_parts(without, kinds)
    check_weights(weights, asked)
    parts = [QueryPart(name, *said, weight=weights.get(name, 1.0)) for name, said in asked.items()]
    parts += [QueryPart(name, *said, weight=WITHOUT) for name, said in not_like.items()]
    return index.search(Request(parts, target, k, **options))


def _chosen(target: str | None, names: list[str]) -> str:
    from ..errors import ManymodalError

    if target is None:
        raise ManymodalError(f"no target; --target NAME says where to search: {', '.join(names)}")
    return target


def _space_and_table(folder: Path, table: Path, on_bad_value: OnBadValue) -> tuple[Space, Collection]:
    from ..space import load

    space = load(folder)
    return space, read_with_schema(table, space.schema, on_bad_value)


def _values(texts: list[str], data: Collection) -> dict[str, list[Any]]:
    """{modality: values} to ask with; stored ones are taken from the table."""
    from ..errors import ManymodalError

    found: dict[str, list[Any]] = {}
    for name, said in parse_parts(texts, {name: one.kind for name, one in data.schema.modalities.items()}).items():
        found[name] = list(said.values)
        for id in said.ids:
            values = data.value_of(name, id)
            if not values:
                raise ManymodalError(f"item {id!r} has no value in {name!r}, so it cannot be asked with")
            found[name] += values
    return found


def show(hits: list[Hit]) -> None:
    """Hits as a table for people."""
    from rich.table import Table as RichTable

    if not hits:
        typer.echo("nothing found")
        return
    table = RichTable("")
    parts = list(hits[0].parts)
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
