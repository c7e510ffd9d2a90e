"""HTML from code, in which every text is escaped unless this module made it."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

VOID = {"br", "circle", "img", "input", "line", "meta", "path", "rect"}  # elements without content


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, /, *content: str | Iterable[str], **attributes: str | float | bool | None) -> Markup:
    """An element.

    Args:
        name: such as "td".
        content: texts, which are escaped, elements, which are not, and lists of either.
        attributes: `class_` is class and `data_unit` is data-unit; True is an attribute without a value, and one that
            is None or False is left out.
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Markup(f"<{name}{written}/>" if name in VOID else f"<{name}{written}>{joined(*content)}</{name}>")


def joined(*content: str | Iterable[str]) -> Markup:
    """Several pieces, one after the other."""
    return Markup("".join(_html(piece) for piece in content))


def _html(piece: str | Iterable[str]) -> str:
    if isinstance(piece, Markup):
        return piece
    return escape(piece) if isinstance(piece, str) else joined(*piece)


def table(caption: str, header: Iterable[str], rows: Iterable[Iterable[str]], **attributes: str) -> Markup:
    """A table that scrolls within its box; the first cell of each row names the row."""
    body = []
    for cells in rows:
        first, *rest = cells
        body.append(tag("tr", tag("th", first, scope="row"), [tag("td", cell) for cell in rest]))
    head = tag("tr", [tag("th", name, scope="col") for name in header])
    made = tag("table", tag("thead", head), tag("tbody", body), **attributes)
    box = tag("div", made, class_="scroll", tabindex="0", role="region", aria_label=caption)
    return joined(tag("p", caption, class_="caption"), box)  # beside the table, so that it does not scroll with it


def fold(summary: str, *content: str | Iterable[str]) -> Markup:
    """Content that opens on request."""
    return tag("details", tag("summary", summary), *content)
