"""A contact sheet: each row a query in words, as a picture or both, and what was found for it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ..errors import ManymodalError
from ..files import replacing

# Lengths in pixels of the sheet.
_PICTURE = 96  # twice a glyph's picture
_CELL = 164  # a hit, across
_QUERY = 300  # the query, across
_EDGE = 40  # around the sheet
_PAD = 20  # inside a row's card
_GAP = 14  # between things

_PAPER, _CARD, _RULE = "#f4f2ec", "#ffffff", "#ddd9ce"
_INK, _QUIET, _ACCENT = "#1f1e1c", "#7d786d", "#b4501c"
_HEADING, _WORDS, _NAME, _SMALL = 28, 20, 14, 13  # sizes of type
_LINES = 4  # of a name or of a query's words, before an ellipsis


@dataclass(frozen=True)
class SheetHit:
    """Something found.

    Args:
        name: in words; wrapped, and cut with an ellipsis after four lines.
        score: shown with two decimals.
        picture: encoded bytes; None where there is none to show.
        match: whether it is what was sought; marked in colour.
    """

    name: str
    score: float
    picture: bytes | None = None
    match: bool = False


@dataclass(frozen=True)
class SheetRow:
    """A query and its hits, best first.

    Args:
        title: what is sought with what ("name → sans").
        hits: any number.
        words: the query's words, if any.
        picture: the query's picture as encoded bytes, if any.
    """

    title: str
    hits: Sequence[SheetHit]
    words: str | None = None
    picture: bytes | None = None


def contact_sheet(rows: Sequence[SheetRow], path: Path, heading: str = "") -> None:
    """Write queries and hits as one PNG, a row each.

    Args:
        rows: at least one.
        path: the PNG; replaced in one step.
        heading: above all rows, if any.

    Raises:
        ManymodalError: there are no rows, or the file cannot be written.
    """
    if not rows:
        raise ManymodalError("a contact sheet needs at least one row; none came")
    width = _QUERY + max(len(row.hits) for row in rows) * _CELL + 2 * _PAD
    cards = [_card(row, width) for row in rows]
    top = _EDGE + (2 * _HEADING if heading else 0)
    height = top + sum(card.height + _GAP for card in cards) - _GAP + _EDGE
    sheet = Image.new("RGB", (width + 2 * _EDGE, height), _PAPER)
    _text(ImageDraw.Draw(sheet), (_EDGE, _EDGE - 6), _wrap(heading, _font(_HEADING), width, 1), _HEADING, _INK)
    for card in cards:
        sheet.paste(card, (_EDGE, top))
        top += card.height + _GAP
    with replacing(path) as aside:
        sheet.save(aside, "PNG")


def _card(row: SheetRow, width: int) -> Image.Image:
    """One row, as high as it needs to be."""
    card = Image.new("RGB", (width, 4 * _PICTURE + 2 * _LINES * _line(_WORDS)), _CARD)
    bottom = _draw_query(card, row)
    pictured = any(hit.picture for hit in row.hits)
    for rank, hit in enumerate(row.hits):
        left = _PAD + _QUERY + rank * _CELL
        bottom = max(bottom, _draw_hit(card, hit, left, pictured))
    card = card.crop((0, 0, width, bottom + _PAD))
    pen = ImageDraw.Draw(card)
    pen.rectangle((0, 0, card.width - 1, card.height - 1), outline=_RULE)
    rule = _PAD + _QUERY - _GAP
    pen.line((rule, _PAD, rule, card.height - _PAD - 1), fill=_RULE)
    return card


def _draw_query(card: Image.Image, row: SheetRow) -> int:
    """The query at the card's left; gives the lowest line used."""
    pen, room = ImageDraw.Draw(card), _QUERY - 2 * _GAP
    bottom = _text(pen, (_PAD, _PAD), _wrap(row.title, _font(_SMALL), room, 2), _SMALL, _ACCENT) + _GAP
    left = _PAD
    if row.picture:
        _paste(card, row.picture, (left, bottom), _RULE)
        left, room = left + _PICTURE + _GAP, room - _PICTURE - _GAP
    size = _WORDS if not row.picture else _WORDS - 3  # beside a picture there is less room
    lines = _wrap(row.words or "", _font(size), room, _LINES)
    return max(bottom + (_PICTURE if row.picture else 0), _text(pen, (left, bottom), lines, size, _INK))


def _draw_hit(card: Image.Image, hit: SheetHit, left: int, pictured: bool) -> int:
    """A hit with its top at the card's top, centred in its cell; gives the lowest line used."""
    pen, middle, bottom = ImageDraw.Draw(card), left + _CELL // 2, _PAD
    if pictured:
        corner = (middle - _PICTURE // 2, bottom)
        if hit.picture:
            _paste(card, hit.picture, corner, _ACCENT if hit.match else _RULE)
        bottom += _PICTURE + _GAP // 2
    lines = _wrap(hit.name, _font(_NAME), _CELL - _GAP, _LINES)
    bottom = _text(pen, (middle, bottom), lines, _NAME, _ACCENT if hit.match else _INK, centred=True)
    return _text(pen, (middle, bottom + 3), [f"{hit.score:.2f}"], _SMALL, _QUIET, centred=True)


def _paste(card: Image.Image, picture: bytes, corner: tuple[int, int], colour: str) -> None:
    """A picture in its own proportions within a square, framed."""
    with Image.open(io.BytesIO(picture)) as opened:
        shown = opened.convert("RGB")
    scale = _PICTURE / max(shown.size)
    shown = shown.resize(
        (max(round(shown.width * scale), 1), max(round(shown.height * scale), 1)), Image.Resampling.BICUBIC
    )
    left, top = corner
    card.paste(shown, (left + (_PICTURE - shown.width) // 2, top + (_PICTURE - shown.height) // 2))
    width = 1 if colour == _RULE else 3
    frame = (left - width, top - width, left + _PICTURE + width - 1, top + _PICTURE + width - 1)
    ImageDraw.Draw(card).rectangle(frame, outline=colour, width=width)


def _text(
    pen: ImageDraw.ImageDraw, at: tuple[int, int], lines: list[str], size: int, colour: str, centred: bool = False
) -> int:
    """Lines of type downward from a point (their left, or their middle); gives where the next line would start."""
    across, top = at
    for line in lines:
        pen.text((across, top + _line(size) / 2), line, colour, _font(size), anchor="mm" if centred else "lm")
        top += _line(size)
    return top


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int, most: int) -> list[str]:
    """Words in at most `most` lines no wider than `width`; what is left over is cut, a word that is wider is broken."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        joined = f"{line} {word}" if line else word
        if font.getlength(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        while font.getlength(word) > width:
            fits = max(n for n in range(1, len(word)) if n == 1 or font.getlength(word[:n]) <= width)
            lines.append(word[:fits])
            word = word[fits:]
        line = word
    if line:
        lines.append(line)
    if len(lines) > most:
        lines = lines[:most]
        while lines[-1] and font.getlength(lines[-1] + "…") > width:
            lines[-1] = lines[-1][:-1]
        lines[-1] += "…"
    return lines


def _line(size: int) -> int:
    """The height of a line of type."""
    return round(1.35 * size)


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), size)
