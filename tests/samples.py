"""Tiny collections with every kind of column, missing and several values; and a way to run commands in this process."""

import contextlib
import csv
import io
import json
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from PIL import Image, ImageDraw

from manymodal.cli import main

SHAPES = ("disc", "frame", "stroke")
MEANINGS = {"disc": "a filled round spot", "frame": "an empty box", "stroke": "one slanted line"}
COLOURS = ("red", "green", "blue", "black")
ITEMS = 24
DEV, TEST = (5, 10, 15, 20), (3, 8, 13, 18)  # the others are for training

# Quick to train: small pictures, few epochs. `meaning` is one text for each label.
CONFIG = {
    "label": "shape",
    "modalities": {
        "photo": {"kind": "image", "column": "photo", "options": {"size": 16}},
        "speech": {"kind": "audio", "column": "speech"},
        "meaning": {"kind": "text", "column": "meaning", "per": "label"},
    },
    "train": {"epochs": 3, "batch_size": 8, "dim": 16},
}
MODALITIES = ["captions", "features", "meaning", "photo", "speech", "table", "trace"]


def picture(i, form="PNG", size=24):
    """The bytes of item i's picture: its shape in its colour, further right for later items."""
    drawn = Image.new("RGB", (size, size), "white")
    pen, colour, left = ImageDraw.Draw(drawn), COLOURS[i % 4], 2 + i % 8
    box = (left, 4, left + 12, 16)
    {
        "disc": lambda: pen.ellipse(box, fill=colour),
        "frame": lambda: pen.rectangle(box, outline=colour, width=2),
        "stroke": lambda: pen.line(box, fill=colour, width=3),
    }[SHAPES[i % 3]]()
    file = io.BytesIO()
    drawn.save(file, form)
    return file.getvalue()


def sound(i, seconds=0.2, rate=16_000):
    """The bytes of item i's sound: a tone, higher for later items."""
    file = io.BytesIO()
    time = np.arange(int(seconds * rate)) / rate
    soundfile.write(file, 0.5 * np.sin(2 * np.pi * (200 + 100 * i) * time), rate, format="WAV")
    return file.getvalue()


def rows(items=ITEMS):
    """A row an item. Every modality of items is missing somewhere; captions are 0 to 3 an item."""
    chance = np.random.default_rng(0)
    split = {**dict.fromkeys(range(items), "train"), **dict.fromkeys(DEV, "dev"), **dict.fromkeys(TEST, "test")}
    made = []
    for i in range(items):
        shape, colour = SHAPES[i % 3], COLOURS[i % 4]
        captions = [f"a {colour} {shape}", f"{shape} number {i}", f"{colour}, drawn at {i % 8}"][: i % 4]
        made.append(
            {
                "id": f"a{i}",
                "split": split[i],
                "shape": shape,
                "photo": None if i == 7 else {"bytes": picture(i), "path": f"{i}.png"},
                "captions": captions or None,
                "features": None if i == 8 else chance.normal(i, 1, 6).tolist(),
                "trace": None if i == 10 else chance.normal(i, 1, (3 + i % 3, 2)).tolist(),
                "speech": None if i % 6 == 4 else {"bytes": sound(i), "path": f"{i}.wav"},
                "weight": None if i == 13 else i / 4,
                "colour": colour,
                "meaning": MEANINGS[shape],
            }
        )
    return made


def write(folder, made, form="parquet", name="pets"):
    """The rows as a file; CSV and JSONL have pictures and sounds as files beside them. Returns its path."""
    path = Path(folder) / f"{name}.{form}"
    if form == "parquet":
        media = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        table = pa.Table.from_pylist(made)
        for column in ("photo", "speech"):
            if column in table.column_names:
                place = table.column_names.index(column)
                table = table.set_column(place, column, pa.array([row[column] for row in made], media))
        pq.write_table(table, path)
        return path
    flat = [{key: _on_disk(path.parent, value) for key, value in row.items()} for row in made]
    if form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in flat), encoding="utf-8")
        return path
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(flat[0]))
        writer.writeheader()
        writer.writerows(
            {key: json.dumps(value) if isinstance(value, list) else value for key, value in row.items()} for row in flat
        )
    return path


def _on_disk(folder, value):
    if not isinstance(value, dict):
        return value
    (folder / value["path"]).write_bytes(value["bytes"])
    return value["path"]


def write_config(folder, name="pets.yaml", **changes):
    """`CONFIG` with changes, as a YAML file (JSON is YAML). Returns its path."""
    path = Path(folder) / name
    path.write_text(json.dumps({**CONFIG, **changes}), encoding="utf-8")
    return path


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def run(*arguments):
    """`manymodal ARGUMENTS`, in this process, through the program's own entry point."""
    out, err = io.StringIO(), io.StringIO()
    words = ["manymodal", *(str(argument) for argument in arguments)]
    with mock.patch.object(sys, "argv", words), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
    return Ran(code, out.getvalue(), err.getvalue())


def contents(folder):
    """{relative path: bytes} of all files under a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}
