"""Queries of several modalities: what each part adds, with equal and with calibrated weights, and late fusion of ranks.

    python benchmarks/composition.py [--seeds 1 2 3]

Fits spaces to Flickr8k and emoji (fixed vectors), to Flickr8k with MiniLM for both languages, and to the demo's glyphs;
weights are fitted on dev. Each fit's embeddings are kept in `work/`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from averaged import DRAWS, Hits, MeanGain, by_direction, gap_cell, mean_cell, mean_gains
from common import DATA, HERE, RESULTS, Result, config_of, percent, table_of
from composition_plot import draw
from manymodal import Embeddings
from manymodal.calibration import calibrate
from manymodal.compose import compose_items, rows_of
from manymodal.demo.glyphs import GLYPH_CONFIG, glyph_table
from manymodal.demo.run import OBJECTIVE, SETTINGS
from manymodal.evaluation import Entry, evaluate
from manymodal.evaluation.entry import Scored
from manymodal.evaluation.significance import Resamples
from manymodal.fusion import reciprocal_rank_scores
from manymodal.ranks import ranks_of
from runs import embedded, only

NAME = "composition"
TUNED = json.loads((RESULTS / "objectives_tuned.json").read_text(encoding="utf-8"))["settings"]["chosen"]["PCMC"]
FIXED = {"lr": TUNED["lr"], "validations": 5}
MOST_ROWS = 50  # of a table of gains
PICTURE = "calibrated_gains.png"
BOTH_MINILM = "flickr8k, MiniLM for both languages"


def both_minilm() -> dict[str, Any]:
    """Photos and captions in two languages, both read by MiniLM, which knows no Chinese."""
    config = only("flickr8k_four", ("photo_features", "en", "zh"))
    config["modalities"]["zh"] = dict(config["modalities"]["en"])
    return config


def spaces(name: str, seed: int) -> dict[str, Embeddings]:
    """Embeddings of dev and test, kept."""
    objective = TUNED["objective"]
    if name == "flickr8k":
        key = f"paper_flickr8k_vectors_photo_features_en_zh_speech_PCMC_{seed}"
        config = config_of("flickr8k_vectors")
        return embedded(
            key, DATA / "flickr8k_vectors.parquet", config, objective, seed, 2000, epochs=15, batch_size=512, **FIXED
        )
    if name == "emoji":
        config = config_of("emoji_vectors")
        return embedded(
            f"paper_emoji_vectors_PCMC_{seed}",
            DATA / "emoji_vectors.parquet",
            config,
            objective,
            seed,
            2000,
            epochs=10,
            batch_size=256,
            **FIXED,
        )
    if name == BOTH_MINILM:
        config = both_minilm()
        return embedded(
            f"composition_minilm_{seed}",
            table_of("flickr8k"),
            config,
            objective,
            seed,
            epochs=15,
            batch_size=512,
            **FIXED,
        )
    return embedded(f"composition_glyphs_{seed}", glyph_table(), GLYPH_CONFIG, OBJECTIVE, seed, 2000, **SETTINGS)


SOURCES: dict[str, list[tuple[str, str]]] = {
    "flickr8k": [("speech", "en")],
    "emoji": [("speech", "name")],
    "glyphs": [],
    BOTH_MINILM: [],
}


def fused(embeddings: Embeddings, query: Sequence[str], target: str, scored: Scored) -> Scored:
    """The same queries by reciprocal rank fusion of their parts' ranked lists."""
    parts = []
    for m in query:
        rows = compose_items(embeddings, [m])
        parts.append(rows.vectors[torch.searchsorted(rows.items, scored.owners)])  # (n, d)
    gallery = rows_of(embeddings, target)
    items, scores = reciprocal_rank_scores(parts, gallery.vectors, gallery.items)
    found = ranks_of(scores, scored.owners, items)
    return Scored(scored.owners, scored.rows, found.ranks[found.offsets[:-1]])


def measured(name: str, seeds: Sequence[int]) -> tuple[list[list[Entry]], list[list[Scored | None]]]:
    """Entries with calibrated figures, seed by seed; and of each combined one the fused ranks."""
    runs, late = [], []
    for seed in seeds:
        found = spaces(name, seed)
        entries = evaluate(found["test"], calibration=calibrate(found["dev"]), unit="item")
        entries = [entry for entry in entries if len(entry.direction.target) == 1]
        runs.append(entries)
        late.append(
            [
                fused(found["test"], entry.direction.query, entry.direction.target[0], entry.scored)
                if len(entry.direction.query) > 1 and entry.scored and entry.queries
                else None
                for entry in entries
            ]
        )
    return runs, late


def summary_rows(
    name: str, runs: Sequence[Sequence[Entry]], late: Sequence[Sequence[Scored | None]]
) -> list[list[Any]]:
    """Best part, equal, calibrated and late fusion: means over the combined directions of a size."""
    equal, weighted = by_direction(runs), by_direction(runs, calibrated=True)
    by_fusion = {
        (entry.direction.query, entry.direction.target, entry.direction.unit): Hits.of(
            [run[i] for run in late if run[i]]
        )
        for i, entry in enumerate(runs[0])
        if late[0][i] is not None
    }
    rows: list[list[Any]] = []
    for size in sorted({len(key[0]) for key in by_fusion}):
        chosen = [key for key in by_fusion if len(key[0]) == size]
        best = []
        for query, target, unit in chosen:
            parts = [equal[(m,), target, unit].on(equal[query, target, unit].owners) for m in query]
            best.append(max(parts, key=lambda part: sum(part.means)))
        columns = [best, *([of[key] for key in chosen] for of in (equal, weighted, by_fusion))]
        worse = sum(
            weighted[key].minus(part, Resamples(part.owners, 0, DRAWS)).ci[1] < 0
            for key, part in zip(chosen, best, strict=True)
        )
        rows.append([name, size, len(chosen), *(mean_cell(hits) for hits in columns), worse])
    return rows


