"""Queries that went well and queries that went badly, with what was asked and what came: to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..compose import Parts, Rows
from ..embeddings import Embeddings
from ..matching import Match, keys
from ..ranks import BLOCK
from .directions import Direction
from .entry import Entry, Scored
from .headline import largest, singles
from .names import Names, Shown
from .sides import Sides

SHOWN = 5  # values of a modality, and hits
Values = tuple[tuple[str, tuple[Shown, ...]], ...]  # of each modality


@dataclass(frozen=True)
class Hit:
    """A row of the gallery.

    Args:
        owner: the user's name of its item (label).
        score: its cosine to the query.
        match: whether it matches.
        values: what it looks like; without any where only ids are known.
    """

    owner: str
    score: float
    match: bool
    values: Values


@dataclass(frozen=True)
class Example:
    """One query and what it found, equal weights and nothing corrected.

    Args:
        direction: what was asked with and searched.
        match: what made a match.
        kind: "best": found in first place, well ahead of what does not match; "worst": found last.
        owner: the user's name of the item (label) that was asked for.
        first: rank of the first match; 1 is best.
        gallery: how many rows were searched.
        query: what it was asked with.
        hits: what came first.
        found: the best match, where it is not among the hits.
    """

    direction: Direction
    match: Match
    kind: Literal["best", "worst"]
    owner: str
    first: int
    gallery: int
    query: Values
    hits: tuple[Hit, ...]
    found: Hit | None


@torch.no_grad()
def find_examples(
    embeddings: Embeddings,
    entries: Sequence[Entry],
    names: Names,
    *,
    parts: Parts = "all",
    per_direction: int = 2,
    directions: int = 5,
) -> list[Example]:
    """The best and the worst queries of a few directions, single ones from strongest to weakest and a combined one.

    The best queries are those in first place with the largest margin to what does not match; the worst those whose
    match came last. Equals are taken by their owner, so the order of rows decides nothing between items; no owner is
    shown twice in a direction. O(queries gallery d) a direction, in blocks.

    Args:
        embeddings: of one split.
        entries: as `evaluate` gave them of these embeddings.
        names: the user's words, and what values look like.
        parts: as `evaluate` was given.
        per_direction: how many of the best, and how many of the worst.
        directions: how many at most.
    """
    sides = Sides(embeddings, parts)
    found = []
    for entry in _worth_showing(entries, directions):
        asked = _Asked(entry, sides.queries(entry.direction), sides.gallery(entry.direction))
        view = _View(embeddings, names, entry.direction)
        best, worst = asked.best(), asked.worst()
        found += [_example(asked, view, "best", at) for at in _of_different_owners(asked.scored, best, per_direction)]
        found += [_example(asked, view, "worst", at) for at in _of_different_owners(asked.scored, worst, per_direction)]
    return found


def _worth_showing(entries: Sequence[Entry], count: int) -> list[Entry]:
    """Single directions spread evenly from the strongest to the weakest, and the strongest of the largest queries.

    Where no single one was measured, any other.
    """

    def ranked(some: Sequence[Entry]) -> list[Entry]:
        scored = [entry for entry in some if entry.queries and entry.scored is not None]
        told = [entry for entry in scored if not entry.leak] or scored  # a leak shows nothing but that it is one
        return sorted(told, key=lambda entry: (-(entry["hit@1"] or 0), str(entry.direction)))

    combined = ranked(largest(entries))[:1]
    alone = ranked(singles(entries)) or ranked([entry for entry in entries if entry not in combined])
    places = min(len(alone), count - len(combined))
    spread = torch.linspace(0, len(alone) - 1, max(places, 0)).round().long().tolist()
    return [*(alone[place] for place in spread), *combined][:count]


class _Asked:
    """One direction's queries and gallery, and which query does how well."""

    def __init__(self, entry: Entry, queries: Rows, gallery: Rows) -> None:
        assert entry.scored is not None  # or it was not chosen
        self.entry, self.scored, self.gallery = entry, entry.scored, gallery
        self.rows = self.scored.rows
        self.queries = queries
        by_label = entry.match == "label"
        self.keys = keys(queries.items, queries.labels, by_label)[self.rows]  # (n,)
        self.there = keys(gallery.items, gallery.labels, by_label)  # (m,)

    def scores(self, at: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of some scored queries (b, m), and which of them are of matches."""
        scores = self.queries.vectors[self.rows[at]].float() @ self.gallery.vectors.float().T  # (b, m)
        return scores, self.keys[at][:, None] == self.there

    def best(self) -> Tensor:
        """Places among the scored queries of those in first place, the largest margin first."""
        first = (self.scored.first == 1).nonzero()[:, 0]  # (f,)
        margins = [torch.zeros(0)]
        for block in first.split(max(1, BLOCK // max(1, len(self.there)))):
            scores, match = self.scores(block)
            ahead = scores.masked_fill(~match, -torch.inf).amax(dim=1)  # (b,)
            margins.append((ahead - scores.masked_fill(match, -1).amax(dim=1)).cpu())  # (b,)
        return _ordered(first, -torch.cat(margins), self.scored)

    def worst(self) -> Tensor:
        """Places among the scored queries of those not in first place, the last found first."""
        late = (self.scored.first > 1).nonzero()[:, 0]  # (l,)
        return _ordered(late, -self.scored.first[late].cpu(), self.scored)


def _ordered(places: Tensor, by: Tensor, scored: Scored) -> Tensor:
    """The places ascending by a number; equals by owner, then row."""
    rows, owners = scored.rows[places].tolist(), scored.owners[places].tolist()
    order = sorted(range(len(places)), key=list(zip(by.tolist(), owners, rows, strict=True)).__getitem__)
    return places[torch.tensor(order, dtype=torch.int64, device=places.device)]


def _of_different_owners(scored: Scored, places: Tensor, count: int) -> list[int]:
    chosen: dict[int, int] = {}
    for place, owner in zip(places.tolist(), scored.owners[places].tolist(), strict=True):
        if len(chosen) == count:
            break
        chosen.setdefault(owner, place)
    return list(chosen.values())


def _example(asked: _Asked, view: _View, kind: Literal["best", "worst"], at: int) -> Example:
    scores, match = (rows[0].cpu() for rows in asked.scores(torch.tensor([at], device=asked.rows.device)))  # (m,)
    order = scores.argsort(descending=True, stable=True)  # (m,)

    def hit(row: int) -> Hit:
        owner, values = view.gallery(asked.gallery, row)
        return Hit(owner, float(scores[row]), bool(match[row]), values)

    hits = tuple(hit(row) for row in order[:SHOWN].tolist())
    best = int(order[match[order]][0])  # or the query had not been scored
    owner, values = view.query(asked.queries, int(asked.rows[at]))
    return Example(
        direction=asked.entry.direction,
        match=asked.entry.match,
        kind=kind,
        owner=owner,
        first=int(asked.scored.first[at]),
        gallery=len(scores),
        query=values,
        hits=hits,
        found=None if any(one.match for one in hits) else hit(best),
    )


@dataclass(frozen=True)
class _View:
    """What queries and gallery rows of one direction look like."""

    embeddings: Embeddings
    names: Names
    direction: Direction

    def query(self, queries: Rows, row: int) -> tuple[str, Values]:
        """The owner's name, and the value or all the owner's values that were asked with."""
        return self._row(self.direction.query, queries, row, one=self.direction.unit == "value")

    def gallery(self, gallery: Rows, row: int) -> tuple[str, Values]:
        """The owner's name, and the value or all the owner's values that were found."""
        return self._row(self.direction.target, gallery, row, one=True)

    def _row(self, modalities: Sequence[str], rows: Rows, row: int, one: bool) -> tuple[str, Values]:
        item = int(rows.items[row])
        label = -1 if rows.labels is None else int(rows.labels[row])
        owner = self.names.label(label) if item < 0 else self.names.owner("item", item)
        if one and len(modalities) == 1:  # a row is a value
            return owner, self._shown({modalities[0]: [row]})
        return owner, self._shown({m: self._rows(m, item, label) for m in modalities})

    def _rows(self, modality: str, item: int, label: int) -> list[int]:
        """Rows of the first values that a modality has of an item, or of its label."""
        if self.embeddings.per_label(modality):
            assert self.embeddings.labels is not None  # or nothing could be of a label
            ids, wanted = self.embeddings.labels[modality], label
        else:
            ids, wanted = self.embeddings.items[modality], item
        found: list[int] = (ids == wanted).nonzero()[:SHOWN, 0].tolist()
        return found if wanted >= 0 else []

    def _shown(self, rows: dict[str, list[int]]) -> Values:
        show = self.names.show
        if show is None:
            return ()
        return tuple((m, tuple(show(m, row) for row in of)) for m, of in rows.items() if of)
