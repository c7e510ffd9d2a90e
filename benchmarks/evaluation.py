"""How long evaluation takes: every direction of four modalities, and one direction beside what other tools take for it.

    python benchmarks/evaluation.py [--rounds 3]

Needs `pip install -r benchmarks/requirements.txt` and a machine that does nothing else. The embeddings are fitted once
and kept in `work/`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, NamedTuple

import torch
from torch import Tensor

from common import Result, config_of, table_of
from manymodal import Embeddings
from manymodal.evaluation import evaluate
from manymodal.evaluation.directions import Direction
from manymodal.evaluation.measure import measure
from runs import embedded

THREADS = 2
OTHERS = ("pytrec_eval-terrier", "ranx", "torchmetrics")
TRAINING = {"epochs": 15, "batch_size": 512, "lr": 2e-3}
CUTOFFS = (1, 5, 10)
NDCG_AT = 10
FIGURES = [*(f"hit@{k}" for k in CUTOFFS), f"ndcg@{NDCG_AT}", "map"]
AGREE = 1e-6
DIRECTIONS = (("en", "photo_features"), ("photo_features", "en"))


class Sides(NamedTuple):
    """One direction's vectors and whose they are; where the items are the same, rows match."""

    queries: Tensor  # (n, d)
    gallery: Tensor  # (m, d)
    query_items: Tensor  # (n,)
    gallery_items: Tensor  # (m,)

    def scores(self) -> Tensor:
        return self.queries @ self.gallery.T  # (n, m)


@dataclass(frozen=True)
class Tool:
    """One way to measure a direction: make what it reads, then measure that.

    Args:
        name: in the table.
        build: vectors and items -> what it reads.
        measure: that -> {figure: mean over queries}.
    """

    name: str
    build: Callable[[Sides], Any]
    measure: Callable[[Any], dict[str, float]]


# -- manymodal -----------------------------------------------------------------------------------------------------------


def our_inputs(sides: Sides) -> Embeddings:
    return Embeddings(
        {"query": sides.queries, "target": sides.gallery}, {"query": sides.query_items, "target": sides.gallery_items}
    )


def our_figures(embeddings: Embeddings) -> dict[str, float]:
    (entry,) = evaluate(embeddings, directions=[Direction(("query",), ("target",), "value")], k=CUTOFFS)
    return {name: float(entry[name] or 0) for name in FIGURES}


# -- TREC's way: a dict of judgements and a dict of scores, by query and document -----------------------------------------


def judged(sides: Sides) -> dict[str, dict[str, int]]:
    rows_of: dict[int, list[int]] = {}
    for row, item in enumerate(sides.gallery_items.tolist()):
        rows_of.setdefault(item, []).append(row)
    return {f"q{i}": {f"d{j}": 1 for j in rows_of[item]} for i, item in enumerate(sides.query_items.tolist())}


def trec_inputs(top: int | None) -> Callable[[Sides], Any]:
    """Judgements and the scores of each query's `top` documents; None for all of them."""

    def build(sides: Sides) -> Any:
        best = sides.scores().topk(top or len(sides.gallery))  # (n, top)
        names = [f"d{j}" for j in range(len(sides.gallery))]
        return judged(sides), {
            f"q{i}": {names[j]: score for j, score in zip(rows, scores, strict=True)}
            for i, (rows, scores) in enumerate(zip(best.indices.tolist(), best.values.tolist(), strict=True))
        }

    return build


def trec_eval_figures(inputs: Any) -> dict[str, float]:
    import pytrec_eval

    truth, run = inputs
    cuts = ",".join(map(str, CUTOFFS))
    evaluator = pytrec_eval.RelevanceEvaluator(truth, {f"success.{cuts}", f"ndcg_cut.{NDCG_AT}", "map"})
    queries = evaluator.evaluate(run).values()
    names = [*(f"success_{k}" for k in CUTOFFS), f"ndcg_cut_{NDCG_AT}", "map"]
    return {ours: statistics.fmean(q[name] for q in queries) for ours, name in zip(FIGURES, names, strict=True)}


