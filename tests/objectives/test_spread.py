"""Labels that lie on several processes: rows or moments move, and the sums are those of one process.

The processes are threads here, which is quick.
"""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from cases import random_embeddings, with_grad
from manymodal.embeddings import Embeddings
from manymodal.objectives import PCMR
from manymodal.objectives.spread import elsewhere
from manymodal.processes import ONE, Meeting, Processes


class Thread(Processes):
    """One of several threads that hold parts of a batch; gradients as `manymodal.processes` has them."""

    def __init__(self, rank, table, barrier):
        self.rank, self.size, self.table, self.barrier = rank, len(table), table, barrier

    def everyone(self, value):
        self.table[self.rank] = value
        self.barrier.wait()
        found = list(self.table)
        self.barrier.wait()
        return found

    def gather(self, tensor):
        parts = self.everyone(tensor.detach())
        if tensor.requires_grad:
            parts[self.rank] = tensor.detach() + self.size * (tensor - tensor.detach())
        return torch.cat(parts)

    def sum(self, tensor):
        total = torch.stack(self.everyone(tensor.detach())).sum(0)
        return total + self.size * (tensor - tensor.detach()) if tensor.requires_grad else total

    def meet(self, embeddings):
        sizes = {m: tuple(self.everyone(len(embeddings.vectors[m]))) for m in embeddings.modalities}
        said = self.everyone({m for m in embeddings.modalities if embeddings.per_label(m)})
        return Meeting(embeddings, frozenset().union(*said), sizes, self.rank)


def in_threads(count, work):
    """[work(rank, processes)] of several threads."""
    table, barrier = [None] * count, Barrier(count, timeout=30)
    with ThreadPoolExecutor(count) as pool:
        done = [pool.submit(work, rank, Thread(rank, table, barrier)) for rank in range(count)]
        return [future.result() for future in done]


def shard(embeddings, owner):
    """The rows of which `owner` (label rows: of whose labels) is true."""
    rows = {m: owner(embeddings.labels[m] if embeddings.per_label(m) else i) for m, i in embeddings.items.items()}
    parts = ({m: of[m][r] for m, r in rows.items()} for of in (embeddings.vectors, embeddings.items, embeddings.labels))
    return Embeddings(*parts)


CASES = {
    "rows move": {"items": 12, "labels": 5, "d": 9},
    "moments move": {"items": 40, "labels": 2, "d": 2},
    "some of each": {"items": 30, "labels": 9, "d": 3},
    "a label modality": {"items": 14, "labels": 4, "d": 4, "label_modality": True},
}


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("match", ["item", "label"])
@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradient_are_those_of_one_process(case, match, count):
    embeddings = random_embeddings(**CASES[case])
    alone = with_grad(embeddings)
    loss = PCMR(match=match)(alone)
    loss.total.backward()

    def owner(rank):  # unequal shares, and the last of three has nothing
        return lambda ids: (ids % 3 == 0) == (rank == 0) if rank < 2 else ids < -1

    def work(rank, processes):
        mine = with_grad(shard(embeddings, owner(rank)))
        own = PCMR(match=match).across(processes)(mine)
        own.total.backward()
        return own, {m: v.grad / count for m, v in mine.vectors.items()}

    for rank, (own, grads) in enumerate(in_threads(count, work)):
        assert {p: v.item() for p, v in own.pairs.items()} == pytest.approx(
            {p: v.item() for p, v in loss.pairs.items()}
        )
        for m, grad in grads.items():
            ids = embeddings.labels[m] if embeddings.per_label(m) else embeddings.items[m]
            assert torch.allclose(grad, alone.vectors[m].grad[owner(rank)(ids)], atol=1e-12)


def test_the_cheaper_moves():
    keys = {
        0: [torch.tensor([1, 1, 3, 3, 3, 3, 2]), torch.tensor([1, 5])],
        1: [torch.tensor([3, 3, 3, 4]), torch.tensor([1, 3, 7, -1])],
    }

    def work(rank, processes):
        v = [torch.full((len(k), 4), float(rank + 1), dtype=torch.float64) for k in keys[rank]]
        return elsewhere(v, keys[rank], processes)

    first, second = in_threads(2, work)
    # Label 1 (key 1) has 4 rows in all, label 3 (key 3) 8 = 2 modalities * d; 5 and 7 are on one process, 2 and 4 items.
    assert [k.tolist() for k in first.keys] == [[], [1]] and [k.tolist() for k in second.keys] == [[1, 1], [1]]
    assert [v.tolist() for v in first.vectors] == [[], [[2.0] * 4]] and second.vectors[0].tolist() == [[1.0] * 4] * 2
    assert first.moments.keys() == second.moments.keys() == {3}
    assert [of.count for of in first.moments[3]] == [7, 1]
    assert first.moments[3][0].total.tolist() == [4 * 1.0 + 3 * 2.0] * 4


def test_one_process_has_nothing_elsewhere():
    apart = elsewhere([torch.eye(3), torch.eye(3)], [torch.tensor([1, 1, 3]), torch.tensor([3, 1, -1])], ONE)
    assert [len(v) for v in apart.vectors] == [0, 0] and not apart.moments
