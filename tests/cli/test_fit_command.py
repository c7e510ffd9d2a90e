"""`manymodal fit`: what it refuses, what it keeps, and how it ends when it is broken off."""

import signal
import subprocess
import sys
import textwrap

import pytest
import torch

import manymodal as mm
from samples import contents, rows, run, write, write_config

COLUMNS = ("id", "split", "captions", "features", "trace")
TRAIN = {"epochs": 12, "batch_size": 8, "dim": 16, "checkpoint_seconds": 0, "patience": 100, "seed": 3}


@pytest.fixture
def world(tmp_path):
    """(table, config) in a folder of their own; there is no space yet."""
    table = write(tmp_path, [{key: row[key] for key in COLUMNS} for row in rows()])
    return table, write_config(tmp_path, label=None, modalities={}, train=TRAIN)


@pytest.fixture
def old(tmp_path):
    """A space that stands in the way."""
    data = mm.read_collection([{"a": f"one {i}", "b": [1.0 * i, 2.0]} for i in range(12)])
    mm.Space.for_collection(data, dim=4).save(tmp_path / "pets")
    return contents(tmp_path / "pets")


def fit(world, out, *words):
    table, config = world
    return run("fit", table, "--config", config, "--out", out, "--device", "cpu", *words)


def broken_off(world, out, how, *words):
    """The same in a process of its own, where `how` (Python) happens when it writes its third checkpoint."""
    table, config = world
    code = """
        import os, signal, sys
        from pathlib import Path
        signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started the tests may have it ignored
        write, count = Path.write_bytes, 0

        def third(path, content):
            global count
            count += "checkpoint" in path.name
            if count == 3:
                HOW
            return write(path, content)

        Path.write_bytes = third
        sys.argv = ["manymodal", *sys.argv[1:]]
        from manymodal.cli import main
        main()
    """
    words = ["fit", table, "--config", config, "--out", out, "--device", "cpu", *words]
    code = textwrap.dedent(code).replace("HOW", how)
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60)


def vectors(table, space):
    loaded = mm.load(space)
    return loaded.encode(mm.read_collection(table, schema=loaded.schema)).vectors


def same(table, one, other):
    ours, theirs = vectors(table, one), vectors(table, other)
    for m in ours:
        torch.testing.assert_close(ours[m], theirs[m], rtol=0, atol=1e-6)


def test_a_space_is_not_replaced_unless_asked(world, old, tmp_path):
    out = tmp_path / "pets"
    refused = fit(world, out)
    assert refused.code == 1 and "--overwrite" in refused.err and "--resume" in refused.err
    assert contents(out) == old
    assert fit(world, out, "--overwrite", "--epochs", 1).code == 0
    assert mm.load(out).schema.modalities.keys() == {"captions", "features", "trace"}
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("you")
    refused = fit(world, tmp_path / "letters", "--overwrite")
    assert refused.code == 1 and "is not a space" in refused.err
    assert contents(tmp_path / "letters") == {"dear.txt": b"you"}


def test_options_override_the_file(world, tmp_path):
    words = ("--epochs", 2, "--batch-size", 4, "--lr", 0.01, "--dim", 8, "--seed", 5, "--objective", "pcmr")
    ran = fit(world, tmp_path / "pets", *words)
    assert ran.code == 0, ran.err
    space = mm.load(tmp_path / "pets")
    assert (space.dim, space.seed, len(space.history.epochs)) == (8, 5, 2)
    assert (space.settings.batch_size, space.settings.lr, space.settings.patience) == (4, 0.01, 100)
    assert type(space.objective).__name__ == "PCMR"


def test_the_file_says_what_heads_are_like(world, tmp_path):
    table, _ = world
    train = {**TRAIN, "head": {"hidden": None, "dropout": 0.5, "initial": 0.1}}
    config = write_config(tmp_path, "linear.yaml", label=None, modalities={}, train=train)
    ran = run("fit", table, "--config", config, "--out", tmp_path / "pets", "--device", "cpu", "--epochs", 1)
    assert ran.code == 0, ran.err
    tower = mm.load(tmp_path / "pets").towers["features"]
    assert [type(layer).__name__ for layer in tower.head] == ["Dropout", "Linear"] and tower.head[0].p == 0.5
    config = write_config(tmp_path, "wrong.yaml", label=None, modalities={}, train={**TRAIN, "head": {"layers": 3}})
    ran = run("fit", table, "--config", config, "--out", tmp_path / "other")
    assert ran.code == 1 and "head: no setting 'layers'; there are hidden, dropout, initial" in ran.err


