"""`Space.fit`: prepares the rows, runs the training loop, looks at dev, and says in words what it noticed."""

from __future__ import annotations

from functools import partial
from itertools import combinations
from pathlib import Path

import torch

from .collection import Collection
from .encoders.store import FeatureStore
from .errors import ManymodalError
from .evaluation import evaluate
from .evaluation.directions import default_directions
from .matching import keys
from .objectives import Objective
from .preparing import embed, prepare
from .processes import Processes
from .towers import Towers
from .training import Batch, History, ItemSampler, TrainSettings, diagnose, train
from .training.step import divergence_told

DEV_ITEMS = 2000  # looked at in each validation, so that its cost is bounded


def fit_space(
    towers: Towers,
    data: Collection,
    objective: Objective,
    settings: TrainSettings,
    store: FeatureStore,
    folder: Path | None,
    resume: bool,
    device: str | None,
    processes: Processes,
) -> tuple[History, list[str]]:
    """Train the towers in place; what happened, and what was noticed, in words."""
    place = usable_device(device)
    with processes.first_alone():  # fills the feature store
        rows = {m: prepare(towers[m], data, m, "train", store) for m in towers.names}
        dev = dev_rows(towers, data, store)
    sampler = ItemSampler(
        rows,
        batch_size=settings.batch_size,
        seed=settings.seed,
        values_per_item=settings.values_per_item,
        neighbours=settings.neighbours,
    )
    try:
        history = train(
            towers,
            sampler,
            objective,
            settings,
            processes=processes,
            validate=partial(mean_mrr, towers, dev, place) if dev else None,
            folder=folder,
            resume=resume,
            device=place,
        )
    finally:
        towers.to("cpu"), objective.to("cpu")
    notes = [] if dev else ["no dev rows with a match: the last weights were kept, not the best"]
    if history.stopped:
        kept = (
            f"the weights of epoch {history.best_epoch} were kept"
            if history.best_epoch
            else "the last weights were kept"
        )
        why = "stopped early, since dev no longer improved" if history.stopped == "early" else "interrupted"
        notes.append(f"{why} after epoch {len(history.epochs)} of {settings.epochs}; {kept}")
    sample = dev or {m: r.take(torch.arange(min(len(r), DEV_ITEMS))) for m, r in rows.items()}
    with divergence_told():
        return history, notes + diagnose(history.epochs, embed(towers, sample))


def usable_device(asked: str | None) -> str:
    """The device asked for, or the fastest there is.

    Raises:
        ManymodalError: there is none of that name here.
    """
    if asked is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=asked)
    except Exception as error:  # torch raises several kinds, an AssertionError among them
        raise ManymodalError(
            f"device {asked!r} cannot be used here ({str(error).splitlines()[0]}); leave it out, or say cpu"
        ) from error
    return asked


def dev_rows(towers: Towers, data: Collection, store: FeatureStore) -> Batch | None:
    """The rows of the dev items (of many, evenly spread ones); None where no value matches one of another modality."""
    if not (data.split == "dev").any():
        return None
    items = torch.as_tensor(data.rows("dev"))
    allowed = items[:: -(-len(items) // DEV_ITEMS)]
    rows = {}
    for m in towers.names:
        all_rows = prepare(towers[m], data, m, "dev", store)
        rows[m] = all_rows if all_rows.per_label else all_rows.take(torch.isin(all_rows.items, allowed).nonzero()[:, 0])
    return rows if _matches(rows) else None


def _matches(rows: Batch) -> bool:
    """Whether some value of a modality matches one of another, so that some direction has a query."""
    for a, b in combinations(rows.values(), 2):
        by_label = a.per_label or b.per_label
        here, there = (keys(side.items, side.labels, by_label) for side in (a, b))  # (n,), (m,)
        if bool((torch.isin(here, there) & (here >= 0)).any()):
            return True
    return False


def mean_mrr(towers: Towers, rows: Batch, device: str) -> float:
    """Mean mrr of the single directions that have a query (there is one), by item (by label for label modalities)."""
    with divergence_told():
        embeddings = embed(towers, rows, device)
    singles = [one for one in default_directions(embeddings, "item") if len(one.query) == 1]
    entries = evaluate(embeddings, directions=singles)
    scores = [entry.metrics["mrr"] for entry in entries if entry.metrics["mrr"] is not None]
    return sum(scores) / len(scores)
