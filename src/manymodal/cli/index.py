"""`manymodal index`: a table, or vectors from anywhere, made searchable."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .options import BadValues, Cache, OnBadValue, read_with_schema, say, say_bad


class Media(StrEnum):
    """What is kept to be shown with results."""

    thumbnails = "thumbnails"
    none = "none"


class EngineName(StrEnum):
    """Which form finds."""

    exact = "exact"
    lancedb = "lancedb"


def index(
    out: Annotated[Path, typer.Option(help="Folder for the index.", show_default=False)],
    space: Annotated[
        Path | None, typer.Argument(help="Folder of a saved space (not with --vectors).", show_default=False)
    ] = None,
    table: Annotated[
        Path | None, typer.Argument(help="Table to embed (not with --vectors).", show_default=False)
    ] = None,
    vectors: Annotated[
        Path | None, typer.Option(help="Folder of vectors: of `manymodal embed`, or .npy and ids, or Parquet.")
    ] = None,
    with_space: Annotated[
        Path | None, typer.Option(help="With --vectors: the space that made them, to ask with raw values.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="train, dev, test or all. Default: all.")] = None,
    engine: Annotated[
        EngineName | None, typer.Option(help="Default: exact below 100,000 vectors a modality, else lancedb.")
    ] = None,
    recall: Annotated[
        float, typer.Option(help="recall@10 that approximate search is set to, on its own rows.", min=0, max=1)
    ] = 0.98,
    media: Annotated[Media, typer.Option(help="Pictures and short sounds kept to be shown.")] = Media.thumbnails,
    link_space: Annotated[
        bool, typer.Option("--link-space", help="Name the space's folder instead of keeping a copy.")
    ] = False,
    normalize: Annotated[bool, typer.Option("--normalize", help="With --vectors: divide each by its norm.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an index that is there.")] = False,
    on_bad_value: BadValues = OnBadValue.stop,
    cache: Cache = None,
) -> None:
    """Make an index of a table's items, or of vectors from anywhere; search it, add to it, serve it."""
    from ..building import check_free
    from ..errors import ManymodalError
    from ..overview import summary
    from ..search_index import Index

    check_free(out, overwrite)  # before a large table is read

    chosen = engine and engine.value
    if vectors is not None:
        from ..vectors import read_vectors

        if space is not None or table is not None:
            raise ManymodalError("give a space and a table, or --vectors FOLDER, not both; --with-space names a space")
        read = read_vectors(vectors, split=split, normalize=normalize)
        say(read.notes)
        made = Index.build_from_vectors(out, read, space=with_space, engine=chosen, recall=recall, overwrite=overwrite)
    else:
        from ..space import load

        if space is None or table is None:
            raise ManymodalError(
                "give a space and a table (manymodal index SPACE TABLE --out INDEX), or --vectors FOLDER"
            )
        if space.is_file() and table.is_dir():
            raise ManymodalError(f"the space comes first: manymodal index {table} {space} --out {out}")
        loaded = load(space)
        data = read_with_schema(table, loaded.schema, on_bad_value)
        made = Index.build(
            out,
            data,
            loaded,
            split=split,
            engine=chosen,
            recall=recall,
            media=media is Media.thumbnails,
            space_folder=space if link_space else None,
            overwrite=overwrite,
            cache=cache,
        )
        say_bad(data)
    say(made.notes)
    typer.echo(summary(made))
