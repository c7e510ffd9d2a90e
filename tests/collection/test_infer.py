"""The table of inference, row by row."""

import datetime
from io import BytesIO

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from PIL import Image

from manymodal.collection import read_collection
from manymodal.errors import ManymodalError


def png(shade=0):
    file = BytesIO()
    Image.new("RGB", (4, 4), (shade, 0, 0)).save(file, "PNG")
    return file.getvalue()


def wav():
    file = BytesIO()
    soundfile.write(file, np.zeros(40), 8000, format="WAV")
    return file.getvalue()


def media(content, path=None):
    return {"bytes": content, "path": path}


def inferred(**columns):
    """(kind, several) of each modality of a table with these columns."""
    data = read_collection(pa.table(columns))
    return {name: (m.kind, m.several) for name, m in data.schema.modalities.items()}


TEXTS = [f"a text of its own, {i}" for i in range(30)]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([media(png())] * 3, ("image", False)),
        ([None, media(None, None), media(wav())], ("audio", False)),
        ([media(None, "a.png"), media(None, "b.png"), None], ("image", False)),
        ([[media(png()), media(png())], [], None], ("image", True)),
        ([[media(wav())], [], None], ("audio", True)),
        ([[1.0, 2.0], [3.0, 4.0]], ("vector", False)),
        ([[1, 2], None], ("vector", False)),
        ([[[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]]], ("series", False)),
        ([["one", "two"], []], ("text", True)),
        (TEXTS, ("text", False)),
        ([{"a": 1, "b": "x", "c": None}] * 2, ("table", False)),
    ],
)
def test_a_column_becomes_a_modality_of_its_own(column, expected):
    assert inferred(x=column) == {"x": expected}


@pytest.mark.parametrize(
    "column",
    [
        list(range(30)),
        [0.5] * 30,
        [True, None, False] * 10,
        [datetime.date(2020, 1, 1 + i) for i in range(30)],
        [datetime.datetime(2020, 1, 1 + i) for i in range(30)],
        ["fish", "fruit", None] * 10,
    ],
)
def test_scalars_and_categories_become_columns_of_one_table(column):
    assert inferred(x=column, text=TEXTS, y=list(range(30))) == {"text": ("text", False), "table": ("table", False)}


@pytest.mark.parametrize(
    "column",
    [
        [None] * 2,
        pa.array([None] * 2, pa.string()),
        [[True], [False]],
        [[["a"]], [["b"]]],
        [[[[1.0]]], [[[2.0]]]],
        [[{"a": 1}], []],
        [b"xx", b"yy"],
        [media(b"no known bytes"), media(None, "a.bin")],
        [datetime.time(1), datetime.time(2)],
    ],
)
def test_anything_else_is_a_plain_column_and_said(column):
    data = read_collection(pa.table({"x": column, "text": ["some words", "other words"]}))
    assert list(data.schema.modalities) == ["text"]
    assert any(note.startswith("x: a plain column") for note in data.notes)


def test_when_strings_are_categories():
    def kind(values):
        return next(iter(inferred(x=values).values()))[0]

    assert kind([f"k{i % 20}" for i in range(100)]) == "table"  # 20 distinct
    assert kind([f"k{i % 21}" for i in range(100)]) == "text"
    assert kind([f"k{i % 40}" for i in range(4100)]) == "table"  # under 1 %
    assert kind([f"k{i % 42}" for i in range(4100)]) == "text"
    assert kind(["a", "b", "a", "b"]) == "text"  # not under half
    assert kind(["a", "b", "a", "b", "a"]) == "table"


def test_several_vectors_must_be_said():
    rows = [{"v": [[1.0, 2.0], [3.0, 4.0]]}, {"v": [[5.0, 6.0]]}]
    data = read_collection(rows, config={"modalities": {"v": {"kind": "vector", "several": True}}})
    values = data.values("v")
    assert values.items.tolist() == [0, 0, 1]
    assert values.ordinal.tolist() == [0, 1, 0]
    assert data.schema.modalities["v"].width == 2
    without_kind = read_collection(rows, config={"modalities": {"v": {"several": True}}})
    assert without_kind.schema.modalities["v"] == data.schema.modalities["v"]


