import pytest
import torch

from cases import vectors
from manymodal.errors import ManymodalError
from manymodal.index.exact import Hit, search


def plain(gallery, items, query, k):
    scores = (gallery @ query).tolist()
    best = {}
    for row in sorted(range(len(scores)), key=lambda r: (-scores[r], r)):
        best.setdefault(int(items[row]), (row, scores[row]))
    return [(item, row, score) for item, (row, score) in best.items()][:k]


@pytest.mark.parametrize("k", [1, 3, 100])
@pytest.mark.parametrize("block", [1, 50, 10**6])
def test_an_item_ranks_by_its_best_value(k, block):
    gallery, items, query = vectors(60, d=8), torch.randint(20, (60,)), vectors(1, d=8)[0]
    found = search(gallery.float(), items, query.float(), k, block)
    expected = plain(gallery, items, query, k)
    assert [(f.item, f.row) for f in found] == [(item, row) for item, row, _ in expected]
    assert [f.score for f in found] == pytest.approx([score for *_, score in expected], abs=1e-6)


def test_ties_go_by_row_wherever_they_stand():
    one = vectors(1, d=33, dtype=torch.float32)
    items = torch.randperm(101)
    for block in (33, 7 * 33, 10**6):
        found = search(one.repeat(101, 1), items, one[0], 40, block)
        assert [f.row for f in found] == list(range(40)) and [f.item for f in found] == items[:40].tolist()


def test_one_item_with_all_the_best_values_is_one_result():
    gallery = torch.cat([torch.eye(4)[:1].repeat(50, 1), torch.eye(4)])
    items = torch.cat([torch.zeros(50, dtype=torch.int64), torch.arange(4)])
    assert [f.item for f in search(gallery, items, torch.tensor([1.0, 0.5, 0.2, 0.1]), 3)] == [0, 1, 2]


def test_edges():
    assert search(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.ones(4)) == []
    with pytest.raises(ManymodalError, match="k=0"):
        search(torch.eye(4), torch.arange(4), torch.ones(4), 0)
    with pytest.raises(ManymodalError, match=r"query \(3,\) do not fit"):
        search(torch.eye(4), torch.arange(4), torch.ones(3))


def test_a_hit_as_json_has_it():
    hit = Hit("4711", 0.4, 0, {"photo": 0.5, "-caption": 0.1}, {"name": "Tom"})
    assert list(hit.to_dict().items()) == [
        ("id", "4711"),
        ("score", 0.4),
        ("value", 0),
        ("parts", {"photo": 0.5, "-caption": 0.1}),
        ("columns", {"name": "Tom"}),
    ]
