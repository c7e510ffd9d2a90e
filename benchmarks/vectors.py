"""The collections once more, every value as one fixed vector: what objectives are compared on, in a minute a run.

    python benchmarks/vectors.py [flickr8k emoji mfeat cub]

Encoders that learn would take most of the time and answer another question. Texts are the features of the text encoder
that the collection's YAML names; vectors stay as they are; of a series the mean of six stretches and the spread; of a
picture an 8 x 8 thumbnail and 8 x 8 histograms of edge directions. Writes `NAME_vectors.parquet` and its YAML to
`benchmarks/data`.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from columns import grouped, vectors
from common import DATA, config_of, table_of
from manymodal import read_collection
from manymodal.collection import Collection
from manymodal.encoders.base import Packed
from manymodal.encoders.store import FeatureStore
from manymodal.preparing import choose_encoder
from runs import only

CONFIGS = {
    "flickr8k": lambda: only("flickr8k_four", ["photo_features", "en", "zh", "speech"]),
    "emoji": lambda: config_of("emoji"),
    "mfeat": lambda: config_of("mfeat"),
    "cub": lambda: config_of("cub_zero_shot"),
}
STRETCHES, CELLS, ANGLES = 6, 8, 8
AT_ONCE = 512


def features(data: Collection, modality: str, store: FeatureStore) -> pa.Array:
    """A column of vectors, or of lists of them: the features of a modality's values, item by item."""
    values = data.values(modality, None)
    encoder = choose_encoder(data, modality, data.values(modality, "train")).eval()
    if encoder.frozen:
        found = store.features(encoder, values.data)  # (n, width)
    else:
        packed = encoder.pack(values.data, 0)
        of: dict[str, Callable[[Packed], Tensor]] = {"series": stretches, "image": edges}
        with torch.no_grad():
            parts = [of.get(encoder.kind, encoder)(packed.take(at)) for at in torch.arange(len(packed)).split(AT_ONCE)]
        found = torch.cat(parts)  # (n, width)
    column = vectors(found.float().numpy())
    if data.schema.modalities[modality].per == "label":
        of_label = np.full(len(data.label_names), -1)
        of_label[values.labels] = np.arange(len(values.labels))
        return column.take(pa.array(of_label[data.labels], mask=of_label[data.labels] < 0))
    if data.schema.modalities[modality].several:
        return grouped(column, values.items, len(data))
    place = np.full(len(data), -1)
    place[values.items] = np.arange(len(values.items))
    return column.take(pa.array(place, mask=place < 0))


def stretches(packed: Packed) -> Tensor:
    """Series -> (n, 7 channels): the means of six stretches of time, and the spread over all of it."""
    found = []
    for start, end in pairwise([0, *packed.lengths.cumsum(0).tolist()]):
        frames = packed.data[start:end].float()  # (time, channels)
        means = [part.mean(0) if len(part) else frames.mean(0) for part in frames.tensor_split(STRETCHES)]
        found.append(torch.cat([*means, frames.std(0, correction=0)]))
    return torch.stack(found)


def edges(packed: Packed) -> Tensor:
    """Pictures (n, channels, side, side) -> (n, width): the strength of edges by direction and place, and a thumbnail."""
    pictures = packed.data.float()
    grey = pictures.mean(1)  # (n, side, side)
    across = grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2]  # (n, side - 2, side - 2)
    down = grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1]
    strength, angle = torch.hypot(across, down), torch.atan2(down, across) % math.pi / math.pi * ANGLES
    bins = torch.stack(
        [(1 - ((angle - k + ANGLES / 2) % ANGLES - ANGLES / 2).abs()).clamp(min=0) for k in range(ANGLES)]
    )
    histograms = adaptive_avg_pool2d((bins * strength).transpose(0, 1), CELLS)  # (n, angles, cells, cells)
    return torch.cat([histograms.sqrt().flatten(1), adaptive_avg_pool2d(pictures, CELLS).flatten(1)], dim=1)


def main() -> None:
    """Write the collections asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=list(CONFIGS), choices=list(CONFIGS))
    for name in parser.parse_args().names:
        data = read_collection(table_of(name), config=CONFIGS[name]())
        columns = {m: features(data, m, FeatureStore()) for m in data.schema.modalities}
        labels = [data.label_names[label] if label >= 0 else None for label in data.labels]
        table = {"id": list(data.ids), "split": [s or "unused" for s in data.split], "label": labels, **columns}
        pq.write_table(pa.table(table), DATA / f"{name}_vectors.parquet")
        modalities = {
            m: {"kind": "vector", "several": spec.several}
            if spec.per != "label"
            else {"kind": "vector", "per": "label"}
            for m, spec in data.schema.modalities.items()
        }
        config = {"split": "split", "label": "label", "modalities": modalities}
        (DATA / f"{name}_vectors.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        print(f"{name}_vectors: {len(data)} items, {', '.join(modalities)}", flush=True)


if __name__ == "__main__":
    main()
