"""The report as one page, to be read offline by people who never saw the project.

It needs nothing from outside and allows nothing to: its own policy lets only its own script run, known by its hash.
Every text of the user is escaped (see `markup`).
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

from ...words import counted
from ..checks import Finding
from ..classification import Classified
from ..entry import Entry, Figures, Gain
from ..evaluate import NEAR
from ..generalised import Generalised
from ..headline import between, in_words, points, singles
from ..highlights import attention, highlights
from .cards import cards
from .charts import curves, figures_of, gain_charts, heatmap
from .glossary import GLOSSARY
from .markup import Markup, fold, joined, table, tag

if TYPE_CHECKING:
    from ..report import Report


def page(report: Report) -> str:
    """The report as HTML: a whole file, UTF-8, pictures and all."""
    style, script = (files(__package__).joinpath(f"report_page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    known = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{known}'"
    title = f"{report.split} split, {counted(report.items, 'item')}: how well each modality finds the others"
    sections = [
        ("Directions", _directions(report.directions)),
        ("What each modality adds", _gains(report)),
        ("Rank curves", _curves(report.directions)),
        ("Examples", cards(report.examples)),
        ("Health", _health(report.health)),
        ("Hubness", _hubness(report.directions)),
        ("Classification", _classification(report.classification)),
        ("Words", _words()),
    ]
    shown = [(name, content) for name, content in sections if content]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("title", title),
        tag("style", Markup(style)),
    )
    body = tag(
        "body",
        tag("header", tag("h1", title), _settings(report)),
        tag("nav", [tag("a", name, href=f"#{_anchor(name)}") for name, _ in shown], aria_label="sections"),
        tag("main", _first(report), [tag("section", tag("h2", name), made, id=_anchor(name)) for name, made in shown]),
        tag("script", Markup(script)) if report.directions else "",
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")


# -- what it is of -------------------------------------------------------------------------------------------------


def _settings(report: Report) -> Markup:
    facts = {
        "split": report.split,
        "items": f"{report.items:,}",
        "space": report.space or "vectors from elsewhere, or a space that is not saved",
        "seed of training": "unknown" if report.seed is None else str(report.seed),
        "settings": json.dumps(report.settings, ensure_ascii=False, default=str).strip("{}") or "all by default",
        "versions": ", ".join(f"{name} {version}" for name, version in report.versions.items()),
    }
    return tag("dl", [joined(tag("dt", name), tag("dd", value)) for name, value in facts.items()], class_="about")


def _first(report: Report) -> Markup:
    sentences = highlights(report)
    listed = tag("ul", [tag("li", sentence) for sentence in sentences], class_="first")
    return joined(tag("h2", "What to look at first"), listed) if sentences else Markup()


def _words() -> Markup:
    entries = [joined(tag("dt", word), tag("dd", meaning)) for word, meaning in GLOSSARY.items()]
    return fold("What the words mean", tag("dl", entries, class_="words"))


# -- directions ----------------------------------------------------------------------------------------------------


def _directions(entries: Sequence[Entry]) -> Markup:
    if not entries:
        return Markup()
    intro = (
        "Each row is what was asked with, each column what was searched; hover over a figure to see what it rests on."
    )
    return joined(
        tag("p", intro), heatmap(entries), fold(f"All figures of {counted(len(entries), 'direction')}", _all(entries))
    )


def _all(entries: Sequence[Entry]) -> Markup:
    names = list(dict.fromkeys(name for entry in entries for name in entry.metrics))
    header = ["query", "target", "unit", "match", "queries", "skipped", "gallery", *names]
    rows = [
        (
            " + ".join(entry.direction.query),
            " + ".join(entry.direction.target) + ("*" if entry.leak else ""),
            entry.direction.unit,
            entry.match,
            f"{entry.queries:,}",
            f"{sum(entry.skipped.values()):,}",
            f"{entry.gallery:,}",
            *(_figure(name, entry.metrics.get(name)) for name in names),
        )
        for entry in entries
    ]
    return table("Shares in %, equal weights, nothing corrected.", header, rows)


def _figure(name: str, figure: float | None) -> str:
    if figure is None:
        return "–"
    return f"{figure:g}" if name == "median_rank" else f"{100 * figure:.1f}"


def _gains(report: Report) -> Markup:
    if not report.gains:
        return Markup()
    intro = (
        "hit@1 of a query with one more modality, minus that of the query without it, over the same items. Green: the "
        "whole line lies above 0; red: below. With so many lines some do so by chance: the p-values in the table below "
        "are adjusted for that (Holm)."
    )
    listed = fold(f"All {counted(len(report.gains), 'gain')}", _all_gains(report.gains))
    return joined(tag("p", intro), gain_charts(report.gains), listed, _weights(report.calibration or {}))


def _all_gains(gains: Sequence[Gain]) -> Markup:
    def cells(gain: Gain | None) -> tuple[str, str, str]:
        if gain is None:
            return "", "", ""
        hit = f"{100 * gain.hit[0]:.1f} → {100 * gain.hit[1]:.1f}"
        change = points(gain.gain) + between(gain.ci)
        return hit, change, "" if gain.p is None else f"{gain.p:.2g}"

    rows = [
        (
            gain.added + ("*" if gain.leak else ""),
            " + ".join(gain.query),
            " + ".join(gain.target),
            gain.unit,
            f"{gain.items:,}",
            *cells(gain),
            *cells(gain.calibrated),
        )
        for gain in gains
    ]
    figures = ("hit@1 in %", "points", "p")
    header = ("added", "to", "target", "unit", "items", *figures, *(f"calibrated: {name}" for name in figures))
    return table("hit@1 without → with it.", header, rows)


def _weights(weights: dict[str, dict[str, float]]) -> Markup:
    if not weights:
        return Markup()
    names = sorted({name for of_target in weights.values() for name in of_target})
    rows = [
        (target, *(f"{of_target[name]:.2f}" if name in of_target else "" for name in names))
        for target, of_target in sorted(weights.items())
    ]
    caption = "Calibrated weights: how much each modality of a query counts for each target"
    return table(caption, ("target", *names), rows)


def _curves(entries: Sequence[Entry]) -> Markup:
    drawn = curves(entries)
    if "<figure" not in drawn:
        return Markup()
    intro = (
        "Share of queries, in %, with a match among the first k, against k; a whole item is a query, where that was "
        "measured. Dashed: all the other modalities together, equal weights."
    )
    return joined(tag("p", intro), drawn)


def _by_accident(entry: Entry) -> float:
    """The skewness of rows that are found at random: few queries find some of many rows more often than others."""
    return math.sqrt(entry.gallery / (NEAR * entry.queries))


def _hubness(entries: Sequence[Entry]) -> Markup:
    methods = list(dict.fromkeys(method for entry in entries for method in entry.corrected))
    if not methods and all(entry.hubness is None for entry in entries):
        return Markup()

    def cell(raw: float | None, figures: Figures | None) -> str:
        corrected = (figures or {}).get("hit@1")
        return "–" if raw is None or corrected is None else f"{100 * corrected:.1f} ({points(corrected - raw)})"

    def rows(some: Sequence[Entry]) -> list[tuple[str, ...]]:
        return [
            (
                in_words(entry) + ("*" if entry.leak else ""),
                entry.direction.unit,
                *(("", "") if entry.hubness is None else (f"{entry.hubness:.1f}", f"{_by_accident(entry):.1f}")),
                _figure("hit@1", entry["hit@1"]),
                *(cell(entry["hit@1"], figures_of(entry, method)) for method in methods),
            )
            for entry in some
        ]

    intro = (
        "Some rows of a gallery come up for query after query (hubs). Skewness of how often a row is among the ten "
        "nearest: near 0 where all come up alike, well above what accident gives where some are hubs. Corrections "
        "(--correct), estimated from train, score hubs lower or take off what all vectors of a modality share; figures "
        "elsewhere are raw."
    )
    header = ("direction", "unit", "skewness", "by accident", "raw", *methods)
    caption = "hit@1 in %; in brackets the change in points"
    return joined(
        tag("p", intro),
        table(f"Single modalities: {caption}", header, rows(singles(entries))),
        fold("All directions", table(caption, header, rows(entries))),
    )


# -- health, classification ----------------------------------------------------------------------------------------


def _health(findings: Sequence[Finding]) -> Markup:
    if not findings:
        return Markup()
    bad = attention(findings)
    count = sum(1 + len(one.others) for one in bad)
    said = (
        _findings(
            f"{count} of {counted(len(findings), 'check')} ask for attention; of each kind the worst",
            ((one.worst, one.others) for one in bad),
        )
        if bad
        else tag("p", f"None of {counted(len(findings), 'check')} asks for attention.")
    )
    every = _findings("Every check", ((finding, ()) for finding in findings))
    return joined(said, fold(f"All {counted(len(findings), 'check')}", every))


def _findings(caption: str, findings: Iterable[tuple[Finding, Sequence[str]]]) -> Markup:
    """A table of findings, each with the names of others of which the same was found."""
    rows = [
        (
            finding.name.replace("_", " "),
            joined(" and ".join(finding.about), fold(f"and {len(others)} more", "; ".join(others)) if others else ""),
            "–" if finding.value is None else f"{finding.value:.3g}",
            "ok" if finding.ok else tag("span", "look", class_="bad"),
            finding.normal,
            finding.advice,
        )
        for finding, others in findings
    ]
    return table(caption, ("check", "of", "value", "", "what is normal", "what to do"), rows, class_="health")


def _classification(classified: Sequence[Classified]) -> Markup:
    if not classified:
        return Markup()
    header = ("values of", "classes by", "among", "classes", "queries", "top-1", "top-5", "per class")
    plain, both = [], []
    for one in classified:
        what, found = (one.query, " + ".join(one.classes)), one.result
        if isinstance(found, Generalised):
            shares = (found.seen.per_class, found.unseen.per_class, found.harmonic)
            both.append((*what, str(len(found.seen.labels)), *(_figure("", share) for share in shares)))
        else:
            shares = (found.top1, found.top5, found.per_class)
            counts = (f"{len(found.labels):,}", f"{found.queries:,}")
            plain.append((*what, one.setting, *counts, *(_figure("", share) for share in shares)))
    generalised = ("values of", "classes by", "classes", "seen", "unseen", "harmonic mean")
    return joined(
        tag("p", "Each value is given to the label whose embedding is nearest."),
        table("Accuracy in %; per class: mean over classes", header, plain),
        table("Seen and unseen classes to choose from at once: accuracy per class in %", generalised, both)
        if both
        else "",
    )
