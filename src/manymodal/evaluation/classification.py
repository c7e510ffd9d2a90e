"""Which classifications some embeddings allow: every modality of items told apart by every set of label modalities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import torch
from torch import Tensor

from ..compose import Rows, rows_of
from ..embeddings import Embeddings
from .directions import ALL_SETS
from .generalised import Generalised, generalised
from .zero_shot import Classification, class_embeddings, classify

Setting = Literal["all", "unseen", "generalised"]


@dataclass(frozen=True)
class Classified:
    """One classification.

    Args:
        query: the modality whose values are told apart.
        classes: the modalities that say what each label is, composed where they are several.
        setting: "all": among all labels of the split; "unseen": values of labels that were not trained on, among these
            labels; "generalised": values of both kinds, among both.
        result: the figures.
    """

    query: str
    classes: tuple[str, ...]
    setting: Setting
    result: Classification | Generalised

    def to_dict(self) -> dict[str, Any]:
        """The classification as `report.json` has it."""
        return {
            "query": self.query,
            "classes_by": list(self.classes),
            "setting": self.setting,
            **self.result.to_dict(),
        }


def classify_all(embeddings: Embeddings, seen: Tensor | None = None) -> list[Classified]:
    """Every classification there is; none where no modality has one value per label.

    Args:
        embeddings: of one split.
        seen: (s,) int64, the labels that were trained on; None where that is not known.
    """
    kinds = [m for m in embeddings.modalities if embeddings.per_label(m)]
    if embeddings.labels is None or not kinds:
        return []
    sizes = range(1, len(kinds) + 1) if len(kinds) <= ALL_SETS else (1, len(kinds))
    found = []
    for by in (by for size in sizes for by in combinations(kinds, size)):
        classes = class_embeddings(embeddings, by)
        asked = embeddings.modalities if len(classes.vectors) else ()  # no label may have all of these modalities
        for name in asked:
            if name not in kinds and len(embeddings.vectors[name]):
                queries = rows_of(embeddings, name)
                found += [Classified(name, by, *one) for one in _settings(queries, classes, seen)]
    return [one for one in found if isinstance(one.result, Generalised) or one.result.queries]


def _settings(
    queries: Rows, classes: Rows, seen: Tensor | None
) -> Iterator[tuple[Setting, Classification | Generalised]]:
    yield "all", classify(queries, classes)
    assert classes.labels is not None and queries.labels is not None
    if seen is None:
        return
    trained, new = torch.isin(queries.labels, seen), ~torch.isin(classes.labels, seen)
    if not bool(new.any()) or bool((trained | (queries.labels < 0)).all()):
        return
    unseen = _take(queries, ~trained)
    yield "unseen", classify(unseen, _take(classes, new))
    if bool(trained.any()):
        yield "generalised", generalised(_take(queries, trained), unseen, classes, seen)


def _take(rows: Rows, chosen: Tensor) -> Rows:
    return Rows(rows.vectors[chosen], rows.items[chosen], None if rows.labels is None else rows.labels[chosen])
