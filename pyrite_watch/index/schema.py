"""The index's tables, how a state is opened, and how it is brought up to date.

One SQLite file holds the entries, the file states, the problems and the event log, so that one
transaction changes them together. `user_version` is the schema's number. A migration keeps the
log, the file states, the id owners and the last good versions; full text and links can be built
anew from the entries.

Not guaranteed: durability of the last transactions in a power cut (WAL, `synchronous=NORMAL`).
`log.begin_run` makes that harmless.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

from pyrite_watch.disk.links import parse_links
from pyrite_watch.errors import StateDamagedError, StateError, StateFolderError, StateNewerError
from pyrite_watch.index.entries import links_of
from pyrite_watch.index.names import names_of
from pyrite_watch.index.transaction import transaction

DATABASE = "index.sqlite"
APPLICATION_ID = 0x50795721
"""Marks the file as ours ("PyW!")."""

_TABLES_1 = """
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE kb (
    kb_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    active INTEGER NOT NULL DEFAULT 1,     -- named at the last start
    untold INTEGER NOT NULL DEFAULT 0,     -- named again, and its entries are not told yet
    indexed INTEGER NOT NULL DEFAULT 0,    -- its first pass was committed
    available INTEGER NOT NULL DEFAULT 1,
    device INTEGER,
    inode INTEGER,
    last_indexed TEXT
);

-- One row a file that has the name of an entry, whether it is one or a problem.
-- entry_id is the id that the file owns; NULL where another file owns it or it never parsed.
CREATE TABLE file (
    kb_id INTEGER NOT NULL,
    path TEXT NOT NULL,
    mtime_ns INTEGER, ctime_ns INTEGER, size INTEGER, inode INTEGER, device INTEGER,
    revision TEXT NOT NULL,
    entry_id TEXT,
    claim TEXT,
    explicit INTEGER NOT NULL,
    form TEXT NOT NULL,
    PRIMARY KEY (kb_id, path)
) WITHOUT ROWID;
CREATE UNIQUE INDEX file_owner ON file (kb_id, entry_id) WHERE entry_id IS NOT NULL;
CREATE INDEX file_waiting ON file (kb_id, claim) WHERE entry_id IS NULL;
-- Next to none: two files of one name but for its form, or a path that spells another's id.
CREATE INDEX file_waiting_derived ON file (kb_id)
    WHERE entry_id IS NULL AND claim IS NOT NULL AND NOT explicit;

