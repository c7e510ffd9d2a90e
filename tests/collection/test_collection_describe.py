"""Describing counts everything and looks at every value."""

from io import BytesIO

import numpy as np
import soundfile
from PIL import Image

from manymodal.collection import read_collection


def jpeg(broken=False):
    file = BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, "JPEG")
    return file.getvalue()[: 700 if broken else None]


def wav(samples):
    file = BytesIO()
    soundfile.write(file, np.zeros(samples), 8000, format="WAV")
    return file.getvalue()


def held(content):
    return {"bytes": content, "path": None}


def test_a_whole_description():
    data = read_collection(
        [
            {
                "id": f"i{i}",
                "split": ["train", "train", "dev", "test", "unused"][i],
                "label": ["a", "a", "b", None, "b"][i],
                "photo": [held(jpeg()), held(jpeg(broken=True)), None, held(jpeg()), held(jpeg())][i],
                "call": [held(wav(9)), held(wav(0)), None, None, None][i],
                "caption": [["x"], ["x", "y", "z"], [], ["x", "y"], None][i],
                "v": [[1.0, 2.0], [1.0, float("nan")], [1.0, 2.0], None, None][i],
                "kind": ["ant", "ant", None, None, None][i],
            }
            for i in range(5)
        ],
        config={"modalities": {"kind": {"kind": "text", "per": "label"}}},
    )
    description = data.describe()
    assert description.items == 5
    assert description.splits == {"train": 2, "dev": 1, "test": 1, "unused": 1}
    assert description.labels == {"a": 2, "b": 2}
    counts = {m: (d.present, d.missing, d.values, d.several) for m, d in description.modalities.items()}
    assert counts == {
        "kind": (1, 1, 1, (1, 1)),
        "photo": (3, 2, 3, (1, 1)),
        "call": (1, 4, 1, (1, 1)),
        "caption": (3, 2, 6, (1, 3)),
        "v": (2, 3, 2, (1, 1)),
    }
    assert description.modalities["v"].width == 2
    assert description.modalities["kind"].per == "label"
    assert [(bad.modality, bad.id) for bad in description.bad] == [("photo", "i1"), ("call", "i1"), ("v", "i1")]
    assert "truncated" in description.bad[0].reason
    assert "empty sound" in description.bad[1].reason
    assert "not finite" in description.bad[2].reason
    assert not data.bad


def test_a_file_that_is_not_there_is_a_broken_value():
    rows = [{"photo": "none.png"}, {"photo": None}]
    [bad] = read_collection(rows, config={"modalities": {"photo": {"kind": "image"}}}).describe().bad
    assert bad.id == "0"
    assert "No such file" in bad.reason


def test_a_modality_without_values():
    description = read_collection(
        [{"t": "some text", "v": None}], config={"modalities": {"v": {"kind": "vector"}}}
    ).describe()
    assert description.modalities["v"].several is None
    assert description.modalities["v"].missing == 1
