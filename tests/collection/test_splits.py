"""Splits are the same everywhere and every time, keep groups together, and say what they did."""

from collections import Counter

import numpy as np

from manymodal.collection.splits import split_rows

EXPECTED = ["train", "train", "train", "train", "train", "train", "train", "train", "dev", "train", "train", "dev"]
IDS = [str(i) for i in range(2000)]


def test_a_hash_of_the_id_gives_eight_tenths_one_and_one():
    split, notes = split_rows(None, IDS, 0)
    counts = Counter(split.tolist())
    assert abs(counts["train"] - 1600) < 80
    assert abs(counts["dev"] - 200) < 50
    assert abs(counts["test"] - 200) < 50
    assert "80/10/10" in notes[0]


def test_the_hash_is_the_same_on_every_machine():
    assert split_rows(None, IDS[:12], 0)[0].tolist() == EXPECTED


def test_a_row_keeps_its_split_when_the_table_grows_or_is_shuffled():
    split = dict(zip(IDS, split_rows(None, IDS, 0)[0].tolist(), strict=True))
    few = list(reversed(IDS[:500]))
    assert split_rows(None, few, 0)[0].tolist() == [split[id] for id in few]
    assert split_rows(None, IDS, 1)[0].tolist() != list(split.values())


def test_groups_stay_on_one_side():
    groups = [f"family {i % 40}" for i in range(1000)]
    for given in (None, ["train"] * 900 + ["test"] * 100):
        split, _ = split_rows(given, groups, 0)
        sides = {}
        for group, side in zip(groups, split.tolist(), strict=True):
            if given is None or side != "test":
                sides.setdefault(group, set()).add(side)
        assert all(len(side) == 1 for side in sides.values())
        assert {"train", "dev"} <= set(split.tolist())


def test_names_of_splits_and_what_is_left_out():
    given = ["train", "Train ", "val", "valid", "validation", "dev", "test", "unused", "extra", None]
    split, notes = split_rows(given, IDS[:10], 0)
    assert split.tolist() == ["train", "train", "dev", "dev", "dev", "dev", "test", "unused", "unused", "unused"]
    said = "\n".join(notes)
    assert "1 row 'extra' left out" in said
    assert "train 2, dev 4, test 1, unused 3" in said


def test_no_dev_rows_take_a_tenth_of_train():
    split, notes = split_rows(["train"] * 50 + ["test"] * 10, IDS[:60], 0)
    assert Counter(split.tolist()) == {"train": 45, "dev": 5, "test": 10}
    assert any("no dev rows, so a tenth of train (5 rows)" in note for note in notes)
    assert Counter(split_rows(["train"] * 3, IDS[:3], 0)[0].tolist()) == {"train": 2, "dev": 1}


def test_one_group_cannot_be_divided():
    split, notes = split_rows(["train"] * 3, ["a"] * 3, 0)
    assert split.tolist() == ["train"] * 3
    assert any("cannot be divided" in note for note in notes)


def test_no_train_rows_are_said():
    split, notes = split_rows(["test"] * 3, IDS[:3], 0)
    assert (split == np.array(["test"] * 3)).all()
    assert any("no rows for training" in note for note in notes)
