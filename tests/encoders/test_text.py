import subprocess
import sys

import numpy as np
import pytest
import torch

from manymodal.encoders.directions import Bags, right_singular
from manymodal.encoders.grams import BUCKETS, bucket, grams, words_of
from manymodal.encoders.text import Text
from manymodal.errors import ManymodalError

TOPICS = {
    "dog": [
        "A dog runs on the beach",
        "dogs running along the shore",
        "two dogs play in the sand",
        "a puppy at the beach",
    ],
    "city": [
        "cars drive through the city",
        "a city street at night",
        "many cars in a street",
        "night traffic downtown",
    ],
}


def test_words_keep_their_marks_and_other_signs_stand_alone():
    assert list(words_of("don't")) == ["don", "'", "t"]
    assert list(words_of("हिन्दी")) == ["हिन्दी"]
    assert list(words_of("穿裙子的。")) == ["穿裙子的", "。"]
    assert list(words_of("ok😀😀")) == ["ok", "😀", "😀"]


def test_case_width_and_ligatures_make_no_difference():
    assert grams("ＦＩＮＥ Straße").tolist() == grams("ﬁne STRASSE").tolist()


def test_buckets_are_the_same_in_every_process():
    code = "from manymodal.encoders.grams import bucket; print(bucket('ein Wört 走'))"
    found = {int(subprocess.check_output([sys.executable, "-c", code], env={"PYTHONHASHSEED": s})) for s in "12"}
    assert found == {bucket("ein Wört 走")}
    assert 0 <= bucket("") < BUCKETS


def test_single_characters_count_where_they_are_words():
    assert bucket("走") in grams("他走路")
    assert bucket("d") not in grams("a dog")


@pytest.mark.parametrize("text", ["", " \n\t", "!", "\ud800", "\x00", "😀", "x" * 5000])
def test_odd_texts_have_features(text):
    encoder = Text.fit([t for topic in TOPICS.values() for t in topic], width=4).eval()
    features = encoder(encoder.pack([text]))
    assert features.shape == (1, 4) and features.isfinite().all()


@pytest.mark.parametrize("texts", [["only one"], ["same", "same", "same"], ["", ""], ["a", "b"]])
def test_hardly_anything_to_learn_from_is_no_accident(texts):
    encoder = Text.fit(texts, width=8).eval()
    features = encoder(encoder.pack([*texts, "another"]))
    assert features.isfinite().all() and features.abs().max() < 100


def test_texts_about_one_thing_are_nearer():
    texts = [t for topic in TOPICS.values() for t in topic]
    encoder = Text.fit(texts, width=3).eval()
    z = torch.nn.functional.normalize(
        encoder(encoder.pack(["the dogs on a beach", "in the city street", *texts])), dim=1
    )
    near = z[:2] @ z[2:].T
    assert near[0, :4].mean() > near[0, 4:].mean() + 0.5
    assert near[1, 4:].mean() > near[1, :4].mean() + 0.5


def test_only_the_most_frequent_ngrams_are_kept():
    encoder = Text.fit(["aa bb", "aa cc", "aa dd"], rows=5, width=2)
    assert encoder.settings()["rows"] == 5
    assert int((encoder.row > 0).sum()) == 5
    assert encoder.row[bucket("\x01aa")] > 0
    assert encoder.row[bucket("\x01bb")] == 0


def test_training_drops_some_ngrams_and_evaluation_none():
    encoder = Text.fit([t for topic in TOPICS.values() for t in topic], width=4, dropout=0.5)
    packed = encoder.pack(TOPICS["dog"])
    assert not encoder.train()(packed).equal(encoder(packed))
    assert encoder.eval()(packed).equal(encoder(packed))


def test_fitting_leaves_the_random_numbers_alone_and_is_repeatable():
    before = torch.get_rng_state()
    first, second = (Text.fit(TOPICS["dog"], width=3) for _ in range(2))
    assert torch.get_rng_state().equal(before)
    assert first.table.equal(second.table)


def test_a_value_that_is_no_text_is_refused():
    with pytest.raises(ManymodalError, match="came as bytes; needed: str"):
        Text(rows=1, width=2).tensor(b"dog")


def test_right_singular_vectors_are_those_of_the_dense_matrix():
    dense = torch.randn(30, 6) @ torch.randn(6, 20)
    row, column = dense.abs().gt(-1).nonzero(as_tuple=True)
    bags = Bags(column, dense[row, column], torch.arange(30) * 20, 20)
    torch.testing.assert_close(bags.transposed() @ torch.eye(30), dense.T)
    strength, vectors = right_singular(bags, 4)
    _, expected, right = torch.linalg.svd(dense, full_matrices=False)
    torch.testing.assert_close(strength, expected[:4], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close((right[:4] @ vectors).abs(), torch.eye(4), rtol=1e-3, atol=1e-3)


def test_repeats_in_a_bag_add_up():
    bags = Bags(torch.tensor([1, 1, 0]), torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 2]), 3)
    assert (bags @ torch.eye(3)).tolist() == [[0, 3, 0], [4, 0, 0]]
    assert np.allclose((bags.transposed() @ torch.eye(2)).T, bags @ torch.eye(3))


def test_texts_that_depend_on_each_other_bring_no_noise():
    words = [
        f"{colour} {shape}" for colour in ("red", "green", "blue", "black") for shape in ("disc", "frame", "stroke")
    ]
    encoder = Text.fit(words * 3, width=32)  # of 36 rows no more than 12 differ
    known = encoder.eval()(encoder.pack(words)).norm(dim=1).mean()
    unseen = encoder(encoder.pack(["red green disc", "blue stroke frame", "black"])).norm(dim=1)
    assert (unseen < 3 * known).all()
    thinned = encoder.train()(encoder.pack(words * 20)).norm(dim=1)
    assert (thinned < 3 * known).all()
