import io

import numpy as np
import pytest
from PIL import Image

from manymodal.demo.drawing import DRAWINGS, draw
from manymodal.demo.faces import Face
from manymodal.demo.frame import SIZE
from manymodal.errors import ManymodalError


def levels(picture):
    with Image.open(io.BytesIO(picture)) as opened:
        assert opened.format == "PNG" and opened.mode == "L" and opened.size == (SIZE, SIZE)
        return np.asarray(opened).astype(float)


def likeness(one, other):
    """Cosine of two pictures' ink, a little blurred."""
    a, b = (255 - np.asarray(Image.fromarray(levels(x).astype(np.uint8)).resize((16, 16)), float) for x in (one, other))
    return (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())


@pytest.mark.parametrize("name", DRAWINGS)
@pytest.mark.parametrize("waver", [0, 0.02])
def test_a_drawing_fills_its_picture_and_stays_inside(name, waver):
    picture = levels(draw(DRAWINGS[name], waver=waver))
    ink = picture < 128
    reach = max(np.ptp(np.flatnonzero(ink.any(axis=axis))) for axis in (0, 1))
    assert 0.7 * SIZE < reach < SIZE
    assert (picture[[0, -1]] == 255).all() and (picture[:, [0, -1]] == 255).all()


@pytest.mark.parametrize(
    ("name", "character"), [("omega", "Ω"), ("triangle", "△"), ("arrow", "→"), ("note", "♪"), ("heart", "♡")]
)
def test_a_drawing_is_most_like_the_glyph_it_means(name, character):
    face = Face("sans")
    likely = {other: likeness(draw(DRAWINGS[name], waver=0.01), face.glyph(other).picture) for other in "Ω△→♪♡B="}
    assert max(likely, key=likely.get) == character


def test_a_hand_is_never_the_same_twice_but_a_seed_is():
    heart = DRAWINGS["heart"]
    assert draw(heart, waver=0.02, seed=1) == draw(heart, waver=0.02, seed=1) != draw(heart, waver=0.02, seed=2)
    assert draw(heart, seed=1) == draw(heart, seed=2)


def test_where_on_the_canvas_hardly_matters_and_how_large_matters_a_little():
    heart = DRAWINGS["heart"]
    moved, small = [stroke + 0.125 for stroke in heart], [stroke * 0.4 + 0.3 for stroke in heart]
    assert likeness(draw(moved), draw(heart)) > 0.8
    assert (levels(draw(small)) < 128).any(axis=1).sum() < (levels(draw(heart)) < 128).any(axis=1).sum()


def test_strokes_may_be_plain_lists_and_dots():
    assert draw([[(0.2, 0.5), (0.8, 0.5)]]) == draw([np.array([[0.2, 0.5], [0.8, 0.5]])])
    for waver in (0, 0.02):
        assert (levels(draw([[(0.5, 0.5)]], waver=waver)) < 128).any()


def test_nothing_drawn_is_refused():
    with pytest.raises(ManymodalError, match="no stroke"):
        draw([])


@pytest.mark.parametrize("stroke", [[], [1.0, 2.0], [(1, 2, 3)], [(0, float("nan"))], [(0, 1), (2,)], "ab"])
def test_a_broken_stroke_is_refused_by_number(stroke):
    with pytest.raises(ManymodalError, match=r"stroke 1 .*finite"):
        draw([[(0, 0), (1, 1)], stroke])
