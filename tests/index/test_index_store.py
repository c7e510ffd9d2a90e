import shutil
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

import index_cases as cases
from index_cases import records, rows
from manymodal.errors import ManymodalError
from manymodal.index import store as module
from manymodal.index.locking import LOCK
from manymodal.index.lookup import among, rows_of
from manymodal.index.store import Store, key_of

HOSTILE = [
    "' OR 1=1 --", "'; DROP TABLE items; --", "''", "\\", "\\'", "a\\' OR '1'='1", '"', "`", "%", "_", "*", "\0", "a\0b",
    "line\nbreak", "\t", " ", "émoji 😀", "e\u0301", "\u202e", "../../etc/passwd", "x" * 20_000, "null", "NULL", "--", "/*", "{}", "$1", "?",
]  # fmt: skip


@pytest.fixture
def store(tmp_path):
    return cases.store(tmp_path / "index", records(["1", "2"], columns={"year": [2001, 2002]}), records(["3"]))


def test_what_is_written_is_there(store):
    found = rows(Store.open(store.folder))
    assert list(found) == ["1", "2", "3"] and [row["year"] for row in found.values()] == [2001, 2002, None]
    assert store.values("a") == 4 and store.values("b") == 0 and store.unindexed() == 0
    assert [version.items for version in store.history()] == [3] * len(store.history())  # none is half an index
    assert sorted(path.name for path in store.folder.iterdir()) == [LOCK, "index.json", store.meta.tables]


def test_an_item_is_replaced_whole(store):
    new = records(["2", "4"], columns={"price": [1.5, None]}, a=[0, 2], b=[1, 0], text="new", label=None)
    before, version = rows(store), store.versions[0]
    done = store.upsert([new, records(["5"])])
    assert (done.added, done.replaced, done.version, done.notes) == (2, 1, store.versions[0], ())
    assert done.version > version
    found = rows(store)
    assert set(found) == {"1", "2", "3", "4", "5"} and found["2"]["price"] == 1.5
    for gone in ("year", "label", "places__a", "texts__a", "media__a"):
        assert found["2"][gone] is None, gone
    assert found["2"]["vectors__a"].shape == (0, 4) and found["2"]["texts__b"] == ["new0"]
    assert found["2"]["vectors__item"] == [new.composed[0].tolist()]
    np.testing.assert_equal(found["1"], before["1"])


def test_a_refused_portion_leaves_nothing(store):
    before = rows(store)
    for wrong in (
        records(["1", "4", "4"]),
        records(["4"], columns={"year": ["old"]}),
        records(["4"], d=3),
        records(["4", ""]),
    ):
        with pytest.raises(ManymodalError):
            store.upsert([wrong])
        with pytest.raises(ManymodalError):
            store.upsert([records(["1"]), wrong])  # what came before it is in
    np.testing.assert_equal(
        {id: row for id, row in rows(store).items() if id != "1"}, {"2": before["2"], "3": before["3"]}
    )


def test_columns_that_the_index_does_not_have_are_said(store):
    done = store.upsert(
        [records(["4"], columns={"year": [1], "new": [1]}), records(["5"], columns={"new": [1], "newer": [1]})]
    )
    assert [note.split("'")[1] for note in done.notes] == ["new", "newer"] and "left out" in done.notes[0]
    assert "new" not in store.items.schema.names and rows(store)["4"]["year"] == 1


def test_a_long_column_of_nothing(tmp_path):
    store = cases.store(tmp_path, records([str(i) for i in range(5000)], a=[1] * 5000))
    assert store.values("b") == 0 and set(store.items.to_arrow()["year"].to_pylist()) == {None}
    done = store.upsert([records([str(i) for i in range(2500, 7500)], a=[1] * 5000)])
    assert (done.added, done.replaced) == (2500, 2500) and store.values("a") == 7500


def test_nothing_at_all(tmp_path):
    store = Store.create(tmp_path, cases.meta(), cases.COLUMNS, [], None)
    assert rows(store) == {} and store.values("a") == 0
    assert store.upsert([]).added == 0 and store.upsert([records(["1"])]).added == 1 and store.delete([]).removed == 0


def test_items_are_removed_and_the_absent_are_named(store):
    store.upsert([records([str(i) for i in range(2000)], a=[1] * 2000)])
    done = store.delete([*(str(i) for i in range(1500)), "no", "5", "nope"])
    assert (done.removed, done.absent, done.version) == (1500, ["no", "nope"], store.versions[0])
    assert set(rows(store)) == {str(i) for i in range(1500, 2000)}
    again = store.delete(["no", "1"])
    assert (again.removed, again.absent, again.version) == (0, ["no", "1"], done.version)


def test_hostile_ids_are_ids(store):
    assert store.upsert([records(HOSTILE, a=[1] * len(HOSTILE))]).added == len(HOSTILE)
    assert store.upsert([records(HOSTILE, a=[1] * len(HOSTILE))]).replaced == len(HOSTILE)
    for id in HOSTILE:
        assert rows_of(store.items, [id], ["id"])["id"].to_pylist() == [id]
    for id in HOSTILE:
        assert store.delete([id]).removed == 1
    assert set(rows(store)) == {"1", "2", "3"}
    with pytest.raises(ManymodalError, match="no valid Unicode"):
        among(["\ud800"])


