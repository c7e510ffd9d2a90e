"""A further table is read by the schema of an earlier one."""

import pytest

from manymodal.collection import read_collection
from manymodal.errors import ManymodalError

ROWS = [
    {
        "id": f"a{i}",
        "label": ["owl", "ant"][i % 2],
        "split": ["train", "dev", "test"][i % 3],
        "text": f"text {i}",
        "captions": [f"one {i}", f"two {i}"],
        "v": [i, 1.0],
        "s": [[1.0, 2.0, 3.0]],
        "n": i,
        "diet": ["fish", "fruit"][i % 2],
        "pen": {"a": i, "b": "x"},
    }
    for i in range(12)
]
SCHEMA = read_collection(ROWS).schema


def with_(**changed):
    return [row | changed for row in ROWS]


def without(*names):
    return [{key: value for key, value in row.items() if key not in names} for row in ROWS]


def test_the_same_table_reads_the_same():
    first, second = read_collection(ROWS), read_collection(ROWS, schema=SCHEMA)
    assert second.schema is SCHEMA
    assert second.label_names == ["ant", "owl"]
    assert (first.labels == second.labels).all()
    for name in SCHEMA.modalities:
        assert first.values(name).items.tolist() == second.values(name).items.tolist()


def test_nothing_is_inferred_and_further_columns_are_plain():
    data = read_collection(with_(extra="one text or another", id2=[1.0]), schema=SCHEMA)
    assert data.schema is SCHEMA
    assert data.columns(0)["extra"] == "one text or another"


def test_an_absent_column_is_a_modality_missing_everywhere_and_that_is_said():
    data = read_collection(without("v", "n"), schema=SCHEMA)
    assert len(data.values("v")) == 0
    assert data.values("table").data[1] == {"n": None, "diet": "fruit"}
    assert "v: missing everywhere (no column 'v')" in data.notes
    assert "table: no column 'n', taken as null" in data.notes


def test_absent_roles_are_said():
    data = read_collection(without("id", "label", "split"), schema=SCHEMA)
    assert data.ids[:2] == ["0", "1"]
    assert set(data.labels) == {-1}
    said = "\n".join(data.notes)
    assert "id: no column 'id', so ids are the row numbers" in said
    assert "label: no column 'label', so no item has a label" in said
    assert "split: no column 'split', so rows are split by a hash" in said


def test_labels_that_the_schema_does_not_know_come_after_its_own():
    data = read_collection(with_(label="emu")[:1] + ROWS[1:], schema=SCHEMA)
    assert data.label_names == ["ant", "owl", "emu"]
    assert data.labels.tolist()[:3] == [2, 0, 1]
    assert SCHEMA.label_names == ["ant", "owl"]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (with_(text=["a list"]), "'text': column 'text' is list<.*string>; the schema says one text value per row"),
        (with_(captions="a text"), "'captions' is string; the schema says a list of text values"),
        (with_(v="numbers"), "modality 'v': column 'v' is string"),
        (with_(s=[1.0]), "modality 's': column 's' is list<.*double>"),
        (with_(n="many"), "'table': column 'n' holds text; the schema says number"),
        (with_(diet=3), "column 'diet' holds number; the schema says text"),
        (with_(diet=["fish"]), "column 'diet' holds a list"),
        (with_(pen={"a": "x", "b": "x"}), "'pen': column 'a' holds text; the schema says number"),
        ([ROWS[0], ROWS[1] | {"v": [1.0, 2.0, 3.0]}], "item 'a1': the vector has 3 numbers, the others 2"),
        (with_(v=[1.0, 2.0, 3.0]), "item 'a0': the vector has 3 numbers, the others 2"),
        (with_(s=[[1.0, 2.0]]), "item 'a0': a step .* number of channels than 3"),
    ],
)
def test_another_type_or_width_is_refused_by_name(rows, reason):
    with pytest.raises(ManymodalError, match=reason):
        read_collection(rows, schema=SCHEMA)


def test_columns_of_nulls_fit_every_kind():
    data = read_collection(with_(v=None, text=None, captions=[], diet=None, pen=None), schema=SCHEMA)
    assert [len(data.values(m)) for m in ("v", "text", "captions", "table", "pen")] == [0, 0, 0, 12, 0]


def test_a_csv_is_read_as_the_schema_says(tmp_path):
    schema = read_collection([{"code": f"{i:03}", "word": f"word {i}"} for i in range(5)], config={"id": "code"}).schema
    (tmp_path / "t.csv").write_text("code,word\n007,12\n008,13\n", encoding="utf-8")
    data = read_collection(tmp_path / "t.csv", schema=schema)
    assert data.ids == ["007", "008"]
    assert data.values("word").data == ["12", "13"]