-- The long ones stand last: what comes after a long body costs reading its overflow pages.
CREATE TABLE entry (
    row INTEGER PRIMARY KEY,
    kb_id INTEGER NOT NULL,
    entry_id TEXT NOT NULL,
    path TEXT NOT NULL,
    revision TEXT NOT NULL,
    title TEXT NOT NULL,
    entry_type TEXT NOT NULL,
    importance INTEGER,
    status TEXT,
    date TEXT,
    tags TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    summary TEXT,
    metadata TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE UNIQUE INDEX entry_key ON entry (kb_id, entry_id);
CREATE INDEX entry_recent ON entry (updated_at);
CREATE INDEX entry_recent_in_kb ON entry (kb_id, updated_at);

CREATE TABLE problem (
    kb_id INTEGER NOT NULL,
    scope TEXT NOT NULL,                   -- 'file', 'scan' or 'kb': who may clear it
    path TEXT NOT NULL,
    kind TEXT NOT NULL,
    message TEXT NOT NULL,
    line INTEGER,
    since TEXT NOT NULL,
    PRIMARY KEY (kb_id, scope, path, kind)
) WITHOUT ROWID;

CREATE TABLE link (
    source INTEGER NOT NULL,               -- entry.row
    position INTEGER NOT NULL,
    kb_name TEXT NOT NULL,
    target TEXT NOT NULL,
    PRIMARY KEY (source, position)
) WITHOUT ROWID;
CREATE INDEX link_target ON link (target, kb_name);

CREATE VIRTUAL TABLE entry_text USING fts5 (
    title, body, tags,
    content = 'entry', content_rowid = 'row',
    tokenize = 'unicode61 remove_diacritics 2'
);
-- Measured: a larger hash table in memory makes a first index a fifth faster (default 1 MiB).
INSERT INTO entry_text (entry_text, rank) VALUES ('hashsize', 8388608);

CREATE TABLE event (
    offset INTEGER PRIMARY KEY,
    type TEXT NOT NULL,
    kb_name TEXT NOT NULL,
    entry_id TEXT NOT NULL,
    message TEXT NOT NULL
);
"""


_TABLE = re.compile(r"^CREATE TABLE (\w+)", re.MULTILINE)
_INDEX = re.compile(r"^CREATE (?:UNIQUE )?INDEX (\w+)", re.MULTILINE)


def _create(connection: sqlite3.Connection) -> None:
    for statement in _statements(_TABLES_1):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _statements(script: str) -> list[str]:
    # executescript() would commit first; a migration must be one transaction.
    statements, part = [], ""
    for line in script.splitlines(keepends=True):
        part += line
        if sqlite3.complete_statement(part):
            statements.append(part)
            part = ""
    return statements


def _merge_text_at_rest(connection: sqlite3.Connection) -> None:
    # A merge took 60 ms in the commit of one save in 300: `upkeep.py` merges between the saves.
    connection.execute("INSERT INTO entry_text (entry_text, rank) VALUES ('automerge', 0)")


def _index_events(connection: sqlite3.Connection) -> None:
    # Compaction asks of each event whether its entry has a newer one.
    connection.execute("CREATE INDEX event_key ON event (kb_name, entry_id)")


def _mend_first_tables(connection: sqlite3.Connection) -> None:
    # The first states (up to commit 6a99eeb) had the number 1, too, but other tables: no `kb.untold`,
    # another key of `problem`, bodies before the short columns. What they hold is brought over by name.
    if "untold" not in _columns(connection, "kb"):
        for statement in _statements(_TABLES_1):
            table, index = _TABLE.search(statement), _INDEX.search(statement)
            if table is not None and table[1] in ("kb", "entry", "problem"):
                _rebuild(connection, table[1], statement)
            elif index is not None:
                connection.execute(f"DROP INDEX IF EXISTS {index[1]}")
                connection.execute(statement)
    # Before commit b0f5d3f `[[x]]` and `[[own:x]]` were two links.
    connection.execute(
        "DELETE FROM link WHERE EXISTS (SELECT 1 FROM link AS first WHERE first.source = link.source"
        " AND first.kb_name = link.kb_name AND first.target = link.target AND first.position < link.position)"
    )


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))]


def _rebuild(connection: sqlite3.Connection, table: str, create: str) -> None:
    """Give a table the columns that `create` says; its indexes go."""
    connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    connection.execute(create)
    old = _columns(connection, f"old_{table}")
    names = [name for name in _columns(connection, table) if name in old]
    # Some of the first rows may lack it; the later ones never do.
    values = ["coalesce(created_at, updated_at)" if name == "created_at" else name for name in names]
    connection.execute(
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(values)} FROM old_{table}"
    )
    connection.execute(f"DROP TABLE old_{table}")


def _name_entries_and_merge_later(connection: sqlite3.Connection) -> None:
    _name_entries(connection)
    # With `automerge` 0 a first index leaves a segment a batch, and the 16th at one level was merged with the
    # others in the commit that made it: mostly the first save, 150 ms. `upkeep.py` merges them at rest.
    connection.execute("INSERT INTO entry_text (entry_text, rank) VALUES ('crisismerge', 256)")
    # And sixteen at a time, not four: half of what merging writes.
    connection.execute("INSERT INTO entry_text (entry_text, rank) VALUES ('usermerge', 16)")


def _name_entries(connection: sqlite3.Connection) -> None:
    # Links name an entry by more than its id. Id, path and title have an index already.
    connection.execute(
        "CREATE TABLE name (kb_id INTEGER NOT NULL, name TEXT NOT NULL, rank INTEGER NOT NULL,"
        " row INTEGER NOT NULL, PRIMARY KEY (kb_id, name, rank, row)) WITHOUT ROWID"
    )
    connection.execute("CREATE INDEX name_row ON name (row)")
    entries = connection.execute("SELECT row, kb_id, entry_id, path, metadata FROM entry").fetchall()
    for row, kb_id, entry_id, path, metadata in entries:
        found = names_of(row, kb_id, entry_id, path, json.loads(metadata))
        connection.executemany("INSERT INTO name VALUES (?, ?, ?, ?)", found)


def _find_links_again(connection: sqlite3.Connection) -> None:
    # Also those that are Markdown's own.
    connection.execute("DELETE FROM link")
    for row, kb_name, path, body in connection.execute(
        "SELECT e.row, k.name, e.path, e.body FROM entry e JOIN kb k USING (kb_id)"
    ):
        links = links_of(row, kb_name, parse_links(body, path))
        connection.executemany("INSERT INTO link VALUES (?, ?, ?, ?)", links)


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    _create,
    _merge_text_at_rest,
    _index_events,
    _mend_first_tables,
    _name_entries_and_merge_later,
    _find_links_again,
)
"""`MIGRATIONS[n]` brings a state of schema n to n + 1, inside a transaction that is already open."""

SCHEMA = len(MIGRATIONS)


def open_state(state_dir: Path) -> sqlite3.Connection:
    """Open the index for its one writer, making or migrating it.

    Raises:
        StateNewerError: A newer version wrote it. Not a byte was changed.
        StateDamagedError: SQLite cannot read it, or it is not ours.
        StateFolderError: It may be sound, but cannot be opened or written now.
    """
    path = state_dir / DATABASE
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists() and path.stat().st_size:
            _check_version(path)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            _prepare_writer(connection)
            _migrate(connection)
        except BaseException:
            connection.close()
            raise
    except sqlite3.DatabaseError as error:
        raise state_error(state_dir, error) from error
    except OSError as error:
        raise StateFolderError(state_dir, error.strerror or str(error)) from error
    return connection


def is_damage(error: BaseException) -> bool:
    """Whether SQLite could not make sense of the file: no fault of ours, which would want a traceback."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    return code in (
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    )


