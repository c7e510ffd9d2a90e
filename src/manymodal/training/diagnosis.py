"""What can be seen to have gone wrong with a trained space, in words."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..embeddings import Embeddings

STUCK = 0.97  # of the chance level
COLLAPSED = 0.9  # mean cosine between different values of one modality


def diagnose(epochs: list[dict[str, Any]], embeddings: Embeddings | None) -> list[str]:
    """Sentences about pairs whose loss stayed at its chance level, and modalities whose vectors have collapsed.

    Args:
        epochs: as in `History`.
        embeddings: of some dev (or train) items; None to judge by the losses alone.
    """
    said = []
    last = epochs[-1] if epochs else {"pairs": {}, "chance": {}}
    stuck = [pair for pair, loss in last["pairs"].items() if loss >= STUCK * last["chance"][pair] > 0]
    if stuck:
        said.append(
            f"nothing was learned from {_listed(stuck)}: the loss is where chance puts it. Check that their rows "
            "belong together; else train longer, or with a larger lr"
        )
    collapsed = [m for m, v in (embeddings.vectors.items() if embeddings else ()) if _mean_cosine(v) > COLLAPSED]
    if collapsed:
        said.append(
            f"the space has collapsed in {_listed(collapsed)}: different values have a mean cosine above {COLLAPSED}. "
            "A smaller lr, larger batches or another objective may help; so look constant or duplicate values"
        )
    return said


def _mean_cosine(vectors: Tensor) -> float:
    """Between different rows of unit vectors (n, d): (|sum|^2 - n) / (n (n - 1))."""
    n = len(vectors)
    return float((vectors.sum(0).square().sum() - n) / (n * (n - 1))) if n > 2 else 0.0


def _listed(names: list[str], most: int = 8) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
