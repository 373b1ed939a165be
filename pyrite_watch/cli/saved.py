"""Read a state folder without being its owner: nothing in it is changed, made or migrated."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyrite_watch.index import log, schema
from pyrite_watch.model.event import Position


@dataclass(frozen=True, slots=True)
class Saved:
    """A state as it was committed last; `position` is None before its first index is complete."""

    connection: sqlite3.Connection
    position: Position | None


@contextmanager
def open_saved(state_dir: Path) -> Iterator[Saved]:
    """Open a state's index in one read transaction.

    Raises:
        sqlite3.Error, OSError: It cannot be read, or is of another program.
    """
    path = state_dir / schema.DATABASE
    path.stat()  # SQLite says of a missing file only that it "cannot be opened"
    with closing(schema.open_reader(state_dir)) as connection:
        connection.execute("BEGIN")
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        if application != schema.APPLICATION_ID:
            raise sqlite3.DatabaseError(f"{path} is a database of another program")
        epoch = log.load_epoch(connection)
        position = Position(epoch, log.load_offset(connection)) if epoch is not None else None
        yield Saved(connection, position)
