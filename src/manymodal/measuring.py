"""`Space.evaluate`: embeds a split, and hands the evaluation all that the space and the collection know beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .collection import Collection
from .embeddings import Embeddings
from .evaluation import Report
from .evaluation.measure import measure
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
    """The report of a space on a split that is embedded already; `options` are those of `manymodal.evaluate`."""
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
        **options,
    )
