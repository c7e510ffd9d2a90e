"""CUB-200-2011 (Wah et al. 2011): photos of birds of 200 species, with the captions of Reed et al. (2016)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...errors import ManymodalError
from ..media import decode_picture
from .cub_attributes import class_attributes, image_attributes
from .cub_classes import readable_names, seen_and_unseen
from .cub_parts import Box, Parts, box_of, cut, read_parts, within_picture
from .layout import Value, by_id, check_same_ids, find, lines, require
from .published import MEDIA, TEXTS, Files, Published, config_of

PLACES = ("", "CUB_200_2011")
CAPTIONS = (*PLACES, "cvpr2016_cub", "text")
ATTRIBUTES = (*PLACES, "attributes", "CUB_200_2011/attributes", "..")  # the archive has the names above CUB_200_2011/
PHOTOS, PHOTO_FILES, CLASSES, CLASS_OF, IS_TRAIN = (
    *("images", "images.txt", "classes.txt", "image_class_labels.txt", "train_test_split.txt"),
)
BOXES, BY_IMAGE = "bounding_boxes.txt", "attributes/image_attribute_labels.txt"
BY_CLASS, PARTS = "attributes/class_attribute_labels_continuous.txt", ("parts/parts.txt", "parts/part_locs.txt")
VECTOR = pa.list_(pa.float32())


@dataclass(frozen=True)
class Lists:
    """What the set's own lists say, by image number; `classes` by class number, from 1."""

    images: Mapping[int, str]
    classes: Mapping[int, str]
    species: Mapping[int, int]
    train: Mapping[int, bool]
    boxes: Mapping[int, Box]


def read_cub(
    folder: Path, *, link_from: Path | None = None, skip: bool = False, crop: bool = False, per_image: bool = False
) -> Published:
    """Find CUB-200-2011 in a folder: photos, species and splits; captions, parts, attributes where they are.

    Args:
        folder: `CUB_200_2011/` or the folder that holds it; `text_c10/` and the class lists of zero-shot learning
            (`testclasses.txt`, `trainvalclasses.txt`) lie there or in the folder that their archive makes.
        link_from: folder that the photos' paths are relative to; None embeds their bytes.
        skip: whether a file that cannot be used is counted as missing instead of refused.
        crop: whether photos are cut along the published boxes; parts are fractions of the crop then.
        per_image: whether to read the attributes that a person saw in each photo, too (3.7 million lines).

    Raises:
        ManymodalError: files are absent or malformed, or crops are to be linked; the text says where and why.
    """
    if crop and link_from is not None:
        raise ManymodalError("a crop is a new picture, which cannot be linked; choose either --crop or --link")
    names = find(folder, ATTRIBUTES, "attributes.txt")
    wanted = [PHOTOS, PHOTO_FILES, CLASSES, CLASS_OF, IS_TRAIN]
    found = require(folder, PLACES, [*wanted, *([BOXES] if crop else []), *([BY_IMAGE] if per_image else [])])
    known = _read_lists(found)
    notes: list[str] = []
    labels = readable_names(found[CLASSES], known.classes)
    zero_shot = seen_and_unseen(folder, known.classes, notes)
    captions = _captions(folder, known.images, notes)
    parts = _parts(folder, known.images, notes)
    shares = _class_attributes(folder, names, known.classes, notes)
    if per_image and names is None:
        raise ManymodalError(f"{folder} lacks attributes.txt, the names of the attributes; {BY_IMAGE} needs it")
    seen_in = image_attributes(found[BY_IMAGE], names, known.images, notes) if per_image and names else {}

    kinds: dict[str, tuple[Any, dict[str, Any] | None]] = {  # column -> type, and modality where it is one
        "id": (pa.string(), None),
        "split": (pa.string(), None),
        **({"zero_shot_split": (pa.string(), None)} if zero_shot else {}),
        "label": (pa.string(), None),
        "photo": (MEDIA, {"kind": "image"}),
        **({"captions": (TEXTS, {"kind": "text", "several": True})} if captions else {}),
        **({"parts": (_numbers(parts.fields()), {"kind": "table", "columns": ["parts"]})} if parts else {}),
        **({"image_attributes": (VECTOR, {"kind": "vector"})} if seen_in else {}),
        **({"attributes": (VECTOR, {"kind": "vector", "per": "label"})} if shares else {}),
    }
    files = Files(link_from, skip)
    paths = {image: found[PHOTOS] / name for image, name in known.images.items()}
    there = files.usable("photo", {path: str(image) for image, path in paths.items()}, found[PHOTO_FILES])
    there |= files.usable("captions", {path: str(image) for image, path in captions.items()}, found[PHOTO_FILES])

    def rows() -> Iterator[dict[str, Any]]:
        for image, path in paths.items():
            species, train = known.species[image], known.train[image]
            row: dict[str, Any] = {"id": str(image), "split": "train" if train else "test", "label": labels[species]}
            row |= {"zero_shot_split": _zero_shot_split(species, train, zero_shot)} if zero_shot else {}
            if path in there:
                row["photo"], row["parts"] = _seen(image, path, parts, known.boxes.get(image), files)
            if captions and captions[image] in there:
                row["captions"] = [text for _, text in lines(captions[image])]
            row["image_attributes"] = seen_in[image].tolist() if seen_in else None
            row["attributes"] = shares.get(species)
            yield row

    columns = {name: kind for name, (kind, _) in kinds.items()}
    modalities = {name: modality for name, (_, modality) in kinds.items() if modality is not None}
    modalities["name"] = {"kind": "text", "column": "label", "per": "label"}
    configs = {"": config_of(columns, modalities, split="split", label="label")}
    if zero_shot:  # unseen species need a tenth of the seen ones to choose by, so whole species become dev
        by_species = {"split": "zero_shot_split", "split_by": "label", "label": "label"}
        configs["_zero_shot"] = config_of(columns, modalities, **by_species)
    return Published(columns, rows(), len(known.images), configs, notes, files.bad)


