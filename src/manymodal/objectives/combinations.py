"""Training on combined queries: for each target a random set of the other modalities, composed as search composes it.

A space that is trained on pairs alone has never seen the sum of two of its vectors. This gives an objective such sums,
one set of modalities per target and step, each as a pair of its own: the composed rows against those of the target.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from ..compose import compose_items
from ..embeddings import Embeddings
from ..processes import ONE, Processes


@dataclass(frozen=True)
class ComposedQuery:
    """A set of modalities, composed, beside its target.

    Args:
        query: names, two or more, alphabetical.
        target: a modality that is not among them.
        embeddings: two modalities, the composed rows under a name that no modality can have, and the target's rows.
        processes: across which these rows lie.
    """

    query: tuple[str, ...]
    target: str
    embeddings: Embeddings
    processes: Processes


def draw_queries(modalities: Sequence[str], generator: torch.Generator) -> dict[str, tuple[str, ...]]:
    """{target: query}, for every target with at least two other modalities.

    The size of a query is uniform from two to all the others, then the set is uniform among those of that size: uniform
    over sets would hardly ever draw a pair out of ten modalities.
    """
    drawn = {}
    for target in sorted(modalities) if len(modalities) > 2 else ():
        others = sorted(set(modalities) - {target})
        size = int(torch.randint(2, len(others) + 1, (), generator=generator))
        chosen = torch.randperm(len(others), generator=generator)[:size]  # (size,)
        drawn[target] = tuple(sorted(others[i] for i in chosen))
    return drawn


def composed_queries(embeddings: Embeddings, processes: Processes = ONE) -> Iterator[ComposedQuery]:
    """A drawn query for every target with at least two others, composed of the items that have all of its parts.

    Items that have the query and not the target stay, as rows without a match. Drawn from torch's generator, alike on
    all processes whatever state theirs is in. Cost: O(n d) for each of the query's modalities.

    Args:
        embeddings: this process's rows; gradients pass through.
        processes: across which `embeddings` is one shard.
    """
    met = processes.meet(embeddings)
    present = [m for m in met.embeddings.modalities if met.total(m)]
    device = next(iter(embeddings.vectors.values())).device
    seed = processes.gather(torch.randint(2**62, (1,)).to(device))[0]  # of the first process
    for target, query in draw_queries(present, torch.Generator().manual_seed(int(seed))).items():
        if met.per_label.isdisjoint(query):
            yield ComposedQuery(query, target, _beside(met.embeddings, query, target), processes)
        else:  # an item's label may have its value on another process, so each composes all rows
            everyone = processes.gather_embeddings(met.embeddings.only(*query, target)).embeddings
            yield ComposedQuery(query, target, _beside(everyone, query, target), ONE)


def _beside(embeddings: Embeddings, query: tuple[str, ...], target: str) -> Embeddings:
    """The composed query and the target's rows, as two modalities."""
    rows, name = compose_items(embeddings.only(*query), query), "/".join(query)
    vectors = rows.vectors.to(embeddings.vectors[target].dtype)  # composition gives float32 for half precision
    labels = None if rows.labels is None else {name: rows.labels}
    return Embeddings.concatenate([Embeddings({name: vectors}, {name: rows.items}, labels), embeddings.only(target)])
