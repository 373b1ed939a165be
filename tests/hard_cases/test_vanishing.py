"""Row 45: files and folders that are gone before they are read: never a crash, and the truth in the end."""

from __future__ import annotations

import contextlib
import random
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.reader import revision_of
from harness.record import Json, only_entry_events, shown
from harness.scene import Scene

from .exactly import check_sync_finds_nothing, note

CHURN_S = 1.5

MISSING_S = 0.12
"""How long a missing file may take to come back (design §3)."""


def churn_files(root: Path, worker: int) -> None:
    """Write, replace, rename and delete the same few files, as fast as it goes."""
    choice = random.Random(worker)
    until_s = time.monotonic() + CHURN_S
    number = 0
    while time.monotonic() < until_s:
        number += 1
        file = root / f"quick-{worker}-{choice.randrange(20)}.md"
        with contextlib.suppress(FileNotFoundError):
            match choice.randrange(3):
                case 0:
                    file.unlink()
                case 1:
                    file.rename(file.with_name(f"quick-{worker}-{choice.randrange(20)}.md"))
                case _:
                    file.write_text(f"# Quick {worker}\n\n{number}\n", encoding="utf-8")
        if number % 30 == 0:
            time.sleep(0.002)


def churn_folders(root: Path, worker: int) -> None:
    """Make, fill, move and remove folders, as fast as it goes."""
    choice = random.Random(worker)
    until_s = time.monotonic() + CHURN_S
    number = 0
    while time.monotonic() < until_s:
        number += 1
        folder = root / f"folder-{worker}-{choice.randrange(4)}"
        inner = folder / "inner" / "innermost"
        inner.mkdir(parents=True, exist_ok=True)
        # Names of their own, as ids that two files ask for are another row.
        for name in ("a", "b", "c"):
            (inner / f"{worker}-{number}-{name}.md").write_text(f"{number} {name}\n", encoding="utf-8")
        match choice.randrange(3):
            case 0:
                shutil.rmtree(folder)
            case 1:
                with contextlib.suppress(OSError):
                    folder.rename(folder.with_name(f"folder-{worker}-{choice.randrange(4)}"))
            case _:
                (inner / f"{worker}-{number}-a.md").unlink()
        if number % 10 == 0:
            time.sleep(0.002)


def churn_kinds(root: Path, worker: int) -> None:
    """Let one name be a file, a folder, a link and nothing, in turn."""
    until_s = time.monotonic() + CHURN_S
    path = root / f"kind-{worker}.md"
    while time.monotonic() < until_s:
        path.write_bytes(note(f"kind-{worker}", "A file."))
        path.unlink()
        path.mkdir()
        (path / f"below-{worker}.md").write_bytes(note(f"below-{worker}", "Below."))
        shutil.rmtree(path)
        path.symlink_to("entry-1.md")
        path.unlink()


CHURNS: dict[str, Callable[[Path, int], None]] = {
    "files": churn_files,
    "folders": churn_folders,
    "kinds": churn_kinds,
}


def check_facts(events: list[Json], existing: set[str]) -> None:
    """Assert that no entry is created twice, nor updated or deleted where it is not."""
    present = set(existing)
    for event in events:
        entry_id = event["entry_id"]
        assert (entry_id in present) == (event["type"] != "entry_created"), f"{event}\n{shown(events)}"
        if event["type"] == "entry_deleted":
            present.remove(entry_id)
        else:
            present.add(entry_id)


@pytest.mark.parametrize("kind", [*CHURNS, "all at once"])
def test_what_vanishes_before_it_is_read_does_no_harm(small_scene: Scene, small_kb: Path, kind: str) -> None:
    """Row 45: two writers at once: the watcher lives, told only facts, and ends with what is there."""
    churns = list(CHURNS.values()) if kind == "all at once" else [CHURNS[kind]]
    existing = set(small_scene.views[small_kb.name].entries)

    def act() -> None:
        writers = [
            threading.Thread(target=churn, args=(small_kb, worker)) for worker in (1, 2) for churn in churns
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()

    events = only_entry_events(small_scene.observe(act, timeout_s=30))
    check_facts(events, existing)
    assert not {f"entry-{number}" for number in range(1, 6)} & {event["entry_id"] for event in events}
    small_scene.check()
    check_sync_finds_nothing(small_scene)
    small_scene.check()


def test_an_entry_that_flickers_ends_as_it_is(small_scene: Scene, small_kb: Path) -> None:
    """Row 45: an entry deleted and made again all the time: only what was closed, and the last of it.

    Bug: it was told as deleted when it was missing at two looks 120 ms apart, though it was there between.
    """
    file = small_kb / "entry-1.md"
    closed: list[str] = []
    gaps_s: list[float] = []

    def act() -> None:
        until_s = time.monotonic() + CHURN_S
        while time.monotonic() < until_s:
            content = note("entry-1", f"Number {len(closed)}.\n{'x' * 5000}\nThe last line.")
            began_s = time.monotonic()
            file.unlink()
            # Noted first: it may be told before the next line here is run.
            closed.append(revision_of(content))
            with file.open("xb", buffering=0) as opened:
                gaps_s.append(time.monotonic() - began_s)
                opened.write(content[:2000])
                opened.write(content[2000:])
            # As long as it is seen whole now and then: what is half-written at every look for 400 ms is told.
            if len(closed) % 4 == 0:
                time.sleep(0.002)

    events = only_entry_events(
        small_scene.observe(act, until=lambda told: any(e["revision"] == closed[-1] for e in told))
    )
    small_scene.check()
    told = [event["revision"] for event in events if event["type"] != "entry_deleted"]
    order = [closed.index(revision) for revision in told]  # ValueError: a half
    assert order == sorted(set(order)), "told twice, or out of order"
    assert order[-1] == len(closed) - 1
    # What a busy machine kept away for longer was honestly deleted.
    if max(gaps_s) < MISSING_S:
        assert {event["type"] for event in events} == {"entry_updated"}, shown(events)
