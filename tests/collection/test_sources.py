"""Every source gives the same table; what cannot be read is refused by name."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manymodal.collection import read_collection
from manymodal.errors import ManymodalError

ROWS = [
    {
        "id": f"p{i}",
        "caption": [f"a cat, number {i}", f"cat no. {i}"][: i % 3],
        "name": f"the {i}th of them",
        "features": [float(i), 0.5, -1.0] if i % 4 else None,
        "wingspan": i / 4 if i % 5 else None,
        "tame": i % 2 == 0,
    }
    for i in range(12)
]


def table():
    return pa.Table.from_pylist(ROWS)


def write_csv(path):
    rows = [{k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()} for row in ROWS]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def write_lines(path):
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n", encoding="utf-8")
    return path


def write_array(path):
    path.write_text(json.dumps(ROWS), encoding="utf-8")
    return path


def write_parquet(path):
    pq.write_table(table(), path)
    return path


def write_shards(folder):
    folder.mkdir()
    pq.write_table(table().slice(0, 5), folder / "a.parquet")
    pq.write_table(table().slice(5), folder / "b.parquet")
    return folder


SOURCES = {
    "parquet": lambda d: write_parquet(d / "t.parquet"),
    "path as str": lambda d: str(write_parquet(d / "t.parquet")),
    "shards": lambda d: write_shards(d / "shards"),
    "csv": lambda d: write_csv(d / "t.csv"),
    "jsonl": lambda d: write_lines(d / "t.jsonl"),
    "json lines": lambda d: write_lines(d / "t.json"),
    "json array": lambda d: write_array(d / "t.json"),
    "ndjson": lambda d: write_lines(d / "t.ndjson"),
    "pandas": lambda d: pd.DataFrame(ROWS),
    "pandas by id": lambda d: pd.DataFrame(ROWS).set_index("id"),
    "polars": lambda d: pl.DataFrame(ROWS),
    "arrow": lambda d: table(),
    "dicts": lambda d: ROWS,
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_gives_the_same_collection(name, tmp_path):
    data = read_collection(SOURCES[name](tmp_path))
    assert data.ids == [row["id"] for row in ROWS]
    assert {m: s.kind for m, s in data.schema.modalities.items()} == {
        "caption": "text",
        "name": "text",
        "features": "vector",
        "table": "table",
    }
    assert data.schema.modalities["table"].columns == ["wingspan", "tame"]
    assert data.values("caption").data == [text for row in ROWS for text in row["caption"]]
    features = data.values("features")
    assert features.items.tolist() == [i for i in range(12) if i % 4]
    assert np.array_equal(np.stack(features.data), [row["features"] for row in ROWS if row["features"]])
    assert data.values("table").data == [{"wingspan": row["wingspan"], "tame": row["tame"]} for row in ROWS]


def test_types_that_only_concern_storage_do_not_matter():
    plain = pa.table({"id": ["a", "b"], "text": ["one of them", "another"], "v": [[1, 2], [3, 4]]})
    other = pa.table(
        {
            "id": plain["id"].cast(pa.large_string()),
            "text": plain["text"].dictionary_encode(),
            "v": pa.array([[1, 2], [3, 4]], pa.list_(pa.float16(), 2)),
        }
    )
    schema = read_collection(plain).schema
    assert read_collection(other).schema == schema
    assert np.array_equal(read_collection(other, schema=schema).values("v").data, [[1, 2], [3, 4]])


def test_arrays_of_numpy_and_paths_in_a_list_of_dicts(tmp_path):
    rows = [{"v": np.arange(3.0), "s": np.ones((2, 4)), "file": tmp_path / f"{i}.txt"} for i in range(2)]
    data = read_collection(rows)
    assert data.schema.modalities["v"].kind == "vector"
    assert data.schema.modalities["s"].kind == "series"
    assert data.values("s").data[1].shape == (2, 4)
    assert data.columns(1)["file"].endswith("1.txt")


def test_keys_that_only_later_dicts_have_are_kept():
    data = read_collection([{"a": "some words"}, {"a": "other words", "b": "further words"}])
    assert data.values("b").items.tolist() == [1]


def test_csv_keeps_ids_as_they_are_written_and_reads_empty_cells_as_missing(tmp_path):
    (tmp_path / "t.csv").write_text("id,word,n\n007,NA,1\n08,,\n1e3,null or none,3\n", encoding="utf-8")
    data = read_collection(tmp_path / "t.csv")
    assert data.ids == ["007", "08", "1e3"]
    assert data.values("word").data == ["NA", "null or none"]
    assert data.values("table").items.tolist() == [0, 2]


def test_a_csv_column_is_inferred_from_all_its_cells(tmp_path):
    lines = ["id,n,t"] + [f"{i},{i},{'x' * 40} {i}" for i in range(30_000)] + ["last,none,words"]
    (tmp_path / "t.csv").write_text("\n".join(lines), encoding="utf-8")
    data = read_collection(tmp_path / "t.csv")
    assert data.values("n").data[-1] == "none"


def test_class_names_of_datasets_become_labels(tmp_path):
    features = {"label": {"names": ["owl", "ant"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.table({"label": [0, 1, -1, 0], "text": ["a b", "c d", "e f", "g h"]}).replace_schema_metadata(metadata)
    pq.write_table(table, tmp_path / "t.parquet")
    data = read_collection(tmp_path / "t.parquet")
    assert data.label_names == ["ant", "owl"]
    assert data.labels.tolist() == [1, 0, -1, 1]


def test_shards_named_after_splits_are_split_so(tmp_path):
    for name, texts in (("train-00000-of-00001", ["a b", "c d"]), ("test-00000-of-00001", ["e f"])):
        pq.write_table(pa.table({"text": texts}), tmp_path / f"{name}.parquet")
    data = read_collection(tmp_path)
    assert data.split.tolist().count("test") == 1
    assert any("from the names of the files" in note for note in data.notes)


def broken(name, content):
    def write(folder):
        (folder / name).write_bytes(content)
        return folder / name

    return write


def disagreeing(folder):
    pq.write_table(pa.table({"a": [1]}), folder / "a.parquet")
    pq.write_table(pa.table({"a": ["x"]}), folder / "b.parquet")
    return folder


def not_utf8(folder):
    binary = pa.array([b"fine", b"caf\xe9"])
    text = pa.Array.from_buffers(pa.string(), 2, binary.buffers())
    pq.write_table(pa.table({"caption": text}), folder / "t.parquet")
    return folder / "t.parquet"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (lambda d: d / "none.parquet", "no such file.*none.parquet"),
        (lambda d: d, "no Parquet files"),
        (broken("t.xlsx", b"x"), r"t\.xlsx.*allowed are \.parquet, \.csv"),
        (broken("t.parquet", b"not parquet at all"), "cannot read .*t.parquet as Parquet"),
        (broken("t.csv", b""), "t.csv is empty"),
        (broken("t.csv", b"a,b\n"), r"empty \(0 rows"),
        (broken("t.csv", b"a,b\n1,2,3\n"), "cannot read t.csv"),
        (broken("t.csv", b"a,a\n1,2\n"), "two columns 'a'"),
        (broken("t.csv", b"id,word\n1,fine\n2,caf\xe9\n"), "t.csv, line 3: not UTF-8.*0xe9"),
        (broken("t.jsonl", b'{"a": "x"}\n{"a": \xff}\n'), "t.jsonl, line 2: not UTF-8"),
        (broken("t.jsonl", b'{"a": 1}\n{"a": }\n'), "t.jsonl, line 2: not JSON"),
        (broken("t.jsonl", b'{"a": 1}\n[1]\n3\n'), "row 1: a list"),
        (broken("t.jsonl", b'{"a": 1}\n{"a": "x"}\n'), "column 'a' mixes types"),
        (broken("t.json", b'[{"a": 1}, {]'), "t.json, line 1: not JSON"),
        (not_utf8, "column 'caption' is broken.*UTF8"),
        (disagreeing, "shards in .* disagree"),
        (lambda d: [], "empty"),
        (lambda d: pd.DataFrame({"a": []}), "empty"),
        (lambda d: [1, 2], "row 0: a int"),
        (lambda d: {"a": [1]}, "cannot read a dict"),
        (lambda d: pl.LazyFrame({"a": [1]}), "cannot read a LazyFrame"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(source, reason, tmp_path):
    with pytest.raises(ManymodalError, match=reason):
        read_collection(source(tmp_path))
