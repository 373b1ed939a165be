"""How to watch is chosen from the mounts; a watcher in doubt is made anew, at once, then ever more rarely."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from pyrite_watch import watching
from pyrite_watch.disk.watch import WatchTrouble
from pyrite_watch.live.metrics import Metrics
from pyrite_watch.model.kb import KbName, KnowledgeBase
from pyrite_watch.system import birth_time_ns, find_mount_types, max_queued_notifications, parse_mountinfo
from pyrite_watch.watching import CALM_S, MAX_PAUSE_S, MAX_STORM_S, QUIET_S, Watching, WatchMode, choose_mode

MOUNTINFO = """27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
31 27 0:41 / /home/me/nfs rw shared:2 - nfs4 host:/me rw
32 27 0:42 / /home/me/notes/work rw - cifs //host/work rw
33 27 0:43 / /mnt/c rw - 9p C: rw
34 27 0:44 / /home/me/vault rw - fuse.sshfs other: rw
35 27 0:45 / /home/me/disk rw - fuseblk /dev/sdb rw
36 27 0:46 / /home/me/gone rw - nfs4 host:/x rw
37 36 0:47 / /home/me/gone rw - ext4 /dev/sdc rw
"""


@pytest.mark.parametrize(
    ("path", "kinds"),
    [
        ("/home/me/plain", ["ext4"]),
        ("/home/me/nfs/kb", ["nfs4"]),
        ("/mnt/c/notes", ["9p"]),
        ("/home/me/vault", ["fuse.sshfs"]),
        ("/home/me/notes", ["ext4", "cifs"]),
        ("/home/me/gone", ["ext4"]),
    ],
)
def test_the_mounts_at_and_below_a_folder_are_found(path: str, kinds: list[str]) -> None:
    """One mounted inside a KB counts; one that another hides does not."""
    assert find_mount_types(path, parse_mountinfo(MOUNTINFO)) == kinds


@pytest.mark.skipif(sys.platform != "linux", reason="mounts are read from /proc")
def test_only_what_is_on_a_network_or_virtual_file_system_is_polled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is notified; `--poll` is for all."""
    monkeypatch.setattr("pyrite_watch.system._read_mounts", lambda: parse_mountinfo(MOUNTINFO))
    paths = {"here": "/home/me/plain", "disk": "/home/me/disk", "cifs": "/home/me/notes", "wsl": "/mnt/c/kb"}
    kbs = [KnowledgeBase(KbName(name), Path(path)) for name, path in paths.items()]
    mode = choose_mode(kbs, None)
    assert (mode.name, sorted(mode.polled), mode.poll_s) == ("inotify and poll", ["cifs", "wsl"], 2.0)
    assert mode.why == "9p, cifs tells of no changes by other hosts"
    assert choose_mode(kbs[:2], None) == WatchMode("inotify")
    assert choose_mode(kbs[2:], None).name == "poll"
    assert choose_mode(kbs, 0.5).polled == set(paths)


def test_the_system_says_how_much_it_queues_and_when_a_folder_was_made(tmp_path: Path) -> None:
    """Or there is a number to go by, and None."""
    assert max_queued_notifications() >= 8
    born_ns = birth_time_ns(tmp_path)
    assert born_ns is None or abs(born_ns - os.stat(tmp_path).st_ctime_ns) < 3600 * 10**9


class Clock:
    """Seconds that pass when they are told to."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def started(clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watching:
    """A watching over one KB whose watcher is none: only when it is made is looked at."""
    monkeypatch.setattr(watching, "start_watcher", lambda kbs, mode, hints, trouble: (None, mode))
    kbs = [KnowledgeBase(KbName("kb"), tmp_path)]

    def hear(trouble: WatchTrouble) -> None:
        raise AssertionError(trouble)

    made = Watching(kbs, None, Metrics(), lambda paths: None, hear, clock)
    made.start(kbs)
    return made


def test_a_first_death_is_mended_at_once_and_later_ones_ever_more_rarely(
    started: Watching, clock: Clock
) -> None:
    """Half a minute at most; after a calm minute it is trusted as before."""
    waits = []
    clock.now_s += CALM_S + 1
    for _ in range(12):
        started.doubt("it ended", is_dead=True)
        due_s = started.next_due_s()
        assert due_s is not None
        waits.append(max(0.0, due_s - clock.now_s))
        clock.now_s = max(clock.now_s, due_s)
        started.rebuild([])
    assert waits == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, *[MAX_PAUSE_S] * 4]
    clock.now_s += CALM_S + 1
    started.doubt("it ended", is_dead=True)
    assert started.next_due_s() == clock.now_s


def test_a_storm_is_let_pass_but_not_for_ever(started: Watching, clock: Clock) -> None:
    """A watcher made in its middle would be in doubt again."""
    clock.now_s += CALM_S + 1
    began_s = clock.now_s
    while clock.now_s < began_s + MAX_STORM_S + 1:
        started.doubt("a huge batch")
        due_s = started.next_due_s()
        assert due_s is not None
        if due_s <= clock.now_s:
            break
        assert due_s <= clock.now_s + QUIET_S
        clock.now_s += QUIET_S / 2
    assert clock.now_s == pytest.approx(began_s + MAX_STORM_S, abs=QUIET_S)


def test_another_root_is_watched_at_once_whatever_came_before(started: Watching, clock: Clock) -> None:
    """It is deaf until then: no pause is kept for it."""
    for _ in range(8):
        started.doubt("it ended", is_dead=True)
        started.rebuild([])
    started.replace("a root is another folder")
    assert started.next_due_s() == clock.now_s


@pytest.mark.parametrize(
    ("number", "limits", "words"),
    [
        (errno.ENOSPC, {"fs.inotify.max_user_watches": 8192}, "sysctl fs.inotify.max_user_watches=1048576"),
        (errno.ENOSPC, {"fs.inotify.max_user_watches": 900_000}, "fs.inotify.max_user_watches=1800000"),
        (errno.EMFILE, {"fs.inotify.max_user_instances": 128}, "fs.inotify.max_user_instances=1024"),
        (errno.ENOSPC, {}, "no more folders"),
        (errno.EACCES, {"fs.inotify.max_user_watches": 8192}, "cannot be watched"),
    ],
)  # fmt: skip
def test_the_reason_names_the_limit_and_what_to_type(
    monkeypatch: pytest.MonkeyPatch, number: int, limits: dict[str, int], words: str
) -> None:
    """More than there is now; nothing to type where no limit is the reason."""
    monkeypatch.setattr(watching, "watch_limits", lambda: limits)
    told = watching._why_not(OSError(number, "told by the system"))
    assert words in told
    assert all(str(limit) in told for limit in limits.values()) or number == errno.EACCES
