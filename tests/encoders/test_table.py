from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
import torch

from manymodal.encoders.columns import Column
from manymodal.encoders.table import Table
from manymodal.errors import BadValue, ManymodalError

ROWS = [
    {"span": 10, "diet": "fish", "wild": True, "seen": date(2020, 1, 1)},
    {"span": 20.0, "diet": "seeds", "wild": False, "seen": date(2020, 1, 3)},
    {"span": None, "diet": None, "wild": None, "seen": None},
]


def test_columns_are_inferred_and_written_down():
    assert Table.fit(ROWS).settings() == {
        "columns": {
            "span": {"kind": "number", "categories": []},
            "diet": {"kind": "category", "categories": ["fish", "seeds"]},
            "wild": {"kind": "category", "categories": [False, True]},
            "seen": {"kind": "date", "categories": []},
        }
    }


def test_numbers_are_standardised_and_missing_ones_marked():
    encoder = Table.fit(ROWS).eval()
    features = encoder(encoder.pack(ROWS))
    assert features[:, :2].tolist() == [[-1, -1], [1, 1], [0, 0]]
    assert features[:, 2:4].tolist() == [[0, 0], [0, 0], [1, 1]]


def test_a_column_left_out_null_and_nan_are_all_missing():
    encoder = Table.fit(ROWS).eval()
    features = encoder(encoder.pack([{}, ROWS[2], {"span": float("nan"), "diet": float("nan")}]))
    assert features.equal(features[:1].expand_as(features))


def test_unknown_categories_are_one_and_not_the_missing_one():
    encoder = Table.fit(ROWS).eval()
    worms, roots, none, fish = encoder(encoder.pack([{"diet": d} for d in ("worms", "roots", None, "fish")]))
    assert worms.equal(roots)
    assert not worms.equal(none) and not worms.equal(fish)


def test_what_missing_and_unknown_count_as_is_learned():
    encoder = Table.fit(ROWS * 40).train()
    encoder(encoder.pack(ROWS[:2] * 100)).sum().backward()
    assert (encoder.absent.grad != 0).all()
    assert (encoder.vectors.weight.grad != 0).any(1).all()


def test_dates_are_days_and_time_zones_count():
    column = Column("date")
    assert column.number(date(1970, 1, 2)) == 1.0
    assert column.number(datetime(1970, 1, 1, 12)) == 0.5
    zone = timezone(timedelta(hours=6))
    assert column.number(datetime(1970, 1, 1, 12, tzinfo=zone)) == 0.25
    assert column.number(datetime(1970, 1, 2, tzinfo=UTC)) == 1.0


def test_constant_and_empty_columns_are_harmless():
    rows = [{"one": 7, "none": None, "n": i} for i in range(3)]
    encoder = Table.fit(rows).eval()
    features = encoder(encoder.pack([*rows, {"one": 8, "none": "new", "n": 1e30}]))
    assert features.isfinite().all() and features.abs().max() <= 10
    assert (features[:, 0] == 0).all()


def test_numbers_of_numpy_are_numbers():
    encoder = Table.fit([{"n": np.float32(1), "b": np.bool_(True)}, {"n": np.int64(3), "b": np.bool_(False)}])
    assert encoder.settings()["columns"]["n"]["kind"] == "number"
    assert encoder.settings()["columns"]["b"]["categories"] == [False, True]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"spam": 1}, "no column 'spam'; there are span, diet, wild, seen"),
        ({"span": "ten"}, "column 'span'.*'ten' is a category; the column holds number"),
        ({"span": float("inf")}, "column 'span'.*infinite"),
        ({"diet": [1]}, "column 'diet'.*came as list"),
        ([1, 2], "came as list; needed: a dict"),
    ],
)
def test_rows_that_do_not_fit_are_named(row, reason):
    with pytest.raises(BadValue, match=reason) as caught:
        Table.fit(ROWS).pack([ROWS[0], row])
    assert caught.value.index == 1


def test_a_column_of_different_kinds_is_refused_by_name():
    with pytest.raises(ManymodalError, match="column 'a'.*different kinds.*int, str"):
        Table.fit([{"a": 1}, {"a": "one"}])
    with pytest.raises(ManymodalError, match="column 'a'.*bool, str"):
        Table.fit([{"a": True}, {"a": "yes"}])
    with pytest.raises(ManymodalError, match="at least one"):
        Table({})


def test_the_gradient_of_a_missing_number_is_finite():
    encoder = Table.fit(ROWS)
    encoder(encoder.pack(ROWS)).square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters())
