"""Flickr8k as it was published becomes a collection; what is absent or malformed is named."""

import json

import pyarrow.parquet as pq
import pytest
import yaml

from manymodal import read_collection
from manymodal.collection.readers import published as writing
from manymodal.collection.readers import read_flickr8k
from manymodal.errors import ManymodalError
from published import NAMES, caption, change, flickr8k, jpeg, karpathy
from samples import run, sound

PHOTOS = "Flicker8k_Dataset"


def imported(folder, out, *options):
    """The written table, as a collection read with the written YAML; and how the command ended."""
    ran = run("import", "flickr8k", folder, "--out", out / "f.parquet", *options)
    assert ran.code == 0, ran.err
    return read_collection(out / "f.parquet", config=out / "f.yaml"), ran


def refused(folder):
    with pytest.raises(ManymodalError) as error:
        read_flickr8k(folder)
    return str(error.value)


def test_values_splits_and_order(tmp_path):
    data, _ = imported(flickr8k(tmp_path / "in"), tmp_path)
    assert data.ids == ["11_aa", "22_bb", "33_cc", "44_dd"]
    assert data.split.tolist() == ["train", "dev", "test", "unused"]
    assert {name: (m.kind, m.several) for name, m in data.schema.modalities.items()} == {
        "photo": ("image", False),
        "en": ("text", True),
        "zh": ("text", True),
        "speech": ("audio", True),
    }
    assert data.schema.same_source == [["speech", "en"]]
    assert list(data.values("photo").data) == [jpeg(i) for i in range(4)]
    en = data.values("en")
    assert en.data == [caption(i, k) for i in range(4) for k in range(3)]
    assert en.items.tolist() == [i for i in range(4) for _ in range(3)]
    zh = data.values("zh")
    assert zh.data == ["两只狗", "一只狗", "一个人"] and zh.items.tolist() == [0, 0, 2]
    speech = data.values("speech")  # in the order of the captions, not of the file
    assert list(speech.data) == [sound(i, seconds=0.01) for i in (1, 0, 2)]
    assert speech.items.tolist() == [0, 0, 2]
    table = pq.read_table(tmp_path / "f.parquet").to_pydict()
    assert table["speech_caption"] == [[0, 2], [], [1], []]
    assert table["speaker"] == [["7", "12"], [], [None], []]


def test_names_and_keys_are_those_of_the_benchmark(tmp_path):
    imported(flickr8k(tmp_path / "in"), tmp_path)
    said = yaml.safe_load((tmp_path / "f.yaml").read_text())
    assert said["id"] == "id" and said["split"] == "split"
    assert said["ignore"] == ["speech_caption", "speaker"] and said["same_source"] == [["speech", "en"]]
    assert said["modalities"]["en"] == {"kind": "text", "several": True}


@pytest.mark.parametrize(
    "places",
    [
        {"texts": "Flickr8k_text", "photos": "Flickr8k_Dataset", "audio": ""},
        {"photos": "Flickr8k_Dataset/Flicker8k_Dataset"},
    ],
)
def test_archives_may_be_unpacked_in_their_own_folders(tmp_path, places):
    one, _ = imported(flickr8k(tmp_path / "in", **places), tmp_path)
    assert len(one.values("photo")) == 4 and len(one.values("speech")) == 3 and len(one.values("zh")) == 3


def test_what_is_absent_or_left_out_is_said(tmp_path):
    data, ran = imported(flickr8k(tmp_path / "in", audio=None, chinese=False), tmp_path)
    assert list(data.schema.modalities) == ["photo", "en"] and data.schema.same_source == []
    assert "speech: neither wavs nor wav2capt.txt, so there are no spoken captions" in ran.err
    assert "zh: no flickr8kzhc.caption.txt, so there are no Chinese captions" in ran.err
    assert "the captions of 1 name that no picture can have are left out (the first: 99_zz.jpg.1)" in ran.err
    assert "4 items with id, split, photo, en in" in ran.out
    folder = flickr8k(tmp_path / "more")
    (folder / "flickr_audio" / "wav2spk.txt").unlink()
    change(folder / "flickr_audio" / "wav2capt.txt", f"{NAMES[2]} #1", "55_ee.jpg #1")
    notes = read_flickr8k(folder).notes
    assert "speaker: no wav2spk.txt, so speakers are unknown" in notes
    assert "wav2capt.txt: 1 photo that Flickr8k.token.txt does not name left out" in notes


