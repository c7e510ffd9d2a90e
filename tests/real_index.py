"""A small `Index` with the modalities of `fake_index`, but for the one that nothing encodes; for tests of the server."""

import io

import numpy as np
import soundfile
from PIL import Image

import manymodal as mm

HOSTILE = "<script>alert(1)</script>"
KINDS = ("cat", "dog")
CONFIG = {
    "label": "kind",
    "modalities": {
        "photo": {"kind": "image", "column": "photo", "options": {"size": 16}},
        "call": {"kind": "audio", "column": "call"},
        "facts": {"kind": "table", "columns": ["year", "kind"]},
        "species": {"kind": "text", "column": "species", "per": "label"},
    },
    "ignore": ["note"],
}


def rows(items=40):
    """Items "0" to "38" and one with script in its id and texts."""
    chance = np.random.default_rng(0)
    found = []
    for number in range(items):
        kind = KINDS[number % 2]
        colour = tuple(int(part) for part in chance.integers(0, 255, 3))
        found.append(
            {
                "id": str(number) if number < items - 1 else HOSTILE,
                "caption": f"a {kind} in {2000 + number}" if number < items - 1 else HOSTILE,
                "photo": {"bytes": _picture(colour), "path": None},
                "call": {"bytes": _sound(300 + 20 * number), "path": None},
                "points": chance.normal(number % 2, 0.3, 5).tolist(),
                "strokes": chance.normal(number % 2, 0.3, (4 + number % 3, 2)).tolist(),
                "year": 2000 + number,
                "kind": kind,
                "note": HOSTILE if number % 10 == 0 else f"note {number}",
                "species": f"the {kind}",
            }
        )
    return found


def build(folder):
    """The index, fitted for an epoch, in a folder."""
    data = mm.read_collection(rows(), config=CONFIG)
    space = mm.Space.for_collection(data, dim=8, cache=folder / "cache")
    space.fit(data, epochs=1, batch_size=16, device="cpu", cache=folder / "cache")
    return mm.Index.build(folder / "pets.index", data, space, cache=folder / "cache")


def _picture(colour):
    file = io.BytesIO()
    Image.new("RGB", (24, 24), colour).save(file, "PNG")
    return file.getvalue()


def _sound(pitch):
    file = io.BytesIO()
    soundfile.write(file, 0.5 * np.sin(np.arange(3200) * pitch / 16_000 * 2 * np.pi), 16_000, format="WAV")
    return file.getvalue()
