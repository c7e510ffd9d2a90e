"""What a modality adds to a query, with equal weights across and with calibrated ones upwards: a dot for each query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from averaged import MeanGain
from manymodal.files import replacing

SURE, UNSURE = ("#d55e00", "^"), ("#0072b2", "o")  # told apart in grey and by colour-blind readers too


def draw(panels: Mapping[str, tuple[Sequence[MeanGain], Sequence[MeanGain]]], path: Path) -> None:
    """Write the picture: a panel a collection, losses for sure with equal weights (Holm) in a colour of their own."""
    import matplotlib.pyplot as plt

    figure, grid = plt.subplots(1, len(panels), figsize=(4.1 * len(panels), 4.8), layout="constrained")
    for axes, (name, (equal, calibrated)) in zip(grid, panels.items(), strict=True):
        dots = [
            (100 * a.difference.mean, 100 * b.difference.mean, a.ci[1] < 0)
            for a, b in zip(equal, calibrated, strict=True)
        ]
        for sure, (colour, mark), words in (
            (False, UNSURE, "gain, or too little to tell"),
            (True, SURE, "loss for sure with equal weights"),
        ):
            chosen = [dot[:2] for dot in dots if dot[2] == sure]
            style = {"s": 14 if not sure else 24, "color": colour, "marker": mark, "alpha": 0.7, "linewidths": 0}
            axes.scatter(*zip(*chosen, strict=True), label=words, **style)
        low = min(min(dot[:2]) for dot in dots) - 2
        high = max(max(dot[:2]) for dot in dots) + 2
        axes.plot([low, high], [low, high], color="#999999", linewidth=0.8)
        axes.axhline(0, color="#999999", linewidth=0.8)
        axes.axvline(0, color="#999999", linewidth=0.8)
        axes.set(
            xlim=(low, high), ylim=(low, high), title=name, xlabel="equal weights, points of hit@1", aspect="equal"
        )
        axes.spines[["top", "right"]].set_visible(False)
    grid[0].set_ylabel("calibrated weights, points of hit@1")
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    with replacing(path) as aside:
        figure.savefig(aside, format="png", dpi=110)
    plt.close(figure)
