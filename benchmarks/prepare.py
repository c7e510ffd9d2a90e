"""Turn the benchmark data's arrays into collections: NAME.parquet, and a YAML for each set of modalities to learn.

    python benchmarks/prepare.py --data ../shared/data --out benchmarks/data [flickr8k emoji mfeat cub]

The data stay their owners': nothing written here may be published with the library.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from columns import array, arrays, csv_rows, drawings, grouped, json_lines, logmels, packed_pictures, vectors
from common import DATA, MINILM
from manymodal.errors import ManymodalError
from manymodal.files import replacing

SPLITS = np.array(["train", "dev", "test"])  # by the code that some of the arrays use
PARTS = (
    *("back", "beak", "belly", "breast", "crown", "forehead", "left_eye", "left_leg", "left_wing", "nape"),
    *("right_eye", "right_leg", "right_wing", "tail", "throat"),
)

Modalities = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Prepared:
    """A table and the configurations that read it, by the name of the YAML (without its ending)."""

    table: pa.Table
    configs: Mapping[str, Mapping[str, Any]]


# -- data sets ---------------------------------------------------------------------------------------------------------


def flickr8k(data: Path) -> Prepared:
    """8,091 photos: features, pixels, five English and five Chinese captions, one synthetic spoken English caption."""
    folder, spoken = data / "flickr8k", data / "flickr8k_speech_synthetic"
    rows, utterances = json_lines(folder / "captions.jsonl"), csv_rows(spoken / "utterances.csv")
    utterance_of = {int(u["image_index"]): number for number, u in enumerate(utterances)}
    order = [utterance_of.get(row) for row in range(len(rows))]
    ids = [row["id"] for row in rows]
    table = pa.table(
        {
            "id": ids,
            "split": [row["split"] for row in rows],
            "photo_features": vectors(unit_roots(arrays(folder / "image_features.npz")["mobilenet_v2"])),
            "photo": packed_pictures(
                array(folder / "images_112_jpeg.npy"),
                array(folder / "images_112_offsets.npy"),
                [f"{i}.jpg" for i in ids],
            ),
            "en": [row["en"] for row in rows],
            "zh": [row["zh"] for row in rows],
            "speech": logmels(spoken / "logmel_u8.npz").take(pa.array(order, pa.int64())),
            "speech_caption": pa.array(
                [None if u is None else int(utterances[u]["caption_index"]) for u in order], pa.int8()
            ),
            "speaker": pa.array([None if u is None else int(utterances[u]["speaker"]) for u in order], pa.int8()),
        }
    )
    modalities: Modalities = {
        "photo_features": {"kind": "vector"},
        "en": {"kind": "text", "several": True, "encoder": MINILM},
        "zh": {"kind": "text", "several": True},
        "speech": {"kind": "series"},
        "photo": {"kind": "image"},
    }
    names, ngrams = list(modalities), {**modalities, "en": {"kind": "text", "several": True}}
    spoken_text = [("speech", "en")]
    return Prepared(
        table,
        {
            "flickr8k_pair": config(table, modalities, names[:2]),
            "flickr8k_pair_ngrams": config(table, ngrams, names[:2]),
            "flickr8k_four": config(table, modalities, names[:4], same_source=spoken_text),
            "flickr8k_four_ngrams": config(table, ngrams, names[:4], same_source=spoken_text),
            "flickr8k_five": config(table, modalities, names, same_source=spoken_text),
        },
    )


def emoji(data: Path) -> Prepared:
    """1,849 emoji: six drawings with gaps, names and tags in seven languages, keywords, the name spoken twice."""
    folder, spoken = data / "emoji", data / "emoji_speech_synthetic"
    rows = json_lines(folder / "emoji.jsonl")
    styles = ("openmoji_color", "twemoji", "noto", "fluent_3d", "openmoji_line", "fluent_mono")
    languages = ("de", "fr", "es", "ja", "zh", "ru")
    codes = [row["hexcode"] for row in rows]
    owners = np.array([int(u["emoji_index"]) for u in csv_rows(spoken / "utterances.csv")])
    table = pa.table(
        {
            "id": codes,
            "split": [row["split"] for row in rows],
            **{key: [row[key] for row in rows] for key in ("emoji", "family", "group", "subgroup")},
            **{style: drawings(folder / f"{style}.npz", codes) for style in styles},
            "name": [row["name"]["en"] for row in rows],
            "tags": [row["tags"]["en"] for row in rows],
            "keywords": [own_keywords(row) for row in rows],
            "speech": grouped(logmels(spoken / "logmel_u8.npz"), owners, len(rows)),
            **{f"name_{language}": [row["name"][language] for row in rows] for language in languages},
            **{f"tags_{language}": [row["tags"][language] for row in rows] for language in languages},
        }
    )
    modalities: Modalities = {
        **{style: {"kind": "image"} for style in styles},
        "name": {"kind": "text"},
        "tags": {"kind": "text", "several": True},
        "keywords": {"kind": "text", "several": True},
        "speech": {"kind": "series", "several": True},
    }
    return Prepared(table, {"emoji": config(table, modalities, list(modalities), same_source=[("speech", "name")])})


def mfeat(data: Path) -> Prepared:
    """2,000 handwritten digits, each described by six feature vectors."""
    views = arrays(data / "mfeat" / "mfeat.npz")
    names = ("fac", "fou", "kar", "mor", "pix", "zer")
    table = pa.table(
        {
            "id": [str(row) for row in range(len(views["label"]))],
            "split": SPLITS[views["split"]].tolist(),
            "label": [str(digit) for digit in views["label"]],
            **{name: vectors(views[name]) for name in names},
        }
    )
    modalities: Modalities = {name: {"kind": "vector"} for name in names}
    return Prepared(table, {"mfeat": config(table, modalities, names)})


def cub(data: Path) -> Prepared:
    """Bird photos: pixels, features, for some captions and body parts, attributes and name per species.

    A photo that occurs in both of the set's parts is taken from the captioned one only, so that no item has a twin.
    """
    folder = data / "cub"
    crops, captioned = arrays(folder / "crops.npz"), arrays(folder / "captioned.npz")
    rows = json_lines(folder / "captions.jsonl")
    known = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
    alone = np.flatnonzero(~np.isin(crops["official_image_id"], [row["cub_image_id"] for row in rows]))
    ids = [f"photo-{row['cub_image_id']}" for row in rows] + [f"crop-{row}" for row in alone]
    species = np.concatenate([captioned["class_id"], crops["class_id"][alone]])  # (n,)
    train = np.concatenate([captioned["is_train"], crops["is_train"][alone]])  # (n,)
    unseen = np.isin(species, known["zero_shot_unseen_classes"])
    gap = [None] * len(alone)
    names = [f"{i}.jpg" for i in ids[: len(rows)]], [f"crop-{row}.jpg" for row in range(len(crops["class_id"]))]
    large = packed_pictures(array(folder / "captioned_160_jpeg.npy"), captioned["offsets"], names[0])
    small = packed_pictures(array(folder / "crops_96_jpeg.npy"), crops["offsets"], names[1])
    bird = np.concatenate([captioned["feature_bird"], crops["feature_bird"][alone]])  # (n, 1280)
    generic = arrays(folder / "crops_feature_generic.npz")["feature_generic"][alone]
    generic = np.concatenate([captioned["feature_generic"], generic])  # (n, 1280)
    table = pa.table(
        {
            "id": ids,
            "split": np.where(train, "train", "test").tolist(),
            "zero_shot_split": np.where(unseen, "test", np.where(train, "train", "unused")).tolist(),
            "label": [known["class_names"][code] for code in species],
            "photo": pa.concat_arrays([large, small.take(pa.array(alone))]),
            "bird_features": vectors(unit_roots(bird)),
            "generic_features": vectors(unit_roots(generic)),
            "captions": [row["captions"] for row in rows] + gap,
            "parts": [body_parts(xy) for xy in captioned["parts_xy"]] + gap,
            "attributes": vectors(array(folder / "class_attributes.npy")[species]),
        }
    )
    modalities: Modalities = {
        "photo": {"kind": "image"},
        "generic_features": {"kind": "vector"},
        "bird_features": {"kind": "vector"},
        "captions": {"kind": "text", "several": True},
        "parts": {"kind": "table", "columns": ["parts"]},
        "attributes": {"kind": "vector", "per": "label"},
        "name": {"kind": "text", "column": "label", "per": "label"},
    }
    by_species = ("generic_features", "attributes", "name")  # there for all species, so that unseen ones can be named
    return Prepared(
        table,
        {
            "cub": config(table, modalities, list(modalities)),
            "cub_zero_shot": config(table, modalities, by_species, split="zero_shot_split", split_by="label"),
        },
    )


DATA_SETS: dict[str, Callable[[Path], Prepared]] = {"flickr8k": flickr8k, "emoji": emoji, "mfeat": mfeat, "cub": cub}


# -- values ---------------------------------


def unit_roots(features: NDArray[Any]) -> NDArray[np.float32]:
    """(n, w) averages of a rectified map -> unit vectors; the root evens out their long tail."""
    roots: NDArray[np.float32] = np.sqrt(features.astype(np.float32))
    roots /= np.linalg.norm(roots, axis=1, keepdims=True)
    return roots


def own_keywords(row: Mapping[str, Any]) -> list[str]:
    """An emoji's keywords without its name, which their source usually repeats: keyword -> name would be no search."""
    name = words(row["name"]["en"])
    return [keyword for keyword in row["keywords_en"] if words(keyword) != name]


