"""What is looked at in a space, where healthy ends, and what is said about it: one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

OVERCONFIDENT = 1.25  # share of its chance level that the loss of a pair whose matches stand out may have


@dataclass(frozen=True)
class Check:
    """One thing that is looked at.

    Args:
        wrong: the side of the limit that is not healthy.
        limit: the last healthy value.
        least: how many items (labels) make it worth judging; with fewer it is measured only.
        normal: a sentence on what is normal; `advice`: one on what to do. In braces are `a` and `b`, the modalities,
            `limit`, and what else was measured.
    """

    wrong: Literal["above", "below"]
    limit: float
    least: int
    normal: str
    advice: str


# Limits, and why there: each lies beyond what trained spaces that retrieve well show (Flickr8k, emoji, handwritten
# numerals and birds, with their weak modalities), and before what breaking one of them on purpose makes of it.
CHECKS = {
    # Of the best of a modality's pairs; like separation.
    "above_chance": Check(
        "below",
        0.2,
        5,
        "0 by chance, up to {noise} by accident; 0.5 is a weak modality, 2 and more a strong one",
        "{a} is dead: no modality finds it. Check that its ids (or labels) name the same things as those of the "
        "others, that its values differ and that its encoder fits them; then train longer",
    ),
    # Weak modalities: 0.73. Two values of a modality then have a cosine of about 0.5, at the limit of about 0.64.
    "common_component": Check(
        "above",
        0.8,
        5,
        "0 where vectors are spread all around, 1 where they are one; up to {limit}",
        "vectors of {a} share one large component, which says nothing of their items and spoils combined queries: "
        "see whether --correct mean_removal helps",
    ),
    # Weakest modality: -1.3. At the limit two values have a cosine of about 0.9.
    "uniformity": Check(
        "above",
        -0.5,
        5,
        "-4 where vectors are spread evenly, 0 where they are one; between -3.7 and {limit}",
        "{a} has collapsed: nearly all its vectors are alike. Check that its values differ and are scaled (not all "
        "empty, silent or of one constant); then train with a lower lr",
    ),
    # A modality of six numbers: 3. Two dimensions tell no more apart than points on a map.
    "effective_dimension": Check(
        "below",
        2.0,
        10,
        "10 to 150 of the space's {dimension}, and 3 where values hold a few numbers only; at least {limit}",
        "vectors of {a} differ in hardly more than one direction: check that its values are complete and scaled; then "
        "train with a lower lr, or with another objective",
    ),
    # Keywords that many emoji share: 0.02. A placeholder for what is missing is shown by many more.
    "repeats": Check(
        "above",
        0.1,
        50,
        "share of values with one and the same vector: next to 0, up to {limit} where many are alike",
        "many items show the same vector in {a}, so it cannot tell them apart: if that is a placeholder (an empty "
        "text, a black picture, zeros), leave the value out; a missing value is an absent row",
    ),
    # Weakest pair that retrieves: 0.30. At the limit a match is ahead of a non-match in 56 % of cases.
    "separation": Check(
        "below",
        0.2,
        5,
        "0 by chance, up to {noise} by accident; 0.5 is a weak pair, 2 and more a strong one",
        "matching values of {a} and {b} are no more alike than others: check that ids (or labels) name the same "
        "things in both; then train longer",
    ),
    # Strong with strong: 0.05 to 0.15; weak modalities: 0.65 with a strong one, 0.73 with each other.
    "distribution_gap": Check(
        "above",
        0.8,
        20,
        "0 where the two are spread alike (random halves of one modality: {reference}), 1 where they share no "
        "direction; 0.05 to 0.3 between strong modalities, up to {limit} with a weak one",
        "{a} and {b} lie in different parts of the space. That harms neither as a query to the other, but queries that "
        "combine them and galleries that mix them: see whether --correct mean_removal helps, or train longer",
    ),
    # Weak modalities: 0.73 with a strong one, up to 0.95 with each other.
    "centroid_gap": Check(
        "above",
        0.8,
        20,
        "0 to 0.5 between strong modalities (random halves of one: {reference}), up to {limit} with a weak one; it may "
        "be small where the distribution gap is large",
        "the means of {a} and {b} lie far apart, which spoils queries that combine them and galleries that mix them: "
        "see whether --correct mean_removal helps",
    ),
    "loss": Check(
        "above",
        1.0,
        0,
        f"below 1, the level of a space that has learned nothing; up to {OVERCONFIDENT} where matches stand out",
        "the loss of {a} and {b} is above its chance level: where matches do not stand out, check ids and train "
        "longer; where they do, the space is surer than it is right: train for fewer epochs or on more items",
    ),
}


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Args:
        name: a key of `CHECKS`.
        about: the modality, the pair, or all modalities.
        value: the figure; None where it is undefined, and `normal` says why.
        ok: whether it is on the healthy side, or cannot be judged.
        normal: a sentence on what is normal.
        advice: a sentence on what to do; empty where it is ok.
        also: further figures that belong to it.
    """

    name: str
    about: tuple[str, ...]
    value: float | None
    ok: bool
    normal: str
    advice: str
    also: dict[str, float | None] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The finding as `report.json` has it."""
        return {**vars(self), "about": list(self.about), "also": dict(self.also)}


def undefined(name: str, about: tuple[str, ...], why: str, also: Mapping[str, float | None] | None = None) -> Finding:
    """The finding of a check that had nothing to measure."""
    return Finding(name, about, None, True, f"not measured: {why}", "", dict(also or {}))


def judged(
    name: str,
    about: tuple[str, ...],
    value: float,
    items: int,
    also: Mapping[str, float | None] | None = None,
    limit: float | None = None,
) -> Finding:
    """The finding of a check that measured something.

    Args:
        name: a key of `CHECKS`.
        about: the modality, the pair, or all modalities.
        value: the figure.
        items: how many items (labels) it rests on.
        also: further figures that belong to it; sentences may name them.
        limit: in place of the check's own.
    """
    check = CHECKS[name]
    limit = check.limit if limit is None else limit
    few = items < check.least
    ok = few or (value <= limit if check.wrong == "above" else value >= limit)
    a, b = about if len(about) == 2 else (", ".join(about), "")
    figures = {
        key: "unknown" if figure is None else f"{figure:.3g}"
        for key, figure in {**(also or {}), "limit": limit}.items()
    }
    normal, advice = (text.format(a=a, b=b, **figures) for text in (check.normal, check.advice))
    if few:
        normal += f"; not judged with fewer than {check.least} items"
    return Finding(name, about, value, ok, normal, "" if ok else advice, dict(also or {}))
