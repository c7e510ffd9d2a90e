"""Runs cases in several processes of this machine that talk through gloo, and ends them when they wait for each other."""

import importlib
import json
import multiprocessing
import os
import time
import traceback
from datetime import timedelta

import torch
import torch.distributed as dist

from manymodal.processes import Distributed

CONTEXT = multiprocessing.get_context("forkserver")  # torch is imported once, not in every process
CONTEXT.set_forkserver_preload(  # an optimiser's first step imports the compiler
    ["torch.distributed", "torch._dynamo", "manymodal.objectives", "manymodal.training"]
)
WAIT = 30  # seconds that one waits for another's message
LIMIT = 120  # seconds for all cases together


def outcomes(module, size, folder):
    """{name: "" or what went wrong} of the module's `CASES`, {name: function of a `Distributed`}, in `size` processes."""
    workers = [CONTEXT.Process(target=_work, args=(module, rank, size, folder), daemon=True) for rank in range(size)]
    for worker in workers:
        worker.start()
    deadline = time.monotonic() + LIMIT
    for worker in workers:
        worker.join(max(0, deadline - time.monotonic()))
        worker.kill()
    told = json.loads(_told(folder).read_text()) if _told(folder).exists() else {}
    return {name: told.get(name, "this case was not reached, or never ended") for name in _cases(module)}


def _work(module, rank, size, folder):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    notes = dist.FileStore(str(folder / "notes"), size)
    notes.set_timeout(timedelta(seconds=3 * WAIT))
    told = {}
    for name, case in _cases(module).items():
        if not dist.is_initialized():
            store = f"file://{folder}/store{len(told)}"
            dist.init_process_group("gloo", store, timeout=timedelta(seconds=WAIT), rank=rank, world_size=size)
        torch.manual_seed(0)
        wrong = ""
        try:
            case(Distributed())
        except BaseException:
            wrong = f"process {rank}: {traceback.format_exc()}"
            dist.destroy_process_group()  # so that those who wait for this one go on
        notes.set(f"{name}/{rank}", wrong)
        told[name] = "".join(notes.get(f"{name}/{one}").decode() for one in range(size))
        if told[name] and dist.is_initialized():
            dist.destroy_process_group()  # out of step: the next case starts afresh
        if rank == 0:
            _told(folder).write_text(json.dumps(told))


def _cases(module):
    return importlib.import_module(module).CASES


def _told(folder):
    return folder / "told.json"
