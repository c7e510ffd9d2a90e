"""Clusters of bounded size in time that is far from quadratic: which rows are near each other, to look at them closely.

Spherical k-means has as many centres as the bound on size asks for, k ~ n / size, so that looking at every centre for
every row is quadratic in n. Here a row looks at few of them: rows are dealt to about sqrt(k) coarse cells, each has
about sqrt(k) centres, and a row is compared with those of its own cell alone; in the last rounds with those of the few
cells nearest to it, which takes the walls between cells down again. No cluster takes more rows than it may have: a row
whose nearest centre is full, of rows nearer to it, goes to its next.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

from ..errors import ManymodalError

FILL = 0.9  # how full clusters are planned to be: the slack lets most rows have the centre they want
CHOICES = 4  # nearest centres that a row tries before it is put wherever there is room
CELLS = 3  # cells that a row looks into in the last rounds
LAST = 2  # how many rounds are the last ones
SAMPLE = 64  # rows for each cell that the cells are made from
BLOCK = 2**22  # scores of rows and cells held at a time: 16 MB

Visit = tuple[Tensor, int, int]  # rows that look into a cell, the cell, and that it is the nth that they look into


def bounded_clusters(
    vectors: Tensor, size: int, *, rounds: int = 8, generator: torch.Generator | None = None
) -> Tensor:
    """Put n unit vectors into clusters of at most `size` rows that are near each other (cosine).

    Spherical k-means (Dhillon and Modha, Machine Learning 42, 2001) over two levels, with a capacity. The cells are a
    k-means of a sample of rows; where one would hold more than twice its share, the farthest of its rows go elsewhere.
    In each round rows propose to their nearest centres in turn, a centre accepts the nearest of them while it has
    room, and centres become the means of their rows. The few that find all their choices full take what is left nearby.

    Boundaries depend on the random start: other generators cut elsewhere, at the same quality, so that neighbours kept
    apart by one clustering meet in the next. The same state of the generator gives the same clusters.

    Args:
        vectors: (n, d) float, unit norm; any precision is computed with in float32, and no gradient flows.
        size: the most rows that a cluster may have; on average they have 0.85 of it or more where n is many times it.
        rounds: how often rows choose and centres move.
        generator: source of the random start, on any device; None is torch's own.

    Returns:
        (n,) int64 in 0..k-1, each of which occurs; n <= size makes one cluster.

    Raises:
        ManymodalError: `vectors` are no (n, d) floats, or `size` or `rounds` is under 1.

    Cost: O(n sqrt(n / size) d) a round, `CELLS` times that in the last `LAST`; memory O(n) and a copy of one cell's
    vectors, beside a float32 copy of those in other precision.
    """
    if vectors.ndim != 2 or not vectors.is_floating_point():
        raise ManymodalError(f"vectors are {vectors.dtype} of shape {tuple(vectors.shape)}; needed: floats (n, d)")
    if size < 1 or rounds < 1:
        raise ManymodalError(f"size={size}, rounds={rounds}; both are 1 or more: give how many rows a cluster may have")
    n = len(vectors)
    if n <= size:
        return torch.zeros(n, dtype=torch.int64, device=vectors.device)
    vectors = vectors.detach().float()
    device = "cpu" if generator is None else generator.device
    mixed = torch.randperm(n, generator=generator, device=device).to(vectors.device)  # (n,)

    cells = max(1, round(math.sqrt(n / (FILL * size))))
    near = _nearest_cells(vectors, vectors[mixed[: SAMPLE * cells]], cells, rounds)  # scores and cells (n, CELLS)
    cell = _place(*near, cells, math.ceil(2 * n / cells))  # (n,)
    centres, shares = _start(vectors, cell[mixed], mixed, cells, size)  # (k, d), centres of each cell

    own, wide = _visits(cell[:, None], cells), _visits(near[1], cells)
    for turn in reversed(range(rounds)):
        scores, choices = _nearest_centres(vectors, wide if turn < LAST else own, centres, shares)  # (n, CHOICES)
        ids = _place(scores, choices, len(centres), size)  # (n,)
        if turn:
            centres = _means(vectors, ids, centres)  # (k, d)
    numbers: Tensor = ids.unique(return_inverse=True)[1]
    return numbers


def _nearest_cells(vectors: Tensor, sample: Tensor, cells: int, rounds: int) -> tuple[Tensor, Tensor]:
    """Scores and numbers (n, at most CELLS) of each row's nearest cells, by a k-means of the sample."""
    centres = sample[:cells]  # (cells, d)
    for _ in range(rounds):
        centres = _means(sample, (sample @ centres.T).argmax(1), centres)
    most = min(CELLS, cells)
    best = [(rows @ centres.T).topk(most) for rows in vectors.split(max(1, BLOCK // cells))]
    return torch.cat([b.values for b in best]), torch.cat([b.indices for b in best])


def _start(vectors: Tensor, cell: Tensor, rows: Tensor, cells: int, size: int) -> tuple[Tensor, list[int]]:
    """Centres (k, d) ordered by cell, the first of each cell's rows, and how many each cell has.

    Args:
        vectors: (n, d).
        cell: (n,) int64, the cell of each of `rows`.
        rows: (n,) int64 row numbers in random order.
    """
    held = torch.bincount(cell, minlength=cells)  # (cells,)
    share = (held / (FILL * size)).round().long().clamp(min=(held + size - 1) // size, max=held)  # (cells,)
    order = cell.argsort(stable=True)  # (n,)
    first = _rank(cell[order], cells) < share[cell[order]]  # (n,)
    return vectors[rows[order[first]]], share.tolist()


def _visits(near: Tensor, cells: int) -> list[Visit]:
    """Who looks where, cell by cell, from the cells (n, p) that each row looks into."""
    return [
        (rows, cell, nth)
        for nth, column in enumerate(near.T)
        for cell, rows in enumerate(column.argsort(stable=True).split(torch.bincount(column, minlength=cells).tolist()))
    ]


def _nearest_centres(vectors: Tensor, visits: list[Visit], centres: Tensor, shares: list[int]) -> tuple[Tensor, Tensor]:
    """Scores and numbers (n, CHOICES) of each row's nearest centres, best first, among those in the cells it visits.

    Where there are fewer than CHOICES, number k (one past the last centre) stands for none.
    """
    visited = 1 + max(nth for _, _, nth in visits)
    scores = vectors.new_full((visited, len(vectors), CHOICES), -math.inf)
    choices = torch.full(scores.shape, len(centres), device=vectors.device)
    parts, begin = centres.split(shares), [0, *torch.tensor(shares).cumsum(0).tolist()]
    for rows, cell, nth in visits:
        c = min(CHOICES, shares[cell])
        best = (vectors.index_select(0, rows) @ parts[cell].T).topk(c)  # (r, c)
        scores[nth, :, :c].index_copy_(0, rows, best.values)
        choices[nth, :, :c].index_copy_(0, rows, best.indices + begin[cell])
    best = scores.transpose(0, 1).flatten(1).topk(CHOICES)  # (n, CHOICES) of (n, visited * CHOICES)
    return best.values, choices.transpose(0, 1).flatten(1).gather(1, best.indices)


def _place(scores: Tensor, choices: Tensor, k: int, size: int) -> Tensor:
    """(n,) int64: each row in the first of its choices that takes it.

    All first choices are served before any second one; a cluster takes the best of those who ask while it has room.
    Rows that none takes are spread over the room that is left, ordered as their first choices are: since centres are
    numbered cell by cell, that is mostly nearby.

    Args:
        scores: (n, c). choices: (n, c) int64, best first, k for none.
        k: how many clusters there are, each with room for `size` rows; k * size >= n.
    """
    ids = torch.empty(len(choices), dtype=torch.int64, device=choices.device)
    room = torch.full((k + 1,), size, device=choices.device)
    room[k] = 0
    left = torch.arange(len(choices), device=choices.device)
    for score, choice in zip(scores.T, choices.T, strict=True):
        order = left[score[left].argsort(stable=True, descending=True)]
        order = order[choice[order].argsort(stable=True)]  # by choice, best first
        wanted = choice[order]
        taken = _rank(wanted, k + 1) < room[wanted]
        ids[order[taken]] = wanted[taken]
        room -= torch.bincount(wanted[taken], minlength=k + 1)
        left = order[~taken]
    left = left[choices[left, 0].argsort(stable=True)]
    places = torch.arange(k + 1, device=room.device).repeat_interleave(room)  # (places left,)
    ids[left] = places[torch.arange(len(left), device=left.device) * len(places) // max(1, len(left))]
    return ids


def _rank(groups: Tensor, k: int) -> Tensor:
    """(n,) int64, the place of each row within its group, from sorted group numbers."""
    count = torch.bincount(groups, minlength=k)  # (k,)
    return torch.arange(len(groups), device=groups.device) - (count.cumsum(0) - count)[groups]


def _means(vectors: Tensor, ids: Tensor, centres: Tensor) -> Tensor:
    """(k, d) unit means of each cluster's rows; a cluster without any keeps its centre."""
    some = torch.bincount(ids, minlength=len(centres)) > 0  # (k,)
    return torch.where(some[:, None], normalize(sums_of_clusters(vectors, ids, len(centres)), dim=1), centres)


def sums_of_clusters(vectors: Tensor, ids: Tensor, k: int) -> Tensor:
    """(k, d) the sum of each cluster's rows.

    Rows are summed in order, cluster by cluster: adding them in place is not reproducible on a GPU.

    Args:
        vectors: (n, d). ids: (n,) int64 in 0..k-1.
    """
    count = torch.bincount(ids, minlength=k)  # (k,)
    return embedding_bag(ids.argsort(stable=True), vectors, count.cumsum(0) - count, mode="sum")  # (k, d)
