"""Pictures in the report's page: a heatmap of directions, what each modality adds, and rank curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np

from ..entry import Entry, Figures, Gain
from ..grid import grid
from ..headline import between, in_words, largest, points, singles
from .markup import Markup, joined, table, tag

RAW, CALIBRATED = "equal weights", "calibrated weights"
MOST_GAINS = 12  # to one target; of more, means over the queries that a modality is added to
COLOURS = 8  # of curves, in the page's style
HOT = 0.36  # share from which on a cell's colour needs the other ink; the page's script knows it too

# -- heatmap -------------------------------------------------------------------------------------------------------


def heatmap(entries: Sequence[Entry]) -> Markup:
    """A table with a row a query and a column a target, whose figures the page's script can change."""
    metrics, variants = _metrics(entries), _variants(entries)
    columns, rows = grid(entries)
    head = tag("tr", tag("th", "query", scope="col"), [tag("th", f"→\u00a0{name}", scope="col") for name in columns])
    bodies = []
    for heading, group in groupby(rows, key=lambda row: row.heading):
        lines = [tag("tr", tag("th", heading, scope="rowgroup", colspan=len(columns) + 1, class_="group"))]
        for row in group:
            cells = [_cell(row.cells.get(name), metrics, variants) for name in columns]
            lines.append(tag("tr", tag("th", row.name, scope="row"), cells))
        bodies.append(tag("tbody", lines))
    switches = tag(
        "p",
        _switch("metric", "figure", [(name, _title(name)) for name in metrics]),
        _switch("variant", "scores", [(name, name) for name in variants]) if len(variants) > 1 else "",
        class_="switches",
        hidden=True,
    )
    caption = "In %, queries down, targets across. The stronger the colour the better, on a scale of square roots."
    made = tag("table", tag("thead", head), bodies, id="heatmap", data_variants=json.dumps(variants))
    about = tag("p", "Point at a figure, or walk the table with the arrow keys, to read about it here.", id="about")
    box = tag("div", made, class_="scroll heat", role="region", aria_label="heatmap of directions")
    return joined(switches, tag("p", caption, class_="caption"), box, about)


def _metrics(entries: Sequence[Entry]) -> list[str]:
    """The shares among the metrics; hits first."""
    names = list(dict.fromkeys(name for entry in entries for name in entry.metrics))
    return [name for name in names if name.startswith("hit@")] + [name for name in ("mrr", "map") if name in names]


def _variants(entries: Sequence[Entry]) -> list[str]:
    corrections = dict.fromkeys(method for entry in entries for method in entry.corrected)
    return [RAW, *([CALIBRATED] if any(entry.calibrated for entry in entries) else []), *corrections]


def _title(metric: str) -> str:
    return f"{metric}: a match in the top {metric.partition('@')[2]}" if metric.startswith("hit@") else metric


def _switch(name: str, label: str, options: Sequence[tuple[str, str]]) -> Markup:
    chosen = [tag("option", words, value=place) for place, (_, words) in enumerate(options)]
    return tag("label", f"{label} ", tag("select", chosen, id=name))


def figures_of(entry: Entry, variant: str) -> Figures | None:
    """The metrics of a variant; a single modality has nothing to weigh, and its figures are as they are."""
    if variant == RAW or (variant == CALIBRATED and len(entry.direction.query) == 1):
        return entry.metrics
    return entry.calibrated if variant == CALIBRATED else entry.corrected.get(variant)


def _cell(entry: Entry | None, metrics: Sequence[str], variants: Sequence[str]) -> Markup:
    if entry is None:
        return tag("td", class_="none")
    of_variants = [figures_of(entry, variant) or {} for variant in variants]
    figures = [[None if f.get(m) is None else round(f[m] or 0, 4) for m in metrics] for f in of_variants]
    share = figures[0][0]
    return tag(
        "td",
        ("–" if share is None else f"{100 * share:.1f}") + ("*" if entry.leak else ""),
        title=about(entry),
        style=f"--share:{0 if share is None else round(100 * share**0.5)}",
        class_="hot" if (share or 0) > HOT else None,
        data_leak=entry.leak,
        data_figures=json.dumps(figures, separators=(",", ":")),
    )


