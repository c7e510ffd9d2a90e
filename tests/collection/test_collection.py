"""Rows, splits, labels, values, gaps and broken values of a collection."""

import datetime
import json
import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from manymodal.collection import Values, read_collection
from manymodal.errors import ManymodalError

PNG = b"\x89PNG\r\n\x1a\n" + b"..."  # enough to be told from a sound; never decoded here


def rows(n=6, **columns):
    return [{"id": f"i{i}", **{name: column[i] for name, column in columns.items()}} for i in range(n)]


def test_values_are_flat_and_know_their_item_place_and_label():
    data = read_collection(
        rows(
            4,
            split=["train", "test", "train", "dev"],
            label=["b", None, "a", "b"],
            caption=[["one", "two"], [], ["three", None, "four"], None],
        )
    )
    values = data.values("caption")
    assert values.data == ["one", "two", "three", "four"]
    assert values.items.tolist() == [0, 0, 2, 2]
    assert values.ordinal.tolist() == [0, 1, 0, 2]
    assert values.labels.tolist() == [1, 1, 0, 0]
    assert data.values("caption", "test").items.tolist() == []
    assert data.values("caption", "train").items.tolist() == [0, 0, 2, 2]
    assert (values.items.dtype, values.labels.dtype, values.ordinal.dtype) == (np.int64,) * 3
    assert isinstance(values, Values)


def test_values_of_every_kind(tmp_path):
    data = read_collection(
        rows(
            3,
            photo=[{"bytes": PNG, "path": "x.png"}, {"bytes": None, "path": "y.png"}, {"bytes": None, "path": ""}],
            v=[[1, 2], [3, 4], []],
            s=[[[1.0, 2.0]], None, [[3.0, 4.0], [5.0, 6.0]]],
            traits=[{"n": 1.5, "on": datetime.date(2020, 1, 2)}, {"n": float("nan"), "on": None}, None],
        )
    )
    photo = data.values("photo")
    assert photo.data[0] == PNG
    assert photo.data[1] == Path("y.png")
    assert list(photo.data[1:]) == [Path("y.png")]
    assert photo.items.tolist() == [0, 1]
    v = data.values("v")
    assert np.array_equal(v.data, [[1, 2], [3, 4]])
    assert v.data[0].dtype == np.float32
    assert v.data[0].flags.writeable
    s = data.values("s")
    assert [x.tolist() for x in s.data] == [[[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]]]
    assert s.items.tolist() == [0, 2]
    assert data.values("traits").data == [{"n": 1.5, "on": datetime.date(2020, 1, 2)}]


def test_values_do_not_depend_on_how_the_table_is_cut():
    whole = pa.Table.from_pylist(
        rows(6, v=[[i, 1.0] if i != 3 else None for i in range(6)], c=[["a"] * i for i in range(6)])
    )
    whole = whole.set_column(1, "v", whole["v"].cast(pa.list_(pa.float64(), 2)))
    cut = pa.concat_tables([whole.slice(0, 1), whole.slice(1, 3), whole.slice(4)])
    for name in ("v", "c"):
        a, b = (read_collection(t).values(name) for t in (whole, cut))
        assert np.array_equal(a.data, b.data)
        assert a.items.tolist() == b.items.tolist()
        assert a.ordinal.tolist() == b.ordinal.tolist()
    assert read_collection(cut.slice(2)).values("v").data[0].tolist() == [2.0, 1.0]


def test_rows_of_a_split():
    data = read_collection(rows(4, split=["train", "test", "train", "unused"], v=[[1.0]] * 4))
    assert data.rows().tolist() == data.rows("all").tolist() == [0, 1, 2, 3]
    assert data.rows("test").tolist() == [1]
    assert sorted([*data.rows("train"), *data.rows("validation")]) == [0, 2]
    assert len(data) == 4


def test_a_split_without_rows_is_refused_with_what_there_is():
    data = read_collection(rows(3, split=["test"] * 3, v=[[1.0]] * 3))
    with pytest.raises(ManymodalError, match=r"no rows in split 'dev'; there are test 3. Use --split all"):
        data.rows("dev")
    with pytest.raises(ManymodalError, match="allowed are train, dev, test and all"):
        data.values("v", "trian")


