"""Health of a space: how its vectors lie, by modality and by pair, each figure judged (see `checks`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from ..compose import check_known
from ..embeddings import Embeddings
from ..errors import ManymodalError
from ..matching import Match, check_match, keys, matching_pairs, pair_keys
from ..words import counted
from .checks import CHECKS, OVERCONFIDENT, Finding, judged, undefined
from .geometry import Moments, centroid_gap, distribution_gap, repeats, separation, uniformity

__all__ = ["Finding", "health"]

Pair = tuple[str, str]

MAX_ROWS = 2000
SURE = 3.0  # standard errors that matches must be ahead by
GAPS = {"distribution_gap": distribution_gap, "centroid_gap": centroid_gap}


@torch.no_grad()
def health(
    embeddings: Embeddings,
    *,
    match: Match = "item",
    loss: Mapping[Pair, float] | None = None,
    chance: Mapping[Pair, float] | None = None,
    max_rows: int = MAX_ROWS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Finding]:
    """Look at how the vectors of each modality lie, and at how those of each pair lie to each other.

    Everything is measured in float64 on whole items drawn at random, in all modalities the same ones as far as
    `max_rows` goes. O(max_rows^2 d + d^3) a modality, O(max_rows d^2 + d^3) a pair, in blocks: seconds.

    Args:
        embeddings: of one split.
        match: "item", or "label" for things of one kind.
        loss: {(a, b): loss}, what an objective gives for embeddings of this split; None: losses are not looked at.
        chance: {(a, b): the loss of a space that has learned nothing}.
        max_rows: how many values of a modality to look at.
        seed: of the draw; the same seed, the same findings.
        progress: called with (modalities and pairs done, all of them) after each.

    Returns:
        Findings about all modalities together, then each modality, then each pair, in alphabetical order.

    Raises:
        ManymodalError: a match or max_rows that is not allowed, an unknown modality or a number that is not finite in
            loss or chance, or labels needed and absent.
    """
    check_match(match)
    if max_rows < 2:
        raise ManymodalError(f"max_rows={max_rows}; needed: 2 or more, and some hundreds to see anything")
    losses = {what: _by_pair(what, given or {}, embeddings) for what, given in (("loss", loss), ("chance", chance))}
    progress = progress or (lambda done, of: None)
    sample = _sample(embeddings, max_rows, seed)
    names = sample.modalities
    pairs = list(combinations(names, 2))
    steps = len(names) + len(pairs)

    sides, of_modality = {}, {}
    for done, m in enumerate(names, 1):
        sides[m] = _Side.of(sample, m)
        of_modality[m] = _of_modality(m, sides[m])
        progress(done, steps)
    of_pair = {}
    for done, pair in enumerate(pairs, len(names) + 1):
        of_pair[pair] = [_separation(sample, pair, match), *_gaps(pair, sides)]
        if loss is not None:
            of_pair[pair].append(_loss(pair, losses, of_pair[pair][0]))
        progress(done, steps)

    findings = [_common(sides)]
    for m in names:
        findings += [_above_chance(m, [of_pair[pair][0] for pair in pairs if m in pair]), *of_modality[m]]
    return findings + [finding for pair in pairs for finding in of_pair[pair]]


# -- what is looked at -----------------------------------------------------------------------------------------------


def _by_pair(what: str, given: Mapping[Pair, float], embeddings: Embeddings) -> dict[Pair, float]:
    """The same with the names of each pair in alphabetical order, checked."""
    for pair, value in given.items():
        check_known(pair, embeddings.modalities)
        if len(pair) != 2 or not math.isfinite(value):
            raise ManymodalError(f"{what} of {pair} is {value}; needed: finite numbers of pairs of modalities")
    return {(min(pair), max(pair)): float(value) for pair, value in given.items()}


def _sample(embeddings: Embeddings, max_rows: int, seed: int) -> Embeddings:
    """Whole items (labels) in random order until `max_rows` values of a modality are reached, one item at least.

    One order for all modalities, so that what matches is drawn together; whatever the order of the rows.
    """
    owners = {m: _owners(embeddings, m) for m in embeddings.modalities}
    every = torch.cat(list(owners.values())).unique()
    place = torch.randperm(len(every), generator=torch.Generator().manual_seed(seed)).to(every.device)  # (owners,)
    rows = {}
    for m, of in owners.items():
        at, order = place[torch.searchsorted(every, of)].sort(stable=True)  # (n,)
        end = len(at) if len(at) <= max_rows else int((at < at[max_rows]).sum()) or int((at == at[0]).sum())
        rows[m] = order[:end]
    drawn = embeddings.pick(rows).to("cpu", torch.float64)
    return Embeddings.normalized(drawn.vectors, drawn.items, drawn.labels)  # float32 is of unit norm to 1e-7 only


def _owners(embeddings: Embeddings, modality: str) -> Tensor:
    """(n,) whose each value is: the item; the label of a label modality."""
    labels = None if embeddings.labels is None else embeddings.labels[modality]
    return keys(embeddings.items[modality], labels, by_label=embeddings.per_label(modality))


@dataclass(frozen=True)
class _Side:
    """A modality, and what its pairs need of it."""

    vectors: Tensor  # (n, d)
    owners: Tensor  # (n,), equal ones in a row
    items: int  # how many
    moments: Moments | None  # None of fewer than 2 values
    noise: dict[str, float]  # the gaps between two random halves of its items; empty where there are none

    @classmethod
    def of(cls, sample: Embeddings, modality: str) -> _Side:
        vectors, owners = sample.vectors[modality], _owners(sample, modality)
        distinct, number = owners.unique_consecutive(return_inverse=True)  # (items,), (n,)
        halves = [Moments.of(half) for side in (0, 1) if len(half := vectors[number % 2 == side]) > 1]
        return cls(
            vectors,
            owners,
            len(distinct),
            Moments.of(vectors) if len(vectors) > 1 else None,
            {name: gap(*halves) for name, gap in GAPS.items()} if len(halves) == 2 else {},
        )


# -- the findings ----------------------------------------------------------------------------------------------------


def _common(sides: Mapping[str, _Side]) -> Finding:
    """The common component of all modalities, each of which counts as much."""
    filled = [side for side in sides.values() if len(side.vectors)]
    about = tuple(sides)
    if not filled:
        return undefined("common_component", about, "there is no value")
    mean = torch.stack([side.vectors.mean(dim=0) for side in filled]).mean(dim=0)  # (d,)
    return judged("common_component", about, float(mean.norm()), min(side.items for side in filled))


def _of_modality(modality: str, side: _Side) -> list[Finding]:
    about, moments, items = (modality,), side.moments, side.items
    if moments is None:
        why = f"{modality} has {counted(len(side.vectors), 'value')}, at least 2 are needed"
        names = ("common_component", "uniformity", "effective_dimension", "repeats")
        return [undefined(name, about, why) for name in names]
    dimension = moments.effective_dimension
    most, repeated = repeats(side.vectors, side.owners)
    return [
        judged("common_component", about, moments.common_component, items),
        judged("uniformity", about, uniformity(side.vectors), items),
        undefined("effective_dimension", about, f"all vectors of {modality} are the same")
        if dimension is None
        else judged("effective_dimension", about, dimension, items, {"dimension": float(len(moments.mean))}),
        judged("repeats", about, most, items, {"repeated": repeated}),
    ]


def _separation(sample: Embeddings, pair: Pair, match: Match) -> Finding:
    key_a, key_b = pair_keys(sample, *pair, match)
    i, j = matching_pairs(key_a, key_b)  # (p,)
    found = separation(sample.vectors[pair[0]], sample.vectors[pair[1]], i, j)
    if found is None:
        return undefined("separation", pair, f"of {pair[0]} and {pair[1]} no values match, or all do")
    matched = len(key_a[i].unique())
    noise = SURE / matched**0.5  # the mean of so many cosines drawn from all, in units of their deviation
    also = {
        "matches": found.matches[0],
        "matches_sd": found.matches[1],
        "others": found.others[0],
        "others_sd": found.others[1],
        "noise": noise,
        "matched": float(matched),
    }
    return judged("separation", pair, found.d_prime, matched, also, limit=max(noise, CHECKS["separation"].limit))


def _above_chance(modality: str, separations: Sequence[Finding]) -> Finding:
    """The best of a modality's pairs: dead is what is at chance with every other one."""
    measured = [(int(f.also["matched"] or 0), f.value, f) for f in separations if f.value is not None]
    if not measured:
        return undefined("above_chance", (modality,), f"no value of {modality} has a match in another modality")
    enough = CHECKS["above_chance"].least
    matched, value, best = max(measured, key=lambda one: (one[0] >= enough, one[2].ok, one[1]))
    noise = best.also["noise"] or 0.0
    limit = max(noise, CHECKS["above_chance"].limit)
    return judged("above_chance", (modality,), value, matched, {"noise": noise, "matched": float(matched)}, limit)