def words(text: str) -> list[str]:
    """The words of a text, whatever stands between them."""
    return re.findall(r"[^\W_]+", text.casefold())


def body_parts(xy: NDArray[np.float32]) -> dict[str, float | None]:
    """(15, 2) positions as fractions of the picture, NaN where hidden -> named numbers, null where hidden."""
    return {
        f"{name}_{axis}": None if np.isnan(position) else float(position)
        for name, point in zip(PARTS, xy, strict=True)
        for axis, position in zip("xy", point, strict=True)
    }


# -- writing -----------------------------------


def config(
    table: pa.Table,
    modalities: Modalities,
    names: Iterable[str],
    same_source: Sequence[tuple[str, str]] = (),
    **keys: str,
) -> dict[str, Any]:
    """A configuration of the named modalities; every column that none of them uses is ignored, not inferred."""
    chosen = {name: dict(modalities[name]) for name in names}
    used = {column for name, m in chosen.items() for column in m.get("columns", [m.get("column", name)])}
    used |= {"id", "label", keys.get("split", "split")}
    return {
        **keys,
        "modalities": chosen,
        "ignore": [column for column in table.column_names if column not in used],
        **({"same_source": [list(pair) for pair in same_source]} if same_source else {}),
    }


def write(prepared: Prepared, name: str, out: Path) -> None:
    """Write NAME.parquet and the YAML files into `out`."""
    with replacing(out / f"{name}.parquet") as aside:
        pq.write_table(prepared.table, aside, compression="zstd", row_group_size=1024)
    for title, content in prepared.configs.items():
        with replacing(out / f"{title}.yaml") as aside:
            aside.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")


def main() -> int:
    """Prepare the data sets that were named, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder with a folder for each data set")
    parser.add_argument("--out", type=Path, default=DATA, help="where the collections go")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(DATA_SETS)}; all unless said")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(DATA_SETS)
    if unknown:
        parser.error(f"no data set {', '.join(sorted(unknown))}; there are {', '.join(DATA_SETS)}")
    try:
        for name in arguments.names or DATA_SETS:
            prepared = DATA_SETS[name](arguments.data)
            write(prepared, name, arguments.out)
            print(
                f"{name}: {prepared.table.num_rows} items; {', '.join(f'{title}.yaml' for title in prepared.configs)}"
            )
    except FileNotFoundError as error:
        print(f"no file {error.filename}; --data names the folder that holds flickr8k, emoji, ...", file=sys.stderr)
        return 1
    except ManymodalError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
