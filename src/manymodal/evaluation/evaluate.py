"""Measure every direction of some embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..compose import Parts, Rows, check_parts, compose_items, rows_of
from ..embeddings import Embeddings
from ..errors import ManymodalError
from ..matching import Match, check_match, keys
from ..ranks import ranks
from .directions import Direction, Unit, resolve
from .metrics import PLACES, check_places, per_query, summary
from .significance import interval


@dataclass(frozen=True)
class Entry:
    """The figures of one direction.

    Args:
        direction: what was asked with, what was searched, and what one query was.
        match: what made a match, "item" or "label".
        queries: how many were scored; metrics are over them.
        skipped: "part": items (labels) that lack a part of the query; "match": queries without a match in the gallery.
        gallery: how many rows were searched.
        metrics: {name: figure}, None where no query was scored.
        leak: whether a modality of the target was made from one of the query, or the other way round.
        ci: {name: (low, high)} of some metrics, where a bootstrap was asked for.
    """

    direction: Direction
    match: Match
    queries: int
    skipped: dict[str, int]
    gallery: int
    metrics: dict[str, float | None]
    leak: bool = False
    ci: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __getitem__(self, metric: str) -> float | None:
        return self.metrics[metric]

    def to_dict(self) -> dict[str, Any]:
        """The entry as `report.json` has it."""
        return {
            "query": list(self.direction.query),
            "target": list(self.direction.target),
            "unit": self.direction.unit,
            "match": self.match,
            "queries": self.queries,
            "skipped": self.skipped,
            "gallery": self.gallery,
            **self.metrics,
            **({"leak": True} if self.leak else {}),
            **({"ci": {name: list(ends) for name, ends in self.ci.items()}} if self.ci else {}),
        }


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
    progress: Callable[[int, int], None] | None = None,
) -> list[Entry]:
    """Rank the gallery of each direction for each of its queries; metrics are means over queries with a match there.

    Args:
        embeddings: of one split.
        directions: such as "photo+caption->speech", or directions; None: all singles, and all but one to that one.
        unit: "value" or "item"; None: singles in both, combined queries by item.
        match: "item", or "label" for things of one kind; directions with a label modality alone on a side always
            match by label.
        parts: "all": a query needs every part that its direction names; "any": at least one.
        items: (n,) int64, all items of the split, also those without any value; None: those seen in the embeddings.
        same_source: groups of modalities made from each other; directions across a group are marked as leaks.
        k: of hit@k and recall@k; 1 is always among them.
        bootstrap: how many draws for an interval of each hit@k; None for no interval.
        seed: of those draws.
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
    split = _items_of_split(embeddings, items)

    @lru_cache(maxsize=1)  # directions of one query follow each other
    def queries(query: tuple[str, ...], unit: Unit) -> Rows:
        if unit == "value" and len(query) == 1:
            return rows_of(embeddings, query[0])
        return compose_items(embeddings, query, parts=parts, unit="value" if unit == "value" else "item")

    entries = []
    for done, direction in enumerate(asked, 1):
        by_label = _by_label(embeddings, direction, match)
        rows, gallery = queries(direction.query, direction.unit), _gallery(embeddings, direction.target)
        query_keys, gallery_keys = (keys(side.items, side.labels, by_label) for side in (rows, gallery))
        scored = torch.isin(query_keys, gallery_keys) & (query_keys >= 0)  # (n,)
        figures = per_query(ranks(rows.vectors[scored], gallery.vectors, query_keys[scored], gallery_keys), k)
        owners, owners_of_split = _owners(embeddings, direction, rows, split)
        count = int(scored.sum())
        ci = {}
        if bootstrap is not None and count:
            ci = {f"hit@{at}": interval(figures[f"hit@{at}"], owners[scored], seed, bootstrap) for at in k}
        lacking = int((~torch.isin(owners_of_split, owners)).sum())
        entries.append(
            Entry(
                direction,
                match="label" if by_label else "item",
                queries=count,
                skipped={"part": lacking, "match": len(scored) - count},
                gallery=len(gallery.vectors),
                metrics=summary(figures),
                leak=_leaks(direction, same_source),
                ci=ci,
            )
        )
        if progress is not None:
            progress(done, len(asked))
    return entries


def _gallery(embeddings: Embeddings, target: tuple[str, ...]) -> Rows:
    """All values of one modality; or one row for each item with at least one of several."""
    return rows_of(embeddings, target[0]) if len(target) == 1 else compose_items(embeddings, target, parts="any")


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


def _items_of_split(embeddings: Embeddings, items: Tensor | None) -> Tensor:
    """(n,) the items of the split, each once."""
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


def _owners(embeddings: Embeddings, direction: Direction, rows: Rows, split: Tensor) -> tuple[Tensor, Tensor]:
    """Whose each query is (n,), and all that could have one (s,): items; labels where the unit is the label."""
    if direction.unit != "label":
        return rows.items, split
    assert rows.labels is not None and embeddings.labels is not None  # or matching by label was refused
    labels = torch.cat(list(embeddings.labels.values())).unique()
    return rows.labels, labels[labels >= 0]


def _leaks(direction: Direction, same_source: Sequence[Sequence[str]]) -> bool:
    """Whether one modality of a group is asked with and another one of it is searched."""
    return any(set(group) & set(direction.query) and set(group) & set(direction.target) for group in same_source)