def _gaps(pair: Pair, sides: Mapping[str, _Side]) -> list[Finding]:
    """Both gaps; one that random halves of a modality show as well is none."""
    a, b = (sides[m] for m in pair)
    if a.moments is None or b.moments is None:
        counts = " and ".join(f"{m} has {counted(len(sides[m].vectors), 'value')}" for m in pair)
        return [undefined(name, pair, f"{counts}, at least 2 of each are needed") for name in GAPS]
    findings = []
    for name, gap in GAPS.items():
        reference = max((side.noise[name] for side in (a, b) if side.noise), default=None)
        limit = max(CHECKS[name].limit, reference or 0.0)
        value = gap(a.moments, b.moments)
        findings.append(judged(name, pair, value, min(a.items, b.items), {"reference": reference}, limit))
    return findings


def _loss(pair: Pair, losses: Mapping[str, Mapping[Pair, float]], told: Finding) -> Finding:
    """The loss as a share of its chance level; a pair that can be told from chance may be surer than it is right."""
    also = {what: given.get(pair) for what, given in losses.items()}
    loss, chance = also["loss"], also["chance"]
    if loss is None or chance is None or chance <= 0:
        why = f"no loss, or no chance level above 0, was given of {pair[0]} and {pair[1]}"
        return undefined("loss", pair, why, also)
    stands_out = told.value is not None and told.ok
    return judged("loss", pair, loss / chance, 0, also, limit=OVERCONFIDENT if stands_out else None)
