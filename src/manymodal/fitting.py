"""`Space.fit`: prepares the rows, runs the training loop, looks at dev, and says in words what it noticed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

import torch

from .calibration import Calibration, calibrate
from .collection import Collection
from .embeddings import Embeddings
from .encoders.store import FeatureStore
from .errors import ManymodalError
from .evaluation import evaluate
from .evaluation.directions import singles
from .matching import keys
from .objectives import Objective
from .preparing import embed, prepare
from .processes import Processes
from .towers import Towers
from .training import Batch, History, ItemSampler, TrainSettings, diagnose, train
from .training.step import divergence_told

DEV_ITEMS = 2000  # looked at in each validation, so that its cost is bounded
BANK_ITEMS = 2000  # train items whose embeddings a space keeps
LISTED = 3  # weights that are named where they could not be fitted


@dataclass
class Reference:
    """What a fitted space keeps beside its weights, so that it can be used well without its data.

    Args:
        bank: embeddings of some train items, for corrections of hubness and of means.
        calibration: how much a modality should weigh in a combined query, fitted on dev.
    """

    bank: Embeddings | None = None
    calibration: Calibration | None = None

    @classmethod
    def of(cls, towers: Towers, train: Batch, on_dev: Embeddings | None, device: str = "cpu") -> Reference:
        """Of a fitted space, from its train rows and its embeddings of dev; without these nothing is calibrated."""
        bank = embed(towers, of_items(train, spread(train, BANK_ITEMS)), device)
        return cls(bank, None if on_dev is None else calibrate(on_dev))


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
) -> tuple[History, list[str], Reference]:
    """Train the towers in place; what happened, what was noticed, in words, and what to keep beside the weights."""
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
        with divergence_told():
            on_dev = None if dev is None else embed(towers, dev, place)
            reference = Reference.of(towers, rows, on_dev, place)
            looked_at = embed(towers, first_rows(rows), place) if on_dev is None else on_dev
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
    notes += diagnose(history.epochs, looked_at)
    return history, notes + _abridged(reference.calibration), reference


def first_rows(rows: Batch) -> Batch:
    """Some values of each modality, to see what went wrong where there is no dev."""
    return {m: one.take(torch.arange(min(len(one), DEV_ITEMS))) for m, one in rows.items()}


def _abridged(calibration: Calibration | None) -> list[str]:
    """What could not be calibrated: on few dev items that is every pair of modalities."""
    notes = () if calibration is None else calibration.notes
    more = len(notes) - LISTED
    return [*notes[:LISTED], *([f"... and {more} more weights that rest on few dev items"] if more > 0 else [])]


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
    rows = {m: prepare(towers[m], data, m, "dev", store) for m in towers.names}
    rows = of_items(rows, spread(rows, DEV_ITEMS))
    return rows if _matches(rows) else None


def of_items(rows: Batch, items: torch.Tensor) -> Batch:
    """The rows of these items; those of label modalities all stay."""
    return {
        m: one if one.per_label else one.take(torch.isin(one.items, items).nonzero()[:, 0]) for m, one in rows.items()
    }


def spread(rows: Batch, most: int) -> torch.Tensor:
    """(n,) at most that many of the items that have a value, evenly spread over all of them."""
    items: torch.Tensor = torch.cat([one.items for one in rows.values()]).unique()
    items = items[items >= 0]
    return items[:: max(1, -(-len(items) // most))]


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
    entries = evaluate(embeddings, directions=singles(embeddings, "item"))
    scores = [entry.metrics["mrr"] for entry in entries if entry.metrics["mrr"] is not None]
    return sum(scores) / len(scores)
