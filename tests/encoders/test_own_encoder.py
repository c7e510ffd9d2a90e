"""A modality of one's own in ten lines: DNA, by how often each base occurs."""

import pytest
import torch

from manymodal.encoders import Encoder, encoder_class, register
from manymodal.encoders.registry import registered_name
from manymodal.errors import BadValue, ManymodalError


@register("dna")
class Dna(Encoder):
    kind, width = "text", 4

    def tensor(self, value):
        if not set(value) <= set("ACGT"):
            raise ManymodalError(f"{value!r} has other letters than A, C, G and T")
        return torch.tensor([value.count(base) for base in "ACGT"])

    def forward(self, values):
        return torch.nn.functional.normalize(values.data.float(), dim=1)

    def settings(self):
        return {}


def test_it_is_found_by_its_name_and_used_like_any_other():
    encoder = encoder_class("dna").fit(["ACGT", "AAAA"])
    assert registered_name(encoder) == "dna"
    assert encoder(encoder.pack(["AACC", "GGGG"])).tolist() == [
        pytest.approx([0.5**0.5, 0.5**0.5, 0, 0]),
        [0, 0, 1, 0],
    ]
    assert encoder.device == torch.device("cpu")


def test_what_it_refuses_is_named_by_its_number():
    with pytest.raises(BadValue, match="'ABC' has other letters") as caught:
        Dna().pack(["ACGT", "ABC"])
    assert caught.value.index == 1
