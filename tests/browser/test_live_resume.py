"""live.js goes on where it was, whatever became of the server, and says so where it cannot."""

from __future__ import annotations

import pytest
from harness.wait import eventually
from playwright.sync_api import expect

from browser.browser import SERVER_GONE, Pages, Watch
from browser.follower import Follower, offset_of

SHARED = pytest.mark.parametrize("shared", [True, False], ids=["shared", "own-socket"])


def written(watch: Watch, entry_id: str, body: str) -> int:
    """Write an entry and return the offset of the `kb_synced` after its event."""
    start = watch.process.messages.mark()
    watch.write(entry_id, body)
    event = watch.process.wait_for(
        lambda message: message.get("entry_id") == entry_id, start=start, what=f"the event of {entry_id}"
    )
    synced = watch.process.wait_for(
        lambda message: message.get("type") == "kb_synced" and message["offset"] > event["offset"],
        start=start,
    )
    return int(synced["offset"])


@SHARED
def test_events_come_as_they_happen(open_page: Pages, watch: Watch, shared: bool) -> None:
    """A change on disk is told with the file's facts, as live, with its lag and position."""
    tab = Follower(open_page, since=watch.process.position, shared=shared)
    tab.wait_live()
    last = written(watch, "entry-2", "Another text.")
    tab.wait_offset(last)
    told = tab.events[0]
    assert (told["type"], told["entry_id"], told["kb_name"]) == ("entry_updated", "entry-2", "small")
    assert not told["replayed"]
    assert tab.get("position") == f"{watch.process.ready['epoch']}:{last}"
    assert 0 <= tab.get("lag.value") < 15_000
    assert tab.get("lostSince") is None
    assert tab.get("serverVersion")
    assert tab.page.evaluate("Date.now() - following.live.lastHeard") < 15_000
    readies = [message for message in tab.heard if message["type"] == "ready"]
    assert [ready["first"] for ready in readies] == [True]


@SHARED
@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_a_restart_leaves_no_gap_and_no_repeat(
    open_page: Pages, watch: Watch, shared: bool, end: str
) -> None:
    """What changed before, while the server was away, and after: each event once, in order."""
    open_page.expect_complaint(SERVER_GONE)
    tab = Follower(open_page, since=watch.process.position, shared=shared)
    tab.wait_live()
    first = offset_of(watch.process.position)
    tab.wait_offset(written(watch, "entry-1", "Before."))
    watch.stop() if end == "stopped" else watch.kill()
    tab.wait_lost()
    assert tab.get("lostSince") is not None
    watch.write("entry-2", "While it was away.")
    watch.write("entry-3", "This, too.")
    watch.start()
    tab.wait_readies(2)
    last = written(watch, "entry-4", "After.")
    tab.wait_offset(last)
    tab.check_dense(first, last)
    assert [message["first"] for message in tab.heard if message["type"] == "ready"] == [True, False]


@SHARED
def test_what_was_missed_is_told_as_replayed(open_page: Pages, watch: Watch, shared: bool) -> None:
    """From an old position all that happened since comes first, marked as replayed, then `ready`."""
    first = offset_of(watch.process.position)
    for number in (1, 2, 3):
        last = written(watch, f"entry-{number}", "Before it came.")
    tab = Follower(open_page, since=watch.process.position, shared=shared)
    tab.wait_live()
    tab.check_dense(first, last)
    assert all(event["replayed"] for event in tab.events)
    assert tab.heard[-1]["type"] == "ready"
    assert tab.heard[-1]["replayed_count"] == last - first
    assert tab.get("lag.value") is None


@SHARED
def test_a_new_epoch_is_told_as_resync(open_page: Pages, watch: Watch, shared: bool) -> None:
    """A log that began anew is a `resync`, and what comes after it is heard once.

    A server that indexes for the first time serves already, and begins anew when it is through: a tab that is
    back so soon is told twice.
    """
    open_page.expect_complaint(SERVER_GONE)
    tab = Follower(open_page, since=watch.process.position, shared=shared)
    tab.wait_live()
    watch.kill()
    ready = watch.start(state_dir=watch.state_dir.with_name("other")).ready
    tab.wait(f"following.live.position?.startsWith({ready['epoch']!r})")
    tab.wait_live()
    last = written(watch, "entry-5", "In the new log.")
    tab.wait_offset(last)
    resyncs = [message for message in tab.heard if message["type"] == "resync"]
    assert resyncs[-1]["epoch"] == ready["epoch"]
    assert len({told["epoch"] for told in resyncs}) == len(resyncs) <= 2
    tab.check_dense(0, last)
    assert tab.get("position") == f"{ready['epoch']}:{last}"


@SHARED
def test_an_old_position_of_another_log_is_told_as_resync(
    open_page: Pages, watch: Watch, shared: bool
) -> None:
    """A page that was loaded from another log is told to load again, before anything else."""
    tab = Follower(open_page, since="anotherEpoch:7", shared=shared)
    tab.wait_live()
    assert [message["type"] for message in tab.heard] == ["resync", "ready"]
    assert tab.get("position") == watch.process.position


@SHARED
def test_a_position_ahead_of_the_log_is_told_as_resync(open_page: Pages, watch: Watch, shared: bool) -> None:
    """A position that the log has not reached (it lost its end) is no place to wait at."""
    tab = Follower(open_page, since=f"{watch.process.ready['epoch']}:999", shared=shared)
    tab.wait_live()
    assert [(message["type"], message.get("reason")) for message in tab.heard] == [
        ("resync", "ahead"),
        ("ready", None),
    ]


@SHARED
def test_a_malformed_position_begins_anew_with_a_resync(open_page: Pages, watch: Watch, shared: bool) -> None:
    """What is no position at all (4409) is answered by beginning anew, and that is said."""
    tab = Follower(open_page, since="nonsense", shared=shared)
    tab.wait_live()
    assert [(message["type"], message.get("reason")) for message in tab.heard] == [
        ("resync", "malformed"),
        ("ready", None),
    ]
    last = written(watch, "entry-1", "Heard.")
    tab.wait_offset(last)


@SHARED
def test_a_filter_narrows_and_still_resumes(open_page: Pages, watch: Watch, shared: bool) -> None:
    """With `kbs` only theirs are told; a name that is no knowledge base is refused, and why is said."""
    none = Follower(open_page, since=watch.process.position, shared=shared, kbs=["missing"])
    tab = Follower(open_page, since=watch.process.position, shared=shared, kbs=["small"])
    tab.wait_live()
    none.wait("following.live.state.value === 'refused'")
    assert none.get("reason") == "kb"
    last = written(watch, "entry-1", "Heard.")
    tab.wait_offset(last)
    assert none.heard == []


def test_the_connection_is_closed_with_its_reader(open_page: Pages, watch: Watch) -> None:
    """After `close` the server has no connection of it, and nothing is told any more."""
    tab = Follower(open_page)
    tab.wait_live()
    eventually(lambda: watch.connections == 1, what="one connection")
    tab.page.evaluate("following.live.close()")
    eventually(lambda: watch.connections == 0, what="no connection")
    assert tab.get("state.value") == "closed"
    expect(tab.page).to_have_url(watch.url + "/web/icon.svg")
