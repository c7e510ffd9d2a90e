"""CUB-200-2011 as it was published becomes a collection; what is absent or malformed is named."""

import io
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from manymodal import read_collection
from manymodal.collection.readers import read_cub
from manymodal.errors import ManymodalError
from published import CLASSES, SHARES, caption, change, cub, jpeg
from samples import run

ROOT = "CUB_200_2011"
ALBATROSS, AUKLET, SPARROW = NAMES = ["Black footed Albatross", "Crested Auklet", "Le Conte Sparrow"]


def imported(folder, out, *options, config="c.yaml"):
    """The written table, as a collection read with the written YAML; and how the command ended."""
    ran = run("import", "cub", folder, "--out", out / "c.parquet", "--overwrite", *options)
    assert ran.code == 0, ran.err
    return read_collection(out / "c.parquet", config=out / config), ran


def refused(folder, **options):
    with pytest.raises(ManymodalError) as error:
        read_cub(folder, **options)
    return str(error.value)


def test_values_and_labels(tmp_path):
    data, ran = imported(cub(tmp_path / "in"), tmp_path)
    assert "5 items with id, split, zero_shot_split, label, photo, captions, parts, attributes in" in ran.out
    assert data.ids == ["1", "2", "3", "4", "5"]  # the official numbers
    assert data.label_names == NAMES and data.labels.tolist() == [0, 0, 1, 1, 2]
    assert list(data.values("photo").data) == [jpeg(i, (20, 12)) for i in range(1, 6)]
    captions = data.values("captions")
    assert captions.data == [caption(i, k) for i in range(1, 6) for k in range(10)]
    assert captions.items.tolist() == [i for i in range(5) for _ in range(10)]
    assert {name: m.per for name, m in data.schema.modalities.items() if m.per == "label"} == {
        "attributes": "label",
        "name": "label",
    }
    attributes, name = data.values("attributes"), data.values("name")
    assert np.allclose(attributes.data, np.array(SHARES) / 100) and attributes.items.tolist() == [-1] * 3
    assert name.data == NAMES and name.labels.tolist() == [0, 1, 2]
    parts = data.values("parts").data  # fractions of 20 x 12 pixels
    assert parts[0] == {"back_x": 0.05, "back_y": 0.5, "left_eye_x": 0.5, "left_eye_y": 0.25}
    assert parts[2] == {"back_x": 0.15, "back_y": 0.5, "left_eye_x": None, "left_eye_y": None}


def test_official_and_zero_shot_splits(tmp_path):
    official, _ = imported(cub(tmp_path / "in"), tmp_path)
    given = pq.read_table(tmp_path / "c.parquet").to_pydict()
    assert given["split"] == ["train", "test", "train", "test", "train"]
    assert given["zero_shot_split"] == ["train", "unused", "test", "test", "train"]
    assert official.split.tolist().count("test") == 2 and official.split[1] == official.split[3] == "test"
    zero_shot, _ = imported(tmp_path / "in", tmp_path, config="c_zero_shot.yaml")
    assert [zero_shot.label_names[code] for code in set(zero_shot.labels[zero_shot.split == "test"])] == [AUKLET]
    assert zero_shot.split[1] == "unused"
    said = yaml.safe_load((tmp_path / "c_zero_shot.yaml").read_text())
    assert (said["split"], said["split_by"], said["ignore"]) == ("zero_shot_split", "label", ["split"])
    said = yaml.safe_load((tmp_path / "c.yaml").read_text())
    assert (said["split"], said["label"], said["ignore"]) == ("split", "label", ["zero_shot_split"])


@pytest.mark.parametrize("seen", [["trainclasses1.txt", "valclasses1.txt"], ["trainclasses.txt", "valclasses.txt"]])
def test_class_lists_of_other_names_and_plain_numbers(tmp_path, seen):
    folder = cub(tmp_path / "in", lists="xlsa17/data/CUB")
    lists = folder / "xlsa17" / "data" / "CUB"
    (lists / "trainvalclasses.txt").unlink()
    notes = read_cub(folder).notes
    assert "zero_shot_split: no trainvalclasses.txt, so all classes but those of testclasses.txt are seen" in notes
    (lists / seen[0]).write_text("1\n")
    (lists / seen[1]).write_text(f"{CLASSES[2]}\n")
    imported(folder, tmp_path)
    splits = pq.read_table(tmp_path / "c.parquet")["zero_shot_split"].to_pylist()
    assert splits == ["train", "unused", "test", "test", "train"]
    (lists / seen[1]).write_text("1\n")
    assert "zero_shot_split: the photos of 1 species that no list names are unused" in read_cub(folder).notes[0]


