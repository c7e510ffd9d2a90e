"""Small matters of language in messages."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """A number with its noun: `1 item`, `2,000 items`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
