"""Rows 16 and 43: a great many files at once, and a great many KBs."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from harness.expect import check_lines, counts, line, synced, watching
from harness.fixtures import Starter, make_small_kb, write_entry
from harness.process import WatchProcess
from harness.record import Record, only_events
from harness.scene import Scene
from harness.wait import eventually

from .exactly import ATTEMPTS, INCOMPLETE_S, seconds

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc, which only Linux has"),
]

# -- row 16 ----------------------------------------------------------------------------------

MEMORY_MAX_KB = 400 * 1024
"""What 60,000 files may take at the most, whatever they hold: a batch has 10,000 paths or 64 MiB at the
most, the hub keeps a bounded log of frames, and SQLite a bounded cache. Kept in full, the 60,000 texts
(about 8 KB each) alone would be 480 MB."""

TEXT = "A line of about forty characters, or so.\n" * 200

LONG = pytest.mark.skipif(
    os.environ.get("PYRITE_LONG") != "1", reason="60,000 files take minutes: run it with PYRITE_LONG=1"
)


def create(root: Path, files: int, attempt: int) -> tuple[dict[str, str], float]:
    """Write so many entries, 250 a folder; return their ids by path, and how long the slowest took."""
    made, slowest_s = {}, 0.0
    for number in range(files):
        folder = root / f"area-{attempt}-{number // 250:03d}"
        if number % 250 == 0:
            folder.mkdir()
        key, path = f"n-{attempt}-{number}", f"{folder.name}/note-{number:05d}.md"
        text = f"---\nid: {key}\n---\n\nNote {number}.\n\n{TEXT}"
        slowest_s = max(slowest_s, seconds(partial((root / path).write_text, text, encoding="utf-8")))
        made[path] = key
    return made, slowest_s


def _are_created(record: Record, first: int, files: int) -> bool:
    return counts(only_events(record.since(first)))["C"] >= files


def memory_kb(watch: WatchProcess) -> int:
    """The most memory that the process ever had."""
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{watch.pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(3_000),
        pytest.param(60_000, marks=[LONG, pytest.mark.timeout(1200)]),
    ],
)
def test_files_created_at_once(small_scene: Scene, files: int, record_property: Callable[..., None]) -> None:
    """Row 16: each is told as created, once, and the memory does not grow with their number."""
    ((kb, root),) = small_scene.roots.items()
    before_kb = memory_kb(small_scene.watch)
    before = small_scene.watch.ready["offset"]
    for attempt in range(ATTEMPTS):
        mark = small_scene.watch.messages.mark()
        made, slowest_s = create(root, files, attempt)
        if slowest_s < INCOMPLETE_S:
            break
        # One was unfinished for longer than it may be: that attempt proves nothing.
        before = small_scene.marker(timeout_s=120.0)["offset"] + 1
    else:
        pytest.skip(
            f"the machine was too busy to write each file within {INCOMPLETE_S:g} s, {ATTEMPTS} times"
        )
    # Not by looking at all of them anew with each message: that would take longer than the case.
    for record, first in zip(small_scene.records, (mark, 0, 0), strict=True):
        eventually(
            partial(_are_created, record, first, files),
            timeout_s=60 + files / 100,
            interval_s=0.25 + files / 100_000,
            what=f"{files} created at {record.name}",
        )
    end = small_scene.marker(timeout_s=120.0)
    told = [event for event in small_scene.watch.events if before < event["offset"] < end["offset"]]
    created = sorted(line(event) for event in told if event["type"] != "kb_synced")
    assert created == sorted(f"C {kb}:{key} {path}" for path, key in made.items())
    assert sum(event["added"] for event in told if event["type"] == "kb_synced") == files
    most_kb = memory_kb(small_scene.watch)
    record_property("memory_kb", (before_kb, most_kb))
    assert most_kb < MEMORY_MAX_KB, f"{before_kb} KB before, {most_kb} KB at the most"
    small_scene.check()


# -- row 43 ----------------------------------------------------------------------------------

KBS = 100


def inotify_instances(watch: WatchProcess) -> int:
    """How many inotify queues the process holds."""
    count = 0
    for number in os.listdir(f"/proc/{watch.pid}/fd"):
        try:
            count += os.readlink(f"/proc/{watch.pid}/fd/{number}") == "anon_inode:inotify"
        except FileNotFoundError:
            continue  # closed meanwhile
    return count


def test_100_kbs_have_one_watcher(start: Starter, home: Path) -> None:
    """Row 43: as many inotify instances as one KB has (roots, and their parents); each KB is heard."""
    with watching(start, make_small_kb(home / "alone" / "kb", entries=1)) as alone:
        instances = inotify_instances(alone.watch)
        assert instances <= 2, "one over the roots, one over their parents"
    roots = [make_small_kb(home / "notes" / f"kb-{number:02d}", entries=2) for number in range(KBS)]
    watch = start(home / "notes", state_dir=home / "state-of-many")
    scene = Scene.open(watch, {root.name: root for root in roots})
    try:
        assert len(watch.ready["kbs"]) == KBS
        assert inotify_instances(watch) == instances
        for root in (roots[0], roots[49], roots[99]):
            events = scene.observe(partial(write_entry, root / "new.md", "new", "Made."), changes=1)
            check_lines(events, [f"C {root.name}:new new.md", synced(root.name, added=1)])

        def edit_each() -> None:
            for root in roots:
                write_entry(root / "entry-1.md", "entry-1", "Edited.")

        events = scene.observe(
            edit_each, until=lambda told: counts(told)["U"] >= KBS and counts(told)["S"] >= KBS
        )
        for root in roots:
            check_lines(
                [event for event in events if event["kb_name"] == root.name],
                [f"U {root.name}:entry-1 entry-1.md", synced(root.name, updated=1)],
            )
        assert {event["origin"] for event in events} == {"disk"}
        assert inotify_instances(watch) == instances
        scene.check()
    finally:
        scene.close()
