"""From the wire to the index: values by their modality's kind, counted and checked on the way."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np
import torch
from pydantic import FiniteFloat, TypeAdapter, ValidationError
from torch import Tensor

from ..errors import ManymodalError
from ..requests import QueryPart, Request
from ..words import counted
from .media import check_media
from .settings import Limits
from .wire import AskedPart, SearchRequest, Some

if TYPE_CHECKING:
    from ..overview import IndexedModality

HEADER_SECONDS = 0.5  # of work on the headers of one request's media; a usual one takes a thousandth
NORM = 1e-3  # how far from 1 a unit vector's norm may be
NUMBERS = TypeAdapter(Some[FiniteFloat])
ROWS = TypeAdapter(Some[Some[FiniteFloat]])


class Reader:
    """Reads one request's values, and counts what its pictures and sounds will take to decode.

    Args:
        modalities: of the index, by name.
        d: its vectors' dimension.
        limits: of the request.
        files: what came with it, by the names of their fields.
    """

    def __init__(
        self, modalities: Mapping[str, IndexedModality], d: int, limits: Limits, files: Mapping[str, bytes]
    ) -> None:
        self.modalities, self.d, self.limits, self.files = modalities, d, limits, files
        self.unused = set(files)
        self.cost = {"image": 0.0, "audio": 0.0}
        self.seconds = 0.0

    def search(self, asked: SearchRequest) -> Request:
        """A search.

        Raises:
            ManymodalError: more than allowed, an unknown modality, or a value that is not of its kind.
        """
        at_most("k", asked.k, self.limits.k)
        return Request(
            parts=self.parts(asked.query),
            target=asked.target,
            k=asked.k,
            where=condition(asked.where, self.limits),
            calibrated=asked.calibrated,
            correct=asked.correct,
            fusion=asked.fusion,
        )

    def parts(self, asked: Sequence[AskedPart]) -> list[QueryPart]:
        """The parts of a query."""
        at_most("query: parts", len(asked), self.limits.parts)
        return [self._part(part) for part in asked]

    def values(self, name: str, raw: Sequence[Any], most: int) -> list[Any]:
        """Raw values of a modality as the index takes them: never a path, and a `str` only for a text."""
        modality = self._modality(name)
        at_most(f"{name}: values", len(raw), most)
        if modality.kind is None or not modality.queryable:
            raise ManymodalError(f"{name!r} cannot be asked with raw values here; ask with items or vectors")
        values = []
        for place, value in enumerate(raw):
            try:
                values.append(self._value(modality, value))
            except ManymodalError as error:
                raise ManymodalError(f"{name}, value {place}: {error}") from error
        return values

    def finish(self) -> None:
        """Refuse a file that no value named: nothing is dropped in silence."""
        if self.unused:
            raise ManymodalError(f"no value names the uploaded {', '.join(sorted(map(repr, self.unused)))}")

    def _part(self, part: AskedPart) -> QueryPart:
        name = part.modality
        at_most(f"{name}: items", len(part.items), self.limits.ids)
        return QueryPart(
            modality=name,
            values=self.values(name, part.values, self.limits.values) if part.values else (),
            ids=part.items,
            vectors=self._vectors(name, part.vectors) if part.vectors else None,
            weight=part.weight,
        )

    def _vectors(self, name: str, rows: list[list[float]]) -> Tensor:
        self._modality(name)
        at_most(f"{name}: vectors", len(rows), self.limits.values)
        if any(len(row) != self.d for row in rows):
            raise ManymodalError(f"{name}: a vector of another length; this index has vectors of {self.d}")
        vectors = torch.tensor(rows, dtype=torch.float32)  # (v, d)
        norms = vectors.norm(dim=1)  # (v,)
        if not bool(((norms - 1).abs() <= NORM).all()):  # infinity, after rounding, is not near 1 either
            raise ManymodalError(f"{name}: a vector of norm {float(norms[(norms - 1).abs().argmax()]):.4g}; needed: 1")
        return vectors

    def _modality(self, name: str) -> IndexedModality:
        known = self.modalities
        if name not in known:
            raise ManymodalError(f"no modality {name[:80]!r} here; there are {', '.join(known)}")
        return known[name]

    def _value(self, modality: IndexedModality, value: Any) -> Any:
        match modality.kind:
            case "text":
                return self._text(value)
            case "image" | "audio":
                return self._media(modality.kind, value)
            case "table":
                return self._table(modality, value)
            case "vector":
                return _array(NUMBERS, value, modality.width, "a list of numbers")
            case "series":
                return _array(ROWS, value, modality.width, "a list of lists of numbers")
        raise ManymodalError(f"values of kind {modality.kind!r} cannot be sent")

    def _text(self, value: Any) -> str:
        if not isinstance(value, str):
            _wrong(value, "a string")
        at_most("characters", len(value), self.limits.text_characters)
        return value

    def _media(self, kind: Literal["image", "audio"], value: Any) -> bytes:
        if not isinstance(value, dict) or len(value) != 1 or not isinstance(next(iter(value.values())), str):
            _wrong(value, 'an object, {"base64": "..."} or, in multipart, {"file": "<field>"}')
        [(how, text)] = value.items()
        if how == "file":
            if text not in self.files:
                raise ManymodalError(f"no uploaded field {text[:80]!r}; there are {', '.join(self.files) or 'none'}")
            self.unused.discard(text)
            content = self.files[text]
        elif how == "base64":
            content = _base64(text)
        else:
            _wrong(value, 'an object with "base64" or "file"')
        started = time.thread_time()
        self.cost[kind] += check_media(kind, content, self.limits)
        self.seconds += time.thread_time() - started
        if self.seconds > HEADER_SECONDS:  # whatever made them slow, decoding them would be slower
            raise ManymodalError(f"the header of the {kind} takes too long to read; save it again, in the usual way")
        if self.cost["image"] > self.limits.request_pixels or self.cost["audio"] > self.limits.request_sound_seconds:
            raise ManymodalError(
                f"the request's pictures or sounds are too many; at most {self.limits.request_pixels:,} pixels and "
                f"{self.limits.request_sound_seconds:g} seconds in all"
            )
        return content

    def _table(self, modality: IndexedModality, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            _wrong(value, "an object of column to cell")
        return {name: self._cell(modality, name, cell) for name, cell in value.items()}

    def _cell(self, modality: IndexedModality, name: str, cell: Any) -> Any:
        if name not in modality.cells:
            raise ManymodalError(f"no column {name[:80]!r}; there are {', '.join(modality.cells)}")
        if isinstance(cell, str):
            return self._text(cell)
        if cell is None or isinstance(cell, bool):
            return cell
        try:
            return NUMBERS.validate_python([cell], strict=True)[0]
        except ValidationError:
            raise ManymodalError(f"column {name!r}: needed: a finite number, a string, true, false or null") from None


def condition(text: str | None, limits: Limits) -> str | None:
    """A filter of bounded length; none where it is empty."""
    if text is None or not text.strip():
        return None
    at_most("where: characters", len(text), limits.where_characters)
    return text


def _array(adapter: TypeAdapter[Any], value: Any, width: int | None, needed: str) -> np.ndarray[Any, Any]:
    try:
        numbers = adapter.validate_python(value, strict=True)
    except ValidationError:
        raise ManymodalError(f"needed: {needed}, all of them finite") from None
    rows = numbers if adapter is ROWS else [numbers]
    wrong = next((len(row) for row in rows if len(row) != (width or len(rows[0]))), None)
    if wrong is not None or not rows or not rows[0]:
        came = counted(wrong or 0, "number")
        raise ManymodalError(f"{came} where {width or 'the same count, at least 1,'} are needed")
    with np.errstate(over="ignore"):
        array = np.array(numbers, dtype=np.float32)  # (w,) or (time, w)
    if not np.isfinite(array).all():
        raise ManymodalError("a number is too large for 32 bits")
    return array


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ManymodalError("that is not base64") from error


def at_most(what: str, came: int, most: int) -> None:
    """Refuse more than is allowed, by name."""
    if came > most:
        raise ManymodalError(f"{what}: {came:,}; at most {most:,} are allowed")


def _wrong(value: Any, needed: str) -> NoReturn:
    came = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    raise ManymodalError(f"{came.get(type(value), 'a number')} came; needed: {needed}")
