"""What to look at first: a few sentences made from the figures of a report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..words import counted
from .entry import Entry, Gain
from .headline import between, in_words, largest, points, singles

if TYPE_CHECKING:
    from .report import Report


def highlights(report: Report) -> list[str]:
    """The strongest and the weakest direction, what modalities add, what is unhealthy, what is not to be believed."""
    return [
        *_of_singles(_to_compare(singles(report.directions))),
        *_of_combined(_to_compare(largest(report.directions))),
        *_of_gains([gain for gain in report.gains if not gain.leak]),
        *_of_health(report),
        *_of_leaks(report.directions),
    ]


def _to_compare(entries: Sequence[Entry]) -> list[Entry]:
    """Those with a figure that can be believed, the best first."""
    told = [entry for entry in entries if entry["hit@1"] is not None and not entry.leak]
    return sorted(told, key=lambda entry: -(entry["hit@1"] or 0))


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _share(entry: Entry) -> str:
    ends = entry.ci.get("hit@1")
    return _percent(entry["hit@1"]) + (f" ({100 * ends[0]:.1f} to {100 * ends[1]:.1f})" if ends else "")


def _of_singles(ranked: Sequence[Entry]) -> Iterator[str]:
    if ranked:
        best, worst = ranked[0], ranked[-1]
        yield (
            f"Of single modalities, {in_words(best)} is strongest: for {_share(best)} of {best.queries:,} queries, a "
            f"match is in first place among {best.gallery:,}"
            + (f"; {in_words(worst)} is weakest, with {_share(worst)}." if worst is not best else ".")
        )


def _of_combined(ranked: Sequence[Entry]) -> Iterator[str]:
    if ranked:
        best = ranked[0]
        weighted = f", with calibrated weights {_percent(best.calibrated['hit@1'])}" if best.calibrated else ""
        yield f"Of the largest combined queries, {in_words(best)} is strongest: {_share(best)}{weighted}."


def _of_gains(gains: Sequence[Gain]) -> Iterator[str]:
    if not gains:
        return
    best, worst = (choose(gains, key=lambda gain: gain.gain) for choose in (max, min))
    if best.gain > 0:
        yield f"The largest gain is {_added(best)}."
    if worst.gain < 0:
        weighted = worst.calibrated
        after = f"; with calibrated weights the change is {points(weighted.gain)} points" if weighted else ""
        yield f"The largest loss is {_added(worst)}{after}."


def _added(gain: Gain) -> str:
    words = " → ".join((f"{gain.added} added to {' + '.join(gain.query)}", " + ".join(gain.target)))
    change = f"{points(gain.gain)} points{between(gain.ci)}"
    return f"from {words}: {_percent(gain.hit[0])} becomes {_percent(gain.hit[1])}, {change}"


def _of_health(report: Report) -> Iterator[str]:
    bad = [finding for finding in report.health if not finding.ok]
    if bad:
        about = dict.fromkeys(" and ".join(finding.about) for finding in bad)
        yield f"{counted(len(bad), 'health check')} ask for attention: of {'; of '.join(list(about)[:3])}" + (
            " and others; see Health below." if len(about) > 3 else "; see Health below."
        )
    elif report.health:
        yield f"None of {counted(len(report.health), 'health check')} asks for attention."


def _of_leaks(entries: Sequence[Entry]) -> Iterator[str]:
    leaks = [entry for entry in entries if entry.leak]
    if leaks:
        yield (
            f"{counted(len(leaks), 'direction')} with a star ask with what the target was made from, or the other way "
            f"round ({in_words(leaks[0])}): their figures say nothing of what was learned."
        )
