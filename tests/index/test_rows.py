from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
import torch

import index_cases as cases
from manymodal.errors import ManymodalError
from manymodal.index.layout import ITEMS, LABELS, schema_of
from manymodal.index.rows import table_of

META = cases.meta(labels=True)
SCHEMA = schema_of(META, cases.COLUMNS, ITEMS)


def column(name, values):
    """What becomes of a plain column of one portion."""
    given = cases.records([str(i) for i in range(len(values))], columns={name: values})
    return table_of(given, META, SCHEMA)[cases.STORED[name]].to_pylist()


def test_values_stand_beside_their_vectors():
    given = cases.records(["x", "y", "z"], a=[2, 0, 1])
    row, gap, last = table_of(given, META, SCHEMA).to_pylist()
    assert (
        row["vectors__a"] == given.values["a"].vectors[:2].tolist()
        and last["vectors__a"] == given.values["a"].vectors[2:].tolist()
    )
    assert (row["places__a"], row["texts__a"], row["types__a"]) == ([0, 1], ["t0", "t1"], ["image/png", None])
    assert row["media__a"] == [b"x", None] and row["label"] == "cat"
    assert gap["vectors__a"] is None and gap["media__a"] is None and row["vectors__b"] is None and row["year"] is None
    assert row["vectors__item"] == [given.composed[0].tolist()]


def test_an_item_without_a_composed_vector():
    given = replace(cases.records(["x", "y"]), composed=torch.tensor([[0.0] * 4, [1.0, 0, 0, 0]]))
    assert table_of(given, META, SCHEMA)["vectors__item"].to_pylist() == [None, [[1.0, 0, 0, 0]]]


@pytest.mark.parametrize(
    ("name", "came", "stored"),
    [
        ("year", pa.array([1, None], pa.int8()), [1, None]),
        ("year", pa.array([1.0, 2.0]), [1, 2]),
        ("year", pa.nulls(2), [None, None]),
        ("price", pa.array([1, 2]), [1.0, 2.0]),
        ("price", pa.array([0.5, float("nan")], pa.float32()), [0.5, None]),
        ("kind of", pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        ("kind of", pa.array([Decimal("1.50")]), ["1.50"]),
        ("seen", pa.array([datetime(2020, 1, 2)], pa.timestamp("us")), [date(2020, 1, 2)]),
        ("tags", pa.array([["a"], None, []], pa.large_list(pa.large_string())), [["a"], None, []]),
        ("tags", pa.array([[], None], pa.list_(pa.null())), [[], None]),
    ],
)
def test_a_column_of_a_like_type_is_cast(name, came, stored):
    assert column(name, came) == stored


@pytest.mark.parametrize(
    ("name", "came", "said"),
    [
        ("year", pa.array(["1999"]), r"'year' came as string \(text\); in this index it is int64 \(number\)"),
        ("year", pa.array([2.5]), r"'year' came as double .* int64 .*2.5"),
        ("year", pa.array([True]), r"bool \(boolean\)"),
        ("price", pa.array([2**60 + 1]), "'price' came as int64 .* double"),
        ("kind of", pa.array([3]), r"'kind of' came as int64 \(number\)"),
        ("seen", pa.array([datetime(2020, 1, 2, 3)], pa.timestamp("us")), "a time of day would be lost"),
        ("tags", pa.array([[1]]), r"list<.*int64> \(record\); in this index it is list<.*string> \(list\)"),
        ("tags", pa.array(["a"]), r"string \(text\); in this index it is list"),
    ],
)
def test_a_column_of_another_type_is_refused_by_name(name, came, said):
    with pytest.raises(ManymodalError, match=said):
        column(name, came)


def test_records_lose_no_field():
    kind = pa.struct([("a", pa.int64()), ("b", pa.string())])
    meta = cases.meta(columns={"who": kind})
    schema = schema_of(meta, {"who": kind}, ITEMS)
    fewer, more = (cases.records(["1"], columns={"who": [who]}) for who in ({"a": 1}, {"a": 1, "c": 2}))
    assert table_of(fewer, meta, schema)["who"].to_pylist() == [{"a": 1, "b": None}]
    with pytest.raises(ManymodalError, match="'who'"):
        table_of(more, meta, schema)


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (["a", "b", "a"], "1 ids come more than once, such as 'a'"),
        (["a", ""], "row 1 has an empty id"),
        (["a", "\ud800"], "no valid Unicode"),
    ],
)
def test_ids_that_name_no_item(ids, said):
    with pytest.raises(ManymodalError, match=said):
        table_of(cases.records(ids), META, SCHEMA)


def test_vectors_of_another_space():
    with pytest.raises(ManymodalError, match="vectors of 'a' have d = 5, this index has d = 4"):
        table_of(cases.records(["x"], d=5), META, SCHEMA)
    given = cases.records(["x"])
    given.values["a"].vectors[0, 1] = float("nan")
    with pytest.raises(ManymodalError, match="vectors of 'a' hold NaN"):
        table_of(given, META, SCHEMA)


def test_modalities_of_another_index_or_table():
    given = cases.records(["x"])
    with pytest.raises(ManymodalError, match="no modality 'sound'; it has: a, b"):
        table_of(replace(given, values={"sound": given.values["a"]}), META, SCHEMA)
    with pytest.raises(ManymodalError, match="no modality 'kind'"):
        table_of(replace(given, values={"kind": given.values["a"]}), META, SCHEMA)
    with pytest.raises(ManymodalError, match="no modality 'a'; it has: kind"):
        table_of(given, META, schema_of(META, {}, LABELS))


def test_labels_have_no_columns():
    rows = table_of(cases.labels(["cat", "dog"]), META, schema_of(META, {}, LABELS))
    assert rows["id"].to_pylist() == ["cat", "dog"] and rows["texts__kind"].to_pylist() == [["t0"], ["t0"]]
