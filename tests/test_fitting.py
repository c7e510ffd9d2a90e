"""What a fit says when it goes wrong outside of a training step."""

import pytest
import torch

import manymodal as mm
from manymodal.errors import ManymodalError
from samples import rows, write_config


@pytest.mark.parametrize(
    ("dev", "settings"),
    [(4, {}), (0, {}), (0, {"epochs": 2, "neighbours": 2})],
    ids=["looking at dev", "at the end", "making clusters"],
)
def test_divergence_is_told_wherever_it_is_noticed(dev, settings, tmp_path):
    """One step an epoch: its loss is finite, what it makes of the weights is not."""
    splits = ["train"] * 8 + ["dev"] * dev + ["test"]
    table = [
        {"id": str(i), "split": split, "a": torch.randn(3).tolist(), "b": torch.randn(3).tolist()}
        for i, split in enumerate(splits)
    ]
    if not dev:
        table.append({"id": "alone", "split": "dev", "a": [1.0, 2.0, 3.0], "b": None})
    data = mm.read_collection(table)
    space = mm.Space.for_collection(data, dim=4, cache=tmp_path)
    with pytest.raises(ManymodalError, match="training diverged: vectors.*not finite.*--lr"):
        space.fit(data, **{"epochs": 1, "lr": 1e30, "device": "cpu", "cache": tmp_path, **settings})


def test_weights_that_rest_on_few_items_are_named_in_a_few_lines(tmp_path):
    data = mm.read_collection(rows(), config=write_config(tmp_path))
    space = mm.Space.for_collection(data, dim=8, cache=tmp_path).fit(data, epochs=1, device="cpu", cache=tmp_path)
    calibration = space.reference.calibration
    few = [note for note in space.notes if note in calibration.notes]
    assert few == list(calibration.notes[:3]) and len(calibration.notes) == 42
    assert "... and 39 more weights that rest on few dev items" in space.notes
