"""Graded relevance: rows are more or less relevant to a query, instead of matching or not (nDCG).

Every gallery row that is relevant at all gets a rank. Of two rows with different gains the lower one stands before the
other, unless it scores lower by more than `TOLERANCE`: ties count against the space. Of two with the same gain the one
that scores higher stands before. A row's rank is 1 + the rows before it. With one gain alone these are the ranks of
`manymodal.ranks`; scores come from one block of float32 products, as there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from ..compose import Rows
from ..errors import ManymodalError
from ..matching import matching_pairs
from ..ranks import BLOCK, TOLERANCE, nth
from ..words import counted
from .metrics import check_places

COLUMNS = ("query", "target", "gain")

Gains = Literal["linear", "exponential"]


@dataclass(frozen=True)
class Relevance:
    """How relevant items of a gallery are to items asked with; a pair that is not listed is not relevant.

    Args:
        queries: (p,) int64, items asked with.
        gallery: (p,) int64, items searched.
        gain: (p,) float, finite and >= 0: how relevant the one is to the other.

    Raises:
        ManymodalError: lengths or dtypes differ, an item or a gain is negative, a gain is not finite, or a pair is
            listed twice.
    """

    queries: Tensor
    gallery: Tensor
    gain: Tensor

    def __post_init__(self) -> None:
        p = len(self.queries)
        for name, values in vars(self).items():
            kind = "floats" if name == "gain" else "int64"
            if values.shape != (p,) or not (
                values.is_floating_point() if name == "gain" else values.dtype == torch.int64
            ):
                raise ManymodalError(
                    f"relevance: {name} are {values.dtype} of shape {tuple(values.shape)}; needed: {kind} ({p},)"
                )
        if bool((torch.stack([self.queries, self.gallery]) < 0).any()):
            raise ManymodalError("relevance: an item is negative; items are >= 0, and things of a kind have labels")
        bad = ~(self.gain.isfinite() & (self.gain >= 0))  # (p,)
        if bool(bad.any()):
            row = int(bad.nonzero()[0])
            raise ManymodalError(f"relevance row {row}: gain {float(self.gain[row])}; a gain is a number of at least 0")
        pairs, times = torch.stack([self.queries, self.gallery]).unique(dim=1, return_counts=True)  # (2, distinct)
        if bool((times > 1).any()):
            query, target = pairs[:, times > 1][:, 0].tolist()
            raise ManymodalError(f"relevance of item {target} to item {query} is listed twice; give each pair one gain")


class Graded(NamedTuple):
    """Metrics of the queries that a gallery row is relevant to.

    Args:
        values: {name: (s,) float64}; `manymodal.evaluation.metrics.summary` makes one figure of each.
        rows: (s,) int64, which of the queries they are; the others were skipped.
    """

    values: dict[str, Tensor]
    rows: Tensor


def graded(
    queries: Rows,
    gallery: Rows,
    relevance: Relevance,
    k: Sequence[int] = (10,),
    gains: Gains = "linear",
    block: int = BLOCK,
) -> Graded:
    """Normalised discounted cumulative gain of each query (Järvelin and Kekäläinen 2002).

    ndcg@k: the sum of gain / log2(1 + rank) over the rows in the top k, divided by that of the best possible order;
    ndcg: over the whole gallery. hit@k and precision@k: whether a row of any gain is in the top k, and what share of
    the k are such rows.

    An item with several values in the gallery is there several times, with the same gain. Costs a sorting of each
    query's scores and, for r relevant rows, r^2 comparisons.

    Args:
        queries: n of them; matched to the relevance by item.
        gallery: what is searched; matched to the relevance by item.
        relevance: the judgements.
        k: places, each >= 1.
        gains: "linear", as in trec_eval; or "exponential", 2^gain - 1 (Burges et al. 2005).
        block: how many scores to hold at a time; at least one query's are.

    Raises:
        ManymodalError: a k is below 1, `gains` is another, or a gain above 100 is to be an exponent.
    """
    check_places(k)
    if gains not in ("linear", "exponential"):
        raise ManymodalError(f'gains={gains!r}; allowed are "linear" and "exponential" (2^gain - 1)')
    i, j, gain = _relevant_rows(queries, gallery, relevance)
    rows, i, count = i.unique(return_inverse=True, return_counts=True)  # (s,), (p,), (s,)
    ranks = _ranks(queries.vectors[rows], gallery.vectors, i, j, gain, count, block)  # (p,)
    gain = _worth(gain, gains)
    order = gain.argsort(descending=True)  # (p,)
    best = gain[order[i[order].argsort(stable=True)]]  # (p,) each query's own, the highest first
    place = nth(i, count) + 1  # (p,)

    def total(of_row: Tensor) -> Tensor:
        """Sum over a query's relevant rows (p,): (s,)."""
        return of_row.new_zeros(len(rows), dtype=torch.float64).index_add(0, i, of_row.double())

    def dcg(gain: Tensor, rank: Tensor, at: float) -> Tensor:
        return total((rank <= at) * gain / torch.log2(1 + rank.double()))

    return Graded(
        {
            **{f"ndcg@{at}": dcg(gain, ranks, at) / dcg(best, place, at) for at in k},
            "ndcg": dcg(gain, ranks, torch.inf) / dcg(best, place, torch.inf),
            **{f"hit@{at}": (total(ranks <= at) > 0).double() for at in k},
            **{f"precision@{at}": total(ranks <= at) / at for at in k},
        },
        rows,
    )


