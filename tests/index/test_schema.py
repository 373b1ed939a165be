"""How a state is opened: new, again, of a newer version, damaged, and migrated."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pyrite_watch.errors import StateDamagedError, StateFolderError, StateNewerError
from pyrite_watch.index import log, schema
from pyrite_watch.index.store import Store
from pyrite_watch.model.event import Epoch


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state that was used and left."""
    with closing(schema.open_state(tmp_path)) as connection:
        log.begin_run(connection, "boot")
        log.begin_epoch(connection, Epoch("e"))
    return tmp_path


@pytest.fixture
def second_migration(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """A version that knows a schema more; what is put into the list is raised in its middle."""
    errors: list[Exception] = []

    def add_table(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE extra (value TEXT)")
        connection.execute("UPDATE meta SET value = 'half' WHERE key = 'epoch'")
        if errors:
            raise errors[0]
        connection.execute("UPDATE meta SET value = 'e' WHERE key = 'epoch'")

    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, add_table))
    monkeypatch.setattr(schema, "SCHEMA", len(schema.MIGRATIONS))
    return errors


def test_a_fresh_state_is_ours_and_in_wal_mode(tmp_path: Path) -> None:
    """The folder is made, for its owner alone."""
    with closing(schema.open_state(tmp_path / "deep" / "state")) as connection:
        pragmas = [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("user_version", "application_id", "journal_mode", "synchronous")
        ]
    assert pragmas == [schema.SCHEMA, schema.APPLICATION_ID, "wal", 1]
    assert (tmp_path / "deep" / "state").stat().st_mode & 0o077 == 0


def test_a_state_is_opened_again_with_what_it_holds(state: Path) -> None:
    """Nothing is made anew."""
    with closing(schema.open_state(state)) as connection:
        assert log.load_epoch(connection) == "e"


def test_an_empty_file_is_a_fresh_state(tmp_path: Path) -> None:
    """What a crash at the very start leaves."""
    (tmp_path / schema.DATABASE).touch()
    with closing(schema.open_state(tmp_path)) as connection:
        assert log.load_epoch(connection) is None


def test_a_newer_state_is_refused_untouched(state: Path) -> None:
    """Byte for byte, and not a file more beside it."""
    with closing(sqlite3.connect(state / schema.DATABASE)) as connection:
        connection.execute(f"PRAGMA user_version = {schema.SCHEMA + 1}")
    before = bytes_in(state)
    with pytest.raises(StateNewerError) as caught:
        schema.open_state(state)
    assert bytes_in(state) == before
    assert (caught.value.found, caught.value.known, caught.value.exit_code) == (
        schema.SCHEMA + 1,
        schema.SCHEMA,
        4,
    )


def test_a_newer_state_that_was_killed_is_refused_untouched(state: Path) -> None:
    """Its version stands in the write-ahead log only; neither file changes."""
    with closing(sqlite3.connect(state / schema.DATABASE)) as connection:
        connection.execute(f"PRAGMA user_version = {schema.SCHEMA + 1}")
        killed = state / "killed"
        killed.mkdir()
        for name in (schema.DATABASE, f"{schema.DATABASE}-wal"):
            shutil.copy(state / name, killed)
    before = bytes_in(killed)
    with pytest.raises(StateNewerError):
        schema.open_state(killed)
    assert {name: data for name, data in bytes_in(killed).items() if not name.endswith("-shm")} == before


def test_garbage_is_damaged_and_untouched(tmp_path: Path) -> None:
    """Any file of that name that SQLite did not write."""
    (tmp_path / schema.DATABASE).write_bytes(b"garbage" * 1000)
    with pytest.raises(StateDamagedError, match="not a database") as caught:
        schema.open_state(tmp_path)
    assert bytes_in(tmp_path) == {schema.DATABASE: b"garbage" * 1000}
    assert caught.value.exit_code == 4


