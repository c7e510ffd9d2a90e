"""What is shown of a series: the path of a pen as it was drawn, anything else as grey levels."""

import io

import numpy as np
import pytest
from PIL import Image

from manymodal.showing import is_path, shown

CROSS = [[0.1, 0.5, 0], [0.9, 0.5, 1], [0.5, 0.1, 0], [0.5, 0.9, 1]]


def seen(series):
    picture_of = shown(np.array(series, dtype=np.float32), "series")
    with Image.open(io.BytesIO(picture_of.picture)) as picture:
        return np.asarray(picture.convert("L"))


def test_the_path_of_a_pen_is_drawn_and_its_way_through_the_air_is_not():
    drawn = seen(CROSS)
    side = len(drawn)
    assert drawn.shape == (side, side) and drawn[side // 2, side // 4] == drawn[side // 4, side // 2] == 0
    assert drawn[int(0.3 * side), int(0.7 * side)] == 255  # between the two strokes


@pytest.mark.parametrize(
    "series",
    [
        [[0.1, 0.5], [0.9, 0.5]],
        [[0.1, 0.5, 0]],
        [[0.1, 0.5, 0], [0.9, 0.5, 0.5]],
        [[0.1, 0.5, 0], [1.9, 0.5, 1]],
        [[0.1, 0.5, 0], [0.9, 0.5, 0]],
    ],
)
def test_what_is_no_path_is_shown_as_levels(series):
    assert not is_path(np.array(series)) and is_path(np.array(CROSS))
    drawn = seen(series)
    assert drawn.shape[1] == 2 * drawn.shape[0]
