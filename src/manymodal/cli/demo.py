"""`manymodal demo`: the glyph finder, end to end, with no download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for the collection, the space, the report and the pictures.")
    ] = Path("demo"),
    epochs: Annotated[int | None, typer.Option(help="Default: what fits into a few minutes on two cores.")] = None,
    limit: Annotated[int | None, typer.Option(help="Use that many characters only.")] = None,
    seed: Annotated[int, typer.Option(help="Of first weights and training.")] = 0,
    serve: Annotated[bool, typer.Option("--serve", help="Open the page of the demo; made first if need be.")] = False,
    port: Annotated[int, typer.Option(help="With --serve: where; 0 for any that is free.", min=0, max=65_535)] = 8000,
) -> None:
    """Build the glyph collection, fit a space, measure it, and find characters by name, by drawing and by both."""
    from ..demo.run import INDEX, run

    if not serve or not (out / INDEX).exists():
        run(out, epochs, limit, seed)
    if serve:
        from ..search_index import Index
        from ..server.run import serve as serve_index

        serve_index(Index.open(out / INDEX), port=port)
