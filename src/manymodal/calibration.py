"""How much each modality should weigh in a combined query for each target, estimated on dev.

With equal weights a weak part can hurt a strong one: the sum of a query's similarities gives the noise of the one as
much room as the evidence of the other. Since similarities add, weights in composition are weighted late fusion of
scores, and a handful of numbers, one per target and query modality, is enough.

"cosine" is in closed form. Were the target's vector spread around each part's as a von Mises-Fisher distribution, the
logarithm of the match's likelihood would be the sum of the similarities times each part's concentration, which is
kappa = r d / (1 - r^2) to a good approximation (Banerjee et al. 2005, JMLR 6; their r^3 is dropped), r here the mean
cosine between a part and its match, both less their means, since what all vectors share tells nothing apart.

"fitted" starts there and lets the data say more: the weights of a target maximise the likelihood of the match under a
softmax of the composed, unnormalised similarity, over all pairs of query modalities and all of them together, with a
prior in log weights around the closed form. Each of these query sets has its own temperature. That is the point: with
one temperature for all of them the weights also have to explain how sure two parts are against three, and a ranking
does not care.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from .compose import compose_items, rows_of
from .embeddings import Embeddings
from .errors import ManymodalError
from .progress import bar
from .words import counted

Method = Literal["fitted", "cosine"]

MOST_ITEMS = 1000  # of dev that weights are fitted on: 8 MB of scores a part
MOST_SCORES = 2**23  # of all query sets of a target together, so that many modalities take items from each other
SMALLEST, LARGEST = 0.01, 0.999  # a centred cosine below: a part that says nothing; above: one that says everything
EQUAL_ITEMS = 20  # a closed form from so many items is trusted by half, by the other half weights are equal
SPREAD = 0.5  # of log weights around the closed form, before the data speak
SCALE = 1 / 0.07  # where the temperatures start
STEPS = 50  # of LBFGS, at most


@dataclass(frozen=True)
class Calibration:
    """What parts of a query are worth.

    Args:
        weights: {target: {query modality: weight > 0}}, of mean 1 for each target.
        method: how they were estimated.
        items: how many items of dev there were.
        notes: what could not be estimated, in words.
    """

    weights: Mapping[str, Mapping[str, float]]
    method: str
    items: int
    notes: tuple[str, ...] = ()

    def of(self, query: Sequence[str], target: Sequence[str]) -> dict[str, float]:
        """{modality: weight} of a query's parts, of mean 1, so that a user's own weights keep their meaning.

        For a composed target: the mean over its modalities of the weights for each, of mean 1 over this query's parts;
        a composed row is the sum of its parts in equal shares, and so is the similarity to it, but for its norm. A part
        of the target's own modality counts as the mean of the others: no item is searched with itself on dev, so what
        that is worth was not measured.

        Raises:
            ManymodalError: a modality that was not there when weights were calibrated.
        """
        for name in [*query, *target]:
            if name not in self.weights:
                raise ManymodalError(
                    f"no calibrated weights of {name!r}; there are some of {', '.join(self.weights) or 'no modality'}. "
                    "Calibrate again on dev embeddings that have it, or use equal weights"
                )
        total = dict.fromkeys(query, 0.0)
        for one in target:
            known = {m: self.weights[one][m] for m in query if m != one}
            mean = sum(known.values()) / max(1, len(known))
            for m in query:
                total[m] += known[m] / mean if m in known else 1.0
        return {m: weight / len(target) for m, weight in total.items()}

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "notes": list(self.notes)}

    @classmethod
    def of_dict(cls, content: Mapping[str, Any]) -> Calibration:
        """From what `to_dict` gave.

        Raises:
            ManymodalError: something is missing, or a weight is not a positive number.
        """
        try:
            weights = {t: {m: float(w) for m, w in of.items()} for t, of in content["weights"].items()}
            found = cls(weights, str(content["method"]), int(content["items"]), tuple(content.get("notes", ())))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ManymodalError(
                f"a calibration cannot be read ({error!r}); needed are weights, method and items: calibrate again"
            ) from error
        for target, of in weights.items():
            for name, weight in of.items():
                if not 0 < weight < math.inf:
                    raise ManymodalError(f"weight {weight} of {name!r} for {target!r}; needed: a positive number")
        return found


def calibrate(embeddings: Embeddings, method: Method = "fitted", seed: int = 0) -> Calibration:
    """Weights for every target and query modality, from embeddings of dev.

    All of an item's values are composed on the query's side, and one drawn value of each item is searched, as in
    training; matches are by item, by label where a side has one value per label. Weights from a few items lean towards
    equal ones, and where nothing can be estimated a part counts as the (geometric) mean of the others; `notes` say so.

    Args:
        embeddings: of dev; never of train, which the space fits too well, nor of what is to be measured.
        method: "fitted" or "cosine" (see above).
        seed: of the items and values drawn.

    Raises:
        ManymodalError: another method, values per label without labels, or values of an item that cancel out.

    Cost: "cosine" is linear. "fitted" holds M - 1 matrices of scores of up to 1,000 x 1,000 and passes about 200 times
    over at most 2^23 scores a target: about 2 s a target on one core, half a second for two hundred items.
    """
    if method not in get_args(Method):
        raise ManymodalError(f"method {method!r}; allowed are {', '.join(get_args(Method))}")
    with torch.no_grad():
        embeddings = embeddings.to("cpu", torch.float64)  # small, and the same figures on every machine
        owners = _owners(embeddings)
        means = {m: _means(embeddings, m, owners) for m in embeddings.modalities}
    weights: dict[str, dict[str, float]] = {}
    notes: list[str] = []
    with bar("calibrating", len(means)) as advance:
        for target in means:
            parts = [m for m in means if m != target]
            log = torch.tensor([], dtype=torch.float64)
            if parts:
                log = _concentrations(means, parts, target, notes)  # (k,)
            if method == "fitted" and len(parts) > 1:
                log = _fit(log, _dev(embeddings, means, owners, parts, target, seed))  # (k,)
            share = log.softmax(0) * len(parts)  # (k,) of mean 1
            weights[target] = dict(zip(parts, share.tolist(), strict=True))
            advance(1, target)
    return Calibration(weights, method, len(owners.items), tuple(notes))


# -- what dev has ------------------------------------------------------------------------------------------------------


class _Owners(NamedTuple):
    """The items of dev and their labels; its labels alone where every modality has one value per label."""

    items: Tensor  # (n,) ascending, or all -1
    labels: Tensor  # (n,) -1 unknown


class _Means(NamedTuple):
    """A modality's unit mean of each owner's values."""

    vectors: Tensor  # (n, d), zero where there is none
    there: Tensor  # (n,) bool


class _Dev(NamedTuple):
    """Queries of several parts against one drawn value of each of their matches."""

    scores: Tensor  # (k, n, m) of each part
    match: Tensor  # (n,) the column of a query's match
    sets: list[tuple[int, ...]]  # parts asked with together
    rows: list[Tensor]  # of each set: the queries that have all of its parts
    mates: list[Tensor | None]  # of each set: (rows, m) bool, further matches, which are no rivals


def _owners(embeddings: Embeddings) -> _Owners:
    names = [m for m, ids in embeddings.items.items() if bool((ids >= 0).any())] or embeddings.modalities
    items = torch.cat([embeddings.items[m] for m in names])
    labels = items.new_full(items.shape, -1)
    if embeddings.labels is not None:
        labels = torch.cat([embeddings.labels[m] for m in names])
    items, labels = torch.stack([items, labels]).unique(dim=1)  # (n,), (n,): an item has one label
    known = (items >= 0) | (labels >= 0)
    return _Owners(items[known], labels[known])


def _ids(embeddings: Embeddings, modality: str, rows_items: Tensor, rows_labels: Tensor | None) -> Tensor:
    """(n,) what a modality's values are found by: labels where it has one value per label, else items."""
    return rows_labels if embeddings.per_label(modality) and rows_labels is not None else rows_items