def test_the_folder_may_be_the_inner_one(tmp_path):
    cub(tmp_path / "in", captions=ROOT, lists=ROOT)
    data, _ = imported(tmp_path / "in" / ROOT, tmp_path)
    assert len(data.values("captions")) == 50
    change(tmp_path / "in" / "attributes.txt", "3 has_wing::grey\n", "")  # above the folder, and read
    assert "needed: 2 percentages, and there are 3" in refused(tmp_path / "in" / ROOT)


def test_what_is_absent_is_said(tmp_path):
    folder = cub(tmp_path / "in")
    shutil.rmtree(folder / "text_c10")
    shutil.rmtree(folder / ROOT / "parts")
    (folder / ROOT / "attributes" / "class_attribute_labels_continuous.txt").unlink()
    (folder / "testclasses.txt").unlink()
    (folder / "trainvalclasses.txt").unlink()
    data, ran = imported(folder, tmp_path)
    assert list(data.schema.modalities) == ["photo", "name"]
    assert not (tmp_path / "c_zero_shot.yaml").exists()
    for said in ("captions: no text_c10/", "parts: neither", "attributes: no attributes/class", "no testclasses.txt"):
        assert said in ran.err


def test_crops_follow_the_boxes_and_so_do_the_parts(tmp_path):
    data, _ = imported(cub(tmp_path / "in"), tmp_path, "--crop")
    photo = Image.open(io.BytesIO(data.values("photo").data[0]))
    assert photo.size == (10, 7)  # 2 to 12 and 3 to 10: half pixels are kept
    whole = Image.open(io.BytesIO(jpeg(1, (20, 12)))).crop((2, 3, 12, 10))
    assert np.abs(np.asarray(photo, float) - np.asarray(whole, float)).mean() < 12  # noise, and a JPEG twice
    assert data.values("parts").data[0] == {"back_x": -0.1, "back_y": 3 / 7, "left_eye_x": 0.8, "left_eye_y": 0.0}
    assert "choose either --crop or --link" in refused(tmp_path / "in", crop=True, link_from=tmp_path)
    change(tmp_path / "in" / ROOT / "bounding_boxes.txt", "3 2.0 3.5", "3 20.0 3.5")
    ran = run("import", "cub", tmp_path / "in", "--out", tmp_path / "d.parquet", "--crop")
    assert ran.code == 1 and "photo of 3:" in ran.err and "lies outside of its (20, 12) pixels" in ran.err
    assert not (tmp_path / "d.parquet").exists()


def test_linked_photos(tmp_path):
    data, _ = imported(cub(tmp_path / "in"), tmp_path / "out", "--link")
    assert [path.read_bytes() for path in data.values("photo").data] == [jpeg(i, (20, 12)) for i in range(1, 6)]
    assert data.values("parts").data[0]["back_x"] == 0.05
    first = pq.read_table(tmp_path / "out" / "c.parquet")["photo"][0].as_py()
    assert first == {"bytes": None, "path": f"../in/{ROOT}/images/{CLASSES[0]}/Bird_0001.jpg"}


def test_attributes_of_photos_tolerate_the_published_slips_and_count_them(tmp_path):
    data, ran = imported(cub(tmp_path / "in"), tmp_path, "--image-attributes")
    assert np.array_equal(data.values("image_attributes").data, [[(i + a) % 2 for a in (1, 2, 3)] for i in range(1, 6)])
    assert "image_attribute_labels.txt: 1 line with more or fewer than 5 columns, of which 3 were read" in ran.err
    path = tmp_path / "in" / ROOT / "attributes" / "image_attribute_labels.txt"
    text = path.read_text()
    for old, new, said in [
        ("1 2 1 3 1.5", "1 2", "line 2: found '1 2'"),
        ("1 2 1 3 1.5", "1 4 1 3 1.5", "an attribute from 1 to 3"),
        ("1 2 1 3 1.5", "1 1 1 3 1.5", "each attribute of an image once"),
        ("1 2 1 3 1.5\n", "", "found 2 attributes of image 1; needed: all 3"),
    ]:
        path.write_text(text)
        change(path, old, new)
        assert said in refused(tmp_path / "in", per_image=True)
    (tmp_path / "in" / "attributes.txt").unlink()
    assert "lacks attributes.txt" in refused(tmp_path / "in", per_image=True)


def test_everything_absent_is_listed_at_once(tmp_path):
    text = refused(tmp_path, crop=True)
    for name in ("images,", "images.txt", "classes.txt", "image_class_labels.txt", "train_test_split.txt", "bounding_"):
        assert name in text
    folder = cub(tmp_path / "in")
    (folder / ROOT / "parts" / "parts.txt").unlink()
    assert "lacks parts/parts.txt (" in refused(folder)
    (folder / "testclasses.txt").unlink()
    shutil.rmtree(folder / ROOT / "parts")
    assert "but no testclasses.txt, the list of the unseen classes" in refused(folder)


