"""Many requests at once -> hits: one pass through each encoder, one scan for those that differ in little."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import torch
from torch import Tensor

from .building import check_same_space
from .compose import Part, compose, cosines
from .errors import ManymodalError
from .evaluation.sides import MEAN_REMOVAL
from .fusion import fused_lists
from .index.approximate import Approximate
from .index.exact import Hit
from .index.layout import Meta
from .index.records import ITEM, Nearest
from .index.snapshot import Snapshot
from .index.where import columns_of, compile_where
from .querying import Corrections, calibrated_parts, corrected_search, embed_query
from .requests import QueryPart, Request
from .searched import Searched

DEEP = 1000  # items of each part's list that fusion by rank looks at
CANDIDATES = 200  # items that are scored anew where a correction meets an approximate index

Answer = list[Hit] | ManymodalError
Embedded = Mapping[tuple[int, int], Tensor | ManymodalError]  # {(request, part): vectors of its raw values}


@torch.no_grad()
def answer(searched: Searched, requests: Sequence[Request]) -> list[Answer]:
    """The hits of each request, or what is wrong with it; one that is wrong concerns no other."""
    embedded = _embed(searched, requests)
    answers: dict[int, Answer] = {}
    alike: dict[tuple[str, str | None, int], list[int]] = defaultdict(list)
    parts: dict[int, list[Part]] = {}
    for number, request in enumerate(requests):
        try:
            where = _check(searched.meta, request)
            parts[number] = _parts(searched, request, number, embedded)
            if request.fusion == "rank":
                answers[number] = _fused(searched, request, parts[number], where)
            elif request.correct is not None:
                answers[number] = _corrected(searched, request, parts[number], where)
            else:
                magnitude = (request.k - 1).bit_length()  # nobody waits for a thousand hits that another wants
                alike[request.target, where, magnitude].append(number)
        except ManymodalError as error:
            answers[number] = error
    for (target, where, _), numbers in alike.items():
        answers |= _composed(searched, requests, target, where, numbers, parts)
    return [answers[number] for number in range(len(requests))]


def embed_values(searched: Searched, modality: str, values: Sequence[Any]) -> Tensor:
    """(n, d) unit vectors of raw values.

    Raises:
        ManymodalError: there is no encoder of that modality, or none any more that made the index; or a value cannot
            be read.
    """
    space = searched.space
    if space is None or modality not in space.towers.names:
        known = ", ".join(space.towers.names) if space else "none"
        raise ManymodalError(
            f"there is no encoder of {modality!r} here, only of: {known}. Ask with vectors or stored items instead"
        )
    check_same_space(space, searched.meta.fingerprint, "this index")
    dates = [name for name, cell in space.schema.modalities[modality].cells.items() if cell == "date"]
    return embed_query(space.towers[modality], modality, [_with_dates(value, dates) for value in values], None)


def _with_dates(value: Any, dates: Sequence[str]) -> Any:
    """A table's value with its dates read, where they came as JSON has them."""
    if not isinstance(value, Mapping):
        return value
    read = dict(value)
    for name in dates:
        if isinstance(read.get(name), str):
            try:
                read[name] = datetime.fromisoformat(read[name])
            except ValueError as error:
                raise ManymodalError(f"column {name!r}: {read[name]!r} is no date; write it as 2024-12-31") from error
    return read


def _check(meta: Meta, request: Request) -> str | None:
    """The request's condition as the engine takes it; what it names must be there."""
    known = list(meta.modalities)
    for name in [part.modality for part in request.parts]:
        if name not in known:
            raise ManymodalError(f"no modality {name!r}; there are {', '.join(known)}")
    if request.target not in (*known, ITEM):
        raise ManymodalError(f"no target {request.target!r}; there are {', '.join((*known, ITEM))}")
    return None if request.where is None else compile_where(request.where, columns_of(meta))


def _embed(searched: Searched, requests: Sequence[Request]) -> Embedded:
    """Vectors of all raw values, in one pass for each modality; where a value is broken, part by part."""
    asked: dict[str, list[tuple[tuple[int, int], Sequence[Any]]]] = defaultdict(list)
    found: dict[tuple[int, int], Tensor | ManymodalError] = {}
    for number, request in enumerate(requests):
        for place, part in enumerate(request.parts):
            if not part.values or part.modality not in searched.meta.modalities:
                continue
            asked[part.modality].append(((number, place), part.values))
    for modality, given in asked.items():
        try:
            vectors = embed_values(searched, modality, [value for _, values in given for value in values])
            sizes = [len(values) for _, values in given]
            found |= dict(zip((key for key, _ in given), vectors.split(sizes), strict=True))
        except ManymodalError:
            for key, values in given:
                try:
                    found[key] = embed_values(searched, modality, values)
                except ManymodalError as error:
                    found[key] = error
    return found


def parts_of(searched: Searched, request: Request) -> list[Part]:
    """The parts of a request with their vectors, weighed as it asks for.

    Raises:
        ManymodalError: a modality or item is unknown, or a value cannot be read.
    """
    _check(searched.meta, request)
    return _parts(searched, request, 0, _embed(searched, [request]))


