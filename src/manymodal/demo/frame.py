"""Where a glyph or a drawing sits in its picture: one rule for both, so that a sketch meets glyphs on equal terms.

Lengths here are in em, the font's own unit (a capital is about 0.73 em high); y points down from the baseline.

A picture that shows the em as it is keeps sizes and heights but spends most of its pixels on nothing, and no one draws
a full stop to scale. A picture fitted to the ink loses what tells a full stop from a black circle. So the frame goes
most of the way to the ink (`FIT`): its side grows with the ink's longest side to the power `FIT`, and its centre moves
by that share from the middle of the capitals to the middle of the ink. Of 0, 1/4, 1/2, 3/4 and 1, 3/4 found the same
character in another face most often by pixels alone, on average over the faces. Side bearings say nothing about a
shape, so ink is always centred across.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZE = 48  # pixels along a picture's side
FIT = 0.75  # how far the frame goes from the em (0) to the ink (1)
MARGIN = (
    1.1  # the frame's side over the ink's longest side, where that is 1 em; elsewhere there is at least as much room
)
MIDDLE = -0.365  # the middle of a capital letter


@dataclass(frozen=True)
class Frame:
    """A square, by its centre and side in em; it becomes the whole picture."""

    x: float
    y: float
    side: float

    @classmethod
    def around(cls, left: float, top: float, right: float, bottom: float) -> Frame:
        """The frame for ink with this bounding box (em, y down); all of the ink is inside."""
        longest = max(right - left, bottom - top, 1e-3)
        side = MARGIN * max(longest**FIT, longest)
        y = (1 - FIT) * MIDDLE + FIT * (top + bottom) / 2
        # Ink far from the line (accents) must not leave the frame: move it no further than needed.
        room = side / MARGIN / 2
        y = min(max(y, bottom - room), top + room)
        return cls((left + right) / 2, y, side)

    def unit(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (n, 2) in em -> (n, 2) in the picture's unit square, x to the right and y down."""
        return (points - (self.x, self.y)) / self.side + 0.5


def png(ink: Image.Image) -> bytes:
    """A square of ink (8-bit, 255 is full) as the PNG of a picture: black on white, SIZE x SIZE, grey."""
    picture = Image.eval(ink.resize((SIZE, SIZE), Image.Resampling.BOX), lambda level: 255 - level)
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=False)
    return file.getvalue()
