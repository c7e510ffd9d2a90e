"""`Space.evaluate`: embeds a split, and hands the evaluation all that the space and the collection know beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .collection import Collection
from .embeddings import Embeddings
from .errors import ManymodalError
from .evaluation import Report
from .evaluation.measure import measure
from .querying import kept_bank
from .showing import names_of

if TYPE_CHECKING:
    from .space import Space


@torch.no_grad()
def measure_space(
    space: Space,
    data: Collection,
    split: str,
    embeddings: Embeddings,
    ordinals: Mapping[str, Tensor],
    calibrated: bool,
    **options: Any,
) -> Report:
    """The report of a space on a split that is embedded already; `options` are those of `manymodal.evaluate`.

    Raises:
        ManymodalError: nothing was embedded, or a correction was asked for of a space that kept no train items.
    """
    if not any(len(vectors) for vectors in embeddings.vectors.values()):
        raise ManymodalError(
            f"no item has a value in any of {', '.join(embeddings.modalities)}: is this table of the kind that the "
            "space was fitted to? `manymodal describe` shows its columns"
        )
    if options.get("correct"):
        kept_bank(space.reference.bank, ", ".join(options["correct"]))
    loss = space.objective(embeddings)
    trained = torch.as_tensor(data.labels[data.split == "train"])
    return measure(
        embeddings,
        split=split,
        items=torch.as_tensor(data.rows(split)),
        names=names_of(data, embeddings, ordinals),
        seed=space.seed,
        space=space.fingerprint,
        seen=trained[trained >= 0].unique() if bool((trained >= 0).any()) else None,
        loss={pair: float(value) for pair, value in loss.pairs.items()},
        chance=loss.chance,
        same_source=space.schema.same_source,
        bank=space.reference.bank,
        calibration=space.reference.calibration if calibrated else None,
        notes=_notes(space, split, calibrated, bool(options.get("correct"))),
        **options,
    )


def _notes(space: Space, split: str, calibrated: bool, correct: bool) -> list[str]:
    """What the split that is measured has itself had a part in."""
    notes = []
    if split in ("dev", "all") and calibrated and space.reference.calibration is not None:
        notes.append("calibrated figures: the weights were fitted on dev items, which are among those measured here")
    if split in ("train", "all") and correct:
        notes.append("corrected figures: the bank that they come from has train items, which are measured here")
    if split in ("train", "all"):
        notes.append("train items are among those measured: that is how well they were learned, not what to expect")
    return notes