def _means(embeddings: Embeddings, modality: str, owners: _Owners) -> _Means:
    rows = compose_items(embeddings, [modality])
    ids, wanted = _ids(embeddings, modality, *rows[1:]), _ids(embeddings, modality, *owners)
    there = torch.isin(wanted, ids) & (wanted >= 0)  # (n,)
    vectors = rows.vectors.new_zeros(len(wanted), embeddings.dim)
    vectors[there] = rows.vectors[torch.searchsorted(ids, wanted[there])]
    return _Means(vectors, there)


def _dev(
    embeddings: Embeddings, means: Mapping[str, _Means], owners: _Owners, parts: Sequence[str], target: str, seed: int
) -> _Dev:
    """What the weights of a target are fitted on: at most `MOST_ITEMS` items, at most `MOST_SCORES` scores in all."""
    k = len(parts)
    sets = [*combinations(range(k), 2), *([tuple(range(k))] if k > 2 else [])]
    random = torch.Generator().manual_seed(seed)
    found = means[target].there.nonzero()[:, 0]
    most = min(MOST_ITEMS, math.isqrt(MOST_SCORES // len(sets)))
    drawn = found[torch.randperm(len(found), generator=random)[:most]].sort().values  # (n,)

    per_label = embeddings.per_label(target)
    values = rows_of(embeddings, target)
    ids, wanted = _ids(embeddings, target, *values[1:]), _ids(embeddings, target, *owners)[drawn]  # (v,), (n,)
    gallery, match = wanted.unique(return_inverse=True)  # (m,), (n,)
    order = ids.argsort(stable=True)
    first = torch.searchsorted(ids[order], gallery)  # (m,)
    several = torch.searchsorted(ids[order], gallery, right=True) - first  # (m,) values of each
    one = first + (torch.rand(len(gallery), generator=random, dtype=torch.float64) * several).long()  # (m,)
    vectors = values.vectors[order[one]]  # (m, d)
    scores = torch.stack([means[m].vectors[drawn] @ vectors.T for m in parts])  # (k, n, m)

    there = torch.stack([means[m].there[drawn] for m in parts])  # (k, n)
    rows = [there[list(of)].all(dim=0).nonzero()[:, 0] for of in sets]
    labels = owners.labels[drawn]  # (n,)
    alike = (labels[:, None] == labels) & ~torch.eye(len(drawn), dtype=torch.bool)  # (n, n)
    by_label = [not per_label and all(embeddings.per_label(parts[p]) for p in of) for of in sets]
    mates = [alike[of_set] if by else None for of_set, by in zip(rows, by_label, strict=True)]
    return _Dev(scores, match, sets, rows, mates)


# -- the two methods ---------------------------------------------------------------------------------------------------


@torch.no_grad()
def _concentrations(means: Mapping[str, _Means], parts: Sequence[str], target: str, notes: list[str]) -> Tensor:
    """(k,) log concentration of each part about the target, less their mean, drawn towards it where items are few."""
    logs, counts = [], []
    goal = means[target]
    for name in parts:
        both = means[name].there & goal.there  # (n,)
        sides = [side.vectors[both] - side.vectors[side.there].mean(dim=0) for side in (means[name], goal)]  # (b, d)
        r = float((sides[0] * sides[1]).sum(dim=1).mean().clamp(SMALLEST, LARGEST)) if both.any() else SMALLEST
        logs.append(math.log(r * goal.vectors.shape[1] / (1 - r * r)))
        counts.append(int(both.sum()))
        if counts[-1] < EQUAL_ITEMS:
            few = f"only {counted(counts[-1], 'item')} with both" if counts[-1] else "no item has both"
            notes.append(f"{name} -> {target}: {few}; its weight leans towards the mean of the others")
    log, count = torch.tensor(logs, dtype=torch.float64), torch.tensor(counts, dtype=torch.float64)  # (k,), (k,)
    known = count > 0
    mean = log[known].mean() if known.any() else log.mean()
    return (log - mean) * count / (count + EQUAL_ITEMS)


def _fit(prior: Tensor, dev: _Dev) -> Tensor:
    """(k,) log weights of the greatest posterior: the likelihood a query set has on average, and the prior's."""
    used = [(list(of), rows, mates) for of, rows, mates in zip(dev.sets, dev.rows, dev.mates, strict=True) if len(rows)]
    if not used:
        return prior
    change = torch.zeros_like(prior, requires_grad=True)  # (k,)
    log_scale = torch.full((len(used),), math.log(SCALE), dtype=torch.float64, requires_grad=True)  # a set each
    solver = torch.optim.LBFGS([change, log_scale], max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> float:
        solver.zero_grad()
        loss = ((change - change.mean()) / SPREAD).square().sum() / 2
        loss.backward()
        total = float(loss.detach())
        for (of, rows, mates), log in zip(used, log_scale, strict=True):
            share = log.exp() * (prior + change)[of].softmax(0)  # (parts,)
            scores = torch.tensordot(share, dev.scores[of][:, rows], dims=1)  # (r, m)
            if mates is not None:
                scores = scores.masked_fill(mates, -torch.inf)
            own = scores.gather(1, dev.match[rows, None])[:, 0]  # (r,)
            loss = (scores.logsumexp(dim=1) - own).sum() / len(used)
            loss.backward()
            total += float(loss.detach())
        return total

    with torch.enable_grad():
        solver.step(closure)
    return (prior + change).detach()
