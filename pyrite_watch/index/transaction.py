"""BEGIN IMMEDIATE … COMMIT, or ROLLBACK where an error leaves the block."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what the block does, all of it or nothing.

    Raises:
        sqlite3.Error: It could not begin, or could not be committed; nothing has changed.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite may have rolled back by itself (disk full): a second one would be an error.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
