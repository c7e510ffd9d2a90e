"""A fitted space over every kind of column, its collection and an index of it, for tests of what searches one."""

from datetime import date

import manymodal as mm
import samples

YEARS = [1990 + i for i in range(samples.ITEMS)]


def made_rows(items=samples.ITEMS, start=0):
    """The sample rows with further plain columns: a number, a date, a list of words."""
    found = samples.rows(items)
    for i, row in enumerate(found):
        row |= {"year": YEARS[i], "seen": date(2020, 1, 1 + i), "tags": ["even" if i % 2 == 0 else "odd", row["shape"]]}
    return found[start:]


CONFIG = {**samples.CONFIG, "ignore": ["year", "seen", "tags"]}


def fitted_space(cache, **settings):
    """(collection, space) of all kinds, after a short training."""
    data = mm.read_collection(made_rows(), config=CONFIG)
    space = mm.Space.for_collection(data, dim=16, cache=cache)
    return data, space.fit(data, cache=cache, device="cpu", **{"epochs": 2, "batch_size": 8, **settings})