def test_the_json_does_in_place_of_the_texts(tmp_path):
    data, _ = imported(karpathy(tmp_path / "in"), tmp_path)
    assert data.ids == ["11_aa", "22_bb", "33_cc"] and data.split.tolist() == ["train", "dev", "test"]
    assert data.values("en", "dev").data == [caption(1, k) for k in range(3)]
    both = flickr8k(tmp_path / "both")
    (both / "dataset.json").write_text("not even JSON")
    assert "dataset.json is not used: the published texts are complete" in read_flickr8k(both).notes


def test_links_are_relative_to_the_table(tmp_path):
    folder = flickr8k(tmp_path / "in")
    data, _ = imported(folder, tmp_path / "out", "--link")
    table = pq.read_table(tmp_path / "out" / "f.parquet").to_pydict()
    assert table["photo"][0] == {"bytes": None, "path": f"../in/{PHOTOS}/11_aa.jpg"}
    assert table["speech"][0][0] == {"bytes": None, "path": "../in/flickr_audio/wavs/a0.wav"}
    assert [path.read_bytes() for path in data.values("photo").data] == [jpeg(i) for i in range(4)]
    assert [path.read_bytes() for path in data.values("speech").data] == [sound(i, seconds=0.01) for i in (1, 0, 2)]


def test_rows_are_written_in_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "ROW_GROUP", 3)
    data, _ = imported(flickr8k(tmp_path / "in"), tmp_path)
    assert pq.ParquetFile(tmp_path / "f.parquet").num_row_groups == 2
    assert list(data.values("photo").data) == [jpeg(i) for i in range(4)]


def test_media_that_no_column_can_hold_are_refused_unless_linked(tmp_path, monkeypatch):
    folder = flickr8k(tmp_path / "in")
    monkeypatch.setattr(writing, "LARGEST", 3 * len(jpeg(0)))
    assert "photo: 0.0 GB of files" in refused(folder) and "--link" in refused(folder)
    assert read_flickr8k(folder, link_from=tmp_path).count == 4


def test_everything_absent_is_listed_at_once(tmp_path):
    assert "no such folder" in refused(tmp_path / "nowhere")
    text = refused(tmp_path)
    for name in (
        "Flicker8k_Dataset or Flickr8k_Dataset",
        "Flickr8k.token.txt",
        "devImages",
        "testImages",
        "trainImages",
    ):
        assert name in text
    assert "dataset_flickr8k.json or dataset.json will do" in text
    folder = flickr8k(tmp_path / "in")
    (folder / "Flickr_8k.devImages.txt").unlink()
    assert "lacks Flickr_8k.devImages.txt (" in refused(folder)
    flickr8k(tmp_path / "silent")
    (tmp_path / "silent" / "flickr_audio" / "wav2capt.txt").unlink()
    assert "lacks wav2capt.txt (" in refused(tmp_path / "silent")