def about(entry: Entry) -> str:
    """What a figure of a direction is of, and how sure it is."""
    skipped = [
        f"{entry.skipped['part']:,} without a part" if entry.skipped["part"] else "",
        f"{entry.skipped['match']:,} without a match" if entry.skipped["match"] else "",
    ]
    ends = entry.ci.get("hit@1")
    notes = [
        f"{in_words(entry)}, by {entry.direction.unit}: {entry.queries:,} scored",
        f"skipped {' and '.join(filter(None, skipped)) or 'none'}",
        f"gallery of {entry.gallery:,}",
        f"hit@1 between {100 * ends[0]:.1f} and {100 * ends[1]:.1f} %" if ends and ends[0] < ends[1] else "",
        "leak: one side was made from the other" if entry.leak else "",
    ]
    return "; ".join(filter(None, notes))


# -- what each modality adds ---------------------------------------------------------------------------------------


class Span(NamedTuple):
    """A figure and the ends of its interval; in hit@1."""

    at: float
    low: float
    high: float

    def words(self) -> str:
        """In points."""
        return points(self.at) + between((self.low, self.high))

    def sign(self) -> str:
        """Whether all of the interval lies on one side of nothing; one without length shows nothing."""
        return "level" if self.low == self.high else "up" if self.low > 0 else "down" if self.high < 0 else "level"


@dataclass(frozen=True)
class Added:
    """One line of the picture: a modality, what it is added to, and what that brings."""

    name: str
    to: str
    raw: Span
    calibrated: Span | None


def gain_charts(gains: Sequence[Gain]) -> Markup:
    """For each target a line for each modality that can be added to a query, with its interval."""

    def place(gain: Gain) -> tuple[tuple[str, ...], str]:
        return gain.target, gain.unit

    groups = [(key, list(group)) for key, group in groupby(sorted(gains, key=place), key=place)]
    many = any(len(group) > MOST_GAINS for _, group in groups)
    lines = [(key, _means(group) if many else [_of_one(gain) for gain in group]) for key, group in groups]
    spans = [span for _, group in lines for line in group for span in (line.raw, line.calibrated) if span]
    low, high = min(0.0, *(s.low for s in spans)), max(0.0, *(s.high for s in spans))
    pad = 0.05 * max(high - low, 0.01)
    charts = [_gain_chart(*key, group, (low - pad, high + pad)) for key, group in lines]
    note = (
        "Each line is a mean over the queries that the modality was added to, from the lowest to the highest of them. "
        if many
        else "Each line shows a 95 % interval, where one was measured. "
    )
    marks = tag("span", "○", class_="raw"), f" {RAW}, ", tag("span", "●", class_="calibrated"), f" {CALIBRATED}."
    return joined(tag("p", note, marks, class_="note"), charts)


def _of_one(gain: Gain) -> Added:
    def span(one: Gain) -> Span:
        return Span(one.gain, *(one.ci or (one.gain, one.gain)))

    name = gain.added + ("*" if gain.leak else "")
    return Added(name, " + ".join(gain.query), span(gain), span(gain.calibrated) if gain.calibrated else None)


def _means(gains: Sequence[Gain]) -> list[Added]:
    """One line a modality, over all queries that it was added to."""
    ordered = sorted(gains, key=lambda gain: gain.added)

    def span(some: Sequence[Gain]) -> Span | None:
        values = [gain.gain for gain in some]
        return Span(sum(values) / len(values), min(values), max(values)) if values else None

    lines = []
    for added, group in groupby(ordered, key=lambda gain: gain.added):
        of = list(group)
        raw, weighted = span(of), span([gain.calibrated for gain in of if gain.calibrated])
        assert raw is not None  # a group has a gain
        star = "*" if any(gain.leak for gain in of) else ""
        lines.append(
            Added(added + star, f"{len(of)} queries" if len(of) > 1 else " + ".join(of[0].query), raw, weighted)
        )
    return lines


def _gain_chart(target: tuple[str, ...], unit: str, lines: Sequence[Added], ends: tuple[float, float]) -> Markup:
    rows = [
        (
            line.name,
            line.to,
            tag("div", _strip(line, ends), class_="strip"),
            tag("span", line.raw.words(), class_=line.raw.sign()),
            tag("span", line.calibrated.words(), class_=line.calibrated.sign()) if line.calibrated else "",
        )
        for line in sorted(lines, key=lambda line: (line.name, len(line.to), line.to))
    ]
    header = ("added", "to", "change of hit@1", "equal", "calibrated")
    return table(f"→ {' + '.join(target)}, by {unit}: hit@1 in points", header, rows, class_="gains")


