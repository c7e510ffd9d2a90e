"""An index that several processes write to, and one that is made anew while others read it."""

import threading
import time

import numpy as np
import pytest

import index_cases as cases
from index_cases import records, rows
from manymodal.errors import ManymodalError
from manymodal.index import locking
from manymodal.index.locking import BUILDING, LOCK, locked
from manymodal.index.store import Store


@pytest.fixture
def store(tmp_path):
    return cases.store(tmp_path / "index", records(["1", "2"], columns={"year": [2001, 2002]}), records(["3"]))


# -- making it anew ----------------------------------------------------------------------------------------------------


def test_made_anew_while_it_is_read_and_written(store):
    view, before = store.view(), rows(store)
    seen = []

    def portions():
        seen.append(set(rows(Store.open(store.folder))))
        yield records(["7"])

    def finish(new):
        seen.append(set(rows(Store.open(store.folder))))
        assert set(rows(new)) == {"7"}
        return new.meta.model_copy(update={"target_recall": 0.5})

    assert store.current() is store
    new = Store.create(store.folder, cases.meta(), cases.COLUMNS, portions(), None, finish)
    assert seen == [{"1", "2", "3"}] * 2 and set(rows(new)) == {"7"}
    assert store.current() is not store and store.current().meta == new.meta and new.meta.target_recall == 0.5
    np.testing.assert_equal(rows(view), before)  # who reads goes on
    for write in (lambda: store.upsert([records(["8"])]), lambda: store.delete(["1"]), store.compact):
        with pytest.raises(ManymodalError, match="was made anew while it was open; nothing of this portion is in"):
            write()
    new.compact()
    assert not (store.folder / store.meta.tables).exists()
    with pytest.raises(ManymodalError, match="version .* is not there"), view.reading():
        view.items.to_arrow()


@pytest.mark.parametrize(
    "trouble",
    [ManymodalError("broken"), KeyboardInterrupt(), RuntimeError("out of memory"), FileNotFoundError(2, "a photo")],
)
def test_a_build_that_fails_leaves_what_was_there(store, trouble):
    def portions():
        yield records(["7"])
        raise trouble

    with pytest.raises(type(trouble)) as raised:
        Store.create(store.folder, cases.meta(), cases.COLUMNS, portions(), None)
    assert raised.value is trouble  # what the tables have no part in is not said to be of them
    with pytest.raises(ManymodalError, match="the id '8' comes more than once"):
        cases.store(store.folder, records(["7", "8"]), records(["9", "8"]))
    assert set(rows(Store.open(store.folder))) == {"1", "2", "3"} and store.current() is store
    assert sorted(path.name for path in store.folder.iterdir()) == [LOCK, "index.json", store.meta.tables]


def test_left_overs_of_killed_builds_go(store):
    for name in ("tables-0123abcd", "space-1", "tables-mine"):
        (store.folder / name).mkdir()
    (store.folder / ".index.json.0123abcd").touch()
    new = cases.store(store.folder)
    kept = {LOCK, "index.json", store.meta.tables, new.meta.tables, "space-1", "tables-mine"}
    assert {path.name for path in store.folder.iterdir()} == kept
    cases.store(store.folder)
    assert not (store.folder / store.meta.tables).exists() and (store.folder / new.meta.tables).exists()


def test_tables_are_kept_where_it_is_not_known_which_are_in_use(store):
    content = (store.folder / "index.json").read_text()
    (store.folder / "index.json").write_text("garbled")
    with pytest.raises(ManymodalError, match="is damaged"):
        Store.open(store.folder)
    new = cases.store(store.folder, records(["7"]))
    assert set(rows(Store.open(store.folder))) == {"7"} and set(rows(new)) == {"7"}
    (store.folder / "index.json").write_text(content)
    assert set(rows(Store.open(store.folder))) == {"1", "2", "3"}


# -- several writers ---------------------------------------------------------------------------------------------------


def test_writers_take_turns(store):
    """The same new ids, items to replace and items to remove, all at once: as if one after the other."""
    errors = []

    def work(number):
        own = Store.open(store.folder)
        try:
            for write in range(4):
                own.upsert([records(["new", f"{number} {write}", "1"], text=f"{number}")])
                own.delete(["2", f"{number} {write - 1}"])
                if number == 0:
                    own.compact()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and set(rows(store)) == {"1", "3", "new", "0 3", "1 3", "2 3"}


def test_who_waits_in_vain_is_told(store, monkeypatch):
    monkeypatch.setattr(locking, "PATIENCE", 0.05)
    before = rows(store)
    with locked(store.folder, "compacts"):
        for write in (
            lambda: store.upsert([records(["4"])]),
            lambda: store.delete(["1"]),
            store.compact,
            lambda: cases.store(store.folder),
        ):
            with pytest.raises(
                ManymodalError, match=r"another process is writing to index \(compacts\); nothing of this"
            ):
                write()
    np.testing.assert_equal(rows(store), before)
    store.delete(["1"])


def test_nobody_waits_for_a_build(store):
    def portions():
        begin = time.monotonic()
        for write in (lambda: store.delete(["1"]), lambda: cases.store(store.folder)):
            with pytest.raises(ManymodalError, match=rf"another process is writing to index \({BUILDING}\)"):
                write()
        assert time.monotonic() - begin < locking.PATIENCE / 2
        yield records(["7"])

    new = Store.create(store.folder, cases.meta(), cases.COLUMNS, portions(), None)
    assert set(rows(new)) == {"7"}


def test_a_short_wait_is_no_error(store):
    held = threading.Event()

    def hold():
        with locked(store.folder, "compacts"):
            held.set()
            time.sleep(0.2)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    assert store.upsert([records(["4"])]).added == 1
    thread.join()
