"""Measure every direction of some embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..calibration import Calibration
from ..compose import Parts, Rows, check_parts
from ..embeddings import Embeddings
from ..errors import ManymodalError
from ..hubness import k_occurrences, skewness
from ..matching import Match, check_match, keys
from ..ranks import ranks
from .directions import Direction, Unit, leaks, resolve
from .entry import Entry, Figures, Scored
from .graded import Relevance, graded
from .metrics import PLACES, check_places, per_query, summary
from .sides import Sides, Variant, calibrated, corrections
from .significance import Resamples

NEAR = 10  # rows that count as near a query, where hubs are looked for


@torch.no_grad()
def evaluate(
    embeddings: Embeddings,
    *,
    directions: Sequence[str | Direction] | None = None,
    unit: Unit | None = None,
    match: Match = "item",
    parts: Parts = "all",
    items: Tensor | None = None,
    same_source: Sequence[Sequence[str]] = (),
    k: Sequence[int] = PLACES,
    bootstrap: int | None = None,
    seed: int = 0,
    correct: Sequence[str] = (),
    bank: Embeddings | None = None,
    calibration: Calibration | None = None,
    relevance: Relevance | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Entry]:
    """Rank the gallery of each direction for each of its queries; metrics are means over queries with a match there.

    Args:
        embeddings: of one split.
        directions: such as "photo+caption->speech", or directions; None: see `default_directions`.
        unit: "value" or "item"; None: singles in both, combined queries by item.
        match: "item", or "label" for things of one kind; directions with a label modality alone on a side always
            match by label.
        parts: "all": a query needs every part that its direction names; "any": at least one.
        items: (n,) int64, all items of the split, also those without any value; None: those seen in the embeddings.
        same_source: groups of modalities made from each other; directions across a group are marked as leaks.
        k: of hit@k, recall@k and ndcg@k; 1 is always among them.
        bootstrap: how many draws for an interval of each hit@k; None for no interval.
        seed: of those draws.
        correct: corrections to measure beside the raw figures: "qb_norm", "nnn", "csls" (see `manymodal.hubness`) and
            "mean_removal" (see `manymodal.centring`). Null where no item of the bank has all parts of the query.
        bank: embeddings of train items, for these corrections.
        calibration: weights with which combined queries are measured once more.
        relevance: graded judgements, for nDCG by them.
        progress: called with (directions done, directions in all) after each.

    Returns:
        One entry a direction, in the order asked; (query, target, unit, match) is unique.

    Raises:
        ManymodalError: an unknown modality, an option not allowed, labels needed and absent, or values that cancel out.
    """
    check_match(match)
    check_parts(parts)
    check_places(k)
    k = sorted({1, *k})
    asked = resolve(directions, embeddings, unit)
    split = items_of_split(embeddings, items)
    sides = Sides(embeddings, parts)
    ways = corrections(sides, correct, bank)
    weighted = None if calibration is None else calibrated(sides, calibration)
    resamples: dict[bool, Resamples] = {}  # of items, of labels

    entries = []
    for done, direction in enumerate(asked, 1):
        one = _Asked.of(sides, direction, _by_label(embeddings, direction, match))
        figures, scored = one.measured(one.queries.vectors, one.gallery.vectors, k)
        weigh = weighted if len(direction.query) > 1 else None
        in_weights = None if weigh is None else one.measured_in(weigh, k)
        ever, having = _owners_of_split(embeddings, direction, split), one.owners()
        ci = {}
        if bootstrap is not None and len(one.rows):
            of_labels = direction.unit == "label"
            if of_labels not in resamples:
                resamples[of_labels] = Resamples(ever, seed, bootstrap)
            ci = {f"hit@{at}": resamples[of_labels].interval(figures[f"hit@{at}"], scored.owners) for at in k}
        entries.append(
            Entry(
                direction,
                match="label" if one.by_label else "item",
                queries=len(one.rows),
                skipped={"part": int((~torch.isin(ever, having)).sum()), "match": len(having) - len(one.rows)},
                gallery=len(one.gallery.vectors),
                metrics=summary(figures),
                leak=leaks(direction, same_source),
                ci=ci,
                corrected={name: _figures(one.measured_in(way, k), figures) for name, way in ways.items()},
                calibrated=None if weigh is None else _figures(in_weights, figures),
                graded=None if relevance is None else _by_judgement(one, relevance, k),
                hubness=_hubness(one),
                scored=scored,
                calibrated_scored=None if in_weights is None else in_weights[1],
            )
        )
        if progress is not None:
            progress(done, len(asked))
    return entries


@dataclass(frozen=True)
class _Asked:
    """One direction's queries and gallery, and which queries have a match."""

    direction: Direction
    queries: Rows
    gallery: Rows
    by_label: bool
    rows: Tensor  # (n,) queries with a match in the gallery
    keys: tuple[Tensor, Tensor]  # (n,), (m,)

    @classmethod
    def of(cls, sides: Sides, direction: Direction, by_label: bool) -> _Asked:
        queries, gallery = sides.queries(direction), sides.gallery(direction)
        asked, there = (keys(side.items, side.labels, by_label) for side in (queries, gallery))
        rows = (torch.isin(asked, there) & (asked >= 0)).nonzero()[:, 0]
        return cls(direction, queries, gallery, by_label, rows, (asked[rows], there))

    def owners(self) -> Tensor:
        """Whose each query is: its item, or its label where the unit is the label."""
        if self.direction.unit != "label":
            return self.queries.items
        assert self.queries.labels is not None  # or matching by label was refused
        return self.queries.labels

    def measured(self, queries: Tensor, gallery: Tensor, k: Sequence[int]) -> tuple[dict[str, Tensor], Scored]:
        """Figures of the queries with a match, from vectors (queries, d) and (m, d) in the rows' order."""
        found = ranks(queries[self.rows], gallery, *self.keys)
        return per_query(found, k), Scored(self.owners()[self.rows], self.rows, found.ranks[found.offsets[:-1]])

    def measured_in(self, variant: Variant, k: Sequence[int]) -> tuple[dict[str, Tensor], Scored] | None:
        """The same in another way; None without a query to score, or where the way knows nothing of such queries."""
        sides = variant(self.direction) if len(self.rows) else None
        return None if sides is None else self.measured(*sides, k)


