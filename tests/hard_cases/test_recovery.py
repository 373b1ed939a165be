"""Rows 17 and 42: the watcher is in doubt, so it is made anew; then everything is swept.

A sweep of its own accord comes every 30 s at the earliest: what is told within `SOON_S` was told by recovery.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from harness.expect import check_lines, lines, synced, watching
from harness.fixtures import Starter, make_small_kb, write_entry
from harness.namespaces import run_inside, watch_in_namespaces, watch_without_override
from harness.process import WatchProcess
from harness.record import Json, only_entry_events
from harness.scene import Scene
from harness.wait import eventually

from pyrite_watch.disk.watch import GAP_S, HUGE_BATCH
from pyrite_watch.system import max_queued_notifications

from .stage import check_heard

pytestmark = [
    pytest.mark.timeout(150),
    pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="a process is suspended by SIGSTOP"),
]

SOON_S = 20.0


def health(scene: Scene) -> Json:
    """All that `/health` says."""
    found: Json = scene.api.get("/health")
    return found


@contextlib.contextmanager
def suspended(watch: WatchProcess, at_least_s: float = 0.0) -> Iterator[None]:
    """Stop the process for the time of the block, as Ctrl-Z does; real time is the case."""
    began_s = time.monotonic()
    watch.send_signal(signal.SIGSTOP)
    try:
        eventually(lambda: Path(f"/proc/{watch.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        yield
        time.sleep(max(0.0, at_least_s - (time.monotonic() - began_s)))
    finally:
        watch.send_signal(signal.SIGCONT)


def overflow(folder: Path) -> None:
    """Make more notifications than the queue holds, all about two names, and no change."""
    files = [os.fspath(folder / f"noise-{number}.txt") for number in range(2)]
    # Opened, written, closed; two files by turns, as the kernel joins equal ones that follow each other.
    for _ in range(max_queued_notifications() // 6 + 1):
        for file in files:
            put(file, b"noise")


def put(file: str, content: bytes) -> None:
    """Write a file in no time: a suspension shall be short, and ext4 waits for the disk after O_TRUNC."""
    fd = os.open(file, os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, content)
    os.close(fd)


@pytest.mark.parametrize("busy", [False, True])
def test_a_suspended_process_tells_what_overflowed_meanwhile(
    small_scene: Scene, home: Path, busy: bool
) -> None:
    """Row 17: the loop's gap, also when the writing thread was at work as it was suspended."""
    scene = small_scene
    root, before = scene.roots["small"], health(scene)["watch"]["rebuilds"]
    lock = sqlite3.connect(home / "state" / "index.sqlite", isolation_level=None)
    continued_s = 0.0

    def act() -> None:
        nonlocal continued_s
        if busy:
            lock.execute("BEGIN IMMEDIATE")
            write_entry(root / "entry-5.md", "entry-5", "This waits for SQLite.")
            time.sleep(0.3)  # until it waits in there; more or less does no harm
        with suspended(scene.watch, GAP_S + 0.7):
            overflow(root)
            write_entry(root / "entry-1.md", "entry-1", "Behind the end of the queue.")
        if busy:
            lock.execute("ROLLBACK")
        continued_s = time.monotonic()

    events = scene.observe(act, changes=2 if busy else 1, timeout_s=SOON_S)
    assert time.monotonic() - continued_s < SOON_S - 5
    expected = ["U small:entry-1 entry-1.md", *["U small:entry-5 entry-5.md"] * busy]
    assert sorted(lines(only_entry_events(events))) == expected
    told = health(scene)["watch"]
    assert told["rebuilds"] > before
    assert told["last_rebuild_reason"].startswith("nothing ran for")
    assert health(scene)["last_sweep"]["repairs"] >= 1
    lock.close()
    scene.check()


