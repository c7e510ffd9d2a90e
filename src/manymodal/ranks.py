"""Ranks of every match of every query in a gallery, in blocks: what all metrics of retrieval are made from.

The rank of a match is 1 + the non-matches that score at least as high as it does, less `TOLERANCE`, + the matches ahead
of it. So ties count against the query: a space that maps everything to one point ranks last, not first. A match's own
score is read from the same block of products as its rivals', because the same two vectors multiplied alone and among
others mostly differ in the last bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import ManymodalError
from .matching import matching_pairs

TOLERANCE = 1e-6  # scores this close are a tie: the rounding of a float32 product of unit vectors
BLOCK = 2**22  # scores held at a time: 16 MB of float32
MANY = 64  # matches of a query from which on sorting a row of scores is cheaper than passing over it once a match


@dataclass(frozen=True)
class Ranks:
    """Ranks of the matches of n queries.

    Args:
        ranks: (p,) int64, 1 is first; ascending within a query.
        offsets: (n + 1,) int64: those of query i are ranks[offsets[i]:offsets[i + 1]]; none where nothing matches it.
    """

    ranks: Tensor
    offsets: Tensor

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def matches(self) -> Tensor:
        """(n,) int64, how many matches each query has."""
        return self.offsets.diff()


def ranks(queries: Tensor, gallery: Tensor, query_keys: Tensor, gallery_keys: Tensor, block: int = BLOCK) -> Ranks:
    """Rank all matches of each query among all rows of a gallery, by dot product in float32.

    Args:
        queries: (n, d) float.
        gallery: (m, d) float.
        query_keys: (n,) int64.
        gallery_keys: (m,) int64. Rows match where keys are equal and >= 0 (see `manymodal.matching`).
        block: how many scores to hold at a time; at least one query's are.

    Raises:
        ManymodalError: shapes do not fit.
    """
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise ManymodalError(
            f"queries {tuple(queries.shape)} and gallery {tuple(gallery.shape)} do not fit; needed: (n, d) and (m, d)"
        )
    if query_keys.shape != queries.shape[:1] or gallery_keys.shape != gallery.shape[:1]:
        raise ManymodalError(
            f"{len(query_keys)} keys for {len(queries)} queries, {len(gallery_keys)} for {len(gallery)} gallery rows; "
            "needed: one key a row"
        )
    queries, gallery = queries.detach().float(), gallery.detach().float()
    return ranks_of(lambda rows: queries[rows] @ gallery.T, query_keys, gallery_keys, block)


def ranks_of(scores: Callable[[slice], Tensor], query_keys: Tensor, gallery_keys: Tensor, block: int = BLOCK) -> Ranks:
    """The same from scores of any origin.

    Args:
        scores: from a slice of the n queries to their scores (b, m) float32; a tensor of its own, it is written over.
        query_keys: (n,) int64.
        gallery_keys: (m,) int64.
        block: how many scores to hold at a time; at least one query's are.
    """
    i, j = matching_pairs(query_keys, gallery_keys)  # (p,)
    matches = torch.bincount(i, minlength=len(query_keys))  # (n,)
    offsets = torch.cat([matches.new_zeros(1), matches.cumsum(0)])  # (n + 1,)
    parts = [i.new_empty(0)]
    size = max(1, block // max(1, len(gallery_keys)))
    for start in range(0, len(query_keys), size):
        end = min(start + size, len(query_keys))
        pairs = slice(int(offsets[start]), int(offsets[end]))
        parts.append(_ranks_of_block(scores(slice(start, end)), i[pairs] - start, j[pairs], matches[start:end]))
    return Ranks(torch.cat(parts), offsets)


def nth(i: Tensor, count: Tensor) -> Tensor:
    """(p,) 0 for the first pair of its query, 1 for the next; the pairs of query i are count[i] in a row."""
    return torch.arange(len(i), device=i.device) - (count.cumsum(0) - count)[i]


def _ranks_of_block(scores: Tensor, i: Tensor, j: Tensor, matches: Tensor) -> Tensor:
    """Ranks (p,) of the matching pairs (i, j), ordered by i, in a block of scores (b, m), which is written over."""
    if len(i) == 0:
        return i
    most = int(matches.max())
    position = nth(i, matches)  # (p,) which match of its query
    own = scores.new_full((len(scores), most), -torch.inf)
    own[i, position] = scores[i, j]
    # Best first. Which of two equal matches leads does not change the ranks that the two of them take.
    own = own.sort(dim=1, descending=True).values  # (b, most)
    scores[i, j] = -torch.inf  # what is left are the non-matches
    bar = own - TOLERANCE
    dtype = torch.float32 if scores.shape[1] < 2**24 else torch.float64
    if most < MANY:
        at_least = torch.empty_like(scores)  # 1 or 0: floats add up faster than booleans, and exactly below 2^24 rows
        columns = [torch.ge(scores, bar[:, k : k + 1], out=at_least).sum(dim=1, dtype=dtype) for k in range(most)]
        rivals = torch.stack(columns, dim=1).long()  # (b, most)
    else:
        rivals = scores.shape[1] - torch.searchsorted(scores.sort(dim=1).values, bar)  # (b, most)
    place = torch.arange(1, most + 1, device=i.device)  # (most,) a match and those ahead of it
    return (rivals + place)[place <= matches[:, None]]  # (p,)
