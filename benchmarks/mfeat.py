"""mfeat: six views of the same handwritten digit, as one space; singles and five views to the sixth.

python benchmarks/mfeat.py [--seeds 1 2 3]
"""

from __future__ import annotations

import argparse

from common import Result, by_seed, config_of, percent
from runs import fitted

NAME = "mfeat"
SETTINGS = {"epochs": 60, "batch_size": 256, "lr": 1e-3}


def measure(objective: str, seed: int) -> dict[str, float]:
    """hit@1 on test by item, of the very digit and (`label`) of a digit of its class."""
    space, data = fitted(NAME, config_of(NAME), objective, seed, **SETTINGS)
    found = {}
    for match in ("item", "label"):
        for entry in space.evaluate(data, "test", unit="item", match=match).directions:
            found[f"{match}: {entry.direction}"] = float(entry["hit@1"] or 0)
    return found


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    seeds = parser.parse_args().seeds
    runs = {objective: by_seed(lambda seed, o=objective: measure(o, seed), seeds) for objective in ("pcmc", "pcmr")}
    result = Result(NAME, "mfeat: six views of a digit", {**SETTINGS, "seeds": seeds, "dim": 256})
    for match, words in (("item", "the very digit"), ("label", "a digit of the same class")):
        rows = [
            [name.removeprefix(f"{match}: "), *(percent(run[name]) for run in runs.values())]
            for name in runs["pcmc"]
            if name.startswith(f"{match}: ")
        ]
        result.table(
            f"Finding {words}, hit@1 in %", ["direction", "PCMC", "PCMR"], rows, "500 test digits; one value a view."
        )
    result.write()


if __name__ == "__main__":
    main()
