"""`torchrun -m manymodal fit`: the space that one process makes, said once; and an error, said once too."""

import os
import subprocess
import sys

import pytest
import torch

import manymodal as mm
from samples import rows, write, write_config

TRAIN = {"epochs": 3, "batch_size": 8, "dim": 8, "chunk_size": 3, "lr": 0.002}


WITHOUT_DROPOUT = """
from manymodal import cli, towers
towers.Head.__init__.__defaults__ = (512, 0.0)
cli.main()
"""


def torchrun(*words):
    """What WORDS say in two processes, started on a free port of this machine."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *start, *(str(word) for word in words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


@pytest.fixture
def world(tmp_path):
    """Words for `fit`: a table with items' and labels' modalities of which none draws anything, and a YAML file."""
    columns = ("id", "split", "shape", "features", "captions", "meaning")
    table = write(tmp_path, [{key: row[key] for key in columns} for row in rows()])
    captions = {"kind": "text", "column": "captions", "several": True, "options": {"dropout": 0.0}}
    meaning = {"kind": "text", "column": "meaning", "per": "label", "options": {"dropout": 0.0}}
    config = write_config(tmp_path, modalities={"captions": captions, "meaning": meaning}, train=TRAIN)
    return ["fit", table, "--config", config, "--device", "cpu"]


def test_two_processes_make_the_space_that_one_makes(world, tmp_path):
    script = tmp_path / "fit.py"
    script.write_text(WITHOUT_DROPOUT)
    ran = torchrun(script, *world, "--out", tmp_path / "two")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("Space(") == 1 and not (tmp_path / "two.training").exists()
    command = [sys.executable, str(script), *map(str, world), "--out", str(tmp_path / "one")]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
    one, two = mm.load(tmp_path / "one"), mm.load(tmp_path / "two")
    mine, theirs = (space.encode(mm.read_collection(world[1], schema=space.schema)) for space in (two, one))
    assert set(mine.modalities) == {"captions", "features", "meaning"}
    for m in mine.modalities:
        torch.testing.assert_close(mine.vectors[m], theirs.vectors[m], rtol=0, atol=1e-5)
    for epoch, other in zip(two.history.epochs, one.history.epochs, strict=True):
        assert epoch["loss"] == pytest.approx(other["loss"], abs=1e-5) and epoch["dev"] == other["dev"]


def test_an_error_is_said_once(world, tmp_path):
    ran = torchrun("-m", "manymodal", *world, "--out", tmp_path / "two", "--lr", "1e30")
    assert ran.returncode != 0 and not (tmp_path / "two").exists()
    assert ran.stderr.count("error: ") == 1 and ran.stderr.count("--lr") == 1, ran.stderr
