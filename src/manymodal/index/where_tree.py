"""The text of a filter -> a tree of nothing but what filters know, however strange the text.

The text is cut into words, each of which must be one that filters know; a parser (sqlglot's) makes a tree of them, each
node of which must be of a kind, and made of parts, that filters know. Length, depth and number are bounded before the
parser, and after it the engine, could be troubled by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..errors import ManymodalError

if TYPE_CHECKING:
    from sqlglot import Token, TokenType
    from sqlglot.expressions import Expr

MAX_CHARACTERS, MAX_TERMS = 2_000, 64
MAX_DEPTH = 12  # a bracket costs the parser about 30 of Python's 1,000 calls, the engine's up to 3 of its 50

SIGNS = {"EQ", "NEQ", "LT", "LTE", "GT", "GTE", "L_PAREN", "R_PAREN", "COMMA", "DOT", "DASH"}
KEYWORDS = {"AND", "OR", "NOT", "IN", "BETWEEN", "LIKE", "ILIKE", "IS", "NULL", "TRUE", "FALSE"}
OPEN = {"VAR", "IDENTIFIER", "STRING", "NUMBER"}

COMPARISONS = {"eq": "=", "neq": "!=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
# Each kind of node that there may be, and what it may be made of. A parser that comes to read more into a text than is
# known here (an ESCAPE, a further argument) is refused, not obeyed in part.
NODES = {
    **{key: {"this", "expression"} for key in (*COMPARISONS, "and", "or", "is", "contains")},
    **{key: {"this", "expression", "negate"} for key in ("like", "ilike")},
    **{key: {"this"} for key in ("not", "paren", "neg", "boolean", "null")},
    "in": {"this", "expressions"},
    "between": {"this", "low", "high"},
    "column": {"this", "table", "db", "catalog"},
    "identifier": {"this", "quoted"},
    "literal": {"this", "is_string"},
}
STRANGE = {
    "sub": "arithmetic (a date goes in single quotes, a name that holds - in double ones)",
    "tuple": "lists other than that of IN (...)",
    "concat": "two texts side by side",
    "alias": "two things side by side, without AND or OR",
    "in": "IN without a list; write kind IN ('a', 'b')",
    "contains": "contains with more than a list column and one text; write contains(tags, 'x')",
}
ALLOWED = (
    "a filter compares columns with values (=, !=, <, <=, >, >=, IN (...), BETWEEN, LIKE, ILIKE, IS NULL, "
    "contains(tags, 'x')), joined by AND, OR and NOT"
)


def read(text: str, columns: Iterable[str]) -> Expr:
    """The tree of a condition; its nodes' kinds (`key`) are those of `NODES`.

    Args:
        text: the condition; it may come from a stranger.
        columns: the names that users know columns by; the tree may hold others.

    Raises:
        ManymodalError: too long or deep, not a condition, or something that filters do not know.
    """
    for wrong, what in ((not text.strip(), "is empty"), ("\0" in text, "holds a NUL character")):
        if wrong:
            raise ManymodalError(f"the filter {what}; write for instance: year > 2010")
    if len(text) > MAX_CHARACTERS:
        raise ManymodalError(f"a filter of {len(text):,} characters; at most {MAX_CHARACTERS:,} are allowed")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ManymodalError("the filter holds half of a character (a lone surrogate); send whole Unicode") from error
    try:
        from sqlglot import ParseError, Parser, Tokenizer, TokenType
        from sqlglot.errors import SqlglotError
    except ImportError as error:
        raise ManymodalError("filters need sqlglot, which is not installed: pip install 'manymodal[index]'") from error

    class Cutter(Tokenizer):
        IDENTIFIERS = ['"', "`"]  # noqa: RUF012  (how sqlglot's tokenizers are made)

    try:
        tokens = Cutter().tokenize(text)
        _check_tokens(tokens, columns, TokenType.VAR)
        [tree] = Parser().parse(tokens, text) or [None]
    except ParseError as error:
        place = error.errors[0] if error.errors else {}
        near = f" at {short(place['highlight'])}, character {place['col']}" if place.get("highlight") else ""
        raise ManymodalError(
            f"the filter cannot be read{near}: a value or a bracket is missing, or stands wrong"
        ) from error
    except SqlglotError as error:
        raise ManymodalError("the filter cannot be read: a quote or a comment is not closed") from error
    if tree is None:
        raise ManymodalError(f"the filter says nothing; {ALLOWED}")
    for node in tree.walk():
        if node.key not in NODES or {name for name, value in node.args.items() if value} - NODES[node.key]:
            raise ManymodalError(
                f"filters do not know {STRANGE.get(node.key, f'such a {node.key.upper()}')}; {ALLOWED}"
            )
    return tree


def _check_tokens(tokens: Sequence[Token], columns: Iterable[str], name: TokenType) -> None:
    """Let only words of filters come to the parser, not so many and not so deep that it is troubled.

    A column may be called like a word of SQL (`date`, `order`, `end`): such a word becomes a name.
    """
    known = {piece.casefold() for column in columns for piece in (column, *column.split("."))}
    depth = negations = joined = 0
    for token, after in zip(tokens, [*tokens[1:], None], strict=False):
        if token.comments:
            raise ManymodalError("a filter holds no comments; leave out -- and /* */")
        if token.token_type.name not in SIGNS | KEYWORDS | OPEN:
            if token.text.casefold() not in known:
                raise ManymodalError(f"{short(token.text)} has no place in a filter; {ALLOWED}")
            token.token_type = name
        kind = token.token_type.name
        call = kind in ("VAR", "IDENTIFIER") and after is not None and after.token_type.name == "L_PAREN"
        if call and token.text.casefold() != "contains":
            raise ManymodalError(f"filters do not know the function {short(token.text)}; {ALLOWED}")
        depth += (kind == "L_PAREN") - (kind == "R_PAREN")
        negations = negations + 1 if kind in ("NOT", "DASH") else 0
        joined += (kind in ("AND", "OR")) - (kind == "BETWEEN")  # the AND of a BETWEEN joins nothing
        if depth + negations > MAX_DEPTH:
            raise ManymodalError(
                f"the filter is nested too deeply; at most {MAX_DEPTH} brackets and NOTs within another"
            )
    if joined >= MAX_TERMS:
        raise ManymodalError(
            f"a filter of {joined + 1} comparisons; at most {MAX_TERMS} are allowed: for many values use IN"
        )


def short(text: str, quote: str = "'") -> str:
    """The text in quotes for a message, its middle left out where it is long."""
    return quote + (text if len(text) <= 60 else f"{text[:40]}...{text[-10:]}") + quote
