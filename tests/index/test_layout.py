import json

import pyarrow as pa
import pytest

import index_cases as cases
from manymodal.errors import ManymodalError
from manymodal.index.layout import META, read_meta, schema_of, stored_names, stored_type, words_of, write_meta


def test_what_is_written_is_read(tmp_path):
    written = cases.meta(labels=True).model_copy(update={"tables": "tables-0123abcd"})
    write_meta(tmp_path, written)
    assert read_meta(tmp_path) == written
    assert [path.name for path in tmp_path.iterdir()] == [META]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "has no index.json: not an index"),
        (b"", "is damaged"),
        (b"{", "is damaged"),
        (b"\xff\xfe\x00", "is damaged"),
        (b"null", "is damaged"),
        (b'{"format": 1}', "is damaged"),
        (
            b'{"format": 2, "manymodal": "9.1", "news": []}',
            "has format 2, this version reads 1: .* manymodal 9.1; install",
        ),
        (b'{"format": 2}', "has format 2"),
        (b"[" * 100_000, "is damaged"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path, content, said):
    if content is not None:
        (tmp_path / META).write_bytes(content)
    with pytest.raises(ManymodalError, match=said):
        read_meta(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("format", 2, "has format 2"),  # whatever else it says, and though all of it could be read
        ("tables", "../elsewhere", "damaged"),
        ("tables", "/etc", "damaged"),
        ("tables", "tables-0123abcd/../x", "damaged"),
        ("engine", "faiss", "damaged"),
        ("unheard_of", 1, "damaged"),
    ],
)
def test_one_wrong_entry(tmp_path, key, value, said):
    content = cases.meta().model_dump(mode="json") | {"tables": "tables-0123abcd", key: value}
    (tmp_path / META).write_text(json.dumps(content))
    with pytest.raises(ManymodalError, match=said):
        read_meta(tmp_path)


def test_names_that_a_table_can_have():
    names = ["year", "Year", "kind of", "kind.of", "__x", "été", "id", "", "2"]
    stored = stored_names(names, ("id", "label"))
    assert list(stored) == names and stored["year"] == "year"
    assert len({name.lower() for name in stored.values()} | {"id", "label"}) == len(names) + 2
    assert all(
        name.isascii() and name.replace("_", "a").isalnum() and not name.startswith("_") for name in stored.values()
    )


@pytest.mark.parametrize(
    ("kind", "words", "stored"),
    [
        (pa.int8(), "number", pa.int64()),
        (pa.uint64(), "number", pa.uint64()),
        (pa.float32(), "number", pa.float64()),
        (pa.bool_(), "boolean", pa.bool_()),
        (pa.large_string(), "text", pa.string()),
        (pa.decimal128(5, 2), "text", pa.string()),
        (pa.null(), "text", pa.string()),
        (pa.dictionary(pa.int8(), pa.string()), "text", pa.string()),
        (pa.dictionary(pa.int8(), pa.int32()), "number", pa.int64()),
        (pa.date32(), "date", pa.date32()),
        (pa.timestamp("us"), "date", pa.timestamp("us")),
        (pa.large_list(pa.int32()), "record", pa.list_(pa.int64())),
        (pa.list_(pa.float32(), 3), "record", pa.list_(pa.float64())),
        (
            pa.struct([("a", pa.int8()), ("b", pa.list_(pa.null()))]),
            "record",
            pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string()))]),
        ),
    ],
)
def test_plain_columns_are_stored_wide(kind, words, stored):
    assert words_of(kind) == words and stored_type(kind) == stored


def test_columns_of_the_two_tables():
    of_items, of_labels = (
        schema_of(cases.meta(labels=True), cases.COLUMNS, table).names for table in ("items", "labels")
    )
    assert of_items[:7] == ["id", "label", "year", "price", "kind_of", "seen", "tags"] and "vectors__item" in of_items
    assert {"vectors__a", "media__b"} <= set(of_items) and "vectors__kind" not in of_items
    assert of_labels == ["id", "vectors__kind", "places__kind", "texts__kind", "types__kind", "media__kind"]