def test_several_series_and_several_records_can_be_said():
    rows = [{"s": [[[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]]], "r": [{"a": 1}, {"a": None}, {"a": 2}]}]
    config = {"modalities": {"s": {"kind": "series", "several": True}, "r": {"kind": "table", "several": True}}}
    data = read_collection(rows, config=config)
    assert [v.shape for v in data.values("s").data] == [(1, 2), (2, 2)]
    assert data.values("r").data == [{"a": 1}, {"a": 2}]
    assert data.values("r").ordinal.tolist() == [0, 2]


def test_names_of_files_that_exist_are_pictures_or_sounds(tmp_path):
    for i in range(25):
        (tmp_path / f"{i}.png").write_bytes(png(i))
        (tmp_path / f"{i}.wav").write_bytes(wav())
    lines = [f"{i}.png,{i}.WAV" if i > 22 else f"{i}.png,{i}.wav" for i in range(25)]
    (tmp_path / "t.csv").write_text("photo,call\n" + "\n".join(lines) + "\n", encoding="utf-8")
    data = read_collection(tmp_path / "t.csv")
    assert {name: m.kind for name, m in data.schema.modalities.items()} == {"photo": "image", "call": "audio"}
    assert data.values("photo").data[3] == tmp_path / "3.png"
    assert data.columns(3) == {"photo": "3.png", "call": "3.wav"}


def test_lists_of_files_are_several_pictures(tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    path = str(tmp_path / "a.png")
    assert inferred(x=[[path, path], [path]]) == {"x": ("image", True)}


def test_files_of_which_some_are_missing_are_refused_by_name(tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "t.csv").write_text("photo\na.png\nlost.png\n", encoding="utf-8")
    with pytest.raises(ManymodalError, match=r"'photo' names files.*'lost\.png' is not under"):
        read_collection(tmp_path / "t.csv")


def test_names_of_files_of_which_none_exists_are_texts_and_that_is_said():
    data = read_collection([{"x": f"https://a.b/{i}.png"} for i in range(3)] + [{"x": "y" * 400 + ".png"}])
    assert data.schema.modalities["x"].kind == "text"
    assert any("none of them exists" in note for note in data.notes)


def test_columns_with_a_role_are_no_modalities_unless_named():
    rows = [
        {"id": i, "split": "train", "label": "ab"[i % 2], "group": f"g{i % 5}", "t": f"text {i}"} for i in range(30)
    ]
    data = read_collection(rows, config={"split_by": "group"})
    assert list(data.schema.modalities) == ["t"]
    assert (data.schema.id, data.schema.split, data.schema.label) == ("id", "split", "label")
    named = read_collection(rows, config={"modalities": {"sort": {"kind": "text", "column": "label"}}})
    assert named.schema.label == "label"
    assert named.schema.modalities["sort"].columns == ["label"]
    without = read_collection(rows, config={"label": None})
    assert without.schema.label is None
    assert "label" in without.schema.modalities["table"].columns


@pytest.mark.parametrize("name", ["item", "a:b", "a=b", "a/b"])
def test_columns_with_a_name_that_no_modality_can_have(name):
    with pytest.raises(ManymodalError, match="cannot name a modality.*YAML.*ignore"):
        read_collection([{name: [1.0, 2.0]}])
    config = {"modalities": {"good": {"column": name}}}
    assert list(read_collection([{name: [1.0, 2.0]}], config=config).schema.modalities) == ["good"]
    assert not read_collection([{name: [1.0, 2.0]}], config={"ignore": [name]}).schema.modalities


def test_what_was_inferred_is_said():
    data = read_collection([{"t": f"text {i}", "n": i, "v": [1.0]} for i in range(30)])
    said = "\n".join(data.notes)
    for line in ("id: the row number", "t: text", "v: vector", "table: columns n", "split: 80/10/10"):
        assert line in said
