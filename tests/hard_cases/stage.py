"""What the rows on ids, bad files, names, links and rules ask, written down in full.

Every event in its order, with `previous_path`, `moved_to`, `moved_from` and each pass's counts (the lines
of `harness.expect`); every problem; and, where the second reader does not know the rule at hand
(`.pyriteignore`, lost rights, ids kept by history), the whole index as the test spells it out.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
from harness.expect import check_lines
from harness.fixtures import Starter
from harness.reader import revision_of
from harness.record import Json, only_entry_events, only_events, shown
from harness.scene import Scene, check_dense

MARKER = "zzz-marker-"

Place = str | tuple[str, str]
"""A path, whose bytes on the disk are the entry's; or a path and the revision of its last good version."""


@contextlib.contextmanager
def on_stage(start: Starter, *roots: Path) -> Iterator[Scene]:
    """Watch these KBs, be two tabs, and stop the watch at the end of the block: its state stays."""
    scene = Scene.open(start(*roots), {root.name: root for root in roots})
    # Those of an earlier run are still there.
    scene.markers = len(list(roots[0].glob(f"{MARKER}*")))
    try:
        yield scene
    finally:
        scene.close()
    assert scene.watch.stop() == 0, scene.watch.describe()


def note(entry_id: str, text: str = "Text.") -> bytes:
    """An entry with an explicit id."""
    return f"---\nid: {entry_id}\ntitle: Title of {entry_id}\n---\n\n{text}\n".encode()


def titled(title: str, text: str = "Text.") -> bytes:
    """An entry whose id is its title's slug."""
    return f"---\ntitle: {title}\n---\n\n{text}\n".encode()


def plain(text: str = "Text.") -> bytes:
    """An entry whose id is its file's name."""
    return f"{text}\n".encode()


def save(file: Path, content: bytes) -> None:
    """Write a file whole, by a hidden temporary file and a rename: no look can see a half."""
    file.parent.mkdir(parents=True, exist_ok=True)
    hidden = file.parent / ".being-saved"
    hidden.write_bytes(content)
    os.replace(hidden, file)


def exchange(one: Path, other: Path) -> None:
    """Let two files swap their names in one step, as `renameat2(RENAME_EXCHANGE)` does."""
    at_cwd, exchange_names = -100, 2
    libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
    if libc.renameat2(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), exchange_names) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


def tells(
    scene: Scene,
    act: Callable[[], object],
    *expected: str,
    problems: Collection[str] = (),
    origin: str | None = "disk",
    bare_passes: bool = False,
) -> list[Json]:
    """Do something; assert that it tells exactly these events (each pass's `S` too), in this order.

    Args:
        problems: All problems afterwards, of all KBs, as `kb:path kind`.
        origin: The origin of each of the events; None where a sweep may be the quicker one.
        bare_passes: Further passes that tell of no entry, but of a problem, may come.
    """
    events = scene.observe(
        act, until=(lambda told: len(told) >= len(expected)) if expected else None, timeout_s=30
    )
    told = [event for event in events if not (bare_passes and _is_bare(event))]
    check_lines(told, [text for text in expected if not (bare_passes and text.endswith("+0 ~0 -0"))])
    for event in events:
        assert origin in (None, event["origin"]), shown(events)
    check_newest(scene, events)
    check_problems(scene, problems)
    for kb in scene.roots:
        synced = [event for event in events if event["type"] == "kb_synced" and event["kb_name"] == kb]
        if synced:
            assert synced[-1]["problems"] == sum(text.startswith(f"{kb}:") for text in problems)
    return events


def check_heard(scene: Scene, file: Path) -> None:
    """Assert that the watcher hears of this file, be it only once it is made anew."""
    content = file.read_bytes()
    for number in range(40):
        events = scene.observe(partial(save, file, content + b"%d\n" % number), changes=1)
        if [event["origin"] for event in only_entry_events(events)] == ["disk"]:
            return
    pytest.fail(f"only sweeps find what happens to {file.name}")


def _is_bare(event: Json) -> bool:
    return event["type"] == "kb_synced" and not event["added"] + event["updated"] + event["removed"]


def told_at_start(scene: Scene, *expected: str, problems: Collection[str] = ()) -> None:
    """Assert that exactly these events told what happened while nothing was running."""
    if expected:
        scene.watch.messages.wait_until(lambda told: len(only_events(told)) >= len(expected), 30)
    marker = scene.marker()
    events = [event for event in scene.watch.events if event["offset"] < marker["offset"]]
    check_lines(events, list(expected))
    assert all(event["origin"] == "sweep" for event in events), shown(events)
    check_newest(scene, events)
    check_problems(scene, problems)


def check_newest(scene: Scene, events: list[Json]) -> None:
    """Assert that each entry's last event names the revision that the index has: none where it is gone."""
    newest = {
        (event["kb_name"], event["entry_id"]): event for event in events if event["type"] != "kb_synced"
    }
    if not newest:
        return
    state = scene.api.state()
    for key, event in newest.items():
        place = state.entries.get(key)
        told = None if event["revision"] is None else (event["path"], event["revision"])
        assert told == place, shown([event])


def check_problems(scene: Scene, expected: Collection[str]) -> None:
    """Assert that these are all problems, as `kb:path kind`."""
    found = [f"{problem['kb_name']}:{problem['path']} {problem['kind']}" for problem in scene.api.problems()]
    assert sorted(found) == sorted(expected), scene.api.problems()


def check_index(scene: Scene, kb: str, entries: Mapping[str, Place]) -> None:
    """As `Scene.check`, but the test says what the KB's index is: every entry by its id, without markers."""
    last = scene.marker()["offset"]
    # What happened while nothing ran is told after the `ready` line, but lies before its position.
    first = scene.watch.ready["offset"]
    told = [event for event in scene.watch.events if first < event["offset"] <= last]
    check_dense(told, first)
    assert not scene.watch.bad_lines, scene.watch.bad_lines
    state = scene.api.state()
    for tab, replica in zip(scene.tabs, scene.replicas, strict=True):
        heard = [event for event in tab.events if event["offset"] <= last]
        assert heard == told, f"{tab.messages.name} heard other events than stdout told"
        replica.apply_all(heard)
        assert replica.entries == state.entries
    indexed = {key: place for key, place in state.of(kb).items() if not key.startswith(MARKER)}
    root = scene.roots[kb]
    wanted = {
        key: (place, revision_of((root / place).read_bytes())) if isinstance(place, str) else place
        for key, place in entries.items()
    }
    assert indexed == wanted


def ids_of(scene: Scene, kb: str) -> dict[str, str]:
    """Each path's id, as the index has it, without markers."""
    state = scene.api.state(kb).of(kb)
    return {path: key for key, (path, _) in state.items() if not key.startswith(MARKER)}
