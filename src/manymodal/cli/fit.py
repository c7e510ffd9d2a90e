"""`manymodal fit`: learn one space over all modalities of a table."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import BadValues, Cache, ConfigFile, OnBadValue, Table, read_with_schema, say, say_bad

if TYPE_CHECKING:
    from ..collection import Collection, Config
    from ..space import Space

OBJECTIVES = "anchor, fused, gram, pcmc, pcmr, sigmoid, spectral, symile"  # the registry imports torch: not for help
SHAPE = ("dim", "head")  # under `train:` too, but of the space itself
RUN = "run.json"  # in the working folder: what the run was started with


def fit(
    table: Table,
    out: Annotated[Path, typer.Option(help="Folder for the space.", show_default=False)],
    config: ConfigFile = None,
    objective: Annotated[
        str | None, typer.Option(help=f"One of {OBJECTIVES}. Default: pcmr with clusters of 64.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="How often every item is shown. Default: 30.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Items per step. Default: 512.")] = None,
    lr: Annotated[float | None, typer.Option(help="Highest learning rate. Default: 0.001.")] = None,
    chunk_size: Annotated[
        int | None, typer.Option(help="Values encoded at a time, to save memory. Default: all of a step's.")
    ] = None,
    dim: Annotated[int | None, typer.Option(help="Dimension of the space. Default: 256.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ... Default: the fastest there is.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of first weights and training. Default: 0.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was broken off.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the space in --out, once the new one is complete.")
    ] = False,
    on_bad_value: BadValues = OnBadValue.stop,
    cache: Cache = None,
) -> None:
    """Learn one space over all modalities of a table, and save it as a folder.

    While the run lasts, OUT.training holds its checkpoints; what stood in OUT stays until the new space is complete.
    Under torchrun, several processes share the work.
    """
    from ..collection import read_config
    from .torchrun import started_processes

    out = out if out.name else out.resolve()  # "." has no name of its own
    working = out.with_name(out.name + ".training")
    given = {"dim": dim, "epochs": epochs, "batch_size": batch_size, "chunk_size": chunk_size, "lr": lr, "seed": seed}
    with started_processes(device) as (processes, place):
        lead = processes.rank == 0  # writes, and says what there is to say
        with processes.together():
            if lead:
                _check_free(out, working, resume, overwrite)
            said = read_config(config) if config else None
        train = {**(said.train if said else {}), **{key: value for key, value in given.items() if value is not None}}
        asked: dict[str, Any] = {
            "train": train,
            "objective": objective or (said.objective if said else None),
            "config": said.model_dump(mode="json", exclude={"train", "objective"}) if said else None,
        }
        with processes.first_alone():
            if resume and (working / RUN).exists():
                data, space, asked = _go_on(table, working, asked, on_bad_value)
            else:
                data, space = _begin(table, said, working if lead else None, asked, on_bad_value, cache)
        settings = {key: value for key, value in asked["train"].items() if key not in SHAPE}
        space.fit(data, folder=working, resume=resume, device=place, cache=cache, processes=processes, **settings)
        if lead:
            _finish(space, data, out, working)


def _check_free(out: Path, working: Path, resume: bool, overwrite: bool) -> None:
    """Refuse to write over a space, or an unfinished run, unless that was asked for."""
    from ..errors import ManymodalError
    from ..saving import check_replaceable
    from ..training.checkpoint import FILE as CHECKPOINT

    if resume and out.exists() and not working.exists():
        raise ManymodalError(f"{out} is complete and there is no {working} to go on from; --overwrite starts again")
    if out.exists() and not (resume or overwrite):
        raise ManymodalError(
            f"{out} exists; choose another --out, or say --overwrite to replace it or --resume to go on"
        )
    if (working / CHECKPOINT).exists() and not (resume or overwrite):
        raise ManymodalError(f"{working} holds an unfinished run; say --resume to go on, or --overwrite to start again")
    check_replaceable(out)


def _finish(space: Space, data: Collection, out: Path, working: Path) -> None:
    """Save the space, and say what was noticed."""
    say_bad(data)
    say(space.notes)
    early = space.history.stopped == "interrupted" and space.history.best_epoch is None
    if early and (out.exists() or not space.history.epochs):
        typer.echo(f"too early for a best space, so {out} is left as it was", err=True)
        raise typer.Exit(130)
    space.save(out)
    shutil.rmtree(working, ignore_errors=True)
    best = space.history.best
    typer.echo(
        f"{space} is in {out}" + ("" if best is None else f"; mean mrr of the single directions on dev {best:.3f}")
    )
    if space.history.stopped == "interrupted":
        raise typer.Exit(130)


def _begin(
    table: Path,
    config: Config | None,
    working: Path | None,
    asked: dict[str, Any],
    on_bad_value: OnBadValue,
    cache: Path | None,
) -> tuple[Collection, Space]:
    """An untrained space, noted down in the working folder (None: elsewhere) so that the run can be resumed."""
    from ..collection import read_collection
    from ..files import write_json
    from ..space import Space
    from ..training import TrainSettings

    data = read_collection(table, config=config, on_bad_value=on_bad_value.value)
    say(data.notes)
    train = dict(asked["train"])
    shape = {key: train.pop(key) for key in SHAPE if key in train}
    settings = TrainSettings.of(train)  # mistakes are said before any work is done
    space = Space.for_collection(data, objective=asked["objective"], seed=settings.seed, cache=cache, **shape)
    if working is not None:
        shutil.rmtree(working, ignore_errors=True)
        space.save(working / "space")
        write_json(working / RUN, {**asked, "rows": _digest(data)})
    return data, space


def _go_on(
    table: Path, working: Path, asked: dict[str, Any], on_bad_value: OnBadValue
) -> tuple[Collection, Space, dict[str, Any]]:
    """The space and the settings that the run was started with; others, or another table, are refused."""
    from ..errors import ManymodalError
    from ..space import load

    try:
        run = json.loads((working / RUN).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ManymodalError(
            f"{working / RUN} is damaged ({error}); remove {working} and start without --resume"
        ) from error
    if asked["config"] is not None and asked["config"] != run["config"]:
        raise ManymodalError(
            f"--config is not what it was when the run in {working} was started: leave it out to go on, or start again"
        )
    for key, value in {**asked["train"], "objective": asked["objective"]}.items():
        before = run["objective"] if key == "objective" else run["train"].get(key)
        if value is not None and value != before:
            raise ManymodalError(
                f"the run in {working} was started with {key}={before if before is not None else 'its default'}, "
                f"now {key}={value}: leave that out to go on, or say --overwrite without --resume to start again"
            )
    space = load(working / "space")
    data = read_with_schema(table, space.schema, on_bad_value)
    if _digest(data) != run["rows"]:
        raise ManymodalError(
            f"{table} has other rows or splits than when the run in {working} was started; start again"
        )
    return data, space, run


def _digest(data: Collection) -> str:
    content = json.dumps([data.ids, data.split.tolist()])
    return hashlib.blake2b(content.encode(), digest_size=12).hexdigest()
