"""A published data set as a table that is written while it is read, so that it never has to fit into memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from ...errors import ManymodalError
from ...files import replacing
from ...progress import bar
from ...words import counted
from ..extract import BadRow
from ..media import open_media

MEDIA = pa.struct({"bytes": pa.binary(), "path": pa.string()})
TEXTS = pa.list_(pa.string())
ROW_GROUP = 64  # rows that are in memory at once: about 50 MB where each has a photo and five recordings
LARGEST = 2**31 - 2**24  # bytes of media in one column; Arrow cannot read back a struct of more than 2 GB


@dataclass(frozen=True)
class Published:
    """A data set found complete in its folder, ready to be written.

    Args:
        columns: name -> Arrow type.
        rows: one dict an item, of which the columns are taken; its media are read as it is drawn.
        count: of the rows.
        configs: what each YAML beside the table says, by what its name adds to the table's ("" or "_zero_shot").
        notes: what was decided or is absent, one line each.
        bad: files that were skipped so far, while rows are drawn.
    """

    columns: Mapping[str, Any]
    rows: Iterable[Mapping[str, Any]]
    count: int
    configs: Mapping[str, Mapping[str, Any]]
    notes: list[str]
    bad: list[BadRow]

    def write(self, out: Path) -> list[Path]:
        """Write the table and, beside it, the YAML files that read it; returns all their paths.

        Raises:
            ManymodalError: a file cannot be written, or a picture cannot be used where these are not skipped.
        """
        with replacing(out) as aside, bar(f"writing {out.name}", self.count) as advance:
            schema = pa.schema(self.columns)
            # No dictionaries: media repeat nowhere, and would be held twice.
            with pq.ParquetWriter(aside, schema, compression="zstd", use_dictionary=False) as writer:
                for rows in _groups(self.rows):
                    writer.write_table(pa.Table.from_pylist(rows, schema))
                    advance(len(rows), "")
        written = [out]
        for path, config in zip(config_paths(out, self.configs), self.configs.values(), strict=True):
            with replacing(path) as aside:
                text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
                aside.write_text(text, encoding="utf-8")
            written.append(path)
        return written


def config_paths(out: Path, configs: Iterable[str]) -> list[Path]:
    """Where the YAML files of a table lie, by what their names add to the table's."""
    return [out.with_name(f"{out.stem}{added}.yaml") for added in configs]


def config_of(
    columns: Iterable[str],
    modalities: Mapping[str, Mapping[str, Any]],
    same_source: Sequence[Sequence[str]] = (),
    **roles: str,
) -> dict[str, Any]:
    """A configuration that spells everything out; columns that it does not use are ignored, not inferred."""
    used = {m.get("column", name) for name, m in modalities.items()}
    used |= {column for m in modalities.values() for column in m.get("columns", [])} | set(roles.values())
    return {
        "id": "id",
        **roles,
        "modalities": {name: dict(m) for name, m in modalities.items()},
        "ignore": [column for column in columns if column not in used | {"id"}],
        **({"same_source": [list(group) for group in same_source]} if same_source else {}),
    }


@dataclass(frozen=True)
class Files:
    """What becomes of the files that a data set names: embedded or linked; refused or skipped where unusable.

    Args:
        link_from: folder that linked paths are relative to; None embeds the files' bytes.
        skip: whether a file that cannot be used is a missing value, listed in `bad`, instead of an error.
        bad: files skipped so far.
    """

    link_from: Path | None = None
    skip: bool = False
    bad: list[BadRow] = field(default_factory=list)

    def usable(self, modality: str, files: Mapping[Path, str], named_in: Path) -> set[Path]:
        """Those of the files that are there and not empty.

        Args:
            modality: whose values they are.
            files: each file's item.
            named_in: the file that names them.

        Raises:
            ManymodalError: some are not there, where these are not skipped; or they are too large to be embedded.
        """
        sizes = {path: path.stat().st_size if path.is_file() else 0 for path in files}
        lacking = [path for path, size in sizes.items() if not size]
        if lacking and not self.skip:
            more = f", and {len(lacking) - 1:,} more" if len(lacking) > 1 else ""
            raise ManymodalError(
                f"{modality}: {lacking[0]} is missing or empty{more}, of {counted(len(files), 'file')} named in "
                f"{named_in}. Restore them, or count them as missing with --on-bad-value skip"
            )
        self.bad.extend(BadRow(modality, files[path], f"{path} is missing or empty") for path in lacking)
        if self.link_from is None and sum(sizes.values()) > LARGEST:
            raise ManymodalError(
                f"{modality}: {sum(sizes.values()) / 1e9:.1f} GB of files; one column of a table can be read back with "
                "at most 2 GB. Leave the files where they are and store their paths with --link"
            )
        return sizes.keys() - set(lacking)

    def refuse(self, modality: str, id: str, reason: str) -> None:
        """What is done about a file that turns out to be broken.

        Raises:
            ManymodalError: such files are not skipped.
        """
        if not self.skip:
            raise ManymodalError(
                f"{modality} of {id}: {reason}. Mend it, or count it as missing with --on-bad-value skip"
            )
        self.bad.append(BadRow(modality, id, reason))

    def content(self, modality: str, id: str, path: Path) -> bytes | None:
        """A file's bytes; None where it cannot be read and that is skipped."""
        try:
            return open_media(path)
        except ManymodalError as error:
            self.refuse(modality, id, str(error))
            return None

    def stored(self, path: Path, content: bytes) -> dict[str, Any]:
        """A file as a cell of the table: where it lies, or what it holds."""
        if self.link_from is not None:
            return {"bytes": None, "path": Path(os.path.relpath(path, self.link_from)).as_posix()}
        return {"bytes": content, "path": path.name}

    def cell(self, modality: str, id: str, path: Path) -> dict[str, Any] | None:
        """The same of a file that is not looked into; None where it cannot be read and that is skipped."""
        content = b"" if self.link_from is not None else self.content(modality, id, path)
        return None if content is None else self.stored(path, content)


def _groups(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    group: list[Mapping[str, Any]] = []
    for row in rows:
        group.append(row)
        if len(group) == ROW_GROUP:
            yield group
            group = []
    if group:
        yield group
