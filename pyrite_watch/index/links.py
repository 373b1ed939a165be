"""Where a link leads: the same answer for `outlinks`, `backlinks` and what is rendered.

A target is looked for by id, then by the file's stem, by path (with or without `.md`), by title, and by
alias; of several, the one with the smallest path. One that begins with `/` is a path only. Every look-up
goes through an index.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from pyrite_watch.index.names import ALIAS, STEM

_ENTRY = "SELECT e.entry_id, k.name, e.title, e.entry_type FROM kb k CROSS JOIN"
_MAX_TITLES = 1_000
"""Titles that begin with the words of a target; beyond that, the target is hardly a title."""


@dataclass(frozen=True, slots=True)
class Found:
    """The entry that a target names."""

    entry_id: str
    kb_name: str
    title: str
    entry_type: str


def resolve(connection: sqlite3.Connection, kb_name: str, target: str) -> Found | None:
    """Find the entry that a link names; None where nothing is there, or the KB is not watched."""
    if target.startswith("/"):
        return _by_path(connection, kb_name, target.lstrip("/"))
    row = connection.execute(
        f"{_ENTRY} entry e ON e.kb_id = k.kb_id WHERE k.name = ? AND k.active AND e.entry_id = ?",
        (kb_name, target),
    ).fetchone()
    if row is not None:
        return Found(*row)
    return (
        _by_name(connection, kb_name, target, STEM)
        or _by_path(connection, kb_name, target)
        or _by_title(connection, kb_name, target)
        or _by_name(connection, kb_name, target, ALIAS)
    )


def load_sources(
    connection: sqlite3.Connection, kb_name: str, entry_id: str, path: str, title: str
) -> list[Found]:
    """Load the entries that link to this one, by whichever of its names, each once, by KB and id."""
    others = connection.execute(
        "SELECT n.name FROM kb k CROSS JOIN entry e ON e.kb_id = k.kb_id AND e.entry_id = ?"
        " CROSS JOIN name n ON n.row = e.row WHERE k.name = ?",
        (entry_id, kb_name),
    ).fetchall()
    stem = path.removesuffix(".md")
    written = (entry_id, path, stem, f"/{path}", f"/{stem}", title)
    names = (*written, *(name for (name,) in others))
    found: dict[tuple[str, str], Found] = {}
    for name in dict.fromkeys(names):
        rows = connection.execute(
            "SELECT e.entry_id, k.name, e.title, e.entry_type FROM link l CROSS JOIN entry e ON e.row = l.source"  # noqa: E501
            " CROSS JOIN kb k ON k.kb_id = e.kb_id AND k.active WHERE l.target = ? AND l.kb_name = ?",
            (name, kb_name),
        ).fetchall()
        if not rows:
            continue
        # It may be another's id or path first.
        there = resolve(connection, kb_name, name)
        if there is not None and there.entry_id == entry_id:
            found.update({(row[1], row[0]): Found(*row) for row in rows})
    return [found[key] for key in sorted(found)]


def _by_path(connection: sqlite3.Connection, kb_name: str, path: str) -> Found | None:
    row = connection.execute(
        f"{_ENTRY} file f ON f.kb_id = k.kb_id CROSS JOIN entry e ON e.kb_id = f.kb_id"
        " AND e.entry_id = f.entry_id WHERE k.name = ? AND k.active AND f.path IN (?, ?)"
        " ORDER BY f.path LIMIT 1",
        (kb_name, path, f"{path}.md"),
    ).fetchone()
    return Found(*row) if row is not None else None


def _by_name(connection: sqlite3.Connection, kb_name: str, name: str, rank: int) -> Found | None:
    row = connection.execute(
        f"{_ENTRY} name n ON n.kb_id = k.kb_id AND n.name = ? AND n.rank = ? CROSS JOIN entry e"
        " ON e.row = n.row WHERE k.name = ? AND k.active ORDER BY e.path LIMIT 1",
        (name, rank, kb_name),
    ).fetchone()
    return Found(*row) if row is not None else None


def _by_title(connection: sqlite3.Connection, kb_name: str, title: str) -> Found | None:
    phrase = title.replace('"', '""').replace("\0", " ")
    if not any(char.isalnum() for char in phrase):
        return None
    row = connection.execute(
        f"{_ENTRY} (SELECT rowid AS number FROM entry_text WHERE entry_text MATCH ? LIMIT {_MAX_TITLES}) t"
        " CROSS JOIN entry e ON e.row = t.number AND e.kb_id = k.kb_id"
        " WHERE k.name = ? AND k.active AND e.title = ? ORDER BY e.path LIMIT 1",
        (f'{{title}} : ^ "{phrase}"', kb_name, title),
    ).fetchone()
    return Found(*row) if row is not None else None
