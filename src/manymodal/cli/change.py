"""`manymodal add`, `remove` and `compact`: an index that changes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from ..words import counted
from .options import BadValues, Cache, IndexFolder, OnBadValue, lines_of, read_with_schema, say, say_bad


def add(
    index: IndexFolder,
    table: Annotated[
        Path | None, typer.Argument(help="Table with ids (not with --vectors).", show_default=False)
    ] = None,
    vectors: Annotated[Path | None, typer.Option(help="Folder of vectors, as for `manymodal index`.")] = None,
    split: Annotated[str | None, typer.Option(help="train, dev, test or all. Default: all.")] = None,
    normalize: Annotated[bool, typer.Option("--normalize", help="With --vectors: divide each by its norm.")] = False,
    on_bad_value: BadValues = OnBadValue.stop,
    cache: Cache = None,
) -> None:
    """Put items into an index; one whose id is there is replaced whole."""
    from ..errors import ManymodalError
    from ..index.layout import META
    from ..search_index import Index

    if (table is None) == (vectors is None):
        raise ManymodalError("give a table, or --vectors FOLDER, one of the two")
    if table is not None and (table / META).exists():
        raise ManymodalError(f"{table} is an index, which comes first: manymodal add {table} {index}")
    opened = Index.open(index)
    if vectors is not None:
        from ..vectors import read_vectors

        read = read_vectors(vectors, split=split, normalize=normalize)
        say(read.notes)
        done = opened.add_vectors(read)
    else:
        if opened.space is None:
            raise ManymodalError(f"{index} has no space to embed a table with; add vectors, or make it with its space")
        assert table is not None
        data = read_with_schema(table, opened.space.schema, on_bad_value)
        done = opened.add(data, split, cache)
        say_bad(data)
    say(list(done.notes))
    typer.echo(f"{counted(done.added, 'item')} added, {done.replaced:,} replaced; {index} is at version {done.version}")


def remove(
    index: IndexFolder,
    ids: Annotated[Path | None, typer.Option(help="File of ids, one a line.", show_default=False)] = None,
    id: Annotated[list[str] | None, typer.Option(help="One id; repeat it for several.", show_default=False)] = None,
) -> None:
    """Take items out of an index."""
    from ..errors import ManymodalError
    from ..index.store import Store

    named = list(id or [])
    if ids is not None:
        named += lines_of(ids)
    if not named:
        raise ManymodalError("no ids; give --ids FILE or --id ID")
    done = Store.open(index).delete(named)
    if done.absent:
        shown = ", ".join(map(repr, done.absent[:5])) + (" ..." if len(done.absent) > 5 else "")
        say([f"{counted(len(done.absent), 'id')} not there: {shown}"])
    typer.echo(f"{counted(done.removed, 'item')} removed; {index} is at version {done.version}")


def compact(
    index: IndexFolder,
    keep_days: Annotated[float, typer.Option(help="Versions younger than that stay.", min=0)] = 7.0,
) -> None:
    """Merge what many writes left, and drop old versions; searches go on meanwhile."""
    from ..index.store import Store

    store = Store.open(index)
    before = len(store.history())
    store.compact(timedelta(days=keep_days))
    history = store.history()
    typer.echo(f"{index} is at version {history[-1].number}; {counted(before, 'version')} became {len(history):,}")
