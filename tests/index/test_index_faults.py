"""What an index goes through: kills, full and read-only disks, files that are damaged, several processes."""

import importlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import index_cases as cases
from index_cases import records, rows
from manymodal.errors import ManymodalError
from manymodal.index.store import Store

HERE = Path(__file__).parents[1]


# -- kills -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def faults(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE.parent / "benchmarks"))
    return importlib.import_module("index_faults")


@pytest.mark.parametrize("kind", ["build", "add", "remove", "compact"])
def test_a_writer_is_killed(faults, tmp_path, kind):
    outcome = faults.trial(kind, kills=2, seed=1, folder=tmp_path)
    assert outcome.kills == 2 and outcome.searches > 0
    assert not outcome.wrong and not outcome.reader


def test_the_check_sees_what_is_lost(faults, tmp_path):
    """Rows of two writes, an id that is there twice, and a lost write are found; so the test above can fail."""
    index = tmp_path / "index"
    operations = faults.operations("add", {}, 1)
    faults.build(index, iter([faults.records(["1", "2"], 1)]))
    assert faults.held(index) == ({"1": 1, "2": 1}, [])
    store = Store.open(index)
    store.items.update(where="id = '1'", values={"write": 7})
    assert faults.held(index)[1] == ["item 1 is of several writes"]
    store.items.add(store.items.search().where("id = '2'").limit(1).to_arrow())
    assert faults.held(index)[1] == ["item 1 is of several writes", "1 ids are there twice"]
    first, second = next(operations), next(operations)
    assert faults.after({}, first) != faults.after(faults.after({}, first), second)


def test_the_first_build_is_killed(tmp_path):
    code = """
        import os, signal, sys
        import index_cases as cases
        from pathlib import Path
        def portions():
            yield cases.records(["1"])
            os.kill(os.getpid(), signal.SIGKILL)
        cases.Store.create(Path(sys.argv[1]), cases.meta(), cases.COLUMNS, portions(), None)
    """
    assert child(code, tmp_path).returncode == -signal.SIGKILL
    left = [path.name for path in tmp_path.iterdir() if path.name.startswith("tables-")]
    assert len(left) == 1
    with pytest.raises(ManymodalError, match="not an index"):
        Store.open(tmp_path)
    assert set(rows(cases.store(tmp_path))) == {"1", "2", "3"} and not (tmp_path / left[0]).exists()


# -- disks -------------------------------------------------------------------------------------------------------------


def child(code, *arguments, before=""):
    """Run Python in a child, in a file system namespace of its own where there are commands to run `before` it."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    if before:
        command = ["unshare", "--map-root-user", "--mount", "sh", "-ec", f'{before}\nexec "$@"', "sh", *command]
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90)


def mounts():
    """Whether this machine lets a process mount something for itself."""
    if shutil.which("unshare") is None:
        return False
    probe = 'd=$(mktemp -d) && mount -t tmpfs tmpfs "$d" && umount "$d" && rmdir "$d"'
    return (
        subprocess.run(["unshare", "--map-root-user", "--mount", "sh", "-ec", probe], capture_output=True).returncode
        == 0
    )


WRITES = """
import json, subprocess, sys
from datetime import timedelta
from pathlib import Path
import index_cases as cases
from manymodal.errors import ManymodalError

folder = Path(sys.argv[1]) / "pets"
many = [str(number) for number in range(3000)]
store = cases.store(folder, cases.records(["1", "2", "3"]))
before = cases.rows(store)

def tried(what):
    try:
        what()
    except ManymodalError as error:
        return str(error)
    return "done"

def all_tried(**writes):
    said = {name: tried(write) for name, write in writes.items()}
    now = cases.rows(cases.Store.open(folder))
    found = store.view().items.search(before["2"]["vectors__a"][0], vector_column_name="vectors__a")
    first = found.select(["id", "_distance"]).limit(1).to_arrow()["id"].to_pylist()
    return {**said, "same": list(now) == list(before) and all(str(now[i]) == str(before[i]) for i in now), "found": first}