def test_ids_are_strings_and_unique():
    data = read_collection([{"id": i, "v": [1.0]} for i in (7, 8)])
    assert data.ids == ["7", "8"]
    assert data.row_of("8") == 1
    with pytest.raises(ManymodalError, match=r"no item with id '9'.*'7'"):
        data.row_of("9")
    with pytest.raises(ManymodalError, match=r"two items have the id '7' \(rows 0 and 2"):
        read_collection([{"id": i, "v": [1.0]} for i in (7, 8, 7)])
    with pytest.raises(ManymodalError, match="row 1 has no id"):
        read_collection([{"id": i, "v": [1.0]} for i in ("a", None)])


def test_whole_numbers_that_became_floats_beside_gaps_are_whole():
    data = read_collection([{"id": float(i), "label": label, "v": [1.0]} for i, label in enumerate((2.0, None, 10.0))])
    assert data.ids == ["0", "1", "2"]
    assert data.label_names == ["10", "2"]
    assert data.labels.tolist() == [1, -1, 0]


def test_a_label_that_is_nan_is_unknown():
    data = read_collection([{"label": math.nan if i == 1 else float(i % 3), "a": f"text {i}"} for i in range(50)])
    assert data.label_names == ["0", "1", "2"] and data.labels.tolist()[:3] == [0, -1, 2]


def test_an_item_without_any_value_is_kept_and_counted():
    data = read_collection(rows(3, v=[[1.0], None, []], c=[["a"], [], None]))
    assert len(data) == 3
    assert "2 items without a value in any modality (the first: 'i1')" in data.notes


def test_an_unknown_modality_is_named():
    data = read_collection(rows(2, caption=["one text", "two texts"]))
    with pytest.raises(ManymodalError, match="no modality 'captoin'; did you mean 'caption'"):
        data.values("captoin")


SPECIES = {"label": "kind", "modalities": {"name": {"kind": "text", "column": "name", "per": "label"}}}


def test_a_label_modality_has_one_value_per_label():
    data = read_collection(
        rows(
            6,
            kind=["b", "a", "b", None, "c", "a"],
            name=[None, "ant", "bee", "stray", None, "ant"],
            split=["train", "test", "train", "train", "dev", "test"],
            v=[[1.0]] * 6,
        ),
        config=SPECIES,
    )
    values = data.values("name")
    assert dict(zip(values.labels.tolist(), values.data, strict=True)) == {0: "ant", 1: "bee"}
    assert values.items.tolist() == [-1, -1]
    assert data.values("name", "train").data == ["bee"]
    assert data.value_of("name", "i0") == ["bee"]
    assert data.value_of("name", "i3") == []
    assert any("name: the values of 1 row without a label" in note for note in data.notes)


def test_a_label_modality_with_lists_and_vectors():
    config = {"label": "kind", "modalities": {name: {"column": name, "per": "label"} for name in ("c", "v", "t")}}
    data = read_collection(
        rows(3, kind=["a", "b", "a"], c=[["x", "y"], ["z"], ["x", "y"]], v=[[1.0], [2.0], [1.0]], t=[1, 2, 1]),
        config=config,
    )
    assert data.values("c").data == ["x", "y", "z"]
    assert data.values("c").ordinal.tolist() == [0, 1, 0]
    assert np.array_equal(data.values("v").data, [[1.0], [2.0]])
    assert data.values("t").data == [{"t": 1}, {"t": 2}]


def test_a_label_whose_rows_differ_is_refused_with_both_values():
    with pytest.raises(ManymodalError, match=r"label 'a' differ: 'ant' \(row 0\) and 'aunt' \(row 2\)"):
        read_collection(rows(3, kind=["a", "b", "a"], name=["ant", "bee", "aunt"]), config=SPECIES)


BROKEN = [
    ([[1.0, 2.0], [1.0, float("nan")], [1.0, 2.0]], "1 of 2 numbers are not finite"),
    ([[1.0, 2.0], [1.0, float("inf")], [1.0, 2.0]], "1 of 2 numbers are not finite"),
    ([[1.0, 2.0], [1.0, None], [1.0, 2.0]], "1 of 2 numbers are not finite"),
    ([[1.0, 2.0], [1e300, 2.0], [1.0, 2.0]], "1 of 2 numbers are not finite"),
    ([[1.0, 2.0], [1.0], [1.0, 2.0]], "the vector has 1 numbers, the others 2"),
    ([[[1.0]], [[1.0], [float("nan")]], [[1.0]]], "1 of 2 numbers are not finite"),
    ([[[1.0]], [[1.0], [1.0, 2.0]], [[1.0]]], "number of channels than 1"),
    ([[[1.0]], [[1.0], []], [[1.0]]], "number of channels than 1"),
    ([[[1.0]], [[1.0], None], [[1.0]]], "number of channels than 1"),
    ([1.0, float("inf"), 2.0], "'x' is infinite"),
]


