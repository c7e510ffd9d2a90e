"""The report of an evaluation: files to read, to look at and to compute with, and a table for the terminal."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ManymodalError
from ..files import replacing, write_json
from ..words import counted
from .classification import Classified
from .entry import Entry, Gain
from .examples import Example
from .grid import Row, cell, grid
from .health import Finding
from .highlights import attention
from .names import Names
from .page import page
from .plot import save_heatmap
from .tables import directions_csv, gains_csv, latex

if TYPE_CHECKING:
    from rich.table import Table

SCHEMA = 1
HEADER = 60  # characters that the targets' names may take side by side


def versions() -> dict[str, str]:
    """Of what the figures depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in ("manymodal", "torch", "numpy")}}


@dataclass(frozen=True)
class Report:
    """Every direction of a split, and what it takes to measure it again.

    Args:
        split: name of the split.
        items: how many items it has.
        directions: the entries.
        seed: the space's training seed; None where it was not trained.
        space: the space's fingerprint; None for vectors that came from elsewhere.
        settings: of the evaluation, as JSON can hold them.
        versions: {package: version}.
        gains: what each modality adds to a query.
        health: what was looked at in the space, and what is out of the ordinary.
        classification: how well values are told apart by what label modalities say of each label.
        examples: queries that went well and that went badly.
        calibration: {target: {modality: weight}} of the calibrated figures.
        notes: what a reader has to know of how these figures came about.
        names: the user's words for items and labels.
    """

    split: str
    items: int
    directions: Sequence[Entry]
    seed: int | None = None
    space: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=versions)
    gains: Sequence[Gain] = ()
    health: Sequence[Finding] = ()
    classification: Sequence[Classified] = ()
    examples: Sequence[Example] = ()
    calibration: dict[str, dict[str, float]] | None = None
    notes: Sequence[str] = ()
    names: Names = field(default_factory=Names, repr=False)

    def find(
        self, query: str | Sequence[str], target: str | Sequence[str], unit: str | None = None, match: str | None = None
    ) -> Entry:
        """The entry of a direction; `unit` and `match` are needed where it was measured in several.

        Raises:
            ManymodalError: it was not measured, or in several units or kinds of match and none is named.
        """
        wanted = tuple(tuple(sorted((side,) if isinstance(side, str) else side)) for side in (query, target))
        of_direction = [e for e in self.directions if (e.direction.query, e.direction.target) == wanted]
        found = [e for e in of_direction if unit in (None, e.direction.unit) and match in (None, e.match)]
        if len(found) == 1:
            return found[0]
        words = "->".join("+".join(side) for side in wanted)
        have = ", ".join(f"unit={e.direction.unit!r} match={e.match!r}" for e in of_direction)
        raise ManymodalError(
            f"direction {words} with unit={unit!r}, match={match!r} is here {len(found)} times, needed is one; "
            + (f"it was measured with {have}" if have else "it was not measured: ask for it in `directions`")
        )

    def to_json(self) -> dict[str, Any]:
        """The content of `report.json`."""
        return {
            "schema": SCHEMA,
            "split": self.split,
            "items": self.items,
            "seed": self.seed,
            "versions": self.versions,
            "space": self.space,
            "settings": self.settings,
            "directions": [entry.to_dict() for entry in self.directions],
            "gains": [gain.to_dict() for gain in self.gains],
            "health": [finding.to_dict() for finding in self.health],
            "classification": [one.to_dict() for one in self.classification],
            "calibration": self.calibration,
            "notes": list(self.notes),
        }

    def remarks(self) -> list[str]:
        """What a reader has to know, and what asks for attention: a line for each note and each check."""
        return [*self.notes, *(one.words() for one in attention(self.health))]

    def save(self, folder: Path | str) -> None:
        """Write the report into a folder, which is made where there is none.

        `report.html` is the whole of it as one page; `report.json` the figures, `queries.parquet` the rank of each
        query's first match, from which `manymodal compare` compares spaces; `heatmap.png`; `directions.csv`,
        `gains.csv` and `table.tex` are for spreadsheets and papers.

        Raises:
            ManymodalError: they cannot be written; a file that is not replaced is as it was.
        """
        folder = Path(folder)
        with replacing(folder / "heatmap.png") as aside:
            save_heatmap(self.directions, aside, f"{self.split} split, {counted(self.items, 'item')}")
        with replacing(folder / "queries.parquet") as aside:
            write_queries(self, aside)
        texts = {
            "directions.csv": directions_csv(self),
            "gains.csv": gains_csv(self),
            "table.tex": latex(self),
            "report.html": page(self),
        }
        for name, text in texts.items():
            with replacing(folder / name) as aside:
                aside.write_text(text, encoding="utf-8")
        write_json(folder / "report.json", self.to_json())

    def table(self) -> Table:
        """Share of queries with a match in first place, in %: a row for each query, a column for each target.

        Columns are numbered, with a legend, where their names would not fit side by side.
        """
        from rich import box
        from rich.table import Table
        from rich.text import Text  # names are shown as they are: no brackets in them are taken for markup

        targets, rows = grid(self.directions)
        numbered = sum(len(name) + 3 for name in targets) > HEADER
        table = Table(
            title=Text(f"hit@1 in %, {self.split} split, {counted(self.items, 'item')}"),
            caption=Text(_caption(self.directions, targets if numbered else [])),
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            padding=(0, 1, 0, 0),
            caption_justify="left",
        )
        table.add_column("query", min_width=20)
        table.add_column("queries", justify="right", no_wrap=True)
        table.add_column("skipped", justify="right", no_wrap=True)
        for number, name in enumerate(targets, 1):
            table.add_column(Text(f"-> {number if numbered else name}"), justify="right", no_wrap=True)
        for heading, group in groupby(rows, key=lambda row: row.heading):
            table.add_section()
            table.add_row(heading, style="bold")
            for row in group:
                table.add_row(*map(Text, _line(row, targets)))
        return table


