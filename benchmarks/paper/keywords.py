"""Graded relevance: 67 keywords, whose relevance to 1,000 captions five people judged, as queries of an English space.

    python benchmarks/paper/keywords.py --data FOLDER [--seeds 1 2 3]

`FOLDER` holds `flickr8k/semantic_keywords_test.csv` (Kamper et al. 2017, arXiv:1710.01949). Each run's figures are kept
in `work/`.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # what all benchmarks share

import torch
from torch import Tensor
from torch.nn.functional import normalize

from common import SEEDS, Result, percent
from manymodal.collection import Collection
from manymodal.compose import Rows
from manymodal.encoders.store import FeatureStore
from manymodal.evaluation.graded import Relevance, graded
from manymodal.evaluation.metrics import summary
from manymodal.preparing import embed_packed, pack
from runs import fitted, kept, only

PHOTO, TEXT = "photo_features", "en"
TRAINING = {"epochs": 30, "batch_size": 512, "lr": 1e-3}
PEOPLE = 5
MAJORITY = 3
FIGURES = {"ndcg@10": "nDCG@10", "precision@10": "precision@10", "hit@10": "hit@10"}


def judgements(path: Path, data: Collection) -> tuple[list[str], Relevance, dict[int, int]]:
    """The keywords; how many people found each relevant to an item; and which of an item's captions they read."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    keywords = [name for name in rows[0] if name not in ("image_index", "image_id", "caption_index")]
    items = [data.row_of(row["image_id"]) for row in rows]
    gain = torch.tensor([[min(PEOPLE, int(row[word])) for word in keywords] for row in rows])  # (items, keywords)
    which, keyword = gain.nonzero(as_tuple=True)
    relevance = Relevance(keyword, torch.tensor(items)[which], gain[which, keyword].double())
    return keywords, relevance, {item: int(row["caption_index"]) for item, row in zip(items, rows, strict=True)}


def figures(path: Path, seed: int) -> dict[str, float]:
    """All figures of a space fitted with one seed, and of random vectors in the place of its photos."""
    space, data = fitted("flickr8k", only("flickr8k_four", (PHOTO, TEXT)), "pcmc", seed, **TRAINING)
    keywords, relevance, read = judgements(path, data)
    test, ordinals = space.encode_with_ordinals(data, "test")
    space.towers.eval()
    asked = embed_packed(space.towers[TEXT], pack(space.towers[TEXT], keywords, FeatureStore()))  # (67, d)
    judged = ordinals[TEXT] == torch.tensor([read[item] for item in test.items[TEXT].tolist()])  # (captions,)
    chance = normalize(torch.randn(test.vectors[PHOTO].shape, generator=torch.Generator().manual_seed(seed)), dim=1)
    galleries = {
        "the caption that was judged": (test.vectors[TEXT][judged], test.items[TEXT][judged]),
        "the photo": (test.vectors[PHOTO], test.items[PHOTO]),
        "any photo, at random": (chance, test.items[PHOTO]),
    }
    queries = Rows(asked, torch.arange(len(keywords)), None)
    most = relevance.gain >= MAJORITY
    majority = Relevance(relevance.queries[most], relevance.gallery[most], torch.ones(int(most.sum())))
    return {
        f"{name}/{kind}/{metric}": value or 0.0
        for name, gallery in galleries.items()
        for kind, judged_by in (("graded", relevance), ("majority", majority))
        for metric, value in of_gallery(queries, *gallery, judged_by).items()
    }


def of_gallery(queries: Rows, vectors: Tensor, items: Tensor, relevance: Relevance) -> dict[str, float | None]:
    """Each metric's mean over the keywords."""
    found = summary(graded(queries, Rows(vectors, items, None), relevance, (10,)).values)
    return {name: found[name] for name in FIGURES}


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    arguments = parser.parse_args()
    path = arguments.data / "flickr8k" / "semantic_keywords_test.csv"
    runs = [kept(f"keywords_{seed}", lambda seed=seed: figures(path, seed)) for seed in arguments.seeds]

    def cells(name: str, kind: str) -> list[Any]:
        return [percent([run[f"{name}/{kind}/{metric}"] for run in runs]) for metric in FIGURES]

    names = dict.fromkeys(key.split("/")[0] for key in runs[0])
    result = Result(
        "keywords",
        "Graded relevance: keywords on Flickr8k",
        {**TRAINING, "objective": "pcmc", "seeds": arguments.seeds},
    )
    for kind, title, note in (
        (
            "graded",
            "A keyword as the query; an item's gain is how many of five people found the keyword relevant, %",
            "nDCG with linear gains; precision and hit count an item that anyone found relevant. 67 keywords, 1,000 "
            "test items. People read one caption of each item; the photos are found by the same judgements. Four cells "
            "of the source that say 12 or 15 of five people are taken as five. MiniLM reads the keyword as it reads a "
            "caption; nothing was trained on keywords.",
        ),
        (
            "majority",
            "The same where at least three of the five people have to agree, %",
            "Every such item counts alike.",
        ),
    ):
        rows = [[name, *cells(name, kind)] for name in names]
        result.table(title, ["what is found", *FIGURES.values()], rows, note)
    result.write()


if __name__ == "__main__":
    main()
