"""Labels that lie on several processes: what each process must know of the others' rows to match by label.

Shards are by item, so matches by item are all at home. A label's are not. Of a label on several processes the cheaper
moves: its rows (n_c d numbers over all modalities), or, where those are more, its moments in each modality (M d^2).
It moves in the forward pass, as plain numbers: a process needs the others' rows for the gradient of its own, and the
gradient of the others' rows is the others' business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..processes import Processes
from .groups import Groups
from .moments import Moments, moments

TOGETHER = 1 << 24  # numbers of moments that are summed over processes at a time


class Elsewhere(NamedTuple):
    """What lies on other processes.

    Args:
        vectors: of each modality (r, d), the rows of the labels whose rows moved. keys: of each (r,) int64.
        moments: {key: of each modality, over all processes}, of the labels whose moments moved.
    """

    vectors: list[Tensor]
    keys: list[Tensor]
    moments: dict[int, list[Moments]]


@torch.no_grad()
def elsewhere(vectors: Sequence[Tensor], keys: Sequence[Tensor], processes: Processes) -> Elsewhere:
    """The rows and moments of other processes that share a key with rows of this one, or of any two.

    Args:
        vectors: of each modality (n, d), this process's. keys: of each (n,) int64 by label (`matching.keys`).
    """
    dim = vectors[0].shape[1]
    by_rows, by_moments = _shared_labels(keys, len(vectors) * dim, processes)  # (k,) keys each
    far_vectors, far_keys = [], []
    for v, key in zip(vectors, keys, strict=True):
        moving = torch.isin(key, by_rows)  # (n,)
        whose = processes.gather(torch.full_like(key[moving], processes.rank))  # (r,)
        far_vectors.append(processes.gather(v[moving])[whose != processes.rank])
        far_keys.append(processes.gather(key[moving])[whose != processes.rank])
    here = Groups.of([torch.where(torch.isin(key, by_moments), key, -1) for key in keys])
    met: dict[int, list[Moments]] = {}
    for part in by_moments.split(max(1, TOGETHER // (len(vectors) * dim * dim))):
        met |= _summed(vectors, here, part, processes)
    return Elsewhere(far_vectors, far_keys, met)


def _shared_labels(keys: Sequence[Tensor], most: int, processes: Processes) -> tuple[Tensor, Tensor]:
    """Keys of the labels on several processes, ascending: those with fewer than `most` rows, and the others."""
    every = torch.cat(list(keys))
    own, rows = every[(every >= 0) & (every % 2 == 1)].unique(return_counts=True)  # odd keys are labels
    key, which, holders = processes.gather(own).unique(return_inverse=True, return_counts=True)  # (k,), (g,), (k,)
    total = torch.zeros_like(key).index_add(0, which, processes.gather(rows))  # (k,)
    return key[(holders > 1) & (total < most)], key[(holders > 1) & (total >= most)]


def _summed(vectors: Sequence[Tensor], here: Groups, keys: Tensor, processes: Processes) -> dict[int, list[Moments]]:
    """The moments of each modality over all processes, of some keys; `here` has those of this process."""
    dim, kind = vectors[0].shape[1], torch.float64
    counts = torch.zeros(len(keys), len(vectors), dtype=torch.int64, device=keys.device)
    totals = torch.zeros(len(keys), len(vectors), dim, dtype=kind, device=keys.device)
    grams = torch.zeros(len(keys), len(vectors), dim, dim, dtype=kind, device=keys.device)
    held = torch.isin(here.keys, keys).nonzero()[:, 0]  # (h,) groups
    at = torch.searchsorted(keys, here.keys[held]).tolist()  # (h,) of which key
    for k, rows in zip(at, here.members(held), strict=True):
        for m, own in enumerate(rows):
            found = moments(vectors[m], own)
            counts[k, m], totals[k, m], grams[k, m] = found.count, found.total, found.gram
    counts, totals, grams = processes.sum(counts), processes.sum(totals), processes.sum(grams)
    return {
        key: [Moments(n, t, g) for n, t, g in zip(counts[k].tolist(), totals[k], grams[k], strict=True)]
        for k, key in enumerate(keys.tolist())
    }
