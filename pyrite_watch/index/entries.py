"""Write entry rows, with their links and full text: the derived part of a batch."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pyrite_watch.disk.links import parse_links
from pyrite_watch.index.names import names_of
from pyrite_watch.index.reconcile import EntryWrite
from pyrite_watch.model.entry import EntryContent, EntryId, Link, Revision


def iso_time(timestamp_s: float) -> str:
    """A point in time as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(timestamp_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _mtime(write: EntryWrite) -> str:
    try:
        return iso_time(write.mtime_ns / 1e9)
    except (OverflowError, ValueError, OSError):
        return iso_time(0)  # a file system may hold any number there


def json_text(value: object) -> str:
    """Compact JSON, not escaped beyond what JSON needs."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class _Row:
    """What an entry's row held before it is written."""

    row: int
    revision: Revision
    created_at: str
    updated_at: str


def apply_entries(
    connection: sqlite3.Connection,
    kb_id: int,
    kb_name: str,
    writes: Mapping[EntryId, EntryWrite | None],
    known: Iterable[EntryId],
) -> None:
    """Write entry rows inside the open transaction.

    Args:
        writes: By id; None deletes. `content` None changes only path and revision.
        known: The ids among them that have a row.
    """
    known = set(known)
    fresh: list[tuple[EntryId, EntryWrite]] = []
    for entry_id, write in writes.items():
        if entry_id not in known:
            if write is not None and write.content is not None:
                fresh.append((entry_id, write))
        elif write is None:
            _delete(connection, kb_id, entry_id)
        elif write.content is None:
            _move(connection, kb_id, kb_name, entry_id, write)
        else:
            _update(connection, kb_id, kb_name, entry_id, write, write.content)
    if fresh:
        _insert(connection, kb_id, kb_name, fresh)


_WRITTEN = (
    "path", "revision", "title", "entry_type", "importance", "status", "date", "tags",
    "created_at", "updated_at", "summary", "metadata", "body",
)  # fmt: skip


def _columns(write: EntryWrite, content: EntryContent, old: _Row | None) -> tuple[object, ...]:
    """Give the values of `_WRITTEN`."""
    changed = _mtime(write)
    # A copy in another place has another mtime, but the content did not change.
    same = old is not None and old.revision == write.revision
    return (
        write.path,
        write.revision,
        content.title,
        content.entry_type,
        content.importance,
        content.status,
        content.date,
        json_text(content.tags),
        content.created_at or (old.created_at if old is not None else changed),
        content.updated_at or (old.updated_at if old is not None and same else changed),
        content.summary,
        json_text(content.metadata),
        content.body,
    )


def _insert(
    connection: sqlite3.Connection, kb_id: int, kb_name: str, fresh: list[tuple[EntryId, EntryWrite]]
) -> None:
    first = connection.execute("SELECT coalesce(max(row), 0) + 1 FROM entry").fetchone()[0]
    rows, texts, links, names = [], [], [], []
    for row, (entry_id, write) in enumerate(fresh, first):
        content = write.content
        assert content is not None
        rows.append((row, kb_id, entry_id, *_columns(write, content, None)))
        texts.append((row, content.title, content.body, json_text(content.tags)))
        links.extend(links_of(row, kb_name, content.links))
        names.extend(names_of(row, kb_id, entry_id, write.path, content.metadata))
    connection.executemany(
        f"INSERT INTO entry (row, kb_id, entry_id, {', '.join(_WRITTEN)})"
        f" VALUES (?, ?, ?, {', '.join('?' * len(_WRITTEN))})",
        rows,
    )
    connection.executemany("INSERT INTO entry_text (rowid, title, body, tags) VALUES (?, ?, ?, ?)", texts)
    connection.executemany("INSERT INTO link VALUES (?, ?, ?, ?)", links)
    connection.executemany("INSERT INTO name VALUES (?, ?, ?, ?)", names)


def links_of(row: int, kb_name: str, links: Iterable[Link]) -> list[tuple[int, int, str, str]]:
    """Give the rows of an entry's links. Pure."""
    # `[[x]]` and `[[own:x]]` are one link.
    targets = dict.fromkeys((link.kb_name or kb_name, link.target) for link in links)
    return [(row, number, *target) for number, target in enumerate(targets)]


def _forget_text(connection: sqlite3.Connection, kb_id: int, entry_id: EntryId) -> _Row:
    row, title, body, tags, *rest = connection.execute(
        "SELECT row, title, body, tags, revision, created_at, updated_at FROM entry"
        " WHERE kb_id = ? AND entry_id = ?",
        (kb_id, entry_id),
    ).fetchone()
    # An external-content index is told the old text, and must be told exactly that.
    connection.execute(
        "INSERT INTO entry_text (entry_text, rowid, title, body, tags) VALUES ('delete', ?, ?, ?, ?)",
        (row, title, body, tags),
    )
    connection.execute("DELETE FROM link WHERE source = ?", (row,))
    connection.execute("DELETE FROM name WHERE row = ?", (row,))
    return _Row(row, *rest)


def _update(
    connection: sqlite3.Connection,
    kb_id: int,
    kb_name: str,
    entry_id: EntryId,
    write: EntryWrite,
    content: EntryContent,
) -> None:
    old = _forget_text(connection, kb_id, entry_id)
    connection.execute(
        f"UPDATE entry SET {', '.join(f'{column} = ?' for column in _WRITTEN)} WHERE row = ?",
        (*_columns(write, content, old), old.row),
    )
    connection.execute(
        "INSERT INTO entry_text (rowid, title, body, tags) VALUES (?, ?, ?, ?)",
        (old.row, content.title, content.body, json_text(content.tags)),
    )
    connection.executemany("INSERT INTO link VALUES (?, ?, ?, ?)", links_of(old.row, kb_name, content.links))
    _name(connection, kb_id, entry_id, old.row, write.path, content.metadata)


def _move(
    connection: sqlite3.Connection, kb_id: int, kb_name: str, entry_id: EntryId, write: EntryWrite
) -> None:
    """Note another path or revision of what is the same otherwise; what is relative to it leads elsewhere."""
    row, path, metadata, body = connection.execute(
        "SELECT row, path, metadata, body FROM entry WHERE kb_id = ? AND entry_id = ?", (kb_id, entry_id)
    ).fetchone()
    connection.execute(
        "UPDATE entry SET path = ?, revision = ? WHERE row = ?", (write.path, write.revision, row)
    )
    if path != write.path:
        connection.execute("DELETE FROM name WHERE row = ?", (row,))
        _name(connection, kb_id, entry_id, row, write.path, json.loads(metadata))
        connection.execute("DELETE FROM link WHERE source = ?", (row,))
        links = links_of(row, kb_name, parse_links(body, write.path))
        connection.executemany("INSERT INTO link VALUES (?, ?, ?, ?)", links)


def _name(
    connection: sqlite3.Connection,
    kb_id: int,
    entry_id: EntryId,
    row: int,
    path: str,
    metadata: Mapping[str, object],
) -> None:
    names = names_of(row, kb_id, entry_id, path, metadata)
    connection.executemany("INSERT INTO name VALUES (?, ?, ?, ?)", names)


def _delete(connection: sqlite3.Connection, kb_id: int, entry_id: EntryId) -> None:
    old = _forget_text(connection, kb_id, entry_id)
    connection.execute("DELETE FROM entry WHERE row = ?", (old.row,))
