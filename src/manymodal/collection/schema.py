"""What a table holds, in words: the schema that a space saves, and the YAML from which one can be made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from ..errors import ManymodalError
from ..words import did_you_mean
from .values import Kind

Cell = Literal["number", "text", "boolean", "date"]
Per = Literal["item", "label"]


class Modality(BaseModel):
    """One modality of a schema.

    Args:
        kind: how its values are read.
        columns: where they are; several columns only for a table.
        several: whether a cell holds a list of values.
        per: whether each item has values of its own, or all items of a label share them.
        encoder: as named in the YAML (a registered name, a folder or a Hub name); None is the kind's own.
        options: the encoder's further options.
        width: numbers in a vector, or channels of a series; bound when first read, later tables must agree.
        struct: whether a table is one column of structs instead of several columns.
        cells: what the columns (or fields) of a table hold; bound when first read, later tables must agree.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    columns: list[str]
    several: bool = False
    per: Per = "item"
    encoder: str | None = None
    options: dict[str, Any] = {}
    width: int | None = None
    struct: bool = False
    cells: dict[str, Cell] = {}


class Schema(BaseModel):
    """How a table is read: what a space saves, and every later table is read by.

    Args:
        id: column of the user's ids; None is the row number.
        split: column of the splits; None is by hash of the ids.
        split_by: column whose equal values stay in one split.
        split_seed: seed of that hash.
        label: column of the labels.
        label_names: the label of each code.
        modalities: by name.
        same_source: groups of modalities of which one is made from another.
        ignore: columns of which no modality is made.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str | None = None
    split: str | None = None
    split_by: str | None = None
    split_seed: int = 0
    label: str | None = None
    label_names: list[str] = []
    modalities: dict[str, Modality]
    same_source: list[list[str]] = []
    ignore: list[str] = []


class ModalityConfig(BaseModel):
    """What a YAML says of one modality; what it leaves out is inferred."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind | None = None
    column: str | None = None
    columns: list[str] | None = None
    several: bool | None = None
    per: Per = "item"
    encoder: str | None = None
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _columns_once(self) -> ModalityConfig:
        if self.column is not None and self.columns is not None:
            raise ManymodalError("give either `column` or `columns`")
        if self.columns is not None and (
            not self.columns or (len(self.columns) > 1 and self.kind not in (None, "table"))
        ):
            raise ManymodalError("`columns` lists the columns of a table; the other kinds have one `column`")
        return self


class Config(BaseModel):
    """The YAML beside a table; every key may be left out. An explicit `label: null` means that there is none.

    `objective` and `train` are kept as they came and are checked by those who use them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str | None = None
    split: str | None = None
    split_by: str | None = None
    split_seed: int = 0
    label: str | None = None
    modalities: dict[str, ModalityConfig] = {}
    ignore: list[str] = []
    same_source: list[list[str]] = []
    objective: dict[str, Any] | str | None = None
    train: dict[str, Any] = {}

    @field_validator("modalities")
    @classmethod
    def _names_allowed(cls, modalities: dict[str, ModalityConfig]) -> dict[str, ModalityConfig]:
        for name in modalities:
            check_name(name)
        return modalities


class _Loader(yaml.SafeLoader):
    """YAML in which a key given twice is an error, and 1e-3 a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.YAMLError(f"the key {twice!r} twice (line {node.start_mark.line + 1} and after)")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+"), list("-+0123456789")
)


def check_name(name: str) -> None:
    """Refuse a name that a query or a key could not carry."""
    if not name or name in ("item", "id") or any(sign in name for sign in ":=/"):
        raise ManymodalError(
            f"{name!r} cannot name a modality: `item`, `id`, the empty name and names with ':', '=' or '/' are taken. "
            "Give it another one (YAML: `modalities: {name: {column: ...}}`), or list the column under `ignore`"
        )


def read_config(path: Path) -> Config:
    """A YAML file as a config.

    Raises:
        ManymodalError: no such file, not YAML, an unknown key (named, with those allowed), or a value of a wrong type.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise ManymodalError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ManymodalError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise ManymodalError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict | None):
        raise ManymodalError(
            f"{path} holds a {type(content).__name__}; needed: keys such as {', '.join(Config.model_fields)}"
        )
    return make_config(content or {}, str(path))


def make_config(content: Mapping[str, Any], where: str = "config") -> Config:
    """A mapping as a config; `where` begins each message.

    Raises:
        ManymodalError: an unknown key (named, with those allowed), or a value of a wrong type.
    """
    try:
        return Config.model_validate(dict(content))
    except ValidationError as error:
        raise ManymodalError("\n".join(f"{where}: {_in_words(detail)}" for detail in error.errors())) from error


def yaml_of(schema: Schema) -> str:
    """The schema as YAML; read back as a config, the same table gives the same schema."""
    content: dict[str, Any] = {"id": schema.id, "split": schema.split}
    if schema.split_by is not None:
        content["split_by"] = schema.split_by
    if schema.split_seed:
        content["split_seed"] = schema.split_seed
    content["label"] = schema.label
    content["modalities"] = {name: _said(modality) for name, modality in schema.modalities.items()}
    content |= {key: value for key in ("ignore", "same_source") if (value := getattr(schema, key))}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)


def _said(modality: Modality) -> dict[str, Any]:
    one = modality.kind != "table" or modality.struct
    said: dict[str, Any] = {"kind": modality.kind}
    said |= {"column": modality.columns[0]} if one else {"columns": list(modality.columns)}
    if modality.several:
        said["several"] = True
    if modality.per != "item":
        said["per"] = modality.per
    if modality.encoder is not None:
        said["encoder"] = modality.encoder
    return said | ({"options": dict(modality.options)} if modality.options else {})


def _allowed(name: str, known: Mapping[str, Any]) -> str:
    return f"{did_you_mean(name, list(known))}Allowed: {', '.join(known)}"


def _in_words(detail: Any) -> str:
    place = [str(part) for part in detail["loc"]]
    if detail["type"] == "extra_forbidden":
        inner = len(place) == 3 and place[0] == "modalities"
        fields = (ModalityConfig if inner else Config).model_fields
        under = f" under {'.'.join(place[:-1])}" if place[:-1] else ""
        return f"unknown key {place[-1]!r}{under}; {_allowed(place[-1], fields)}"
    reason = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "value_error":
        return f"{'.'.join(place)}: {reason}"
    return f"{'.'.join(place)}: got {detail['input']!r}. {reason}"
