"""Objectives that look at all modalities of an item at once: those items that have all of them, each as an anchor.

They are not sums over pairs of modalities, so they leave `Loss.pairs` empty and give a term for each anchor.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..compose import check_known, compose_items
from ..embeddings import Embeddings
from ..errors import ManymodalError
from ..matching import Match, check_match, keys
from .base import Loss, Objective, zero
from .scale import CLIP_SCALE, Scale


@dataclass(frozen=True)
class Complete:
    """Items that have a value in every one of some modalities, with one vector in each.

    Args:
        vectors: {modality: (n, d)} unit vectors.
        items: (n,) int64; -1 where all of the modalities have one value per label, and a row is a label.
        labels: (n,) int64, -1 unknown; None where the embeddings have none.
        by_label: the modalities whose values match by label.
    """

    vectors: dict[str, Tensor]
    items: Tensor
    labels: Tensor | None
    by_label: frozenset[str]

    def ids(self, a: str, b: str) -> Tensor:
        """(n,) int64, equal for items whose values in modality `a` and in modality `b` match."""
        return keys(self.items, self.labels, a in self.by_label or b in self.by_label)

    def lead(self, anchor: str, others: Sequence[str]) -> str:
        """The one of `others` whose matches with the anchor are the fewest: by item, where there is one."""
        return next((m for m in others if not {anchor, m} & self.by_label), others[0])


def complete_items(embeddings: Embeddings, names: Sequence[str], match: Match = "item") -> Complete:
    """The items that have all of the named modalities: the unit mean of an item's values in each, as in composition.

    In a modality with one value per label an item has its label's. Cost: O(M n (d + log n)).

    Raises:
        ManymodalError: labels are needed and absent, or an item's values in a modality cancel out.
    """
    rows = {m: compose_items(embeddings, [m]) for m in names}
    per_label = {m for m in names if embeddings.per_label(m)}
    if match == "label" and embeddings.labels is None:
        raise ManymodalError('match="label", but these embeddings have no labels: give labels=, or a `label` column')
    ids = {m: _label(rows[m].labels) if m in per_label else rows[m].items for m in names}  # (n_m,) ascending, unique
    lead = next((m for m in names if m not in per_label), names[0])
    wanted = {m: _label(rows[lead].labels) if m in per_label else rows[lead].items for m in names}  # (n_lead,)
    kept = torch.stack([torch.isin(wanted[m], ids[m]) for m in names]).all(dim=0)  # (n_lead,)
    vectors = {m: rows[m].vectors[torch.searchsorted(ids[m], wanted[m][kept])] for m in names}  # (n, d) each
    labels = rows[lead].labels
    by_label = frozenset(names) if match == "label" else frozenset(per_label)
    return Complete(vectors, rows[lead].items[kept], None if labels is None else labels[kept], by_label)


def _label(labels: Tensor | None) -> Tensor:
    assert labels is not None  # composition refuses a label modality without labels
    return labels


class MemberObjective(Objective):
    """The mean over anchors of the loss of an anchor modality against all other members together.

    Args:
        scale: starting multiplier, within [1, 100]; learned, and kept there after each step.
        members: the modalities, two or more; None for all that have a value. Items that lack one are left out.
        match: "item" or "label"; see `manymodal.matching`.
    """

    def __init__(self, scale: float = CLIP_SCALE, members: Sequence[str] | None = None, match: Match = "item") -> None:
        super().__init__()
        check_match(match)
        if members is not None and (isinstance(members, str) or len(set(members)) < 2):
            raise ManymodalError(f"members={members!r}; name at least two modalities, [caption, photo], or none")
        self.match, self.scale = match, Scale(scale)
        self.members = None if members is None else tuple(sorted(set(members)))

    def prepare(self, modalities: Sequence[str], dim: int) -> None:
        """Check the names of members."""
        check_known(self.members or (), modalities)

    def forward(self, embeddings: Embeddings) -> Loss:
        """The mean of the terms, {(anchor, *others): ()}, each over the items that have all members.

        Raises:
            ManymodalError: a member that is not here, or labels are needed and absent.
        """
        everyone = self.processes.gather_embeddings(embeddings).embeddings
        check_known(self.members or (), everyone.modalities)
        names = [m for m in self.members or everyone.modalities if self.members or len(everyone.vectors[m])]
        if len(names) < 2:
            return Loss(zero(everyone))
        complete = complete_items(everyone, names, self.match)
        if not len(complete.items):
            return Loss(zero(everyone))
        terms = {}
        for anchor in self.anchors(names):
            others = tuple(m for m in names if m != anchor)
            terms[anchor, *others] = self.term(complete, anchor, others)
        return Loss(torch.stack(list(terms.values())).mean(), terms=terms)

    def anchors(self, names: Sequence[str]) -> Sequence[str]:
        """The modalities that are the anchor in turn: all of them, unless an objective says otherwise."""
        return names

    @abstractmethod
    def term(self, complete: Complete, anchor: str, others: tuple[str, ...]) -> Tensor:
        """() the loss of one anchor against the others together."""

    def after_step(self) -> None:
        """Keep the scale within [1, 100]."""
        self.scale.clamp()

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        members = None if self.members is None else list(self.members)
        return {"scale": self.scale.start, "members": members, "match": self.match}