def _strip(line: Added, ends: tuple[float, float]) -> Markup:
    def x(value: float) -> str:
        return f"{100 * (value - ends[0]) / (ends[1] - ends[0]):.1f}%"

    def drawn(span: Span, y: int, kind: str) -> Markup:
        return joined(
            tag("line", x1=x(span.low), x2=x(span.high), y1=y, y2=y, class_=f"{kind} {span.sign()}"),
            tag("circle", cx=x(span.at), cy=y, r=4, class_=f"{kind} {span.sign()}"),
        )

    zero = tag("line", x1=x(0), x2=x(0), y1=0, y2="100%", class_="zero")
    weighted = drawn(line.calibrated, 17, "calibrated") if line.calibrated else ""
    return tag("svg", zero, drawn(line.raw, 7, "raw"), weighted, aria_hidden="true")


# -- rank curves ---------------------------------------------------------------------------------------------------

WIDE, HIGH, LEFT, TOP, BOTTOM, RIGHT = 320, 200, 34, 10, 26, 12


def curves(entries: Sequence[Entry]) -> Markup:
    """A small chart for each target: the share of whole-item queries with a match in the top k."""
    chosen = [entry for entry in [*singles(entries, "item"), *largest(entries)] if entry.queries and entry.scored]
    queries = sorted({entry.direction.query for entry in chosen if len(entry.direction.query) == 1})
    colour: dict[tuple[str, ...], str] = {
        query: str(place % COLOURS) for place, query in enumerate(queries)
    }  # one query, one colour everywhere
    targets = sorted({entry.direction.target for entry in chosen})
    return tag(
        "div",
        [_chart(target, [e for e in chosen if e.direction.target == target], colour) for target in targets],
        class_="charts",
    )


def _chart(target: tuple[str, ...], entries: Sequence[Entry], colour: dict[tuple[str, ...], str]) -> Markup:
    most = max(entry.gallery for entry in entries)
    marks = [
        joined(
            tag("line", x1=LEFT, x2=WIDE - RIGHT, y1=_y(share), y2=_y(share), class_="grid"),
            tag("text", f"{100 * share:.0f}", x=LEFT - 5, y=_y(share) + 4, text_anchor="end"),
        )
        for share in (0, 0.25, 0.5, 0.75, 1)
    ]
    powers = [10**power for power in range(len(str(most))) if 10**power <= most]
    ends = [most] if most > 2 * powers[-1] else []  # where there is room for it
    marks += [tag("text", f"{k:,}", x=_x(k, most), y=HIGH - 9, text_anchor="middle") for k in powers + ends]
    lines, legend = [], []
    for entry in entries:
        kind = f"curve c{colour.get(entry.direction.query, 'all')}"
        name = " + ".join(entry.direction.query) + ("*" if entry.leak else "")
        lines.append(tag("path", d=_path(entry, most), class_=kind))
        key = tag("svg", tag("line", x1=0, x2=18, y1=6, y2=6, class_=kind), class_="key", aria_hidden="true")
        legend.append(tag("li", key, name))
    label = f"Share of queries with a match in the top k, searching {' + '.join(target)}"
    drawn = tag("svg", marks, lines, viewBox=f"0 0 {WIDE} {HIGH}", role="img", aria_label=label)
    return tag("figure", tag("figcaption", f"→ {' + '.join(target)}"), drawn, tag("ul", legend, class_="legend"))


def _path(entry: Entry, most: int) -> str:
    assert entry.scored is not None  # or it was not chosen
    first = np.sort(entry.scored.first.cpu().numpy())
    k = np.unique(np.geomspace(1, entry.gallery, 80).round().astype(int))  # (points,)
    shares = np.searchsorted(first, k, side="right") / len(first)  # (points,)
    points = [f"{_x(at, most):.1f},{_y(share):.1f}" for at, share in zip(k.tolist(), shares.tolist(), strict=True)]
    return "M" + "L".join(points)


def _x(k: float, most: int) -> float:
    return LEFT + (WIDE - LEFT - RIGHT) * float(np.log(k) / np.log(max(most, 2)))


def _y(share: float) -> float:
    return TOP + (HIGH - TOP - BOTTOM) * (1 - share)
