"""Row 44: the index cannot be written for a while (disk full, SQLite busy): said, retried, not forgotten."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.api import Api
from harness.expect import check_lines, lines, synced
from harness.fixtures import Starter, make_small_kb, write_entry
from harness.namespaces import run_inside, watch_in_namespaces
from harness.record import Json, only_entry_events
from harness.scene import Scene
from harness.socket import Tab
from harness.wait import eventually

pytestmark = pytest.mark.timeout(120)

CHANGED = [
    "C small:a new/a.md",
    "D small:entry-3 entry-3.md",
    "U small:entry-1 entry-1.md",
    "U small:entry-2 moved.md < entry-2.md",
]
"""What `change` comes to, in the order of the letters."""


def change(root: Path) -> None:
    """An edit, a rename, a deletion, a new file in a new folder, and a file that is none of it."""
    write_entry(root / "entry-1.md", "entry-1", "Changed while the index could not be written.")
    os.rename(root / "entry-2.md", root / "moved.md")
    (root / "entry-3.md").unlink()
    (root / "new").mkdir()
    write_entry(root / "new" / "a.md", "a", "New.")


def health(api: Api) -> Json:
    """All that `/health` says; it must answer whatever the index does."""
    found: Json = api.get("/health")
    return found


def wait_degraded(api: Api, *errors: str) -> None:
    """Wait until `/health` says that it does not go well, and why."""

    def says_so() -> bool:
        told = health(api)
        return told["status"] == "degraded" and any(error in told["index"]["error"] for error in errors)

    eventually(says_so, 20)


def check_retried(
    scene: Scene, hold: Callable[[], contextlib.AbstractContextManager[None]], *errors: str
) -> None:
    """Change files while the index cannot be written, and see that all is told later, once, and said."""
    root, watch = scene.roots["small"], scene.watch
    start_at = watch.messages.mark()
    with hold():
        change(root)
        wait_degraded(scene.api, *errors)
        retries = health(scene.api)["index"]["retries"]
        # Meanwhile all can be read, and what is dirty grows.
        write_entry(root / "entry-4.md", "entry-4", "Changed a little later.")
        assert scene.api.entry("small", "entry-1")["body"].strip() == "Text 1."
        eventually(lambda: health(scene.api)["index"]["retries"] >= retries + 2, 20)
        assert not only_entry_events(watch.messages.since(start_at))
    eventually(lambda: health(scene.api)["status"] == "ok", 20)
    assert health(scene.api)["index"]["error"] is None
    scene.marker()
    told = [line for line in lines(only_entry_events(watch.messages.since(start_at))) if "zzz" not in line]
    assert sorted(told) == sorted([*CHANGED, "U small:entry-4 entry-4.md"])
    said = [line for line in watch.stderr.splitlines() if "cannot be written" in line]
    assert len(said) == 1, watch.stderr
    assert any(error in said[0] for error in errors)
    assert watch.stderr.count("can be written again") == 1
    scene.check()


@contextlib.contextmanager
def locked(state_dir: Path) -> Iterator[None]:
    """Hold SQLite's write lock, as a backup program or a person with a shell may."""
    connection = sqlite3.connect(state_dir / "index.sqlite", isolation_level=None, timeout=20)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def test_a_busy_index_is_tried_again_until_all_is_told(small_scene: Scene, home: Path) -> None:
    """Row 44: another connection holds the lock during a batch."""
    check_retried(small_scene, lambda: locked(home / "state"), "locked")