@pytest.fixture
def quick_kb() -> Iterator[Path]:
    """A KB in memory, where the system has that: thousands of files shall take less than `GAP_S`."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield make_small_kb(Path(folder) / "small")


SLOW_S = 15.0
"""Where what is notified takes so long to be told, the first sweep (after 30 s) may come before the rest."""


def test_a_huge_batch_may_be_what_is_left_of_an_overflow(start: Starter, quick_kb: Path) -> None:
    """Row 17: the queue's end is lost without a word, and no gap shows it."""
    scene, root = Scene.open(start(quick_kb), {"small": quick_kb}), quick_kb
    began_s = time.time()
    early, late = HUGE_BATCH * 3 // 2, 100

    def act() -> None:
        with suspended(scene.watch):
            for number in range(early + late):
                if number == early:
                    overflow(root)
                put(f"{root}/{number:05}.md", b"New.\n")

    count = early + late
    events = scene.observe(act, changes=count, timeout_s=60)
    assert sorted(lines(only_entry_events(events))) == [f"C small:{n:05} {n:05}.md" for n in range(count)]
    # It is made anew when the storm is over, which may be just after all was told.
    eventually(lambda: health(scene)["watch"]["rebuilds"])
    told = health(scene)["watch"]
    named = [event for event in events if event.get("path", "") == f"{early - 1:05}.md"]
    early_s = max(datetime.fromisoformat(event["ts"]).timestamp() for event in named) - began_s
    # On a very slow machine there is a gap as well, or the periodic sweep comes while the storm goes on.
    if not told["last_rebuild_reason"].startswith("nothing ran for") and early_s < SLOW_S:
        assert told["last_rebuild_reason"].endswith("notifications at once")
    assert told["rebuilds"] <= 3
    scene.check()
    scene.close()
    scene.watch.close()


def _is_rebuilt_since(scene: Scene, before: Json) -> bool:
    """Whether there is a new watcher, and the comparison after it is through."""
    now = health(scene)
    return bool(
        now["watch"]["rebuilds"] > before["watch"]["rebuilds"]
        and now["last_sweep"]["count"] > before["last_sweep"]["count"]
    )


def test_a_name_that_kills_the_watcher_is_survived(small_scene: Scene) -> None:
    """One name that is not UTF-8 ends watchfiles for good: the next save is heard all the same, at once."""
    scene, root = small_scene, small_scene.roots["small"]
    file = root / "entry-1.md"
    for number in range(3):
        name = os.fsdecode(b"caf\xe9-%d.txt" % number)
        before = health(scene)
        (root / name).touch()
        eventually(lambda b=before: _is_rebuilt_since(scene, b))  # type: ignore[misc]
        events = scene.observe(lambda n=number: write_entry(file, "entry-1", f"Text {n}."), changes=1)  # type: ignore[misc]
        check_lines(events, ["U small:entry-1 entry-1.md", synced("small", updated=1)])
        assert events[0]["origin"] == "disk"
    scene.check()


def test_what_happens_while_the_watcher_is_made_anew_is_not_lost(small_scene: Scene) -> None:
    """Files are made all the while that it dies and is made anew: each is told once."""
    scene, root = small_scene, small_scene.roots["small"]

    def act() -> None:
        for number in range(150):
            if number % 50 == 0:
                (root / os.fsdecode(b"caf\xe9-%d.txt" % number)).touch()
            (root / f"f{number // 10}").mkdir(exist_ok=True)
            write_entry(root / f"f{number // 10}" / f"n{number}.md", f"n{number}", "New.")
            time.sleep(0.01)

    began_s = time.monotonic()
    events = scene.observe(act, changes=150, timeout_s=60)
    assert time.monotonic() - began_s < SOON_S
    assert sorted(lines(only_entry_events(events))) == sorted(
        f"C small:n{n} f{n // 10}/n{n}.md" for n in range(150)
    )
    scene.check()