def _figures(found: tuple[dict[str, Tensor], Scored] | None, names: Iterable[str]) -> Figures:
    """One figure of each metric; null where nothing was found."""
    return dict.fromkeys(names) if found is None else summary(found[0])


def _by_judgement(one: _Asked, relevance: Relevance, k: Sequence[int]) -> Figures:
    """Metrics by graded relevance, and how many queries some row of the gallery is relevant to."""
    found = graded(one.queries, one.gallery, relevance, k)
    return {"queries": len(found.rows), **summary(found.values)}


def _hubness(one: _Asked) -> float | None:
    """How unevenly the values of one modality come up for those of another; None where all of them are near."""
    direction, gallery = one.direction, one.gallery.vectors
    plain = direction.unit == "value" and len(direction.query) == len(direction.target) == 1
    if not plain or not len(one.rows) or len(gallery) <= NEAR:
        return None
    return skewness(k_occurrences(one.queries.vectors[one.rows], gallery, NEAR))


def _by_label(embeddings: Embeddings, direction: Direction, match: Match) -> bool:
    """Whether labels are in force: everywhere under match="label", and where a side belongs to no item."""
    sides = (direction.query, direction.target)
    by_label = match == "label" or any(all(embeddings.per_label(m) for m in side) for side in sides)
    if by_label and embeddings.labels is None:
        raise ManymodalError(
            f"direction {direction} matches by label, but these embeddings have no labels; "
            "give labels=, or a `label` column"
        )
    return by_label


def items_of_split(embeddings: Embeddings, items: Tensor | None) -> Tensor:
    """(n,) int64, the items of the split, each once: those given, which have all that is embedded, or those seen.

    Raises:
        ManymodalError: a value is of an item that was not given.
    """
    seen = torch.cat(list(embeddings.items.values()))
    seen = seen[seen >= 0]
    split: Tensor = (seen if items is None else items.to(seen.device)).unique()
    strange = seen[~torch.isin(seen, split)]
    if len(strange):
        raise ManymodalError(
            f"the embeddings have values of items (the first is {int(strange[0])}) that `items` lacks; "
            "give all items of the split, or embeddings.of_items(items)"
        )
    return split


def _owners_of_split(embeddings: Embeddings, direction: Direction, split: Tensor) -> Tensor:
    """(s,) all that could have a query: the items of the split; the labels where the unit is the label."""
    if direction.unit != "label":
        return split
    assert embeddings.labels is not None  # or matching by label was refused
    labels: Tensor = torch.cat(list(embeddings.labels.values())).unique()
    return labels[labels >= 0]
