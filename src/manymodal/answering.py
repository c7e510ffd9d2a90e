"""Many requests at once -> hits: one pass through each encoder, one scan for each target and condition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import torch
from torch import Tensor

from .compose import Part, compose, cosines
from .errors import BadValue, ManymodalError
from .fusion import fused_lists
from .index.exact import Hit
from .index.layout import Meta
from .index.records import ITEM, Nearest, VectorIndex
from .index.snapshot import Snapshot
from .index.where import columns_of, compile_where
from .preparing import embed_packed, pack
from .querying import Corrections, calibrated_parts, corrected_sides
from .requests import QueryPart, Request
from .space import Space

DEEP = 1000  # items of each part's list that fusion by rank looks at
CANDIDATES = 200  # items that are scored anew where a correction meets an approximate index

Answer = list[Hit] | ManymodalError
Embedded = Mapping[tuple[int, int], Tensor | ManymodalError]  # {(request, part): vectors of its raw values}


@dataclass(frozen=True)
class Searched:
    """What requests are answered from.

    Args:
        meta: of the index.
        form: one version of its vectors.
        space: encodes raw values, knows weights and a bank; None where only vectors and stored items can be asked with.
        kept: {target: corrections that were estimated}, for the next request.
    """

    meta: Meta
    form: VectorIndex
    space: Space | None
    kept: dict[str, Corrections] = field(default_factory=lambda: defaultdict(dict))


@torch.no_grad()
def answer(searched: Searched, requests: Sequence[Request]) -> list[Answer]:
    """The hits of each request, or what is wrong with it; one that is wrong concerns no other."""
    embedded = _embed(searched, requests)
    answers: dict[int, Answer] = {}
    alike: dict[tuple[str, str | None], list[int]] = defaultdict(list)
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
                alike[request.target, where].append(number)
        except ManymodalError as error:
            answers[number] = error
    for (target, where), numbers in alike.items():
        answers |= _composed(searched, requests, target, where, numbers, parts)
    return [answers[number] for number in range(len(requests))]


def embed_values(space: Space, modality: str, values: Sequence[Any]) -> Tensor:
    """(n, d) unit vectors of raw values.

    Raises:
        ManymodalError: a value cannot be read.
    """
    tower, spec = space.towers[modality], space.schema.modalities[modality]
    dates = [name for name, cell in spec.cells.items() if cell == "date"]
    try:
        packed = pack(tower, [_with_dates(value, dates) for value in values], None, None)
    except BadValue as error:
        raise ManymodalError(f"query, {modality}: {error.reason}") from error
    return embed_packed(tower, packed)


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
            if searched.space is None or part.modality not in searched.space.towers.names:
                found[number, place] = ManymodalError(
                    f"{part.modality!r} cannot be asked with raw values: this index has no encoder of it; give vectors "
                    "or stored items"
                )
            else:
                asked[part.modality].append(((number, place), part.values))
    for modality, given in asked.items():
        assert searched.space is not None
        try:
            vectors = embed_values(searched.space, modality, [value for _, values in given for value in values])
            sizes = [len(values) for _, values in given]
            found |= dict(zip((key for key, _ in given), vectors.split(sizes), strict=True))
        except ManymodalError:
            for key, values in given:
                try:
                    found[key] = embed_values(searched.space, modality, values)
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
                raise ManymodalError(f"item {id!r} has no value in {part.modality!r}, so it cannot be asked with")
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
    """Answers to requests that differ in their query alone."""
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
            answers[number] = [_hit(one, parts[number]) for one in found[: requests[number].k]]
    return answers


def _corrected(searched: Searched, request: Request, parts: list[Part], where: str | None) -> list[Hit]:
    """Hits by corrected scores: exact over all values, or over the nearest ones where the index is approximate."""
    assert request.correct is not None
    bank = None if searched.space is None else searched.space.reference.bank
    form = searched.form
    if isinstance(form, Snapshot):
        vectors = form.gallery(request.target)
        query, gallery = corrected_sides(
            vectors, request.target, parts, request.correct, bank, searched.kept[request.target]
        )
        (found,) = form.search(request.target, query[None], request.k, where, gallery)
        return [_hit(one, parts) for one in found]
    (near,) = form.search(request.target, compose(parts)[None], max(CANDIDATES, 10 * request.k), where)
    if not near:
        return []
    vectors = torch.stack([one.vector for one in near])  # (c, d)
    query, gallery = corrected_sides(vectors, request.target, parts, request.correct, bank, {})
    scores = gallery @ query  # (c,)
    best = scores.argsort(descending=True, stable=True)[: request.k].tolist()
    return [_hit(near[row]._replace(score=float(scores[row])), parts) for row in best]


def _fused(searched: Searched, request: Request, parts: list[Part], where: str | None) -> list[Hit]:
    """Hits by the ranks that each part alone gives; the value shown is the one that the best-ranking part matched."""
    present = [part for part in parts if len(part.vectors)]
    if not present:
        raise ManymodalError("a query needs at least one value; every part of this one is empty")
    queries = torch.stack([part.unit() for part in present])  # (parts, d)
    lists = searched.form.search(request.target, queries, max(DEEP, request.k), where)
    scores = fused_lists([[one.id for one in found] for found in lists], [part.weight for part in present])
    nearest: dict[str, Nearest] = {}
    for found in lists:
        for one in found:
            if one.id not in nearest or one.score > nearest[one.id].score:
                nearest[one.id] = one
    best = list(scores)[: request.k]
    return [_hit(nearest[id]._replace(score=scores[id]), parts) for id in best]


def _hit(one: Nearest, parts: Sequence[Part]) -> Hit:
    value = 0 if one.shown is None else one.shown.place
    return Hit(one.id, one.score, value, cosines(parts, one.vector), one.columns, one.shown)
