"""From a collection's values to what towers read: packed values or stored features, and from there to embeddings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from .collection import Collection, Values
from .collection.media import check_picture, check_sound
from .embeddings import Embeddings
from .encoders.base import Encoder, Packed
from .encoders.registry import encoder_class, known_encoders
from .encoders.store import FeatureStore, computed
from .errors import BadValue, ManymodalError
from .progress import bar
from .towers import Tower, Towers
from .training.loop import ROWS_AT_ONCE, embed_rows
from .training.rows import Batch, Rows

Read = TypeVar("Read")


def choose_encoder(data: Collection, modality: str, values: Values) -> Encoder:
    """The encoder that the schema asks for, fitted to train values; without a word there, the kind's own.

    Raises:
        ManymodalError: the encoder named is for another kind, or is neither registered nor a text model.
    """
    spec = data.schema.modalities[modality]
    name, options = spec.encoder or spec.kind, dict(spec.options)
    if name not in known_encoders():
        if spec.kind != "text":
            raise ManymodalError(
                f"modality {modality!r}: no encoder {name!r} for {spec.kind}; there are {', '.join(known_encoders())}"
            )
        name, options["model"] = "pretrained", name
    cls = encoder_class(name)
    if cls.kind != spec.kind:
        raise ManymodalError(f"modality {modality!r} is {spec.kind}, but encoder {name!r} reads {cls.kind}")
    allowed = {*inspect.signature(cls).parameters, *inspect.signature(cls.fit).parameters} - {"values", "options"}
    for option in options:
        if option not in allowed:
            raise ManymodalError(
                f"modality {modality!r}: encoder {name!r} has no option {option!r}; it has {', '.join(sorted(allowed))}"
            )
    check = {"image": check_picture, "audio": check_sound}.get(spec.kind, lambda value: None)
    try:
        return reading(data, modality, values, lambda usable: cls.fit(usable, **options), check)[0]
    except TypeError as error:  # a text where a number is needed
        if not options:
            raise
        raise ManymodalError(f"modality {modality!r}: encoder {name!r} cannot use {options} ({error})") from error


def prepare(tower: Tower, data: Collection, modality: str, split: str | None, store: FeatureStore) -> Rows:
    """The values of one modality, ready for its tower: packed, or as the features of its frozen encoder."""
    return prepare_with_ordinals(tower, data, modality, split, store)[0]


def prepare_with_ordinals(
    tower: Tower, data: Collection, modality: str, split: str | None, store: FeatureStore
) -> tuple[Rows, torch.Tensor]:
    """The same, and of each value its place in its item's list: (n,) int64, from 0, gaps and broken values counted."""
    rows, values = prepare_values(tower, data, modality, data.values(modality, split), store, f"reading {modality}")
    return rows, torch.as_tensor(values.ordinal)


def prepare_values(
    tower: Tower,
    data: Collection,
    modality: str,
    values: Values,
    store: FeatureStore | None,
    description: str | None = None,
) -> tuple[Rows, Values]:
    """Some values of a collection, ready for their tower; and those of them that were not broken."""

    def read(values: Sequence[Any]) -> Packed:
        return pack(tower, values, store, description)

    packed, values = reading(data, modality, values, read, tower.encoder.tensor)
    return Rows(packed, torch.as_tensor(values.items), torch.as_tensor(values.labels)), values


def reading(
    data: Collection,
    modality: str,
    values: Values,
    read: Callable[[Sequence[Any]], Read],
    check: Callable[[Any], object],
) -> tuple[Read, Values]:
    """`read` the values; those that turn out to be broken are refused or, where that is allowed, counted and left out.

    Args:
        read: reads all of them, and raises `BadValue` at the first that is broken.
        check: reads one, and raises `ManymodalError` when it is broken.

    Returns:
        What `read` gave, and the values that it was given.
    """
    try:
        return read(values.data), values
    except BadValue as error:
        data.refuse(modality, values, error.index, error.reason)  # raises, unless broken values are skipped
    usable = []
    for index, value in enumerate(values.data):
        try:
            check(value)
            usable.append(index)
        except ManymodalError as error:
            data.refuse(modality, values, index, str(error))
    rows = np.array(usable, dtype=np.int64)
    kept = Values([values.data[row] for row in usable], values.items[rows], values.labels[rows], values.ordinal[rows])
    return read(kept.data), kept


def pack(
    tower: Tower, values: Sequence[Any], store: FeatureStore | None, description: str | None = "reading"
) -> Packed:
    """Raw values as the tower reads them.

    Args:
        tower: whose values they are.
        values: n raw values.
        store: where the features of a frozen encoder are looked up and kept; None to compute them and forget them.
        description: of the progress bar; None for none.

    Raises:
        BadValue: a value cannot be used.
    """
    if not len(values):
        return Packed(torch.zeros(0, tower.encoder.width))  # (0, width)
    with bar(description or "", len(values) if description else 0) as advance:
        if tower.encoder.frozen:
            if store is None:
                return Packed(computed(tower.encoder, values))  # (n, width)
            return Packed(store.features(tower.encoder, values, lambda done: advance(done, "")))  # (n, width)
        parts = []
        for start in range(0, len(values), ROWS_AT_ONCE):
            parts.append(tower.encoder.pack(values[start : start + ROWS_AT_ONCE], start))
            advance(len(parts[-1]), "")
        return Packed.concatenate(parts)


@torch.no_grad()
def embed(towers: Towers, batch: Batch, device: torch.device | str = "cpu") -> Embeddings:
    """Embeddings of all rows, in eval mode, on the CPU."""
    training = towers.training
    try:
        return embed_rows(towers.to(device), batch, device).to("cpu")
    finally:
        towers.train(training)


@torch.no_grad()
def embed_packed(tower: Tower, values: Packed, device: torch.device | str = "cpu") -> torch.Tensor:
    """(n, d) unit vectors of packed values, in blocks, on the CPU; the tower is in eval mode on `device` already."""
    parts = [tower(values.take(at).to(device)).cpu() for at in torch.arange(len(values)).split(ROWS_AT_ONCE)]
    return torch.cat(parts) if parts else torch.zeros(0, tower.dim)  # (n, d)
