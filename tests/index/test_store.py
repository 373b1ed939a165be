"""The one writer: one transaction, then the events; and exactly the fields that the interface names."""

from __future__ import annotations

import json
import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_builders import (
    BAD,
    change,
    check_text,
    dump,
    explicit,
    messages,
    on_disk,
    plan_texts,
    replay,
    state_of,
    titled,
    told,
)

from pyrite_watch.disk.parse import revision_of
from pyrite_watch.index import files, log, queries, schema
from pyrite_watch.index.store import Availability, Batch, Store, SyncCounts
from pyrite_watch.model.entry import Problem
from pyrite_watch.model.event import Event, Offset, Position

TS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def open_store(state_dir: Path, *kbs: str) -> Store:
    store = Store(state_dir, kbs or ("a", "b"), "boot")
    store.name_kbs()
    return store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Two indexed KBs, a and b, in an epoch without events."""
    with closing(open_store(tmp_path)) as opened:
        opened.complete_first_pass(["a", "b"])
        yield opened


def rev(text: str) -> str:
    return revision_of(text.encode())


class FailingConnection:
    """A connection of which the n-th statement fails, counted from 1."""

    def __init__(self, connection: sqlite3.Connection, number: int) -> None:
        self._connection = connection
        self.left = number

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise sqlite3.OperationalError("database or disk is full")

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        self._count()
        return self._connection.execute(*arguments)

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        self._count()
        return self._connection.executemany(*arguments)


# -- the fields of events ---------------------------------------------------------------------


def test_a_created_event_has_exactly_its_fields(store: Store) -> None:
    """Pyrite's three, position, path, revision, origin, and the time of the commit."""
    created, _ = messages(change(store, "a", {"d/x.md": explicit("x")}))
    assert TS.fullmatch(created.pop("ts"))
    assert created == {
        "type": "entry_created",
        "entry_id": "x",
        "kb_name": "a",
        "epoch": store.position.epoch,
        "offset": 1,
        "path": "d/x.md",
        "revision": rev(explicit("x")),
        "origin": "disk",
    }


def test_an_update_in_place_names_no_previous_path(store: Store) -> None:
    """`previous_path` is there only where the path changed."""
    change(store, "a", {"x.md": explicit("x")})
    updated, _ = messages(change(store, "a", {"x.md": explicit("x", "2")}))
    assert (updated["type"], updated["revision"]) == ("entry_updated", rev(explicit("x", "2")))
    assert not {"previous_path", "moved_from", "moved_to"} & updated.keys()


def test_a_rename_is_one_update_with_its_previous_path(store: Store) -> None:
    """The path is the new one."""
    change(store, "a", {"x.md": explicit("x")})
    applied = change(store, "a", {"x.md": None, "n/y.md": explicit("x")})
    updated, synced = messages(applied)
    assert (updated["type"], updated["path"], updated["previous_path"]) == (
        "entry_updated",
        "n/y.md",
        "x.md",
    )
    assert (synced["added"], synced["updated"], synced["removed"]) == (0, 1, 0)


def test_a_deletion_has_its_old_path_and_no_revision(store: Store) -> None:
    """`revision` is null."""
    change(store, "a", {"x.md": explicit("x")})
    deleted, _ = messages(change(store, "a", {"x.md": None}))
    assert (deleted["type"], deleted["path"], deleted["revision"]) == ("entry_deleted", "x.md", None)
    assert "moved_to" not in deleted


def test_a_move_to_another_kb_names_both_ends(store: Store) -> None:
    """In one batch, each in its KB."""
    change(store, "a", {"x.md": explicit("x")})
    plans = [plan_texts(store, "a", {"x.md": None}), plan_texts(store, "b", {"x.md": explicit("x")})]
    applied = store.apply(Batch(plans))
    deleted, _, created, _ = messages(applied)
    assert deleted["moved_to"] == {"kb_name": "b", "entry_id": "x"}
    assert created["moved_from"] == {"kb_name": "a", "entry_id": "x"}
    assert [event["kb_name"] for event in messages(applied)] == ["a", "a", "b", "b"]