def _read_lists(found: Mapping[str, Path]) -> Lists:
    """The lists, each checked to speak of the same images; no boxes where their file was not asked for."""
    images = by_id(found[PHOTO_FILES], 2, "IMAGE CLASS/FILE.jpg", lambda cells: cells[0])
    classes = by_id(found[CLASSES], 2, "CLASS NAME", lambda cells: cells[0])

    def of_images(name: str, fields: int, needed: str, parse: Callable[[list[str]], Value]) -> dict[int, Value]:
        values = by_id(found[name], fields, needed, parse)
        check_same_ids(found[name], values, found[PHOTO_FILES], images)
        return values

    number_of, flags = {str(number): number for number in classes}, {"1": True, "0": False}
    return Lists(
        images,
        classes,
        of_images(CLASS_OF, 2, f"IMAGE CLASS, a class of {CLASSES}", lambda cells: number_of[cells[0]]),
        of_images(IS_TRAIN, 2, "IMAGE 1 (train) or IMAGE 0 (test)", lambda cells: flags[cells[0]]),
        of_images(BOXES, 5, "IMAGE X Y WIDTH HEIGHT in pixels", box_of) if BOXES in found else {},
    )


def _numbers(names: list[str]) -> Any:
    return pa.struct([(name, pa.float64()) for name in names])


def _zero_shot_split(species: int, train: bool, zero_shot: tuple[set[int], set[int]]) -> str:
    """Test where the species is unseen; photos of seen species that are officially for testing are left out."""
    seen, unseen = zero_shot
    if species in unseen:
        return "test"
    return "train" if train and species in seen else "unused"


def _seen(
    image: int, path: Path, parts: Parts | None, box: Box | None, files: Files
) -> tuple[dict[str, Any] | None, dict[str, float | None] | None]:
    """A photo, cut along the box where there is one, and its parts as fractions of what is left; None where broken."""
    if parts is None and box is None:
        return files.cell("photo", str(image), path), None
    content = files.content("photo", str(image), path)
    if content is None:
        return None, None
    try:
        picture = decode_picture(content)
    except ManymodalError as error:
        files.refuse("photo", str(image), f"{path}: {error}")
        return None, None
    frame = (0, 0, *picture.size) if box is None else within_picture(box, picture.size)
    if frame is None:
        files.refuse("photo", str(image), f"{path}: the box {box} lies outside of its {picture.size} pixels")
        return None, None
    cell = files.stored(path, content if box is None else cut(picture, frame))
    return cell, None if parts is None else parts.within(image, frame)


def _captions(folder: Path, images: Mapping[int, str], notes: list[str]) -> dict[int, Path]:
    """The file of each photo's captions, a line each; none if the folder is absent."""
    root = find(folder, CAPTIONS, "text_c10")
    if root is None:
        notes.append("captions: no text_c10/, so there are none")
        return {}
    return {image: (root / name).with_suffix(".txt") for image, name in images.items()}


def _parts(folder: Path, images: Mapping[int, str], notes: list[str]) -> Parts | None:
    if find(folder, PLACES, *PARTS) is None:
        notes.append(f"parts: neither {' nor '.join(PARTS)}, so there are none")
        return None
    names, places = require(folder, PLACES, PARTS).values()
    return read_parts(names, places, images)


def _class_attributes(
    folder: Path, names: Path | None, classes: Mapping[int, str], notes: list[str]
) -> dict[int, list[float]]:
    path = find(folder, PLACES, BY_CLASS)
    if path is None:
        notes.append(f"attributes: no {BY_CLASS}, so there are none")
        return {}
    return class_attributes(path, names, classes)