@pytest.mark.parametrize(("column", "reason"), BROKEN)
def test_a_broken_value_stops_the_run_by_item_column_and_reason(column, reason):
    name = "table" if isinstance(column[0], float) else "x"
    with pytest.raises(ManymodalError, match=rf"'{name}' \(column x\), item 'i1': .*{reason}.*--on-bad-value skip"):
        read_collection(rows(3, x=column)).values(name)


@pytest.mark.parametrize(("column", "reason"), BROKEN)
def test_a_broken_value_is_skipped_and_listed_once_where_that_is_allowed(column, reason):
    name = "table" if isinstance(column[0], float) else "x"
    data = read_collection(rows(3, x=column), on_bad_value="skip")
    for _ in range(2):
        assert data.values(name).items.tolist() == [0, 2]
    [bad] = data.bad
    assert (bad.modality, bad.id) == (name, "i1")
    assert reason in bad.reason


def test_a_broken_value_in_another_split_does_not_stop_this_one():
    data = read_collection(rows(4, split=["train", "train", "dev", "test"], v=[[1.0], [2.0], [3.0], [float("nan")]]))
    assert len(data.values("v", "train")) == 2
    with pytest.raises(ManymodalError, match="item 'i3'"):
        data.values("v", "test")


def test_what_an_encoder_cannot_use_is_refused_or_listed():
    photos = [{"bytes": PNG, "path": None}] * 2
    data = read_collection(rows(2, photo=photos))
    with pytest.raises(ManymodalError, match=r"'photo' \(column photo\), item 'i1': truncated"):
        data.refuse("photo", data.values("photo"), 1, "truncated")
    data = read_collection(rows(2, photo=photos), on_bad_value="skip")
    data.refuse("photo", data.values("photo"), 1, "truncated")
    assert [(bad.modality, bad.id, bad.reason) for bad in data.bad] == [("photo", "i1", "truncated")]


def test_the_columns_shown_with_a_result_are_json():
    data = read_collection(
        [
            {
                "id": 5,
                "photo": {"bytes": PNG, "path": "a.png"},
                "sound": {"bytes": b"RIFF....WAVE", "path": None},
                "pages": [{"bytes": PNG, "path": "b.png"}, {"bytes": PNG, "path": None}],
                "captions": ["one", "two"],
                "v": [1.0],
                "s": [[1.0]],
                "n": float("nan"),
                "m": 3,
                "on": datetime.date(2020, 1, 2),
                "at": datetime.time(3, 4),
                "pen": {"a": 1, "b": None},
                "blob": b"xx",
            }
        ]
    )
    shown = data.columns(0)
    assert shown == {
        "id": 5,
        "photo": "a.png",
        "pages": ["b.png", None],
        "captions": ["one", "two"],
        "n": None,
        "m": 3,
        "on": "2020-01-02",
        "at": "03:04:00",
        "pen": {"a": 1, "b": None},
    }
    json.dumps(shown, allow_nan=False)


def test_an_items_own_values():
    data = read_collection(rows(3, c=[["a", None, "b"], ["c"], []]))
    assert data.value_of("c", "i0") == ["a", "b"]
    assert data.value_of("c", "i2") == []


def test_a_collection_needs_neither_torch_nor_what_decodes_media():
    code = (
        "import sys, manymodal.collection as c; c.read_collection([{'t': 'some text'}]);"
        "print([m for m in ('torch', 'transformers', 'PIL', 'soundfile', 'polars') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_reading_is_quick():
    table = pa.table(
        {
            "c": [[f"caption {k} of {i}" for k in range(5)] for i in range(8000)],
            "v": pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(8000 * 384, dtype=np.float32)), 384),
        }
    )
    start = time.perf_counter()
    data = read_collection(table)
    assert len(data.values("c")) == 40_000
    assert len(data.values("v", "train")) > 6000
    assert time.perf_counter() - start < 3  # about 0.1 s on an idle core