def test_labels_have_a_table_of_their_own(tmp_path):
    store = cases.store(tmp_path, of_labels=cases.labels(["cat", "dog"]))
    key = store.view().key
    done = store.upsert([], cases.labels(["cat", "cow"], text="new"))
    assert done.added == 0 and store.values("kind") == 3 and store.view().key != key
    texts = {row["id"]: row["texts__kind"] for row in store.view().table(True).to_arrow().to_pylist()}
    assert texts == {"cat": ["new0"], "dog": ["t0"], "cow": ["new0"]}
    plain = cases.store(tmp_path / "plain")
    with pytest.raises(ManymodalError, match="no modality with one value per label"):
        plain.upsert([], cases.labels(["cat"]))


# -- versions ----------------------------------------------------------------------------------------------------------


def test_a_view_stays_as_it_is(store):
    view, before = store.view(), rows(store)
    store.upsert([records(["1", "9"])])
    store.delete(["2"])
    store.compact()
    np.testing.assert_equal(rows(view), before)
    assert view.key == key_of((view.version, 0)) and set(rows(store.view())) == {"1", "3", "9"}
    np.testing.assert_equal(rows(store.view(view.version)), before)


def test_history(store):
    begin = len(store.history())
    store.upsert([records(["4"])])
    store.delete(["1", "2"])
    history = store.history()
    assert [version.items for version in history[begin:]] == [4, 2]
    assert [version.number for version in history] == sorted(version.number for version in history)
    assert abs(history[-1].time - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_view_whose_files_are_gone_says_so(store):
    view, number = store.view(), store.versions[0]
    store.upsert([records(["1", "9"])])
    store.compact(timedelta(0))
    with pytest.raises(ManymodalError, match=f"version {number} of index is not there.*compacted away"), view.reading():
        view.items.to_arrow()
    for absent in (number, 999):
        with pytest.raises(ManymodalError, match=f"version {absent} of index is not there"):
            store.view(absent)
    assert store.history()[0].number > number and set(rows(store)) == {"1", "2", "3", "9"}


def test_what_is_wrong_with_a_question_is_not_said_to_be_damage(store):
    with pytest.raises(ValueError, match="nonsense") as error, store.view().reading():
        store.view().items.search().where("nonsense = 1").to_arrow()
    assert not isinstance(error.value, ManymodalError)
    with pytest.raises(ManymodalError, match="^mine$"), store.view().reading():
        raise ManymodalError("mine")


# -- tidying up --------------------------------------------------------------------------------------------------------


def test_compaction(store):
    from lancedb.index import IvfFlat

    store.upsert([records([str(i) for i in range(300)], a=[1] * 300)])
    store.items.create_index("vectors__a", config=IvfFlat(distance_type="cosine", num_partitions=1))
    for i in range(300, 305):
        store.upsert([records([str(i)], a=[1])])
    expected, strange = rows(store), store.folder / store.meta.tables / "items.lance" / "data" / "left.lance"
    strange.write_bytes(b"of a killed writer")
    assert store.unindexed() == 305  # the index of ids has seen three
    store.compact(timedelta(0))
    assert (
        store.unindexed() == 0 and store.items.stats()["fragment_stats"]["num_fragments"] <= 2
    )  # known so far, and new
    assert not strange.exists() and len(store.history()) <= 2
    np.testing.assert_equal(rows(store), expected)
    found = (
        store.items.search(expected["304"]["vectors__a"][0], vector_column_name="vectors__a")
        .select(["id", "_distance"])
        .limit(1)
    )
    assert found.to_arrow()["id"].to_pylist() == ["304"]


@pytest.mark.parametrize("limit", ["FRAGMENTS", "UNINDEXED"])
def test_who_writes_much_tidies_up(store, monkeypatch, limit):
    monkeypatch.setattr(module, limit, 5)
    old = store.view()
    store.upsert(records([str(i)]) for i in range(10, 14))
    assert store.unindexed() == 4
    store.upsert(records([str(i)]) for i in range(14, 22))
    assert store.unindexed() < 7 and store.items.stats()["fragment_stats"]["num_fragments"] < 8
    assert len(rows(store)) == 15 and set(rows(old)) == {"1", "2", "3"}  # no version goes by that


# -- what cannot be opened ---------------------------------------------------------------------------------------------


def test_no_index(tmp_path, store):
    with pytest.raises(ManymodalError, match="not an index"):
        Store.open(tmp_path / "nothing")
    shutil.rmtree(store.folder / store.meta.tables)
    with pytest.raises(ManymodalError, match="tables of index are damaged.*--overwrite"):
        Store.open(store.folder)
    assert not (store.folder / store.meta.tables).exists()  # nothing is made by looking
    assert set(rows(cases.store(store.folder, records(["7"])))) == {"7"}


def test_lancedb_is_not_needed_until_then():
    import subprocess
    import sys

    code = "import sys, manymodal, manymodal.index.store; assert 'lancedb' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_plain_columns_of_every_kind(tmp_path):
    kinds = {
        "f": pa.float16(),
        "d": pa.dictionary(pa.int8(), pa.string()),
        "n": pa.null(),
        "l": pa.list_(pa.struct([("x", pa.int8())])),
    }
    given = {
        "f": pa.array(np.array([1.5], np.float16)),
        "d": pa.array(["a"]).dictionary_encode(),
        "n": pa.nulls(1),
        "l": [[{"x": 1}]],
    }
    store = Store.create(tmp_path, cases.meta(columns=kinds), kinds, [records(["1"], columns=given)], None)
    store.upsert([records(["2"], columns={"n": ["said at last"], "f": [2]})])
    first, second = rows(store).values()
    assert (first["f"], first["d"], first["n"], first["l"]) == (1.5, "a", None, [{"x": 1}])
    assert (second["f"], second["n"]) == (2.0, "said at last")
