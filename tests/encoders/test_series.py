import numpy as np
import pytest
import torch

from manymodal.encoders.series import Series
from manymodal.encoders.trunk import BLOCK, Trunk, disturbed, places
from manymodal.errors import BadValue, ManymodalError


def test_units_and_offsets_make_no_difference_and_half_precision_is_enough():
    walk = np.random.default_rng(0).normal(size=(300, 2)).cumsum(0)
    huge = walk * 10 + 1e6 * np.array([1, -1])  # in float16 it would be infinite
    plain, shifted = (Series.fit([values]).tensor(values).float() for values in (walk, huge))
    assert plain.dtype == torch.float32 and Series.fit([walk]).tensor(walk).dtype == torch.float16
    assert (plain - shifted).abs().max() < 0.01
    assert Series.fit([walk]).tensor(walk * 1e9).isfinite().all()


def test_statistics_are_over_all_times_and_a_constant_channel_is_zero():
    encoder = Series.fit([np.array([[1.0, 5]]), np.array([[2.0, 5], [3.0, 5]])])
    assert encoder.standardise.mean.tolist() == [2, 5]
    assert encoder.tensor([[2.0, 5.1]]).tolist() == [[0, 0]]


def test_a_long_series_is_cut():
    assert len(Series(1, max_length=7).tensor(np.zeros((20, 1)))) == 7


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.zeros((4, 3)), "3 channels; needed: 2"),
        (np.zeros((0, 2)), "empty series"),
        (np.zeros(4), "needed: \\(time, channels\\)"),
        ([[1.0, float("nan")]], "first at \\[0, 1\\]"),
        ([[1.0], [1.0, 2.0]], "not an array"),
    ],
)
def test_what_is_no_such_series_is_refused_in_words(value, reason):
    with pytest.raises(ManymodalError, match=reason):
        Series(2).tensor(value)
    with pytest.raises(BadValue) as caught:
        Series.fit([np.zeros((4, 2)), value])
    assert caught.value.index == 1


def test_places_count_within_each_value():
    owner, within = places(torch.tensor([2, 1, 3]))
    assert owner.tolist() == [0, 0, 1, 2, 2, 2] and within.tolist() == [0, 1, 0, 0, 1, 2]


def test_the_trunk_is_the_plain_padded_network():
    trunk, lengths = Trunk(3).eval(), torch.tensor([1, BLOCK, BLOCK + 1, 30])
    frames = torch.randn(int(lengths.sum()), 3)
    got = trunk(frames, lengths)
    for row, x in enumerate(frames.split(lengths.tolist())):
        x = torch.cat([x, (2 * (torch.arange(len(x)) + 0.5) / len(x) - 1)[:, None]], dim=1)
        used = torch.ones(len(x))
        x, used = (torch.nn.functional.pad(t.T, (0, -len(x) % BLOCK)).T for t in (x, used[:, None]))
        for layer, norm in zip(trunk.layers, trunk.norms, strict=True):
            x = torch.relu(norm(layer(x)))
            used = used.view(-1, 2).amax(1, keepdim=True)
            x = x * used
        attended = (trunk.attention(x).softmax(0).T @ x).flatten()
        torch.testing.assert_close(got[row], torch.cat([x.mean(0), x.amax(0), attended]), rtol=1e-4, atol=1e-5)


def test_training_hides_one_stretch_and_adds_noise():
    lengths = torch.full((400,), 50)
    hidden = disturbed(torch.ones(20_000, 2), lengths, noise=0) == 0
    share = hidden.float().mean()
    assert 0.02 < share < 0.1
    starts = (hidden[1:, 0] & ~hidden[:-1, 0]).view(-1).sum()
    assert starts <= 400
    assert disturbed(torch.zeros(1000, 2), torch.tensor([1000]), hidden=0).std() == pytest.approx(0.1, rel=0.1)


def test_it_learns_the_order_of_times():
    up = np.linspace(-1, 1, 24)[:, None]
    encoder = Series.fit([up])
    packed, head = encoder.pack([up, -up] * 8), torch.nn.Linear(encoder.width, 2)
    target = torch.tensor([0, 1] * 8)
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], 3e-3)
    for _ in range(15):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(head(encoder(packed)), target).backward()
        optimiser.step()
    assert (head(encoder.eval()(packed)).argmax(1) == target).all()


def test_unequal_lengths_cost_their_sum():
    trunk, lengths = Trunk(40), torch.cat([torch.full((255,), 20), torch.tensor([4000])])
    frames = torch.randn(int(lengths.sum()), 40)
    seen = []
    trunk.layers[0].register_forward_hook(lambda layer, given, out: seen.append(len(given[0])))
    trunk(frames, lengths)
    assert seen[0] <= len(frames) + 2 * BLOCK * len(lengths)  # 256 series padded to 4,000 would be a million frames
