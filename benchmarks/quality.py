"""Every objective at equal budget on four collections of fixed vectors: single and combined directions.

    python benchmarks/quality.py --tune                      # on dev: as many trials for each
    python benchmarks/quality.py [--only NAME ...]           # on test, each with the setting that was best on dev

Both keep each run in `work/`, so that a later call measures only what is missing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from itertools import combinations, permutations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from common import RESULTS, Result, config_of, percent, spread, table_of
from manymodal import Embeddings, Space, read_collection
from manymodal.encoders.store import FeatureStore
from manymodal.evaluation import evaluate
from manymodal.evaluation.directions import Direction, units
from manymodal.objectives import GCCA
from manymodal.preparing import prepare
from runs import fitted, hits, kept

SETS: dict[str, dict[str, Any]] = {
    "flickr8k": {"epochs": 15, "batch_size": 512},
    "emoji": {"epochs": 10, "batch_size": 256},
    "mfeat": {"epochs": 15, "batch_size": 256},
    "cub": {"epochs": 5, "batch_size": 512},
}
TUNED = "objectives_tuned"
TRIAL_SEED, SEEDS = 0, (1, 2, 3)
MORE_SEEDS = (1, 2, 3, 4, 5)  # where two objectives are to be told apart
DRAWS = 2000  # of the bootstrap
WEAK = "speech"

# Objective, setting, learning rate of each trial: six for each of those that are to be told apart.
LR = 2e-3  # of everything else: the best of PCMC's trials
TRIALS: dict[str, list[tuple[dict[str, Any], float]]] = {
    "PCMC": [({"pcmc": {"scales": s}}, lr) for s in ("shared", "per pair") for lr in (5e-4, 1e-3, 2e-3)],
    "PCMR": [({"pcmr": {"lam": lam, "beta": beta}}, LR) for lam in (5, 10, 20) for beta in (-0.1, 0.0)],
    "PCMR, focused": [
        ({"pcmr": {"lam": lam, "focus": tau}}, LR)
        for lam, tau in ((1, 0.1), (2, 0.1), (4, 0.1), (1, 0.05), (2, 0.05), (4, 0.05))
    ],
    "PCMR, clustered": [
        ({"pcmr": {"lam": lam, "clusters": 64, "near": near}}, LR) for lam in (3, 10) for near in (0.5, 1, 2)
    ],
    "PCMC, clustered": [({"pcmc": {"clusters": c}}, lr) for c in (32, 64) for lr in (5e-4, 1e-3, 2e-3)],
}
LONGER = ("PCMC", "PCMR, clustered")  # once more on LONG, for twice the epochs
LONG = "flickr8k"
EQUAL, NEIGHBOURS = ", equal weights", ", batches of neighbours"
RIVALS: dict[str, dict[str, Any]] = {
    f"PCMC{EQUAL}": {},
    f"PCMR{EQUAL}": {},
    f"PCMR, clustered{NEIGHBOURS}": {"train": {"neighbours": 64}},
    "PCMC + combinations": {"pcmc": {"combinations": 1.0}},
    "anchor": {"anchor": {}},
    "sigmoid": {"sigmoid": {}},
    "spectral": {"spectral": {}},
    "Symile": {"symile": {}},
    "GRAM": {"gram": {}},
    "fused pairs": {"fused": {}},
    "GCCA, closed form": {"gcca": {}},
}
ANCHORS = {"flickr8k": "photo_features", "emoji": "openmoji_color", "mfeat": "pix", "cub": "generic_features"}

Figures = dict[str, Any]


def measure(name: str, objective: Mapping[str, Any], lr: float, seed: int, split: str, epochs: int = 1) -> Figures:
    """Fit, and measure hit@1 of all single directions and of every two modalities to a third.

    Returns:
        "seconds" of the fit, and for "single" and "combined" the mean over directions; on the test split of items also
        the hits themselves, (items, directions), NaN where an item lacks what a direction asks for.
    """
    spec = {k: {**v, "anchor": ANCHORS[name]} if k == "anchor" else dict(v) for k, v in objective.items()}
    config, settings = config_of(f"{name}_vectors"), SETS[name]
    settings = {
        **settings,
        **spec.pop("train", {}),
        "epochs": settings["epochs"] * epochs,
        "lr": lr,
        "validations": 5,
    }
    start = time.perf_counter()
    if "gcca" in spec:
        embeddings = closed_form(f"{name}_vectors", split)
    else:
        space, data = fitted(f"{name}_vectors", config, spec, seed, **settings)
        embeddings = space.encode(data, split)
    found: Figures = {"seconds": time.perf_counter() - start}
    names = embeddings.modalities
    asked = {
        "single": [((a,), b) for a, b in permutations(names, 2)],
        "combined": [((a, b), t) for t in names for a, b in combinations([m for m in names if m != t], 2)],
    }
    by_item = not any(embeddings.per_label(m) for m in names)
    for kind, directions in asked.items():
        if by_item and split == "test":
            found[f"{kind} names"] = [" + ".join(query) + " -> " + target for query, target in directions]
            found[f"{kind} hits"] = hit_matrix(embeddings, directions)
            found[kind] = float(found[f"{kind} hits"].nanmean(0).mean())
        else:
            found[kind] = mean_hit(embeddings, directions)
    return found


def closed_form(table: str, split: str) -> Embeddings:
    """GCCA's embeddings of a split, fitted to the same standardised features."""
    data = read_collection(table_of(table), config=config_of(table))
    towers = Space.for_collection(data).towers

    def rows(part: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        found = {m: prepare(towers[m], data, m, part, FeatureStore()) for m in towers.names}
        features = {m: towers[m].encoder(r.values) for m, r in found.items()}
        return features, {m: r.items for m, r in found.items()}, {m: r.labels for m, r in found.items()}

    train = rows("train")
    widths = {m: v.shape[1] for m, v in train[0].items()}
    return GCCA(widths, min(256, min(widths.values()) * len(widths))).fit(*train).embeddings(*rows(split))


def hit_matrix(embeddings: Embeddings, directions: Sequence[tuple[tuple[str, ...], str]]) -> torch.Tensor:
    """(items, directions) float32: whether the item's query found it first; NaN where it has no query or no match."""
    items = torch.cat(list(embeddings.items.values())).unique()
    found = torch.full((len(items), len(directions)), torch.nan)
    for column, (query, target) in enumerate(directions):
        hit, of = hits(embeddings, query, target, "item")
        found[torch.searchsorted(items, of), column] = hit.float()
    return found


def mean_hit(embeddings: Embeddings, directions: Sequence[tuple[tuple[str, ...], str]]) -> float:
    """Mean over directions of hit@1, by item (by label where only labels are asked)."""
    asked = [Direction(query, (target,), units(query, embeddings, "item")[0]) for query, target in directions]
    return float(np.mean([entry["hit@1"] for entry in evaluate(embeddings, directions=asked) if entry.queries]))


def tune(names: Sequence[str]) -> None:
    """All trials on dev; the setting of each objective with the best mean over collections, each relative to PCMC's."""
    scores: dict[str, list[dict[str, float]]] = {}
    for name in names:
        for number, (objective, lr) in enumerate(TRIALS[name]):
            trial = {}
            for data in SETS:
                run = kept(
                    f"quality_dev_{data}_{name}_{number}",
                    lambda d=data, o=objective, r=lr: measure(d, o, r, TRIAL_SEED, "dev"),
                )
                trial[data] = (run["single"] + run["combined"]) / 2
            scores.setdefault(name, []).append(trial)
            print(name, objective, lr, {d: round(100 * v, 1) for d, v in trial.items()}, flush=True)
    if set(names) == set(TRIALS):
        best = {data: max(trial[data] for trial in scores["PCMC"]) for data in SETS}
        chosen, rows = {}, []
        for name, trials in scores.items():
            relative = [float(np.mean([trial[d] / best[d] for d in SETS])) for trial in trials]
            for (objective, lr), trial, of_best in zip(TRIALS[name], trials, relative, strict=True):
                row = [name, json.dumps(objective), lr, *(percent([trial[d]]) for d in SETS), of_best]
                rows.append([*row, of_best == max(relative)])
                if of_best == max(relative):
                    chosen[name] = {"objective": objective, "lr": lr}
        result = Result(TUNED, "Trials on dev, from which settings were chosen", {**SETS, "chosen": chosen})
        result.table(
            "Mean hit@1 of single and combined directions on dev, in %",
            ["objective", "setting", "lr", *SETS, "mean share of PCMC's best", "chosen"],
            rows,
            "One seed. Chosen is the best mean over collections, each relative to the best of PCMC.",
        )
        result.write()


def run_of(data: str, name: str, seed: int, epochs: int = 1) -> Figures:
    """One run on test, kept; for so many times the epochs."""
    if (base := name.removesuffix(EQUAL).removesuffix(NEIGHBOURS)) in TRIALS:
        chosen = json.loads((RESULTS / f"{TUNED}.json").read_text(encoding="utf-8"))["settings"]["chosen"][base]
        lr, objective = chosen["lr"], chosen["objective"]
        if name.endswith(NEIGHBOURS):
            objective = {**objective, **RIVALS[name]}
        elif name.endswith(EQUAL):
            objective = {kind: {**settings, "weights": "equal"} for kind, settings in objective.items()}
    else:
        lr, objective = LR, RIVALS[name]
    run: Figures = kept(
        f"quality_{data}_{name}_{seed}" + (f"_{epochs}" if epochs > 1 else ""),
        lambda: measure(data, objective, lr, seed, "test", epochs),
    )
    return run


def difference(left: Sequence[Figures], right: Sequence[Figures], kind: str) -> tuple[float, tuple[float, float]]:
    """Mean over directions of hit@1 of the left runs minus that of the right, and its 95 % interval.

    The bootstrap resamples seeds and items, the same for both sides.
    """

    def cube(runs: Sequence[Figures]) -> NDArray[np.float64]:
        return torch.stack([run[f"{kind} hits"] for run in runs]).double().numpy()  # (seeds, items, directions)

    gap = cube(left) - cube(right)
    there = ~np.isnan(gap[0])  # (items, directions): the same queries in every run
    gap = np.nan_to_num(gap)
    random = np.random.default_rng(0)

    def mean(seeds: NDArray[np.int64], times: NDArray[np.int64]) -> float:
        of_items = gap[seeds].mean(0)  # (items, directions)
        return float(np.mean(times @ of_items / np.maximum(times @ there, 1)))

    seeds, items = gap.shape[:2]
    drawn = [
        mean(random.integers(0, seeds, seeds), np.bincount(random.integers(0, items, items), minlength=items))
        for _ in range(DRAWS)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return mean(np.arange(seeds), np.ones(items, np.int64)), (float(low), float(high))


def seeds_of(data: str, name: str) -> tuple[int, ...]:
    """Five where objectives are to be told apart by an interval; one where nothing is random."""
    if "gcca" in RIVALS.get(name, {}):
        return SEEDS[:1]
    return MORE_SEEDS if name in TRIALS and data in ("flickr8k", "emoji") else SEEDS


def report() -> None:
    """Write the result from the runs that are kept."""
    names = [*TRIALS, *RIVALS]
    runs = {
        (data, name): [run_of(data, name, seed) for seed in seeds_of(data, name)] for data in SETS for name in names
    }
    result = Result("objectives_quality", "Objectives at equal budget", {**SETS, "dim": 256})
    for kind, words in (("single", "one modality to another"), ("combined", "two modalities to a third")):
        result.table(
            f"{words.capitalize()}, mean hit@1 over directions in %",
            ["objective", *SETS],
            [[name, *(percent([run[kind] for run in runs[data, name]]) for data in SETS)] for name in names],
            "By item on test (CUB: by label, species never seen in training). The first five with the best of six "
            "settings on dev, the others with their defaults; pairs weigh `auto` unless said; equal epochs and steps.",
        )
    rows = []
    for name in [n for n in TRIALS if n != "PCMC"]:
        for data in ("flickr8k", "emoji"):
            cells: list[Any] = [name, data]
            for kind in ("single", "combined"):
                gap, ci = difference(runs[data, name], runs[data, "PCMC"], kind)
                cells.append({**percent([gap], ci), "seeds": len(runs[data, name])})
                if name in ("PCMR, clustered", "PCMC, clustered"):
                    result.claim(
                        f"{name} minus PCMC on {data}, {kind} directions: the lower end of the interval is {{value}}, "
                        "above {threshold}",
                        ci[0],
                        at_least=-0.01,
                    )
            rows.append(cells)
    result.table(
        "Minus PCMC, in points of mean hit@1",
        ["objective", "collection", "single directions", "combined directions"],
        rows,
        "Five seeds; intervals resample items and seeds, paired.",
    )
    result.table(
        f"{LONG} for twice the epochs, mean hit@1 over directions in %",
        ["objective", "single", "combined", "seconds a fit"],
        [
            [
                name,
                *(percent([run[kind] for run in longer]) for kind in ("single", "combined")),
                spread([run["seconds"] for run in longer]),
            ]
            for name in LONGER
            for longer in [[run_of(LONG, name, seed, 2) for seed in SEEDS]]
        ],
        "Three seeds; the settings as above.",
    )
    result.table(
        "What `auto` weights do: mean hit@1 over single directions in %",
        ["collection", "directions", "PCMC, equal", "PCMC, auto", "PCMR, equal", "PCMR, auto"],
        [row for data in SETS for row in weight_rows(data, {name: runs[data, name] for name in names})],
        f"Weak: from or to {WEAK}, whose fixed features say little. `auto`: `lam` and `beta`, or scales, as chosen on dev.",
    )
    result.table(
        "Seconds a fit",
        ["objective", *SETS],
        [[name, *(spread([run["seconds"] for run in runs[data, name]]) for data in SETS)] for name in names],
        "One thread each, two fits side by side, reading the table included.",
    )
    result.write()


def weight_rows(data: str, runs: Mapping[str, Sequence[Figures]]) -> list[list[Any]]:
    """Rows for strong and weak directions apart, or for all where no modality is a weak one."""
    columns = (f"PCMC{EQUAL}", "PCMC", f"PCMR{EQUAL}", "PCMR")
    if "single names" not in runs["PCMC"][0]:
        return [[data, "all", *(percent([run["single"] for run in runs[name]]) for name in columns)]]
    weak = torch.tensor([WEAK in words.split() for words in runs["PCMC"][0]["single names"]])
    rows: list[list[Any]] = []
    for words, chosen in (("strong", ~weak), ("weak", weak)):
        if bool(chosen.any()):
            of = {n: [float(run["single hits"][:, chosen].nanmean(0).mean()) for run in runs[n]] for n in columns}
            rows.append([data, words, *(percent(values) for values in of.values())])
    return rows


def main() -> None:
    """Tune, run, or run and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--only", nargs="+", choices=[*TRIALS, *RIVALS], help="run these alone, and write no result")
    parser.add_argument("--longer", action="store_true", help="the runs of twice the epochs alone")
    parser.add_argument("--data", nargs="+", default=list(SETS), choices=list(SETS), help="with --only")
    asked = parser.parse_args()
    if asked.tune:
        tune(asked.only or list(TRIALS))
    elif asked.longer:
        for name in asked.only or LONGER:
            for seed in SEEDS:
                run_of(LONG, name, seed, 2)
    elif asked.only:
        for data in asked.data:
            for name in asked.only:
                for seed in seeds_of(data, name):
                    run_of(data, name, seed)
    else:
        report()


if __name__ == "__main__":
    main()
