"""The values of one modality, flat, with the item and label that each was observed on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["image", "audio", "text", "vector", "series", "table"]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Values:
    """What encoders read: n values and, for each, whose it is.

    Args:
        data: n raw values: text is `str`; image and audio are `bytes` or `pathlib.Path`; vector is (w,) float32;
            series is (time, channels) float32; table is a dict column -> number, string, bool, date or None.
        items: (n,) row number of the item in the collection; -1 throughout for a modality `per: label`.
        labels: (n,) label code; -1 unknown.
        ordinal: (n,) place in its item's list, from 0; gaps and broken values count.
    """

    data: Sequence[Any]
    items: Ids
    labels: Ids
    ordinal: Ids

    def __len__(self) -> int:
        return len(self.items)
