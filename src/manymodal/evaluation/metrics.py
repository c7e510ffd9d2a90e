"""Metrics of retrieval, each from the ranks of the matches alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import ManymodalError
from ..ranks import Ranks

PLACES = (1, 5, 10)


def per_query(ranks: Ranks, k: Sequence[int] = PLACES) -> dict[str, Tensor]:
    """Each metric of each query, {name: (n,) float64}; `summary` makes one figure of each.

    hit@k: 1 where some match is in the top k, else 0. mrr: 1 / rank of the first match. median_rank: the rank of the
    first match. map: the mean over all matches of the share of matches among the rows down to that match. recall@k:
    the share of all matches that is in the top k. r_precision: recall@R for a query with R matches. ndcg@k: the sum
    of 1 / log2(1 + rank) over the matches in the top k, divided by the most that it can be with as many matches
    (Järvelin and Kekäläinen 2002, binary gains; `manymodal.evaluation.graded` has graded ones).

    Raises:
        ManymodalError: a query has no match, or a k is below 1.
    """
    check_places(k)
    matches = ranks.matches  # (n,)
    if not bool((matches > 0).all()):
        raise ManymodalError(f"query {int(matches.argmin())} has no match; leave such queries out and count them")
    n = len(ranks)
    query = torch.arange(n, device=matches.device).repeat_interleave(matches)  # (p,)
    first = ranks.ranks[ranks.offsets[:-1]].double()  # (n,)
    nth = (
        torch.arange(1, len(query) + 1, device=query.device) - ranks.offsets[query]
    )  # (p,) 1 for a query's first match

    def total(of_match: Tensor) -> Tensor:
        """Sum over a query's matches (p,): (n,)."""
        return torch.zeros(n, dtype=torch.float64, device=query.device).index_add(0, query, of_match.double())

    def gain(rank: Tensor, at: int) -> Tensor:
        """Discounted gain of matches with these ranks (p,), those beyond `at` left out: (n,)."""
        return total((rank <= at) / torch.log2(1 + rank.double()))

    return {
        **{f"hit@{at}": (first <= at).double() for at in k},
        "mrr": 1 / first,
        "median_rank": first,
        "map": total(nth / ranks.ranks.double()) / matches,
        **{f"recall@{at}": total(ranks.ranks <= at) / matches for at in k},
        "r_precision": total(ranks.ranks <= matches[query]) / matches,
        **{f"ndcg@{at}": gain(ranks.ranks, at) / gain(nth, at) for at in k},
    }


def summary(values: Mapping[str, Tensor]) -> dict[str, float | None]:
    """Mean over the queries of each metric, the median (mean of the middle two) of median_rank; None of no query."""
    return {name: _figure(name, value.cpu().numpy()) for name, value in values.items()}


def check_places(k: Sequence[int]) -> None:
    """Refuse a k below 1."""
    for at in k:
        if at < 1:
            raise ManymodalError(f"k={at}: hit@k, recall@k and ndcg@k need k of at least 1")


def _figure(name: str, value: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float | None:
    if len(value) == 0:
        return None
    return float(np.median(value) if name == "median_rank" else value.mean())