def _parts(searched: Searched, request: Request, number: int, embedded: Embedded) -> list[Part]:
    parts = []
    for place, part in enumerate(request.parts):
        raw = embedded.get((number, place), torch.zeros(0, searched.meta.d))
        if isinstance(raw, ManymodalError):
            raise raw
        stored = searched.form.stored(part.modality, part.ids) if part.ids else []
        for id, own in zip(part.ids, stored, strict=True):
            if not len(own):
                what = "label" if searched.meta.per_label(part.modality) else "item"
                raise ManymodalError(f"{what} {id!r} has no value in {part.modality!r}, so it cannot be asked with")
        vectors = torch.cat([raw, *stored, *_given(searched.meta, part)])  # (v, d)
        parts.append(Part(part.modality, vectors, part.weight))
    calibration = searched.space and searched.space.reference.calibration
    weigh = request.calibrated and request.fusion == "compose"  # a rank has no scale that weights could be fitted to
    if weigh and calibration and all(part.modality in calibration.weights for part in parts):
        of = [m for m in searched.meta.modalities if m in calibration.weights]
        target = [request.target] if request.target in calibration.weights else of
        parts = calibrated_parts(parts, target, calibration)
    return parts


def _given(meta: Meta, part: QueryPart) -> list[Tensor]:
    """The vectors that a part came with, checked."""
    if part.vectors is None:
        return []
    vectors = part.vectors.float()
    if vectors.ndim != 2 or vectors.shape[1] != meta.d:
        raise ManymodalError(f"vectors of shape {tuple(vectors.shape)} in {part.modality!r}; needed: (v, {meta.d})")
    if not bool(((vectors.norm(dim=1) - 1).abs() <= 1e-3).all()):  # false for NaN and infinity too
        raise ManymodalError(f"vectors in {part.modality!r} are not of unit norm (within 0.001); divide them by it")
    return [vectors]


def _composed(
    searched: Searched,
    requests: Sequence[Request],
    target: str,
    where: str | None,
    numbers: Sequence[int],
    parts: Mapping[int, list[Part]],
) -> dict[int, Answer]:
    """Answers to requests that differ in their query, and a little in how many they want."""
    answers: dict[int, Answer] = {}
    queries = {}
    for number in numbers:
        try:
            queries[number] = compose(parts[number])
        except ManymodalError as error:
            answers[number] = error
    if queries:
        most = max(requests[number].k for number in queries)
        try:
            lists = searched.form.search(target, torch.stack(list(queries.values())), most, where)
        except ManymodalError as error:
            return answers | dict.fromkeys(queries, error)
        for number, found in zip(queries, lists, strict=True):
            answers[number] = _hits(found[: requests[number].k], parts[number])
    return answers


def _corrected(searched: Searched, request: Request, parts: list[Part], where: str | None) -> list[Hit]:
    """Hits by corrected scores: exact over all values, or over the nearest ones where the index is approximate."""
    method, target, form = request.correct, request.target, searched.form
    assert method is not None
    if target == ITEM and method == MEAN_REMOVAL:
        raise ManymodalError(f"{method} does not go with the target {ITEM!r}, of several modalities; name one of them")
    bank = None if searched.space is None else searched.space.reference.bank
    if isinstance(form, Snapshot):
        query, adjust = corrected_search(form.gallery(target), target, parts, method, bank, searched.kept[target])
        (found,) = form.search(target, query[None], request.k, where, adjust)
    else:
        assert isinstance(form, Approximate)

        def score(vectors: Tensor) -> Tensor:
            query, adjust = corrected_search(vectors, target, parts, method, bank, Corrections())
            return adjust((vectors * query).sum(dim=1))  # (v,)

        (found,) = form.search(target, compose(parts)[None], max(CANDIDATES, 10 * request.k), where, score)
    return _hits(found[: request.k], parts)


def _fused(searched: Searched, request: Request, parts: list[Part], where: str | None) -> list[Hit]:
    """Hits by the ranks that each part alone gives; the value shown is the one that the best-ranking part matched."""
    present = [part for part in parts if len(part.vectors)]
    if not present:
        raise ManymodalError("a query needs at least one value; every part of this one is empty")
    queries = torch.stack([part.unit() for part in present])  # (parts, d)
    lists = searched.form.search(request.target, queries, max(DEEP, request.k), where)
    scores = fused_lists([[one.id for one in found] for found in lists], [part.weight for part in present])
    nearest: dict[str, tuple[int, Nearest]] = {}
    for found in lists:
        for rank, one in enumerate(found):
            if one.id not in nearest or rank < nearest[one.id][0]:
                nearest[one.id] = rank, one
    best = list(scores)[: request.k]
    return _hits([nearest[id][1]._replace(score=scores[id]) for id in best], parts)


def _hits(found: Sequence[Nearest], parts: Sequence[Part]) -> list[Hit]:
    of_parts = cosines(parts, [one.vector for one in found])
    return [
        Hit(one.id, one.score, 0 if one.shown is None else one.shown.place, own, one.columns, one.shown)
        for one, own in zip(found, of_parts, strict=True)
    ]
