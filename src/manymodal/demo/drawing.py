"""Pictures drawn by hand: strokes to a picture in the glyphs' own frame, and a few drawings to search with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from ..errors import ManymodalError
from .frame import MIDDLE, SIZE, Frame, png

Stroke = NDArray[np.float64]

PEN = 0.06  # width of the pen over the side of the picture: between the lines of symbols and the stems of letters
_FINE = 4  # drawn this many times finer, then averaged down
_STEP = 0.01  # a hand wavers along the way, so a straight line needs points to waver at


def draw(strokes: Sequence[ArrayLike], *, waver: float = 0.0, seed: int = 0) -> bytes:
    """Draw strokes as the glyphs are drawn: same frame, size, colours, and a pen about as wide as their lines.

    Args:
        strokes: each (t, 2), the pen's way while it is down; one point is a dot. Positions are shares of the canvas'
            side (x to the right, y down), of which the whole stands for one em; points may lie outside it.
        waver: how unsteady the hand is, as a share of the drawing's size; 0.01 is a calm hand.
        seed: of the hand's movements.

    Returns:
        PNG, 48 x 48, grey, black on white.

    Raises:
        ManymodalError: there is nothing to draw, or a stroke is not a (t, 2) list of finite numbers.
    """
    ways = [_checked(number, stroke) for number, stroke in enumerate(strokes)]
    if not ways:
        raise ManymodalError("nothing is drawn: no stroke came; draw at least one")
    if waver:
        ways = _by_hand(ways, waver, np.random.default_rng(seed))
    every = np.concatenate(ways)  # (points, 2)
    # The canvas is one em, its middle the middle of a capital letter.
    middle = np.array([0.5, 0.5 - MIDDLE])
    frame = Frame.around(*(every.min(axis=0) - middle), *(every.max(axis=0) - middle))
    side = SIZE * _FINE
    ink = Image.new("L", (side, side))
    pen = ImageDraw.Draw(ink)
    # The frame is around the middle of the pen's way: drawn a little smaller, its edges are inside as well.
    radius = PEN * side / 2
    for way in ways:
        points = (frame.unit(way - middle) - 0.5) * (1 - PEN) * side + side / 2  # (t, 2)
        pen.line([(x, y) for x, y in points], fill=255, width=round(2 * radius))
        for x, y in points:  # round ends and joints, and dots
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return png(ink)


def _checked(number: int, stroke: ArrayLike) -> Stroke:
    """A stroke as (t, 2) float64."""
    try:
        points = np.asarray(stroke, dtype=np.float64)
    except (TypeError, ValueError):
        points = np.empty(0)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
        raise ManymodalError(
            f"stroke {number} is not a list of (x, y) points with finite numbers; give at least one point"
        )
    return points


def _by_hand(ways: list[Stroke], waver: float, random: np.random.Generator) -> list[Stroke]:
    """The same drawing as an unsteady hand makes it: a little slanted and stretched, each stroke a little astray."""
    every = np.concatenate(ways)  # (points, 2)
    centre, size = (every.min(axis=0) + every.max(axis=0)) / 2, max(float(np.ptp(every, axis=0).max()), _STEP)
    slant = np.eye(2) + 2 * waver * random.standard_normal((2, 2))
    drawn = []
    for way in ways:
        way = _dense((way - centre) @ slant.T, _STEP * size)  # (t, 2)
        # A slow wave, two periods or so along the stroke, on top of a stroke that starts a little off.
        phase = np.linspace(0, 1, len(way))[:, None] * random.uniform(1, 2.5, 2) + random.uniform(0, 1, 2)  # (t, 2)
        astray = waver * size * (np.sin(2 * np.pi * phase) + random.standard_normal(2))  # (t, 2)
        drawn.append(centre + way + astray)
    return drawn


def _dense(way: Stroke, step: float) -> Stroke:
    """The same way with points at most `step` apart: (t, 2) -> (more, 2)."""
    along = np.concatenate([[0.0], np.linalg.norm(np.diff(way, axis=0), axis=1).cumsum()])  # (t,)
    stops = np.linspace(0, along[-1], max(int(along[-1] / step), len(way)))
    return np.stack([np.interp(stops, along, way[:, axis]) for axis in (0, 1)], axis=1)  # (more, 2)


def _arc(start: float, end: float, radius: float = 0.35, centre: tuple[float, float] = (0.5, 0.5)) -> Stroke:
    """Part of a circle, angles in turns from the right, clockwise."""
    turn = 2 * np.pi * np.linspace(start, end, 40)
    return np.stack([np.cos(turn), np.sin(turn)], axis=1) * radius + centre  # (40, 2)


def _heart() -> list[Stroke]:
    turn = np.linspace(0, 2 * np.pi, 80)
    x, y = 16 * np.sin(turn) ** 3, 13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)
    return [np.stack([x, -y], axis=1) / 44 + 0.5]  # (80, 2)


def _spiral() -> list[Stroke]:
    turn = np.linspace(0, 3, 120)
    angle = 2 * np.pi * turn
    return [np.stack([np.cos(angle), np.sin(angle)], axis=1) * turn[:, None] * 0.13 + 0.5]  # (120, 2)


def _lines(*ways: Sequence[tuple[float, float]]) -> list[Stroke]:
    return [np.array(way, dtype=np.float64) for way in ways]


# Drawings to search with, as strokes on the unit square.
DRAWINGS: dict[str, list[Stroke]] = {
    "heart": _heart(),
    "arrow": _lines([(0.08, 0.5), (0.92, 0.5)], [(0.66, 0.28), (0.92, 0.5), (0.66, 0.72)]),
    "triangle": _lines([(0.5, 0.15), (0.88, 0.82), (0.12, 0.82), (0.5, 0.15)]),
    "omega": [
        np.concatenate(
            [[(0.12, 0.84), (0.38, 0.84)], _arc(0.33, 1.17, 0.33, (0.5, 0.46)), [(0.62, 0.84), (0.88, 0.84)]]
        )
    ],
    "smile": [_arc(0, 1), _arc(0.07, 0.43, 0.2), *_lines([(0.38, 0.4)], [(0.62, 0.4)])],
    "note": [
        *_lines([(0.62, 0.75), (0.62, 0.15), (0.8, 0.35)]),
        _arc(0, 1, 0.09, (0.53, 0.77)),
        _arc(0, 1, 0.04, (0.53, 0.77)),
    ],
    "spiral": _spiral(),
}
