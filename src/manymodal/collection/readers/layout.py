"""Finding a data set's files, and reading lines of text so that each malformed one is named."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from ...errors import ManymodalError
from ...words import counted
from ..sources import utf8

Value = TypeVar("Value")
Row = Mapping[int, Value]


def find(folder: Path, places: Sequence[str], *names: str) -> Path | None:
    """The first of the names, a file's or a folder's, that is there in the folder's first place that has one.

    Args:
        folder: as the user named it.
        places: subfolders that the set's archives are unpacked to; "" is the folder itself.
        names: under which the same thing was published.
    """
    candidates = (folder / place / name for place in places for name in names)
    return next((path for path in candidates if path.exists()), None)


def require(folder: Path, places: Sequence[str], names: Sequence[str], otherwise: str = "") -> dict[str, Path]:
    """Where each of the names lies.

    Args:
        folder: as the user named it.
        places: see `find`.
        names: of files and folders; "A|B" is one that was published under two names.
        otherwise: what would do instead, for the message.

    Raises:
        ManymodalError: some are absent; all of them are named.
    """
    if not folder.is_dir():
        raise ManymodalError(f"no such folder: {folder}. Name the folder that the data set was unpacked to")
    found = {name: find(folder, places, *name.split("|")) for name in names}
    absent = [name.replace("|", " or ") for name, path in found.items() if path is None]
    if absent:
        looked = ", ".join(place or "itself" for place in places)
        raise ManymodalError(
            f"{folder} lacks {', '.join(absent)}{otherwise} (looked in the folder {looked}). "
            "Unpack the whole data set there, or name its folder"
        )
    return {name: path for name, path in found.items() if path is not None}


def read_text(path: Path) -> str:
    """A text file's content.

    Raises:
        ManymodalError: the file cannot be read or is not UTF-8.
    """
    return utf8(path).decode()


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file that are not blank, stripped, with their numbers from 1.

    Raises:
        ManymodalError: the file cannot be read or is not UTF-8.
    """
    for number, line in enumerate(io.TextIOWrapper(io.BytesIO(utf8(path)), "utf-8", newline="\n"), start=1):
        if text := line.strip():
            yield number, text


def malformed(path: Path, number: int, found: str, needed: str) -> ManymodalError:
    """The error for a line of text."""
    shown = found if len(found) <= 120 else found[:117] + "..."
    return ManymodalError(f"{path}, line {number}: found {shown!r}; needed: {needed}")


def parsed(
    path: Path, fields: int, needed: str, parse: Callable[[list[str]], Value]
) -> Iterator[tuple[int, str, Value]]:
    """Each line's number, text and value; fields are separated by blanks, and the last one holds the rest.

    Args:
        path: of the file.
        fields: how many there are in a line.
        needed: how a line looks, for messages.
        parse: gives a line's value; a `ValueError` or `LookupError` says that the line is malformed.

    Raises:
        ManymodalError: a malformed line.
    """
    for number, text in lines(path):
        cells = text.split(maxsplit=fields - 1)
        try:
            if len(cells) != fields:
                raise ValueError
            value = parse(cells)
        except (ValueError, LookupError):
            raise malformed(path, number, text, needed) from None
        yield number, text, value


def by_id(path: Path, fields: int, needed: str, parse: Callable[[list[str]], Value]) -> dict[int, Value]:
    """Lines that start with a whole number as its value: see `parsed`; `parse` gets the further fields.

    Raises:
        ManymodalError: a malformed line, a number that comes twice, or no lines.
    """
    found: dict[int, Value] = {}
    for number, text, (id, value) in parsed(path, fields, needed, lambda cells: (int(cells[0]), parse(cells[1:]))):
        if id in found:
            raise malformed(path, number, text, f"each number once, and {id} came before")
        found[id] = value
    if not found:
        raise ManymodalError(f"{path} is empty; needed: lines such as {needed}")
    return found


def check_same_ids(path: Path, found: Row[object], against: Path, known: Row[object]) -> None:
    """Refuse a file that speaks of other things than the file that lists them.

    Raises:
        ManymodalError: a number that only one of them has.
    """
    odd = sorted(found.keys() ^ known.keys())
    if odd:
        there, here = (path, against) if odd[0] in found else (against, path)
        raise ManymodalError(
            f"{there} has the number {odd[0]}, {here} does not ({counted(len(odd), 'such number')}); needed: the same "
            "in both. Take both from the same release"
        )