def test_photos_and_recordings_that_are_missing_are_refused_or_counted(tmp_path):
    folder = flickr8k(tmp_path / "in")
    (folder / PHOTOS / NAMES[1]).unlink()
    (folder / PHOTOS / NAMES[2]).write_bytes(b"")
    text = refused(folder)
    assert f"{NAMES[1]} is missing or empty, and 1 more, of 4 files" in text and "Flickr8k.token.txt" in text
    (folder / "flickr_audio" / "wavs" / "a0.wav").unlink()
    data, ran = imported(folder, tmp_path, "--on-bad-value", "skip")
    assert "3 values cannot be used" in ran.err and f"photo, 22_bb: {folder / PHOTOS / NAMES[1]} is missing" in ran.err
    assert data.values("photo").items.tolist() == [0, 3] and len(data.values("en")) == 12
    table = pq.read_table(tmp_path / "f.parquet").to_pydict()
    assert table["speech_caption"][0] == [2] and table["speaker"][0] == ["12"]
    assert list(data.values("speech", "train").data) == [sound(0, seconds=0.01)]


@pytest.mark.parametrize(
    ("file", "old", "new", "line", "needed"),
    [
        ("Flickr8k.token.txt", "11_aa.jpg#1\t", "11_aa.jpg#1 ", 2, "PHOTO.jpg#NUMBER<tab>CAPTION"),
        ("Flickr8k.token.txt", "11_aa.jpg#1\t", "11_aa.jpg#2\t", 2, "each caption's number once for a photo"),
        ("Flickr8k.token.txt", f"\t{caption(0, 1)}", "\t", 2, "PHOTO.jpg#NUMBER<tab>CAPTION"),
        ("Flickr_8k.devImages.txt", "22_bb.jpg", "22_b.jpg", 1, "a photo that Flickr8k.token.txt names"),
        ("Flickr_8k.testImages.txt", "33_cc.jpg", "33_cc.jpg\n11_aa.jpg", 2, "it is in train already"),
        ("flickr_audio/wav2capt.txt", "#0", "0", 2, "WAV PHOTO.jpg #NUMBER"),
        ("flickr_audio/wav2capt.txt", "#0", "#5", 2, "WAV PHOTO.jpg #NUMBER"),
        ("flickr_audio/wav2spk.txt", "a2.wav 12", "a2.wav", 2, "WAV SPEAKER"),
        ("flickr8kcn/data/flickr8kzhc.caption.txt", "#zhc#0 一", "#en#0 一", 3, "PHOTO.jpg#zhc#NUMBER CAPTION"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, file, old, new, line, needed):
    folder = flickr8k(tmp_path)
    change(folder / file, old, new)
    text = refused(folder)
    assert f"{folder / file}, line {line}: found " in text and needed in text


def test_text_that_is_not_utf8_is_named(tmp_path):
    folder = flickr8k(tmp_path)
    path = folder / "Flickr8k.token.txt"
    path.write_bytes(path.read_bytes().replace(b"caption 1", b"caption \xff", 1))
    assert f"{path}, line 2: not UTF-8" in refused(folder)


@pytest.mark.parametrize(
    ("change_it", "said"),
    [
        (lambda content: content.pop("images"), "found no key 'images'"),
        (lambda content: content["images"][1].update(split="restval"), "images[1]: found "),
        (lambda content: content["images"][2]["sentences"].append({}), "images[2]: found "),
        (lambda content: content["images"][2].update(filename=NAMES[0]), "images[2]: found 11_aa.jpg a second time"),
        (lambda content: content["images"].clear(), "found no captions"),
    ],
)
def test_a_malformed_json_is_named(tmp_path, change_it, said):
    path = karpathy(tmp_path) / "dataset_flickr8k.json"
    content = json.loads(path.read_text())
    change_it(content)
    path.write_text(json.dumps(content))
    assert f"{path}" in refused(tmp_path) and said in refused(tmp_path)
    path.write_text('{"images": [\n,]}')
    assert f"{path}, line 2: not JSON" in refused(tmp_path)


def test_importing_does_not_change_what_it_reads(tmp_path):
    folder = flickr8k(tmp_path / "in")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    imported(folder, tmp_path)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for file in (tmp_path / "f.parquet", tmp_path / "f.yaml"):
        assert str(tmp_path).encode() not in file.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.parquet", "f.yaml", "in"]
