"""Examples in the report's page: what was asked, and what came first."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from itertools import groupby

from ..examples import Example, Hit, Values
from .markup import Markup, joined, tag


def cards(examples: Sequence[Example]) -> Markup:
    """A card a query: what was asked on the left, what came first on the right."""
    made = []
    for direction, group in groupby(examples, key=lambda one: one.direction):
        made.append(tag("h3", f"{' + '.join(direction.query)} → {' + '.join(direction.target)}, by {direction.unit}"))
        made += [_example(one) for one in group]
    if not made:
        return Markup()
    intro = (
        "Queries that went best (a match in first place, well ahead of the rest) and worst (the match came last): what "
        "was asked on the left, what came first on the right, matches framed. Numbers are cosines."
    )
    return joined(tag("p", intro), made)


def _example(one: Example) -> Markup:
    hits = [_hit(str(place), hit) for place, hit in enumerate(one.hits, 1)]
    if one.found is not None:
        hits.append(_hit(f"… {one.first:,}", one.found))
    place = f"match at rank {one.first:,} of {one.gallery:,}"
    asked = tag(
        "div", tag("h4", f"{one.kind}: {one.owner}", dir="auto"), tag("p", place, class_="part"), _values(one.query)
    )
    return tag("article", asked, tag("ol", hits, class_="hits"), class_=f"example {one.kind}")


def _hit(place: str, hit: Hit) -> Markup:
    line = f"{place}. {hit.owner}{' ✓' if hit.match else ''}"
    score = tag("div", f"{hit.score:.2f}" + (", a match" if hit.match else ""), class_="part")
    return tag(
        "li",
        tag("div", line, dir="auto"),
        score,
        _values(hit.values, named=len(hit.values) > 1),
        class_="match" if hit.match else None,
    )


def _values(values: Values, named: bool = True) -> list[Markup]:
    return [
        joined(
            tag("div", modality, class_="part") if named else "", [_value(shown.text, shown.picture) for shown in of]
        )
        for modality, of in values
    ]


def _value(text: str, picture: bytes | None) -> Markup:
    if picture is None:
        return tag("div", text, class_="value", dir="auto")
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    data = f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
    return tag("div", tag("img", src=data, alt=text, title=text, loading="lazy"), class_="value")
