import numpy as np
import pytest
import torch

from manymodal.encoders.vector import Vector
from manymodal.errors import BadValue, ManymodalError


def test_lists_and_arrays_of_the_first_ones_width_are_standardised():
    encoder = Vector.fit([[1, 2, 7], np.array([3.0, 2.0, 9.0])])
    assert encoder.width == 3
    assert encoder(encoder.pack([[1, 2, 7], torch.tensor([3.0, 5.0, 9.0])])).tolist() == [[-1, 0, -1], [1, 0, 1]]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([1, 2], "of 2 numbers; needed: 3"),
        ([1, 2, float("nan")], "1 of 3 numbers are not finite.*first at \\[2\\]"),
        ([1, float("-inf"), 3], "not finite"),
        ([1, 2, 1e300], "not finite"),
        ([[1, 2, 3]], "shape \\(1, 3\\)"),
        (["a", "b", "c"], "not an array of numbers"),
        ([[1], [2, 3]], "not an array of numbers"),
        (None, "shape \\(\\)|not an array"),
    ],
)
def test_what_is_no_such_vector_is_refused_in_words(value, reason):
    with pytest.raises(ManymodalError, match=reason):
        Vector(3).tensor(value)


def test_a_broken_training_value_is_named():
    with pytest.raises(BadValue) as caught:
        Vector.fit([[1, 2], [3, 4], [5]])
    assert caught.value.index == 2
