"""The event log: durable, dense, and the only place with SQL on the table `event`.

Invariants:
    An offset is given once in an epoch, and the next is one higher.
    The newest event is never removed, so the highest offset in the table is the log's position.
    The newest event of every entry and of every KB's `kb_synced` is never removed: within an epoch a
    resume from any position ends in the present state. Compaction takes what is superseded.
    An epoch ends when the log's tail may have been lost: a stop without `end_run` that was
    followed by another boot (WAL with `synchronous=NORMAL` survives a kill, not a power cut).
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pyrite_watch.model.event import Epoch, Event, Offset, Position

_EPOCH_BITS_BYTES = 12
"""96 random bits: two states never share an epoch."""


@dataclass(frozen=True, slots=True)
class EventDraft:
    """An event before it has its offset: `fields` follow Pyrite's three in the message."""

    type: str
    kb_name: str
    entry_id: str
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LogPage:
    """Events after a position; `compacted` where superseded ones among them are gone."""

    events: list[Event]
    position: Position
    more: bool
    compacted: bool


def make_epoch() -> Epoch:
    """Make an epoch's name: 96 random bits."""
    return Epoch(secrets.token_urlsafe(_EPOCH_BITS_BYTES))


def load_epoch(connection: sqlite3.Connection) -> Epoch | None:
    """Load the epoch; None before the first index of it is complete."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
    return Epoch(row[0]) if row else None


def load_offset(connection: sqlite3.Connection) -> Offset:
    """Load the offset of the newest event; 0 in an epoch without events."""
    return Offset(connection.execute("SELECT coalesce(max(offset), 0) FROM event").fetchone()[0])


def begin_epoch(connection: sqlite3.Connection, epoch: Epoch) -> None:
    """Begin a new epoch at offset 0; must run inside a transaction."""
    connection.execute("DELETE FROM event")
    connection.execute("DELETE FROM meta WHERE key = 'compacted'")
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('epoch', ?)", (epoch,))


def begin_run(connection: sqlite3.Connection, boot: str | None) -> bool:
    """Mark the state as in use, durably; tell whether the log's tail may be lost.

    Where it may (the last run ended without `end_run`, under another boot or an unknown one), the
    epoch is void: it is removed here, and the caller begins another when its first pass is done.
    """
    row = connection.execute("SELECT value FROM meta WHERE key = 'running'").fetchone()
    lost = row is not None and (not boot or row[0] != boot)
    connection.execute("PRAGMA synchronous = FULL")
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('running', ?)", (boot or "",))
        if lost:
            connection.execute("DELETE FROM meta WHERE key = 'epoch'")
        connection.execute("COMMIT")
    finally:
        connection.execute("PRAGMA synchronous = NORMAL")
    return lost


def end_run(connection: sqlite3.Connection) -> None:
    """Mark the state as cleanly left: everything before this is durable."""
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("DELETE FROM meta WHERE key = 'running'")


def append_events(
    connection: sqlite3.Connection, epoch: Epoch, offset: Offset, drafts: Iterable[EventDraft], ts: str
) -> list[Event]:
    """Append to the log after `offset`, inside the open transaction; return the events as sent."""
    events: list[Event] = []
    for number, draft in enumerate(drafts, offset + 1):
        message = {
            "type": draft.type,
            "entry_id": draft.entry_id,
            "kb_name": draft.kb_name,
            "epoch": epoch,
            "offset": number,
            **draft.fields,
            "ts": ts,
        }
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        events.append(Event(Offset(number), draft.type, draft.kb_name, draft.entry_id, text))
    connection.executemany(
        "INSERT INTO event VALUES (?, ?, ?, ?, ?)",
        [(event.offset, event.type, event.kb_name, event.entry_id, event.message) for event in events],
    )
    return events


def load_events(
    connection: sqlite3.Connection,
    after: Offset,
    until: Offset,
    limit: int,
    kbs: Sequence[str] = (),
) -> list[Event]:
    """Load up to `limit` events with `after < offset <= until`, of `kbs` where any are given.

    Those of a KB that is not named any more are hidden, as all of it is.
    """
    only = " AND kb_name NOT IN (SELECT name FROM kb WHERE NOT active)"
    only += f" AND kb_name IN ({', '.join('?' * len(kbs))})" if kbs else ""
    rows = connection.execute(
        "SELECT offset, type, kb_name, entry_id, message FROM event"
        f" WHERE offset > ? AND offset <= ?{only} ORDER BY offset LIMIT ?",
        (after, until, *kbs, limit),
    )
    return [Event(*row) for row in rows]


def is_compacted(connection: sqlite3.Connection, after: Offset, until: Offset) -> bool:
    """Tell whether an event with `after < offset <= until` was superseded and is gone."""
    row = connection.execute(
        "SELECT count(*) FROM event WHERE offset > ? AND offset <= ?", (after, until)
    ).fetchone()
    return bool(row[0] < until - after)


def load_compacted(connection: sqlite3.Connection) -> Offset:
    """Load up to where the log is compacted; 0 where it is whole."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'compacted'").fetchone()
    return Offset(int(row[0])) if row else Offset(0)


def compact(connection: sqlite3.Connection, until: Offset) -> None:
    """Compact up to and including `until`; must run inside a transaction.

    Of what lies between the last compaction's end and `until`, the superseded events go; and what those
    events, or those that stay, supersede of what an earlier compaction has left. (Kafka's log compaction,
    for a log whose keys are entries.) What a later event supersedes stays until that one comes in here.
    """
    after = load_compacted(connection)
    if until <= after:
        return
    connection.execute(
        "DELETE FROM event WHERE offset <= ? AND (kb_name, entry_id) IN"
        " (SELECT kb_name, entry_id FROM event WHERE offset > ? AND offset <= ?)",
        (after, after, until),
    )
    connection.execute(
        "DELETE FROM event WHERE offset > ? AND offset <= ? AND EXISTS (SELECT 1 FROM event AS new"
        " WHERE new.kb_name = event.kb_name AND new.entry_id = event.entry_id AND new.offset > event.offset)",
        (after, until),
    )
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('compacted', ?)", (str(until),))
