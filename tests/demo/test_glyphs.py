import io
import unicodedata
from collections import defaultdict

import numpy as np
import pytest
from PIL import Image

from manymodal.demo.blocks import block
from manymodal.demo.faces import FACES, POINTS, Face
from manymodal.demo.families import families, twin_share
from manymodal.demo.frame import SIZE
from manymodal.demo.glyphs import GLYPH_CONFIG, PROPERTIES, glyph_table


@pytest.fixture(scope="module")
def table():
    return glyph_table(limit=1000)  # Latin, Greek, accents and half of Cyrillic


@pytest.fixture(scope="module")
def rows(table):
    return {row["character"]: row for row in table.to_pylist()}


def test_a_row_holds_all_ways_of_looking_at_a_character(rows):
    row = rows["½"]
    assert row["id"] == "U+00BD" and row["name"] == "vulgar fraction one half" and row["family"] == "U+00BD"
    assert {key: row[key] for key in PROPERTIES} == {
        "category": "No",
        "block": "latin-1 supplement",
        "bidirectional": "ON",
        "decomposition": "fraction",
        "numeric": 0.5,
        "combining": 0,
        "mirrored": False,
        "width": "A",
    }
    for face in FACES:
        with Image.open(io.BytesIO(row[face]["bytes"])) as picture:
            assert picture.format == "PNG" and picture.mode == "L" and picture.size == (SIZE, SIZE)
            levels = np.asarray(picture)
        assert levels.min() < 64 and levels.max() == 255  # black on white


def test_properties_of_a_few_characters(rows):
    assert rows["a"]["numeric"] is None and rows["7"]["numeric"] == 7
    assert rows["("]["mirrored"] and not rows["|"]["mirrored"]
    assert rows["é"]["decomposition"] == "canonical" and rows["a"]["decomposition"] == "none"
    assert rows["\u0323"]["combining"] == 220


def test_ids_are_unique_and_in_order(table):
    codes = [int(text[2:], 16) for text in table.column("id").to_pylist()]
    assert codes == sorted(set(codes)) and len(codes) == 1000


def test_what_cannot_be_seen_is_left_out(rows):
    assert all(unicodedata.category(character)[0] not in "CZ" for character in rows)
    for unseen in (" ", "\u00a0", "\u00ad", "\u034f"):  # the last one is named a joiner, and is drawn blank
        assert unseen not in rows


def test_a_face_that_lacks_a_character_or_draws_it_blank_has_no_value(table, rows):
    missing = {face: table.column(face).null_count for face in FACES}
    assert all(0 < count < 1000 for face, count in missing.items() if face != "sans")
    assert Face("sans").glyph("\u2800") is None and Face("sans").outline("\u2800") is None  # braille, no dot
    assert Face("serif").glyph("😀") is None and Face("sans").glyph("😀") is not None
    assert Face("sans").glyph("字") is None and Face("sans").outline("字") is None
    for row in rows.values():
        assert (row["outline"] is None) == (row["sans"] is None)
        assert any(row[face] for face in FACES)


def test_the_same_bytes_each_time(table):
    again = glyph_table(limit=100)
    drawn = [name for name in table.column_names if name != "family"]  # a family's first member may be beyond the limit
    assert again.select(drawn).equals(table.select(drawn).slice(0, 100))
    assert again.equals(glyph_table(limit=100))


def test_an_outline_is_a_pen_path_in_the_unit_square(rows):
    for row in rows.values():
        if row["outline"] is None:
            continue
        path = np.array(row["outline"])
        assert path.ndim == 2 and path.shape[1] == 3 and 1 <= len(path) <= POINTS
        assert path.min() >= 0 and path.max() <= 1
        assert path[0, 2] == 0 and set(path[:, 2]) <= {0.0, 1.0}
    assert [sum(point[2] == 0 for point in rows[character]["outline"]) for character in "lo%"] == [1, 2, 5]


def test_an_outline_lies_where_the_picture_has_its_edge(rows):
    for character in "AgQ§.":
        path = np.array(rows[character]["outline"])
        with Image.open(io.BytesIO(rows[character]["sans"]["bytes"])) as picture:
            ink = np.asarray(picture) < 128
        across, down = np.flatnonzero(ink.any(axis=0)), np.flatnonzero(ink.any(axis=1))
        box = np.array([across[0], down[0], across[-1] + 1, down[-1] + 1]) / SIZE
        assert np.abs(np.concatenate([path[:, :2].min(axis=0), path[:, :2].max(axis=0)]) - box).max() < 1.5 / SIZE


def test_small_marks_are_enlarged_but_stay_smaller_than_letters(rows):
    def height(character):
        with Image.open(io.BytesIO(rows[character]["sans"]["bytes"])) as picture:
            return (np.asarray(picture) < 128).any(axis=1).sum()

    assert SIZE / 4 < height(".") < height("o") < height("O") < SIZE


def test_characters_drawn_alike_or_canonically_equal_are_one_family(rows):
    assert {rows[character]["family"] for character in "AΑА"} == {"U+0041"}  # Latin, Greek, Cyrillic
    assert rows[";"]["family"] == rows["\u037e"]["family"] == "U+003B"  # the Greek question mark
    assert rows["B"]["family"] != rows["A"]["family"]


def test_no_two_families_share_a_drawing_or_are_canonically_equal(rows):
    seen = defaultdict(set)
    for character, row in rows.items():
        seen[unicodedata.normalize("NFD", character)].add(row["family"])
        for face in FACES:
            if row[face]:
                seen[row[face]["bytes"]].add(row["family"])
    assert all(len(names) == 1 for names in seen.values())
    assert len({row["family"] for row in rows.values()}) > 800


def test_rows_are_joined_through_other_rows():
    assert families([["a"], ["b"], ["c", "b"], ["a", "c"], ["d"], []]) == [0, 0, 0, 0, 4, 5]
    assert families([]) == []


def test_the_share_of_twins_counts_those_within_the_rows(table, rows):
    row = {character: number for number, character in enumerate(rows)}
    assert twin_share(table, [row["A"], row["Α"], row["B"], row["C"]]) == 0.5
    assert twin_share(table, [row["A"], row["B"]]) == 0
    assert twin_share(table, []) == 0
    assert 0.05 < twin_share(table, range(len(rows))) < 0.5


@pytest.mark.parametrize(
    ("code", "name"),
    [(0x7F, "basic latin"), (0x80, "latin-1 supplement"), (0x2665, "miscellaneous symbols"), (0x1F600, "emoticons")],
)
def test_block_of_a_code_point(code, name):
    assert block(code) == name


def test_the_collection_reads_it_and_no_twin_is_across_splits(table):
    from manymodal.collection import read_collection

    data = read_collection(table, config=GLYPH_CONFIG)
    assert list(data.schema.modalities) == [*FACES, "outline", "name", "properties"]
    sides = defaultdict(set)
    for family, split in zip(table.column("family").to_pylist(), data.split, strict=True):
        sides[family].add(split)
    assert all(len(names) == 1 for names in sides.values())
    assert set().union(*sides.values()) == {"train", "dev", "test"}
    pictures = data.values("serif", "test")
    assert len(pictures) == sum(table.column("serif")[row].is_valid for row in data.rows("test").tolist())
    assert data.values("outline", "dev").data[0].shape[1] == 3
