"""Bird photos of seen and unseen species, each row with what it may be used for; and how well they are classified."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from common import MINILM, MINILM_PACKAGE
from manymodal import read_collection
from manymodal.collection import Collection
from manymodal.compose import Rows
from manymodal.errors import ManymodalError
from manymodal.evaluation.generalised import choose_penalty, generalised, hold_out
from manymodal.evaluation.zero_shot import classify

SPLITS = {"train": "train", "seen": "dev", "unseen": "test"}  # of the collection, by role


@dataclass(frozen=True, eq=False)
class Birds:
    """A table, how it is read, and what is known of its rows.

    Args:
        name: of the table, for the files in `work/`.
        table: the columns that are needed.
        modalities: how each is read.
        features: the modality that stands for the photo.
        train: (n,) bool, official train rows. unseen: (n,) bool, rows of unseen species.
        species: (n,) int64, a code of the label.
    """

    name: str
    table: pa.Table
    modalities: dict[str, dict[str, Any]]
    features: str
    train: torch.Tensor
    unseen: torch.Tensor
    species: torch.Tensor

    @classmethod
    def read(cls, path: Path, config: dict[str, Any], features: str) -> Birds:
        """What is needed of a table; names are read by MiniLM."""
        table, described = pq.read_table(path), config["modalities"]
        wanted = [features, "attributes", "name", *(["captions"] if "captions" in described else [])]
        if lacking := [name for name in wanted if name not in described]:
            raise ManymodalError(
                f"the configuration has no modality {', '.join(lacking)}; it has {', '.join(described)}"
            )
        modalities = {name: dict(described[name]) for name in wanted}
        modalities["name"]["encoder"] = minilm()
        columns = {"id", "split", "zero_shot_split", "label"} | {m.get("column", n) for n, m in modalities.items()}
        _, species = np.unique(table["label"].to_pylist(), return_inverse=True)
        return cls(
            path.stem,
            table.select([column for column in table.column_names if column in columns]),
            modalities,
            features,
            torch.tensor([split == "train" for split in table["split"].to_pylist()]),
            torch.tensor([split == "test" for split in table["zero_shot_split"].to_pylist()]),
            torch.as_tensor(species),
        )

    def roles(self, fold: int | None) -> tuple[str, ...]:
        """What each row is: "train", or asked as one of a "seen" or of an "unseen" class, or "unused".

        Args:
            fold: None for the standard test. Else the seed of a trial's: a fifth of the seen classes is held out as
                unseen and, of the train rows of the others, a fifth to be asked; nothing of test is touched.
        """
        if fold is None:
            return tuple(np.select([self.unseen, ~self.train], ["unseen", "seen"], "train").tolist())
        known = self.train & ~self.unseen
        held = torch.isin(self.species, hold_out(self.species[known], seed=fold))
        asked = np.random.default_rng(fold).random(len(known)) < 0.2
        return tuple(np.select([~known, held, asked], ["unused", "unseen", "seen"], "train").tolist())


@cache
def collection(birds: Birds, roles: tuple[str, ...], names: tuple[str, ...]) -> Collection:
    """All rows, with some of the modalities; trained on are those of the role "train".

    With `validations: 1` the dev rows, here the ones asked of seen classes, choose nothing.
    """
    modalities = {name: birds.modalities[name] for name in names}
    used = {"id", "label"} | {m.get("column", n) for n, m in modalities.items()}
    config = {
        "split": "role",
        "label": "label",
        "modalities": modalities,
        "ignore": [column for column in birds.table.column_names if column not in used],
    }
    splits = pa.array([SPLITS.get(role, "unused") for role in roles])
    return read_collection(birds.table.append_column("role", splits), config=config)


def minilm() -> str:
    """The text encoder, from its PyPI package where that is installed."""
    if importlib.util.find_spec(MINILM_PACKAGE):
        return str(importlib.import_module(MINILM_PACKAGE).get_model_path())
    return MINILM


def pick(rows: Rows, chosen: torch.Tensor) -> Rows:
    """Some of the rows; they have labels."""
    assert rows.labels is not None
    return Rows(rows.vectors[chosen], rows.items[chosen], rows.labels[chosen])


def of_role(photos: Rows, roles: Sequence[str], role: str) -> Rows:
    """The photos with a role."""
    return pick(photos, torch.from_numpy(np.asarray(roles) == role)[photos.items])


def judge(photos: Rows, roles: Sequence[str], classes: Rows, penalty: float | None) -> dict[str, float]:
    """Per-class accuracies of photos among classes (one row a species; similarities are dot products).

    Args:
        photos: all of them. roles: of all rows of the table.
        classes: of all species.
        penalty: on seen classes among all; None to choose it on these very photos.

    Returns:
        "zero-shot": unseen photos among unseen classes. "top1": the same, mean over photos. "known": seen photos among
        seen classes. "seen", "unseen", "harmonic": among all, with the penalty; "plain": harmonic without it.
        "penalty".
    """
    asked, new = of_role(photos, roles, "seen"), of_role(photos, roles, "unseen")
    assert classes.labels is not None and new.labels is not None
    trained = of_role(photos, roles, "train").labels.unique()
    of_trained, of_new = torch.isin(classes.labels, trained), torch.isin(classes.labels, new.labels)
    zero_shot = classify(new, pick(classes, of_new))
    known = classify(asked, pick(classes, of_trained))
    among = pick(classes, of_trained | of_new)
    if penalty is None:
        penalty = choose_penalty(asked, new, among, trained).penalty
    both, plain = (generalised(asked, new, among, trained, p) for p in (penalty, 0.0))
    figures = {
        "zero-shot": zero_shot.per_class,
        "top1": zero_shot.top1,
        "known": known.per_class,
        "seen": both.seen.per_class,
        "unseen": both.unseen.per_class,
        "harmonic": both.harmonic,
        "plain": plain.harmonic,
        "penalty": penalty,
    }
    return {name: float(value) for name, value in figures.items() if value is not None}
