"""`manymodal compare`: seeds averaged, and two settings beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ManymodalError
from ..words import counted
from .options import console, say

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from ..evaluation.average import Average, Spread
    from ..evaluation.compare import Paired
    from ..evaluation.dots import Dot
    from ..evaluation.saved import Key, SavedReport

ENOUGH = 3  # trainings of a setting before a difference is called one
LISTED = 10  # directions that are named where they are left out
LEAK = "*: one side was made from the other"
SPREAD = "mean ± standard deviation over trainings"
PLAIN = {"median_rank"}  # metrics that are not a share


def compare(
    reports: Annotated[
        list[Path], typer.Argument(help="Folders of saved reports: trainings of one setting.", show_default=False)
    ],
    against: Annotated[
        list[Path] | None, typer.Option(help="A report of another setting to compare with; may be repeated.")
    ] = None,
    metric: Annotated[
        str, typer.Option(help="Such as hit@1 or mrr; without --against any that was measured.")
    ] = "hit@1",
    calibrated: Annotated[
        bool, typer.Option("--calibrated", help="With --against: combined queries with calibrated weights.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for compare.json and compare.png.")] = None,
) -> None:
    """Average the reports of several trainings, or compare two settings direction by direction."""
    from ..evaluation.saved import read_report, shared_directions

    if calibrated and not against:
        raise ManymodalError("--calibrated is for --against; averages show the calibrated figures beside the raw ones")
    twice = {folder.resolve() for folder in reports} & {folder.resolve() for folder in against or []}
    if twice:
        raise ManymodalError(f"{min(twice)} is on both sides; --against takes the reports of another setting")
    here, there = ([read_report(folder) for folder in side] for side in (reports, against or []))
    _, left_out = shared_directions([*here, *there])
    _say_left_out(left_out)
    content: dict[str, Any] = {
        "schema": 1,
        "split": here[0].split,
        "items": here[0].items,
        "metric": metric,
        "reports": _about(here),
        "left_out": [key._asdict() for key in left_out],
    }
    if there:
        table, dots, more = _differences(here, there, metric, calibrated)
        content |= {"against": _about(there), "calibrated": calibrated, **more}
    else:
        table, dots, more = _averages(here, metric)
        content |= more
    console().print(table)
    if out is not None:
        _save(out, content, dots, here, there)


def _averages(reports: Sequence[SavedReport], metric: str) -> tuple[RichTable, list[Dot], dict[str, Any]]:
    """What one setting reaches: as a table, a picture and JSON."""
    from ..evaluation.average import average
    from ..evaluation.dots import Dot

    rows = average(reports)
    known = dict.fromkeys(name for row in rows for figures in row.figures.values() for name in figures)
    if metric not in known:
        raise ManymodalError(f"metric {metric!r} was not measured; allowed are {', '.join(known)}")
    kinds = dict.fromkeys(kind for row in rows for kind, figures in row.figures.items() if metric in figures)
    table = _table(
        f"{metric}{_unit(metric)}, {_split(reports)}, {counted(len(reports), 'training')}",
        [SPREAD] * (len(reports) > 1) + [LEAK] * any(row.leak for row in rows),
        ("queries", *kinds),
    )
    for row in rows:
        spreads = [row.figures.get(kind, {}).get(metric) for kind in kinds]
        table.add_row(_name(row), f"{row.queries:,}", *("" if s is None else _spread(s, metric) for s in spreads))
    dots = []
    for row in rows:
        spread = row.figures["raw"].get(metric)
        if spread is not None and spread.mean is not None:
            at, sd = spread.mean * _factor(metric), (spread.sd or 0.0) * _factor(metric)
            dots.append(Dot(_name(row), at, (at - sd, at + sd)))
    return table, dots, {"directions": [row.to_dict() for row in rows]}


def _differences(
    here: Sequence[SavedReport], there: Sequence[SavedReport], metric: str, calibrated: bool
) -> tuple[RichTable, list[Dot], dict[str, Any]]:
    """How far one setting lies above the other: as a table, a picture and JSON."""
    from ..evaluation.compare import paired
    from ..evaluation.dots import Dot
    from ..progress import bar

    fewest = min(len(here), len(there))
    if fewest < ENOUGH:
        say(
            [
                "fewer than three seeds: a difference between trainings is not shown; "
                "what is marked holds for these spaces, not for how they were made"
            ]
        )
    with bar("compare", len(here[0].entries)) as advance:
        rows = paired(here, there, metric, calibrated=calibrated, progress=lambda done, of: advance(1, ""))
    unshared = sum(row.unshared > 0 for row in rows)
    if unshared:
        say([f"{counted(unshared, 'direction')} with items that one side alone scored; means are over each side's own"])
    varied = "items and trainings" if max(len(here), len(there)) > 1 else "items"
    table = _table(
        f"{metric}{_unit(metric)}, {_split(here)}",
        [
            *_sides(here, there),
            f"95 % interval over {varied}; p adjusted for {counted(len(rows), 'direction')} (Holm)",
            "▲ ▼: A is higher, lower: adjusted p below 0.05",
            *[LEAK] * any(row.leak for row in rows),
        ],
        ("items", "A", "B", "A - B", "95 % interval", "p", ""),
    )
    dots, factor = [], _factor(metric)
    for row in rows:
        means = ["–" if one is None else f"{factor * one:.1f}" for one in row.means]
        d = row.difference
        if d is None:
            table.add_row(_name(row), f"{row.items:,}", *means)
            continue
        low, high = (factor * end for end in d.ci)
        mark = ("▲" if d.mean > 0 else "▼") if row.significant else ""
        shown = (f"{factor * d.mean:+.1f}", f"{low:+.1f} to {high:+.1f}", _p(row), mark)
        table.add_row(_name(row), f"{row.items:,}", *means, *shown)
        dots.append(Dot(_name(row), factor * d.mean, (low, high), row.significant))
    return table, dots, {"interval": varied, "directions": [row.to_dict() for row in rows]}


def _save(
    out: Path, content: dict[str, Any], dots: list[Dot], here: Sequence[SavedReport], there: Sequence[SavedReport]
) -> None:
    """Write compare.json and, of what was scored, compare.png."""
    from ..evaluation.dots import save_dots
    from ..files import replacing, write_json

    write_json(out / "compare.json", content)
    if not dots:
        say([f"{out / 'compare.json'}; no picture, since no query was scored"])
        return
    metric = content["metric"]
    if there:
        title, notes = f"{metric}, A less B", [*_sides(here, there), "in colour: adjusted p below 0.05"]
    else:
        title, notes = f"{metric} over {counted(len(here), 'training')}", [_names(here), SPREAD]
    notes += [LEAK] if any(dot.name.endswith("*") for dot in dots) else []
    with replacing(out / "compare.png") as aside:
        save_dots(dots, aside, title, f"{metric}{_unit(metric)}", notes)
    say([f"{out / 'compare.json'} and {out / 'compare.png'}"])


def _table(title: str, notes: Sequence[str], columns: Sequence[str]) -> RichTable:
    from rich import box
    from rich.table import Table
    from rich.text import Text  # names are shown as they are: no brackets in them are taken for markup

    table = Table(
        title=Text(title), caption=Text("\n".join(notes)), box=box.SIMPLE_HEAD, pad_edge=False, caption_justify="left"
    )
    table.add_column("direction", min_width=20)
    for name in columns:
        table.add_column(Text(name), justify="right", no_wrap=True)
    return table


def _say_left_out(keys: Sequence[Key]) -> None:
    """Name the directions that are not compared."""
    if keys:
        more = len(keys) - LISTED
        say([f"{counted(len(keys), 'direction')} left out, not in every report:"])
        say([f"  {key}" for key in keys[:LISTED]] + ([f"  ... and {more} more"] if more > 0 else []))


def _about(reports: Sequence[SavedReport]) -> list[dict[str, Any]]:
    return [{"folder": str(r.folder), "seed": r.seed, "space": r.space} for r in reports]


def _sides(here: Sequence[SavedReport], there: Sequence[SavedReport]) -> list[str]:
    return [f"A: {_names(here)}", f"B: {_names(there)}"]


def _names(reports: Sequence[SavedReport]) -> str:
    return ", ".join(str(report.folder) for report in reports)


def _split(reports: Sequence[SavedReport]) -> str:
    return f"{reports[0].split} split, {counted(reports[0].items, 'item')}"


def _name(row: Average | Paired) -> str:
    return f"{row.key}{' *' if row.leak else ''}"


def _spread(spread: Spread, metric: str) -> str:
    """A mean with its standard deviation, where there is one."""
    if spread.mean is None:
        return "–"
    shown = f"{_factor(metric) * spread.mean:.1f}"
    return shown if spread.sd is None else f"{shown} ± {_factor(metric) * spread.sd:.1f}"


def _p(row: Paired) -> str:
    return "" if row.p is None else "<0.001" if row.p < 0.001 else f"{row.p:.3f}"


def _factor(metric: str) -> int:
    return 1 if metric in PLAIN else 100


def _unit(metric: str) -> str:
    return "" if metric in PLAIN else " in %"
