import numpy as np
import pytest
from PIL import Image

from manymodal.demo import sheet
from manymodal.demo.drawing import DRAWINGS, draw
from manymodal.demo.sheet import SheetHit, SheetRow, contact_sheet
from manymodal.errors import ManymodalError

HEART = draw(DRAWINGS["heart"])
LONG = "greek capital letter alpha with psili and perispomeni and prosgegrammeni and whatever else may come to it"


def size(path):
    with Image.open(path) as opened:
        assert opened.format == "PNG"
        return opened.size


def test_rows_of_every_form_become_one_png(tmp_path):
    hits = [SheetHit("heart", 0.91, HEART, match=True), SheetHit(LONG, -0.2, HEART), SheetHit("no picture", 0.1)]
    rows = [
        SheetRow("name → sans", hits, words="black heart suit"),
        SheetRow("drawing → name", [SheetHit("white heart suit", 0.5)], picture=HEART),
        SheetRow("drawing + name → sans", hits, words=LONG, picture=HEART),
        SheetRow("nothing found", [], words="x"),
    ]
    path = tmp_path / "new folder" / "sheet.png"
    contact_sheet(rows, path, heading="Glyphs")
    contact_sheet(rows[:1], tmp_path / "one.png")
    wide, high = size(path)
    assert (wide, high) > size(tmp_path / "one.png")[:1] and high > 4 * 96
    assert [file.name for file in path.parent.iterdir()] == ["sheet.png"]


def test_more_hits_make_it_wider_and_a_long_name_higher(tmp_path):
    def made(hits):
        contact_sheet([SheetRow("title", hits, words="x")], tmp_path / "sheet.png")
        return size(tmp_path / "sheet.png")

    short, many, long = made([SheetHit("a", 1)]), made([SheetHit("a", 1)] * 5), made([SheetHit(LONG, 1)])
    assert many[0] > short[0] and many[1] == short[1]
    assert long[0] == short[0] and long[1] > short[1]


def test_names_beside_one_another_do_not_touch(tmp_path):
    wide = SheetHit("W" * 200, 0.5, HEART)
    contact_sheet([SheetRow("title", [wide] * 3, words="W" * 300, picture=HEART)], tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as opened:
        dark = np.asarray(opened.convert("L")) < 100
    first = sheet._EDGE + sheet._PAD + sheet._QUERY
    for left in (first + cell * sheet._CELL for cell in range(4)):
        assert not dark[:, left - 3 : left + 3].any()


def test_words_are_wrapped_broken_and_cut():
    font, width = sheet._font(14), 120
    for text in (LONG, "x" * 400, "a", "", "two words"):
        lines = sheet._wrap(text, font, width, 4)
        assert len(lines) <= 4 and all(font.getlength(line) <= width for line in lines)
    assert sheet._wrap("", font, width, 4) == []
    assert sheet._wrap("two words", font, width, 4) == ["two words"]
    assert sheet._wrap(LONG, font, width, 4)[-1].endswith("…")
    assert "".join(sheet._wrap("x" * 20, font, width, 4)) == "x" * 20


def test_no_rows_are_refused(tmp_path):
    with pytest.raises(ManymodalError, match="at least one row"):
        contact_sheet([], tmp_path / "sheet.png")


def test_a_path_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ManymodalError, match="cannot write"):
        contact_sheet([SheetRow("title", [], words="x")], tmp_path / "file" / "sheet.png")
