"""The glyph finder of `make demo`, over several seeds.

    python benchmarks/glyphs.py [--seeds 1 2 3]

Each run's figures are kept in `work/`, so that a later call measures only what is missing.
"""

from __future__ import annotations

import argparse

from common import Result, percent
from manymodal import Space, read_collection
from manymodal.demo.families import twin_share
from manymodal.demo.glyphs import GLYPH_CONFIG, glyph_table
from manymodal.demo.run import OBJECTIVE, SETTINGS
from runs import kept

NAME = "glyphs"
DIRECTIONS = {
    "its name -> its sans drawing": "name->sans",
    "its name -> its serif drawing": "name->serif",
    "its serif drawing -> its name": "serif->name",
    "its serif drawing -> its sans drawing": "serif->sans",
    "its STIX drawing -> its sans drawing": "stix->sans",
    "its outline -> its serif drawing": "outline->serif",
    "its properties -> its name": "properties->name",
    "name + serif drawing -> sans drawing": "name+serif->sans",
}


def measure(seed: int) -> dict[str, float]:
    """hit@1 and hit@10 on test by item, how many items there are, and how many of them have a twin."""
    table = glyph_table()
    data = read_collection(table, config=GLYPH_CONFIG)
    space = Space.for_collection(data, seed=seed, objective=OBJECTIVE).fit(data, **SETTINGS)
    found = {"items": float(len(data.rows("test"))), "twins": twin_share(table, data.rows("test").tolist())}
    for entry in space.evaluate(data, "test", directions=list(DIRECTIONS.values()), unit="item").directions:
        found[f"{entry.direction} hit@1"] = entry["hit@1"] or 0.0
        found[f"{entry.direction} hit@10"] = entry["hit@10"] or 0.0
        found[f"{entry.direction} gallery"] = float(entry.gallery)
    return found


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    seeds = parser.parse_args().seeds
    runs = [kept(f"{NAME}_{seed}", lambda seed=seed: measure(seed)) for seed in seeds]
    result = Result(NAME, "The glyph finder of `make demo`", {**SETTINGS, "seeds": seeds, "dim": 256})
    result.table(
        "Finding a character that was never seen, in %",
        ["from -> to", "among", "hit@1", "hit@10"],
        [
            [
                words,
                int(runs[0][f"{key} gallery"]),
                percent([run[f"{key} hit@1"] for run in runs]),
                percent([run[f"{key} hit@10"] for run in runs]),
            ]
            for words, key in (
                (w, "+".join(sorted(d.split("->")[0].split("+"))) + "->" + d.split("->")[1])
                for w, d in DIRECTIONS.items()
            )
        ],
        f"{int(runs[0]['items'])} characters of the test split; {100 * runs[0]['twins']:.1f} % of them have a twin among them, another "
        "character that is or is drawn the same, which is a miss when it comes first. Equal weights in the combined query.",
    )
    result.write()


if __name__ == "__main__":
    main()
