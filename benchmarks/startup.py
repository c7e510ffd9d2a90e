"""How long `manymodal --help` takes: it imports no torch.

python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from common import Result

RUNS = 9


def seconds(call: list[str]) -> float:
    """Median whole-process time of a command, one uncounted run before."""
    times = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        subprocess.run(call, capture_output=True, check=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> None:
    """Measure, and write the result."""
    program = str(Path(sys.executable).with_name("manymodal"))
    rows = [
        ["manymodal --help", seconds([program, "--help"])],
        ["python -c pass", seconds([sys.executable, "-c", "pass"])],
        ["python -c 'import torch'", seconds([sys.executable, "-c", "import torch"])],
    ]
    result = Result("startup", "Starting up", {"runs": RUNS})
    result.table("Seconds of a whole process, median", ["command", "seconds"], rows)
    result.claim("`manymodal --help` takes {value} s, at most {threshold} s", float(rows[0][1]), at_most=0.5)
    result.write()


if __name__ == "__main__":
    main()
