"""What the objectives cost: time and memory of a step, side by side with each other and with what one would take instead.

python benchmarks/objectives.py                  # all of it: about ten minutes on two cores that do nothing else
python benchmarks/objectives.py --only growth    # some of it, printed and not written
python benchmarks/objectives.py --tiny           # sizes that take a minute, to see that it runs; printed, not written

Needs `pip install -r benchmarks/requirements.txt`. Each point is measured in a process of its own (measure.py) and kept
in `work/`, so a run that was stopped goes on where it was; remove `work/objectives_*` after a change of code.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from common import HERE, Result
from contenders import CACHED_ROWS, CLUSTER, LABELS, SCALE
from cost_plot import Curve, draw
from measure import DIM, THREADS, alone
from results_page import claim_line, table_lines
from runs import kept

NAME = "objectives"
PICTURE = HERE.parent / "docs" / "objectives_cost.png"
PCMR, ANY_ORDER, PCMC = "PCMR", "PCMR, rows in any order", "PCMC, streamed"
BY_LABEL = "PCMR by label"
CLUSTERED = ("PCMR, clustered", "PCMC, clustered")
FULL, BY_HAND, SENTENCE = "full matrix, pair by pair", "CLIP-style, by hand", "sentence-transformers"
NT_XENT, SUP_CON = "pytorch-metric-learning, NTXentLoss", "pytorch-metric-learning, SupConLoss"
RIVALS = ("pytorch-metric-learning", "sentence-transformers")


@dataclass(frozen=True)
class Plan:
    """Numbers of items of each case."""

    side: int = 8_192
    growth: tuple[int, ...] = (62_500, 125_000, 250_000, 500_000, 1_000_000)
    modalities_at: int = 65_536
    streamed: Mapping[int, float | None] = field(  # the share of the full matrix's time that is claimed
        default_factory=lambda: {1_024: None, 2_048: None, 4_096: 1.0, 8_192: None, 16_384: 0.7}
    )
    libraries: tuple[int, int] = (256, 4_096)  # with NTXentLoss, which holds 8 n^3 numbers, and without
    labelled: int = 400_000
    clustered: tuple[int, ...] = (12_500, 25_000, 50_000, 100_000)


TINY = Plan(128, (256, 512), 256, {128: None, 256: 0.7}, (32, 128), 512, (512, 1_024))


def point(measure: str, **arguments: Any) -> Any:
    """A measure, from `work/` where it is there."""
    words = [
        w if isinstance(w, str) else "_".join(w) if isinstance(w, Sequence) else str(w) for w in arguments.values()
    ]
    key = "_".join([NAME, measure, *words]).replace(", ", "-").replace(" ", "-")
    return kept(key, lambda: alone(measure, **arguments))


def rounds(n: int) -> int:
    """Fewer where a step takes seconds and is little disturbed."""
    return 5 if n <= 4_096 else 3


def times(taken: Mapping[str, Sequence[float]], slow: str, fast: str) -> float:
    """How many times as long `slow` takes: the median over rounds."""
    return statistics.median(s / f for s, f in zip(taken[slow], taken[fast], strict=True))


def power(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """The p of seconds ~ sizes ** p, by least squares of the logarithms."""
    return statistics.linear_regression([math.log(n) for n in sizes], [math.log(s) for s in seconds]).slope


# -- the cases: each adds its tables and claims, and gives the curves of the picture ------------------------------------


def side(result: Result, plan: Plan) -> list[Curve]:
    """PCMR, PCMC and the full matrix at one size, four modalities."""
    n, names = plan.side, [PCMR, ANY_ORDER, PCMC, FULL]
    taken = point("seconds", contenders=names, n=n, modalities=4, rounds=rounds(n))
    extra = {name: point("cost", contender=name, n=n, modalities=4, rounds=1)["extra"] for name in names}
    result.table(
        f"One step at {n:,} items, four modalities",
        ["objective", "seconds", "times PCMR", "extra memory, MB"],
        [[name, statistics.median(taken[name]), times(taken, name, PCMR), extra[name] / 1e6] for name in names],
        "Forward and backward, making and checking `Embeddings` included. *Rows in any order*: each modality has its "
        "items in an order of its own, so that matches must be looked for. Times are medians, ratios medians of the "
        "ratios of rounds in which every objective had its turn. Extra memory is the peak minus the vectors and their "
        "gradients.",
    )
    for slow, least in ((PCMC, 15), (FULL, 30)):
        text = f"{n:,} items, four modalities: PCMR is {{value}} times faster than *{slow}*, at least {{threshold}}"
        result.claim(text, times(taken, slow, PCMR), at_least=least)
    text = f"{n:,} items, four modalities: PCMR's extra memory is {{value}} MB, at most {{threshold}}"
    result.claim(text, extra[PCMR] / 1e6, at_most=100)
    return []


def growth(result: Result, plan: Plan) -> list[Curve]:
    """PCMR's time and memory with the number of items, and with that of modalities."""
    costs = [point("cost", contender=PCMR, n=n, modalities=4, rounds=3) for n in plan.growth]
    seconds = [statistics.median(cost["seconds"]) for cost in costs]
    result.table(
        "PCMR with more items, four modalities",
        ["items", "seconds", "extra memory, MB", "vectors and gradients, GB", "peak of the process, GB"],
        [
            [n, s, cost["extra"] / 1e6, 2 * 4 * n * DIM * 4 / 1e9, cost["peak"] / 1e9]
            for n, s, cost in zip(plan.growth, seconds, costs, strict=True)
        ],
    )
    grown = power(plan.growth, seconds)
    result.claim(
        "PCMR's time grows as the number of items to the power of {value}, at most {threshold}", grown, at_most=1.1
    )
    text = f"PCMR over {plan.growth[-1]:,} items, four modalities: the process peaks at {{value}} GB, at most {{threshold}}"
    result.claim(text, costs[-1]["peak"] / 1e9, at_most=12)

    n, many = plan.modalities_at, (2, 4, 8)
    by_many = {
        m: statistics.median(point("cost", contender=PCMR, n=n, modalities=m, rounds=3)["seconds"]) for m in many
    }
    formula = {m: m * n * DIM**2 + m**2 * (DIM**2 + n * DIM) for m in many}
    result.table(
        f"PCMR with more modalities, {n:,} items",
        ["modalities", "seconds", "times two modalities", "by the formula"],
        [[m, by_many[m], by_many[m] / by_many[2], formula[m] / formula[2]] for m in many],
        "The formula counts products: M n d² + M² (d² + n d). Reading matches from memory costs more than their "
        "products do.",
    )
    cost = point("cost", contender=BY_LABEL, n=plan.labelled, modalities=2, rounds=1)
    text = (
        f"PCMR by label, {plan.labelled:,} items of {LABELS:,} labels, two modalities: extra memory is {{value}} GB "
        f"({cost['seconds'][0]:.2g} s a step), at most {{threshold}}"
    )
    result.claim(text, cost["extra"] / 1e9, at_most=1)
    return [Curve("PCMR, four modalities", plan.growth, seconds, [cost["extra"] for cost in costs])]


