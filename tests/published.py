"""Tiny data sets in the layouts in which Flickr8k and CUB-200-2011 were published."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from samples import sound

# Flickr8k: four photos; the last is in no list.
NAMES = ("11_aa.jpg", "22_bb.jpg", "33_cc.jpg", "44_dd.jpg")
LISTS = {"trainImages": NAMES[:1], "devImages": NAMES[1:2], "testImages": NAMES[2:3]}
# wav, photo, caption: out of order, one photo with a gap, two photos without any
WAVS = (("a2.wav", 0, 2), ("a0.wav", 0, 0), ("c1.wav", 2, 1))

# CUB: five photos of three species, the second of which is unseen.
CLASSES = ("001.Black_footed_Albatross", "002.Crested_Auklet", "003.Le_Conte_Sparrow")
SPECIES, TRAIN = (1, 1, 2, 2, 3), (1, 0, 1, 0, 1)
SHARES = ((0, 25, 100), (50, 12.5, 0), (1, 2, 3))
BOX = (2.0, 3.5, 10.0, 6.0)  # of all photos, which are 20 x 12


def jpeg(seed, size=(8, 8)):
    """The bytes of a picture of noise."""
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def caption(photo, place):
    return f"photo {photo}, caption {place} ."


def write_text(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def change(path, old, new):
    """Replace a text that must be in a file."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def flickr8k(folder, texts="", photos="Flicker8k_Dataset", audio="flickr_audio", chinese=True):
    """Write the set; the texts, in a subfolder or not, name captions in falling order and one that has no photo."""
    folder = Path(folder)
    tokens = [f"{name}#{k}\t{caption(i, k)}" for i, name in enumerate(NAMES) for k in (2, 1, 0)]
    write_text(folder / texts / "Flickr8k.token.txt", [*tokens, "99_zz.jpg.1#0\tno such photo"])
    for name, photos_of in LISTS.items():
        write_text(folder / texts / f"Flickr_8k.{name}.txt", photos_of)
    (folder / photos).mkdir(parents=True)
    for i, name in enumerate(NAMES):
        (folder / photos / name).write_bytes(jpeg(i))
    if audio is not None:
        write_text(folder / audio / "wav2capt.txt", [f"{wav} {NAMES[i]} #{k}" for wav, i, k in WAVS])
        write_text(folder / audio / "wav2spk.txt", ["a0.wav 7", "a2.wav 12"])
        (folder / audio / "wavs").mkdir()
        for number, (wav, _, _) in enumerate(WAVS):
            (folder / audio / "wavs" / wav).write_bytes(sound(number, seconds=0.01))
    if chinese:
        lines = [f"{NAMES[0]}#zhc#1 一只狗", f"{NAMES[0]}#zhc#0 两只狗", f"{NAMES[2]}#zhc#0 一个人"]
        write_text(folder / "flickr8kcn" / "data" / "flickr8kzhc.caption.txt", lines)
    return folder


def karpathy(folder):
    """In place of the texts, one JSON file; it has no photo without a split."""
    folder = flickr8k(folder, audio=None, chinese=False)
    for file in folder.glob("Flickr*.txt"):
        file.unlink()
    images = [
        {"filename": name, "split": split, "sentences": [{"raw": caption(i, k)} for k in range(3)]}
        for i, (name, split) in enumerate(zip(NAMES, ("train", "val", "test"), strict=False))
    ]
    (folder / "dataset_flickr8k.json").write_text(json.dumps({"images": images, "dataset": "flickr8k"}))
    return folder


def cub(folder, root="CUB_200_2011", captions="", lists=""):
    """Write the set as its archive unpacks, with the captions and class lists beside it."""
    folder, base = Path(folder), Path(folder) / root
    files = [f"{CLASSES[s - 1]}/Bird_{i:04d}.jpg" for i, s in enumerate(SPECIES, start=1)]
    write_text(base / "images.txt", [f"{i} {file}" for i, file in enumerate(files, start=1)])
    write_text(base / "classes.txt", [f"{i} {name}" for i, name in enumerate(CLASSES, start=1)])
    write_text(base / "image_class_labels.txt", [f"{i} {s}" for i, s in enumerate(SPECIES, start=1)])
    write_text(base / "train_test_split.txt", [f"{i} {t}" for i, t in enumerate(TRAIN, start=1)])
    write_text(base / "bounding_boxes.txt", [f"{i} {' '.join(map(str, BOX))}" for i in range(1, 6)])
    write_text(base / "parts" / "parts.txt", ["1 back", "2 left eye"])
    places = [f"{i} 1 {i}.0 6.0 1" for i in range(1, 6)] + ["1 2 10.0 3.0 1"]
    write_text(base / "parts" / "part_locs.txt", [*places, *(f"{i} 2 0.0 0.0 0" for i in range(2, 6))])
    shares = [" ".join(map(str, row)) for row in SHARES]
    write_text(base / "attributes" / "class_attribute_labels_continuous.txt", shares)
    write_text(folder / "attributes.txt", ["1 has_bill::curved", "2 has_bill::hooked", "3 has_wing::grey"])
    seen = [f"{i} {a} {int((i + a) % 2)} 3 1.5" for i in range(1, 6) for a in (1, 2, 3)]
    seen[4] = f"{seen[4][:-6]} 3 0 1.5"  # as some lines are in the published file
    write_text(base / "attributes" / "image_attribute_labels.txt", seen)
    for i, file in enumerate(files, start=1):
        path = base / "images" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(i, (20, 12)))
        write_text(folder / captions / "text_c10" / Path(file).with_suffix(".txt"), [caption(i, k) for k in range(10)])
    write_text(folder / lists / "testclasses.txt", [CLASSES[1]])
    write_text(folder / lists / "trainvalclasses.txt", [CLASSES[2], CLASSES[0]])
    return folder
