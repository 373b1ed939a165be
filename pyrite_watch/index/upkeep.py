"""What SQLite would do in the middle of somebody's save, done when nothing else is to be done.

A commit may bring a thousand pages of the write-ahead log into the database's file (20 ms), and may
merge segments of the full text (60 ms, seen in one of 300 saves). Neither is owed at once: a log may be
longer for a while, and a search reads a few segments more. So both are put off (`wal_autocheckpoint`,
FTS5's `automerge`), and made here in steps of a few milliseconds. So is the compaction of the event log.

One thread uses an upkeep: the index's writer.
"""

from __future__ import annotations

import sqlite3

from pyrite_watch.index import log
from pyrite_watch.index.transaction import transaction
from pyrite_watch.model.event import Offset

MERGE_PAGES = 16
"""Pages that one merging step writes: about 1 ms, then the inbox is asked again."""

CHECKPOINT_CHANGES = 1_500
"""Changed rows after which a checkpoint no longer waits for a long rest: about a hundred saves."""

COMPACT_EVENTS = 500
"""Events that one step of the log's compaction looks at."""


class Upkeep:
    """Keeps count of what is put off, and does a step of it when asked.

    Args:
        retention: How many of the newest events are never compacted.
    """

    def __init__(self, connection: sqlite3.Connection, retention: int) -> None:
        self._connection = connection
        self._retention = retention
        self._checkpointed_at = self._merged_at = connection.total_changes
        self._compacted = log.load_compacted(connection)
        self._head = log.load_offset(connection)

    def note_offset(self, offset: Offset) -> None:
        """Take note of the log's newest offset; a lower one than before is that of a new epoch."""
        if offset < self._head:
            self._compacted = Offset(0)
        self._head = offset

    def is_owed(self) -> bool:
        """Whether a short rest is reason enough for a step."""
        changes = self._connection.total_changes
        return (
            changes != self._merged_at
            or changes - self._checkpointed_at >= CHECKPOINT_CHANGES
            or self._is_over_retention()
        )

    def _is_over_retention(self) -> bool:
        # Not for each event that falls out: a step costs a transaction.
        over = self._head - self._retention - self._compacted
        return over > min(COMPACT_EVENTS, self._retention // 10)

    def step(self) -> None:
        """Merge a little, or compact a little, or make the checkpoint that many changes ask for."""
        changes = self._connection.total_changes
        if changes == self._merged_at:
            if self._is_over_retention():
                self._compact()
                return
            if changes - self._checkpointed_at >= CHECKPOINT_CHANGES:
                self.checkpoint()
            return
        self._connection.execute(
            "INSERT INTO entry_text (entry_text, rank) VALUES ('merge', ?)", (MERGE_PAGES,)
        )
        # FTS5's own way to say that nothing is left: fewer than two changes (sqlite.org/fts5.html, 6.8).
        if self._connection.total_changes - changes < 2:
            self._merged_at = self._connection.total_changes

    def _compact(self) -> None:
        until = Offset(min(self._head - self._retention, self._compacted + COMPACT_EVENTS))
        untouched = self._connection.total_changes == self._merged_at
        with transaction(self._connection):
            log.compact(self._connection, until)
        self._compacted = until
        if untouched:
            # No text among these changes.
            self._merged_at = self._connection.total_changes

    def checkpoint(self) -> None:
        """Bring what was committed into the database's file, if it was not done since."""
        if self._connection.total_changes != self._checkpointed_at:
            self._checkpointed_at = self._connection.total_changes
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