def streamed(result: Result, plan: Plan) -> list[Curve]:
    """PCMC in tiles beside the full matrix, one pair of modalities, since each pair costs the same."""
    names, sizes = [PCMR, PCMC, FULL], list(plan.streamed)
    taken = {n: point("seconds", contenders=names, n=n, modalities=2, rounds=rounds(n)) for n in sizes}
    extra = {
        name: [point("cost", contender=name, n=n, modalities=2, rounds=1)["extra"] for n in sizes] for name in names
    }
    shares = {n: times(taken[n], PCMC, FULL) for n in sizes}
    result.table(
        "PCMC in tiles beside the full matrix, one pair of modalities",
        ["items", "PCMC, seconds", "full matrix, seconds", "PCMC / full", "PCMC, extra MB", "full matrix, extra MB"],
        [
            [n, *(statistics.median(taken[n][name]) for name in (PCMC, FULL)), shares[n], c / 1e6, f / 1e6]
            for n, c, f in zip(sizes, extra[PCMC], extra[FULL], strict=True)
        ],
    )
    for n, most in plan.streamed.items():
        if most is not None:
            text = f"{n:,} items, one pair: PCMC takes {{value}} of the full matrix's time, at most {{threshold}}"
            result.claim(text, shares[n], at_most=most)
    text = (
        f"{sizes[-1]:,} items, one pair: PCMC takes {{value}} of the full matrix's extra memory, at most {{threshold}}"
    )
    result.claim(text, extra[PCMC][-1] / extra[FULL][-1], at_most=0.1)
    return [
        Curve(f"{name}, two modalities", sizes, [statistics.median(taken[n][name]) for n in sizes], extra[name])
        for name in names
    ]


