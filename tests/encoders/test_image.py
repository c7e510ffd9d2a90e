import time
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from manymodal.encoders.base import Packed
from manymodal.encoders.image import Image
from manymodal.errors import BadValue

RED = np.full((20, 30, 3), (255, 0, 0), dtype=np.uint8)


def png(array):
    file = BytesIO()
    Pillow.fromarray(array).save(file, "PNG")
    return file.getvalue()


def test_bytes_paths_pictures_and_arrays_are_the_same_picture(tmp_path):
    (tmp_path / "red.png").write_bytes(png(RED))
    packed = Image(size=16).pack([RED, png(RED), tmp_path / "red.png", Pillow.fromarray(RED)])
    assert packed.data.shape == (4, 3, 16, 16) and packed.data.dtype == torch.uint8
    assert (packed.data == packed.data[:1]).all()
    assert packed.data[0, :, 8, 8].tolist() == [255, 0, 0]


def test_what_is_transparent_lies_over_white_and_grey_becomes_three_channels():
    clear = np.zeros((5, 5, 4), dtype=np.uint8)
    packed = Image(size=8).pack([clear, np.full((1, 1), 90, dtype=np.uint8)])
    assert (packed.data[0] == 255).all()
    assert (packed.data[1] == 90).all()


def test_a_truncated_picture_is_named():
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    with pytest.raises(BadValue) as caught:
        Image(size=8).pack([RED, png(noise)[:900]])
    assert caught.value.index == 1 and "broken" in caught.value.reason


def test_training_moves_pictures_a_little_and_mirrors_none_unless_asked():
    ramp = torch.arange(32, dtype=torch.float32).expand(200, 3, 32, 32) / 16 - 1  # darker to the left
    moved = Image(size=32)._moved(ramp)
    assert not moved.equal(ramp)
    assert (moved - ramp).abs().mean() < 0.15
    assert (moved[:, :, :, -4:].mean((1, 2, 3)) > moved[:, :, :, :4].mean((1, 2, 3))).all()
    mirrored = Image(size=32, mirror=True)._moved(ramp)
    share = (mirrored[:, :, :, -4:].mean((1, 2, 3)) < mirrored[:, :, :, :4].mean((1, 2, 3))).float().mean()
    assert 0.35 < share < 0.65
    assert Image(size=32, augment=0)._moved(ramp) is ramp


def test_colour_changes_stay_in_range():
    x = torch.rand(20, 3, 8, 8) * 2 - 1
    changed = Image(size=8, colour=0.5)._recoloured(x)
    assert not changed.equal(x) and changed.abs().max() <= 1
    assert Image(size=8)._recoloured(x) is x


@pytest.mark.parametrize("size", [8, 32, 64, 96])
def test_any_size_has_features_of_one_width(size):
    encoder = Image(size=size).eval()
    assert encoder(encoder.pack([RED])).shape == (1, encoder.width)


def test_it_learns_to_tell_shapes_apart():
    flat, upright = np.zeros((2, 16, 16), dtype=np.uint8)
    flat[6:10, :], upright[:, 6:10] = 255, 255
    encoder = Image(size=16)
    packed, head = encoder.pack([flat, upright] * 8), torch.nn.Linear(encoder.width, 2)
    target = torch.tensor([0, 1] * 8)
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], 3e-3)
    for _ in range(12):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(head(encoder(packed)), target).backward()
        optimiser.step()
    assert (head(encoder.eval()(packed)).argmax(1) == target).all()


def test_a_batch_is_quick():
    encoder, packed = Image(size=32), Packed(torch.zeros(64, 3, 32, 32, dtype=torch.uint8))
    encoder(packed).sum().backward()
    started = time.process_time()
    encoder(packed).sum().backward()
    assert time.process_time() - started < 1.0
