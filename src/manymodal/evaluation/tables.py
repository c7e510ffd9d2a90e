"""The figures of a report for spreadsheets and papers: CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..words import counted
from .entry import Entry, Figures, Gain
from .headline import largest, singles

if TYPE_CHECKING:
    from .report import Report

PLACES = ("hit@1", "hit@5", "hit@10")  # of the LaTeX table
GAINS = ("query", "added", "target", "unit", "leak", "items", "without", "with", "gain", "low", "high", "p")
SIGNS = {
    **{sign: rf"\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
}


def directions_csv(report: Report) -> str:
    """A row a direction: all metrics, then intervals (`hit@1 low`), then each variant (`calibrated hit@1`).

    Shares lie between 0 and 1; what is undefined or was not measured is empty; several modalities are joined by +.
    """
    return _csv([_direction(entry) for entry in report.directions])


def gains_csv(report: Report) -> str:
    """A row for each modality added to a query: hit@1 without and with it, then calibrated (0 to 1)."""
    return _csv([_gain(gain) for gain in report.gains], GAINS)


def latex(report: Report) -> str:
    """A table of every single direction and the largest query to each target, for the `booktabs` package.

    In % but for the median rank. Leaks are marked, and the caption says of what the figures are.
    """
    groups = [group for group in (singles(report.directions), largest(report.directions)) if group]
    places = [place for place in PLACES if all(place in entry.metrics for group in groups for entry in group)]
    lines = [line for group in groups for line in (r"\midrule", *(_line(entry, places) for entry in group))]
    header = ["query", "target", "unit", "queries", "gallery", *places, "median rank"]
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_caption(report, [entry for group in groups for entry in group])}}}",
            rf"\begin{{tabular}}{{lll{'r' * (len(header) - 3)}}}",
            r"\toprule",
            " & ".join(map(escape, header)) + r" \\",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def escape(text: str) -> str:
    """A text as LaTeX sets it."""
    return "".join(SIGNS.get(sign, sign) for sign in " ".join(text.split()))


# -- CSV -----------------------------------------------------------------------------------------------------------


def _csv(rows: Sequence[Mapping[str, Any]], least: Sequence[str] = ()) -> str:
    """Rows under the columns that any of them has, and those that are there in any case."""
    columns = dict.fromkeys([*least, *(name for row in rows for name in row)])
    file = io.StringIO()
    writer = csv.DictWriter(file, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _direction(entry: Entry) -> dict[str, Any]:
    return {
        "query": "+".join(entry.direction.query),
        "target": "+".join(entry.direction.target),
        "unit": entry.direction.unit,
        "match": entry.match,
        "leak": int(entry.leak),
        "queries": entry.queries,
        **{f"skipped {why}": count for why, count in entry.skipped.items()},
        "gallery": entry.gallery,
        **entry.metrics,
        "hubness": entry.hubness,
        **{
            f"{name} {end}": at
            for name, ends in entry.ci.items()
            for end, at in zip(("low", "high"), ends, strict=True)
        },
        **_named("calibrated", entry.calibrated or {}),
        **{name: at for method, figures in entry.corrected.items() for name, at in _named(method, figures).items()},
        **_named("graded", entry.graded or {}),
    }


def _named(variant: str, figures: Figures) -> Figures:
    return {f"{variant} {name}": figure for name, figure in figures.items()}


def _gain(gain: Gain) -> dict[str, Any]:
    weighted = _difference(gain.calibrated) if gain.calibrated else {}
    return {
        "query": "+".join(gain.query),
        "added": gain.added,
        "target": "+".join(gain.target),
        "unit": gain.unit,
        "leak": int(gain.leak),
        "items": gain.items,
        **_difference(gain),
        **{f"calibrated {name}": figure for name, figure in weighted.items()},
    }


def _difference(gain: Gain) -> dict[str, Any]:
    low, high = gain.ci or (None, None)
    return {"without": gain.hit[0], "with": gain.hit[1], "gain": gain.gain, "low": low, "high": high, "p": gain.p}


# -- LaTeX ---------------------------------------------------------------------------------------------------------


def _line(entry: Entry, places: Iterable[str]) -> str:
    median = entry["median_rank"]
    cells = [
        escape(" + ".join(entry.direction.query)) + (r"\textsuperscript{*}" if entry.leak else ""),
        escape(" + ".join(entry.direction.target)),
        entry.direction.unit,
        str(entry.queries),
        str(entry.gallery),
        *("--" if entry[place] is None else f"{100 * (entry[place] or 0):.1f}" for place in places),
        "--" if median is None else f"{median:g}",
    ]
    return " & ".join(cells) + r" \\"


def _caption(report: Report, entries: Sequence[Entry]) -> str:
    units = {
        "value": "value: one value is a query",
        "item": "item: all values of an item, composed",
        "label": "label: all values of a label, composed",
    }
    seed = "" if report.seed is None else f", seed {report.seed}"
    used = {entry.direction.unit for entry in entries}
    sentences = [
        f"Retrieval on the {report.split} split ({counted(report.items, 'item')}{seed}).",
        "Hits are in %: some match is among the first k.",
        *(["Units: " + "; ".join(words for unit, words in units.items() if unit in used) + "."] if used else []),
    ]
    marked = [r"\textsuperscript{*} One side was made from the other."] if any(e.leak for e in entries) else []
    return " ".join([*map(escape, sentences), *marked])
