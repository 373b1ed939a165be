"""Listen to the disk: watchfiles' watchers, which turn notifications into hints.

What they say is only a hint that a path may differ. What they do not say (watchfiles 1.3.0):
    A queue overflow is silent, and so is everything while the process is suspended.
    A file made right after its folder may never be named.
    A new folder past the system's limit is deaf, without a word.
    A name that is not UTF-8 ends the watcher; a folder that may not be read ends its start.
    A watched folder that is moved into one that was made just before is deaf: it is watched at its new place
    first, and then no more at its old one, which is the same to the system.
    Links are followed: see `folders`, which says what is watched one by one for their sake.
So every doubt ends in `on_trouble`: its owner rebuilds the watcher, then sweeps.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

# Not `watchfiles.watch`: that generator begins to watch at its first step, which then blocks, so
# nobody could tell when the watch is up.
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError
from watchfiles.main import Change

from pyrite_watch.disk.folders import folders_to_watch, has_folder, is_folder
from pyrite_watch.system import boottime_s, max_queued_notifications

log = logging.getLogger(__name__)

STEP_MS = 5
"""Half the price of a notification: median latency is 1.5 steps, at 0.9 % of a core when idle."""

PARENT_STEP_MS = 250
"""The parents only tell of a root that comes or goes; nobody waits for that."""

DEBOUNCE_MS = 50

HUGE_BATCH = max_queued_notifications() // 8
"""So many paths at once may be all that is left of a queue that overflowed, silently: a new file alone
is four notifications (made, opened, written, closed), more where it is written in pieces or renamed."""

GAP_S = 2.0
"""A step of the parents' watcher that took this much longer was a suspension (or a debugger, or swap):
nobody fetched the notifications meanwhile, and the queue may have overflowed."""


TOGETHER_S = 1.0
"""So far apart the two halves of one move may be told."""


class _Flag:
    """A stop event whose `is_set` is a C function: it is asked each step, for ever.

    A lock's `locked` costs half of `threading.Event.is_set`, which is Python.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.is_set = self._lock.locked

    def set(self) -> None:
        self._lock.acquire(blocking=False)


@dataclass(frozen=True, slots=True)
class WatchTrouble:
    """Why a watcher may have missed something.

    `is_dead` when it has ended by itself; `is_new_folder` where nothing is wrong with it, but a folder
    came that it cannot watch.
    """

    reason: str
    is_dead: bool
    is_new_folder: bool = False


class _Heartbeat:
    """The parents' stop event: asked each 250 ms, whatever else the process does, so it notices a gap.

    On the boot clock, as Python's monotonic one stands still while the machine is suspended.
    """

    def __init__(self, flag: _Flag, on_trouble: Callable[[WatchTrouble], None]) -> None:
        self._flag = flag
        self._on_trouble = on_trouble
        self._last_s = boottime_s()

    def is_set(self) -> bool:
        now_s = boottime_s()
        gap_s, self._last_s = now_s - self._last_s, now_s
        if gap_s > GAP_S and not self._flag.is_set():
            self._on_trouble(WatchTrouble(f"nothing ran for {gap_s:.0f} s", is_dead=False))
        return self._flag.is_set()


class MovedFolders:
    """Tells from what a watcher says whether a folder may have been moved into a new one. One thread."""

    def __init__(self) -> None:
        self._came_s: float | None = None
        self._went_s: float | None = None

    def note(self, came: bool, went: bool, now_s: float) -> bool:
        """Note whether a new folder came that holds another, and whether something went that is no entry."""
        self._came_s = now_s if came else self._came_s
        self._went_s = now_s if went else self._went_s
        if self._came_s is None or self._went_s is None or abs(self._came_s - self._went_s) > TOGETHER_S:
            return False
        self._came_s = self._went_s = None
        return True


