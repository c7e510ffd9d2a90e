"""Batches: every item once an epoch, values drawn, gaps kept, and all of it a function of seed and step."""

import pytest
import torch

from manymodal.embeddings import Embeddings
from manymodal.encoders.base import Packed
from manymodal.errors import ManymodalError
from manymodal.processes import Processes
from manymodal.training import ItemSampler, Rows


def rows(items, labels=None):
    items = torch.tensor(items)
    labels = torch.full_like(items, -1) if labels is None else torch.tensor(labels)
    return Rows(Packed(torch.arange(len(items)).float()[:, None]), items, labels)


DATA = {
    "a": rows([3, 1, 2, 9, 5], [0, 1, 0, -1, 1]),
    "b": rows([1, 1, 1, 9, 2, 2], [1, 1, 1, -1, 0, 0]),
    "kind": rows([-1, -1, -1], [0, 1, 4]),
}


def test_an_epoch_shows_every_item_once_in_equal_batches():
    sampler = ItemSampler(DATA, batch_size=2, seed=1)
    assert len(sampler) == 3
    seen = [sampler.batch(step)["a"].items.tolist() for step in range(3)]
    assert sorted(item for batch in seen for item in batch) == [1, 2, 3, 5, 9]
    assert max(map(len, seen)) <= 2
    assert [sampler.batch(step)["a"].items.tolist() for step in range(3, 6)] != seen  # another order


def test_values_are_drawn_without_repeats_and_their_number_is_kept():
    for limit, most in ((1, 1), (2, 2), ("all", 3)):
        sampler = ItemSampler(DATA, batch_size=5, values_per_item=limit)
        shown = set()
        for step in range(40):
            b = sampler.batch(step)["b"]
            assert (b.items == 1).sum() == most and (b.items == 9).sum() == 1
            chosen = b.values.data[b.items == 1][:, 0].tolist()
            assert len(set(chosen)) == most
            shown |= set(chosen)
        assert shown == {0.0, 1.0, 2.0}  # each of item 1's values has its turn


def test_label_modalities_show_the_labels_of_the_batch():
    sampler = ItemSampler(DATA, batch_size=1)
    for step in range(len(sampler)):
        batch = sampler.batch(step)
        labels = set(torch.cat([batch["a"].labels, batch["b"].labels]).tolist()) - {-1}
        assert set(batch["kind"].labels.tolist()) == labels
        assert batch["kind"].values.data[:, 0].tolist() == [{0: 0.0, 1: 1.0}[x] for x in batch["kind"].labels.tolist()]


def test_same_seed_and_step_same_batch():
    def all_rows(seed):
        sampler = ItemSampler(DATA, batch_size=2, seed=seed)
        return [sampler.batch(step)["b"].values.data[:, 0].tolist() for step in range(9)]

    torch.manual_seed(5)
    first = all_rows(3)
    torch.manual_seed(6)
    assert all_rows(3) == first != all_rows(4)


class Process(Processes):
    """One of several, without the others."""

    def __init__(self, rank, size):
        self.rank, self.size = rank, size


@pytest.mark.parametrize("limit", [1, 2, "all"])
@pytest.mark.parametrize("size", [2, 3, 7])
def test_processes_share_what_one_would_see(limit, size):
    sampler = ItemSampler(DATA, batch_size=3, seed=2, values_per_item=limit)
    for step in range(4):
        whole, parts = sampler.batch(step), [sampler.batch(step, Process(rank, size)) for rank in range(size)]
        for m in DATA:
            shown = torch.cat([part[m].values.data for part in parts])
            assert shown.sort(dim=0).values.tolist() == whole[m].values.data.sort(dim=0).values.tolist()
        held = [set(torch.cat([part[m].items for m in ("a", "b")]).tolist()) for part in parts]
        assert sum(map(len, held)) == len(set.union(*held))  # all values of an item are on one process
        assert sum(len(part["kind"]) for part in parts) == len(whole["kind"])


def test_all_rows_are_shared_out():
    sampler = ItemSampler(DATA, batch_size=2)
    for m, rows in sampler.all_rows().items():
        expected = [0, 1] if m == "kind" else range(len(DATA[m]))  # no train item has label 4
        assert sorted(rows.values.data[:, 0].tolist()) == list(expected)
        parts = [sampler.all_rows(Process(rank, 2))[m].values.data for rank in range(2)]
        assert sorted(torch.cat(parts)[:, 0].tolist()) == list(expected)
        assert all(len(part) for part in parts)


def test_nothing_to_train_on_is_refused():
    with pytest.raises(ManymodalError, match="no value of any item"):
        ItemSampler({"kind": DATA["kind"]})


def test_batches_of_neighbours_are_whole_clusters_and_an_epoch_still_shows_every_item_once():
    groups = torch.arange(24) % 3  # three places in space, eight items each
    places = torch.eye(3)[groups]
    items = {"a": torch.arange(24), "b": torch.arange(24)}
    data = {m: rows(ids.tolist()) for m, ids in items.items()}
    sampler = ItemSampler(data, batch_size=8, neighbours=8)
    embed = lambda: Embeddings(dict.fromkeys(items, places), items)  # noqa: E731
    sampler.before_epoch(0, embed)
    assert sampler.clusters is None  # the space says nothing yet
    sampler.before_epoch(1, embed)
    batches = [sampler.batch(step)["a"].items for step in range(3, 6)]
    assert torch.cat(batches).sort().values.tolist() == list(range(24))
    assert all(len(groups[batch].unique()) == 1 for batch in batches)
    again = [sampler.batch(step)["a"].items for step in range(6, 9)]
    assert [batch.tolist() for batch in again] != [batch.tolist() for batch in batches]


def test_random_batches_ask_for_no_embeddings():
    ItemSampler(DATA).before_epoch(1, lambda: pytest.fail("embeddings were computed"))
