"""Hubs and the gap between modalities: what each correction does to single and to combined queries.

    python benchmarks/hubness.py [--seeds 1 2 3]

Needs the embeddings that `composition.py` keeps. Corrections are estimated from 2,000 train items, with the parameters that
their authors publish; nothing is chosen on test.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from common import Result, percent, spread
from composition import spaces
from manymodal import Embeddings
from manymodal.calibration import calibrate
from manymodal.compose import rows_of
from manymodal.evaluation import evaluate
from manymodal.evaluation.directions import singles
from manymodal.evaluation.sides import CORRECTIONS
from manymodal.hubness import corrected, fit_correction, k_occurrences, skewness
from runs import kept

NAME = "hubness"
COLLECTIONS = ("flickr8k", "emoji", "glyphs")


def measure(name: str, seed: int) -> dict[str, float]:
    """Mean hit@1 by item over single and over combined directions, raw and corrected; mean skewness of singles."""
    found = spaces(name, seed)
    test, bank = found["test"], found["bank"]
    entries = evaluate(test, unit="item", correct=CORRECTIONS, bank=bank, calibration=calibrate(found["dev"]))
    entries = [entry for entry in entries if len(entry.direction.target) == 1 and entry.queries]
    figures: dict[str, float] = {}
    for kind, chosen in (
        ("single", [entry for entry in entries if len(entry.direction.query) == 1]),
        ("combined", [entry for entry in entries if len(entry.direction.query) > 1]),
    ):
        figures[f"{kind} raw"] = sum(entry["hit@1"] or 0.0 for entry in chosen) / len(chosen)
        for method in CORRECTIONS:
            of_method = [(entry.corrected[method]["hit@1"] or 0.0) - (entry["hit@1"] or 0.0) for entry in chosen]
            figures[f"{kind} {method}"] = figures[f"{kind} raw"] + sum(of_method) / len(chosen)
            figures[f"{kind} {method} least"] = min(of_method)
        if kind == "combined":
            figures["combined calibrated"] = sum((e.calibrated or {})["hit@1"] or 0.0 for e in chosen) / len(chosen)
    return {**figures, **skews(test, bank)}


def skews(test: Embeddings, bank: Embeddings) -> dict[str, float]:
    """Skewness of how often rows are among the ten nearest, the mean over single directions by value."""
    sums: dict[str, list[float]] = {}
    for direction in singles(test, "value"):
        queries, of_bank = (rows_of(e, direction.query[0]).vectors for e in (test, bank))
        gallery = rows_of(test, direction.target[0]).vectors
        sides = {"raw": (queries, gallery)}
        for method in CORRECTIONS[:-1]:
            sides[method] = corrected(fit_correction(method, of_bank, gallery), queries, gallery)
        for method, side in sides.items():
            sums.setdefault(f"skewness {method}", []).append(skewness(k_occurrences(*side)))
    return {name: sum(values) / len(values) for name, values in sums.items()}


def rows_of_set(name: str, runs: Sequence[dict[str, float]]) -> list[list[Any]]:
    """A row for the raw figures and one for each correction."""
    rows: list[list[Any]] = []
    for method in ("raw", "calibrated", *CORRECTIONS):
        cells: list[Any] = [name, method.replace("_", " ")]
        for key in (f"single {method}", f"single {method} least", f"combined {method}", f"combined {method} least"):
            cells.append(percent([run[key] for run in runs]) if key in runs[0] else None)
        key = f"skewness {method}"
        rows.append([*cells, spread([run[key] for run in runs]) if key in runs[0] else None])
    return rows


def main() -> None:
    """Measure what is not kept, write the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    seeds = parser.parse_args().seeds
    result = Result(NAME, "Hubs, and the gap between modalities", {"objective": "PCMC", "seeds": seeds, "bank": 2000})
    result.table(
        "Corrections estimated from train, mean hit@1 over directions in %",
        ["collection", "correction", "single", "worst of them - raw", "combined", "worst of them - raw", "skewness"],
        [
            row
            for name in COLLECTIONS
            for row in rows_of_set(
                name, [kept(f"{NAME}_{name}_{seed}", lambda n=name, s=seed: measure(n, s)) for seed in seeds]
            )
        ],
        "By item on test; combined queries with equal weights, but for the row `calibrated`, which corrects nothing and weighs. "
        "Skewness of how often a row is among the ten nearest (single directions by value): 0 where none is a hub.",
    )
    result.write()


if __name__ == "__main__":
    main()
