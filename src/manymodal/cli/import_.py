"""`manymodal import`: data sets in the layout in which they were published, as collections."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..words import counted
from .options import BadValues, OnBadValue, list_bad, say

if TYPE_CHECKING:
    from ..collection.readers import Published

imports = typer.Typer(no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="Folder that the data set was unpacked to.", show_default=False)]
Out = Annotated[
    Path, typer.Option(help="NAME.parquet; the NAME.yaml that reads it comes beside it.", show_default=False)
]
Link = Annotated[
    bool, typer.Option("--link", help="Store paths relative to the table instead of the pictures and sounds.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a table and YAML of that name.")]


@imports.callback()
def gather() -> None:
    """Make a collection of a data set in its published layout: one table, and the YAML that reads it."""


@imports.command()
def flickr8k(
    folder: Folder,
    out: Out,
    link: Link = False,
    on_bad_value: BadValues = OnBadValue.stop,
    overwrite: Overwrite = False,
) -> None:
    """Flickr8k: photos, English captions, splits; spoken and Chinese captions where they are."""
    from ..collection.readers import read_flickr8k

    _check_free(out, [""], overwrite)
    start = out.parent if link else None
    _write(read_flickr8k(folder, link_from=start, skip=on_bad_value is OnBadValue.skip), out)


@imports.command()
def cub(
    folder: Folder,
    out: Out,
    crop: Annotated[bool, typer.Option("--crop", help="Cut each photo along its published bounding box.")] = False,
    image_attributes: Annotated[
        bool, typer.Option("--image-attributes", help="Read the attributes seen in each photo, too.")
    ] = False,
    link: Link = False,
    on_bad_value: BadValues = OnBadValue.stop,
    overwrite: Overwrite = False,
) -> None:
    """CUB-200-2011: photos, species, splits; captions, parts, attributes, zero-shot splits where they are."""
    from ..collection.readers import read_cub

    _check_free(out, ["", "_zero_shot"], overwrite)
    found = read_cub(
        folder,
        link_from=out.parent if link else None,
        skip=on_bad_value is OnBadValue.skip,
        crop=crop,
        per_image=image_attributes,
    )
    _write(found, out)


def _check_free(out: Path, configs: list[str], overwrite: bool) -> None:
    """Refuse to write over a table, or a YAML that may have been changed by hand, unless that was asked for."""
    from ..collection.readers.published import config_paths
    from ..errors import ManymodalError

    if out.suffix != ".parquet":
        raise ManymodalError(f"--out {out}: found the ending {out.suffix!r}; needed: .parquet")
    there = [path for path in [out, *config_paths(out, configs)] if path.exists()]
    if there and not overwrite:
        raise ManymodalError(f"{there[0]} exists; choose another --out, or say --overwrite to replace it")


def _write(found: Published, out: Path) -> None:
    say(found.notes)
    written = found.write(out)
    list_bad(found.bad)
    others = " or ".join(f"--config {path}" for path in written[1:])
    typer.echo(f"{counted(found.count, 'item')} with {', '.join(found.columns)} in {out}; to be read with {others}")
