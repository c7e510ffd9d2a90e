"""Things to search for in the page's tests, ranked by what they plainly have in common.

Things have a shape and a colour. Words match by the words of a caption, pictures by their mean colour, stored values by
both, so that what should come first is plain to see. Anything else that is asked with counts for nothing.
"""

from __future__ import annotations

import base64
import io
import math
import re
import wave
from functools import cache
from typing import Any

from PIL import Image, ImageDraw, ImageStat

COLOURS = {
    "red": (201, 72, 52),
    "green": (78, 140, 84),
    "blue": (62, 104, 168),
    "yellow": (226, 178, 58),
    "grey": (128, 124, 118),
}
SHAPES = ("circle", "square", "triangle", "star")
SCRIPT = '<img src=x onerror="window.ran=1"><script>window.ran=1</script>'
LIMITS = {"k": 200, "body_bytes": 16_000_000, "picture_pixels": 25_000_000, "sound_seconds": 60, "parts": 16,
          "values": 16, "text_characters": 10_000, "where_characters": 2_000}  # fmt: skip


def _things() -> dict[str, dict[str, Any]]:
    things = {}
    for number in range(60):
        colour, shape = list(COLOURS)[number % 5], SHAPES[number % 4]
        words = [f"a {colour} {shape} on paper", f"{shape} painted in {colour}, seen from the front"]
        things[str(number)] = {
            "colour": colour,
            "shape": shape,
            "year": 1990 + number,
            "captions": words[: 1 + number % 2],
        }
    things["7"]["captions"] = [f"{SCRIPT} a blue star"]
    return things


THINGS = _things()
MODALITIES: dict[str, dict[str, Any]] = {
    "photo": {"kind": "image"},
    "caption": {"kind": "text"},
    "sound": {"kind": "audio"},
    "facts": {"kind": "table", "cells": {"weight": {"kind": "number", "categories": []},
                                          "material": {"kind": "category", "categories": ["clay", "paper", "wood"]},
                                          "signed": {"kind": "category", "categories": [False, True]},
                                          "made": {"kind": "date", "categories": []}}},
    "outline": {"kind": "series", "width": 3},
    "trait": {"kind": "vector", "width": 4},
    "species": {"kind": "text", "per": "label"},
}  # fmt: skip
COLUMNS = {"title": "text", "year": "number", "sold": "boolean", "bought": "date", "tags": "list", "from where": "text"}


def index_of(things: dict[str, Any]) -> dict[str, Any]:
    base = {
        "kind": None,
        "per": "item",
        "queryable": True,
        "items": len(things),
        "values": len(things),
        "recall": {},
        "cells": {},
        "width": None,
    }
    return {
        "name": "shapes", "version": 3, "items": len(things), "d": 32, "engine": "exact", "calibrated": True,
        "corrections": ["qb_norm", "csls"], "space": "abc", "columns": COLUMNS, "limits": LIMITS,
        "modalities": {name: base | own for name, own in MODALITIES.items()}, "targets": [*MODALITIES, "item"],
    }  # fmt: skip


def picture_of(thing: dict[str, Any], side: int = 240) -> bytes:
    """A shape in its colour on a ground of its own, as JPEG."""
    return _picture(thing["colour"], thing["shape"], side)


@cache
def _picture(colour: str, shape: str, side: int) -> bytes:
    ink = COLOURS[colour]
    paper = tuple(round(230 + (level - 128) * 0.15) for level in ink)
    image = Image.new("RGB", (side, side), paper)
    pen, m = ImageDraw.Draw(image), side // 5
    if shape == "circle":
        pen.ellipse((m, m, side - m, side - m), fill=ink)
    elif shape == "square":
        pen.rectangle((m, m, side - m, side - m), fill=ink)
    else:
        points = 3 if shape == "triangle" else 10
        radii = [0.38 if points == 3 or i % 2 == 0 else 0.17 for i in range(points)]
        turns = [2 * math.pi * i / points - math.pi / 2 for i in range(points)]
        pen.polygon(
            [
                (side * (0.5 + r * math.cos(t)), side * (0.52 + r * math.sin(t)))
                for r, t in zip(radii, turns, strict=True)
            ],
            fill=ink,
        )
    return _encoded(image, "JPEG")


