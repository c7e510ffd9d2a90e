"""The glyph finder end to end: build the collection, fit a space, measure it, search with words, drawings and both."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..errors import ManymodalError

if TYPE_CHECKING:
    from ..collection import Collection
    from ..index.exact import Hit
    from ..space import Space
    from .sheet import SheetRow

SETTINGS: dict[str, Any] = {"epochs": 16, "batch_size": 128, "lr": 2e-3}  # a few minutes on two cores
OBJECTIVE = "pcmc"  # with which its figures are measured
HITS = 6
INDEX = "glyphs.index"
FACE = "sans"

# What it asks for: unseen characters by their names, drawings (among all characters), drawings and words together.
NAMES = 3
DRAWN = (("triangle", "name"), ("arrow", "name"), ("heart", FACE), ("note", FACE))
BOTH = (("arrow", "double"), ("smile", "frowning face"))


def run(out: Path, epochs: int | None, limit: int | None, seed: int) -> None:
    """Leave collection, space, report and pictures in `out`, and say on stdout what came of it."""
    from rich.console import Console

    from ..collection import read_collection
    from ..search_index import Index
    from ..space import Space
    from .families import twin_share

    table = _timed("drawing the characters", lambda: _write_table(out, limit))
    data = read_collection(out / "glyphs.parquet", config=out / "glyphs.yaml")
    typer.echo(f"{len(data):,} characters in {len(data.schema.modalities)} modalities")
    space = Space.for_collection(data, seed=seed, objective=OBJECTIVE)
    _timed("learning one space", lambda: space.fit(data, **SETTINGS | ({"epochs": epochs} if epochs else {})))
    for note in space.notes:
        typer.echo(note)
    space.save(out / "space")
    report = _timed("measuring it on characters never seen", lambda: space.evaluate(data, "test"))
    report.save(out / "report")
    Console(width=None if sys.stdout.isatty() else 160).print(report.table())
    share = twin_share(table, data.rows("test").tolist())
    typer.echo(f"{share:.1%} of the test characters have a twin among them: another one that is, or is drawn, the same")
    _sheet(space, data, table, out / "searches.png")
    _timed("indexing all characters", lambda: Index.build(out / INDEX, data, space, overwrite=True))
    typer.echo(f"\n{out}/searches.png shows the searches, {out}/report/report.html the figures. Search it yourself:\n")
    program = "manymodal" if shutil.which("manymodal") else sys.argv[0]  # `make demo` puts it beside the code
    typer.echo(f'  {program} search {out}/{INDEX} --query name="black heart" --target sans')
    here = "" if out == Path("demo") else f" --out {out}"
    typer.echo(f"  {program} demo --serve{here}        # a page to draw on, to describe on, or both")


def _write_table(out: Path, limit: int | None) -> Any:
    import pyarrow.parquet as pq
    import yaml

    from ..files import replacing
    from .glyphs import GLYPH_CONFIG, glyph_table

    if out.exists() and any(out.iterdir()) and not (out / "glyphs.yaml").exists():
        raise ManymodalError(f"{out} exists and holds something else; choose another folder with --out")
    shutil.rmtree(out / "report", ignore_errors=True)
    table = glyph_table(limit)
    with replacing(out / "glyphs.parquet") as aside:
        pq.write_table(table, aside)
    with replacing(out / "glyphs.yaml") as aside:
        aside.write_text(yaml.safe_dump(GLYPH_CONFIG, sort_keys=False), encoding="utf-8")
    return table


def _sheet(space: Space, data: Collection, table: Any, path: Path) -> None:
    """Search, print what is found, and draw it."""
    from .drawing import DRAWINGS, draw
    from .sheet import contact_sheet

    rows: list[SheetRow] = []
    unseen = _well_known(data, table)
    for row in unseen:
        name = table["name"][row].as_py()
        hits = space.search({"name": name}, FACE, data, HITS, split="test")
        rows.append(_row(table, data, f"name → {FACE}, unseen characters", hits, words=name, sought=data.ids[row]))
    for seed, (shape, target) in enumerate(DRAWN):
        picture = draw(DRAWINGS[shape], waver=0.012, seed=seed)
        hits = space.search({FACE: picture}, target, data, HITS)
        rows.append(_row(table, data, f"drawing → {target}, all characters", hits, shape=shape, picture=picture))
    for seed, (shape, words) in enumerate(BOTH):
        picture = draw(DRAWINGS[shape], waver=0.012, seed=seed)
        hits = space.search({FACE: picture, "name": words}, FACE, data, HITS)
        rows.append(
            _row(
                table,
                data,
                f"drawing and words → {FACE}, all characters",
                hits,
                words=words,
                shape=shape,
                picture=picture,
            )
        )
    contact_sheet(rows, path, "Glyph finder")


def _well_known(data: Collection, table: Any) -> list[int]:
    """A few test characters with telling names, spread over the collection."""
    rows = [
        int(row) for row in data.rows("test") if table[FACE][int(row)].is_valid and len(_name(table, row).split()) >= 3
    ]
    return rows[:: max(1, len(rows) // NAMES)][:NAMES]


def _name(table: Any, row: int) -> str:
    name: str = table["name"][int(row)].as_py()
    return name


def _row(
    table: Any,
    data: Collection,
    title: str,
    hits: Sequence[Hit],
    words: str | None = None,
    shape: str | None = None,
    picture: bytes | None = None,
    sought: str | None = None,
) -> SheetRow:
    """A row of the contact sheet, also printed."""
    from .sheet import SheetHit, SheetRow

    found = [f"{table['character'][data.row_of(hit.id)]} {_name(table, data.row_of(hit.id))}" for hit in hits[:3]]
    asked = " and ".join([*([f"a drawn {shape}"] if shape else []), *([f'"{words}"'] if words else [])])
    typer.echo(f"{title}: {asked}: {'; '.join(found)}")
    shown = []
    for hit in hits:
        glyph = table[FACE][data.row_of(hit.id)].as_py()
        shown.append(SheetHit(_name(table, data.row_of(hit.id)), hit.score, glyph and glyph["bytes"], hit.id == sought))
    return SheetRow(title, shown, words=words, picture=picture)


def _timed(what: str, do: Callable[[], Any]) -> Any:
    started = time.monotonic()
    done = do()
    typer.echo(f"{what}: {time.monotonic() - started:.0f} s")
    return done