class Watcher:
    """Watches roots, with all that is below them, and their parents (so that a root that comes back is seen).

    Args:
        roots: Real paths of existing folders.
        parents: Folders to be watched without what is below them.
        on_hints: Called from a thread of the watcher with absolute paths.
        on_trouble: Called from a thread of the watcher.

    Raises:
        OSError: The roots cannot be watched. Past a limit its errno is ENOSPC (folders) or EMFILE
            (watchers, or open files); where a root is gone it is a FileNotFoundError.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        parents: Sequence[Path],
        on_hints: Callable[[Iterable[str]], None],
        on_trouble: Callable[[WatchTrouble], None],
    ) -> None:
        self._flag = _Flag()
        self._on_hints = on_hints
        self._on_trouble = on_trouble
        self._threads: list[threading.Thread] = []
        self._open: list[RustNotify] = []
        whole, single = _split(roots)
        try:
            for name, paths, step_ms, recursive in (
                ("roots", whole, STEP_MS, True),
                ("folders", single, STEP_MS, False),
                ("parents", parents, PARENT_STEP_MS, False),
            ):
                if paths:
                    notify = _open_notify(paths, recursive)
                    self._open.append(notify)
                    thread = threading.Thread(
                        target=self._listen,
                        args=(notify, step_ms, name == "folders"),
                        name=f"watch-{name}",
                        daemon=True,
                    )
                    self._threads.append(thread)
        except BaseException:
            self._close_all()
            raise
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop its threads. Idempotent. Not from one of them."""
        self._flag.set()
        for thread in self._threads:
            thread.join()
        self._close_all()

    def _close_all(self) -> None:
        for notify in self._open:
            notify.close()
        self._open.clear()

    def _listen(self, notify: RustNotify, step_ms: int, one_by_one: bool) -> None:
        flag = self._flag if step_ms == STEP_MS else _Heartbeat(self._flag, self._on_trouble)
        moved = MovedFolders()
        while True:
            try:
                # A time-out of 0 means none: the time-out's path drops events.
                changes = notify.watch(max(DEBOUNCE_MS, step_ms), step_ms, 0, flag)
            except Exception as error:
                if not self._flag.is_set():
                    log.debug("the watcher ended", exc_info=True)
                    self._on_trouble(WatchTrouble(str(error) or type(error).__name__, is_dead=True))
                return
            if not isinstance(changes, set):
                if not self._flag.is_set():
                    self._on_trouble(WatchTrouble(f"it said '{changes}'", is_dead=True))
                return
            self._on_hints({path for _, path in changes})
            new = [path for change, path in changes if change == Change.added and is_folder(path)]
            came = any(map(has_folder, new))
            went = any(change == Change.deleted and not path.endswith(".md") for change, path in changes)
            is_deaf = moved.note(came, went, time.monotonic())
            if is_deaf or any(one_by_one or not _is_whole(path) for path in new):
                self._on_trouble(WatchTrouble("a new folder", is_dead=False, is_new_folder=True))
            if len(changes) >= HUGE_BATCH:
                self._on_trouble(WatchTrouble(f"{len(changes):,} notifications at once", is_dead=False))


def can_watch(roots: Sequence[Path]) -> list[bool]:
    """Try which of these roots can be watched, all at the same time; nothing stays open."""
    held: list[RustNotify] = []
    found = []
    try:
        for root in roots:
            try:
                folders = folders_to_watch(root)
                held.append(_open_notify(folders or [root], recursive=folders is None))
            except OSError:
                found.append(False)
            else:
                found.append(True)
    finally:
        for notify in held:
            notify.close()
    return found


def _split(roots: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """The roots that are watched as a whole, and the folders of the others."""
    whole: list[Path] = []
    single: list[Path] = []
    for root in roots:
        folders = folders_to_watch(root)
        if folders is None:
            whole.append(root)
        else:
            single += folders
    return whole, single


def _is_whole(folder: str) -> bool:
    """Whether what has come is watched rightly by now, as it is by who watches the root as a whole."""
    try:
        return folders_to_watch(Path(folder)) is None
    except OSError:
        return True  # gone again, or unreadable: the comparison has its turn


def _open_notify(paths: Sequence[Path], recursive: bool) -> RustNotify:
    # Polling is never forced, and permission errors are never ignored: the first misses the second
    # save within a second, the second swallows every error.
    try:
        return RustNotify([os.fspath(path) for path in paths], False, False, 0, recursive, False)
    except UnicodeEncodeError as error:
        raise OSError(errno.EILSEQ, "its path is not UTF-8") from error
    except (OSError, WatchfilesRustInternalError) as error:
        if isinstance(error, FileNotFoundError) or getattr(error, "errno", None):
            raise
        # Mostly without an errno; the second is what no free inotify instance gives (watchfiles 1.3.0).
        told = str(error)
        if "MaxFilesWatch" in told or "watch limit reached" in told:
            raise OSError(errno.ENOSPC, told) from error
        number = re.search(r"\(os error (\d+)\)", told)
        raise OSError(int(number[1]) if number else errno.EIO, told) from error
