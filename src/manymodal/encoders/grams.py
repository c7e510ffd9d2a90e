"""Texts in any language and script as n-grams: words, pairs of words and runs of characters, hashed to numbers."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby, pairwise
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

BUCKETS = 2**18
RUNS = (2, 3, 4)  # lengths of the runs of characters
Grams = NDArray[np.int32]


def bucket(gram: str) -> int:
    """The number of an n-gram in [0, BUCKETS), the same on every machine and in every run."""
    return crc32(gram.encode("utf-8", "surrogatepass")) % BUCKETS


def words_of(chunk: str) -> Iterator[str]:
    """Runs of letters, marks and digits; any other sign (punctuation, emoji) stands alone."""
    for is_word, run in groupby(chunk, lambda sign: unicodedata.category(sign)[0] in "LMN"):
        if is_word:
            yield "".join(run)
        else:
            yield from run


@lru_cache(maxsize=2**16)
def grams_of_chunk(chunk: str) -> tuple[tuple[str, ...], Grams]:
    """Words of a stretch without spaces, and the buckets of its words and runs of characters.

    Single characters count only in scripts without case (category Lo: Han, Kana, Thai, ...), where one is often a
    word or a syllable; in others they say nothing.
    """
    words = tuple(words_of(chunk))
    grams = []
    for word in words:
        grams.append("\x01" + word)
        grams += [sign for sign in word if unicodedata.category(sign) == "Lo"]
        edged = f"\x02{word}\x03"
        grams += [edged[i : i + n] for n in RUNS for i in range(len(edged) - n + 1)]
    return words, np.array([bucket(gram) for gram in grams], dtype=np.int32)


def grams(text: str) -> Grams:
    """(g,) int32 buckets of a text's words, pairs of neighbouring words and runs of 2 to 4 characters.

    Case and compatibility forms (full-width letters, ligatures) make no difference: NFKC, then casefold.
    """
    chunks = [grams_of_chunk(chunk) for chunk in unicodedata.normalize("NFKC", text).casefold().split()]
    words = [word for chunk_words, _ in chunks for word in chunk_words]
    pairs = np.array([bucket(f"{a}\x01{b}") for a, b in pairwise(words)], dtype=np.int32)
    return np.concatenate([*(of_chunk for _, of_chunk in chunks), pairs])
