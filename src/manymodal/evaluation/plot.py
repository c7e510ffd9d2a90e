"""A heatmap of hit@1: queries down, targets across."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from .entry import Entry
from .grid import cell, grid

ACROSS, DOWN = 0.66, 0.36  # inches of a cell
LABEL = 44  # characters in a line of a label, of which there are two at most


def save_heatmap(entries: Sequence[Entry], path: Path, title: str) -> None:
    """Draw hit@1 of every direction as a PNG.

    The colour follows the square root of the share, in every report alike: small shares can be told apart, and two
    reports can be laid side by side.

    Args:
        entries: what was measured.
        path: of the file to write.
        title: what the figures are of; that they are hit@1 in % is added.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib import colormaps
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    columns, rows = grid(entries)
    groups = [(heading, list(group)) for heading, group in groupby(rows, key=lambda row: row.heading)]
    height = len(rows) + len(groups)  # a line for each heading
    norm, colours = PowerNorm(0.5, vmin=0, vmax=1), colormaps["viridis"]

    figure = Figure(figsize=(ACROSS * len(columns), DOWN * height))
    axes = figure.add_axes((0, 0, 1, 1))  # labels lie outside of it; the picture is cut around them when it is saved
    axes.set(xlim=(0, len(columns)), ylim=(height, 0), frame_on=False)
    ticks: list[float] = []
    line = 0
    for heading, group in groups:
        axes.text(-0.1, line + 0.6, heading, ha="right", va="center", weight="bold", size=9)
        for row in group:
            line += 1
            ticks.append(line + 0.5)
            for x, name in enumerate(columns):
                share = row.cells[name]["hit@1"] if name in row.cells else None
                face = "0.94" if share is None else colours(norm(share))
                axes.add_patch(Rectangle((x, line), 1, 1, facecolor=face, edgecolor="white", linewidth=1.5))
                if name in row.cells:
                    ink = "black" if share is None or share > 0.3 else "white"
                    axes.text(x + 0.5, line + 0.5, cell(row.cells[name]), ha="center", va="center", size=9, color=ink)
        line += 1
    axes.set_yticks(ticks, [_label(row.name) for row in rows], size=9)
    axes.set_xticks([x + 0.5 for x in range(len(columns))], [_label(name) for name in columns], size=9)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    for label in axes.get_xticklabels():
        label.set(rotation=40, ha="left", va="bottom", rotation_mode="anchor")
    axes.set_title(f"hit@1 in %, {title}", size=11, weight="bold", pad=14)
    notes = ["queries down, targets across"]
    if any(len(entry.direction.query) > 1 for entry in entries):
        notes.append("combined queries with equal weights")
    if any(entry.leak for entry in entries):
        notes.append("*: one side was made from the other")
    axes.text(0, height + 0.4, "; ".join(notes), size=8, color="0.35", va="top")
    figure.savefig(path, format="png", dpi=150, bbox_inches="tight", pad_inches=0.2)


def _label(name: str) -> str:
    return textwrap.fill(name, LABEL, max_lines=2, placeholder=" …")
