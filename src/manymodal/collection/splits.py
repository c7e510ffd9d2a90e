"""Which rows are for training, for choosing and for the last number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from ..words import counted

SPLITS = ("train", "dev", "test")
NAMES = {name: name for name in SPLITS} | dict.fromkeys(("val", "validation", "valid"), "dev")
DEV_FROM, TEST_FROM = 0.8, 0.9  # of the range of the hash


def split_rows(
    given: Sequence[str | None] | None, groups: Sequence[str], seed: int
) -> tuple[NDArray[np.str_], list[str]]:
    """The split of each row, and what there is to say about it.

    Args:
        given: the rows' own splits, None where there is no such column.
        groups: (n,) for each row, what must stay on one side (its id where nothing else is said).
        seed: of the hash.

    Returns:
        (n,) "train", "dev", "test" or "unused", and notes.
    """
    notes = []
    draw = _draws(groups, seed)
    if given is None:
        split = np.where(draw < DEV_FROM, "train", np.where(draw < TEST_FROM, "dev", "test")).astype("<U6")
        notes.append(f"split: 80/10/10 by a hash of the ids or groups, split_seed {seed}")
    else:
        split = np.array([NAMES.get((name or "").strip().lower(), "unused") for name in given], dtype="<U6")
        unused = Counter(str(name) for name, kept in zip(given, split, strict=True) if kept == "unused")
        notes += [f"split: {counted(count, 'row')} {name!r} left out" for name, count in sorted(unused.items())]
    train = split == "train"
    if not train.any():
        notes.append("split: no rows for training")
    elif not (split == "dev").any():
        values = np.unique(draw[train])  # one draw a group
        if len(values) > 1:
            split[train & (draw <= values[max(1, round(len(values) / 10)) - 1])] = "dev"
            became = counted(int((split == "dev").sum()), "row")
            notes.append(f"split: no dev rows, so a tenth of train ({became}) became dev")
        else:
            notes.append("split: no dev rows, and train is one group that cannot be divided")
    notes.append("split: " + counts_in_words(split))
    return split, notes


def counts_in_words(split: NDArray[np.str_]) -> str:
    """`train 80, test 20`: how many rows each split has, those that have none left out."""
    counted = Counter(split.tolist())
    return ", ".join(f"{name} {counted[name]}" for name in (*SPLITS, "unused") if counted[name])


def _draws(groups: Sequence[str], seed: int) -> NDArray[np.float64]:
    """(n,) a number in [0, 1) for each group, the same on every machine."""
    drawn = {
        group: int.from_bytes(blake2b(f"{seed}:{group}".encode(), digest_size=6).digest()) / 2**48
        for group in dict.fromkeys(groups)
    }
    return np.array([drawn[group] for group in groups])
