"""Full-text search. What a person types is text, never a query language. Takes a snapshot's connection.

Words are matched whole, in any order, in title, body and tags; case and accents do not count
(`unicode61 remove_diacritics 2`). Where no entry has them all, the last word may also be the
beginning of one (from two letters on), so that a search box finds something while one still types.
What punctuation joins ("well-known", "a.b") is searched as a phrase.

Not guaranteed: words inside a run of Chinese or Japanese, which the tokenizer takes for one word.
"""

from __future__ import annotations

import html
import json
import secrets
import sqlite3
from typing import Any

from pyrite_watch.index.excerpt import ELLIPSIS, EXCERPT_WORDS, WINDOW_CHARS, excerpt_of

TITLE_WEIGHT, BODY_WEIGHT, TAGS_WEIGHT = 10.0, 1.0, 4.0
"""A word in a title says what the entry is about; one in its body is only mentioned."""

MAX_WORDS = 64
"""Further words are left out: FTS5's time grows with their square (20,000 took minutes), each in a thread."""

MIN_PREFIX = 2
"""Letters of a beginning: of one, FTS5 merges the lists of a large part of all words."""

Json = dict[str, Any]

_RANKED = (
    f"SELECT e.row, bm25(entry_text, {TITLE_WEIGHT}, {BODY_WEIGHT}, {TAGS_WEIGHT}) AS score"
    " FROM entry_text JOIN entry e ON e.row = entry_text.rowid"
    " JOIN kb k ON k.kb_id = e.kb_id AND k.active"
    " WHERE entry_text MATCH :match AND (:kb IS NULL OR k.name = :kb)"
    " ORDER BY score, k.name, e.entry_id LIMIT :limit"
)

_SHOWN = (
    "SELECT e.entry_id, k.name, e.entry_type, e.title, e.tags, e.date, e.importance,"
    " length(e.title) + length(e.tags) + length(e.body)"
    " FROM entry e JOIN kb k ON k.kb_id = e.kb_id WHERE e.row = ?"
)

_SNIPPETS = (
    f"SELECT snippet(entry_text, 1, :open, :close, '{ELLIPSIS}', {EXCERPT_WORDS}),"
    f" snippet(entry_text, 0, :open, :close, '{ELLIPSIS}', {EXCERPT_WORDS})"
    " FROM entry_text WHERE entry_text MATCH :match AND entry_text.rowid = :row"
)


def load_hits(connection: sqlite3.Connection, text: str, kb_name: str | None, limit: int) -> list[Json]:
    """Load the entries in which these words stand, the best first; none where there is no word.

    `snippet` is HTML: escaped, with `<mark>` around hits. It is the body around its hits; where only the
    title has any, the title; else the body's beginning. The other fields are plain text.
    """
    # Not where it ends with punctuation: "quok*" is text, and is not the beginning of "quokka".
    last = text.split()[-1] if text.split() else ""
    is_beginning = last[-1:].isalnum() and sum(map(str.isalnum, last)) >= MIN_PREFIX
    for is_prefix in (False, True) if is_beginning else (False,):
        match = match_expression(text, is_prefix)
        if not match:
            return []
        wanted = {"match": match, "kb": kb_name, "limit": limit}
        ranked = connection.execute(_RANKED, wanted).fetchall()
        if ranked:
            # Only the page's rows are read in full: a snippet costs tokenizing the body.
            return [_load_hit(connection, text, match, row) for row, _ in ranked]
    return []


def match_expression(text: str, is_prefix: bool = False) -> str:
    """Quote every word for FTS5, so that no character has a meaning; empty where there is no word.

    A quoted string without a letter or digit ("!!") is no condition for FTS5, and alone finds nothing.
    """
    words = [word.replace('"', '""') for word in _words_of(text)]
    return " ".join(f'"{word}"' for word in words) + ("*" if words and is_prefix else "")


def _words_of(text: str) -> list[str]:
    # FTS5 reads a C string (a NUL would cut off the closing quote); lone surrogates have no UTF-8.
    clean = text.replace("\0", " ").encode("utf-8", "replace").decode()
    # Each once, at its last place: FTS5 would weigh the hits of a word against those of its double.
    last_first = {word.lower(): word for word in reversed(clean.split()[:MAX_WORDS])}
    return list(reversed(last_first.values()))


def _load_hit(connection: sqlite3.Connection, text: str, match: str, row: int) -> Json:
    found = connection.execute(_SHOWN, (row,)).fetchone()
    # Random: a text that holds the marks of another answer, or <mark> itself, marks nothing.
    token = secrets.token_hex(8)
    marks = (f"\ue000{token}\ue001", f"\ue002{token}\ue003")
    if found[7] > WINDOW_CHARS:
        (body,) = connection.execute("SELECT body FROM entry WHERE row = ?", (row,)).fetchone()
        words = _words_of(text)
        body, title = (excerpt_of(each, words, match, marks) for each in (body, found[3]))
    else:
        wanted = {"match": match, "row": row, "open": marks[0], "close": marks[1]}
        body, title = connection.execute(_SNIPPETS, wanted).fetchone()
    return {
        "id": found[0],
        "kb_name": found[1],
        "entry_type": found[2],
        "title": found[3],
        "snippet": _as_html(title if marks[0] in title and marks[0] not in body else body, marks),
        "tags": json.loads(found[4]),
        "date": found[5],
        "importance": found[6],
    }


def _as_html(snippet: str, marks: tuple[str, str]) -> str:
    return html.escape(snippet).replace(marks[0], "<mark>").replace(marks[1], "</mark>").strip()