def ranx_inputs(top: int | None) -> Callable[[Sides], Any]:
    """The same as the two types that it reads."""

    def build(sides: Sides) -> Any:
        import ranx

        truth, run = trec_inputs(top)(sides)
        return ranx.Qrels(truth), ranx.Run(run)

    return build


def ranx_figures(inputs: Any) -> dict[str, float]:
    import ranx

    names = [*(f"hit_rate@{k}" for k in CUTOFFS), f"ndcg@{NDCG_AT}", "map"]
    found = ranx.evaluate(*inputs, names)
    return {ours: float(found[name]) for ours, name in zip(FIGURES, names, strict=True)}


# -- torchmetrics: one flat row a pair of query and document ---------------------------------------------------------------


def torchmetrics_inputs(sides: Sides) -> Any:
    scores = sides.scores()
    query = torch.arange(len(scores))[:, None].expand_as(scores)
    match = sides.query_items[:, None] == sides.gallery_items
    return scores.flatten(), match.flatten(), query.flatten()


def torchmetrics_figures(inputs: Any) -> dict[str, float]:
    from torchmetrics.retrieval import RetrievalHitRate, RetrievalMAP, RetrievalNormalizedDCG

    metrics = [*(RetrievalHitRate(top_k=k) for k in CUTOFFS), RetrievalNormalizedDCG(top_k=NDCG_AT), RetrievalMAP()]
    scores, match, query = inputs
    return {name: float(metric(scores, match, indexes=query)) for name, metric in zip(FIGURES, metrics, strict=True)}


WHOLE, TOP = "the whole gallery", f"the best {NDCG_AT} of each query"
OURS = Tool("manymodal", our_inputs, our_figures)
TOOLS = {
    WHOLE: [
        OURS,
        Tool("pytrec_eval", trec_inputs(None), trec_eval_figures),
        Tool("ranx", ranx_inputs(None), ranx_figures),
        Tool("torchmetrics", torchmetrics_inputs, torchmetrics_figures),
    ],
    TOP: [
        Tool("pytrec_eval", trec_inputs(NDCG_AT), trec_eval_figures),
        Tool("ranx", ranx_inputs(NDCG_AT), ranx_figures),
    ],
}


# -- measuring -------------------------------------------------------------------------------------------------------------


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """How long a call takes, and what it gives."""
    start = time.perf_counter()
    found = call()
    return time.perf_counter() - start, found


def sides_of(embeddings: Embeddings, query: str, target: str) -> Sides:
    return Sides(*(embeddings.vectors[m] for m in (query, target)), *(embeddings.items[m] for m in (query, target)))


def side_by_side(sides: Sides, rounds: int) -> list[tuple[str, str, float, float, dict[str, float]]]:
    """[what it reads, tool, median seconds of building, of measuring, figures], the tools in turns."""
    few = Sides(sides.queries[:50], sides.gallery, sides.query_items[:50], sides.gallery_items)
    tools = [(reads, tool) for reads, some in TOOLS.items() for tool in some]
    for _, tool in tools:
        tool.measure(tool.build(few))  # loads code; ranx compiles its own
    built: dict[int, list[float]] = {number: [] for number in range(len(tools))}
    measured: dict[int, list[float]] = {number: [] for number in range(len(tools))}
    figures = {}
    for _ in range(rounds):
        for number, (_, tool) in enumerate(tools):
            took, inputs = seconds(lambda tool=tool: tool.build(sides))
            built[number].append(took)
            took, figures[number] = seconds(lambda tool=tool, inputs=inputs: tool.measure(inputs))
            measured[number].append(took)
            print(f"{tool.name}: {built[number][-1]:.2f} + {took:.2f} s", flush=True)
    return [
        (reads, tool.name, statistics.median(built[n]), statistics.median(measured[n]), figures[n])
        for n, (reads, tool) in enumerate(tools)
    ]