def drawing_of(thing: dict[str, Any]) -> bytes:
    """The same as a drawing: black on white, small."""
    image = Image.open(io.BytesIO(picture_of(thing, 48))).convert("L")
    corner = image.getpixel((1, 1))
    return _encoded(image.point(lambda level: 255 if abs(level - corner) < 20 else 0), "PNG")


def _encoded(image: Image.Image, form: str) -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def sound_of(thing: dict[str, Any]) -> bytes:
    """A quarter of a second of a tone, as WAV."""
    pitch = 220 + 40 * SHAPES.index(thing["shape"])
    samples = [round(9000 * math.sin(2 * math.pi * pitch * t / 8000)) for t in range(2000)]
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples))
    return file.getvalue()


def columns_of(thing: dict[str, Any]) -> dict[str, Any]:
    year = thing["year"]
    return {"title": f"{thing['colour'].title()} {thing['shape']} no. {year - 1989}", "year": year, "sold": year % 3 == 0,
            "bought": f"{year}-05-01", "tags": [thing["shape"], "art"], "from where": None if year % 2 else "here"}  # fmt: skip


def count_of(thing: dict[str, Any], modality: str) -> int:
    if modality == "sound" and thing["year"] % 4 == 0:
        return 0
    return len(thing["captions"]) if modality == "caption" else 1


def alike(thing: dict[str, Any], part: dict[str, Any], files: dict[str, bytes]) -> float:
    """How much a thing has in common with a part, between 0.1 and 0.9."""
    several = [{"items": [id]} for id in part.get("items", [])] + [
        {"values": [value]} for value in part.get("values", [])
    ]
    if len(several) > 1:
        return sum(alike(thing, one, files) for one in several) / len(several)
    if "items" in part:
        other = THINGS.get(part["items"][0], {"colour": "", "shape": part["items"][0]})
        return 0.1 + 0.5 * (thing["shape"] == other["shape"]) + 0.3 * (thing["colour"] == other["colour"])
    value = part["values"][0]
    if isinstance(value, str):
        said = re.findall(r"\w+", value.lower())
        own = re.findall(r"\w+", " ".join([thing["colour"], thing["shape"], *thing["captions"]]).lower())
        return 0.1 + 0.8 * sum(word in own for word in said) / max(len(said), 1)
    if isinstance(value, dict) and ("file" in value or "base64" in value):
        content = files[value["file"]] if "file" in value else base64.b64decode(value["base64"])
        if not thing["colour"] or content.startswith(b"RIFF"):
            return 0.3
        own = _mean(picture_of(thing))
        return max(0.9 - math.dist(_mean(content), own) / 255, 0.0)
    return 0.2


@cache
def _mean(content: bytes) -> tuple[float, ...]:
    """A picture's mean colour."""
    return tuple(ImageStat.Stat(Image.open(io.BytesIO(content)).convert("RGB")).mean)


def meets(thing: dict[str, Any], where: str) -> bool:
    """Conditions like `year > 2010 and sold = true`, which is all that the tests need."""
    for term in re.split(r"\s+and\s+", where) if where else []:
        match = re.fullmatch(r"(\w+|\"[^\"]+\") (=|>|<|like) (.+)", term.strip())
        name = match[1].strip('"') if match else ""
        if match is None or name not in COLUMNS:
            raise ValueError(f"“{name or term}” is not a column; the columns are {', '.join(COLUMNS)}")
        held, value = columns_of(thing)[name], match[3]
        if match[2] == "like":
            met = value.strip("'%").lower() in str(held).lower()
        else:
            other: Any = {"true": True, "false": False}.get(value) if value in ("true", "false") else value.strip("'")
            other = float(other) if isinstance(held, int) and not isinstance(held, bool) else other
            met = {"=": held == other, ">": held is not None and held > other, "<": held is not None and held < other}[
                match[2]
            ]
        if not met:
            return False
    return True