def _relevant_rows(queries: Rows, gallery: Rows, relevance: Relevance) -> tuple[Tensor, Tensor, Tensor]:
    """Query rows, gallery rows and gains, each (p,), of all pairs with a gain above 0; ordered by query."""
    listed = relevance.gain > 0  # (pairs,)
    asked, there, gain = relevance.queries[listed], relevance.gallery[listed], relevance.gain[listed]
    i, pair = matching_pairs(queries.items, asked)
    at, j = matching_pairs(there[pair], gallery.items)
    return i[at], j, gain[pair[at]].double()


def _worth(gain: Tensor, gains: Gains) -> Tensor:
    """The gains as they are counted."""
    if gains == "linear":
        return gain
    if bool((gain > 100).any()):
        raise ManymodalError(f"gain {float(gain.max()):g} is too high for 2^gain - 1; at most 100, or linear gains")
    return torch.exp2(gain) - 1


def _ranks(queries: Tensor, gallery: Tensor, i: Tensor, j: Tensor, gain: Tensor, count: Tensor, block: int) -> Tensor:
    """Ranks (p,) of the pairs of query i and gallery row j, all those with a gain > 0."""
    queries, gallery = queries.detach().float(), gallery.detach().float()
    offsets = torch.cat([count.new_zeros(1), count.cumsum(0)])  # (s + 1,)
    most = int(count.max()) if len(count) else 0
    size = max(1, block // max(1, len(gallery), most * most))
    parts = [i.new_empty(0)]
    for start in range(0, len(queries), size):
        end = min(start + size, len(queries))
        pairs = slice(int(offsets[start]), int(offsets[end]))
        scores = queries[start:end] @ gallery.T  # (b, m)
        parts.append(_ranks_of_block(scores, i[pairs] - start, j[pairs], gain[pairs], count[start:end]))
    return torch.cat(parts)  # (p,)


def _ranks_of_block(scores: Tensor, i: Tensor, j: Tensor, gain: Tensor, count: Tensor) -> Tensor:
    """The same in a block of scores (b, m), which is written over."""
    at = i, nth(i, count)
    own = scores.new_full((len(scores), int(count.max())), -torch.inf).index_put(at, scores[i, j])  # (b, r)
    worth = gain.new_zeros(own.shape).index_put(at, gain)  # (b, r)
    bar = own - TOLERANCE  # (b, r) from which on a lower gain stands before
    scores[i, j] = -torch.inf  # what is left is not relevant
    rivals = scores.shape[1] - torch.searchsorted(scores.sort(dim=1).values, bar)  # (b, r)

    lower, higher = worth[:, :, None] < worth[:, None, :], worth[:, :, None] > worth[:, None, :]  # (b, r, r)
    earlier = torch.ones(own.shape[1], own.shape[1], dtype=torch.bool, device=own.device).triu(1)  # (r, r)
    one, other = own[:, :, None], own[:, None, :]  # (b, r, 1), (b, 1, r)
    before = torch.where(higher, bar[:, :, None] > other, (one > other) | ((one == other) & earlier))  # (b, r, r)
    before = torch.where(lower, one >= bar[:, None, :], before)
    return (1 + rivals + before.sum(dim=1))[at]  # (p,)


def read_relevance(path: Path | str, ids: Mapping[str, int]) -> tuple[Relevance, list[str]]:
    """Judgements from a table with the columns `query`, `target` (the user's ids) and `gain`, CSV or Parquet.

    Args:
        path: of the table; in a CSV ids are read as texts, so that "007" stays what it is.
        ids: {the user's id: item}.

    Returns:
        The judgements of known ids, and what was left out, in words.

    Raises:
        ManymodalError: the file cannot be read, a column or a cell is missing, a gain is negative or not finite, a
            pair is listed twice, or none has two known ids.
    """
    path = Path(path)
    table = _table(path)
    lacking = [name for name in COLUMNS if name not in table.column_names]
    if lacking:
        raise ManymodalError(
            f"{path.name} has no column {', '.join(lacking)}; needed are {', '.join(COLUMNS)}, "
            f"there are {', '.join(table.column_names)}"
        )
    query, target, gain = (table[name].to_pylist() for name in COLUMNS)
    judged: set[tuple[str, str]] = set()
    for row, cells in enumerate(zip(query, target, gain, strict=True)):
        asked, there, worth = cells
        if None in cells:
            raise ManymodalError(f"{path.name} row {row} has an empty cell; each row needs {', '.join(COLUMNS)}")
        if not (math.isfinite(worth) and worth >= 0):
            raise ManymodalError(f"{path.name} row {row}: gain {worth}; a gain is a number of at least 0")
        if (asked, there) in judged:
            raise ManymodalError(f"{path.name} row {row}: {there} is judged twice for {asked}; give each pair one gain")
        judged.add((asked, there))
    known = [row for row in range(len(gain)) if query[row] in ids and target[row] in ids]
    if not known:
        raise ManymodalError(f"{path.name}: no row has a query and a target that are ids of the collection")
    relevance = Relevance(
        torch.tensor([ids[query[row]] for row in known]),
        torch.tensor([ids[target[row]] for row in known]),
        torch.tensor([gain[row] for row in known], dtype=torch.float64),
    )
    others = [name for name in table.column_names if name not in COLUMNS]
    notes = [f"{path.name}: columns not read: {', '.join(others)}"] if others else []
    if len(known) < len(gain):
        notes.append(f"{path.name}: {counted(len(gain) - len(known), 'row')} of {len(gain):,} left out, ids not known")
    return relevance, notes


def _table(path: Path) -> Any:
    """The columns as an Arrow table: ids as texts, gains as floats."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    types = dict(zip(COLUMNS, (pa.string(), pa.string(), pa.float64()), strict=True))
    try:
        if path.suffix.lower() == ".csv":
            return pa.csv.read_csv(path, convert_options=pa.csv.ConvertOptions(column_types=types))
        if path.suffix.lower() == ".parquet":
            table = pa.parquet.read_table(path)
            return table.cast(pa.schema([(f.name, types.get(f.name, f.type)) for f in table.schema]))
    except (OSError, pa.ArrowException) as error:
        raise ManymodalError(f"cannot read {path.name}: {error}") from error
    raise ManymodalError(f"{path.name}: relevance is read from .csv and .parquet")
