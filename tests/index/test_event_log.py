"""The event log: dense offsets, epochs that end when the tail may be lost, pages of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pyrite_watch.index import log, schema
from pyrite_watch.index.log import EventDraft
from pyrite_watch.model.event import Epoch, Event, Offset, parse_position

TS = "2026-11-22T14:02:11.482Z"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(schema.open_state(tmp_path)) as opened:
        yield opened


def append(connection: sqlite3.Connection, *kbs: str) -> list[Event]:
    """Append an event for each of these KBs."""
    drafts = [EventDraft("entry_created", kb, f"id-{kb}", {"path": "ä.md"}) for kb in kbs]
    return log.append_events(connection, Epoch("e"), log.load_offset(connection), drafts, TS)


def test_a_new_state_has_no_epoch_and_no_offset(connection: sqlite3.Connection) -> None:
    """There is no past yet."""
    assert (log.load_epoch(connection), log.load_offset(connection)) == (None, 0)


def test_epochs_are_random_and_fit_a_position() -> None:
    """At least 64 bits, in characters that a position may have."""
    epochs = {log.make_epoch() for _ in range(100)}
    assert len(epochs) == 100
    assert all(len(epoch) * 6 >= 64 and parse_position(f"{epoch}:7") for epoch in epochs)


def test_offsets_rise_by_one(connection: sqlite3.Connection) -> None:
    """From 1, over as many appends as there are."""
    offsets = [event.offset for _ in range(3) for event in append(connection, "a", "b")]
    assert offsets == [1, 2, 3, 4, 5, 6]
    assert log.load_offset(connection) == 6


def test_the_message_is_what_is_kept(connection: sqlite3.Connection) -> None:
    """Pyrite's three fields first, then ours; made once."""
    (event,) = append(connection, "a")
    assert event.message == (
        '{"type":"entry_created","entry_id":"id-a","kb_name":"a","epoch":"e","offset":1,'
        f'"path":"ä.md","ts":"{TS}"}}'
    )
    assert log.load_events(connection, Offset(0), Offset(1), 9) == [event]


def test_a_new_epoch_begins_at_0(connection: sqlite3.Connection) -> None:
    """The old one's events are gone."""
    append(connection, "a", "b")
    log.begin_epoch(connection, Epoch("f"))
    assert (log.load_epoch(connection), log.load_offset(connection)) == ("f", 0)


@pytest.mark.parametrize(
    ("first", "second", "lost"),
    [
        ("boot-1", "boot-1", False),
        ("boot-1", "boot-2", True),
        ("boot-1", None, True),
        (None, "boot-1", True),
        (None, None, True),
        ("", "", True),
    ],
)
def test_an_unclean_stop_keeps_the_epoch_only_under_the_same_boot(
    connection: sqlite3.Connection, first: str | None, second: str | None, lost: bool
) -> None:
    """A kill loses nothing; a power cut may have, and an unknown boot may be one."""
    assert not log.begin_run(connection, first)
    log.begin_epoch(connection, Epoch("e"))
    assert log.begin_run(connection, second) is lost
    assert log.load_epoch(connection) == (None if lost else "e")


@pytest.mark.parametrize("boot", ["boot-1", "boot-2", None])
def test_a_clean_stop_keeps_the_epoch(connection: sqlite3.Connection, boot: str | None) -> None:
    """Whatever boot comes next."""
    log.begin_run(connection, "boot-1")
    log.begin_epoch(connection, Epoch("e"))
    log.end_run(connection)
    assert not log.begin_run(connection, boot)
    assert log.load_epoch(connection) == "e"


def test_the_running_mark_is_committed_durably(connection: sqlite3.Connection) -> None:
    """Before the first event leaves; what follows may be NORMAL again."""
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    log.begin_run(connection, "boot-1")
    connection.set_trace_callback(None)
    order = [statement.split(" ")[0] for statement in statements if not statement.startswith("SELECT")]
    assert order == ["PRAGMA", "BEGIN", "INSERT", "COMMIT", "PRAGMA"]
    assert [statement[-4:] for statement in statements if statement.startswith("PRAGMA")] == ["FULL", "RMAL"]


def test_a_clean_stop_is_durable(connection: sqlite3.Connection) -> None:
    """All before the mark's end is on the disk with it."""
    log.begin_run(connection, "boot-1")
    log.end_run(connection)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("SELECT * FROM meta WHERE key = 'running'").fetchall() == []


def test_a_page_is_what_lies_between_two_offsets(connection: sqlite3.Connection) -> None:
    """After the one, up to and including the other, at most so many."""
    append(connection, *"abcabc")

    def offsets(after: int, until: int, limit: int = 9) -> list[int]:
        return [event.offset for event in log.load_events(connection, Offset(after), Offset(until), limit)]

    assert offsets(0, 6) == [1, 2, 3, 4, 5, 6]
    assert offsets(2, 4) == [3, 4]
    assert offsets(2, 6, 3) == [3, 4, 5]
    assert offsets(6, 6) == offsets(7, 3) == []


def test_a_page_may_be_of_some_kbs(connection: sqlite3.Connection) -> None:
    """The limit counts what is given."""
    append(connection, *"abcabc")
    events = log.load_events(connection, Offset(0), Offset(6), 3, ["a", "c", "none"])
    assert [(event.offset, event.kb_name) for event in events] == [(1, "a"), (3, "c"), (4, "a")]


def test_a_page_with_a_hole_is_compacted(connection: sqlite3.Connection) -> None:
    """Where a superseded event is gone between the two offsets, and only there."""
    append(connection, *"abcdef")
    connection.execute("DELETE FROM event WHERE offset = 3")
    found = [
        log.is_compacted(connection, Offset(after), Offset(until))
        for after, until in ((0, 6), (2, 3), (2, 6), (0, 2), (3, 6), (6, 6), (6, 2))
    ]
    assert found == [True, True, True, False, False, False, False]


def test_messages_are_json(connection: sqlite3.Connection) -> None:
    """Whatever is in a path or an id."""
    draft = EventDraft("entry_created", "a", 'q"\u2028\n', {"path": "\U0001f4a9\\"})
    (event,) = log.append_events(connection, Epoch("e"), Offset(0), [draft], TS)
    assert json.loads(event.message)["entry_id"] == 'q"\u2028\n'
    assert "\n" not in event.message