def gain_table(result: Result, name: str, raw: Sequence[MeanGain], weighted: Sequence[MeanGain], seeds: int) -> None:
    """What each modality adds for each target (of many modalities: for all of them), over what it is added to."""
    pairs = {(gain.added, gain.target) for gain in raw}
    grouped: dict[str, list[int]] = {}
    for i, gain in enumerate(raw):
        row = (
            gain.added
            if len(pairs) > MOST_ROWS
            else f"{gain.added} -> {gain.target}" + (" (leak)" if gain.leak else "")
        )
        grouped.setdefault(row, []).append(i)
    rows: list[list[Any]] = []
    for row, places in sorted(grouped.items()):
        cells: list[Any] = [row, len(places)]
        for gains in (raw, weighted):
            found = [gains[i].difference.mean for i in places]
            cells += [
                {**percent([sum(found) / len(found)]), "seeds": seeds},
                percent([min(found)]),
                percent([max(found)]),
            ]
        rows.append(cells)
    result.table(
        f"{name}: what a modality adds to a query, points of hit@1",
        ["added", "gains", "equal: mean", "least", "most", "calibrated: mean", "least", "most"],
        rows,
        "By item, over all queries that it can be added to (up to six modalities all sets of the others, beyond one other, or "
        "all the others); the same items asked without it and with it.",
    )
    for words, gains in (("equal weights", raw), ("calibrated", weighted)):
        below = [g for g in gains if g.ci[1] < 0]
        above = [g for g in gains if g.ci[0] > 0]
        named = "; the worst: " + worst(below) if below else ""
        text = f"{name}, {words}: of {len(gains)} gains {len(above)} lie wholly above 0; wholly below 0 lie {{value}}"
        if words == "calibrated":
            result.claim(f"{text}, at most {{threshold}}{named}", len(below), at_most=0)
        else:
            result.table(
                f"{name}, equal weights: gains and losses for sure",
                ["wholly above 0", "wholly below 0", "of"],
                [[len(above), len(below), len(gains)]],
                "Holm-corrected intervals" + named + ".",
            )


def worst(gains: Sequence[MeanGain]) -> str:
    """The largest loss, in words."""
    least = min(gains, key=lambda g: g.difference.mean)
    return (
        f"{' + '.join(least.query)} and then {least.added} -> {least.target}, {100 * least.difference.mean:.1f} points"
    )


def languages(result: Result, runs: Sequence[Sequence[Entry]]) -> None:
    """English and Chinese against English alone, both by an encoder that knows no Chinese."""
    equal, weighted = by_direction(runs), by_direction(runs, calibrated=True)
    target = ("photo_features",)
    english, both = equal[("en",), target, "item"], (("en", "zh"), target, "item")
    cells = [english, equal[("zh",), target, "item"], equal[both], weighted[both]]
    gap = weighted[both].minus(english, Resamples(english.owners, 0, DRAWS))
    result.table(
        "MiniLM for both languages -> photo, hit@1 in %",
        ["English", "Chinese", "both, equal", "both, calibrated", "calibrated - English"],
        [[*(one.cell() for one in cells), gap_cell(gap, len(runs))]],
        "By item: all five captions. MiniLM was trained on English.",
    )
    result.claim(
        "MiniLM for both: the interval of (English and Chinese, calibrated - English) reaches up to {value}, not below {threshold}",
        gap.ci[1],
        at_least=0,
    )


def leaks(name: str) -> Mapping[tuple[str, str], bool]:
    """{(one, other): True} of modalities made from each other."""
    return {pair: True for a, b in SOURCES[name] for pair in ((a, b), (b, a))}


def main() -> None:
    """Fit what is not kept, measure, write the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    seeds = parser.parse_args().seeds
    result = Result(
        NAME, "Queries of several modalities, calibrated", {"objective": "PCMC", "seeds": seeds, "dim": 256}
    )
    all_runs = {name: measured(name, seeds) for name in SOURCES}
    result.table(
        "Combined queries, mean hit@1 over directions in %",
        [
            "collection",
            "parts",
            "directions",
            "best part alone",
            "equal weights",
            "calibrated",
            "rank fusion",
            "calibrated below best part",
        ],
        [row for name, (runs, late) in all_runs.items() for row in summary_rows(name, runs, late)],
        "By item; the best part is the best on average for that direction and the same items. Rank fusion: reciprocal ranks, k = 60. "
        "Last column: directions whose interval of (calibrated - best part) lies wholly below 0, not corrected for their number.",
    )
    gains = {
        name: (mean_gains(runs, leaks(name), calibrated=False), mean_gains(runs, leaks(name), calibrated=True))
        for name, (runs, _) in all_runs.items()
    }
    for name, (raw, weighted) in gains.items():
        gain_table(result, name, raw, weighted, len(seeds))
    draw({name: found for name, found in gains.items() if name != BOTH_MINILM}, HERE.parent / "docs" / PICTURE)
    result.picture(
        PICTURE, "What a modality adds to a query with equal and with calibrated weights: calibrated, losses are gone"
    )
    languages(result, all_runs[BOTH_MINILM][0])
    result.write()


if __name__ == "__main__":
    main()