"""
BUILD = "lambda: cases.store(folder, cases.records(many))"
ADD = "lambda: store.upsert([cases.records(many)])"


def said_in(done):
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check_full(said, reason):
    assert said["same"] and said["found"] == ["2"]
    for name in ("add", "build"):
        assert (
            f"pets: {reason}. What was there before is untouched; free space" in said[name]
            and "cargo" not in said[name]
        )


def test_a_full_disk(tmp_path):
    """The disk fills up while something is written; then it is full to the brim; then there is space again."""
    if not mounts():
        pytest.skip("a disk that is full takes the right to mount one; the test of full files is run in its place")
    code = f"""{WRITES}
filler = Path(sys.argv[1]) / "filler"
def fill():
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
print(json.dumps(all_tried(add={ADD}, build={BUILD})))
fill()
print(json.dumps(all_tried(add=lambda: store.upsert([cases.records(["9"])]), build={BUILD}, remove=lambda: store.delete(["1"]))))
filler.unlink()
print(json.dumps([store.delete(["1"]).removed, store.upsert([cases.records(["4"])]).added, tried(store.compact), sorted(cases.rows(store))]))
"""
    halfway, brim, after = said_in(child(code, tmp_path, before=f"mount -t tmpfs -o size=200k tmpfs {tmp_path}"))
    check_full(halfway, "No space left on device")
    check_full(brim, "No space left on device")
    assert "No space left on device" in brim["remove"]
    assert after == [1, 1, "done", ["2", "3", "4"]]


def test_files_that_are_full(tmp_path):
    code = f"""{WRITES}
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
print(json.dumps(all_tried(add={ADD}, build={BUILD})))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(json.dumps([store.upsert([cases.records(["4"])]).added, sorted(cases.rows(store))]))
"""
    said, after = said_in(child(code, tmp_path))
    check_full(said, "File too large")
    assert after == [1, ["1", "2", "3", "4"]]


def test_a_read_only_folder(tmp_path):
    if not mounts():
        pytest.skip("a read-only disk takes the right to mount one")
    code = f"""{WRITES}
subprocess.run(["mount", "-o", "remount,ro", sys.argv[1]], check=True)
print(json.dumps(all_tried(add={ADD}, remove=lambda: store.delete(["1"]), compact=store.compact, build={BUILD})))
print(json.dumps(tried(lambda: cases.store(Path(sys.argv[1]) / "new"))))
"""
    said, new = said_in(child(code, tmp_path, before=f"mount -t tmpfs tmpfs {tmp_path}"))
    assert said.pop("same") and said.pop("found") == ["2"] and len(said) == 4
    for message in said.values():
        assert "pets: Read-only file system. What was there before is untouched" in message
    assert "new: Read-only file system" in new


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["truncated", "emptied", "deleted"])
@pytest.mark.parametrize("part", ["data", "_versions", "_deletions"])
def test_damaged_files(tmp_path, part, damage):
    store = cases.store(tmp_path / "pets", records([str(number) for number in range(50)]))
    store.delete(["3"])
    files = [
        file for file in (tmp_path / "pets" / store.meta.tables / "items.lance" / part).iterdir() if file.is_file()
    ]
    assert files
    for file in files:
        if damage == "deleted":
            file.unlink()
        else:
            os.truncate(file, file.stat().st_size // 2 if damage == "truncated" else 0)
    with pytest.raises(ManymodalError, match=r"tables of pets are damaged: .*Put back a copy .*--overwrite"):
        view = Store.open(tmp_path / "pets").view()
        with view.reading():
            view.items.to_arrow()
    assert set(rows(cases.store(tmp_path / "pets", records(["7"])))) == {"7"}


# -- several processes -------------------------------------------------------------------------------------------------


def put_in(folder, number, go):
    """The same new ids as another process, at the same moment, write after write."""
    store = Store.open(folder)
    go.wait()
    for write in range(10):
        store.upsert([records([f"{write} {one}" for one in range(20)], text=f"{number}")])
        store.delete([f"{write} {number}"])
    os._exit(0)


def test_two_processes_insert_the_same_ids(tmp_path):
    store = cases.store(tmp_path / "pets")
    processes = multiprocessing.get_context("forkserver")
    go = processes.Barrier(2)
    both = [processes.Process(target=put_in, args=(store.folder, number, go)) for number in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert [one.exitcode for one in both] == [0, 0]
    found = set(rows(store))  # no id is there twice
    assert {f"{write} {one}" for write in range(10) for one in range(2, 20)} <= found
    assert len(store.history()) >= 40  # every write of both is one of its own
