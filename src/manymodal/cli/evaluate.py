"""`manymodal evaluate`: how well every direction finds its matches."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .options import BadValues, Cache, OnBadValue, SpaceFolder, Table, console, read_with_schema, say_bad


class Unit(StrEnum):
    """What one query is."""

    value = "value"
    item = "item"


class Match(StrEnum):
    """What makes a match."""

    item = "item"
    label = "label"


class Parts(StrEnum):
    """Which parts a query needs."""

    all = "all"
    any = "any"


def evaluate(
    space: SpaceFolder,
    table: Table,
    split: Annotated[str, typer.Option(help="train, dev, test, or all.")] = "test",
    out: Annotated[Path | None, typer.Option(help="Folder for report.json and heatmap.png.")] = None,
    directions: Annotated[
        list[str] | None,
        typer.Option(help='Such as "photo+caption->speech"; may be repeated. Default: singles, and all but one.'),
    ] = None,
    unit: Annotated[Unit | None, typer.Option(help="Default: singles in both, combined queries by item.")] = None,
    match: Annotated[
        Match, typer.Option(help="Whether things match as the same item or as the same kind.")
    ] = Match.item,
    parts: Annotated[Parts, typer.Option(help="Whether a query needs every part of its direction.")] = Parts.all,
    bootstrap: Annotated[int | None, typer.Option(help="Draws for 95 % intervals of hit@k.", min=1)] = None,
    on_bad_value: BadValues = OnBadValue.stop,
    cache: Cache = None,
) -> None:
    """Rank the gallery of every direction for each of its queries, and report hit@k, mrr, median rank and map."""
    from ..space import load

    loaded = load(space)
    data = read_with_schema(table, loaded.schema, on_bad_value)
    report = loaded.evaluate(
        data,
        split,
        cache=cache,
        directions=directions or None,
        unit=unit.value if unit else None,
        match=match.value,
        parts=parts.value,
        bootstrap=bootstrap,
    )
    say_bad(data)
    console().print(report.table())
    if out is not None:
        report.save(out)
        typer.echo(f"{out / 'report.json'} and {out / 'heatmap.png'}", err=True)
