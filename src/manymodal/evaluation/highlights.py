"""What to look at first: a few sentences made from the figures of a report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..words import counted
from .checks import CHECKS, Finding
from .entry import Entry, Gain
from .headline import between, in_words, largest, points, singles

if TYPE_CHECKING:
    from .report import Report

NAMED = 3  # of those that the same was found of


class Alike(NamedTuple):
    """What one check found to be out of the ordinary.

    Args:
        worst: the finding farthest out.
        others: whom the same was found of, farther out first.
    """

    worst: Finding
    others: list[str]

    def words(self) -> str:
        """What to do, and of whom else that is true."""
        more = f" and {len(self.others) - NAMED} more" if len(self.others) > NAMED else ""
        return self.worst.advice + (f" (likewise {'; '.join(self.others[:NAMED])}{more})" if self.others else "")


def attention(findings: Iterable[Finding]) -> list[Alike]:
    """What asks for attention, check by check: a space that went wrong goes wrong in many pairs alike."""
    of_check: dict[str, list[Finding]] = {}
    for one in findings:
        if not one.ok:
            of_check.setdefault(one.name, []).append(one)

    def farthest(one: Finding) -> float:
        value = one.value or 0.0
        return -value if CHECKS[one.name].wrong == "above" else value

    found = (sorted(alike, key=farthest) for alike in of_check.values())
    return [Alike(worst, [" and ".join(one.about) for one in others]) for worst, *others in found]


def highlights(report: Report) -> list[str]:
    """The strongest and the weakest direction, what modalities add, what is unhealthy, what is not to be believed."""
    return [
        *(note[0].upper() + note[1:] + "." for note in report.notes),
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
    told = ends is not None and ends[0] < ends[1]  # draws that never differ say nothing of how sure a figure is
    return _percent(entry["hit@1"]) + (f" ({100 * ends[0]:.1f} to {100 * ends[1]:.1f})" if ends and told else "")


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
    found = attention(report.health)
    if found:
        named = (f"{one.worst.name.replace('_', ' ')} ({1 + len(one.others)})" for one in found)
        yield f"Of {counted(len(report.health), 'health check')} some ask for attention: {', '.join(named)}; see below."
    elif report.health:
        yield f"None of {counted(len(report.health), 'health check')} asks for attention."


def _of_leaks(entries: Sequence[Entry]) -> Iterator[str]:
    leaks = [entry for entry in entries if entry.leak]
    if leaks:
        yield (
            f"{counted(len(leaks), 'direction')} with a star ask with what the target was made from, or the other way "
            f"round ({in_words(leaks[0])}): their figures say nothing of what was learned."
        )
