"""What the benchmarks of whole spaces share: fit one, keep its figures, measure a direction query by query."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from common import WORK, config_of, peak_memory, table_of
from manymodal import Embeddings, Space, read_collection
from manymodal.collection import Collection
from manymodal.compose import compose_items, rows_of
from manymodal.evaluation.metrics import per_query
from manymodal.files import replacing
from manymodal.hubness import sample_bank
from manymodal.matching import keys
from manymodal.ranks import ranks

Hits = dict[str, torch.Tensor]


def only(config: str, names: Sequence[str]) -> dict[str, Any]:
    """The configuration of that name with some of its modalities; the columns of the others are ignored."""
    content = config_of(config)
    others = [name for name in content["modalities"] if name not in names]
    content["ignore"] = [*content.get("ignore", []), *others]
    content["modalities"] = {name: content["modalities"][name] for name in names}
    content["same_source"] = [group for group in content.get("same_source", []) if set(group) <= set(names)]
    return content


def fitted(table: str, config: dict[str, Any], objective: Any, seed: int, **settings: Any) -> tuple[Space, Collection]:
    """A space fitted to a collection, and the collection."""
    data = read_collection(table_of(table), config=config)
    space = Space.for_collection(data, seed=seed, objective=objective)
    return space.fit(data, **settings), data


def hits(
    embeddings: Embeddings, query: Sequence[str], target: str, unit: str = "value", items: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """hit@1 of every query that has a match, (n,) float64, and the item that it is of, (n,) int64.

    Args:
        embeddings: of one split.
        query: modalities asked with, composed with equal weights.
        target: modality searched.
        unit: "value" (of several modalities the k-th with the k-th) or "item".
        items: only queries of these items; the gallery stays whole.
    """
    if unit == "value" and len(query) == 1:
        rows = rows_of(embeddings, query[0])
    else:
        rows = compose_items(embeddings, query, unit="value" if unit == "value" else "item")
    gallery = rows_of(embeddings, target)
    scored = torch.isin(rows.items, gallery.items)
    if items is not None:
        scored &= torch.isin(rows.items, items)
    found = ranks(
        rows.vectors[scored], gallery.vectors, keys(rows.items[scored], None, False), keys(gallery.items, None, False)
    )
    return per_query(found)["hit@1"], rows.items[scored]


def embedded(
    key: str, table: Path, config: dict[str, Any], objective: Any, seed: int, bank: int = 0, **settings: Any
) -> dict[str, Embeddings]:
    """Embeddings of dev and test in a space fitted to a table and, of that many train items, of "bank"; kept."""

    def measure() -> dict[str, torch.Tensor]:
        data = read_collection(table, config=config)
        space = Space.for_collection(data, seed=seed, objective=objective).fit(data, **settings)
        found = {split: space.encode(data, split) for split in ("dev", "test")}
        if bank:
            found["bank"] = sample_bank(space.encode(data, "train"), bank)
        return {
            f"{split}/{what}/{m}": of[m]
            for split, embeddings in found.items()
            for what in ("vectors", "items", "labels")
            if (of := getattr(embeddings, what)) is not None
            for m in embeddings.modalities
        }

    flat = kept(key, measure)

    def part(split: str, what: str) -> dict[str, torch.Tensor]:
        prefix = f"{split}/{what}/"
        return {name.removeprefix(prefix): tensor for name, tensor in flat.items() if name.startswith(prefix)}

    splits = dict.fromkeys(name.split("/")[0] for name in flat)
    return {s: Embeddings(part(s, "vectors"), part(s, "items"), part(s, "labels") or None) for s in splits}


def kept(key: str, measure: Callable[[], Any]) -> Any:
    """What `measure` gives, kept in `work/`: a later call reads it again. Remove the folder after a change of code."""
    path = WORK / f"{key}.pt"
    if not path.exists():
        start = time.perf_counter()
        content = measure()
        with replacing(path) as aside:
            torch.save(content, aside)
        print(f"{key}: {time.perf_counter() - start:.0f} s", flush=True)
    return torch.load(path, weights_only=True)


def fit_cost(table: str, config: dict[str, Any], objective: str, seed: int, **settings: Any) -> dict[str, float]:
    """Seconds and peak memory in bytes of reading a table and fitting a space, in a process of its own."""
    call = [sys.executable, __file__, json.dumps([table, config, objective, seed, settings])]
    done = subprocess.run(call, capture_output=True, text=True, check=True, cwd=Path(__file__).parent, env=os.environ)
    cost: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return cost


if __name__ == "__main__":
    start = time.perf_counter()
    table, config, objective, seed, settings = json.loads(sys.argv[1])
    fitted(table, config, objective, seed, **settings)
    print(json.dumps({"seconds": time.perf_counter() - start, "bytes": peak_memory()}))
