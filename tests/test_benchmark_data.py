"""Arrays become collections: values stay with their items, and nothing tells where the arrays lay."""

from __future__ import annotations

import importlib
import io
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from manymodal.errors import ManymodalError

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("columns")


@pytest.fixture
def prepare(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("prepare")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "prepare.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_mfeat_becomes_a_collection(tmp_path: Path) -> None:
    views = {
        name: np.arange(6, dtype=np.float32).reshape(3, 2) + k
        for k, name in enumerate(("fac", "fou", "kar", "mor", "zer"))
    }
    (tmp_path / "in" / "mfeat").mkdir(parents=True)
    stored = {
        "pix": np.full((3, 4), 6, np.uint8),
        "label": np.array([0, 4, 9], np.uint8),
        "split": np.array([0, 1, 2], np.uint8),
    }
    np.savez(tmp_path / "in" / "mfeat" / "mfeat.npz", **views, **stored)
    made = run("--data", tmp_path / "in", "--out", tmp_path / "out", "mfeat")
    assert made.returncode == 0, made.stderr
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["mfeat.parquet", "mfeat.yaml"]
    table = pq.read_table(tmp_path / "out" / "mfeat.parquet").to_pydict()
    assert table["id"] == ["0", "1", "2"]
    assert table["split"] == ["train", "dev", "test"]
    assert table["label"] == ["0", "4", "9"]
    assert table["fou"] == [[1, 2], [3, 4], [5, 6]]
    assert table["pix"] == [[6] * 4] * 3
    config = yaml.safe_load((tmp_path / "out" / "mfeat.yaml").read_text())
    assert set(config["modalities"]) == {"fac", "fou", "kar", "mor", "pix", "zer"}
    assert config["ignore"] == []
    for file in (tmp_path / "out").iterdir():
        assert str(tmp_path).encode() not in file.read_bytes()


def test_absent_data_and_unknown_names_are_said(tmp_path: Path) -> None:
    absent = run("--data", tmp_path, "--out", tmp_path / "out", "mfeat")
    assert absent.returncode == 1
    assert "mfeat.npz" in absent.stderr
    assert "--data" in absent.stderr
    unknown = run("--data", tmp_path, "birds")
    assert unknown.returncode == 2
    assert "no data set birds; there are flickr8k, emoji, mfeat, cub" in unknown.stderr


def test_utterances_come_back_in_decibels_and_with_their_owner(columns: ModuleType, tmp_path: Path) -> None:
    frames = np.array([[0, 80], [90, 114], [1, 2], [3, 4]], np.uint8)
    np.savez(tmp_path / "mels.npz", frames=frames, offsets=np.array([0, 2, 3, 4]))
    utterances = columns.logmels(tmp_path / "mels.npz")
    first, second, third = [[-80, 0], [10, 34]], [[-79, -78]], [[-77, -76]]
    assert utterances.to_pylist() == [first, second, third]
    assert utterances.take(pa.array([2, None], pa.int64())).to_pylist() == [third, None]
    assert columns.grouped(utterances, np.array([2, 0, 2]), 4).to_pylist() == [[second], [], [first, third], []]


def test_utterances_too_loud_for_a_byte_are_refused(columns: ModuleType, tmp_path: Path) -> None:
    np.savez(tmp_path / "mels.npz", frames=np.full((1, 2), 255, np.uint8), offsets=np.array([0, 1]))
    with pytest.raises(ManymodalError, match=r"mels\.npz holds 175 dB"):
        columns.logmels(tmp_path / "mels.npz")


def test_pictures_keep_their_pixels_and_gaps(columns: ModuleType, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "drawn.npz", images=images, present=np.array([True, False]))
    drawn, absent = columns.drawings(tmp_path / "drawn.npz", ["1F600", "1F601"]).to_pylist()
    assert absent is None
    assert drawn["path"] == "1F600.png"
    assert (np.array(Image.open(io.BytesIO(drawn["bytes"]))) == images[0]).all()
    packed = columns.packed_pictures(np.frombuffer(b"abcde", np.uint8), np.array([0, 2, 5]), ["x.jpg", "y.jpg"])
    assert packed.to_pylist() == [{"bytes": b"ab", "path": "x.jpg"}, {"bytes": b"cde", "path": "y.jpg"}]


def test_keywords_do_not_repeat_the_name(prepare: ModuleType) -> None:
    row = {"name": {"en": "flag: Bosnia & Herzegovina"}, "keywords_en": ["flag_bosnia_herzegovina", "bosnia", "flag"]}
    assert prepare.own_keywords(row) == ["bosnia", "flag"]


def test_hidden_body_parts_are_null(prepare: ModuleType) -> None:
    xy = np.full((15, 2), np.nan, np.float32)
    xy[14] = 0.25, 0.5
    parts = prepare.body_parts(xy)
    assert len(parts) == 30
    assert (parts["throat_x"], parts["throat_y"], parts["beak_x"]) == (0.25, 0.5, None)


def test_a_config_ignores_what_it_does_not_use(prepare: ModuleType) -> None:
    table = pa.table({name: ["x"] for name in ("id", "split", "other_split", "label", "photo", "words", "url")})
    modalities = {"photo": {"kind": "image"}, "caption": {"kind": "text", "column": "words"}}
    plain = prepare.config(table, modalities, ["photo", "caption"], same_source=[("photo", "caption")])
    assert plain["ignore"] == ["other_split", "url"]
    assert plain["same_source"] == [["photo", "caption"]]
    other = prepare.config(table, modalities, ["photo"], split="other_split")
    assert other["split"] == "other_split"
    assert other["ignore"] == ["split", "words", "url"]