def test_a_watcher_that_dies_again_and_again_is_left_alone_for_a_while(small_scene: Scene) -> None:
    """Ever longer pauses, sweeps meanwhile, one warning: no busy loop."""
    scene, root = small_scene, small_scene.roots["small"]
    number, told = 0, Json()

    def kill() -> None:
        nonlocal number
        number += 1
        (root / os.fsdecode(b"caf\xe9-%d.txt" % number)).touch()
        time.sleep(0.05)

    def is_left_alone() -> bool:
        nonlocal told
        kill()
        told = health(scene)["watch"]
        return bool(told["why"] == "the watcher ends again and again")

    eventually(is_left_alone, 60)
    file = root / "entry-1.md"
    events = scene.observe(lambda: write_entry(file, "entry-1", "Seen all the same."), changes=1)
    check_lines(events, ["U small:entry-1 entry-1.md", synced("small", updated=1)])
    assert (told["mode"], told["poll_s"]) == ("poll", 1.0)
    killed_s = time.monotonic()
    while time.monotonic() - killed_s < 5:
        kill()
    assert health(scene)["watch"]["rebuilds"] - told["rebuilds"] <= 3
    assert scene.watch.stderr.count("WARNING") == 1, scene.watch.stderr
    assert "the watcher ends again and again" in scene.watch.stderr
    eventually(lambda: health(scene)["watch"]["mode"] == "inotify", 60)
    events = scene.observe(lambda: write_entry(file, "entry-1", "Heard again."), changes=1)
    check_lines(events, ["U small:entry-1 entry-1.md", synced("small", updated=1)])
    scene.check()


def test_an_unreadable_folder_makes_only_its_own_kb_polled(home: Path) -> None:
    """watchfiles refuses all of its roots because of one folder: the other KB is heard as ever."""
    kbs = {name: make_small_kb(home / "notes" / name) for name in ("open", "shut")}
    (kbs["shut"] / "private").mkdir(mode=0)
    try:
        with watch_without_override(*kbs.values(), home=home) as watch:
            scene = Scene.open(watch, kbs)
            told = health(scene)["watch"]
            assert (told["mode"], told["poll_s"]) == ("inotify and poll", 5.0)
            for name, origin in (("open", "disk"), ("shut", "sweep")):
                file = kbs[name] / "entry-1.md"
                events = scene.observe(lambda f=file: write_entry(f, "entry-1", "Changed."), changes=1)  # type: ignore[misc]
                check_lines(events, [f"U {name}:entry-1 entry-1.md", synced(name, updated=1)])
                assert events[0]["origin"] in {origin, "sweep"}
            scene.close()
    finally:
        (kbs["shut"] / "private").chmod(0o755)


def test_beside_a_kb_in_a_folder_that_cannot_be_listed_all_are_heard(home: Path) -> None:
    """Bug: that folder made the watcher of all the parents fail, and every KB was polled."""
    roots = {name: home / "notes" / path for name, path in (("open", "open"), ("inner", "shut/inner"))}
    kbs = {name: make_small_kb(root) for name, root in roots.items()}
    shut = home / "notes" / "shut"
    shut.chmod(0o111)
    try:
        with watch_without_override(*kbs.values(), home=home) as watch:
            scene = Scene.open(watch, kbs)
            told = health(scene)["watch"]
            assert (told["mode"], told["poll_s"], told["why"]) == ("inotify", None, None)
            for name, root in kbs.items():
                file = root / "entry-1.md"
                events = scene.observe(lambda f=file: write_entry(f, "entry-1", "Changed."), changes=1)  # type: ignore[misc]
                check_lines(events, [f"U {name}:entry-1 entry-1.md", synced(name, updated=1)])
            scene.close()
    finally:
        shut.chmod(0o755)


# -- row 42 ----------------------------------------------------------------------------------------

WATCHES = "/proc/sys/user/max_inotify_watches"
INSTANCES = "/proc/sys/user/max_inotify_instances"


def folders(root: Path, count: int) -> None:
    """Make folders in a KB: each is one watch."""
    for number in range(count):
        (root / f"folder-{number:03}").mkdir()