def test_missing_and_broken_photos_and_captions_are_refused_or_counted(tmp_path):
    folder = cub(tmp_path / "in")
    photos = sorted((folder / ROOT / "images").rglob("*.jpg"))
    photos[0].unlink()
    assert f"{photos[0]} is missing or empty, of 5 files" in refused(folder)
    texts = sorted((folder / "text_c10").rglob("*.txt"))
    texts[4].unlink()
    photos[1].write_bytes(jpeg(2, (20, 12))[:200])
    data, ran = imported(folder, tmp_path, "--on-bad-value", "skip")
    assert "3 values cannot be used" in ran.err
    assert f"photo, 2: {photos[1]}: " in ran.err and f"captions, 5: {texts[4]} is missing" in ran.err
    assert data.values("photo").items.tolist() == [2, 3, 4] and len(data.values("captions")) == 40
    assert data.values("parts").items.tolist() == [2, 3, 4] and len(data) == 5
    photos[0].write_bytes(jpeg(1, (20, 12)))
    shutil.rmtree(folder / "text_c10")
    ran = run("import", "cub", folder, "--out", tmp_path / "e.parquet")
    assert ran.code == 1 and f"photo of 2: {photos[1]}: " in ran.err and "--on-bad-value skip" in ran.err


@pytest.mark.parametrize(
    ("file", "old", "new", "line", "needed"),
    [
        ("images.txt", "2 001", "b 001", 2, "IMAGE CLASS/FILE.jpg"),
        ("images.txt", "2 001", "1 001", 2, "each number once, and 1 came before"),
        ("classes.txt", "2 002.Crested_Auklet", "2", 2, "CLASS NAME"),
        ("image_class_labels.txt", "2 1\n", "2 9\n", 2, "IMAGE CLASS, a class of classes.txt"),
        ("train_test_split.txt", "2 0", "2 2", 2, "IMAGE 1 (train) or IMAGE 0 (test)"),
        ("bounding_boxes.txt", "2 2.0 3.5 10.0", "2 2.0 3.5 nan", 2, "IMAGE X Y WIDTH HEIGHT"),
        ("bounding_boxes.txt", "2 2.0 3.5 10.0", "2 2.0 3.5 -1", 2, "IMAGE X Y WIDTH HEIGHT"),
        ("parts/parts.txt", "2 left eye", "left eye", 2, "PART NAME"),
        ("parts/part_locs.txt", "2 1 2.0", "2 1 inf", 2, "IMAGE PART X Y VISIBLE"),
        ("parts/part_locs.txt", "2 1 2.0", "2 3 2.0", 2, "a part of parts.txt"),
        ("parts/part_locs.txt", "2 1 2.0", "1 1 2.0", 2, "each part of an image once"),
        ("attributes/class_attribute_labels_continuous.txt", "12.5", "x", 2, "percentages"),
        ("attributes/class_attribute_labels_continuous.txt", "12.5", "112", 2, "between 0 and 100"),
        ("attributes/class_attribute_labels_continuous.txt", "12.5 ", "", 2, "3 percentages, and there are 2"),
        ("../testclasses.txt", CLASSES[1], "Auklet", 1, "a class of classes.txt, by its name or its number"),
        ("../testclasses.txt", CLASSES[1], CLASSES[0], 2, "testclasses.txt names this one too"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, file, old, new, line, needed):
    folder = cub(tmp_path)
    change(folder / ROOT / file, old, new)
    text = refused(folder, crop=True)
    assert f"line {line}: found " in text and needed in text
    named = "trainvalclasses.txt" if "this one too" in needed else file.rpartition("/")[2]
    assert f"{named}, line" in text


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("train_test_split.txt", "5 1\n", "", "images.txt has the number 5"),
        ("image_class_labels.txt", "5 3\n", "5 3\n6 3\n", "image_class_labels.txt has the number 6"),
        ("attributes/class_attribute_labels_continuous.txt", "1 2 3\n", "", "found 2 lines; needed: one for each of"),
        ("classes.txt", "002.Crested_Auklet", "002.Le_Conte_Sparrow", "classes 2 and 3 both called 'Le Conte Sparrow'"),
    ],
)
def test_files_that_do_not_fit_together_are_named(tmp_path, file, old, new, said):
    folder = cub(tmp_path)
    change(folder / ROOT / file, old, new)
    assert said in refused(folder)
