"""Time and memory over the number of items, both axes logarithmic: a straight line's slope is the power of growth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from manymodal.files import replacing

# Told apart in grey and by colour-blind readers too: each has a colour and a mark.
STYLES = (("#0072b2", "o"), ("#56b4e9", "s"), ("#d55e00", "^"), ("#555555", "D"), ("#009e73", "v"), ("#cc79a7", "P"))


@dataclass(frozen=True)
class Curve:
    """One line: seconds of a step and extra memory in bytes at each number of items."""

    label: str
    items: Sequence[int]
    seconds: Sequence[float]
    extra: Sequence[float]


def draw(curves: Sequence[Curve], path: Path) -> None:
    """Write the picture: seconds of a step on the left, extra memory on the right."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained", sharex=True)
    for curve, (colour, mark) in zip(curves, cycle(STYLES)):
        style = {"label": curve.label, "color": colour, "marker": mark, "markersize": 5}
        left.plot(curve.items, curve.seconds, **style)
        right.plot(curve.items, [max(extra, 1e5) / 1e6 for extra in curve.extra], **style)
    for axes, what in ((left, "Seconds a step, forward and backward"), (right, "Extra memory, MB")):
        axes.set(xscale="log", yscale="log", xlabel="items", title=what)
        axes.grid(which="major", color="#dddddd", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    with replacing(path) as aside:
        figure.savefig(aside, format="png", dpi=120)
    plt.close(figure)
