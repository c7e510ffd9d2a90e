"""Zero-shot classification: a value is of the label whose embedding is nearest, seen in training or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..compose import Parts, Rows, check_known, compose_items, rows_of
from ..embeddings import Embeddings
from ..errors import ManymodalError
from ..ranks import BLOCK, TOLERANCE


@dataclass(frozen=True)
class Classification:
    """How well queries were told apart.

    Args:
        labels: (c,) int64, the classes that were to choose from.
        predicted: (n,) int64, the label of each scored query's nearest class; a rival's where it ties with the truth.
        truth: (n,) int64, its own label.
        rows: (n,) int64, its row among all queries.
        top1: share of queries whose own class is nearest; None without a query.
        top5: share of queries with less than five classes before, or level with, their own.
        per_class: mean over the classes that have queries of their own top-1, so that a small class counts as much as a
            large one.
        per_class_each: {label: its top-1}.
        skipped: "label": queries whose label is unknown; "class": queries whose label is none of the classes.
    """

    labels: Tensor
    predicted: Tensor
    truth: Tensor
    rows: Tensor
    top1: float | None
    top5: float | None
    per_class: float | None
    per_class_each: dict[int, float]
    skipped: dict[str, int]

    @property
    def queries(self) -> int:
        """How many were scored."""
        return len(self.truth)

    @property
    def without_queries(self) -> int:
        """How many classes no query belongs to; they can be chosen, and have no share in `per_class`."""
        return len(self.labels) - len(self.per_class_each)

    def to_dict(self) -> dict[str, Any]:
        """The figures as `report.json` has them, labels by their codes left out."""
        return {
            "classes": len(self.labels),
            "without_queries": self.without_queries,
            "queries": self.queries,
            "skipped": self.skipped,
            "top1": self.top1,
            "top5": self.top5,
            "per_class": self.per_class,
        }


def class_embeddings(
    embeddings: Embeddings,
    modalities: Sequence[str],
    labels: Tensor | None = None,
    weights: Mapping[str, float] | None = None,
    parts: Parts = "all",
) -> Rows:
    """One unit vector a label, from any set of modalities, composed by the one rule (see `manymodal.compose`).

    A modality with one value per label gives that. One with values of items (captions) gives the mean over the label's
    items of each item's unit mean, so that an item with ten captions counts as much as one with a single caption.
    Give embeddings of train rows alone where classes are made from values of items. O(values d).

    Args:
        embeddings: with labels.
        modalities: names, each once.
        labels: (c,) int64, the classes wanted; None for every label with a value in one of the modalities.
        weights: {modality: weight}; 1 where not given.
        parts: "all": labels that have every modality; "any": at least one, composed of what there is.

    Returns:
        Rows ordered by label, items all -1. A label asked for that is not among them lacks a part: `classify` counts
        its queries under `skipped`.

    Raises:
        ManymodalError: no labels, an unknown modality, one without a value of these labels, or values that cancel out.
    """
    check_known(modalities, embeddings.modalities)
    if embeddings.labels is None:
        raise ManymodalError("classes are labels, and these embeddings have none; give labels=, or a `label` column")
    sides = {m: _by_label(embeddings, m, labels) for m in modalities}
    for name, side in sides.items():
        if not len(side.vectors):
            raise ManymodalError(f"modality {name!r} has no value of any of these classes; leave it out of modalities")
    of_labels = Embeddings(
        {m: side.vectors for m, side in sides.items()},
        {m: side.items for m, side in sides.items()},
        {m: known_labels(side) for m, side in sides.items()},
    )
    return compose_items(of_labels, modalities, weights, parts)


def _by_label(embeddings: Embeddings, modality: str, labels: Tensor | None) -> Rows:
    """What a modality says of known labels: their values, or one unit mean for each of their items; items all -1."""
    rows = rows_of(embeddings, modality)
    if not embeddings.per_label(modality) and len(rows.items):
        rows = compose_items(embeddings.only(modality), [modality])
    of_row = known_labels(rows)
    kept = of_row >= 0 if labels is None else (of_row >= 0) & torch.isin(of_row, labels.to(of_row.device))  # (n,)
    return Rows(rows.vectors[kept], torch.full_like(of_row[kept], -1), of_row[kept])


@torch.no_grad()
def classify(queries: Rows, classes: Rows, seen: Tensor | None = None, penalty: float = 0.0) -> Classification:
    """Give every query the label of the class it is most similar to.

    Ties count against the query, as they do in ranks: a class that scores at least as high as the query's own less 1e-6
    stands before it. O(n c d), in blocks.

    Args:
        queries: n rows with labels.
        classes: c rows, one a label (see `class_embeddings`).
        seen: int64, the labels that were trained on; needed for a penalty.
        penalty: taken from the similarity to seen classes (calibrated stacking, Chao et al. 2016, arXiv:1605.04253).

    Raises:
        ManymodalError: no labels, no class, two rows of one class, or a penalty without `seen`.
    """
    known, truth = known_labels(classes), known_labels(queries)
    place = _places(truth, known)  # (n,)
    rows = (place >= 0).nonzero()[:, 0]  # (s,)
    taken = _penalties(known, seen, penalty)
    first, before = [known.new_empty(0)], [known.new_empty(0)]
    for block in rows.split(max(1, BLOCK // len(known))):
        scores = similarities(queries.vectors[block], classes.vectors) - taken  # (b, c)
        at = place[block][:, None]  # (b, 1)
        bar = scores.gather(1, at) - TOLERANCE  # (b, 1)
        scores.scatter_(1, at, -torch.inf)  # what is left are the rivals
        best, rival = scores.max(dim=1)  # (b,)
        first.append(torch.where(best >= bar[:, 0], rival, at[:, 0]))
        before.append((scores >= bar).sum(dim=1))
    rank = torch.cat(before) + 1  # (s,)
    truth_of_rows, correct = truth[rows], (rank == 1).double()
    each = per_class(correct, truth_of_rows)
    unknown = int((truth < 0).sum())
    return Classification(
        known,
        predicted=known[torch.cat(first)],
        truth=truth_of_rows,
        rows=rows,
        top1=float(correct.mean()) if len(rows) else None,
        top5=float((rank <= 5).double().mean()) if len(rows) else None,
        per_class=sum(each.values()) / len(each) if each else None,
        per_class_each=each,
        skipped={"label": unknown, "class": len(truth) - len(rows) - unknown},
    )


def per_class(correct: Tensor, truth: Tensor) -> dict[int, float]:
    """{label: mean over its queries}, ascending.

    Args:
        correct: (n,) float64. truth: (n,) int64.
    """
    labels, group, count = truth.unique(return_inverse=True, return_counts=True)  # (l,), (n,), (l,)
    mean = torch.zeros(len(labels), dtype=torch.float64, device=truth.device).index_add(0, group, correct) / count
    return dict(zip(labels.tolist(), mean.tolist(), strict=True))


def similarities(queries: Tensor, classes: Tensor) -> Tensor:
    """(n, c) float32, of queries (n, d) and classes (c, d)."""
    if queries.ndim != 2 or classes.ndim != 2 or queries.shape[1] != classes.shape[1]:
        raise ManymodalError(
            f"queries {tuple(queries.shape)} and classes {tuple(classes.shape)} do not fit; needed: (n, d) and (c, d)"
        )
    return queries.detach().float() @ classes.detach().float().T


def known_labels(rows: Rows) -> Tensor:
    """(n,) int64, -1 where unknown.

    Raises:
        ManymodalError: the embeddings that these rows came from have no labels.
    """
    if rows.labels is None:
        raise ManymodalError("classes are labels, and these rows have none; give labels=, or a `label` column")
    return rows.labels


def _places(truth: Tensor, labels: Tensor) -> Tensor:
    """(n,) int64, which of the classes (c,) each query is of; -1 for none."""
    if not len(labels):
        raise ManymodalError("there is no class to choose from; give class embeddings of at least one label")
    ascending, order = labels.sort()
    twice = ascending[1:][ascending[1:] == ascending[:-1]]
    if len(twice):
        raise ManymodalError(f"label {int(twice[0])} has two class embeddings; `class_embeddings` makes one of each")
    at = torch.searchsorted(ascending, truth).clamp_max(len(labels) - 1)  # (n,)
    return torch.where((ascending[at] == truth) & (truth >= 0), order[at], -1)


def _penalties(labels: Tensor, seen: Tensor | None, penalty: float) -> Tensor:
    """(c,) float32, what is taken from the similarity to each class."""
    if seen is None:
        if penalty:
            raise ManymodalError(f"penalty={penalty} is taken from seen classes; say with seen= which labels they are")
        return torch.zeros(len(labels), device=labels.device)
    return penalty * torch.isin(labels, seen.to(labels.device)).float()
