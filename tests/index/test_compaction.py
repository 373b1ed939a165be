"""The compacted log: fewer events, the same state, from every position and with every filter."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrite_watch.index import log, schema
from pyrite_watch.index.log import EventDraft
from pyrite_watch.index.transaction import transaction
from pyrite_watch.index.upkeep import Upkeep
from pyrite_watch.model.event import Epoch, Event, Offset

EPOCH = Epoch("k3f9")

State = dict[tuple[str, str], str]


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A state; each example begins a new epoch in it."""
    with closing(schema.open_state(tmp_path_factory.mktemp("state"))) as opened:
        yield opened


def begin(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        log.begin_epoch(connection, EPOCH)


def append(connection: sqlite3.Connection, drafts: Sequence[EventDraft]) -> list[Event]:
    with transaction(connection):
        return log.append_events(connection, EPOCH, log.load_offset(connection), drafts, "now")


def draft(kind: str, kb_name: str, entry_id: str) -> EventDraft:
    return EventDraft(kind, kb_name, entry_id, {})


def all_events(connection: sqlite3.Connection, after: int = 0, kbs: Sequence[str] = ()) -> list[Event]:
    return log.load_events(connection, Offset(after), log.load_offset(connection), 10_000, kbs)


def apply_to(state: State, events: Sequence[Event]) -> State:
    """What a reader does that treats created and updated alike, and unknown deletions as nothing."""
    state = dict(state)
    for event in events:
        key = (event.kb_name, event.entry_id)
        if event.type == "entry_deleted":
            state.pop(key, None)
        else:
            state[key] = event.type.replace("created", "updated") + str(json.loads(event.message)["offset"])
    return state


def drafts() -> st.SearchStrategy[list[EventDraft]]:
    """Events over a few entries of two KBs, so that most are superseded."""
    entries = st.builds(
        draft,
        st.sampled_from(["entry_created", "entry_updated", "entry_deleted"]),
        st.sampled_from("ab"),
        st.sampled_from("xyz"),
    )
    return st.lists(
        st.one_of(entries, st.builds(draft, st.just("kb_synced"), st.sampled_from("ab"), st.just(""))),
        max_size=12,
    )


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(drafts(), st.integers(0, 60)), min_size=1, max_size=6), st.sampled_from(["", "a", "b"])
)
def test_a_resume_ends_in_the_same_state_from_every_position(
    connection: sqlite3.Connection, rounds: list[tuple[list[EventDraft], int]], kb: str
) -> None:
    """Against the log that was never compacted, whenever and how far compaction went."""
    begin(connection)
    whole: list[Event] = []
    for added, until in rounds:
        whole += append(connection, added)
        with transaction(connection):
            log.compact(connection, Offset(min(until, len(whole))))
    kbs = [kb] if kb else []
    wanted = [event for event in whole if not kbs or event.kb_name in kbs]
    final = apply_to({}, wanted)
    kept = all_events(connection)
    assert [event for event in whole if event in kept] == kept
    assert log.load_offset(connection) == len(whole)
    newest = {(event.kb_name, event.entry_id): event for event in whole}
    assert set(newest.values()) <= set(kept)
    for position in range(len(whole) + 1):
        at_position = apply_to({}, [event for event in wanted if event.offset <= position])
        assert apply_to(at_position, all_events(connection, position, kbs)) == final


@settings(max_examples=200, deadline=None)
@given(st.lists(drafts(), min_size=1, max_size=8), st.integers(0, 10))
def test_upkeep_keeps_the_retention_whole_and_little_else(
    connection: sqlite3.Connection, rounds: list[list[EventDraft]], retention: int
) -> None:
    """Nothing within the retention goes; below it, no entry has more than one event."""
    begin(connection)
    upkeep = Upkeep(connection, retention)
    upkeep.note_offset(Offset(0))
    count = 0
    for added in rounds:
        count += len(append(connection, added))
        upkeep.note_offset(Offset(count))
        while upkeep.is_owed():
            upkeep.step()
    offsets = [event.offset for event in all_events(connection)]
    assert set(range(max(0, count - retention) + 1, count + 1)) <= set(offsets)
    below = [(e.kb_name, e.entry_id) for e in all_events(connection) if e.offset <= count - retention]
    assert len(below) - len(set(below)) <= retention // 10


def test_a_reader_is_told_that_the_log_was_compacted(connection: sqlite3.Connection) -> None:
    """Only where it matters to it: not from a position after the gap."""
    begin(connection)
    append(connection, [draft("entry_updated", "a", "x")] * 5)
    with transaction(connection):
        log.compact(connection, Offset(3))
    assert [event.offset for event in all_events(connection)] == [4, 5]
    assert log.is_compacted(connection, Offset(2), Offset(5))
    assert not log.is_compacted(connection, Offset(3), Offset(5))


def test_compacting_goes_on_where_it_ended_also_after_a_restart(tmp_path: Path) -> None:
    """How far it went is in the state; a new epoch begins anew."""
    with closing(schema.open_state(tmp_path)) as connection:
        begin(connection)
        append(connection, [draft("entry_updated", "a", "x")] * 50)
        upkeep = Upkeep(connection, 20)
        while upkeep.is_owed():
            upkeep.step()
    with closing(schema.open_state(tmp_path)) as connection:
        assert log.load_compacted(connection) == 30
        assert not Upkeep(connection, 20).is_owed()
        begin(connection)
        assert log.load_compacted(connection) == 0


def test_a_long_log_is_compacted_in_small_steps(connection: sqlite3.Connection) -> None:
    """Between two of them a save can come in; the text's merging is not begun anew for it."""
    begin(connection)
    count = len(append(connection, [draft("entry_updated", "a", "x")] * 3000))
    upkeep = Upkeep(connection, 1000)
    upkeep.note_offset(Offset(count))
    sizes = [count]
    while upkeep.is_owed():
        upkeep.step()
        sizes.append(len(all_events(connection)))
    assert list(dict.fromkeys(sizes)) == [3000, 2500, 2000, 1500, 1000]


def test_a_superseded_survivor_goes_when_what_supersedes_it_is_compacted(
    connection: sqlite3.Connection,
) -> None:
    """A log of one entry does not grow for ever by what each compaction left."""
    begin(connection)
    for number in range(1, 11):
        append(connection, [draft("entry_updated", "a", "x")])
        with transaction(connection):
            log.compact(connection, Offset(number))
    assert [event.offset for event in all_events(connection)] == [10]
