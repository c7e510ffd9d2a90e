"""How sure a figure is: intervals over the items that it was measured on."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..errors import ManymodalError

LEVEL = 0.95
BLOCK = 2**22  # drawn items held at a time


def interval(per_query: Tensor, items: Tensor, seed: int = 0, n: int = 1000) -> tuple[float, float]:
    """Percentile bootstrap (Efron 1979) of a mean over queries: the 95 % interval under resampling of items.

    All queries of an item are drawn together, since five captions of one photo are not five independent trials.

    Args:
        per_query: (q,) float, one metric of each query.
        items: (q,) int64, whose query it is.
        seed: of the draws; the same seed, the same interval.
        n: how many times to draw as many items as there are.

    Raises:
        ManymodalError: there is no query, not one item a query, or n is below 1.
    """
    if per_query.ndim != 1 or per_query.shape != items.shape or not len(items) or n < 1:
        raise ManymodalError(
            f"an interval needs one or more queries, an item for each and n >= 1; "
            f"there are {tuple(per_query.shape)} values, {tuple(items.shape)} items and n={n}"
        )
    _, owner, count = np.unique(items.cpu().numpy(), return_inverse=True, return_counts=True)  # (g,), (q,), (g,)
    total = np.bincount(owner, weights=per_query.double().cpu().numpy())  # (g,)
    random = np.random.default_rng(seed)
    means = []
    size = max(1, BLOCK // len(total))
    for start in range(0, n, size):
        drawn = random.integers(0, len(total), (min(size, n - start), len(total)))  # (b, g)
        means.append(total[drawn].sum(axis=1) / count[drawn].sum(axis=1))  # (b,)
    low, high = np.quantile(np.concatenate(means), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