def state_error(state_dir: Path, error: sqlite3.DatabaseError) -> StateError | StateFolderError:
    """Tell a state that is damaged from one that cannot be used now (locked, disk full, read-only)."""
    # SQLITE_ERROR is what a missing table gives: that is damage.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if isinstance(error, sqlite3.OperationalError) and code != sqlite3.SQLITE_ERROR:
        return StateFolderError(state_dir, str(error))
    return StateDamagedError(state_dir / DATABASE, str(error))


def open_reader(state_dir: Path) -> sqlite3.Connection:
    """Open a read-only connection; it may be used by one thread at a time."""
    connection = sqlite3.connect(
        f"{(state_dir / DATABASE).absolute().as_uri()}?mode=ro",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("PRAGMA query_only = 1")
    connection.execute("PRAGMA cache_size = -4096")
    return connection


def _check_version(path: Path) -> None:
    # The header first: even a read-only connection may make a -shm file beside a WAL database.
    with path.open("rb") as file:
        header = file.read(100)
    if not header.startswith(b"SQLite format 3\0"):
        raise StateDamagedError(path, "file is not a database")
    _refuse_newer(path, int.from_bytes(header[60:64], "big"))
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        _refuse_newer(path, connection.execute("PRAGMA user_version").fetchone()[0])
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    finally:
        connection.close()
    if tables and application != APPLICATION_ID:
        raise StateDamagedError(path, "it is a database of another program")


def _refuse_newer(path: Path, version: int) -> None:
    if version > SCHEMA:
        raise StateNewerError(path, version, SCHEMA)


def _prepare_writer(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    # In a first index nobody waits for a commit. After it, `upkeep.py` makes the checkpoints.
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    # 16 MiB: the upper levels of the b-trees of 100,000 entries.
    connection.execute("PRAGMA cache_size = -16384")
    connection.execute("PRAGMA temp_store = MEMORY")


def _migrate(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    for number in range(version, SCHEMA):
        with transaction(connection):
            MIGRATIONS[number](connection)
            connection.execute(f"PRAGMA user_version = {number + 1}")
