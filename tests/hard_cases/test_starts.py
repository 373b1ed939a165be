"""Row 39: what changed while nobody watched is told at the start, once, and offsets go on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.api import Api
from harness.expect import check_lines, synced, watching
from harness.fixtures import Starter, make_small_kb, write_entry
from harness.process import WatchProcess
from harness.record import Json, only_events
from harness.replica import Replica
from harness.scene import Scene, check_dense
from harness.socket import Tab

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def kbs(home: Path) -> tuple[Path, Path]:
    """Two KBs: `one` with six entries and a folder of three without ids, `two` with entries of its own."""
    one = make_small_kb(home / "notes" / "one", entries=6)
    (one / "folder").mkdir()
    for name in ("x", "y", "z"):
        (one / "folder" / f"{name}.md").write_text(f"# Heading of {name}\n\nText.\n", encoding="utf-8")
    two = home / "notes" / "two"
    two.mkdir()
    (two / "kb.yaml").write_text("name: two\n", encoding="utf-8")
    write_entry(two / "other.md", "other", "Text.")
    return one, two


def edit(one: Path, two: Path) -> None:
    write_entry(one / "entry-1.md", "entry-1", "Edited.")
    write_entry(two / "other.md", "other", "Edited.")


def edit_keeping_the_times(one: Path, two: Path) -> None:
    file = one / "entry-1.md"
    status = file.stat()
    file.write_bytes(file.read_bytes().replace(b"Text", b"Test"))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def delete(one: Path, two: Path) -> None:
    (one / "entry-2.md").unlink()


def rename(one: Path, two: Path) -> None:
    os.rename(one / "entry-3.md", one / "renamed.md")


def rename_and_edit(one: Path, two: Path) -> None:
    (one / "entry-3.md").unlink()
    write_entry(one / "renamed.md", "entry-3", "Edited.")


def rename_a_folder(one: Path, two: Path) -> None:
    os.rename(one / "folder", one / "renamed")


def swap(one: Path, two: Path) -> None:
    os.rename(one / "entry-1.md", one / "t.md")
    os.rename(one / "entry-2.md", one / "entry-1.md")
    os.rename(one / "t.md", one / "entry-2.md")


def move_to_another_kb(one: Path, two: Path) -> None:
    os.rename(one / "entry-4.md", two / "entry-4.md")


def change_an_id(one: Path, two: Path) -> None:
    write_entry(one / "entry-5.md", "another-id", "Text 5.")


def make(one: Path, two: Path) -> None:
    write_entry(one / "made.md", "made", "Made.")


def break_one(one: Path, two: Path) -> None:
    (one / "entry-6.md").write_text("---\nid: [broken\n---\n\nText.\n", encoding="utf-8")


def touch_and_save_again(one: Path, two: Path) -> None:
    for file in one.glob("*.md"):
        file.write_bytes(file.read_bytes())
    os.utime(two / "other.md")


def everything(one: Path, two: Path) -> None:
    for act in (edit, delete, rename, move_to_another_kb, change_an_id, make, rename_a_folder):
        act(one, two)


U1 = "U one:entry-1 entry-1.md"
UO = "U two:other other.md"
D2 = "D one:entry-2 entry-2.md"
U3 = "U one:entry-3 renamed.md < entry-3.md"
D4 = "D one:entry-4 entry-4.md > two:entry-4"
C4 = "C two:entry-4 entry-4.md < one:entry-4"
C5 = "C one:another-id entry-5.md < one:entry-5"
D5 = "D one:entry-5 entry-5.md > one:another-id"
CM = "C one:made made.md"
UF = [f"U one:{name} renamed/{name}.md < folder/{name}.md" for name in "xyz"]

CASES: list[tuple[Callable[[Path, Path], None], list[str]]] = [
    (edit, [U1, synced("one", updated=1), UO, synced("two", updated=1)]),
    (edit_keeping_the_times, [U1, synced("one", updated=1)]),
    (delete, [D2, synced("one", removed=1)]),
    (rename, [U3, synced("one", updated=1)]),
    (rename_and_edit, [U3, synced("one", updated=1)]),
    (rename_a_folder, [*UF, synced("one", updated=3)]),
    (
        swap,
        [
            "U one:entry-2 entry-1.md < entry-2.md",
            "U one:entry-1 entry-2.md < entry-1.md",
            synced("one", updated=2),
        ],
    ),
    (move_to_another_kb, [D4, synced("one", removed=1), C4, synced("two", added=1)]),
    (change_an_id, [D5, C5, synced("one", added=1, removed=1)]),
    (make, [CM, synced("one", added=1)]),
    (break_one, [synced("one")]),
    (touch_and_save_again, []),
    (
        everything,
        [
            *(U1, D2, D4, D5, C5, CM, U3, *UF),
            synced("one", added=2, updated=5, removed=3),
            *(C4, UO),
            synced("two", added=1, updated=1),
        ],
    ),
]


def replayed(url: str, since: str) -> list[Json]:
    """What a tab is told that resumes from there."""
    with Tab(url, since=since) as tab:
        ready = tab.wait_type("ready")
        messages = tab.messages.since()
    events = only_events(messages[: messages.index(ready)])
    assert (ready["replayed"], ready["compacted"]) == (len(events), False)
    return events


STARTS = [pytest.param(*case, WatchProcess.stop, id=case[0].__name__) for case in CASES]
STARTS += [
    pytest.param(*case, WatchProcess.kill, id=f"{case[0].__name__} after a kill")
    for case in CASES
    if case[0] in (everything, touch_and_save_again)
]


@pytest.mark.parametrize(("act", "expected", "end"), STARTS)
def test_changes_while_not_running(
    start: Starter,
    kbs: tuple[Path, Path],
    act: Callable[[Path, Path], None],
    expected: list[str],
    end: Callable[[WatchProcess], object],
) -> None:
    """Row 39: exactly the difference, of origin `sweep`, then each KB's S, in the same epoch."""
    one, two = kbs
    with watching(start, one, two) as before:
        # One event while it runs, so that offsets have something to go on from.
        told = before.observe(lambda: write_entry(two / "first.md", "first", "Text."), changes=1)
        assert [event["type"] for event in told] == ["entry_created", "kb_synced"]
        state = before.api.state()
    end(before.watch)
    act(one, two)

    after = start(one, two)
    assert after.ready["epoch"] == state.epoch, "an unclean stop is no power cut"
    events = replayed(after.url, state.position)
    assert replayed(after.url, state.position) == events
    check_lines(events, expected)
    assert {event["origin"] for event in events} <= {"sweep"}
    check_dense(events, state.offset)
    assert after.ready["offset"] == state.offset + len(events), "`ready` means that all this was told"
    replica = Replica(state)
    replica.apply_all(events)
    assert replica.entries == Api(after.url).state().entries

    if act is break_one:
        (problem,) = Api(after.url).problems()
        assert (problem["kb_name"], problem["path"]) == ("one", "entry-6.md")
        return
    scene = Scene.open(after, {"one": one, "two": two})
    with contextlib.closing(scene):
        scene.markers = before.markers
        live = scene.observe(lambda: write_entry(two / "last.md", "last", "Text."), changes=1)
        check_lines(live, ["C two:last last.md", synced("two", added=1)])
        assert live[0]["origin"] == "disk"
        # stdout has told the difference too, after its first line, and both tabs what came after that.
        last = scene.marker()["offset"]
        told = [event for event in after.events if event["offset"] <= last]
        assert told[: len(events)] == events
        check_dense(told, state.offset)
        for tab in scene.tabs:
            assert [event for event in tab.events if event["offset"] <= last] == told[len(events) :]
        scene.check_disk()