def test_a_truncated_state_is_damaged(state: Path) -> None:
    """The header is sound, the rest is gone."""
    path = state / schema.DATABASE
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(StateDamagedError):
        schema.open_state(state)


def test_another_programs_database_is_refused_untouched(tmp_path: Path) -> None:
    """Someone's data must not get our tables."""
    with closing(sqlite3.connect(tmp_path / schema.DATABASE)) as connection:
        connection.execute("CREATE TABLE theirs (value TEXT)")
    before = bytes_in(tmp_path)
    with pytest.raises(StateDamagedError, match="another program"):
        schema.open_state(tmp_path)
    assert bytes_in(tmp_path) == before


def test_damage_beyond_the_schema_is_a_clear_error(state: Path) -> None:
    """A bug: a bad page of a table, found only by the first statement on it, was a traceback."""
    with closing(sqlite3.connect(state / schema.DATABASE)) as connection:
        page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'meta'").fetchone()[0]
    with (state / schema.DATABASE).open("r+b") as file:
        file.seek((page - 1) * page_bytes)
        file.write(b"\xff" * page_bytes)
    with pytest.raises(StateDamagedError, match="malformed"):
        Store(state, ["a"], "boot")


def test_a_missing_table_is_damage(state: Path) -> None:
    """SQLite calls it an error of the statement; for us the state is not what it says it is."""
    with closing(sqlite3.connect(state / schema.DATABASE)) as connection:
        connection.execute("DROP TABLE event")
    with pytest.raises(StateDamagedError, match="no such table"):
        Store(state, ["a"], "boot")


def test_a_folder_that_cannot_be_made_is_not_damage(tmp_path: Path) -> None:
    """Exit 3 and the reason; a hint to move the state away would be wrong."""
    (tmp_path / "file").touch()
    with pytest.raises(StateFolderError) as caught:
        schema.open_state(tmp_path / "file" / "state")
    assert caught.value.exit_code == 3


def test_a_full_disk_is_not_damage(state: Path) -> None:
    """A bug: whatever SQLite could not do at the start was called damage."""
    with closing(sqlite3.connect(state / schema.DATABASE, isolation_level=None)) as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(sqlite3.OperationalError) as caught:
            connection.execute("INSERT INTO meta VALUES ('big', ?)", ("x" * 100_000,))
    assert isinstance(schema.state_error(state, caught.value), StateFolderError)


def test_a_migration_keeps_the_epoch(state: Path, second_migration: list[Exception]) -> None:
    """An upgrade is not a new past."""
    with closing(schema.open_state(state)) as connection:
        assert log.load_epoch(connection) == "e"
        assert connection.execute("SELECT count(*) FROM extra").fetchone() == (0,)
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.SCHEMA,)


def test_a_migration_that_fails_leaves_the_state_as_it_was(
    state: Path, second_migration: list[Exception]
) -> None:
    """And the next one begins from there."""
    second_migration.append(RuntimeError("in the middle"))
    with pytest.raises(RuntimeError, match="in the middle"):
        schema.open_state(state)
    with closing(sqlite3.connect(state / schema.DATABASE)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.SCHEMA - 1,)
        assert connection.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone() == ("e",)
        assert connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'extra'").fetchall() == []
    second_migration.clear()
    schema.open_state(state).close()


def test_a_migration_that_sqlite_rolled_back_tells_its_own_error(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk SQLite may have ended the transaction; a second rollback would hide why."""

    def end_it(connection: sqlite3.Connection) -> None:
        connection.execute("ROLLBACK")
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, end_it))
    monkeypatch.setattr(schema, "SCHEMA", len(schema.MIGRATIONS))
    with pytest.raises(RuntimeError, match="the disk is full"):
        schema.open_state(state)


def test_a_reader_cannot_write(state: Path) -> None:
    """One writer: not even by mistake."""
    with (
        closing(schema.open_reader(state)) as reader,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        reader.execute("DELETE FROM meta")
