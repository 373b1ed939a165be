"""Stops and starts: nothing is forgotten, nothing is told twice, and a reader resumes from its position."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest
from harness.api import Api
from harness.reader import read_kb
from harness.record import Json, only_entry_events, only_events, shown
from harness.replica import Replica
from harness.scene import check_dense
from harness.socket import Tab
from harness.wait import eventually

from .conftest import Starter, make_small_kb, write_entry

pytestmark = pytest.mark.timeout(180)


def replayed(url: str, since: str) -> tuple[list[Json], Json]:
    """Resume, and return the replayed events and the `ready` message."""
    with Tab(url, since=since) as tab:
        ready = tab.wait_type("ready")
        messages = tab.messages.since()
        before = messages[: messages.index(ready)]
        assert only_events(before) == before, "only events come before `ready`"
        return before, ready


def check_state_is_disk(url: str, root: Path) -> None:
    """Assert that the state is the disk."""
    assert Api(url).state(root.name).of(root.name) == read_kb(root).entries


def test_changes_while_stopped_are_told_as_sweep(start: Starter, corpus: Path) -> None:
    """Row 39: edits, deletions and renames while not running: the difference, origin sweep, then one S."""
    first = start(corpus)
    since, state = first.position, Api(first.url).state()
    assert first.stop() == 0
    view = read_kb(corpus)
    names = [(key, path) for key, (path, _) in sorted(view.entries.items()) if key not in view.contested]
    edited, deleted, renamed = names[5], names[55], names[105]
    with (corpus / edited[1]).open("a", encoding="utf-8") as file:
        file.write("\nWhile nobody watched.\n")
    (corpus / deleted[1]).unlink()
    os.rename(corpus / renamed[1], corpus / "renamed-meanwhile.md")
    write_entry(corpus / "made-meanwhile.md", "made-meanwhile", "Text.")

    second = start(corpus)
    assert second.ready["epoch"] == first.ready["epoch"]
    events, ready = replayed(second.url, since)
    told = {event["entry_id"]: event for event in only_entry_events(events)}
    assert {key: event["type"] for key, event in told.items()} == {
        edited[0]: "entry_updated",
        deleted[0]: "entry_deleted",
        renamed[0]: "entry_updated",
        "made-meanwhile": "entry_created",
    }
    assert told[renamed[0]]["previous_path"] == renamed[1]
    assert {event["origin"] for event in told.values()} == {"sweep"}
    assert len(only_entry_events(events)) == 4
    synced = [event for event in events[-1:] if event["type"] == "kb_synced"]
    assert [(event["added"], event["updated"], event["removed"]) for event in synced] == [(1, 2, 1)]
    check_dense(events, first.ready["offset"])
    assert (ready["replayed"], ready["compacted"]) == (len(events), False)
    assert ready["offset"] == events[-1]["offset"]
    assert second.ready["offset"] == events[-1]["offset"], "`ready` means that the first reconcile is done"
    replica = Replica(state)
    replica.apply_all(events)
    assert replica.of(corpus.name) == read_kb(corpus).entries
    check_state_is_disk(second.url, corpus)


def test_restart_without_changes_tells_nothing(start: Starter, corpus: Path) -> None:
    """A second start after a stop works, in the same epoch at the same offset."""
    first = start(corpus)
    before = first.position
    assert first.stop() == 0
    second = start(corpus)
    assert second.position == before
    assert replayed(second.url, before)[0] == []
    check_state_is_disk(second.url, corpus)


def test_tab_resumes_across_a_restart(start: Starter, small_kb: Path) -> None:
    """A tab that was cut off gets what it missed, then what comes, once each."""
    first = start(small_kb)
    replica = Replica(Api(first.url).state())
    write_entry(small_kb / "entry-1.md", "entry-1", "One.")
    with Tab(first.url, since=replica.position) as tab:
        tab.wait_for(lambda message: message.get("entry_id") == "entry-1")
        replica.apply_all(tab.messages.since())
    write_entry(small_kb / "entry-2.md", "entry-2", "Two.")
    first.wait_for(lambda message: message.get("entry_id") == "entry-2")
    assert first.stop() == 0
    write_entry(small_kb / "entry-3.md", "entry-3", "Three.")

    second = start(small_kb)
    second.wait_ready()
    with Tab(second.url, since=replica.position) as tab:
        ready = tab.wait_type("ready")
        write_entry(small_kb / "entry-4.md", "entry-4", "Four.")
        tab.wait_for(lambda message: message.get("entry_id") == "entry-4")
        messages = tab.messages.since()
        check_dense(messages, replica.offset)
        assert ready["replayed"] == len(only_events(messages[: messages.index(ready)]))
        replica.apply_all(messages)
    assert [event["entry_id"] for event in only_entry_events(messages)] == ["entry-2", "entry-3", "entry-4"]
    assert replica.of(small_kb.name) == read_kb(small_kb).entries


def test_since_now_only_tells_the_position(start: Starter, small_kb: Path) -> None:
    """`since=now` replays nothing and is live."""
    watch = start(small_kb)
    with Tab(watch.url, since="now") as tab:
        ready = tab.wait_type("ready")
        assert (f"{ready['epoch']}:{ready['offset']}", ready["replayed"]) == (watch.position, 0)
        write_entry(small_kb / "entry-1.md", "entry-1", "Changed.")
        assert tab.wait_for(lambda message: "entry_id" in message)["offset"] == ready["offset"] + 1


@pytest.mark.parametrize("reason", ["epoch", "ahead"])
def test_position_that_is_not_of_this_past_is_resynced(start: Starter, small_kb: Path, reason: str) -> None:
    """The reader is told to load the state again, and is live from the offset that it is told."""
    watch = start(small_kb)
    epoch, offset = watch.ready["epoch"], watch.ready["offset"]
    since = f"{epoch}:{offset + 1000}" if reason == "ahead" else f"{'0' * len(epoch)}:{offset}"
    with Tab(watch.url, since=since) as tab:
        resync = tab.wait_type("resync")
        assert (resync["reason"], resync["epoch"], resync["offset"]) == (reason, epoch, offset)
        assert tab.events == []
        replica = Replica(Api(watch.url).state())
        write_entry(small_kb / "entry-1.md", "entry-1", "Changed.")
        event = tab.wait_for(lambda message: message.get("entry_id") == "entry-1")
        assert event["offset"] == resync["offset"] + 1
        replica.apply_all(tab.messages.since())
        assert replica.of(small_kb.name) == read_kb(small_kb).entries


@pytest.mark.parametrize("since", ["nonsense", "a:b:c", ":", "epoch:-1", "epoch:1.5", ""])
def test_malformed_position_is_closed_with_4409(start: Starter, small_kb: Path, since: str) -> None:
    """Accepted, then closed: a browser shows close codes, not HTTP statuses."""
    watch = start(small_kb)
    with Tab(watch.url, since=since) as tab:
        assert tab.wait_closed() == 4409


def test_unknown_kb_is_closed_with_4404(start: Starter, small_kb: Path) -> None:
    """A tab that asks for a KB that is not there hears so, also beside one that is."""
    watch = start(small_kb)
    with Tab(watch.url, kb=["nowhere"]) as alone, Tab(watch.url, kb=[small_kb.name, "nowhere"]) as beside:
        assert (alone.wait_closed(), beside.wait_closed()) == (4404, 4404)


def test_filter_sends_only_the_named_kbs(start: Starter, home: Path) -> None:
    """`?kb=` is repeatable; without it everything comes."""
    roots = {name: make_small_kb(home / "notes" / name) for name in ("alpha", "beta", "gamma")}
    watch = start(home / "notes")
    assert sorted(kb["name"] for kb in watch.ready["kbs"]) == ["alpha", "beta", "gamma"]
    with (
        Tab(watch.url, kb=["beta"]) as one,
        Tab(watch.url, kb=["alpha", "gamma"], since="now") as two,
        Tab(watch.url) as every,
    ):
        two.wait_type("ready")
        for number, name in enumerate(("alpha", "beta", "gamma", "beta", "gamma", "alpha"), start=1):
            write_entry(roots[name] / "entry-1.md", "entry-1", f"Change {number}.")
            every.messages.wait_until(partial(_changes_told, number), what=f"change {number}")
        told = every.events
        for tab, names in ((one, {"beta"}), (two, {"alpha", "gamma"})):
            expected = [event for event in told if event["kb_name"] in names]
            tab.messages.wait_until(partial(_as_many_as, len(expected)))
            assert tab.events == expected, shown(tab.events)


def _changes_told(count: int, messages: list[Json]) -> bool:
    """Tell whether so many entry events came, and the last one's `kb_synced`."""
    return len(only_entry_events(messages)) == count and messages[-1]["type"] == "kb_synced"