def test_kb_synced_has_exactly_its_fields(store: Store) -> None:
    """Counts are integers, `available` a boolean, the id empty."""
    *_, synced = messages(change(store, "a", {"x.md": explicit("x"), "bad.md": BAD}))
    assert TS.fullmatch(synced.pop("ts"))
    duration_ms = synced.pop("duration_ms")
    assert type(duration_ms) is int
    assert duration_ms >= 0
    assert synced == {
        "type": "kb_synced",
        "entry_id": "",
        "kb_name": "a",
        "epoch": store.position.epoch,
        "offset": 2,
        "path": "",
        "revision": None,
        "origin": "disk",
        "added": 1,
        "updated": 0,
        "removed": 0,
        "problems": 1,
        "available": True,
    }
    assert type(synced["available"]) is bool


def test_the_origin_is_told_by_change_and_by_batch(store: Store) -> None:
    """A path that REST wrote is `api`, whoever else is in the batch."""
    applied = change(
        store,
        "a",
        {"x.md": explicit("x"), "y.md": explicit("y")},
        origin="sweep",
        origin_of=lambda key, path: "api" if path == "y.md" else None,
    )
    assert [event["origin"] for event in messages(applied)] == ["sweep", "api", "sweep"]


def test_the_order_is_per_kb_by_path_then_its_kb_synced(store: Store) -> None:
    """KBs as they were named; a deletion stands at its old path."""
    change(store, "a", {"b.md": explicit("b"), "d.md": explicit("d")})
    plan_b = plan_texts(store, "b", {"a.md": explicit("a")})
    plan_a = plan_texts(
        store, "a", {"b.md": None, "d.md": None, "c.md": explicit("c"), "a.md": explicit("d")}
    )
    assert told(store.apply(Batch([plan_b, plan_a]))) == [
        ("entry_updated", "a", "d"),
        ("entry_deleted", "a", "b"),
        ("entry_created", "a", "c"),
        ("kb_synced", "a", ""),
        ("entry_created", "b", "a"),
        ("kb_synced", "b", ""),
    ]


# -- one transaction ----------------------------------------------------------------------------


def test_offsets_are_dense_over_batches(store: Store) -> None:
    """The position is that of the newest event."""
    offsets: list[int] = []
    for number in range(3):
        applied = change(store, "a", {"x.md": explicit("x", str(number)), f"{number}.md": "text"})
        offsets += [event.offset for event in applied.events]
        assert store.position.offset == offsets[-1]
    assert offsets == list(range(1, len(offsets) + 1))


def everything(store: Store) -> Batch:
    """A batch that touches every table: create, update, rename, swap, delete, problems, availability."""
    texts: dict[str, str | None] = {
        "new.md": explicit("new", "[[y]]"),
        "x.md": explicit("x", "2"),
        "y.md": None,
        "moved.md": explicit("y", "[[x]]"),
        "z.md": None,
        "1.md": explicit("two"),
        "2.md": explicit("one"),
        "mended.md": explicit("mended"),
        "bad.md": BAD,
    }
    batch = Batch([plan_texts(store, "a", texts)], availability={"b": Availability(False, 1, 2)})
    batch.add_problems("b", "kb", {".": (Problem(".", "unavailable", "gone"),)})
    return batch


def arrange_everything(store: Store) -> None:
    texts = {
        "x.md": explicit("x"),
        "y.md": explicit("y", "[[x]]"),
        "z.md": explicit("z"),
        "1.md": explicit("one"),
        "2.md": explicit("two"),
        "mended.md": BAD,
        "bad.md": explicit("bad"),
    }
    change(store, "a", texts)


