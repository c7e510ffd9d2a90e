"""`manymodal evaluate`: how well every direction finds its matches."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..words import counted
from .options import BadValues, Cache, Correction, OnBadValue, console, read_with_schema, say, say_bad

if TYPE_CHECKING:
    from ..evaluation import Report


class Unit(StrEnum):
    """What one query is."""

    value = "value"
    item = "item"


class Match(StrEnum):
    """What makes a match."""

    item = "item"
    label = "label"


class Parts(StrEnum):
    """Which parts a query needs."""

    all = "all"
    any = "any"


def evaluate(
    space: Annotated[Path | None, typer.Argument(help="Folder of a saved space.", show_default=False)] = None,
    table: Annotated[
        Path | None, typer.Argument(help="Parquet file or folder of shards, CSV or JSONL.", show_default=False)
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option(
            help="Instead of a space and a table: a folder of vectors that any program made (docs/evaluation.md)."
        ),
    ] = None,
    normalize: Annotated[bool, typer.Option("--normalize", help="Divide such vectors by their norms.")] = False,
    dev: Annotated[
        Path | None, typer.Option(help="Vectors of dev items, to calibrate combined queries on; beside --vectors.")
    ] = None,
    train: Annotated[
        Path | None, typer.Option(help="Vectors of train items, to estimate corrections from; beside --vectors.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="train, dev, test, or all. Default: test; of vectors, all.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for report.html, report.json and the rest.")] = None,
    directions: Annotated[
        list[str] | None,
        typer.Option(help='Such as "photo+caption->speech"; may be repeated. Default: all sets to every target.'),
    ] = None,
    unit: Annotated[Unit | None, typer.Option(help="Default: singles in both, combined queries by item.")] = None,
    match: Annotated[
        Match, typer.Option(help="Whether things match as the same item or as the same kind.")
    ] = Match.item,
    parts: Annotated[Parts, typer.Option(help="Whether a query needs every part of its direction.")] = Parts.all,
    correct: Annotated[
        list[Correction] | None, typer.Option(help="Also with this correction, estimated from train; may be repeated.")
    ] = None,
    relevance: Annotated[
        Path | None, typer.Option(help="Graded judgements (query, target, gain) as CSV or Parquet, for nDCG by them.")
    ] = None,
    bootstrap: Annotated[int, typer.Option(help="Draws for 95 % intervals; 0 for none.", min=0)] = 1000,
    on_bad_value: BadValues = OnBadValue.stop,
    cache: Cache = None,
) -> None:
    """Rank the gallery of every direction for each of its queries, and report what was found."""
    from ..errors import ManymodalError

    options: dict[str, Any] = {
        "directions": directions or None,
        "unit": unit.value if unit else None,
        "match": match.value,
        "parts": parts.value,
        "correct": [one.value for one in correct or []],
        "bootstrap": bootstrap or None,
    }
    if (vectors is None) == (space is None) or (space is None) != (table is None):
        raise ManymodalError(
            "give either a space and a table, or --vectors FOLDER; "
            f"there are space {space}, table {table}, --vectors {vectors}"
        )
    if out is not None and out.exists() and not out.is_dir():
        raise ManymodalError(f"--out {out} is a file; name a folder")  # before any work is done
    if vectors is not None:
        skip = on_bad_value is OnBadValue.skip
        _refuse({"--on-bad-value": skip, "--cache": cache}, "with a space and a table; vectors are embedded already")
        report = _of_vectors(vectors, split, normalize, dev, train, relevance, options)
    else:
        beside = {"--normalize": normalize, "--dev": dev, "--train": train}
        _refuse(beside, "with --vectors; a space brings what it needs from its fit")
        report = _of_space(space, table, split or "test", relevance, on_bad_value, cache, options)
    console().print(report.table())
    say(report.remarks())
    if out is not None:
        report.save(out)
        typer.echo(
            f"{out / 'report.html'}: to be read; report.json, queries.parquet, *.csv, table.tex beside it", err=True
        )


def _refuse(given: dict[str, Any], why: str) -> None:
    """Refuse options that would do nothing."""
    from ..errors import ManymodalError

    strange = [name for name, value in given.items() if value]
    if strange:
        raise ManymodalError(f"{', '.join(strange)}: only {why}")


def _of_space(
    space: Path | None,
    table: Path | None,
    split: str,
    relevance: Path | None,
    on_bad_value: OnBadValue,
    cache: Path | None,
    options: dict[str, Any],
) -> Report:
    from ..evaluation.graded import read_relevance
    from ..space import load

    assert space is not None and table is not None
    loaded = load(space)
    data = read_with_schema(table, loaded.schema, on_bad_value)
    if relevance is not None:
        options["relevance"], notes = read_relevance(relevance, {id: row for row, id in enumerate(data.ids)})
        say(notes)
    report = loaded.evaluate(data, split, cache=cache, **options)
    say_bad(data)
    return report


def _of_vectors(
    folder: Path,
    split: str | None,
    normalize: bool,
    dev: Path | None,
    train: Path | None,
    relevance: Path | None,
    options: dict[str, Any],
) -> Report:
    from ..calibration import calibrate
    from ..evaluation.graded import read_relevance
    from ..evaluation.measure import measure
    from ..hubness import sample_bank
    from ..showing import names_of_vectors
    from ..vectors import check_same_modalities, read_vectors, read_vectors_of

    given = read_vectors(folder, split=split, normalize=normalize)
    asked = {name: path for name, path in (("dev", dev), ("train", train)) if path}
    others = {name: read_vectors_of(path, name, normalize=normalize) for name, path in asked.items()}
    say([note for read in (given, *others.values()) for note in read.notes])
    for name, other in others.items():
        check_same_modalities(given, other)
        shared = len(set(given.ids.values()) & set(other.ids.values()))
        if shared:
            say([f"{counted(shared, 'id')} of --{name} among those measured: of the same items, figures would flatter"])
    if relevance is not None:
        options["relevance"], notes = read_relevance(relevance, {id: item for item, id in given.ids.items()})
        say(notes)
    return measure(
        given.embeddings,
        split=given.split or "all",
        items=given.items,
        names=names_of_vectors(given),
        space=given.space,
        bank=sample_bank(others["train"].embeddings) if train else None,
        calibration=calibrate(others["dev"].embeddings) if dev else None,
        **options,
    )
