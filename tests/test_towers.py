import pytest
import torch

from manymodal.errors import ManymodalError
from manymodal.towers import Head


def test_a_head_has_one_hidden_layer_or_none():
    shapes = [[tuple(p.shape) for p in Head(6, 4, **given).parameters()] for given in ({"hidden": 5}, {"hidden": None})]
    assert shapes == [[(5, 6), (5,), (4, 5), (4,)], [(4, 6), (4,)]]
    linear = Head(6, 4, hidden=None).eval()
    a, b = torch.randn(2, 3, 6)
    torch.testing.assert_close(linear(a) + linear(b) - linear(a + b), linear(torch.zeros(3, 6)))


def test_first_weights_are_scaled_in_the_last_layer_alone():
    heads = []
    for initial in (1.0, 0.1):
        torch.manual_seed(1)
        heads.append(Head(6, 4, hidden=5, initial=initial).eval())
    x = torch.randn(3, 6)
    torch.testing.assert_close(0.1 * heads[0](x), heads[1](x))
    assert torch.equal(*(next(head.parameters()) for head in heads))


@pytest.mark.parametrize("given", [{"hidden": 0}, {"dropout": 1.0}, {"dropout": -0.1}, {"initial": 0}, {"initial": 2}])
def test_numbers_out_of_range_are_refused(given):
    with pytest.raises(ManymodalError, match=f"head: .*{next(iter(given))}={next(iter(given.values()))}.*needed"):
        Head(6, 4, **given)