@pytest.mark.parametrize(
    ("limit", "number", "sysctl"),
    [
        (WATCHES, 20, "sudo sysctl user.max_inotify_watches=1048576"),
        (INSTANCES, 1, "sudo sysctl user.max_inotify_instances=1024"),
    ],
)
def test_past_the_inotify_limit_it_sweeps_and_says_what_to_type(
    home: Path, limit: str, number: int, sysctl: str
) -> None:
    """Row 42: one warning with the number and the line; all is told; raised, it is heard again."""
    root = make_small_kb(home / "notes" / "small")
    folders(root, 40)
    with watch_in_namespaces(f"echo {number} > {limit}", root, home=home) as watch:
        scene = Scene.open(watch, {"small": root})
        told = health(scene)
        assert told["status"] == "ok"
        assert (told["watch"]["mode"], told["watch"]["poll_s"]) == ("poll", 5.0)
        assert sysctl in told["watch"]["why"]
        file = root / "folder-039" / "deep.md"
        events = scene.observe(lambda: write_entry(file, "deep", "Found by a sweep."), changes=1)
        check_lines(events, ["C small:deep folder-039/deep.md", synced("small", added=1)])
        assert events[0]["origin"] == "sweep"
        warnings = [line for line in watch.stderr.splitlines() if "WARNING" in line]
        assert len(warnings) == 1, watch.stderr
        assert f"is {number})" in warnings[0]
        assert sysctl in warnings[0]

        run_inside(watch, f"echo 5000 > {limit}")
        eventually(lambda: health(scene)["watch"]["mode"] == "inotify", SOON_S)
        assert health(scene)["watch"]["why"] is None
        check_heard(scene, file)
        scene.check()
        scene.close()


def test_the_banner_says_that_the_limit_is_reached(home: Path) -> None:
    """Row 42: for people, in words, with the line to type."""
    root = make_small_kb(home / "notes" / "small")
    folders(root, 40)
    with watch_in_namespaces(f"echo 20 > {WATCHES}", root, home=home, json_lines=False) as watch:
        eventually(lambda: "Ctrl-C" in watch.stdout, 30)
        assert "Polling   every 5 s: the system watches no more folders" in watch.stdout
        assert "sudo sysctl user.max_inotify_watches=1048576" in watch.stdout


def test_a_limit_reached_while_running_is_noticed_by_what_a_sweep_repairs(home: Path) -> None:
    """Row 42: a new folder past the limit is deaf without a word; the next sweep tells, and mends that."""
    root = make_small_kb(home / "notes" / "small")
    with watch_in_namespaces(f"echo 20 > {WATCHES}", root, home=home) as watch:
        scene = Scene.open(watch, {"small": root})
        assert health(scene)["watch"]["mode"] == "inotify"
        folders(root, 40)
        file = root / "folder-039" / "deep.md"
        # Folders are looked at again as they come: what is written after that is not heard.
        time.sleep(1.5)
        events = scene.observe(
            lambda: write_entry(file, "deep", "Found by the sweep."), changes=1, timeout_s=60
        )
        check_lines(events, ["C small:deep folder-039/deep.md", synced("small", added=1)])
        eventually(lambda: health(scene)["watch"]["mode"] == "poll", SOON_S)
        assert "sudo sysctl user.max_inotify_watches" in health(scene)["watch"]["why"]
        began_s = time.monotonic()
        scene.observe(lambda: write_entry(file, "deep", "Polled."), changes=1)
        assert time.monotonic() - began_s < SOON_S
        scene.check()
        scene.close()


def test_a_root_in_two_states_is_watched_again(start: Starter, home: Path) -> None:
    """A root that comes and goes quickly ends there and heard, whatever the last notification was."""
    root, aside = make_small_kb(home / "notes" / "small"), home / "aside"
    other = make_small_kb(home / "notes" / "other")
    with watching(start, other, root) as scene:
        for _ in range(5):
            os.rename(root, aside)
            time.sleep(0.15)
            os.rename(aside, root)
            time.sleep(0.15)
        eventually(lambda: all(kb["available"] for kb in scene.api.get("/api/kbs")["kbs"]))
        scene.check()
        file = root / "entry-1.md"
        events = scene.observe(lambda: write_entry(file, "entry-1", "Heard."), changes=1)
        check_lines(events, ["U small:entry-1 entry-1.md", synced("small", updated=1)])
        assert not [event for event in scene.watch.events if event["type"] == "entry_deleted"]
        scene.check()