def write_queries(report: Report, path: Path) -> None:
    """The rank of the first match of each scored query, as Parquet.

    Columns: direction (int32, its place in `report.json`), owner (the item's id, or the label's name), first (int32),
    and calibrated_first (int32, null where nothing was weighted).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [("direction", pa.int32()), ("owner", pa.string()), ("first", pa.int32()), ("calibrated_first", pa.int32())]
    )
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for number, entry in enumerate(report.directions):
            if entry.scored is None:
                continue
            owners = [report.names.owner(entry.direction.unit, owner) for owner in entry.scored.owners.tolist()]
            weighted = entry.calibrated_scored
            columns = {
                "direction": [number] * len(owners),
                "owner": owners,
                "first": entry.scored.first.cpu().numpy(),
                "calibrated_first": [None] * len(owners) if weighted is None else weighted.first.cpu().numpy(),
            }
            writer.write_table(pa.table(columns, schema=schema))


def _line(row: Row, targets: Sequence[str]) -> list[str]:
    entries = row.cells.values()
    return [
        f"  {row.name}",
        _span([entry.queries for entry in entries]),
        _span([sum(entry.skipped.values()) for entry in entries]),
        *(cell(row.cells[name]) if name in row.cells else "" for name in targets),
    ]


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low}–{high}"


def _caption(entries: Sequence[Entry], numbered: Sequence[str]) -> str:
    notes = [f"{number}: {name}" for number, name in enumerate(numbered, 1)]
    if any(entry.skipped["part"] or entry.skipped["match"] for entry in entries):
        notes.append("skipped: without a part of the query, or without a match in the gallery")
    if any(len(entry.direction.query) > 1 for entry in entries):
        notes.append("combined: parts weigh alike here; report.html has calibrated weights beside them")
    if any(entry.leak for entry in entries):
        notes.append("*: one side was made from the other")
    return "\n".join(notes)
