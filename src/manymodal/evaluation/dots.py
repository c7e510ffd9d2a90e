"""Figures with their intervals, one below the other: a dot and a line each, sorted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..words import counted

MOST = 60  # dots in a picture that can still be read
DOWN = 0.24  # inches of a dot
STRONG, WEAK = "#1f5fa8", "0.6"


@dataclass(frozen=True)
class Dot:
    """One figure.

    Args:
        name: what it is of.
        at: the figure.
        ends: of its interval.
        strong: whether to draw it in colour.
    """

    name: str
    at: float
    ends: tuple[float, float]
    strong: bool = True


def save_dots(dots: Sequence[Dot], path: Path, title: str, axis: str, notes: Sequence[str] = ()) -> None:
    """Draw figures as a PNG, the highest first; of too many to read the highest and the lowest.

    Args:
        dots: what was measured; at least one.
        path: of the file to write.
        title: what they are of.
        axis: what lies along the horizontal axis.
        notes: lines below the picture.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    ranked = sorted(dots, key=lambda dot: (-dot.at, dot.name))
    shown = ranked if len(ranked) <= MOST else ranked[: MOST // 2] + ranked[-MOST // 2 :]
    figure = Figure(figsize=(6, DOWN * (len(shown) + 1)))
    axes = figure.add_axes((0, 0, 1, 1))  # names lie outside of it; the picture is cut around them when it is saved
    for y, dot in enumerate(shown):
        colour = STRONG if dot.strong else WEAK
        axes.plot(dot.ends, (y, y), color=colour, linewidth=1.8, solid_capstyle="butt")
        axes.plot(dot.at, y, "o", color=colour, markersize=5)
    if min(min(dot.ends) for dot in shown) < 0:
        axes.axvline(0, color="0.25", linewidth=1, zorder=0)
    if len(shown) < len(ranked):
        axes.axhline(MOST / 2 - 0.5, color="0.25", linewidth=1, linestyle=":")
        notes = [*notes, f"at the dotted line {counted(len(ranked) - MOST, 'direction')} between are not drawn"]
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_yticks(range(len(shown)), [dot.name for dot in shown], size=9)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)  # a dollar in a name is a dollar
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=9)
    axes.grid(axis="x", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel(axis, size=9)
    axes.set_title(title, size=11, weight="bold", loc="left", pad=8)
    axes.annotate(
        "\n".join(notes),
        (0, 0),
        xytext=(0, -42),
        xycoords="axes fraction",
        textcoords="offset points",
        va="top",
        size=8,
        color="0.35",
        linespacing=1.5,
        parse_math=False,
    )
    figure.savefig(path, format="png", dpi=150, bbox_inches="tight", pad_inches=0.2)