def beside_others(result: Result, test: Embeddings, rounds: int) -> None:
    """One direction and back: seconds and figures of every tool."""
    for query, target in DIRECTIONS:
        sides = sides_of(test, query, target)
        found = side_by_side(sides, rounds)
        ours, our_total = found[0][-1], found[0][2] + found[0][3]
        rows: list[list[Any]] = []
        for reads, name, built, measured, figures in found:
            shared = [f for f in FIGURES if reads == WHOLE or f != "map"]
            off = [
                max(abs(figures[f] - ours[f]) for f in shared if hits == f.startswith("hit")) for hits in (True, False)
            ]
            ratio = (built + measured) / our_total
            rows.append([name, reads, built, measured, built + measured, ratio, *(f"{one:.0e}" for one in off)])
        words = f"{query} -> {target}, {len(sides.queries):,} x {len(sides.gallery):,}"
        result.table(
            f"{words}: seconds from the same vectors",
            ["tool", "reads", "inputs", "measuring", "both", "times ours", "hit@k differ by", "ndcg, map differ by"],
            rows,
            f"Mean {', '.join(FIGURES)}, the map over the whole gallery. manymodal always ranks the whole gallery and "
            f"gives the other metrics too; the best {NDCG_AT} rows of each query are enough for a tool that is asked "
            "for no map. Captions that are equal word for word tie: that counts against the query here and falls "
            "either way elsewhere. torchmetrics adds up in float32. What is compiled on the first call is not counted.",
        )
        result.claim(
            f"{words}: hit@k of all tools differ by at most {{value}}, within {{threshold}}",
            max(float(row[-2]) for row in rows),
            at_most=AGREE,
        )
        result.claim(
            f"{words}: with a map over the whole gallery the fastest other tool takes {{value}} times as long, at least "
            "{threshold}",
            min(row[5] for row in rows if row[1] == WHOLE and row[0] != OURS.name),
            at_least=10,
        )


def everything(result: Result, test: Embeddings, rounds: int) -> None:
    """All directions, and the whole report."""
    options = {"same_source": [("en", "speech")]}
    plain = [seconds(lambda: evaluate(test, **options)) for _ in range(rounds)]
    whole = [seconds(lambda: measure(test, split="test", bootstrap=1000, **options)) for _ in range(rounds)]
    with tempfile.TemporaryDirectory() as folder:
        written = [seconds(lambda: whole[0][1].save(folder)) for _ in range(rounds)]
    figures, report, files = (statistics.median(took for took, _ in runs) for runs in (plain, whole, written))
    directions = len(plain[0][1])
    result.table(
        f"All {directions} directions of the Flickr8k test set, four modalities, {len(test):,} values: seconds",
        ["", "seconds"],
        [
            ["figures of every direction", figures],
            ["the whole report: figures, 1,000 bootstrap draws, gains, health, examples", report],
            ["writing its files", files],
        ],
        "1,000 items; the embeddings are given.",
    )
    result.claim(f"all {directions} directions take {{value}} s, under {{threshold}} s", figures, at_most=30)
    result.claim("the whole report takes {value} s, under {threshold} s", report + files, at_most=30)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3, help="of which the median is told")
    rounds = parser.parse_args(arguments).rounds
    torch.set_num_threads(THREADS)
    config = config_of("flickr8k_vectors")
    test = embedded("evaluation_flickr8k_1", table_of("flickr8k_vectors"), config, "pcmc", 1, **TRAINING)["test"]
    settings = {"rounds": rounds, "threads": THREADS, **{name: version(name) for name in OTHERS}}
    result = Result("evaluation_speed", "How long evaluation takes", settings)
    everything(result, test, rounds)
    beside_others(result, test, rounds)
    result.write()


if __name__ == "__main__":
    main()
