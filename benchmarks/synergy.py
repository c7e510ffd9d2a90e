"""Synergy: what two modalities tell about a third only together, and which objectives see it.

python benchmarks/synergy.py [--seeds 1 2 3]       # about six minutes on one core

The experiment of Saporta et al. (Symile, NeurIPS 2024, arXiv:2411.01053). Of each item a and b are random bits, and c
is their exclusive or with probability p, else a again: b says nothing about c, and nothing about a, but together with a
it says (with probability p) what c is. Linear encoders of a, b and c are trained; then b is to be told from a and c,
among all 2^5 values that it can have. The best that can be done is right with probability p + (1 - p) / 32.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import torch
from torch import Tensor, nn

from common import HERE, SEEDS, Result, by_seed, percent
from manymodal.embeddings import Embeddings
from manymodal.files import replacing
from manymodal.objectives import PCMC, PCMR, Objective
from manymodal.objectives.fused import Fused
from manymodal.objectives.symile import Symile

NAME = "synergy"
PICTURE = HERE.parent / "docs" / "synergy.png"
BITS, DIM = 5, 16
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # p
BATCH = 256
CHANCE, NOISE = 1 / 2**BITS, 0.01

Score = Callable[[Objective, Embeddings], Tensor]  # of a and c in n items with each of m values of b: (n, m)


# -- the data ----------------------------------------------------------------------------------------------------------


def optimum(p: float, bits: int = BITS) -> float:
    """How often the best guess of b from a and c is right: always where c is their exclusive or, else by chance."""
    return p + (1 - p) / 2**bits


def third(a: Tensor, b: Tensor, joined: Tensor) -> Tensor:
    """(n, bits) c: the exclusive or of a and b where `joined` (n, 1), else a."""
    return torch.where(joined, (a != b).to(a.dtype), a)


def sample(count: int, p: float, bits: int = BITS) -> dict[str, Tensor]:
    """{modality: (count, bits) of 0 and 1} of random items, from torch's generator."""
    a, b = torch.randint(0, 2, (2, count, bits)).float()
    return {"a": a, "b": b, "c": third(a, b, torch.rand(count, 1) < p)}


def all_values(bits: int = BITS) -> Tensor:
    """(2^bits, bits) every value that a modality can have."""
    return torch.tensor(list(product((0.0, 1.0), repeat=bits)))


# -- a run -------------------------------------------------------------------------------------------------------------


class Encoders(nn.Module):
    """One linear map per modality, to unit norm."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.ModuleDict({m: nn.Linear(BITS, DIM) for m in "abc"})

    def forward(self, values: dict[str, Tensor]) -> Embeddings:
        """Rows in the same place are of one item."""
        vectors = {m: self.maps[m](v) for m, v in values.items()}
        return Embeddings.normalized(vectors, {m: torch.arange(len(v)) for m, v in values.items()})


def trained(objective: Objective, p: float, lr: float, steps: int) -> Encoders:
    """Encoders trained with AdamW, on fresh items in every step; the rate falls to 0 as a cosine."""
    encoders = Encoders()
    objective.prepare(("a", "b", "c"), DIM)
    optimiser = torch.optim.AdamW([*encoders.parameters(), *objective.parameters()], lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        objective(encoders(sample(BATCH, p))).total.backward()
        optimiser.step()
        objective.after_step()
        schedule.step()
    return encoders


@torch.no_grad()
def accuracy(objective: Objective, score: Score, encoders: Encoders, p: float) -> float:
    """How often b is told from a and c: not of a sample, but over all a and b, joined or not, by their probability."""
    values = all_values()
    a, b = values.repeat_interleave(len(values), 0), values.repeat(len(values), 1)  # (n, bits) all of the items
    truth = torch.arange(len(values)).repeat(len(values))  # (n,)
    right = []
    for joined in (True, False):
        c = third(a, b, torch.tensor([[joined]]))
        guess = score(objective, encoders({"a": a, "b": values, "c": c})).argmax(1)  # (n,)
        right.append(float((guess == truth).double().mean()))
    return p * right[0] + (1 - p) * right[1]


def by_sum(objective: Objective, asked: Embeddings) -> Tensor:
    """(n, m) sums of the cosines of a and b and of c and b, which rank as composed queries do."""
    return (asked.vectors["a"] + asked.vectors["c"]) @ asked.vectors["b"].T


def by_product(objective: Objective, asked: Embeddings) -> Tensor:
    """(n, m) multilinear inner products of a, c and b."""
    return (asked.vectors["a"] * asked.vectors["c"]) @ asked.vectors["b"].T


def by_fusion(objective: Objective, asked: Embeddings) -> Tensor:
    """(n, m) cosines of the objective's fusion of a and c, and b."""
    assert isinstance(objective, Fused)
    return objective.fuse(("a", "c"), asked.vectors["a"], asked.vectors["c"]) @ asked.vectors["b"].T


