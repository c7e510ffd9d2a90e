"""`manymodal embed`: the vectors of a table, as a folder that any program can read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import BadValues, Cache, OnBadValue, SpaceFolder, Table, read_with_schema, say_bad


def embed(
    space: SpaceFolder,
    table: Table,
    out: Annotated[Path, typer.Option(help="Folder for the embeddings.", show_default=False)],
    split: Annotated[str | None, typer.Option(help="train, dev, test or all. Default: all.")] = None,
    on_bad_value: BadValues = OnBadValue.stop,
    cache: Cache = None,
) -> None:
    """Embed every value of a table: a safetensors file for each modality, the items and labels as Parquet."""
    from ..folder import save_embeddings
    from ..space import load

    loaded = load(space)
    data = read_with_schema(table, loaded.schema, on_bad_value)
    embeddings, ordinals = loaded.encode_with_ordinals(data, split, cache=cache)
    say_bad(data)
    save_embeddings(out, embeddings, ordinals, data, loaded.fingerprint, split)
    typer.echo(f"{embeddings} is in {out}")
