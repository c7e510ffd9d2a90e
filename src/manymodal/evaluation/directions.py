"""Directions: what is asked with, what is searched, and what one query is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from ..compose import check_known
from ..embeddings import Embeddings
from ..errors import ManymodalError

Unit = Literal["value", "item", "label"]


@dataclass(frozen=True)
class Direction:
    """A set of query modalities to a set of target modalities; names are kept in alphabetical order.

    Args:
        query: modalities asked with; more than one are composed.
        target: modalities searched; more than one are composed per item.
        unit: what one query is. "value": one value (of several modalities: the k-th with the k-th); "item": all
            values of an item, composed; "label": all values of a label, where only label modalities are asked with.

    Raises:
        ManymodalError: a side is empty, a modality is named twice, or the unit is another.
    """

    query: tuple[str, ...]
    target: tuple[str, ...]
    unit: Unit

    def __post_init__(self) -> None:
        names = [*self.query, *self.target]
        if not self.query or not self.target:
            raise ManymodalError(f"direction {self}: both sides need at least one modality")
        if len(set(names)) < len(names):
            raise ManymodalError(f"direction {self}: a modality is named twice; query and target share none")
        if self.unit not in ("value", "item", "label"):
            raise ManymodalError(f'direction {self}: unit {self.unit!r}; allowed are "value", "item" and "label"')
        object.__setattr__(self, "query", tuple(sorted(self.query)))
        object.__setattr__(self, "target", tuple(sorted(self.target)))

    def __str__(self) -> str:
        return f"{'+'.join(self.query)}->{'+'.join(self.target)}"


ALL_SETS = 6  # modalities up to which every set of them is asked with


def default_directions(embeddings: Embeddings, unit: Unit | None = None) -> list[Direction]:
    """Every set of query modalities to every other modality, and to everything else composed.

    Of more than six modalities the sets are the single ones, the pairs, and all but one (to that one alone). A modality
    without any value joins no query and no gallery of several: with it, nothing could be asked.

    Args:
        embeddings: say which modalities there are, and which have one value per label.
        unit: that unit alone; None for singles in both units and combined queries by item.

    Raises:
        ManymodalError: there is only one modality.
    """
    names = embeddings.modalities
    if len(names) < 2:
        raise ManymodalError(f"a direction needs two modalities and there is only {names[0]!r}")
    filled = [m for m in names if len(embeddings.vectors[m])]
    sizes = range(2, len(filled)) if len(names) <= ALL_SETS else (2,)
    queries = [(m,) for m in names] + [query for size in sizes for query in combinations(filled, size)]
    sides = [(query, _targets(query, names, filled)) for query in queries]
    sides += [(rest, [(m,)]) for m in names if len(rest := tuple(other for other in filled if other != m)) > 1]
    found = [
        Direction(query, target, u)
        for query, targets in sides
        for u in units(query, embeddings, unit)  # targets of one query in one unit follow each other
        for target in targets
    ]
    return list(dict.fromkeys(found))


def singles(embeddings: Embeddings, unit: Unit | None = None) -> list[Direction]:
    """Every single modality to every other one."""
    return [one for one in default_directions(embeddings, unit) if len(one.query) == len(one.target) == 1]


def _targets(query: Sequence[str], names: Sequence[str], filled: Sequence[str]) -> list[tuple[str, ...]]:
    """Each other modality alone; and those that have values composed, where they are several."""
    others = tuple(m for m in filled if m not in query)
    return [(m,) for m in names if m not in query] + ([others] if len(others) > 1 else [])


def leaks(direction: Direction, same_source: Sequence[Sequence[str]]) -> bool:
    """Whether one modality of a group made from each other is asked with and another one of it is searched."""
    return any(set(group) & set(direction.query) and set(group) & set(direction.target) for group in same_source)


def parse_direction(text: str, known: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Query and target modalities of "photo+caption->speech"; a side that is itself a modality's name is not split.

    Raises:
        ManymodalError: there is not exactly one "->", or a name is not among the known ones.
    """
    sides = text.split("->")
    if len(sides) != 2:
        raise ManymodalError(f'direction {text!r}: needed is QUERY->TARGET, such as "photo+caption->speech"')
    query, target = (_split(side.strip(), known) for side in sides)
    return query, target


def resolve(
    asked: Sequence[str | Direction] | None, embeddings: Embeddings, unit: Unit | None = None
) -> list[Direction]:
    """The directions asked for, each once; the default ones for None.

    Args:
        asked: texts as in `parse_direction`, or directions.
        embeddings: say which modalities there are, and which have one value per label.
        unit: for texts and for the default; None for singles in both units and combined queries by item.

    Raises:
        ManymodalError: an unknown name, or a unit that does not fit the query.
    """
    if asked is None:
        return default_directions(embeddings, unit)
    directions: list[Direction] = []
    for one in asked:
        if isinstance(one, str):
            query, target = parse_direction(one, embeddings.modalities)
            directions += [Direction(query, target, u) for u in units(query, embeddings, unit)]
        else:
            check_known([*one.query, *one.target], embeddings.modalities)
            if one.unit not in units(one.query, embeddings, one.unit):
                raise ManymodalError(
                    f'direction {one}: label modalities alone are asked by "label", not by {one.unit!r}'
                )
            directions.append(one)
    return list(dict.fromkeys(directions))


def units(query: Sequence[str], embeddings: Embeddings, unit: Unit | None = None) -> tuple[Unit, ...]:
    """The units that a query is asked in: the one wanted, where it can be; by label where there are only labels.

    Raises:
        ManymodalError: "label" is wanted of a query with modalities of items.
    """
    if all(embeddings.per_label(m) for m in query):
        return ("label",)
    if unit == "label":
        raise ManymodalError(f'unit "label" is for queries of label modalities alone, not for {" + ".join(query)}')
    if unit is not None:
        return (unit,)
    return ("value", "item") if len(query) == 1 else ("item",)


def _split(side: str, known: Sequence[str]) -> tuple[str, ...]:
    names = (side,) if side in known else tuple(name.strip() for name in side.split("+"))
    check_known(names, known)
    return names
