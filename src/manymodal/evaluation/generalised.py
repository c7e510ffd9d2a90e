"""Generalised zero-shot classification: seen and unseen classes to choose from at once, and how to keep them even.

A space favours the classes it was trained on. Calibrated stacking (Chao, Changpinyo, Gong, Sha 2016, arXiv:1605.04253)
takes a penalty from the similarity to seen classes; it is chosen on seen classes that were held out of training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..compose import Rows
from ..errors import ManymodalError
from ..ranks import TOLERANCE
from .zero_shot import Classification, classify, known_labels, similarities


@dataclass(frozen=True)
class Generalised:
    """Both sides among the union of the classes.

    Args:
        seen: of the queries of seen classes. unseen: of those of unseen ones.
        penalty: what was taken from the similarity to seen classes.
    """

    seen: Classification
    unseen: Classification
    penalty: float

    @property
    def harmonic(self) -> float | None:
        """2 s u / (s + u) of the two per-class accuracies; None where a side has no query."""
        s, u = self.seen.per_class, self.unseen.per_class
        return None if s is None or u is None else harmonic_mean(s, u)

    def to_dict(self) -> dict[str, Any]:
        """The figures as `report.json` has them; seen and unseen are per-class accuracies."""
        return {
            "classes": len(self.seen.labels),
            "queries": {"seen": self.seen.queries, "unseen": self.unseen.queries},
            "skipped": {"seen": self.seen.skipped, "unseen": self.unseen.skipped},
            "penalty": self.penalty,
            "seen": self.seen.per_class,
            "unseen": self.unseen.per_class,
            "harmonic": self.harmonic,
        }


class Stacking(NamedTuple):
    """What a sweep over all penalties found.

    Args:
        penalty: the best one. harmonic: the harmonic mean that it reaches.
        ausuc: area under the curve of seen against unseen per-class accuracy over all penalties.
    """

    penalty: float
    harmonic: float
    ausuc: float


def harmonic_mean(a: float, b: float) -> float:
    """2 a b / (a + b), 0 where one of them is."""
    return 2 * a * b / (a + b) if a + b > 0 else 0.0


def hold_out(labels: Tensor, fraction: float = 0.2, seed: int = 0) -> Tensor:
    """(h,) int64 labels, ascending, to be held out as unseen while settings are chosen: one at least, never all.

    Args:
        labels: (n,) int64, those of the train rows, or each once; unknown ones (-1) count for nothing.
        fraction: of the distinct labels, in (0, 1).
        seed: of the draw; the same seed and labels, the same ones held out.

    Raises:
        ManymodalError: fewer than two labels, or a fraction out of range.
    """
    known = labels[labels >= 0].unique().cpu()
    if not 0 < fraction < 1 or len(known) < 2:
        raise ManymodalError(
            f"cannot hold out {fraction} of {len(known)} labels; needed: a fraction between 0 and 1 of two or more"
        )
    count = min(max(1, round(fraction * len(known))), len(known) - 1)
    drawn = torch.from_numpy(np.random.default_rng(seed).permutation(len(known))[:count])  # (h,)
    held: Tensor = known[drawn].sort().values
    return held


def generalised(
    queries_seen: Rows, queries_unseen: Rows, classes: Rows, seen: Tensor, penalty: float = 0.0
) -> Generalised:
    """Classify queries of seen and of unseen classes among the union of both.

    Args:
        queries_seen: values of seen classes that were not trained on.
        queries_unseen: values of unseen classes.
        classes: one row a label, seen and unseen (see `class_embeddings`).
        seen: int64, the labels that were trained on.
        penalty: taken from the similarity to these (see `choose_penalty`).

    Raises:
        ManymodalError: a query is on the wrong side, or what `classify` refuses.
    """
    _check_sides(queries_seen, queries_unseen, seen)
    of_seen, of_unseen = (classify(rows, classes, seen, penalty) for rows in (queries_seen, queries_unseen))
    return Generalised(of_seen, of_unseen, penalty)


@torch.no_grad()
def choose_penalty(queries_seen: Rows, queries_unseen: Rows, classes: Rows, seen: Tensor) -> Stacking:
    """The penalty with the best harmonic mean, from an exact sweep.

    A query of a seen class is classified right up to some penalty, one of an unseen class from some penalty on; between
    two such thresholds nothing changes. Of intervals that are equally good the widest is taken, and its middle. The
    n c similarities are held at once.

    Args:
        queries_seen: values, not trained on, of the classes that were trained on.
        queries_unseen: values of the classes held out (see `hold_out`).
        classes: one row a label, both kinds.
        seen: int64, the labels that were trained on.

    Raises:
        ManymodalError: a side has no query or no class, or a query is on the wrong side.
    """
    _check_sides(queries_seen, queries_unseen, seen)
    last, right_until = _thresholds(queries_seen, classes, seen, own_side=True)
    from_on, right_from = _thresholds(queries_unseen, classes, seen, own_side=False)
    cuts = torch.cat([last, from_on]).unique()  # (k,)
    cuts = cuts[cuts.isfinite()]
    edges = torch.cat([cuts.new_tensor([-math.inf]), cuts, cuts.new_tensor([math.inf])])  # (k + 2,)
    middle = ((edges[:-1] + edges[1:]) / 2).nan_to_num(0.0, math.inf, -math.inf)  # (k + 1,) 0 where nothing changes
    kept = _mass_beyond(last, right_until, middle)  # (k + 1,) seen accuracy within each interval
    won = _mass_beyond(-from_on, right_from, -middle)  # (k + 1,) unseen accuracy
    both = kept + won
    harmonic = torch.where(both > 0, 2 * kept * won / both, 0.0)  # (k + 1,)
    width = edges.diff().nan_to_num(0.0, 0.0)  # (k + 1,) the two endless ones only where nothing else is as good
    best = torch.where(harmonic >= harmonic.max() - 1e-12, width, -1.0).argmax()
    if math.isfinite(float(middle[best])):
        penalty = float(middle[best])
    else:  # beyond the last threshold on that side: a little further, for the tolerance of ties
        penalty = float(cuts[0 if middle[best] < 0 else -1]) + math.copysign(10 * TOLERANCE, float(middle[best]))
    return Stacking(penalty, float(harmonic[best]), float(torch.trapezoid(kept, won)))


def _thresholds(queries: Rows, classes: Rows, seen: Tensor, own_side: bool) -> tuple[Tensor, Tensor]:
    """Up to (from) which penalty each query is right (n,), infinite the wrong way where never, and its weight (n,).

    A query's weight is its share in the mean of per-class accuracies.
    """
    found = classify(queries, classes)  # checks; leaves out queries without a class
    if not found.queries:
        side = "seen" if own_side else "unseen"
        raise ManymodalError(
            f"no query of {side} classes has its class among the class embeddings; both sides need some"
        )
    labels = known_labels(classes)
    scores = similarities(queries.vectors[found.rows], classes.vectors).double()  # (n, c)
    own_class = found.truth[:, None] == labels  # (n, c)
    own = scores[own_class] - TOLERANCE  # (n,)
    with_penalty = torch.isin(labels, seen.to(labels.device))  # (c,)
    rivals = scores.masked_fill(own_class, -torch.inf)
    kin = rivals.masked_fill(with_penalty != own_side, -torch.inf).amax(1)  # (n,) best rival of the same side
    others = rivals.masked_fill(with_penalty == own_side, -torch.inf).amax(1)  # (n,) best class of the other
    at = own - others if own_side else others - own
    never = -torch.inf if own_side else torch.inf
    _, group, count = found.truth.unique(return_inverse=True, return_counts=True)  # (n,), (l,)
    return torch.where(kin < own, at, never), 1 / (count[group].double() * len(count))


def _mass_beyond(thresholds: Tensor, weights: Tensor, places: Tensor) -> Tensor:
    """(k,) the weights, summed, of the thresholds (n,) above each place (k,)."""
    ascending, order = thresholds.sort()
    below = torch.cat([weights.new_zeros(1), weights[order].cumsum(0)])  # (n + 1,)
    mass: Tensor = below[-1] - below[torch.searchsorted(ascending, places, right=True)]
    return mass


def _check_sides(queries_seen: Rows, queries_unseen: Rows, seen: Tensor) -> None:
    """Refuse queries on the wrong side."""
    for rows, words, wrong in ((queries_seen, "seen", False), (queries_unseen, "unseen", True)):
        labels = known_labels(rows)
        strange = labels[(labels >= 0) & (torch.isin(labels, seen.to(labels.device)) == wrong)]
        if len(strange):
            raise ManymodalError(
                f"label {int(strange[0])} is among the queries of {words} classes, but `seen` says otherwise; "
                "give each query on its own side"
            )
