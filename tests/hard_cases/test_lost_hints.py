"""Row 17: what the system never told is found all the same, in full, once, by itself."""

from __future__ import annotations

import mmap
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.expect import check_lines, counts, synced, watching
from harness.fixtures import Starter, make_small_kb, write_entry
from harness.record import Json
from harness.scene import Scene
from harness.wait import eventually

from .stage import check_heard

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform != "linux", reason="it fills inotify's queue, which only Linux has"),
]

QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")

SUSPENDED_S = 4.0
"""More than the 2 s of delay and the 1 s of waiting after which the product takes itself for suspended."""

SWEEP_TIMEOUT_S = 60.0
"""A sweep comes every 30 s; the rest is for a busy machine."""


@pytest.fixture
def kb(home: Path) -> Path:
    """Ten entries, and a folder with ten more."""
    root = make_small_kb(home / "notes" / "kb", entries=10)
    (root / "folder").mkdir()
    for number in range(10):
        write_entry(root / "folder" / f"in-{number}.md", f"in-{number}", f"Text {number}.")
    return root


def stopped_while(scene: Scene, act: Callable[[], None], at_least_s: float = 0.0) -> None:
    """Let the process stand still while something is done, and until this time has passed."""
    began_s = time.monotonic()
    scene.watch.send_signal(signal.SIGSTOP)
    try:
        eventually(lambda: _is_stopped(scene.watch.pid), what="the process stands still")
        act()
        time.sleep(max(0.0, at_least_s - (time.monotonic() - began_s)))  # the real time is the case
    finally:
        scene.watch.send_signal(signal.SIGCONT)


def _is_stopped(pid: int) -> bool:
    tasks = Path(f"/proc/{pid}/task")
    states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks.iterdir()]
    return set(states) == {"T"}


def fill_the_queue(root: Path) -> None:
    """Give inotify more to tell than it can hold: from then on it drops what comes."""
    noise = [root / "noise-1.txt", root / "noise-2.txt"]
    # By turns: two equal ones in a row are made one. Two events or more for each.
    for number in range(int(QUEUE.read_text())):
        with noise[number % 2].open("a", encoding="utf-8") as opened:
            opened.write("x")


def change_much(root: Path) -> None:
    """Edit, create, delete, move a file, move a folder, make a folder."""
    write_entry(root / "entry-1.md", "entry-1", "Edited.")
    write_entry(root / "entry-2.md", "entry-2", "Edited.")
    write_entry(root / "made.md", "made", "Made.")
    (root / "entry-3.md").unlink()
    os.rename(root / "entry-4.md", root / "moved.md")
    os.rename(root / "folder", root / "renamed")
    (root / "new" / "deep").mkdir(parents=True)
    write_entry(root / "new" / "deep" / "made-2.md", "made-2", "Made.")
    # And what is in the end as it was.
    text = (root / "entry-5.md").read_bytes()
    (root / "entry-5.md").write_bytes(text + b"away")
    (root / "entry-5.md").write_bytes(text)
    os.utime(root / "entry-6.md")
    write_entry(root / "brief.md", "brief", "Made and removed.")
    (root / "brief.md").unlink()


MUCH = [
    "U kb:entry-1 entry-1.md",
    "U kb:entry-2 entry-2.md",
    "D kb:entry-3 entry-3.md",
    "C kb:made made.md",
    "U kb:entry-4 moved.md < entry-4.md",
    "C kb:made-2 new/deep/made-2.md",
    *(f"U kb:in-{number} renamed/in-{number}.md < folder/in-{number}.md" for number in range(10)),
]


def check_much(events: list[Json]) -> None:
    """Assert that the full difference was told, each once; one S, or two where a deletion waited."""
    told = [event for event in events if event["type"] != "kb_synced"]
    check_lines(sorted(told, key=lambda event: str(event["path"])), MUCH)
    assert counts(events)["S"] <= 2, "one batch, and one more for the deletion, which waits 120 ms"


