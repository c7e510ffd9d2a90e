"""Several processes under `manymodal fit`: the space that one makes, said once; and an error, or Ctrl-C, said once too."""

import os
import signal
import subprocess
import sys

import pytest
import torch
import torch.distributed as dist

import manymodal as mm
from manymodal import cli
from manymodal.training import ItemSampler
from samples import rows, run, write, write_config
from several import CONTEXT

TRAIN = {"epochs": 3, "batch_size": 8, "dim": 8, "chunk_size": 3, "lr": 0.002, "head": {"dropout": 0.0}}


def torchrun(*words):
    """What WORDS say in two processes, started on a free port of this machine."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *start, *(str(word) for word in words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


def two_processes(folder, *words, interrupted=False):
    """Exit codes and stderr of `manymodal WORDS` in two processes, set up as torchrun does but quicker to start."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # torchrun holds it, no process does
    words = [str(word) for word in (*words, "--cache", folder / "cache")]
    workers = [CONTEXT.Process(target=_work, args=(rank, store.port, words, folder, interrupted)) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        worker.kill()
    return [worker.exitcode for worker in workers], [(folder / f"{rank}.err").read_text() for rank in range(2)]


def _work(rank, port, words, folder, interrupted):
    """One of them. Ctrl-C reaches the second in its third step, and the first while that one should be in its fourth."""
    os.dup2(os.open(folder / f"{rank}.err", os.O_CREAT | os.O_WRONLY), sys.stderr.fileno())
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started the tests may have it ignored
    batch = ItemSampler.batch

    def interrupting(sampler, step, processes):
        if step == (3 if rank == 0 else 2):
            os.kill(os.getpid(), signal.SIGINT)
        return batch(sampler, step, processes)

    if interrupted:
        ItemSampler.batch = interrupting
    sys.argv = ["manymodal", *words]
    cli.main()


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
    ran = torchrun("-m", "manymodal", *world, "--out", tmp_path / "two")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("Space(") == 1 and not (tmp_path / "two.training").exists()
    assert run(*world, "--out", tmp_path / "one").code == 0
    one, two = mm.load(tmp_path / "one"), mm.load(tmp_path / "two")
    mine, theirs = (space.encode(mm.read_collection(world[1], schema=space.schema)) for space in (two, one))
    assert set(mine.modalities) == {"captions", "features", "meaning"}
    for m in mine.modalities:
        torch.testing.assert_close(mine.vectors[m], theirs.vectors[m], rtol=0, atol=1e-5)
    for epoch, other in zip(two.history.epochs, one.history.epochs, strict=True):
        assert epoch["loss"] == pytest.approx(other["loss"], abs=1e-5) and epoch["dev"] == other["dev"]


def test_an_error_is_said_once(world, tmp_path):
    codes, said = two_processes(tmp_path, *world, "--out", tmp_path / "two", "--lr", "1e30")
    assert all(codes) and not (tmp_path / "two").exists()
    assert "".join(said).count("error: ") == 1 and "".join(said).count("--lr") == 1, said


def test_control_c_leaves_the_best_space_whichever_process_it_reaches_first(world, tmp_path):
    codes, said = two_processes(tmp_path, *world, "--out", tmp_path / "two", interrupted=True)
    assert codes == [130, 1], said
    assert "interrupted after epoch 1 of 3; the weights of epoch 1 were kept" in said[0] and said[1] == ""
    assert mm.load(tmp_path / "two").history.stopped == "interrupted"
