"""Polling of our own: forced by `--poll`, and chosen by itself where notifications cannot be complete."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from harness.api import Api
from harness.expect import check_lines, synced
from harness.fixtures import Starter, make_small_kb, write_entry
from harness.isolation import REPOSITORY
from harness.namespaces import watch_in_namespaces
from harness.process import WatchProcess
from harness.reader import revision_of
from harness.record import Json
from harness.scene import Scene
from harness.wait import eventually

pytestmark = pytest.mark.timeout(120)

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what a process has open")

READY_FIELDS = {"type", "url", "kbs", "epoch", "offset"}


def watch_health(watch: WatchProcess) -> Json:
    """What `/health` says of the watch."""
    found: Json = Api(watch.url).get("/health")["watch"]
    return found


def inotify_instances(watch: WatchProcess) -> int:
    """How many inotify instances the process has open."""
    count = 0
    for fd in os.listdir(f"/proc/{watch.pid}/fd"):
        try:
            count += "inotify" in os.readlink(f"/proc/{watch.pid}/fd/{fd}")
        except FileNotFoundError:
            continue  # closed meanwhile
    return count


@linux
def test_forced_polling_uses_no_notifications_and_says_so(start: Starter, small_kb: Path) -> None:
    """`--poll`: no inotify instance, `/health` says it, the ready line is as ever, and all is told."""
    scene = Scene.open(start(small_kb, options=["--poll", "0.3"]), {"small": small_kb})
    watch = scene.watch
    assert set(watch.ready) == READY_FIELDS
    assert inotify_instances(watch) == 0
    told = watch_health(watch)
    assert (told["mode"], told["poll_s"], told["why"]) == ("poll", 0.3, "--poll 0.3")
    events = scene.observe(lambda: write_entry(small_kb / "entry-1.md", "entry-1", "Polled."), changes=1)
    check_lines(events, ["U small:entry-1 entry-1.md", synced("small", updated=1)])
    assert events[0]["origin"] == "sweep"
    os.rename(small_kb / "entry-2.md", small_kb / "moved.md")
    (small_kb / "entry-3.md").unlink()
    scene.check()
    assert inotify_instances(watch) == 0
    scene.close()


@linux
def test_a_watch_without_polling_has_two_watchers(start: Starter, small_kb: Path) -> None:
    """What the test above counts is there where it is meant to be."""
    watch = start(small_kb)
    watch.wait_ready()
    assert inotify_instances(watch) == 2
    told = watch_health(watch)
    assert (told["mode"], told["poll_s"], told["why"]) == ("inotify", None, None)


def test_the_banner_says_that_it_polls(start: Starter, small_kb: Path) -> None:
    """For people, on stdout, how often and why."""
    watch = start(small_kb, options=["--poll", "0.5"], json_lines=False)
    eventually(lambda: "Ctrl-C" in watch.stdout, 30)
    assert "Polling   every 0.5 s: --poll 0.5" in watch.stdout


def test_two_saves_within_one_second_are_both_seen(start: Starter, small_kb: Path) -> None:
    """Same size, also the same mtime: what counts in the end is the second, each time."""
    scene = Scene.open(start(small_kb, options=["--poll", "0.2"]), {"small": small_kb})
    file = small_kb / "entry-1.md"
    for number in range(6):
        first, second = f"{number} first.", f"{number} other."
        start_at = scene.watch.messages.mark()
        write_entry(file, "entry-1", first)
        status = os.stat(file)
        wanted = revision_of(file.read_bytes())
        scene.watch.wait_for(lambda e, r=wanted: e.get("revision") == r, start=start_at)  # type: ignore[misc]
        write_entry(file, "entry-1", second)
        if number % 2:
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        wanted = revision_of(file.read_bytes())
        scene.watch.wait_for(lambda e, r=wanted: e.get("revision") == r, start=start_at)  # type: ignore[misc]
    scene.check()
    scene.close()


@linux
def test_a_poll_reads_no_file_that_did_not_change(start: Starter, small_kb: Path) -> None:
    """Twenty files of 256 KiB, and dozens of polls: less is read than half of one poll's worth."""
    for number in range(20):
        write_entry(small_kb / f"big-{number}.md", f"big-{number}", "x" * (256 << 10))
    watch = start(small_kb, options=["--poll", "0.1"])
    watch.wait_ready()
    api = Api(watch.url)

    def sweeps() -> int:
        return int(api.get("/health")["last_sweep"]["count"])

    def read_bytes() -> int:
        line = next(line for line in Path(f"/proc/{watch.pid}/io").read_text().splitlines())
        assert line.startswith("rchar:")
        return int(line.split()[1])

    # The first few read again what was written within the same few milliseconds as it was read.
    eventually(lambda: sweeps() >= 3)
    before, from_sweep = read_bytes(), sweeps()
    eventually(lambda: sweeps() >= from_sweep + 12, 30, interval_s=0.2)
    assert read_bytes() - before < 10 * (256 << 10)


MIRROR = """
{python} {program} {folder} {point} &
while ! grep -q 'fuse.mirror' /proc/self/mountinfo; do kill -0 $!; sleep 0.05; done
"""


@linux
def test_a_virtual_file_system_is_polled_by_itself_and_the_rest_is_not(home: Path) -> None:
    """A real FUSE mount whose folder another hand changes: nothing is notified, all is told."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("this machine has no /dev/fuse that we may open")
    local, folder = make_small_kb(home / "notes" / "local"), make_small_kb(home / "server" / "kb")
    point = home / "mounted" / "kb"
    point.mkdir(parents=True)
    mount = MIRROR.format(
        python=sys.executable,
        program=REPOSITORY / "tests" / "harness" / "mirror_fs.py",
        folder=folder,
        point=point,
    )
    with watch_in_namespaces(mount, local, point, home=home) as watch:
        # What the mount shows is what the folder behind it holds.
        scene = Scene.open(watch, {"local": local, "kb": folder})
        told = watch_health(watch)
        assert (told["mode"], told["poll_s"]) == ("inotify and poll", 2.0)
        assert "fuse.mirror" in told["why"]
        assert watch.stderr.count("fuse.mirror") == 1, watch.stderr
        assert set(watch.ready) == READY_FIELDS
        file = folder / "entry-1.md"
        for text in ("By another hand.", "And again, soon."):
            began_s = time.monotonic()
            events = scene.observe(lambda t=text: write_entry(file, "entry-1", t), changes=1)  # type: ignore[misc]
            check_lines(events, ["U kb:entry-1 entry-1.md", synced("kb", updated=1)])
            assert events[0]["origin"] == "sweep"
            assert time.monotonic() - began_s < 15, "that was the sweep of every 30 s"
        events = scene.observe(
            lambda: write_entry(local / "entry-1.md", "entry-1", "Here it is heard."), changes=1
        )
        check_lines(events, ["U local:entry-1 entry-1.md", synced("local", updated=1)])
        (folder / "entry-2.md").unlink()
        os.rename(folder / "entry-3.md", folder / "moved.md")
        scene.observe(lambda: None, until=lambda events: len(events) >= 2)
        eventually(
            lambda: scene.api.state("kb").of("kb").keys() == {"entry-1", "entry-3", "entry-4", "entry-5"}
        )
        scene.check()
        scene.close()
