"""What every encoder has to keep: saving, float32, no leak between the values of a batch, gradients."""

import json

import numpy as np
import pytest
import torch

from manymodal.encoders import Packed, encoder_class
from manymodal.errors import BadValue, ManymodalError

RANDOM = np.random.default_rng(0)


def sound(seconds):
    return RANDOM.normal(size=int(seconds * 8000)).astype("float32"), 8000


TABLE = [
    {"size": 1.5, "diet": "fish", "wild": True, "note": None},
    {"size": None, "diet": "seeds", "wild": False, "note": None},
    {"size": 2.5, "diet": None, "wild": None, "note": None},
    {"diet": "fish"},
]
VALUES = {
    "vector": [RANDOM.normal(size=6).astype("float32") for _ in range(4)],
    "text": ["A dog runs", "", "两只狗在路上打架。", "a dog, running: 走 😀 " * 20],
    "image": [
        RANDOM.integers(0, 255, shape, dtype=np.uint8) for shape in ((1, 1, 3), (40, 20), (64, 64, 4), (3, 90, 3))
    ],
    "audio": [sound(0.05), sound(1.0), sound(0.3), (np.zeros(10, "float32"), 8000)],
    "series": [RANDOM.normal(size=(length, 3)) for length in (1, 8, 9, 200)],
    "table": TABLE,
}
KINDS = sorted(VALUES)
OPTIONS = {"image": {"size": 32}, "text": {"width": 16}}
TRAINED = ("audio", "image", "series", "table")


def fitted(kind):
    encoder = encoder_class(kind).fit(VALUES[kind], **OPTIONS.get(kind, {}))
    return encoder.eval(), encoder.pack(VALUES[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_finite_float32_of_the_stated_width(kind):
    encoder, packed = fitted(kind)
    features = encoder(packed)
    assert encoder.kind == kind
    assert features.shape == (len(VALUES[kind]), encoder.width)
    assert features.dtype == torch.float32
    assert features.isfinite().all()
    assert encoder.train()(packed).isfinite().all()
    assert packed.data.element_size() <= 4


@pytest.mark.parametrize("kind", KINDS)
def test_settings_and_state_are_the_whole_encoder(kind):
    encoder, packed = fitted(kind)
    settings = json.loads(json.dumps(encoder.settings()))
    other = encoder_class(kind)(**settings).eval()
    assert other.width == encoder.width
    assert other.fingerprint() != encoder.fingerprint()
    other.load_state_dict(encoder.state_dict())
    assert other.fingerprint() == encoder.fingerprint()
    again = other.pack(VALUES[kind])
    assert again.data.equal(packed.data) or again.data.isnan().equal(packed.data.isnan())
    assert other(again).equal(encoder(packed))


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_does_not_depend_on_its_neighbours(kind):
    encoder, packed = fitted(kind)
    together = encoder(packed)
    for row in range(len(packed)):
        alone = encoder(packed.take(torch.tensor([row])))
        torch.testing.assert_close(alone[0], together[row], rtol=1e-4, atol=1e-5)
    order = torch.tensor([2, 0, 3, 1, 2])
    torch.testing.assert_close(encoder(packed.take(order)), together[order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", TRAINED)
def test_gradients_reach_every_parameter(kind):
    encoder, packed = fitted(kind)
    encoder.train()
    torch.nn.functional.normalize(encoder(packed), dim=1)[:, ::3].sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    assert any(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


@pytest.mark.parametrize("kind", ["vector", "text"])
def test_encoders_that_are_fitted_have_nothing_to_train(kind):
    assert not list(fitted(kind)[0].parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_a_broken_value_is_told(kind):
    encoder, _ = fitted(kind)
    with pytest.raises(BadValue) as caught:
        encoder.pack([VALUES[kind][0], object(), VALUES[kind][1]], first=10)
    assert caught.value.index == 11
    assert caught.value.reason


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoder_can_be_moved_and_taken_apart(kind):
    encoder, packed = fitted(kind)
    halves = [packed.take(torch.tensor(rows)) for rows in ([0, 1], [2, 3])]
    assert encoder.to(encoder.device)(Packed.concatenate(halves).to(encoder.device)).shape[0] == 4


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ManymodalError, match="no encoder 'smell'.*audio.*vector"):
        encoder_class("smell")
