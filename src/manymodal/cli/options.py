"""Options and small steps that several commands share."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..words import counted

if TYPE_CHECKING:
    from rich.console import Console

    from ..collection import BadRow, Collection, Schema

SHOWN = 20  # broken values that are listed


class OnBadValue(StrEnum):
    """What to do with a value that cannot be used."""

    stop = "stop"
    skip = "skip"


class Correction(StrEnum):
    """What can be corrected for, with a bank of train embeddings."""

    qb_norm = "qb_norm"
    nnn = "nnn"
    csls = "csls"
    mean_removal = "mean_removal"


Table = Annotated[Path, typer.Argument(help="Parquet file or folder of shards, CSV or JSONL.", show_default=False)]
SpaceFolder = Annotated[Path, typer.Argument(help="Folder of a saved space.", show_default=False)]
IndexFolder = Annotated[Path, typer.Argument(help="Folder of an index.", show_default=False)]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="YAML file that says what is not to be inferred.")]
BadValues = Annotated[
    OnBadValue, typer.Option("--on-bad-value", help="A value that cannot be used: stop, or count it as missing.")
]
Cache = Annotated[
    Path | None, typer.Option("--cache", help="Folder of stored features. Default: the user's cache folder.")
]


def read_with_schema(table: Path, schema: Schema, on_bad_value: OnBadValue) -> Collection:
    """A table read as a space reads it; what is worth knowing about it goes to stderr."""
    from ..collection import read_collection

    data = read_collection(table, schema=schema, on_bad_value=on_bad_value.value)
    say(data.notes)
    return data


def console() -> Console:
    """For tables on stdout; wide where no terminal says how wide it is. Cells are shown as they are: no markup."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 160, markup=False, emoji=False)


def say(notes: list[str]) -> None:
    """Print remarks on stderr, so that stdout holds results alone."""
    for note in notes:
        typer.echo(note, err=True)


def lines_of(path: Path) -> list[str]:
    """The lines of a small text file, without empty ones.

    Raises:
        ManymodalError: it cannot be read.
    """
    from ..errors import ManymodalError

    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManymodalError(f"{path} is not a text file; needed: UTF-8, one entry a line") from error
    except OSError as error:
        raise ManymodalError(f"cannot read {path}: {error.strerror or error}") from error
    return [line for line in text.splitlines() if line.strip()]


def say_bad(data: Collection) -> None:
    """List the values that were skipped while the table was read, if any."""
    list_bad(data.bad)


def list_bad(bad: list[BadRow]) -> None:
    """Say how many values were broken, and the first of them."""
    if bad:
        typer.echo(f"{counted(len(bad), 'value')} cannot be used; skipped and counted as missing:", err=True)
        say([f"  {one.modality}, {one.id}: {one.reason}" for one in bad[:SHOWN]])
        if len(bad) > SHOWN:
            typer.echo(f"  ... and {len(bad) - SHOWN} more", err=True)