def test_after_kill_9_a_run_goes_on_to_the_result_of_an_unbroken_one(world, old, tmp_path):
    out, unbroken = tmp_path / "pets", tmp_path / "unbroken"
    half = "write(path, content[: len(content) // 2]); os.kill(os.getpid(), signal.SIGKILL)"
    killed = broken_off(world, out, half, "--overwrite")
    assert killed.returncode == -signal.SIGKILL
    assert contents(out) == old  # stays until the new one is complete
    assert (tmp_path / "pets.training" / "checkpoint.pt").exists()

    other = fit(world, out, "--resume", "--epochs", 5)
    assert other.code == 1 and "started with epochs=12, now epochs=5" in other.err
    changed = write_config(tmp_path, "other.yaml", label=None, modalities={}, train=TRAIN, ignore=["trace"])
    other = fit((world[0], changed), out, "--resume")
    assert other.code == 1 and "--config is not what it was" in other.err
    more = write(tmp_path, [{key: row[key] for key in COLUMNS} for row in rows(25)], name="more")
    other = fit((more, world[1]), out, "--resume")
    assert other.code == 1 and "has other rows or splits" in other.err
    assert contents(out) == old

    resumed = fit(world, out, "--resume")
    assert resumed.code == 0, resumed.err
    assert not (tmp_path / "pets.training").exists()
    assert fit(world, unbroken).code == 0
    same(world[0], out, unbroken)
    first, second = mm.load(out).history, mm.load(unbroken).history
    for key in ("loss", "dev"):
        assert [e[key] for e in first.epochs] == pytest.approx([e[key] for e in second.epochs], abs=1e-6)
    assert first.best_epoch == second.best_epoch and len(first.epochs) == 12

    done = fit(world, out, "--resume")
    assert done.code == 1 and "is complete" in done.err


def test_control_c_leaves_the_best_space_so_far(world, tmp_path):
    ran = broken_off(world, tmp_path / "pets", "os.kill(os.getpid(), signal.SIGINT)")
    assert ran.returncode == 130, ran.stderr
    assert "interrupted after epoch 3 of 12; the weights of epoch" in ran.stderr and "Traceback" not in ran.stderr
    space = mm.load(tmp_path / "pets")
    assert space.history.stopped == "interrupted" and len(space.history.epochs) == 3
    scores = [epoch["dev"] for epoch in space.history.epochs]
    assert scores[space.history.best_epoch - 1] == max(scores)
    assert not (tmp_path / "pets.training").exists()


def test_an_unfinished_run_is_not_thrown_away_and_a_damaged_one_is_named(world, tmp_path):
    kill = "os.kill(os.getpid(), signal.SIGKILL)"
    assert broken_off(world, tmp_path / "pets", kill).returncode == -signal.SIGKILL
    working = tmp_path / "pets.training"
    ran = fit(world, tmp_path / "pets")
    assert ran.code == 1 and "holds an unfinished run" in ran.err and "--resume" in ran.err
    whole = (working / "checkpoint.pt").read_bytes()
    (working / "checkpoint.pt").write_bytes(whole[: len(whole) // 2])
    ran = fit(world, tmp_path / "pets", "--resume")
    assert ran.code == 1 and "checkpoint.pt is damaged" in ran.err and not (tmp_path / "pets").exists()
    (working / "checkpoint.pt").write_bytes(whole)
    (working / "run.json").write_text("{")
    ran = fit(world, tmp_path / "pets", "--resume")
    assert ran.code == 1 and "run.json" in ran.err and "without --resume" in ran.err


def test_control_c_before_there_is_a_best_space_leaves_the_old_one(world, old, tmp_path):
    """In the first step, by way of the sampler."""
    table, config = world
    code = """
        import sys
        from manymodal.training.sampler import ItemSampler

        def interrupted(sampler, step, processes):
            raise KeyboardInterrupt

        ItemSampler.batch = interrupted
        from manymodal.cli import main
        main()
    """
    words = ["fit", table, "--config", config, "--out", tmp_path / "pets", "--device", "cpu", "--overwrite"]
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *words], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 130 and "is left as it was" in ran.stderr and "Traceback" not in ran.stderr
    assert contents(tmp_path / "pets") == old