def test_a_full_disk_is_tried_again_until_all_is_told(home: Path) -> None:
    """Row 44: the state folder is a real file system, and it is full."""
    root, state = make_small_kb(home / "notes" / "small"), home / "state"
    state.mkdir()
    mount = f"mount -t tmpfs -o size=3m none {state}"
    with watch_in_namespaces(mount, root, home=home, state_dir=state) as watch:
        scene = Scene.open(watch, {"small": root})

        @contextlib.contextmanager
        def full() -> Iterator[None]:
            run_inside(watch, f"cat /dev/zero > {state}/ballast", check=False)
            # A log that was longer before has room of its own: use that up.
            for number in range(400):
                write_entry(root / "entry-5.md", "entry-5", f"{number} " * 5000)
                if health(scene.api)["status"] == "degraded":
                    break
                time.sleep(0.05)
            try:
                yield
            finally:
                run_inside(watch, f"rm {state}/ballast")

        start_at = watch.messages.mark()
        with full():
            change(root)
            wait_degraded(scene.api, "full", "disk I/O")
            before = len(only_entry_events(watch.messages.since(start_at)))
            retries = health(scene.api)["index"]["retries"]
            eventually(lambda: health(scene.api)["index"]["retries"] >= retries + 2, 20)
            assert scene.api.entry("small", "entry-1")["body"].strip() == "Text 1."
            assert len(only_entry_events(watch.messages.since(start_at))) == before
        eventually(lambda: health(scene.api)["status"] == "ok", 20)
        scene.marker()
        told = lines(only_entry_events(watch.messages.since(start_at)))
        assert sorted(line for line in told if "zzz" not in line and "entry-5" not in line) == CHANGED
        assert watch.stderr.count("cannot be written") == 1, watch.stderr
        scene.check()
        scene.close()


def test_a_rest_write_while_the_index_is_busy_is_answered_and_told_later(
    small_scene: Scene, home: Path
) -> None:
    """Row 44: nobody hangs until the disk is empty again, and the file is not forgotten."""
    scene = small_scene
    start_at = scene.watch.messages.mark()
    with locked(home / "state"):
        began_s = time.monotonic()
        answer = scene.api.request("PUT", "/api/entries/entry-1", body={"kb": "small", "body": "By REST."})
        assert time.monotonic() - began_s < 10
        assert answer.status == 503, answer.body
        assert "By REST." in (scene.roots["small"] / "entry-1.md").read_text("utf-8")
    event = scene.watch.wait_for(lambda message: message.get("entry_id") == "entry-1", start=start_at)
    assert (event["type"], event["origin"]) == ("entry_updated", "api")
    eventually(lambda: health(scene.api)["status"] == "ok", 20)
    scene.check()


def test_a_rest_write_that_is_told_later_is_as_quiet_as_ever(small_scene: Scene, home: Path) -> None:
    """interface §3: no `kb_synced` after a REST write, also where the index had to be tried again."""
    scene = small_scene
    start_at = scene.watch.messages.mark()
    with locked(home / "state"):
        scene.api.request("PUT", "/api/entries/entry-1", body={"kb": "small", "body": "By REST."})
    scene.watch.wait_for(lambda message: message.get("entry_id") == "entry-1", start=start_at)
    marker = scene.marker()
    told = [e for e in scene.watch.messages.since(start_at) if e["offset"] < marker["offset"]]
    check_lines(told, ["U small:entry-1 entry-1.md"])


def test_a_stop_does_not_wait_for_a_busy_index(start: Starter, small_kb: Path, home: Path) -> None:
    """interface §1: exit 0 within 3 s, with a tab; at the next start the difference is told."""
    watch = start(small_kb)
    watch.wait_ready()
    with Tab(watch.url, since="now") as tab:
        tab.wait_type("ready")
        with locked(home / "state"):
            write_entry(small_kb / "entry-1.md", "entry-1", "Not told by the first.")
            wait_degraded(Api(watch.url), "locked")
            began_s = time.monotonic()
            assert watch.stop() == 0
            assert time.monotonic() - began_s < 3.0
    again = start(small_kb)
    again.wait_ready()
    assert again.ready["epoch"] == watch.ready["epoch"]
    told = [event for event in again.events if event["offset"] <= again.ready["offset"]]
    check_lines(told, ["U small:entry-1 entry-1.md", synced("small", updated=1)])
