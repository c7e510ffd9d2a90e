from pathlib import Path

import numpy as np
import pytest
import torch

from manymodal.encoders import Encoder, store
from manymodal.encoders.store import FeatureStore, cache_folder
from manymodal.errors import BadValue, ManymodalError


class Counting(Encoder):
    """Counts the values that it computes."""

    kind, width, ragged, frozen = "text", 3, True, True

    def __init__(self, power=1.0):
        super().__init__()
        self.power = torch.nn.Parameter(torch.tensor(power))
        self.computed = 0
        self.stop_after = None

    def tensor(self, value):
        if value == "broken":
            raise ManymodalError("a broken text")
        content = value.encode() if isinstance(value, str) else bytes(value)
        return torch.tensor(list(content or b"\0"), dtype=torch.uint8)

    def forward(self, values):
        if self.stop_after is not None and self.computed + len(values) > self.stop_after:
            raise KeyboardInterrupt
        self.computed += len(values)
        parts = values.data.float().split(values.lengths.tolist())
        return torch.stack([torch.stack([p.sum(), p[0], p.max()]) for p in parts]) * self.power

    def settings(self):
        return {}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(store, "SHARD", 20)
    monkeypatch.setattr(store, "BATCH", 5)


TEXTS = [f"text {i}" for i in range(50)]


def shards(folder):
    return sorted(folder.rglob("*.safetensors"))


def test_a_second_call_computes_nothing_and_gives_the_same(tmp_path):
    encoder = Counting()
    first = FeatureStore(tmp_path).features(encoder, TEXTS)
    assert encoder.computed == 50 and first.shape == (50, 3) and first.dtype == torch.float32
    assert first.equal(encoder(encoder.pack(TEXTS)).detach())
    assert len(shards(tmp_path)) == 3
    fresh = Counting()
    assert FeatureStore(tmp_path).features(fresh, TEXTS[::-1]).equal(first.flip(0))
    assert fresh.computed == 0


def test_each_distinct_value_is_computed_once_and_only_new_ones(tmp_path):
    encoder = Counting()
    features = FeatureStore(tmp_path).features(encoder, ["a", "b", "a", "a"])
    assert encoder.computed == 2 and features[0].equal(features[3])
    FeatureStore(tmp_path).features(encoder, ["c", "b"])
    assert encoder.computed == 3


def test_progress_adds_up_to_the_values(tmp_path):
    told = []
    FeatureStore(tmp_path).features(Counting(), TEXTS[:7] * 2, told.append)
    assert sum(told) == 14 and len(told) > 1
    told.clear()
    FeatureStore(tmp_path).features(Counting(), [*TEXTS[:7], "new"], told.append)
    assert told == [7, 1]


def test_an_interrupted_run_is_taken_up_where_it_stopped(tmp_path):
    encoder = Counting()
    encoder.stop_after = 33
    with pytest.raises(KeyboardInterrupt):
        FeatureStore(tmp_path).features(encoder, TEXTS)
    rest = Counting()
    FeatureStore(tmp_path).features(rest, TEXTS)
    assert encoder.computed == 30 and rest.computed == 20


def test_a_broken_value_is_named_and_what_came_before_is_kept(tmp_path):
    values = [*TEXTS[:12], "broken"]
    with pytest.raises(BadValue, match="a broken text") as caught:
        FeatureStore(tmp_path).features(Counting(), values)
    assert caught.value.index == 12
    rest = Counting()
    FeatureStore(tmp_path).features(rest, TEXTS[:12])
    assert rest.computed == 2


def test_another_model_has_another_place(tmp_path):
    FeatureStore(tmp_path).features(Counting(), TEXTS[:3])
    other = Counting(power=2.0)
    doubled = FeatureStore(tmp_path).features(other, TEXTS[:3])
    assert other.computed == 3
    assert doubled.equal(2 * FeatureStore(tmp_path).features(Counting(), TEXTS[:3]))


def test_content_counts_not_the_name_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"same")
    (tmp_path / "b").write_bytes(b"same")
    encoder = Counting()
    encoder.tensor = lambda value: torch.tensor([1], dtype=torch.uint8)
    values = [tmp_path / "a", tmp_path / "b", b"same", np.array([1]), "same"]
    FeatureStore(tmp_path / "store").features(encoder, values)
    assert encoder.computed == 3  # the file, the array, the text
    with pytest.raises(BadValue, match="cannot read") as caught:
        FeatureStore(tmp_path / "store").features(encoder, ["x", tmp_path / "no such file"])
    assert caught.value.index == 1


@pytest.mark.parametrize("damage", [b"", b"rubbish", None])
def test_a_broken_shard_is_said_computed_again_and_replaced(tmp_path, damage):
    expected = FeatureStore(tmp_path).features(Counting(), TEXTS[:20])
    (shard,) = shards(tmp_path)
    shard.write_bytes(shard.read_bytes()[:-7] if damage is None else damage)
    encoder = Counting()
    with pytest.warns(UserWarning, match="broken file of stored features is replaced"):
        assert FeatureStore(tmp_path).features(encoder, TEXTS[:20]).equal(expected)
    assert encoder.computed == 20 and shards(tmp_path) != [shard]
    FeatureStore(tmp_path).features(encoder, TEXTS[:20])
    assert encoder.computed == 20


def test_a_store_that_cannot_be_written_warns_once_and_goes_on(tmp_path):
    (tmp_path / "file").write_text("no folder")
    encoder = Counting()
    with pytest.warns(UserWarning, match="computed but not kept.*cannot write") as warned:
        features = FeatureStore(tmp_path / "file").features(encoder, TEXTS)
    assert len(warned) == 1
    assert features.equal(encoder(encoder.pack(TEXTS)).detach())


def test_no_values_have_no_features(tmp_path):
    assert FeatureStore(tmp_path).features(Counting(), []).shape == (0, 3)
    assert not shards(tmp_path)


def test_the_encoder_is_used_as_in_evaluation_and_left_in_its_mode(tmp_path):
    encoder = Counting().train()
    seen = []
    encoder.register_forward_pre_hook(lambda module, _: seen.append(module.training))
    assert not FeatureStore(tmp_path).features(encoder, TEXTS[:3]).requires_grad
    assert seen == [False] and encoder.training


def test_the_place_is_the_users_cache_unless_said(monkeypatch, tmp_path):
    monkeypatch.setenv("MANYMODAL_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    FeatureStore().features(Counting(), ["a"])
    assert len(shards(tmp_path / "own")) == 1
    monkeypatch.delenv("MANYMODAL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache" / "manymodal"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "manymodal"