@dataclass(frozen=True)
class Contender:
    """An objective, how its space is asked, how it is trained, and whether it can see what is in no pair.

    The rates are those that found the optimum; no rate makes a sum over pairs find it. A network that fuses needs more
    steps, and a smaller rate, than a product does.
    """

    make: Callable[[], Objective]
    score: Score = by_sum
    lr: float = 0.03
    steps: int = 400
    sees: bool = False


CONTENDERS = {
    "PCMC": Contender(PCMC),
    "PCMR": Contender(PCMR),
    "PCMC, combinations": Contender(lambda: PCMC(combinations=1.0)),
    "Symile": Contender(Symile, by_product, lr=0.1, sees=True),
    "Fused": Contender(lambda: Fused(share=0.9, hidden=128), by_fusion, lr=0.005, steps=600, sees=True),
}


def measure(seed: int) -> dict[str, float]:
    """{"contender p": accuracy} of every contender at every p."""
    found = {}
    for (name, contender), p in product(CONTENDERS.items(), SHARES):
        torch.manual_seed(seed)
        objective = contender.make()
        encoders = trained(objective, p, contender.lr, contender.steps)
        found[f"{name} {p}"] = accuracy(objective, contender.score, encoders, p)
    return found


# -- the result --------------------------------------------------------------------------------------------------------


def draw(means: dict[str, list[float]], path: Path) -> None:
    """Accuracy over p, a line for each contender, over the optimum."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(SHARES, [optimum(p) for p in SHARES], color="0.8", linewidth=7, label="optimum")
    colours = ("#0072b2", "#56b4e9", "#009e73", "#d55e00", "#555555")
    for (name, values), colour, mark in zip(means.items(), colours, "osv^D", strict=True):
        axes.plot(SHARES, values, color=colour, marker=mark, markersize=5, label=name)
    axes.set(xlabel="p, the share of items whose c is a xor b", ylabel="b told from a and c", ylim=(0, 1.03))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    with replacing(path) as aside:
        figure.savefig(aside, format="png", dpi=120)


def main() -> None:
    """Measure, draw, and write the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    seeds = parser.parse_args().seeds
    torch.set_num_threads(1)
    runs = by_seed(measure, seeds)
    cells = {name: [percent(runs[f"{name} {p}"]) for p in SHARES] for name in CONTENDERS}
    trainings = {name: f"{c.steps} steps, lr {c.lr:g}" for name, c in CONTENDERS.items()}
    settings = {**trainings, "batch_size": BATCH, "bits": BITS, "dim": DIM, "seeds": seeds}
    result = Result(NAME, "Synergy: b told from a and c, which say it only together", settings)
    for name, contender in CONTENDERS.items():
        for p, cell in list(zip(SHARES, cells[name], strict=True))[1:]:  # at p = 0 every guess is as good
            if contender.sees:
                text = f"{name}, p = {p:g}: {{value}} % right, at least {{threshold}} (the optimum less 3 points)"
                result.claim(text, cell, at_least=optimum(p) - 0.03)
            elif name in ("PCMC", "PCMR"):
                text = f"{name}, p = {p:g}: {{value}} % right, at most {{threshold}} (chance and a point)"
                result.claim(text, cell, at_most=CHANCE + NOISE)
    result.picture(PICTURE.name, "Accuracy over p: Symile and fused pairs on the optimum, sums over pairs at chance")
    result.table(
        "How often b is told from a and c, %",
        ["p", *CONTENDERS, "optimum"],
        [[f"{p:g}", *(cells[n][k] for n in CONTENDERS), percent([optimum(p)])] for k, p in enumerate(SHARES)],
        "c is the exclusive or of a and b with probability p, else a. 32 candidates; exact over all items.",
    )
    result.write()
    draw({name: [cell["mean"] for cell in row] for name, row in cells.items()}, PICTURE)


if __name__ == "__main__":
    main()
