"""An index in memory: brute force over random vectors, with the surface of `manymodal.Index` that the server uses."""

import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import torch

from manymodal.collection.media import decode_picture, decode_sound
from manymodal.compose import Part, compose, cosines
from manymodal.errors import ManymodalError
from manymodal.index.exact import Hit
from manymodal.index.records import Shown

D = 8
KINDS = {
    "caption": "text",
    "photo": "image",
    "call": "audio",
    "facts": "table",
    "points": "vector",
    "strokes": "series",
    "species": "text",
    "foreign": None,
}
MEDIA = {"photo": (b"\xff\xd8\xff jpeg", "image/jpeg"), "call": (b"RIFF wave", "audio/wav")}
HOSTILE = "<script>alert(1)</script>"


@dataclass
class FakeIndex:
    """Items "0" to "39", the last of them with script in its id and text; labels "cat" and "dog"."""

    name: str = "pets"
    engine: str = "exact"
    d: int = D
    calibrated: bool = True
    corrections: tuple[str, ...] = ("qb_norm", "nnn", "csls", "mean_removal")
    version: int = 1
    fingerprint: str = "f" * 16
    seconds: float = 0.0  # that a batch takes
    free: threading.Event = field(default_factory=threading.Event)  # searches wait for it
    failure: Exception | None = None  # what search_many raises
    poison: str = "poison"  # a text that no batch survives
    batches: list[int] = field(default_factory=list)
    refreshed: int = 0

    def __post_init__(self):
        self.free.set()
        self.ids = [str(number) for number in range(39)] + [HOSTILE]
        self.labels = [("cat", "dog", None)[number % 3] for number in range(40)]
        self.years = [2000 + number for number in range(40)]
        random = torch.Generator().manual_seed(1)
        names = dict.fromkeys([*KINDS, "item"], self.ids) | {"species": ["cat", "dog"]}
        self.rows = {
            name: (owners, torch.nn.functional.normalize(torch.randn(len(owners), D, generator=random), dim=1))
            for name, owners in names.items()
        }
        self.columns = {"year": "number", "note": "text"}
        cell = SimpleNamespace
        cells = {"year": cell(kind="number", categories=[]), "kind": cell(kind="category", categories=["cat", "dog"])}
        self.modalities = {
            name: SimpleNamespace(
                kind=kind,
                per="label" if name == "species" else "item",
                queryable=kind is not None,
                items=len(self.rows[name][0]),
                values=len(self.rows[name][0]),
                recall={} if name == "species" else {"caption": 0.99},
                cells=cells if kind == "table" else {},
                width={"vector": 5, "series": 2}.get(kind),
            )
            for name, kind in KINDS.items()
        }

    @property
    def items(self):
        return len(self.ids)

    def refresh(self):
        self.refreshed += 1
        return False

    def search_many(self, requests):
        self.batches.append(len(requests))
        assert self.free.wait(20)
        time.sleep(self.seconds)
        if self.failure:
            raise self.failure
        if any(self.poison in part.values for request in requests for part in request.parts if is_text(part)):
            raise RuntimeError(f"{__file__}: poison")
        return [self._one(request) for request in requests]

    def _one(self, request):
        try:
            parts = self._parts(request.parts)
            query = compose(parts)
            if request.target not in self.rows:
                raise ManymodalError(f"no target {request.target!r}")
            owners, vectors = self.rows[request.target]
            kept = self._where(request.where)
            ranked = (vectors @ query).argsort(descending=True).tolist()
        except ManymodalError as error:
            return error
        return [
            Hit(
                owners[row],
                float(vectors[row] @ query),
                0,
                cosines(parts, [vectors[row]])[0],
                self._columns(row),
                None if request.target == "item" else self._shown(request.target, row),
            )
            for row in ranked
            if request.target == "species" or kept(row)
        ][: request.k]

    def _parts(self, parts):
        return [
            Part(
                part.modality,
                torch.cat(
                    [self.embed(part.modality, part.values), self._stored(part.modality, part.ids)]
                    + ([] if part.vectors is None else [part.vectors])
                ),
                part.weight,
            )
            for part in parts
        ]

    def _stored(self, name, ids):
        owners, vectors = self._known(name)
        for id in ids:
            if id not in owners:
                raise ManymodalError(f"no item {id!r} has a value in {name!r}")
        return vectors[[owners.index(id) for id in ids]]

    def _known(self, name):
        if name not in self.modalities:
            raise ManymodalError(f"no modality {name!r}; there are {', '.join(self.modalities)}")
        return self.rows[name]

    def _where(self, where):
        if where is None:
            return lambda row: True
        found = re.fullmatch(r"year > (\d{1,6})", where)
        if not found:
            raise ManymodalError(f"{where!r} is no condition that is allowed")
        return lambda row: self.years[row] > int(found[1])

    def embed(self, modality, values):
        self._known(modality)
        rows = [self._vector(KINDS[modality], value) for value in values]
        return torch.stack(rows) if rows else torch.zeros(0, D)

    def _vector(self, kind, value):
        if kind == "text":
            assert type(value) is str
            content = value.encode()
        elif kind == "image":
            assert type(value) is bytes
            content = decode_picture(value).tobytes()
        elif kind == "audio":
            assert type(value) is bytes
            content = decode_sound(value)[0].tobytes()
        elif kind == "table":
            content = json.dumps(value, sort_keys=True, allow_nan=False).encode()
        else:
            assert value.dtype == np.float32 and np.isfinite(value).all() and value.shape[-1] in (5, 2)
            content = value.tobytes()
        seed = int.from_bytes(hashlib.sha256(content).digest()[:4], "big")
        return torch.nn.functional.normalize(torch.randn(D, generator=torch.Generator().manual_seed(seed)), dim=0)

    def classify(self, parts, modality, classes, calibrated=True):
        query = compose(self._parts(parts))
        similarities = self.embed(modality, classes) @ query
        return [(place, float(similarities[place])) for place in similarities.argsort(descending=True).tolist()]

    def item(self, id):
        if id not in self.ids:
            raise ManymodalError(f"no item {id!r} here")
        row = self.ids.index(id)
        values = {name: [self._shown(name, row)] for name in KINDS if name != "species"}
        return SimpleNamespace(id=id, label=self.labels[row], columns=self._columns(row), values=values)

    def list_items(self, where=None, limit=20, offset=0):
        kept = self._where(where)
        ids = [id for row, id in enumerate(self.ids) if kept(row)]
        return [self.item(id) for id in ids[offset : offset + limit]], len(ids)

    def media(self, id, modality, place):
        if id not in self.ids or modality not in MEDIA or place:
            raise ManymodalError(f"no media of {id!r} in {modality!r} at {place}")
        return MEDIA[modality]

    def _columns(self, row):
        return {"year": self.years[row], "note": HOSTILE if self.ids[row] == HOSTILE else "quiet"}

    def _shown(self, name, row):
        text = None if name in MEDIA else f"{name} of {self.rows[name][0][row]}"
        return Shown(0, text, MEDIA[name][1] if name in MEDIA else None)


def is_text(part):
    return KINDS.get(part.modality) == "text"
