"""States that were made by the code of earlier commits, opened with today's.

`states/*.sql` are dumps of real ones: `pyrite watch` of that commit indexed `state_files.FIRST` and a second
knowledge base, was stopped, and watched only the first while `THEN`, `GONE` and `LAST` happened. The text
index's own tables are in them as SQLite had them.

- `schema_1_early`: commits a1df56e to 6a99eeb, number 1, but other tables than those of that number later.
- `schema_1`: 04b687f to 9ce96c7. `schema_2`: c5d07bc to 00d217c. `schema_3`: 0b97d84.
- `schema_4`: 8d043bc to 4dc7cab. `schema_5`: 1e90a40 to e77f9aa.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness.api import Api
from harness.process import WatchProcess
from harness.reader import revision_of
from harness.record import Json, only_entry_events, only_events
from harness.socket import Tab
from state_files import NOW, OTHER

from pyrite_watch.index import links, schema, search
from pyrite_watch.index.store import Store

STATES = sorted((Path(__file__).parent / "states").glob("*.sql"))

every_state = pytest.mark.parametrize("dump", STATES, ids=lambda dump: dump.stem)

WORDS = {
    "marzipan": {"shared"},
    "quinces": {"note"},
    "rhubarb": {"bad"},
    "jam": {"bad"},
    "cloudberries": {"edited"},
    "sloes": {"made"},
    "second": {"a-note"},
    "gooseberries": set(),
    "elderberries": set(),
    "soon": set(),
    "claimant": set(),
}
"""Who has a word now; the ones without held it once."""


def restore(dump: Path, state_dir: Path) -> Path:
    """Make the state anew."""
    state_dir.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(state_dir / schema.DATABASE)) as connection:
        connection.executescript(dump.read_text(encoding="utf-8"))
    return state_dir


def rows(connection: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    """All rows by the names of their columns, in an order that no schema gives."""
    cursor = connection.execute(f"SELECT * FROM {table}")
    names = [column[0] for column in cursor.description]
    return in_order(dict(zip(names, row, strict=True)) for row in cursor)


def in_order(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sort rows by what they hold."""
    return sorted(found, key=lambda row: sorted(map(repr, row.items())))


def held(state_dir: Path) -> dict[str, list[dict[str, Any]]]:
    """What must not be lost."""
    with closing(sqlite3.connect(state_dir / schema.DATABASE)) as connection:
        tables = ("meta", "kb", "file", "entry", "problem", "event")
        return {table: rows(connection, table) for table in tables}


def shape(connection: sqlite3.Connection) -> set[tuple[str, str, str]]:
    """Every table and index, as it was made."""
    made = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {(kind, name, re.sub(r'"', "", sql)) for kind, name, sql in made}


@contextmanager
def opened(state_dir: Path) -> Iterator[Store]:
    """Open it as today's code does."""
    store = Store(state_dir, ["notes"], "boot")
    with closing(store):
        yield store


def test_every_earlier_schema_has_its_state() -> None:
    """A schema that is left behind leaves a state here."""
    numbers = set()
    for dump in STATES:
        found = re.search(r"^PRAGMA user_version = (\d+);", dump.read_text(encoding="utf-8"), re.MULTILINE)
        assert found is not None
        numbers.add(int(found[1]))
    assert numbers == set(range(1, schema.SCHEMA))


@every_state
def test_the_log_the_files_and_the_owners_are_kept(tmp_path: Path, dump: Path) -> None:
    """Each row of each table has every value that it had, in the same epoch at the same offset."""
    restore(dump, tmp_path)
    before = held(tmp_path)
    assert len(before["event"]) == 12
    with opened(tmp_path) as store:
        epoch = next(row["value"] for row in before["meta"] if row["key"] == "epoch")
        assert (store.position.epoch, store.position.offset, store.has_epoch) == (epoch, 12, True)
    after = held(tmp_path)
    for row in before["kb"]:
        row.setdefault("untold", 0)  # the earliest ones told of every KB
    for table in before:
        assert in_order(after[table]) == in_order(before[table]), table


@every_state
def test_the_tables_are_those_of_a_fresh_state(tmp_path: Path, dump: Path) -> None:
    """Column by column and index by index, so that no query works in one of them only."""
    restore(dump, tmp_path / "old")
    with (
        closing(schema.open_state(tmp_path / "old")) as old,
        closing(schema.open_state(tmp_path / "fresh")) as fresh,
    ):
        assert shape(old) == shape(fresh)
        assert rows(old, "entry_text_config") == rows(fresh, "entry_text_config")
        assert old.execute("PRAGMA user_version").fetchone() == (schema.SCHEMA,)
        assert old.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@every_state
