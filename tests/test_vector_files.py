import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from manymodal.errors import ManymodalError
from manymodal.vectors import read_vectors
from vector_folders import eye, write_npy, write_parquet


@pytest.fixture
def two(tmp_path):
    """A folder with photo.npy of two items; what `say` adds is the second modality."""
    write_npy(tmp_path / "v", "photo", torch.eye(2), ["1", "2"], None)
    return tmp_path / "v"


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4", ">f8"])
def test_floats_of_any_width_become_float32(two, dtype):
    write_npy(two, "text", np.asfortranarray(eye(3, dtype)), ["1", "2", "2"], None)
    text = read_vectors(two).embeddings.vectors["text"]
    assert text.dtype == torch.float32 and text.tolist() == [[1, 0], [0, 1], [1, 0]]


def test_float32_arrays_stay_in_their_file_and_it_stays_as_it_is(two):
    write_npy(two, "text", eye(3), ["1", "2", "2"], None)
    before = (two / "text.npy").read_bytes()
    text = read_vectors(two).embeddings.vectors["text"]
    maps = Path("/proc/self/maps")
    assert not maps.exists() or str(two / "text.npy") in maps.read_text()
    text[0] = 5
    assert (two / "text.npy").read_bytes() == before


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float64()),
        pa.large_list(pa.float16()),
        pa.list_(pa.float32(), 2),
        pa.list_(pa.int8()),
        pa.list_(pa.uint16(), 2),
    ],
)
def test_lists_of_any_numbers_are_vectors(two, kind):
    values = (
        [[np.float16(1), np.float16(0)], [np.float16(0), np.float16(1)]] if "half" in str(kind) else [[1, 0], [0, 1]]
    )
    pq.write_table(pa.table({"id": [2, 1], "vector": pa.array(values, kind)}), two / "text.parquet")
    read = read_vectors(two)
    assert read.embeddings.vectors["text"].tolist() == [[1, 0], [0, 1]]
    assert read.embeddings.items["text"].tolist() == [1, 0] and read.ids == {0: "1", 1: "2"}  # numbers as strings


def test_lists_with_a_mark_and_foreign_ends_of_line(two):
    write_npy(two, "text", eye(), None, None)
    (two / "text.ids.txt").write_bytes("\ufeff1\r\n2".encode())
    (two / "text.labels.txt").write_bytes(b"cat\r\n\r\n")
    read = read_vectors(two)
    assert read.embeddings.items["text"].tolist() == [0, 1] and read.label_names == ["cat"]
    assert read.embeddings.labels == {m: pytest.approx(torch.tensor([0, -1])) for m in ("photo", "text")}  # said once


def test_ids_null_everywhere_mean_one_value_per_label(two):
    (two / "photo.labels.txt").write_text("cat\ndog\n")
    write_parquet(two, "kind", eye(), [None, None], ["dog", "cat"])
    read = read_vectors(two).embeddings
    assert read.per_label("kind") and read.labels["kind"].tolist() == [1, 0] and not read.per_label("photo")


def test_labels_that_are_all_unknown_are_none(two):
    write_npy(two, "text", eye(), ["1", "2"], [None, None])
    assert read_vectors(two).embeddings.labels is None


def test_normalize_divides_each_vector(two):
    truth = torch.nn.functional.normalize(torch.randn(5, 2), dim=1)
    scale = torch.tensor([1e-30, 1e30, 1, 3, 0.5])[:, None]
    write_npy(two, "text", truth * scale, ["1", "2", "3", "4", "5"], None)
    with pytest.raises(ManymodalError, match=r"text.npy, row 0 has norm .*4 of 5 rows are off.*--normalize"):
        read_vectors(two)
    read = read_vectors(two, normalize=True).embeddings
    assert torch.allclose(read.vectors["text"], truth, atol=1e-6)


def test_what_is_left_aside_is_said(two):
    write_npy(two, "text", eye(), ["7", "8"], None)
    (two / "README").write_text("mine")
    table = pa.table({"id": ["1", "2"], "vector": eye().tolist(), "url": ["", ""], "labels": ["cat", "dog"]})
    pq.write_table(table, two / "sound.parquet")
    assert read_vectors(two).notes == [
        "ignored: README",
        "sound.parquet: ignored columns: url, labels",
        "text: none of its ids ('7' ...) is in another modality; are they written alike?",
    ]


def ids(*lines):
    return lambda two: write_npy(two, "text", eye(), lines, None)


def array(values, dtype=None):
    return lambda two: write_npy(two, "text", np.array(values, dtype), ["1", "2"], None)