def libraries(result: Result, plan: Plan) -> list[Curve]:
    """PCMC beside what one would take instead: time, memory, loss and gradient on the same vectors."""
    names = [PCMC, BY_HAND, SENTENCE, SUP_CON, NT_XENT]
    for n, there in zip(plan.libraries, (names, names[:-1]), strict=True):
        taken = point("seconds", contenders=there, n=n, modalities=4, rounds=rounds(n))
        same = point("agreement", contenders=there, n=n, modalities=4)
        extra = {name: point("cost", contender=name, n=n, modalities=4, rounds=1)["extra"] for name in there}
        rows: list[list[Any]] = [
            [name, statistics.median(taken[name]), times(taken, name, PCMC), extra[name] / 1e6, *same[name].values()]
            for name in there
        ]
        rows += [[name, None, None, 4 * 8 * n**3 / 1e6, None, None] for name in names if name not in there]
        result.table(
            f"What one would take instead, {n:,} items, four modalities",
            ["loss", "seconds", "times PCMC", "extra memory, MB", "value", "gradient's difference to PCMC's"],
            rows,
            f"All six pairs at a temperature of {1 / SCALE:.2f}, unit vectors given. sentence-transformers: "
            f"CachedMultipleNegativesRankingLoss, both directions, mini-batches of {CACHED_ROWS:,} rows. "
            "pytorch-metric-learning: the two modalities of a pair stacked, so that values of one's own modality are "
            "negatives too and loss and gradient are others; NTXentLoss holds at least 8 n³ numbers for n items "
            "(which is the memory given where it has no time), "
            "SupConLoss is the same loss here by matrices. Differences are relative to the norm of PCMC's gradient.",
        )
        for name in (BY_HAND, SENTENCE):
            text = f"{n:,} items: PCMC's gradient differs from that of *{name}* by {{value}}, at most {{threshold}}"
            result.claim(text, same[name]["difference"], at_most=1e-4)
    return []


def clustered(result: Result, plan: Plan) -> list[Curve]:
    """The clustered objectives: a step beside PCMC's, with the clustering of batches of neighbours, and their growth."""
    sizes, n = plan.clustered, plan.side
    clustering = [statistics.median(point("clustering", n=m, size=CLUSTER, rounds=3)) for m in sizes]
    share = clustering[-1] / (sizes[-1] / n)  # of one clustering an epoch, per step
    taken = point("seconds", contenders=[*CLUSTERED, PCMC], n=n, modalities=4, rounds=rounds(n))
    rows, curves = [], []
    for name in CLUSTERED:
        steps = [point("cost", contender=name, n=m, modalities=4, rounds=3) for m in sizes]
        seconds, extra = [statistics.median(s["seconds"]) for s in steps], [s["extra"] for s in steps]
        curves.append(Curve(f"{name}, four modalities", sizes, seconds, extra))
        rows += [[name, m, s, e / 1e6] for m, s, e in zip(sizes, seconds, extra, strict=True)]
        with_share = {name: [s + share for s in taken[name]], PCMC: taken[PCMC]}
        text = (
            f"Batches of {n:,}, four modalities: *{name}* is {{value}} times faster than PCMC, at least {{threshold}}"
        )
        result.claim(text, times(with_share, PCMC, name), at_least=5)
        text = (
            f"The time of a step of *{name}* over all items grows as n to the power of {{value}}, at most {{threshold}}"
        )
        result.claim(text, power(sizes, seconds), at_most=1.2)
    text = "The time of one clustering grows as n to the power of {value}, at most {threshold}"
    result.claim(text, power(sizes, clustering), at_most=1.6)
    result.table(
        f"Clusters of at most {CLUSTER} items: a step over all items, four modalities",
        ["objective", "items", "seconds", "extra memory, MB"],
        rows,
        f"Each step makes its own clusters. A step at a batch of {n:,} takes "
        + ", ".join(f"{statistics.median(taken[name]):.3g} s ({name})" for name in (*CLUSTERED, PCMC))
        + f"; batches of neighbours add {share:.3g} s, the share of clustering {sizes[-1]:,} items once an epoch.",
    )
    result.table(
        "One complete clustering",
        ["items", "seconds"],
        [list(row) for row in zip(sizes, clustering, strict=True)],
        f"d = {DIM}, clusters of at most {CLUSTER}, eight rounds.",
    )
    return curves


CASES: dict[str, Callable[[Result, Plan], list[Curve]]] = {
    case.__name__: case for case in (side, growth, streamed, libraries, clustered)
}


def main() -> None:
    """Measure, and write the result and the picture; or print a part of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--only", nargs="+", choices=list(CASES), default=list(CASES), metavar="CASE", help=", ".join(CASES)
    )
    parser.add_argument("--tiny", action="store_true", help="small sizes, to see that it runs")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)  # what `hardware` then says
    plan = TINY if arguments.tiny else Plan()
    packages = {package: importlib.metadata.version(package) for package in RIVALS}
    result = Result(NAME, "What the objectives cost", {"dim": DIM, "threads": THREADS, **packages})
    curves = [curve for name in arguments.only for curve in CASES[name](result, plan)]
    print(*(claim_line(claim) for claim in result.claims), sep="\n")
    print(*(f"\n{table['title']}\n\n{table_lines(table)}" for table in result.tables), sep="\n")
    if arguments.tiny or set(CASES) - set(arguments.only):
        return
    draw(curves, PICTURE)
    result.picture(PICTURE.name, "Seconds of a step and extra memory over the number of items, for each objective")
    result.write()


if __name__ == "__main__":
    main()
