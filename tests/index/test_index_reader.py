"""Snapshots: the index as it was at one position, whatever is committed meanwhile."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from index_builders import Json, change, explicit, replay, state_of

from pyrite_watch.index import log
from pyrite_watch.index.reader import MAX_IDLE_CONNECTIONS, Reader, Snapshot
from pyrite_watch.index.store import Store
from pyrite_watch.model.event import Epoch, Offset


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path, ["a"], "boot")) as opened:
        opened.name_kbs()
        yield opened


@pytest.fixture
def reader(store: Store) -> Iterator[Reader]:
    with closing(Reader(store.state_dir, lambda: store.position.epoch)) as opened:
        yield opened


def heard(snapshot: Snapshot) -> list[Json]:
    """All events that the snapshot has, as messages."""
    events = log.load_events(snapshot.connection, Offset(0), Offset(2**40), 10**6)
    assert len(events) == snapshot.position.offset
    return [json.loads(event.message) for event in events]


def test_a_snapshot_is_at_the_stores_position(store: Store, reader: Reader) -> None:
    """After each commit the next one has it."""
    store.complete_first_pass(["a"])
    for number in range(3):
        change(store, "a", {f"{number}.md": "text"})
        with reader.snapshot() as snapshot:
            assert snapshot.position == store.position
            assert len(state_of(snapshot.connection)) == number + 1


def test_a_snapshot_stays_what_it_was(store: Store, reader: Reader) -> None:
    """Position, state and log, while the writer commits."""
    store.complete_first_pass(["a"])
    change(store, "a", {"x.md": explicit("x")})
    with reader.snapshot() as snapshot:
        before = (snapshot.position, state_of(snapshot.connection), heard(snapshot))
        change(store, "a", {"x.md": None, "y.md": explicit("y")})
        assert (snapshot.position, state_of(snapshot.connection), heard(snapshot)) == before
    with reader.snapshot() as snapshot:
        assert state_of(snapshot.connection).keys() == {("a", "y")}


def test_the_position_is_taken_with_the_data_not_before(store: Store, reader: Reader) -> None:
    """A commit just as the snapshot opens is either in both or in neither."""
    store.complete_first_pass(["a"])
    with reader.snapshot():
        pass  # there is an idle connection now
    connection = reader._idle.get_nowait()
    seen: list[str] = []

    def commit_once(statement: str) -> None:
        if not seen:
            seen.append(statement)
            change(store, "a", {"x.md": explicit("x")})

    connection.set_trace_callback(commit_once)
    reader._idle.put_nowait(connection)
    with reader.snapshot() as snapshot:
        connection.set_trace_callback(None)
        assert replay({}, heard(snapshot)) == state_of(snapshot.connection)


def test_snapshots_are_consistent_while_a_thread_writes(store: Store, reader: Reader) -> None:
    """In every one the events up to its position lead to its state."""
    store.complete_first_pass(["a"])
    positions = []
    done = threading.Event()

    def write() -> None:
        try:
            for number in range(60):
                change(store, "a", {"x.md": explicit("x", f"{number}"), f"{number % 5}.md": f"text {number}"})
        finally:
            done.set()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        last = False
        while not last:
            last = done.is_set()
            with reader.snapshot() as snapshot:
                positions.append(snapshot.position.offset)
                assert replay({}, heard(snapshot)) == state_of(snapshot.connection)
        writing.result()
    assert positions == sorted(positions)
    assert positions[-1] == store.position.offset


def test_before_the_epoch_the_position_is_the_passing_one(store: Store, reader: Reader) -> None:
    """Whoever reads a half-built index must load it again later."""
    change(store, "a", {"x.md": explicit("x")})
    with reader.snapshot() as snapshot:
        assert snapshot.position == store.position
    store.complete_first_pass(["a"])
    with reader.snapshot() as later:
        assert later.position.epoch != snapshot.position.epoch


def test_a_void_logs_events_do_not_give_the_position(store: Store, reader: Reader) -> None:
    """The log's tail was lost: its old offsets belong to no epoch."""
    store.complete_first_pass(["a"])
    change(store, "a", {"x.md": explicit("x")})
    store.connection.execute("DELETE FROM meta WHERE key = 'epoch'")
    with reader.snapshot() as snapshot:
        assert snapshot.position.offset == 0


def test_a_new_epoch_does_not_name_an_older_snapshot(store: Store) -> None:
    """A bug: an epoch that began between the snapshot and the question named a half-built index."""
    change(store, "a", {"x.md": explicit("x")})

    def passing_epoch() -> Epoch:
        # As if the reading thread had been held up just here, and the first index finished meanwhile.
        change(store, "a", {"y.md": explicit("y")})
        store.complete_first_pass(["a"])
        return store.position.epoch

    with closing(Reader(store.state_dir, passing_epoch)) as reader, reader.snapshot() as snapshot:
        assert snapshot.position == store.position
        assert state_of(snapshot.connection) == state_of(store.connection)


def test_a_snapshot_ends_with_its_block(store: Store, reader: Reader) -> None:
    """Also by an error: an open read transaction would keep the log file growing."""
    with pytest.raises(RuntimeError), reader.snapshot() as snapshot:
        raise RuntimeError
    assert not snapshot.connection.in_transaction
    with reader.snapshot() as again:
        assert again.connection is snapshot.connection


def test_connections_are_kept_up_to_a_limit(reader: Reader) -> None:
    """Those beyond close when they are given back."""
    open_snapshots = [reader.snapshot() for _ in range(MAX_IDLE_CONNECTIONS + 2)]
    connections = [snapshot.__enter__().connection for snapshot in open_snapshots]
    for snapshot in open_snapshots:
        snapshot.__exit__(None, None, None)
    assert [is_closed(connection) for connection in connections] == [False] * MAX_IDLE_CONNECTIONS + [
        True
    ] * 2


def test_a_closed_reader_keeps_no_connection(reader: Reader) -> None:
    """Neither the idle ones nor the one that is given back later."""
    with reader.snapshot():
        pass
    with reader.snapshot() as one, reader.snapshot() as other:
        reader.close()
    assert is_closed(one.connection)
    assert is_closed(other.connection)


def is_closed(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return True
    return False
