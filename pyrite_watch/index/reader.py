"""Read the index: snapshots for HTTP, each one read transaction with its position."""

from __future__ import annotations

import queue
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyrite_watch.index import log, schema
from pyrite_watch.model.event import Epoch, Offset, Position

MAX_IDLE_CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The index as it was at one position."""

    connection: sqlite3.Connection
    position: Position


class Reader:
    """Read-only connections to the index, for any thread; a snapshot is for one thread at a time.

    Args:
        passing_epoch: Gives the epoch's name as long as the state has none of its own.
    """

    def __init__(self, state_dir: Path, passing_epoch: Callable[[], Epoch]) -> None:
        self._state_dir = state_dir
        self._passing_epoch = passing_epoch
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue(MAX_IDLE_CONNECTIONS)
        self._closed = False

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Open a read transaction; keep it short, and never open across a send."""
        # Asked first: an epoch that begins meanwhile must not name an older snapshot.
        passing_epoch = self._passing_epoch()
        connection = self._take()
        try:
            connection.execute("BEGIN")
            try:
                epoch = log.load_epoch(connection)
                position = (
                    Position(epoch, log.load_offset(connection))
                    if epoch is not None
                    else Position(passing_epoch, Offset(0))
                )
                yield Snapshot(connection, position)
            finally:
                connection.execute("ROLLBACK")
        finally:
            self._give_back(connection)

    def close(self) -> None:
        """Close the idle connections; those in use close when they are given back."""
        self._closed = True
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return

    def _take(self) -> sqlite3.Connection:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return schema.open_reader(self._state_dir)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        try:
            self._idle.put_nowait(connection)
        except queue.Full:
            connection.close()
        # Asked after, not before: it may be closed in between, and would keep this one for ever.
        if self._closed:
            self.close()
