"""A space as a folder: config.json, weights.safetensors and a card; no pickle, no training data."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from .calibration import Calibration
from .collection import Schema
from .embeddings import Embeddings
from .errors import ManymodalError
from .files import replacing_folder, write_tensors
from .fitting import Reference
from .objectives import objective_spec
from .towers import Tower, Towers
from .training import History, TrainSettings

if TYPE_CHECKING:
    from .space import Space

FORMAT = 1
CONFIG, WEIGHTS, BANK, CARD = "config.json", "weights.safetensors", "bank.safetensors", "README.md"


def save_space(space: Space, folder: Path, overwrite: bool) -> str:
    """Write the folder aside and move it into place; returns the space's fingerprint."""
    if folder.exists() and not overwrite:
        raise ManymodalError(f"{folder} exists; choose another folder, or allow it to be replaced")
    check_replaceable(folder)
    weights = _tensors(space.towers, "towers.") | _tensors(space.objective, "objective.")
    config: dict[str, Any] = {
        "format": FORMAT,
        "manymodal": version("manymodal"),
        "dim": space.dim,
        "seed": space.seed,
        "schema": space.schema.model_dump(mode="json"),
        "towers": {name: space.towers[name].config() for name in space.towers.names},
        "objective": objective_spec(space.objective),
        "objective_state": _others(space.objective),
        "train": space.settings.model_dump(mode="json"),
        "history": asdict(space.history),
        "notes": space.notes,
        "calibration": space.reference.calibration and space.reference.calibration.to_dict(),
    }
    with replacing_folder(folder) as aside:
        write_tensors(aside / WEIGHTS, weights)
        if space.reference.bank is not None:
            write_tensors(aside / BANK, _flat(space.reference.bank))
        digest = hashlib.blake2b((aside / WEIGHTS).read_bytes(), digest_size=12)
        digest.update(json.dumps({key: config[key] for key in ("dim", "schema", "towers")}, sort_keys=True).encode())
        config["fingerprint"] = digest.hexdigest()
        text = json.dumps(config, indent=1, ensure_ascii=False, allow_nan=False)
        (aside / CONFIG).write_text(text + "\n", encoding="utf-8")
        (aside / CARD).write_text(card(space, folder.name), encoding="utf-8")
    return digest.hexdigest()


def check_replaceable(folder: Path) -> None:
    """Refuse to put a space in place of something that is none."""
    if folder.exists() and not (folder / CONFIG).exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ManymodalError(
            f"{folder} exists and is not a space ({CONFIG} is missing), so it is not replaced; choose another"
        )


def load_space(cls: type[Space], folder: Path) -> Space:
    """Read a folder that `save_space` wrote."""
    from safetensors.torch import load_file

    if not (folder / CONFIG).is_file():
        what = "is no folder" if not folder.is_dir() else f"has no {CONFIG}"
        raise ManymodalError(f"{folder} {what}: not a saved space. `manymodal fit TABLE --out {folder}` makes one")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if config["format"] != FORMAT:
            raise ManymodalError(
                f"{folder} has format {config['format']}, this version reads {FORMAT}: "
                f"it was written by manymodal {config['manymodal']}; install that version, or fit again"
            )
        towers = Towers({name: Tower.of_config(tower, config["dim"]) for name, tower in config["towers"].items()})
        schema = Schema.model_validate(config["schema"])
        space = cls(schema, towers, dim=config["dim"], seed=config["seed"], objective=config["objective"])
        weights = load_file(folder / WEIGHTS)
        _restore(space.towers, weights, "towers.", {})
        _restore(space.objective, weights, "objective.", config["objective_state"])
        space.settings, space.history = TrainSettings(**config["train"]), History(**config["history"])
        space.notes, space.fingerprint = config["notes"], config["fingerprint"]
        calibration = config.get("calibration")  # not there in spaces of earlier versions, nor is the bank
        space.reference = Reference(
            _embeddings(load_file(folder / BANK)) if (folder / BANK).exists() else None,
            calibration and Calibration.of_dict(calibration),
        )
    except ManymodalError:
        raise
    except Exception as error:  # json, safetensors, torch and pydantic each have their own
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ManymodalError(f"{folder} is a damaged space ({reason}); restore it from a copy, or fit again") from error
    space.towers.eval(), space.objective.eval()
    return space


def _flat(embeddings: Embeddings) -> dict[str, torch.Tensor]:
    """Embeddings as the tensors of one file; half precision is plenty for means and neighbours."""
    flat = {}
    for m in embeddings.modalities:
        flat[f"vectors/{m}"], flat[f"items/{m}"] = embeddings.vectors[m].half(), embeddings.items[m]
        if embeddings.labels is not None:
            flat[f"labels/{m}"] = embeddings.labels[m]
    return {name: tensor.contiguous() for name, tensor in flat.items()}


def _embeddings(flat: dict[str, torch.Tensor]) -> Embeddings:
    """What `_flat` took apart, of unit norm again."""

    def part(what: str) -> dict[str, torch.Tensor]:
        return {name.removeprefix(what): tensor for name, tensor in flat.items() if name.startswith(what)}

    vectors = {m: v.float() for m, v in part("vectors/").items()}
    return Embeddings.normalized(vectors, part("items/"), part("labels/") or None)


def _tensors(module: nn.Module, prefix: str) -> dict[str, torch.Tensor]:
    state = module.state_dict()
    return {prefix + key: value.contiguous().clone() for key, value in state.items() if isinstance(value, torch.Tensor)}


def _others(module: nn.Module) -> dict[str, Any]:
    """What a module's state holds beside tensors (JSON): the shares that `auto` weights go by."""
    return {key: value for key, value in module.state_dict().items() if not isinstance(value, torch.Tensor)}


def _restore(module: nn.Module, weights: dict[str, torch.Tensor], prefix: str, others: dict[str, Any]) -> None:
    module.load_state_dict(others | {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})


def card(space: Space, name: str) -> str:
    """What a person who finds the folder wants to know."""
    rows = [
        f"| {m} | {modality.kind} | {', '.join(modality.columns)} | {space.towers[m].config()['encoder']} |"
        for m, modality in space.schema.modalities.items()
    ]
    lines = [
        "---",
        "library_name: manymodal",
        "---",
        f"# {name}",
        "",
        f"A space of {space.dim} dimensions over {len(rows)} modalities, made by manymodal {version('manymodal')}.",
        "",
        "| modality | kind | columns | encoder |",
        "|---|---|---|---|",
        *rows,
        "",
        f"- objective: `{json.dumps(objective_spec(space.objective))}`",
        f"- trained for {len(space.history.epochs)} epochs of at most {space.settings.epochs}, seed {space.seed}",
        f"- mean mrr of the single directions on dev: {_figure(space.history.best)}",
        *_kept_beside(space),
        *(f"- noticed: {note}" for note in space.notes),
        "",
        "```python",
        "import manymodal as mm",
        "",
        f'space = mm.load("{name}")',
        'data = mm.read_collection("table.parquet", schema=space.schema)',
        "embeddings = space.encode(data)",
        "```",
        "",
    ]
    return "\n".join(lines)


def _kept_beside(space: Space) -> list[str]:
    bank, calibration = space.reference.bank, space.reference.calibration
    said = []
    if bank is not None:
        said.append(f"- {BANK}: embeddings of {len(bank):,} training values, for corrections of hubness and means")
    if calibration is not None:
        said.append(f"- combined queries: weights calibrated on {calibration.items:,} dev items are in {CONFIG}")
    return said


def _figure(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"
