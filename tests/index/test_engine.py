import errno

import pytest

from manymodal.errors import ManymodalError
from manymodal.index.engine import in_words, lasting

PLACE = ", /root/.cargo/registry/src/lance-13.0.0/src/io.rs:191:9"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            RuntimeError("lance error: LanceError(IO): No space left on device (os error 28)" + PLACE),
            "cannot write .*: No space left",
        ),
        (
            RuntimeError('LanceError(IO): Read-only file system (os error 30) at path "/a/.tmpC6"' + PLACE),
            "cannot write .*: Read-only",
        ),
        (RuntimeError("LanceError(IO): File too large (os error 27)" + PLACE), "cannot write .*: File too large"),
        (OSError(errno.EROFS, "Read-only file system", "/a/new"), "cannot write .*: Read-only"),
        (
            RuntimeError("lance error: Retryable commit conflict for version 3" + PLACE),
            "wrote to pets at the same moment; nothing of this",
        ),
        (OSError("Commit conflict for version 5: There was a concurrent commit" + PLACE), "at the same moment"),
        (
            RuntimeError("This CreateIndex transaction is incompatible with concurrent transaction Overwrite" + PLACE),
            "Run it again",
        ),
        (
            RuntimeError("lance error: Not found: a/items.lance/data/1001.lance" + PLACE),
            "tables of pets are damaged.*--overwrite",
        ),
        (RuntimeError("Not found: No such file or directory (os error 2)" + PLACE), "damaged"),
        (RuntimeError("LanceError(IO): failed to fill whole buffer" + PLACE), "damaged"),
        (ValueError("Table 'items' was not found"), "damaged"),
        (FileNotFoundError("tables-1"), "damaged"),
    ],
)
def test_errors_in_words(tmp_path, error, said):
    with pytest.raises(ManymodalError, match=said) as raised, in_words(tmp_path / "pets"):
        raise error
    assert "cargo" not in str(raised.value) and "items.lance" not in str(raised.value)


@pytest.mark.parametrize(
    "error", [ValueError("no field named x"), KeyError("x"), ManymodalError("mine"), KeyboardInterrupt()]
)
def test_errors_that_are_somebody_elses(tmp_path, error):
    with pytest.raises(type(error)) as raised, in_words(tmp_path):
        raise error
    assert raised.value is error


@pytest.fixture
def tables(tmp_path):
    data = tmp_path / "items.lance" / "data"
    data.mkdir(parents=True)
    (data / "old").touch()
    return tmp_path


def test_what_is_new_is_flushed(tables, monkeypatch):
    flushed = []
    monkeypatch.setattr("manymodal.index.engine.sync", flushed.append)
    with lasting(tables):
        for name in ("items.lance/data/new", "items.lance/_deletions/new", "exact-1-0/not the engine's"):
            (tables / name).parent.mkdir(exist_ok=True)
            (tables / name).touch()
        assert not flushed
    lance = tables / "items.lance"
    new = {lance / "data", lance / "data" / "new", lance / "_deletions", lance / "_deletions" / "new"}
    assert set(flushed) == new | {lance, tables} and len(flushed) == len(set(flushed))
    flushed.clear()
    with lasting(tables):
        (lance / "data" / "newer").touch()
    assert set(flushed) == {lance / "data", lance / "data" / "newer"}


@pytest.mark.parametrize("committed", [True, False])
def test_what_failed_leaves_nothing_but_versions(tables, committed):
    data, versions = tables / "items.lance" / "data", tables / "items.lance" / "_versions"
    with pytest.raises(RuntimeError), lasting(tables):
        versions.mkdir()
        (versions / ("1.manifest" if committed else "1.manifest#1")).touch()
        (data / "new").touch()
        raise RuntimeError("the disk is full")
    assert (data / "old").exists() and (data / "new").exists() == committed
    assert len(list(versions.iterdir())) == committed
