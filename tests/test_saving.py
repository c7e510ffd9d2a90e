"""Saved spaces of earlier versions, which know fewer settings."""

import json

import pytest
import torch

import manymodal as mm

FIRST = {  # what the first version wrote of its objectives
    "pcmc": {"scale": 10.0, "match": "item", "weights": "auto"},
    "pcmr": {"lam": 5.0, "beta": -0.1, "match": "item", "weights": "equal"},
}
NEWER = {"chunk_size", "neighbours"}  # settings of training that it did not have


@pytest.mark.parametrize("spec", [{"pcmc": FIRST["pcmc"]}, {"pcmr": FIRST["pcmr"]}, FIRST], ids=", ".join)
def test_a_space_of_the_first_version_is_read(spec, tmp_path):
    table = [{"id": str(i), "split": "train", "a": torch.randn(3).tolist(), "b": [i, 1.0]} for i in range(8)]
    data = mm.read_collection(table)
    space = mm.Space.for_collection(data, dim=4, objective=spec, cache=tmp_path)
    space.fit(data, epochs=1, device="cpu", cache=tmp_path).save(tmp_path / "space")
    file = tmp_path / "space" / "config.json"
    config = json.loads(file.read_text())
    assert config["train"].keys() >= NEWER
    several = len(spec) > 1
    config["objective"] = {name: {**given, **({"weight": 1.0} if several else {})} for name, given in spec.items()}
    config["train"] = {key: value for key, value in config["train"].items() if key not in NEWER}
    file.write_text(json.dumps(config))
    again = mm.load(tmp_path / "space")
    assert again.objective.settings() == space.objective.settings() and again.settings == space.settings
    for m, vectors in space.encode(data, cache=tmp_path).vectors.items():
        torch.testing.assert_close(again.encode(data, cache=tmp_path).vectors[m], vectors)
