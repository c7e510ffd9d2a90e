"""Records for tests of what finds: scores that float32 holds exactly, and the same records as the slow twin takes them."""

from dataclasses import replace
from datetime import date
from math import nan

import torch

import index_cases
from manymodal.index.records import ITEM

A, B = [1, 0, 2, 3], [0, 1, 1, 0, 2]  # values of each record, in turn
D = 6


def eighths(n, d=D):
    """(n, d) small multiples of 1/8: their products are exact, and many are equal."""
    return torch.randint(-2, 3, (n, d)) / 8


def records(ids, vectors=eighths):
    """Items with columns, up to three values in `a` and two in `b`; some have neither."""
    n = len(ids)
    columns = {
        "year": [None if row % 7 == 6 else 2000 + row % 5 for row in range(n)],
        "price": [nan if row % 5 == 4 else row / 2 for row in range(n)],
        "kind of": [f"k{row % 3}" for row in range(n)],
        "seen": [date(2020, 1, 1 + row % 28) for row in range(n)],
        "tags": [["x", "y"][: row % 3] for row in range(n)],
    }
    a, b = ([counts[row % len(counts)] for row in range(n)] for counts in (A, B))
    made = index_cases.records(ids, columns=columns, a=a, b=b, d=D)
    values = {name: replace(one, vectors=vectors(len(one.rows))) for name, one in made.values.items()}
    composed = vectors(n)
    composed[[x + y == 0 for x, y in zip(a, b, strict=True)]] = 0
    return replace(made, values=values, composed=composed)


def labels(names, vectors=eighths):
    """Labels with one value each, in `kind`."""
    made = index_cases.labels(names)
    return replace(made, values={"kind": replace(made.values["kind"], vectors=vectors(len(names)))})


def plain(records, target):
    """{id: its vectors} of a target."""
    if target == ITEM:
        return {id: [v] if v.any() else [] for id, v in zip(records.ids, records.composed, strict=True)}
    values = records.values[target]
    return {id: list(values.vectors[values.rows == row]) for row, id in enumerate(records.ids)}


def store(folder, *portions, of_labels=None):
    """A store of these portions."""
    return index_cases.store(folder, *portions, of_labels=of_labels, d=D)
