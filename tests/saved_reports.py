"""Folders of reports with drawn ranks, to compare."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ITEMS = 120
DIRECTIONS = [  # query, target, unit, match, queries an owner has
    (["photo"], ["text"], "value", "item", 1),
    (["text"], ["photo"], "value", "item", 2),
    (["sound", "text"], ["photo"], "item", "item", 1),
    (["kind"], ["photo"], "label", "label", 1),
]


def draw_ranks(seed, better=0.0, items=ITEMS):
    """{place in DIRECTIONS: [(owner, first, calibrated_first or None)]}; some items are easy for everyone.

    Args:
        seed: of this training; what makes an item easy has none.
        better: by how much more likely a first place is.
        items: how many; a tenth as many labels.
    """
    easy, random = np.random.default_rng(99).random(items), np.random.default_rng(seed)
    found = {}
    for place, (query, _, unit, _, queries) in enumerate(DIRECTIONS):
        owners = [f"kind {i}" for i in range(items // 10)] if unit == "label" else [f"item {i}" for i in range(items)]
        found[place] = []
        for i, owner in enumerate(owners):
            for _ in range(queries):
                first, second = (int(1 + 9 * (random.random() > 0.6 * easy[i] + x)) for x in (better, better + 0.3))
                found[place].append((owner, first, second if len(query) > 1 else None))
    return found


def write_report(
    folder,
    ranks,
    *,
    seed=1,
    space=None,
    split="test",
    items=ITEMS,
    directions=DIRECTIONS,
    leak=(),
    order=None,
    gallery=None,
):
    """Save ranks as `Report.save` does, with figures made from them by loops.

    Args:
        ranks: as `draw_ranks` gives them.
        leak: places of the directions that are leaks.
        gallery: rows that were searched; as many as items where it is None.
        order: the order in which to write directions and queries alike; as they are where it is None.
    """
    folder.mkdir(parents=True)
    places = list(range(len(directions)))
    entries, rows = [], []
    for number, place in enumerate(reversed(places) if order == "reversed" else places):
        query, target, unit, match, _ = directions[place]
        mine = list(reversed(ranks[place])) if order == "reversed" else ranks[place]
        entry = {"query": query, "target": target, "unit": unit, "match": match, "queries": len(mine)}
        entry |= {
            "skipped": {"part": 0, "match": 0},
            "gallery": gallery or items,
            **figures([first for _, first, _ in mine]),
        }
        if place in leak:
            entry["leak"] = True
        if len(query) > 1 and all(weighted for _, _, weighted in mine):
            entry["calibrated"] = figures([weighted for _, _, weighted in mine])
        entry["corrected"] = {"nnn": figures([max(1, first - 1) for _, first, _ in mine])}
        entries.append(entry)
        rows += [(number, *row) for row in mine]
    content = {"schema": 1, "split": split, "items": items, "seed": seed, "space": space, "directions": entries}
    (folder / "report.json").write_text(json.dumps(content))
    types = [("direction", pa.int32()), ("owner", pa.string()), ("first", pa.int32()), ("calibrated_first", pa.int32())]
    columns = list(zip(*rows, strict=True)) or [[], [], [], []]
    schema = pa.schema(types)
    pq.write_table(
        pa.table(dict(zip(schema.names, map(list, columns), strict=True)), schema=schema), folder / "queries.parquet"
    )
    return folder


def figures(first):
    """hit@1, hit@5 and mrr; null of no query."""
    n = len(first)
    return {
        "hit@1": sum(x <= 1 for x in first) / n if n else None,
        "hit@5": sum(x <= 5 for x in first) / n if n else None,
        "mrr": sum(1 / x for x in first) / n if n else None,
        "median_rank": float(np.median(first)) if n else None,
    }