def _as_many_as(count: int, messages: list[Json]) -> bool:
    return len(only_events(messages)) >= count


@pytest.mark.parametrize("told_before_kill", [0, 1, 23])
def test_sigkill_loses_nothing_and_repeats_nothing(
    start: Starter, corpus: Path, told_before_kill: int
) -> None:
    """Row 40: killed amid a storm; the next start tells the rest, densely, nothing twice."""
    first = start(corpus)
    since, state = first.position, Api(first.url).state()
    view = read_kb(corpus)
    paths = [path for key, (path, _) in sorted(view.entries.items()) if key not in view.contested][:60]
    with Tab(first.url) as tab:
        for number, path in enumerate(paths):
            with (corpus / path).open("a", encoding="utf-8") as file:
                file.write("\nBefore the kill.\n")
            if number == told_before_kill:
                tab.messages.wait_until(lambda messages: len(only_events(messages)) >= told_before_kill)
        first.kill()
        tab.wait_closed()
        heard = tab.events
    (corpus / paths[0]).unlink()

    second = start(corpus)
    assert second.ready["epoch"] == first.ready["epoch"]
    events, _ = replayed(second.url, since)
    check_dense(events, first.ready["offset"])
    assert events[: len(heard)] == heard, "what a tab was told is in the log as it was told"
    places: dict[str, tuple[str, str | None]] = {}
    for event in only_entry_events(events):
        place = (event["path"], event["revision"])
        assert places.get(event["entry_id"]) != place, f"told twice: {event}"
        places[event["entry_id"]] = place
    assert len(places) == len(paths)
    replica = Replica(state)
    replica.apply_all(events)
    assert replica.of(corpus.name) == read_kb(corpus).entries
    check_state_is_disk(second.url, corpus)


def test_killed_in_the_first_index_starts_again(start: Starter, corpus: Path) -> None:
    """A kill before `ready` leaves nothing that hinders the next start."""
    first = start(corpus)
    eventually(lambda: any(start.state_dir.rglob("*")) if start.state_dir.exists() else False, 30)
    first.kill()
    second = start(corpus)
    second.wait_ready()
    check_state_is_disk(second.url, corpus)
