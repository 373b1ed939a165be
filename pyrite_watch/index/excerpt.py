"""An excerpt of a long text around what was searched, made by FTS5 as it makes that of a short one.

FTS5's `snippet()` weighs every hit of a text against every other: 44,000 hits in 5 MB took it 28 s. So a long
text is cut into windows, of which one is chosen here, and FTS5 gets only that one. Choosing is cheap and may
err: then nothing is marked. A phrase across the border of two windows is not seen.
"""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import closing

WINDOW_CHARS = 4096
"""Room for 2,048 hits at most, for which `snippet()` takes 10 ms."""

EXCERPT_WORDS = 24
"""Two lines of a result list. FTS5 allows 64 at most."""

ELLIPSIS = "…"

_WINDOW = re.compile(rf"(?s:.{{1,{WINDOW_CHARS}}}(?:\s|\Z)|.{{1,{WINDOW_CHARS}}})")
"""It ends between words where it can, so that no part of one is a hit."""

_TERM = re.compile(r"[^\W_]+")
_ACCENTS = re.compile("[\u0300-\u036f]+")

_TABLE = "CREATE VIRTUAL TABLE part USING fts5 (text, words, tokenize = 'unicode61 remove_diacritics 2')"
_EXCERPT = f"SELECT snippet(part, 0, ?, ?, '{ELLIPSIS}', {EXCERPT_WORDS}) FROM part WHERE part MATCH ?"


def excerpt_of(text: str, words: Sequence[str], match: str, marks: tuple[str, str]) -> str:
    """Cut a few words out of a text: around hits, each between the marks, else its beginning.

    Args:
        words: What is searched, as typed.
        match: The same as FTS5's expression; with a star at its end the last word may be a beginning.
        marks: What stands before and after a hit.
    """
    patterns = [_pattern_of(word, match.endswith("*") and word == words[-1]) for word in words]
    start, window = _best_window(text, patterns)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute(_TABLE)
        # With the words in a column of their own it matches, whatever the window lacks.
        connection.execute("INSERT INTO part VALUES (?, ?)", (window, " ".join(words)))
        excerpt: str = connection.execute(_EXCERPT, (*marks, match)).fetchone()[0]
    if start and not excerpt.startswith(ELLIPSIS):
        excerpt = ELLIPSIS + excerpt
    if start + len(window) < len(text) and not excerpt.endswith(ELLIPSIS):
        excerpt += ELLIPSIS
    return excerpt


def _best_window(text: str, patterns: Sequence[re.Pattern[str]]) -> tuple[int, str]:
    """Choose the first window that has the most of the patterns; tell where it begins, too."""
    best, most = (0, text[:WINDOW_CHARS]), 0
    for start, window in _windows(text):
        folded = _fold(window)
        found = sum(pattern.search(folded) is not None for pattern in patterns)
        if found > most:
            best, most = (start, window), found
        if most == len(patterns):
            break
    return best


def _windows(text: str) -> Iterator[tuple[int, str]]:
    return ((found.start(), found[0]) for found in _WINDOW.finditer(text))


def _pattern_of(word: str, is_beginning: bool) -> re.Pattern[str]:
    """Find a word, or the phrase that its punctuation makes of it, in a folded text."""
    first, *others = _TERM.findall(_fold(word)) or [""]
    # What stands before it is asked after it: what begins with a literal is found ten times as fast.
    pattern = rf"{first}(?<![^\W_]{first})" + "".join(rf"[\W_]+{term}" for term in others)
    return re.compile(pattern if is_beginning else rf"{pattern}(?![^\W_])")


def _fold(text: str) -> str:
    """Leave out case and accents, as the tokenizer does."""
    if text.isascii():
        return text.lower()
    return _ACCENTS.sub("", unicodedata.normalize("NFD", text)).casefold()