def check_heard_again(scene: Scene, root: Path) -> None:
    """Assert that the watcher tells again, also of the folders that came meanwhile.

    A repair makes the watcher anew, and a sweep follows, which may see a change before it is told.
    """
    for path in ("entry-1.md", "renamed/in-1.md", "new/deep/made-2.md"):
        if (root / path).exists():
            check_heard(scene, root / path)
    scene.check()


def test_queue_overflow_of_a_suspended_process(start: Starter, kb: Path) -> None:
    """Row 17: the gap is noticed, the watcher is made anew, and a sweep finds it all."""
    with watching(start, kb) as scene:

        def act() -> None:
            fill_the_queue(kb)
            change_much(kb)

        events = scene.observe(
            lambda: stopped_while(scene, act, SUSPENDED_S),
            until=lambda told: counts(told)["C"] >= 2 and counts(told)["D"] >= 1,
        )
        check_much(events)
        assert {event["origin"] for event in events} == {"sweep"}, "the queue did not overflow"
        watch = scene.api.get("/health")["watch"]
        assert watch["rebuilds"] >= 1
        assert "sweep" not in watch["last_rebuild_reason"], watch
        check_heard_again(scene, kb)


def test_queue_overflow_without_a_gap(start: Starter, kb: Path) -> None:
    """Row 17: too short to be noticed, on too few files to be a storm: the periodic sweep finds it."""
    with watching(start, kb) as scene:

        def act() -> None:
            fill_the_queue(kb)
            change_much(kb)

        events = scene.observe(
            lambda: stopped_while(scene, act),
            until=lambda told: counts(told)["C"] >= 2 and counts(told)["D"] >= 1,
            timeout_s=SWEEP_TIMEOUT_S,
        )
        check_much(events)
        assert {event["origin"] for event in events} == {"sweep"}, "the queue did not overflow"
        check_heard_again(scene, kb)


def test_queue_overflow_by_a_storm(start: Starter, kb: Path) -> None:
    """Row 17: the notifications of 6,000 files at once are reason enough to look at everything."""
    with watching(start, kb) as scene:

        def act() -> None:
            for number in range(6_000):
                (kb / f"noise-{number}.txt").touch()
            fill_the_queue(kb)
            change_much(kb)

        events = scene.observe(
            lambda: stopped_while(scene, act),
            until=lambda told: counts(told)["C"] >= 2 and counts(told)["D"] >= 1,
        )
        check_much(events)
        assert scene.api.get("/health")["watch"]["rebuilds"] >= 1
        check_heard_again(scene, kb)


@pytest.mark.parametrize("suspended_s", [0.5, SUSPENDED_S])
def test_suspended_process(start: Starter, kb: Path, suspended_s: float) -> None:
    """Row 17: what the queue kept and what the sweep finds is told once, not twice."""
    with watching(start, kb) as scene:
        events = scene.observe(
            lambda: stopped_while(scene, lambda: change_much(kb), suspended_s),
            until=lambda told: counts(told)["C"] >= 2 and counts(told)["D"] >= 1,
        )
        check_much(events)
        if suspended_s == SUSPENDED_S:
            eventually(
                lambda: scene.api.get("/health")["watch"]["rebuilds"] >= 1, what="the watcher is made anew"
            )
        check_heard_again(scene, kb)


def test_change_that_the_system_never_tells(start: Starter, kb: Path) -> None:
    """Row 17: a write through mmap gives no notification at all; a sweep finds it."""
    file = kb / "entry-7.md"

    # Opening for writing and closing tells of the file, too soon: the mapping outlives both.
    with watching(start, kb) as scene:
        opened = os.open(file, os.O_RDWR)
        mapped = mmap.mmap(opened, 0)
        os.close(opened)
        assert scene.observe(lambda: None) == []

        def write() -> None:
            at = mapped.find(b"Text")
            mapped[at : at + 4] = b"Test"
            mapped.flush()

        events = scene.observe(write, changes=1, timeout_s=SWEEP_TIMEOUT_S)
        mapped.close()
        check_lines(events, ["U kb:entry-7 entry-7.md", synced("kb", updated=1)])
        assert events[0]["origin"] == "sweep"
        check_heard_again(scene, kb)
