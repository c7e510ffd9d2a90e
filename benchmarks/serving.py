"""The server under load: searches by vector and by text from 8 and 64 clients, and more than it may take at once.

    python benchmarks/serving.py [--seconds 60]

Needs `prepare.py` and a machine that does nothing else. The space is fitted for two epochs (how well it finds does not
matter here) and indexed whole; server and clients are processes of their own that share the machine's cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import manymodal as mm
from common import Result, config_of, table_of

CLIENTS = (8, 64)
BEYOND = 256  # clients where only 64 requests may wait
TARGET, K = "en", 10
QUERIES = 500  # different ones, asked in turn
SETTLED = 10.0  # seconds after which memory should not grow any more


@dataclass
class Run:
    """What a number of clients met."""

    seconds: float
    times: list[float] = field(default_factory=list)  # of those answered, in seconds
    statuses: Counter[int] = field(default_factory=Counter)
    impolite: int = 0  # refusals without Retry-After
    memory: list[tuple[float, int]] = field(default_factory=list)  # (seconds, bytes of the server)

    def percentile(self, share: float) -> float:
        """Milliseconds."""
        ordered = sorted(self.times)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")

    def growth(self) -> float:
        """Memory at the end over memory once it had settled."""
        settled = [held for at, held in self.memory if at >= SETTLED] or [held for _, held in self.memory]
        third = max(1, len(settled) // 3)
        return statistics.median(settled[-third:]) / statistics.median(settled[:third])


def main() -> None:
    """Write results/serving.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each run")
    seconds = parser.parse_args().seconds
    data = mm.read_collection(table_of("flickr8k"), config=config_of("flickr8k_pair_ngrams"))
    space = mm.Space.for_collection(data, seed=1).fit(data, epochs=2)
    with tempfile.TemporaryDirectory() as folder:
        index = mm.Index.build(Path(folder) / "flickr8k.index", data, space)
        bodies = {
            "by vector": _by_vector(index),
            "by text": _by_text(data),
            "by text and vector": [_joined(*pair) for pair in zip(_by_text(data), _by_vector(index), strict=True)],
        }
        size = {name: one.values for name, one in index.modalities.items()}
        runs = {
            (what, clients): asyncio.run(_load(Path(folder) / "flickr8k.index", bodies[what], clients, seconds))
            for what in bodies
            for clients in CLIENTS
        }
        beyond = asyncio.run(_load(Path(folder) / "flickr8k.index", bodies["by vector"], BEYOND, seconds / 3))
    _write(runs, beyond, size, seconds)


def _write(runs: dict[tuple[str, int], Run], beyond: Run, size: dict[str, int], seconds: float) -> None:
    settings = {"seconds": seconds, "k": K, "target": TARGET, "vectors searched": size[TARGET], "waiting": 64}
    result = Result("serving", "The server under load", settings)
    rows = [
        [
            f"{what}, {clients} clients",
            round(len(run.times) / run.seconds, 1),
            *(round(run.percentile(share), 1) for share in (0.5, 0.95, 0.99)),
            run.statuses[503],
            sum(run.statuses.values()) - run.statuses[200] - run.statuses[503],
            round(run.growth(), 3),
        ]
        for (what, clients), run in [*runs.items(), (("by vector", BEYOND), beyond)]
    ]
    result.table(
        f"Searches of {size[TARGET]:,} captions, exact, d = 256",
        ["", "answers / s", "p50, ms", "p95, ms", "p99, ms", "refused (503)", "errors", "memory, end / settled"],
        rows,
        "Server and clients share the machine. Built-in text encoder. With 256 clients more wait than may (64).",
    )
    errors = sum(sum(run.statuses.values()) - run.statuses[200] for run in runs.values())
    result.claim(
        "Of all answers to 8 and 64 clients, {value} were not a result (asked: {threshold})", errors, at_most=0
    )
    growth = max(run.growth() for run in runs.values())
    result.claim(
        "Memory at the end of a run is {value} of what it was once settled (at most {threshold})", growth, at_most=1.05
    )
    other = sum(beyond.statuses.values()) - beyond.statuses[200] - beyond.statuses[503] + beyond.impolite
    result.claim(
        "Beyond the limit, {value} answers were neither a result nor a refusal with Retry-After", other, at_most=0
    )
    refused = beyond.statuses[503]
    result.claim("Beyond the limit, {value} requests were refused (at least {threshold})", refused, at_least=1)
    result.write()


# -- what is asked -----------------------------------------------------------------------------------------------------


def _by_vector(index: mm.Index) -> list[bytes]:
    texts = [str(number) + " dogs" for number in range(QUERIES)]
    vectors = index.embed("en", texts).tolist()
    return [_body([{"modality": "photo_features", "vectors": [vector]}]) for vector in vectors]


def _by_text(data: mm.Collection) -> list[bytes]:
    texts = [str(text) for text in data.values("en", "test").data[:QUERIES]]
    return [_body([{"modality": "en", "values": [text]}]) for text in texts]


def _joined(one: bytes, other: bytes) -> bytes:
    return _body([*json.loads(one)["query"], *json.loads(other)["query"]])


def _body(query: list[dict[str, Any]]) -> bytes:
    return json.dumps({"query": query, "target": TARGET, "k": K}).encode()


# -- clients -----------------------------------------------------------------------------------------------------------


async def _load(folder: Path, bodies: Sequence[bytes], clients: int, seconds: float) -> Run:
    """Serve an index in a process of its own, and ask it from that many connections at once."""
    command = [sys.executable, "-m", "manymodal", "serve", str(folder), "--port", "0"]
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    )
    assert server.stdout is not None
    try:
        (port,) = re.findall(r":(\d+)/", server.stdout.readline())
        await _ask(int(port), bodies[:1], time.perf_counter() + 2, 0, Run(0))  # the first search maps the vectors
        run, started = Run(seconds), time.perf_counter()
        asking = [_ask(int(port), bodies, started + seconds, number, run) for number in range(clients)]
        await asyncio.gather(_watch(server.pid, started, seconds, run), *asking)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
    print(f"{clients} clients: {len(run.times) / seconds:.0f} / s, {dict(run.statuses)}", flush=True)
    return run


async def _ask(port: int, bodies: Sequence[bytes], until: float, first: int, run: Run) -> None:
    """One client: asks, waits for the answer, asks again; when refused it waits a little, as it was told to."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    turn = first
    while time.perf_counter() < until:
        body, turn = bodies[turn % len(bodies)], turn + 1
        head = f"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        started = time.perf_counter()
        writer.write(head.encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = int(answer.split()[1])
        content = await reader.readexactly(int(re.findall(r"content-length: (\d+)", answer)[0]))
        run.statuses[status] += 1
        if status == 200:
            assert len(json.loads(content)["hits"]) == K
            run.times.append(time.perf_counter() - started)
        else:
            run.impolite += "retry-after" not in answer
            await asyncio.sleep(0.1)
    writer.close()


async def _watch(pid: int, started: float, seconds: float, run: Run) -> None:
    status = Path(f"/proc/{pid}/status")
    while (at := time.perf_counter() - started) < seconds:
        (kilobytes,) = re.findall(r"VmRSS:\s+(\d+) kB", status.read_text())
        run.memory.append((at, 1024 * int(kilobytes)))
        await asyncio.sleep(0.5)


if __name__ == "__main__":
    main()
