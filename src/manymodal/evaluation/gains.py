"""What each modality adds to a query: the same items asked without it and with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import torch

from ..matching import Match
from .directions import Direction, leaks
from .entry import Entry, Gain, Scored
from .significance import Resamples, holm


def gains(
    entries: Sequence[Entry],
    *,
    same_source: Sequence[Sequence[str]] = (),
    bootstrap: int | None = None,
    seed: int = 0,
) -> list[Gain]:
    """hit@1 of each combined query minus that of the same query without one of its parts.

    Compared is like with like: one unit, one target, the items that can be asked both ways (with parts="any" also those
    that lack the modality, and gain nothing from it). Where entries have calibrated figures, these are compared too; a
    single modality has no weights to calibrate.

    Args:
        entries: as `evaluate` gives them; a query is compared with each smaller one that is among them.
        same_source: groups of modalities made from each other; a gain by one of the target's group is marked as a leak.
        bootstrap: draws for intervals and p-values; None for neither.
        seed: of the draws.

    Returns:
        One gain for each combined query and part of it, in the order of the entries. The p-values are adjusted for
        all of them (Holm), raw and calibrated gains apart.
    """
    of = {(e.direction, e.match): e for e in entries}
    pairs = list(_pairs(entries, of))
    resamples: dict[bool, Resamples] = {}  # of items, of labels
    if bootstrap is not None:
        for of_labels in {entry.direction.unit == "label" for _, entry, _ in pairs}:
            chosen = chain.from_iterable(p[:2] for p in pairs if (p[1].direction.unit == "label") == of_labels)
            owners = torch.cat([e.scored.owners for e in chosen if e.scored is not None]).unique()
            resamples[of_labels] = Resamples(owners, seed, bootstrap)

    def compared(less: Scored | None, more: Scored | None, entry: Entry, added: str) -> Gain | None:
        if less is None or more is None or not len(both := _shared(less, more)):
            return None
        less, more = (_of_owners(side, both) for side in (less, more))
        hits = [(side.first <= 1).double() for side in (less, more)]  # (n,), (n',)
        draw = resamples.get(entry.direction.unit == "label")
        gap = None if draw is None else draw.difference(hits[1], more.owners, hits[0], less.owners)
        return Gain(
            query=tuple(m for m in entry.direction.query if m != added),
            added=added,
            target=entry.direction.target,
            unit=entry.direction.unit,
            items=len(both),
            hit=(float(hits[0].mean()), float(hits[1].mean())),
            ci=None if gap is None else gap.ci,
            p=None if gap is None else gap.p,
            leak=leaks(Direction((added,), entry.direction.target, entry.direction.unit), same_source),
        )

    raw: list[Gain | None] = []
    weighted: list[Gain | None] = []
    for less, more, added in pairs:
        raw.append(compared(less.scored, more.scored, more, added))
        of_less = less.scored if len(less.direction.query) == 1 else less.calibrated_scored
        weighted.append(compared(of_less, more.calibrated_scored, more, added))
    both = zip(_adjusted(raw), _adjusted(weighted), strict=True)
    return [replace(gain, calibrated=calibrated) for gain, calibrated in both if gain is not None]


def _pairs(entries: Sequence[Entry], of: Mapping[tuple[Direction, Match], Entry]) -> Iterator[tuple[Entry, Entry, str]]:
    """(the entry without it, the entry with it, the modality) wherever both were measured in one unit."""
    for entry in entries:
        query, target, unit = entry.direction.query, entry.direction.target, entry.direction.unit
        for added in query if len(query) > 1 else ():
            rest = Direction(tuple(m for m in query if m != added), target, unit)
            if (rest, entry.match) in of:
                yield of[rest, entry.match], entry, added


def _shared(a: Scored, b: Scored) -> torch.Tensor:
    owners: torch.Tensor = a.owners.unique()
    return owners[torch.isin(owners, b.owners)]


def _of_owners(scored: Scored, owners: torch.Tensor) -> Scored:
    kept = torch.isin(scored.owners, owners)
    return Scored(scored.owners[kept], scored.rows[kept], scored.first[kept])


def _adjusted(found: Sequence[Gain | None]) -> list[Gain | None]:
    """With p-values adjusted for all of them."""
    adjusted = holm([None if gain is None else gain.p for gain in found])
    return [None if gain is None else replace(gain, p=p) for gain, p in zip(found, adjusted, strict=True)]
