"""A query's raw values -> one composed vector -> hits that say why they were found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

from torch import Tensor

from .collection import Collection, Schema
from .compose import Part, compose, cosines, rows_of
from .embeddings import Embeddings
from .encoders.store import FeatureStore
from .errors import BadValue, ManymodalError
from .index import exact
from .index.exact import Hit
from .preparing import embed_packed, pack
from .towers import Towers

WITHOUT = -0.5  # weight of what a hit should not be like, unless said


def query_parts(
    towers: Towers,
    schema: Schema,
    query: Mapping[str, Any],
    weights: Mapping[str, float],
    without: Mapping[str, Any],
    store: FeatureStore,
) -> list[Part]:
    """The parts of a query, embedded.

    Raises:
        ManymodalError: nothing is asked, a modality is unknown, a weight is for no part, or a value cannot be read.
    """
    if not query and not without:
        raise ManymodalError(f"the query is empty; give a value in at least one of {', '.join(towers.names)}")
    for name in weights:
        if name not in query:
            raise ManymodalError(
                f"there is a weight for {name!r}, which is no part of the query; its parts are {', '.join(query)}"
            )

    def part(name: str, given: Any, weight: float) -> Part:
        tower = towers[name]
        try:
            packed = pack(tower, as_values(given, schema.modalities[name].kind), store)
        except BadValue as error:
            raise ManymodalError(f"query, {name}: {error.reason}") from error
        return Part(name, embed_packed(tower, packed), weight)

    return [part(name, given, weights.get(name, 1.0)) for name, given in query.items()] + [
        part(name, given, WITHOUT) for name, given in without.items()
    ]


def as_values(given: Any, kind: str) -> Sequence[Any]:
    """One value, or a list of values, as a list of values.

    A list of numbers is one vector, a list of lists of numbers one series; several of these come as a list of arrays.
    """
    if not isinstance(given, list):
        return [given]
    nested = 1 if kind == "vector" else 2 if kind == "series" else 0
    inner: Any = given
    for _ in range(nested):
        if isinstance(inner, list) and inner and isinstance(inner[0], (list, Real)):
            inner = inner[0]
        else:
            return given  # a list of arrays
    if nested and not isinstance(inner, list):
        return [given]
    return given


class Gallery(NamedTuple):
    """What is searched.

    Args:
        embeddings: of the target modality.
        target: its name.
        ordinals: (m,) int64, each value's place in its item's list.
    """

    embeddings: Embeddings
    target: str
    ordinals: Tensor


def search_gallery(gallery: Gallery, parts: Sequence[Part], data: Collection, k: int) -> list[Hit]:
    """The k items nearest to the composed parts, by their best value in the target modality."""
    vectors, items, labels = rows_of(gallery.embeddings, gallery.target)
    by_label = gallery.embeddings.per_label(gallery.target) and labels is not None
    owners = labels if by_label and labels is not None else items  # (m,)
    hits = []
    for owner, row, score in exact.search(vectors, owners, compose(parts), k):
        id, columns = (data.label_names[owner], {}) if by_label else (data.ids[owner], data.columns(owner))
        hits.append(Hit(id, score, int(gallery.ordinals[row]), cosines(parts, vectors[row]), columns))
    return hits