def test_the_full_text_and_the_links_are_right(tmp_path: Path, dump: Path) -> None:
    """Every word finds the entries that have it now, and a link that is written twice is one."""
    restore(dump, tmp_path)
    with opened(tmp_path) as store:
        found = {
            word: {row["id"] for row in search.load_hits(store.connection, word, None, 20)} for word in WORDS
        }
        assert found == WORDS
        # 1: the tokens are compared with the entries' own text.
        store.connection.execute("INSERT INTO entry_text (entry_text, rank) VALUES ('integrity-check', 1)")
        by_stem = links.resolve(store.connection, "notes", "owner")
        assert by_stem is not None
        assert by_stem.entry_id == "shared"
        written = store.connection.execute(
            "SELECT l.kb_name, l.target FROM link l JOIN entry e ON e.row = l.source"
            " WHERE e.entry_id = 'links' ORDER BY l.position"
        )
        assert written.fetchall() == [("notes", "shared"), ("notes", "note"), ("notes", "bad")]


@every_state
def test_links_that_are_markdowns_own_are_found_in_what_is_stored(tmp_path: Path, dump: Path) -> None:
    """Before schema 6 only wikilinks counted."""
    restore(dump, tmp_path)
    with closing(sqlite3.connect(tmp_path / schema.DATABASE)) as connection, connection:
        connection.execute("UPDATE entry SET body = '[n](m/note.md) [[bad]]' WHERE entry_id = 'links'")
    with closing(schema.open_state(tmp_path)) as connection:
        written = connection.execute(
            "SELECT l.kb_name, l.target FROM link l JOIN entry e ON e.row = l.source"
            " WHERE e.entry_id = 'links' ORDER BY l.position"
        )
        assert written.fetchall() == [("notes", "/m/note.md"), ("notes", "bad")]


@every_state
def test_the_watch_goes_on_where_the_earlier_one_stopped(tmp_path: Path, dump: Path) -> None:
    """A reader of then resumes, hears what it missed and what happened since, and owners stay owners."""
    state_dir = restore(dump, tmp_path / "state")
    before = held(state_dir)
    epoch = next(row["value"] for row in before["meta"] if row["key"] == "epoch")
    roots = []
    for name, texts in (("notes", NOW), ("other", OTHER)):
        roots.append(tmp_path / name)
        for path, text in {**texts, "kb.yaml": f"name: {name}\n"}.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_bytes(text.encode())
    (tmp_path / "notes" / "made.md").write_bytes(b"---\nid: made\n---\nChanged since.\n")
    with WatchProcess(*roots, home=tmp_path, state_dir=state_dir) as watch:
        with Tab(watch.url, since=f"{epoch}:0") as tab:
            ready = tab.wait_type("ready")
            messages = tab.messages.since()
        told = only_events(messages[: messages.index(ready)])
        assert [event["offset"] for event in told] == list(range(1, len(told) + 1))
        logged = [row["message"] for row in sorted(before["event"], key=lambda row: int(row["offset"]))]
        assert list(map(as_text, told[:12])) == logged
        since = [
            (event["type"], event["entry_id"], event["origin"]) for event in only_entry_events(told[12:])
        ]
        # `other` was not named the last time: whoever loaded the state then did not see it.
        assert sorted(since) == [
            ("entry_created", "kept", "sweep"),
            ("entry_updated", "made", "sweep"),
        ]
        api = Api(watch.url)
        state = api.state().of("notes")
        assert state["shared"] == ("z/owner.md", revision_of(NOW["z/owner.md"].encode()))
        assert state["note"][0] == "m/note.md"
        assert state["a-note"][0] == "a-note.md"
        assert "rhubarb" in api.entry("notes", "bad")["body"]
        assert {(problem["path"], problem["kind"]) for problem in api.problems()} == {
            ("a-claimant.md", "duplicate_id"),
            ("bad.md", "yaml"),
        }
        # The owner goes, and the one that waited takes over.
        (tmp_path / "notes" / "z" / "owner.md").unlink()
        heir = watch.wait_for(lambda event: event.get("entry_id") == "shared")
        assert (heir["type"], heir["path"], heir["previous_path"]) == (
            "entry_updated",
            "a-claimant.md",
            "z/owner.md",
        )
        assert watch.stop() == 0


def as_text(event: Json) -> str:
    """Write an event as the log does."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))
