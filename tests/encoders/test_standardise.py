import pytest
import torch

from manymodal.encoders.standardise import Standardise
from manymodal.errors import ManymodalError


def test_mean_0_and_spread_1_over_all_but_the_last_dimension():
    data = torch.randn(5, 40, 3, dtype=torch.float64) * torch.tensor([1, 1e-6, 1e6]) + torch.tensor([5, 0, 1e7])
    out = Standardise(3).fit(data)(data)
    assert out.shape == data.shape and out.dtype == torch.float32
    assert out.mean((0, 1)).abs().max() < 1e-2
    assert (out.std((0, 1), correction=0) - 1).abs().max() < 1e-2


@pytest.mark.parametrize("constant", [0.0, 0.1, -3e5, 1e-12])
def test_a_constant_column_becomes_zero_even_where_it_is_not_constant_later(constant):
    data = torch.randn(1000, 2)
    data[:, 1] = constant
    standardise = Standardise(2).fit(data)
    assert standardise(data)[:, 1].abs().max() == 0
    later = standardise(torch.tensor([[0.0, constant + 1]]))
    assert later.isfinite().all() and later[0, 1] == 0


def test_missing_cells_are_left_out_of_the_statistics():
    data = torch.tensor([[1.0, torch.nan], [3.0, torch.nan], [torch.nan, torch.nan]])
    standardise = Standardise(2).fit(data)
    assert standardise.mean.tolist() == [2.0, 0.0]
    assert standardise.inv_std.tolist() == [1.0, 0.0]


def test_many_rows_are_summed_without_loss():
    data = 1e4 + torch.randn(150_000, 1)
    standardise = Standardise(1).fit(data)
    assert standardise.mean.item() == pytest.approx(data.double().mean().item(), rel=1e-7)
    assert standardise.inv_std.item() == pytest.approx(1 / data.double().std().item(), rel=1e-4)


def test_no_rows_are_refused():
    with pytest.raises(ManymodalError, match="at least one"):
        Standardise(2).fit(torch.zeros(0, 2))
