"""Flickr8k (Hodosh, Young and Hockenmaier 2013), with its spoken (Harwath and Glass 2015) and Chinese captions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...errors import ManymodalError
from ...words import counted
from ..media import kind_of_suffix
from .layout import find, lines, malformed, parsed, read_text, require
from .published import MEDIA, TEXTS, Files, Published, config_of

PLACES = ("", "Flickr8k_text", "flickr_audio", "flickr8kcn", "flickr8kcn/data")
PHOTOS = "Flickr8k_Dataset/Flicker8k_Dataset|Flicker8k_Dataset|Flickr8k_Dataset"  # the archive has the slip
TOKENS, KARPATHY = "Flickr8k.token.txt", ("dataset_flickr8k.json", "dataset.json")
LISTS = {"train": "Flickr_8k.trainImages.txt", "dev": "Flickr_8k.devImages.txt", "test": "Flickr_8k.testImages.txt"}
SPOKEN = ("wavs", "wav2capt.txt")
SPLITS = {"train": "train", "val": "dev", "test": "test"}  # as Karpathy's JSON calls them
ENGLISH = re.compile(r"(?P<photo>[^\t]+)#(?P<place>\d+)\t(?P<text>.+)")
CHINESE = re.compile(r"(?P<photo>\S+)#zhc#(?P<place>\d+)\s+(?P<text>.+)")

Captions = dict[str, dict[int, str]]  # by the photo's file name and the caption's number, from 0


@dataclass(frozen=True)
class Recording:
    """One caption read aloud."""

    caption: int
    wav: Path
    speaker: str | None


@dataclass(frozen=True)
class Texts:
    """What the photos are called, what is written about them and what they are for.

    Args:
        source: the file of the captions.
        english: by photo.
        splits: train, dev or test by photo; none where it is in no list.
        notes: one line each.
    """

    source: Path
    english: Captions
    splits: dict[str, str]
    notes: list[str] = field(default_factory=list)


def read_flickr8k(folder: Path, *, link_from: Path | None = None, skip: bool = False) -> Published:
    """Find Flickr8k in a folder: photos, English captions and splits; spoken and Chinese captions where they are.

    Args:
        folder: holds `Flickr8k_Dataset/` (or `Flicker8k_Dataset/`); `Flickr8k.token.txt` and the three lists
            `Flickr_8k.*Images.txt`, or else Karpathy's `dataset_flickr8k.json`; `wavs/` and `wav2capt.txt`;
            `flickr8kzhc.caption.txt`: each right there or in the subfolder that its archive makes.
        link_from: folder that the paths of photos and recordings are relative to; None embeds their bytes.
        skip: whether a file that cannot be used is counted as missing instead of refused.

    Raises:
        ManymodalError: files are absent or malformed; the text names them, with line and what is needed.
    """
    karpathy = find(folder, PLACES, *KARPATHY)
    published = [TOKENS, *LISTS.values()]
    by_json = karpathy is not None and not all(find(folder, PLACES, name) for name in published)
    instead = f" (in place of the texts, {' or '.join(KARPATHY)} will do)"
    found = require(folder, PLACES, [PHOTOS, *([] if by_json else published)], instead)
    texts = _read_karpathy(karpathy) if karpathy is not None and by_json else _read_published(found)
    if karpathy is not None and not by_json:
        texts.notes.append(f"{karpathy.name} is not used: the published texts are complete")
    photos, english = found[PHOTOS], texts.english
    if not english:
        raise ManymodalError(f"{texts.source}: found no captions; needed: those of at least one photo")
    chinese, speech = _read_chinese(folder, texts), _read_speech(folder, texts)
    columns = {"id": pa.string(), "split": pa.string(), "photo": MEDIA, "en": TEXTS}
    modalities: dict[str, dict[str, Any]] = {"photo": {"kind": "image"}, "en": {"kind": "text", "several": True}}
    if chinese:
        columns["zh"] = TEXTS
        modalities["zh"] = {"kind": "text", "several": True}
    if speech:
        columns |= {"speech": pa.list_(MEDIA), "speech_caption": pa.list_(pa.int64()), "speaker": TEXTS}
        modalities["speech"] = {"kind": "audio", "several": True}

    files = Files(link_from, skip)
    there = files.usable("photo", {photos / name: _id(name) for name in english}, texts.source)
    wavs = {one.wav: _id(name) for name, recordings in speech.items() for one in recordings}
    there |= files.usable("speech", wavs, Path(SPOKEN[1]))

    def rows() -> Iterator[Mapping[str, Any]]:
        for name, captions in english.items():
            id, photo = _id(name), photos / name
            row: dict[str, Any] = {"id": id, "split": texts.splits.get(name, "unused"), "en": _in_order(captions)}
            row["photo"] = files.cell("photo", id, photo) if photo in there else None
            if chinese:
                row["zh"] = _in_order(chinese.get(name, {}))
            if speech:
                recordings = [one for one in speech.get(name, []) if one.wav in there]
                cells = [(one, files.cell("speech", id, one.wav)) for one in recordings]
                read = [(one, cell) for one, cell in cells if cell is not None]
                row["speech"] = [cell for _, cell in read]
                row["speech_caption"] = [one.caption for one, _ in read]
                row["speaker"] = [one.speaker for one, _ in read]
            yield row

    config = config_of(columns, modalities, [("speech", "en")] if speech else [], split="split")
    return Published(columns, rows(), len(english), {"": config}, texts.notes, files.bad)


def _read_published(found: Mapping[str, Path]) -> Texts:
    """The captions as one file, the splits as three lists of names."""
    texts = Texts(found[TOKENS], {}, {})
    texts.english.update(_captions(found[TOKENS], ENGLISH, "PHOTO.jpg#NUMBER<tab>CAPTION"))
    others = [name for name in texts.english if kind_of_suffix(name) != "image"]
    for name in others:  # the published file has one, 2258277193_586949ec62.jpg.1, of which there is no photo
        del texts.english[name]
    if others:
        texts.notes.append(
            f"{TOKENS}: the captions of {counted(len(others), 'name')} that no picture can have "
            f"are left out (the first: {others[0]})"
        )
    for split, file in LISTS.items():
        for number, name in lines(found[file]):
            if name not in texts.english:
                raise malformed(found[file], number, name, f"a photo that {TOKENS} names")
            if name in texts.splits:
                raise malformed(found[file], number, name, f"a photo once; it is in {texts.splits[name]} already")
            texts.splits[name] = split
    return texts


def _read_karpathy(path: Path) -> Texts:
    """Captions and splits as the JSON file that A. Karpathy published beside his features (2015)."""
    try:
        images = json.loads(read_text(path))["images"]
    except json.JSONDecodeError as error:
        raise ManymodalError(f"{path}, line {error.lineno}: not JSON: {error.msg}") from error
    except (KeyError, TypeError) as error:
        raise ManymodalError(f"{path}: found no key 'images'; needed: {{'images': [...]}}") from error
    texts = Texts(path, {}, {})
    for number, image in enumerate(images):
        try:
            name, split = image["filename"], SPLITS[image["split"]]
            captions = {place: sentence["raw"].strip() for place, sentence in enumerate(image["sentences"])}
        except (LookupError, TypeError, AttributeError) as error:
            raise ManymodalError(
                f"{path}, images[{number}]: found {str(image)[:120]}; needed: filename, split (train, val or test) "
                "and sentences, each with raw"
            ) from error
        if name in texts.english:
            raise ManymodalError(f"{path}, images[{number}]: found {name} a second time; needed: each photo once")
        texts.english[name], texts.splits[name] = captions, split
    return texts


def _read_chinese(folder: Path, texts: Texts) -> Captions:
    """The sentences that Chinese speakers wrote (Li et al. 2016, github.com/li-xirong/flickr8kcn); none if absent."""
    path = find(folder, PLACES, "flickr8kzhc.caption.txt")
    if path is None:
        texts.notes.append("zh: no flickr8kzhc.caption.txt, so there are no Chinese captions")
        return {}
    chinese = _captions(path, CHINESE, "PHOTO.jpg#zhc#NUMBER CAPTION")
    return _of_known_photos(chinese, texts, path)


def _read_speech(folder: Path, texts: Texts) -> dict[str, list[Recording]]:
    """The Flickr Audio Caption Corpus: the recordings of each photo, in the order of its captions; none if absent."""
    if find(folder, PLACES, *SPOKEN) is None:
        texts.notes.append(f"speech: neither {' nor '.join(SPOKEN)}, so there are no spoken captions")
        return {}
    wavs, path = require(folder, PLACES, SPOKEN).values()
    speakers = _read_speakers(folder, texts)
    found: dict[str, list[Recording]] = {}
    needed = "WAV PHOTO.jpg #NUMBER, the number of one of the photo's captions"
    for number, line, (wav, photo, place) in parsed(path, 3, needed, lambda cells: cells):
        if not re.fullmatch(r"#\d+", place) or int(place[1:]) not in texts.english.get(photo, {int(place[1:])}):
            raise malformed(path, number, line, needed)
        found.setdefault(photo, []).append(Recording(int(place[1:]), wavs / wav, speakers.get(wav)))
    in_order = {photo: sorted(those, key=lambda one: one.caption) for photo, those in found.items()}
    return _of_known_photos(in_order, texts, path)


def _read_speakers(folder: Path, texts: Texts) -> dict[str, str]:
    """Who speaks in each recording, where that was published with them."""
    path = find(folder, PLACES, "wav2spk.txt")
    if path is None:
        texts.notes.append("speaker: no wav2spk.txt, so speakers are unknown")
        return {}
    return {wav: speaker for _, _, (wav, speaker) in parsed(path, 2, "WAV SPEAKER", lambda cells: cells)}


def _of_known_photos(found: dict[str, Any], texts: Texts, path: Path) -> dict[str, Any]:
    """What belongs to photos that have English captions; how much else there is, is noted."""
    known = {name: value for name, value in found.items() if name in texts.english}
    if len(known) < len(found):
        texts.notes.append(
            f"{path.name}: {counted(len(found) - len(known), 'photo')} that {texts.source.name} does not name left out"
        )
    return known


def _captions(path: Path, form: re.Pattern[str], needed: str) -> Captions:
    found: Captions = {}
    for number, line in lines(path):
        match = form.fullmatch(line)
        if match is None:
            raise malformed(path, number, line, needed)
        of_photo = found.setdefault(match["photo"], {})
        if int(match["place"]) in of_photo:
            raise malformed(path, number, line, "each caption's number once for a photo")
        of_photo[int(match["place"])] = match["text"]
    return found


def _in_order(captions: Mapping[int, str]) -> list[str]:
    return [captions[place] for place in sorted(captions)]


def _id(photo: str) -> str:
    return Path(photo).stem