def content(data):
    def write(two):
        write_npy(two, "text", eye(), ["1", "2"], None)
        (two / "text.npy").write_bytes(data)

    return write


def parquet(**columns):
    return lambda two: pq.write_table(pa.table(columns), two / "text.parquet")


def also(name, data=""):
    def write(two):
        write_npy(two, "text", eye(), ["1", "2"], None)
        (two / name).write_text(data)

    return write


def labels(photo, text):
    def write(two):
        (two / "photo.labels.txt").write_text(photo)
        write_npy(two, "text", eye(), ["1", "2"], None)
        (two / "text.labels.txt").write_text(text)

    return write


V = eye().tolist()
REFUSED = {
    "one modality": (lambda two: None, "one modality, 'photo'; at least two"),
    "no ids": (lambda two: write_npy(two, "text", eye(), None, None), "text.npy has no text.ids.txt beside it"),
    "too many ids": (ids("1", "2", "3"), "text.ids.txt has 3 lines and text.npy has 2 rows"),
    "too few ids": (ids("1"), "text.ids.txt has 1 line and text.npy has 2 rows"),
    "too few labels": (labels("cat\n", "cat\n\n"), "photo.labels.txt has 1 line and photo.npy has 2 rows"),
    "blank id": (ids("1", " "), "text.npy, row 1 has a blank id"),
    "not UTF-8": (lambda two: [ids("1", "2")(two), (two / "text.ids.txt").write_bytes(b"\xff\xfe1\n")], "not UTF-8"),
    "NaN": (array([[1, 0], [np.nan, 0]]), "text.npy, row 1 is not finite"),
    "infinity": (array([[-np.inf, 0], [1, 0]]), "text.npy, row 0 is not finite"),
    "zero": (array([[1, 0], [0, 0.0]]), "text.npy, row 1 is zero and has no direction"),
    "whole numbers": (array([[1, 0], [0, 1]]), "text.npy holds int64; needed: float16, float32, float64"),
    "1-d": (array([1.0, 0.0]), r"text.npy holds float64 of shape \(2,\); needed: floats \(n, d\)"),
    "no d": (array([[], []]), r"text.npy holds float64 of shape \(2, 0\)"),
    "other d": (array(np.eye(3)[:2]), r"vectors\['text'\] are .* d=3, vectors\['photo'\] are .* d=2"),
    "objects": (array([["a", "b"], [1, None]], object), "cannot read .*text.npy .*objects"),
    "a pickle": (content(pickle.dumps([1.0])), "cannot read .*text.npy"),
    "no content": (content(b""), "cannot read .*text.npy"),
    "twice": (also("photo.parquet"), "has the modality 'photo' twice, photo.npy and photo.parquet"),
    "ids alone": (also("sound.ids.txt"), "sound.ids.txt but no sound.npy"),
    "labels alone": (also("sound.labels.txt"), "sound.labels.txt but no sound.npy"),
    "bad name": (also("id.npy"), "'id' cannot name a modality"),
    "broken Parquet": (also("sound.parquet", "PAR1"), "cannot read .*sound.parquet as Parquet"),
    "two labels": (labels("cat\ndog\n", "cat\ncat\n"), "item '2' has two labels, 'dog' and 'cat' .in modality 'text'"),
    "no vector": (parquet(id=["1"], vectors=[[1.0]]), "text.parquet has the columns id, vectors; needed are vector"),
    "no id": (parquet(vector=V), "text.parquet has the columns vector; needed are vector and id"),
    "null id": (parquet(id=["1", None], vector=V), "text.parquet, row 1 has a blank id"),
    "null vector": (parquet(id=["1", "2"], vector=[V[0], None]), "text.parquet, row 1 has no vector"),
    "unequal": (parquet(id=["1", "2"], vector=[[1.0, 0.0], [1.0]]), "row 1 has a vector of another length.*has 2"),
    "null in it": (parquet(id=["1", "2"], vector=[V[0], [1.0, None]]), "text.parquet, row 1 is not finite"),
    "texts": (parquet(id=["1", "2"], vector=["1 0", "0 1"]), "column vector is string; needed: a list of numbers"),
    "neither": (parquet(id=pa.nulls(2), label=["cat", None], vector=V), "row 1 has neither an id nor a label"),
    "label twice": (parquet(label=["cat", "cat"], vector=V), "rows 0 and 1 both have the label 'cat'; give ids"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_mistakes_are_refused_in_words(two, case):
    write, message = REFUSED[case]
    write(two)
    with pytest.raises(ManymodalError, match=message):
        read_vectors(two)
