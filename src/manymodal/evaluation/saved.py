"""A saved report, read back: the figures of each direction, and the rank of each query's first match."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import ManymodalError
from ..words import counted
from .report import SCHEMA

Ints = np.ndarray[Any, np.dtype[np.int64]]

COLUMNS = ("direction", "owner", "first", "calibrated_first")


class Key(NamedTuple):
    """What tells the directions of a report apart."""

    query: tuple[str, ...]
    target: tuple[str, ...]
    unit: str
    match: str

    def __str__(self) -> str:
        """As `photo+caption->speech (item)`; what matches is said where it is the label."""
        by = ", by label" if self.match == "label" and self.unit != "label" else ""
        return f"{'+'.join(self.query)}->{'+'.join(self.target)} ({self.unit}{by})"


@dataclass(frozen=True)
class Queries:
    """The scored queries of one direction.

    Args:
        owners: (q,) int64, whose query it is: a place in the report's `names`.
        first: (q,) int64, rank of the first match; 1 is best.
        calibrated_first: (q,) int64, the same with calibrated weights; where there is nothing to weigh, as `first`.
    """

    owners: Ints
    first: Ints
    calibrated_first: Ints


@dataclass(frozen=True)
class SavedReport:
    """What a report's folder holds of its directions.

    Args:
        folder: where it lies.
        split: name of the split.
        items: how many items it has.
        seed: the space's training seed; None where it was not trained.
        space: the space's fingerprint; None for vectors that came from elsewhere.
        entries: {direction: its entry in `report.json`}.
        names: ids of items and names of labels that are owners of queries.
        queries: {direction: its queries}.
    """

    folder: Path
    split: str
    items: int
    seed: int | None
    space: str | None
    entries: dict[Key, dict[str, Any]]
    names: list[str]
    queries: dict[Key, Queries]


def read_report(folder: Path | str) -> SavedReport:
    """Read `report.json` and `queries.parquet`.

    Raises:
        ManymodalError: the folder holds no report, one from before queries were saved or from a newer version, or
            the files are damaged or not of one evaluation.
    """
    folder = Path(folder)
    if not (folder / "report.json").is_file():
        raise ManymodalError(
            f"{folder} has no report.json: not a folder of a report. `manymodal evaluate --out {folder}` makes one"
        )
    if not (folder / "queries.parquet").is_file():
        raise ManymodalError(
            f"{folder} has no queries.parquet: its report is of an older version, without the ranks that comparing "
            f"needs. Evaluate again: `manymodal evaluate ... --out {folder}`"
        )
    try:
        content = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        schema = content["schema"]
        if isinstance(schema, int) and schema > SCHEMA:
            raise ManymodalError(f"{folder} has schema {schema}, known here is {SCHEMA}: update manymodal to read it")
        entries = {_key(entry): entry for entry in content["directions"]}
        names, queries = _read_queries(folder / "queries.parquet", [entry["queries"] for entry in entries.values()])
        return SavedReport(
            folder=folder,
            split=content["split"],
            items=content["items"],
            seed=content["seed"],
            space=content["space"],
            entries=entries,
            names=names,
            queries=dict(zip(entries, queries, strict=True)),
        )
    except ManymodalError:
        raise
    except Exception as error:  # json and pyarrow each have their own
        raise ManymodalError(f"{folder} holds a damaged report ({error}); evaluate again") from error


def shared_directions(reports: Sequence[SavedReport]) -> tuple[list[Key], list[Key]]:
    """The directions that all reports have, in the order of the first, and those that only some have.

    Raises:
        ManymodalError: there is none that all have.
    """
    every = dict.fromkeys(key for report in reports for key in report.entries)
    shared = [key for key in every if all(key in report.entries for report in reports)]
    if not shared:
        raise ManymodalError(
            f"no direction is in all of {listed({str(r.folder): len(r.entries) for r in reports})}; "
            "evaluate them with the same --directions, --unit and --match"
        )
    return shared, [key for key in every if key not in shared]


def check_trainings(reports: Sequence[SavedReport]) -> None:
    """Refuse reports that are not trainings of one setting, each with a seed of its own."""
    if not reports:
        raise ManymodalError("there is no report to compare; name the folders of one or more")
    check_split(reports)
    marks: dict[str, Callable[[SavedReport], Any]] = {
        "folder": lambda report: report.folder.resolve(),
        "space": lambda report: report.space,
        "seed": lambda report: report.seed,
    }
    for what, of in marks.items():
        seen: dict[Any, SavedReport] = {}
        for report in reports:
            own = of(report)
            if own is None:
                continue
            if own in seen:
                raise ManymodalError(
                    f"{seen[own].folder} and {report.folder} are of one {what} ({own}); needed on a side are "
                    "trainings of one setting, each with its own seed, and each once"
                )
            seen[own] = report


def check_split(reports: Sequence[SavedReport]) -> None:
    """Refuse reports of different splits or numbers of items."""
    found = {str(report.folder): f"{report.split}, {counted(report.items, 'item')}" for report in reports}
    if len(set(found.values())) > 1:
        raise ManymodalError(f"the reports are of different splits ({listed(found)}); evaluate one split of one table")


def check_galleries(key: Key, reports: Sequence[SavedReport]) -> None:
    """Refuse reports that searched different numbers of rows: more rows, harder to be first."""
    found = {str(report.folder): report.entries[key]["gallery"] for report in reports}
    if len(set(found.values())) > 1:
        raise ManymodalError(
            f"{key} searched galleries of different sizes ({listed(found)}); compare evaluations of one table"
        )


def listed(found: dict[str, Any]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in found.items())


def _key(entry: dict[str, Any]) -> Key:
    return Key(tuple(entry["query"]), tuple(entry["target"]), entry["unit"], entry["match"])


def _read_queries(path: Path, counts: list[int]) -> tuple[list[str], list[Queries]]:
    """The names of all owners, and the queries of each direction, of which there are as many as `counts` says."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=list(COLUMNS))
    direction = table["direction"].to_numpy()  # (p,)
    owner = table["owner"].combine_chunks().dictionary_encode()
    columns = (
        owner.indices.to_numpy(),
        table["first"].to_numpy(),
        pc.coalesce(table["calibrated_first"], table["first"]).to_numpy(),
    )
    order = np.argsort(direction, kind="stable")
    found = np.bincount(direction, minlength=len(counts))
    if found.tolist() != counts:
        raise ManymodalError(
            f"{path} has {len(direction)} queries, report.json counts {sum(counts)}, or others for some direction: "
            "the two are not of one evaluation; evaluate again"
        )
    offsets = [0, *np.cumsum(found).tolist()]
    arranged = [column[order].astype(np.int64) for column in columns]  # (p,) each
    parts = [[column[start:end] for column in arranged] for start, end in pairwise(offsets)]
    return owner.dictionary.to_pylist(), [Queries(*part) for part in parts]
