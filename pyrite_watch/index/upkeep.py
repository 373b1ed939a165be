"""What SQLite would do in the middle of somebody's save, done when nothing else is to be done.

A commit may bring a thousand pages of the write-ahead log into the database's file (20 ms), and may
merge segments of the full text (60 ms, seen in one of 300 saves). Neither is owed at once: a log may be
longer for a while, and a search reads a few segments more. So both are put off (`wal_autocheckpoint`, and
FTS5's `automerge` and `crisismerge`), and made here in steps of a few milliseconds. So is the compaction
of the event log.

One thread uses an upkeep: the index's writer. Checkpoints are made in a thread of the upkeep's own.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

from pyrite_watch.index import log
from pyrite_watch.index.transaction import transaction
from pyrite_watch.model.event import Offset

logger = logging.getLogger(__name__)

MERGE_PAGES = 4
"""Pages that one merging step writes: about 1 ms, then the inbox is asked again."""

CHECKPOINT_CHANGES = 12_000
"""Changed rows after which a checkpoint no longer waits for a long rest: a log of 20 to 60 MiB. Rare, as each
keeps the disk busy for a while: measured, a save that wrote meanwhile waited up to 130 ms."""

MAX_LOG_PAGES = 32_000
"""Where a commit makes a checkpoint by itself after all (128 MiB): for who never rests."""

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
        self._path: str = connection.execute("PRAGMA database_list").fetchone()[2]
        self._thread = ThreadPoolExecutor(1, "pyrite-checkpoint")
        self._checkpoint: Future[bool] | None = None

    def begin(self) -> None:
        """Take the checkpoints over: from now on somebody waits for a commit.

        Before, in a first index, a commit makes them (`schema.py`), else the log would grow without end; and
        what is left of them would be made in the first save.
        """
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        self._checkpointed_at = self._connection.total_changes
        self._connection.execute(f"PRAGMA wal_autocheckpoint = {MAX_LOG_PAGES}")
        self._begin_log()

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
            or (self._checkpoint is not None and self._checkpoint.done())
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
            else:
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
        """Have what was committed brought into the database's file, if it was not done since.

        In a thread and by a connection of its own: it takes 20 to 70 ms, and a save need not wait for it.
        """
        if self._checkpoint is not None:
            if self._checkpoint.done():
                is_whole, self._checkpoint = self._checkpoint.result(), None
                if is_whole:
                    self._begin_log()
        elif self._connection.total_changes != self._checkpointed_at:
            self._checkpointed_at = self._connection.total_changes
            self._checkpoint = self._thread.submit(_make_checkpoint, self._path)

    def finish(self) -> None:
        """Wait for a checkpoint that is under way, before the connection is closed; none is made after it."""
        self._thread.shutdown()

    def _begin_log(self) -> None:
        """Commit something: the first commit after a checkpoint begins the write-ahead log anew.

        That waits for the disk with the log's header (13 ms): rather here than in a save. SQLite writes
        no page whose bytes stay, hence the time.
        """
        before = self._connection.total_changes
        with transaction(self._connection):
            self._connection.execute(
                "INSERT OR REPLACE INTO meta VALUES ('checkpoint', ?)", (str(time.time_ns()),)
            )
        own = self._connection.total_changes - before
        self._checkpointed_at += own
        self._merged_at += own


def _make_checkpoint(path: str) -> bool:
    """Make a checkpoint that waits for nobody; whether it brought over all that there is."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            _, pages, done = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error as error:
        # The log goes on growing; where there is no room for that either, a commit says so.
        logger.warning("No checkpoint can be made now (%s).", error)
        return False
    return bool(pages == done)
