"""`manymodal describe`: what a table holds, before anything is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..words import counted
from .options import ConfigFile, Table, console, list_bad, say

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from ..collection import Description


def describe(
    table: Table,
    config: ConfigFile = None,
    yaml: Annotated[
        bool, typer.Option("--yaml", help="Print what was inferred as YAML, to be kept and changed.")
    ] = False,
) -> None:
    """Say which modalities a table has, how many values, gaps and broken ones; exit code 1 when a value is broken."""
    from ..collection import read_collection, yaml_of

    data = read_collection(table, config=config, on_bad_value="skip")
    if yaml:
        typer.echo(yaml_of(data.schema), nl=False)
        return
    description = data.describe()
    say(description.notes)
    console().print(modalities_table(description), counts(description))
    list_bad(description.bad)
    if description.bad:
        raise typer.Exit(1)


def modalities_table(description: Description) -> RichTable:
    """A row a modality."""
    from rich.table import Table as RichTable

    caption = "present, missing: items (labels, where per label)"
    table = RichTable(title=counted(description.items, "item"), caption=caption)
    for name in ("modality", "kind", "columns"):
        table.add_column(name, overflow="fold")
    for name in ("present", "missing", "values", "per item", "width"):
        table.add_column(name, justify="right")
    for name, m in description.modalities.items():
        low, high = m.several or (0, 0)
        kind = m.kind if m.per == "item" else f"{m.kind}, per label"
        numbers = [f"{m.present:,}", f"{m.missing:,}", f"{m.values:,}", f"{low}" if low == high else f"{low} to {high}"]
        table.add_row(name, kind, ", ".join(m.columns), *numbers, "" if m.width is None else str(m.width))
    return table


def counts(description: Description) -> str:
    """Splits and labels in a line each."""
    lines = ["splits: " + ", ".join(f"{name} {count:,}" for name, count in description.splits.items())]
    if description.labels:
        shown = [f"{name} {count:,}" for name, count in list(description.labels.items())[:12]]
        more = len(description.labels) - len(shown)
        lines.append(
            f"{counted(len(description.labels), 'label')}: {', '.join(shown)}{f', and {more} more' if more else ''}"
        )
    return "\n".join(lines)
