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
) -> None:
    """Build the glyph collection, fit a space, measure it, and find characters by name, by drawing and by both."""
    from ..demo.run import run

    run(out, epochs, limit, seed)