def test_an_error_at_any_statement_leaves_everything_as_it_was(store: Store) -> None:
    """Every table, the full text and the position, from BEGIN to COMMIT; then the same batch succeeds."""
    arrange_everything(store)
    before, position = dump(store.connection), store.position
    batch = everything(store)
    real = store.connection
    for number in range(1, 1000):
        failing = FailingConnection(real, number)
        store.connection = cast(sqlite3.Connection, failing)
        try:
            applied = store.apply(batch)
        except sqlite3.OperationalError:
            assert not real.in_transaction
            assert (dump(real), store.position) == (before, position)
        else:
            break
        finally:
            store.connection = real
    assert number > 20
    assert [event.offset for event in applied.events] == list(
        range(position.offset + 1, position.offset + 1 + len(applied.events))
    )
    check_text(real)


def test_the_log_that_cannot_be_written_undoes_the_entries(store: Store) -> None:
    """An error inside SQLite, at the very last table."""
    arrange_everything(store)
    store.connection.execute(
        "CREATE TEMP TRIGGER refuse BEFORE INSERT ON event WHEN new.type = 'kb_synced'"
        " BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    before, position = dump(store.connection), store.position
    with pytest.raises(sqlite3.IntegrityError):
        store.apply(everything(store))
    assert (dump(store.connection), store.position) == (before, position)


def test_what_is_told_can_be_read(store: Store) -> None:
    """Another connection sees entries and events as soon as `apply` has returned."""
    with closing(schema.open_reader(store.state_dir)) as reader:
        applied = change(store, "a", {"x.md": explicit("x")})
        assert state_of(reader) == {("a", "x"): ("x.md", rev(explicit("x")))}
        assert log.load_offset(reader) == applied.events[-1].offset


def test_nothing_is_readable_before_the_commit(store: Store) -> None:
    """The moment before, a reader has neither the entries nor the events."""
    seen: list[tuple[object, int]] = []

    def look(statement: str) -> None:
        if statement == "COMMIT":
            seen.append((state_of(reader), log.load_offset(reader)))

    with closing(schema.open_reader(store.state_dir)) as reader:
        store.connection.set_trace_callback(look)
        change(store, "a", {"x.md": explicit("x")})
        store.connection.set_trace_callback(None)
    assert seen == [({}, 0)]


def test_a_batch_can_be_applied_again_after_an_error(store: Store) -> None:
    """Applying changes nothing in the batch itself."""
    plan = plan_texts(store, "a", {"x.md": BAD})
    batch = Batch([plan])
    store.apply(batch)
    assert batch.problems == {}


# -- which KB is told to be synced ------------------------------------------------------------------


def test_nothing_to_tell_makes_no_event(store: Store) -> None:
    """A touch changes the file state, and nothing that anybody is told."""
    change(store, "a", {"x.md": explicit("x")})
    applied = change(store, "a", {"x.md": on_disk("x.md", explicit("x"), inode=7)})
    assert (applied.events, applied.changes) == ([], [])
    record = files.load_records(store.connection, 1, ["x.md"])["x.md"]
    assert record.state is not None
    assert record.state.inode == 7


def test_a_sync_is_told_also_without_a_change(store: Store) -> None:
    """With counts of 0, for the KBs that were asked for."""
    applied = store.apply(Batch(always_synced=frozenset("b"), origin="sweep"))
    (synced,) = messages(applied)
    assert (synced["type"], synced["kb_name"], synced["origin"]) == ("kb_synced", "b", "sweep")
    assert (synced["added"], synced["updated"], synced["removed"]) == (0, 0, 0)


def test_changed_problems_are_told(store: Store) -> None:
    """A new one, and one that clears; a problem that stays is not."""
    change(store, "a", {"x.md": explicit("x")})
    texts = [BAD, BAD + "other", explicit("x")]
    counts = [
        [event.get("problems") for event in messages(change(store, "a", {"x.md": text}))] for text in texts
    ]
    assert counts == [[1], [], [0]]


def test_one_of_two_problems_that_goes_is_told(store: Store) -> None:
    """A bug: it was neither new nor had the path none any more, so nobody heard of it."""
    conflict = "<<<<<<< a\n1\n=======\n2\n>>>>>>> b\n"
    change(store, "a", {"x.md": "---\nid: a/b\n---\n" + conflict})
    applied = change(store, "a", {"x.md": "---\nid: a/b\n---\n"})
    assert [event["problems"] for event in messages(applied) if event["type"] == "kb_synced"] == [1]
    quiet = Batch()
    quiet.add_problems("a", "scan", {"d": (Problem("d", "unreadable", "no"), Problem("d", "name", "odd"))})
    store.apply(quiet)
    fewer = Batch()
    fewer.add_problems("a", "scan", {"d": (Problem("d", "name", "odd"),)})
    assert [event["problems"] for event in messages(store.apply(fewer))] == [2]


def test_changed_availability_is_told(store: Store) -> None:
    """Once; another directory alone is no news."""
    gone = store.apply(Batch(availability={"a": Availability(False, 1, 2)}))
    again = store.apply(Batch(availability={"a": Availability(False, 1, 2)}))
    back = store.apply(Batch(availability={"a": Availability(True, 1, 3)}))
    other = store.apply(Batch(availability={"a": Availability(True, 1, 4)}))
    assert [[event["available"] for event in messages(each)] for each in (gone, again, back, other)] == [
        [False],
        [],
        [True],
        [],
    ]
    assert store.kb_row("a").inode == 4


def test_a_quiet_batch_tells_no_kb_synced_for_changes_alone(store: Store) -> None:
    """As a REST write does; but for a problem it does."""
    assert told(change(store, "a", {"x.md": explicit("x")}, quiet=True)) == [("entry_created", "a", "x")]
    applied = change(store, "a", {"y.md": explicit("x", "2")}, quiet=True)
    assert told(applied) == [("kb_synced", "a", "")]


def test_a_silent_batch_changes_the_index_and_tells_nothing(store: Store) -> None:
    """Its changes are counted all the same."""
    applied = change(store, "a", {"x.md": explicit("x")}, silent=True)
    assert (applied.events, applied.counts) == ([], {"a": SyncCounts(added=1)})
    assert state_of(store.connection).keys() == {("a", "x")}


def test_new_and_mended_problems_are_returned(store: Store) -> None:
    """For the terminal: by KB, those that are new, and the paths that have none any more."""
    bad = change(store, "a", {"x.md": BAD})
    assert [(kb, problem.path, problem.kind) for kb, problem in bad.problems] == [("a", "x.md", "yaml")]
    assert change(store, "a", {"x.md": explicit("x")}).mended == [("a", "x.md")]


# -- epochs -----------------------------------------------------------------------------------------


def test_before_the_epoch_there_are_no_events(tmp_path: Path) -> None:
    """The first index is the state at the first position."""
    with closing(open_store(tmp_path)) as store:
        passing = store.position
        assert change(store, "a", {"x.md": explicit("x")}).events == []
        assert store.position == passing
        epoch = store.complete_first_pass(["a", "b"])
        assert epoch not in (None, passing.epoch)
        assert store.position == Position(cast(Any, epoch), cast(Any, 0))
        assert [event.offset for event in change(store, "a", {"y.md": "text"}).events] == [1, 2]


def test_a_later_first_pass_keeps_the_epoch(store: Store) -> None:
    """It only notes that the KBs are indexed."""
    position = store.position
    assert store.complete_first_pass(["a"]) is None
    assert store.position == position


def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    """Same epoch, next offset; also after a kill under the same boot."""
    with closing(open_store(tmp_path)) as store:
        store.complete_first_pass(["a", "b"])
        change(store, "a", {"x.md": explicit("x")})
        position = store.position
        with closing(open_store(tmp_path)) as after_kill:
            assert (after_kill.position, after_kill.tail_lost) == (position, False)


def test_a_restart_under_another_boot_begins_a_new_past(tmp_path: Path) -> None:
    """The log's tail may be lost: what was told is void, what is known is kept."""
    with closing(open_store(tmp_path)) as store:
        store.complete_first_pass(["a", "b"])
        change(store, "a", {"x.md": explicit("x")})
        with closing(Store(tmp_path, ["a", "b"], "other boot")) as later:
            assert (later.tail_lost, later.has_epoch, later.position.offset) == (True, False, 0)
            assert later.position.epoch != store.position.epoch
            assert state_of(later.connection).keys() == {("a", "x")}
            assert later.kb_row("a").indexed


def test_close_is_idempotent(tmp_path: Path) -> None:
    """And clean: the next boot may be another."""
    store = open_store(tmp_path)
    store.complete_first_pass(["a", "b"])
    store.close()
    store.close()
    with closing(Store(tmp_path, ["a"], "other boot")) as later:
        assert not later.tail_lost


def test_a_state_that_cannot_be_left_cleanly_is_closed_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """On a full disk the mark stays: the next start takes it for a kill."""
    store = open_store(tmp_path)
    real = store.connection
    store.connection = cast(sqlite3.Connection, FailingConnection(real, 2))
    store.close()
    with pytest.raises(sqlite3.ProgrammingError):
        real.execute("SELECT 1")
    assert "could not be left cleanly" in caplog.text


# -- KBs ----------------------------------------------------------------------------------------------


def facts(store: Store) -> dict[str, dict[str, Any]]:
    return queries.load_kb_facts(store.connection)


def test_a_kb_that_is_no_longer_named_is_hidden_and_one_that_is_back_is_told(tmp_path: Path) -> None:
    """Created events of origin `sweep`, by path: whoever loaded meanwhile did not see it."""
    with closing(open_store(tmp_path)) as store:
        store.complete_first_pass(["a", "b"])
        change(store, "b", {"2.md": explicit("x"), "1.md": explicit("y")})
        position = store.position
    with closing(Store(tmp_path, ["a"], "boot")) as store:
        assert store.name_kbs() == []
        assert facts(store).keys() == {"a"}
        assert store.position == position
        assert log.load_events(store.connection, Offset(0), position.offset, 10) == []
    with closing(Store(tmp_path, ["a", "b"], "boot")) as store:
        assert store.name_kbs() == ["b"]
        applied = store.tell_all("b")
        assert told(applied) == [
            ("entry_created", "b", "y"),
            ("entry_created", "b", "x"),
            ("kb_synced", "b", ""),
        ]
        assert [(event["offset"], event["origin"]) for event in messages(applied)] == [
            (position.offset + number, "sweep") for number in (1, 2, 3)
        ]
        assert store.position.offset == position.offset + 3


def test_a_kb_that_is_back_is_told_also_after_a_kill_before(tmp_path: Path) -> None:
    """A bug: it was active after the first start, and nobody ever told its entries."""
    with closing(open_store(tmp_path)) as store:
        store.complete_first_pass(["a", "b"])
        change(store, "b", {"1.md": explicit("x")})
    open_store(tmp_path, "a").close()
    open_store(tmp_path, "a", "b").close()
    with closing(Store(tmp_path, ["a", "b"], "boot")) as store:
        assert store.name_kbs() == ["b"]
        store.tell_all("b")
    with closing(Store(tmp_path, ["a", "b"], "boot")) as store:
        assert store.name_kbs() == []


def test_a_new_epoch_has_told_every_kb(tmp_path: Path) -> None:
    """Everybody loads the state again: nothing is left to tell."""
    with closing(open_store(tmp_path)) as store:
        store.complete_first_pass(["a", "b"])
        change(store, "b", {"1.md": explicit("x")})
    open_store(tmp_path, "a").close()
    with closing(Store(tmp_path, ["a", "b"], "boot")) as store:
        log.begin_run(store.connection, "other boot")
    with closing(Store(tmp_path, ["a", "b"], "boot")) as store:
        store.name_kbs()
        store.complete_first_pass(["a", "b"])
    with closing(Store(tmp_path, ["a", "b"], "boot")) as store:
        assert store.name_kbs() == []


def test_a_kb_that_was_never_indexed_has_nothing_to_tell(tmp_path: Path) -> None:
    """Its first index tells its entries."""
    open_store(tmp_path, "a", "b").close()
    open_store(tmp_path, "a").close()
    with closing(Store(tmp_path, ["a", "b"], "boot")) as store:
        assert store.name_kbs() == ["b"]
        assert store.tell_all("b").events == []


@pytest.mark.parametrize(
    ("act", "counts"),
    [
        (lambda store: change(store, "a", {"x.md": explicit("x", "2")}), True),
        (lambda store: change(store, "a", {"x.md": explicit("x", "2")}, quiet=True), True),
        (lambda store: change(store, "a", {"x.md": BAD}), True),
        (lambda store: store.apply(Batch(always_synced=frozenset("a"))), True),
        (lambda store: store.apply(Batch(availability={"a": Availability(False, 1, 1)})), False),
        (
            lambda store: store.apply(
                Batch(always_synced=frozenset("a"), availability={"a": Availability(False, 1, 1)})
            ),
            False,
        ),
        (lambda store: change(store, "b", {"x.md": explicit("x", "2")}), False),
    ],
    ids=["change", "rest", "problem", "sync", "unavailable", "sync unavailable", "other"],
)
def test_last_indexed_is_the_last_look_into_the_kb(
    store: Store, act: Callable[[Store], object], counts: bool
) -> None:
    """A bug: a root's end counted as indexing, and a REST write did not."""
    change(store, "a", {"x.md": explicit("x")})
    store.connection.execute("UPDATE kb SET last_indexed = 'before'")
    act(store)
    assert (facts(store)["a"]["last_indexed"] != "before") is counts


# -- all of it -----------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.tuples(st.sampled_from("ab"), st.sampled_from(["1.md", "2.md", "d/1.md", "d/index.md"])),
            st.one_of(
                st.none(),
                st.sampled_from(
                    [explicit("x"), explicit("x", "[[y]]"), explicit("y", "w"), titled("x"), "text", "", BAD]
                ),
            ),
            min_size=1,
            max_size=5,
        ),
        max_size=8,
    )
)
def test_the_state_plus_the_events_is_the_index(batches: list[dict[tuple[str, str], str | None]]) -> None:
    """Whatever happens: from any position, the events after it lead to the index; the text is in step."""
    paths = ["1.md", "2.md", "d/1.md", "d/index.md"]
    with tempfile.TemporaryDirectory() as folder, closing(open_store(Path(folder))) as store:
        store.complete_first_pass(["a", "b"])
        disk: dict[tuple[str, str], str] = {}
        states: list[tuple[Any, int]] = [({}, 0)]
        events: list[Event] = []
        for batch in batches:
            for place, text in batch.items():
                if text is None:
                    disk.pop(place, None)
                else:
                    disk[place] = text
            plans = [
                plan_texts(store, kb, {path: disk.get((kb, path)) for path in paths}) for kb in ("a", "b")
            ]
            events += store.apply(Batch(plans)).events
            states.append((state_of(store.connection), len(events)))
            check_text(store.connection)
        assert [event.offset for event in events] == list(range(1, len(events) + 1))
        logged = log.load_events(store.connection, cast(Any, 0), cast(Any, len(events)), 10_000)
        assert logged == events
        for state, offset in states:
            heard = [json.loads(event.message) for event in events[offset:]]
            assert replay(state, heard) == states[-1][0]
