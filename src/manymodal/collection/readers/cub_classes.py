"""The species of CUB-200-2011: their names, and which of them are unseen in zero-shot learning."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ...errors import ManymodalError
from .layout import find, lines, malformed

PLACES = ("", "CUB_200_2011", "cvpr2016_cub", "xlsa17/data/CUB")  # Reed et al. 2016, Xian et al. 2017
UNSEEN = "testclasses.txt"
SEEN = (("trainvalclasses.txt",), ("trainclasses1.txt", "valclasses1.txt"), ("trainclasses.txt", "valclasses.txt"))

Classes = Mapping[int, str]  # "001.Black_footed_Albatross" by number, from 1


def readable_names(path: Path, classes: Classes) -> dict[int, str]:
    """The species as people write them: "Black footed Albatross".

    Raises:
        ManymodalError: two classes would have one name.
    """
    names = {number: re.sub(r"^\d+\.", "", name).replace("_", " ").strip() for number, name in classes.items()}
    number_of: dict[str, int] = {}
    for number, name in names.items():
        if number_of.setdefault(name, number) != number:
            raise ManymodalError(
                f"{path}: found classes {number_of[name]} and {number} both called {name!r}; needed: a name for each"
            )
    return names


def seen_and_unseen(folder: Path, classes: Classes, notes: list[str]) -> tuple[set[int], set[int]] | None:
    """The classes for training and those kept for the last number of zero-shot learning; None without lists.

    Args:
        folder: of the data set.
        classes: all of them.
        notes: gets a line where lists are absent or leave classes out.

    Raises:
        ManymodalError: a list is absent beside others, names no class, or one that is on the other side too.
    """
    unseen_list = find(folder, PLACES, UNSEEN)
    seen_lists = next(
        (paths for names in SEEN if all(paths := [find(folder, PLACES, name) for name in names])), list[Path | None]()
    )
    if unseen_list is None:
        if seen_lists:
            raise ManymodalError(
                f"{folder} has {seen_lists[0]}, but no {UNSEEN}, the list of the unseen classes; add it"
            )
        notes.append(f"zero_shot_split: no {UNSEEN}, so there is none")
        return None
    unseen = _classes_in(unseen_list, classes, set())
    seen: set[int] = set()
    for path in seen_lists:
        assert path is not None
        seen |= _classes_in(path, classes, unseen)
    if not seen_lists:
        seen = set(classes) - unseen
        notes.append(f"zero_shot_split: no {SEEN[0][0]}, so all classes but those of {UNSEEN} are seen")
    elif left := len(classes) - len(seen) - len(unseen):
        notes.append(f"zero_shot_split: the photos of {left} species that no list names are unused")
    return seen, unseen


def _classes_in(path: Path, classes: Classes, others: set[int]) -> set[int]:
    """The classes that a list names, by name or by number."""
    number_of = {name: number for number, name in classes.items()} | {str(number): number for number in classes}
    found: set[int] = set()
    for line, name in lines(path):
        if name not in number_of:
            raise malformed(path, line, name, "a class of classes.txt, by its name or its number")
        if number_of[name] in others:
            raise malformed(path, line, name, f"seen classes only; {UNSEEN} names this one too")
        found.add(number_of[name])
    return found
