"""Everything there is to say about some embeddings, as one report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ..embeddings import Embeddings
from ..progress import bar
from .classification import classify_all
from .directions import resolve
from .evaluate import evaluate, items_of_split
from .examples import find_examples
from .gains import gains
from .health import health
from .names import Names
from .report import Report

LEFT_OUT = ("bank", "calibration", "relevance", "same_source", "progress")  # of the settings: data, not choices


def measure(
    embeddings: Embeddings,
    *,
    split: str,
    items: Tensor | None = None,
    names: Names | None = None,
    seed: int | None = None,
    space: str | None = None,
    seen: Tensor | None = None,
    loss: Mapping[tuple[str, str], float] | None = None,
    chance: Mapping[tuple[str, str], float] | None = None,
    notes: Sequence[str] = (),
    **options: Any,
) -> Report:
    """Measure every direction, what each modality adds, the health of the space, and what labels can be told apart.

    Args:
        embeddings: of one split.
        split: its name.
        items: (n,) int64, all items of the split; None: those seen in the embeddings.
        names: the user's words for items and labels, and what values look like.
        seed: the space's training seed.
        space: its fingerprint.
        seen: (s,) int64, labels that were trained on; None where that is not known.
        loss: {pair: its objective's loss} on these embeddings; None where that is not known.
        chance: {pair: that of a space that has learned nothing}.
        notes: what a reader has to know of how these figures came about.
        options: of `manymodal.evaluate`.

    Raises:
        ManymodalError: as `manymodal.evaluate`.
    """
    names = names or Names()
    asked = resolve(options.pop("directions", None), embeddings, options.get("unit"))
    with bar("measuring", len(asked)) as advance:
        options.setdefault("progress", lambda *_: advance(1, ""))
        entries = evaluate(embeddings, items=items, directions=asked, **options)
    if not any(entry.queries for entry in entries):
        notes = [*notes, "no query has a match: check that ids (labels) are the same in all modalities"]
    calibration = options.get("calibration")
    settings = {name: value for name, value in options.items() if name not in LEFT_OUT and value not in (None, [], ())}
    return Report(
        split,
        len(items_of_split(embeddings, items)),
        entries,
        seed,
        space,
        settings,
        gains=gains(entries, same_source=options.get("same_source", ()), bootstrap=options.get("bootstrap")),
        health=health(embeddings, match=options.get("match", "item"), loss=loss, chance=chance),
        classification=classify_all(embeddings, seen),
        examples=find_examples(embeddings, entries, names, parts=options.get("parts", "all")),
        calibration=calibration and dict(calibration.weights),
        notes=notes,
        names=names,
    )
