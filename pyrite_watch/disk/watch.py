"""Listen to the disk: two watchfiles watchers that turn notifications into hints.

What they say is only a hint that a path may differ. What they do not say (watchfiles 1.3.0):
    A queue overflow is silent, and so is everything while the process is suspended.
    A file made right after its folder may never be named.
    A name that is not UTF-8 ends the watcher; a folder that may not be read ends its start.
So every doubt ends in `on_trouble`: its owner rebuilds the watcher, then sweeps.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

# Not `watchfiles.watch`: that generator begins to watch at its first step, which then blocks, so
# nobody could tell when the watch is up.
from watchfiles._rust_notify import RustNotify

log = logging.getLogger(__name__)

STEP_MS = 5
"""Half the price of a notification: median latency is 1.5 steps, at 0.9 % of a core when idle."""

PARENT_STEP_MS = 250
"""The parents only tell of a root that comes or goes; nobody waits for that."""

DEBOUNCE_MS = 50
HUGE_BATCH = 5_000
"""inotify's queue holds 16,384 events by default and overflows silently: a third of that is a
reason to look at everything."""


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
    """Why a watcher may have missed something; `is_dead` when it has ended by itself."""

    reason: str
    is_dead: bool
    is_limit: bool = False


class Watcher:
    """Watches roots (recursively) and their parents (so that a root that comes back is seen).

    Args:
        roots: Real paths of existing folders.
        parents: Folders to be watched without what is below them.
        on_hints: Called from a thread of the watcher with absolute paths.
        on_trouble: Called from a thread of the watcher.

    Raises:
        OSError: The roots cannot be watched (limit reached: ENOSPC or EMFILE).
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
        try:
            for name, paths, step_ms, recursive in (
                ("roots", roots, STEP_MS, True),
                ("parents", parents, PARENT_STEP_MS, False),
            ):
                if paths:
                    # Polling is never forced, and permission errors are never ignored: the first
                    # misses the second save within a second, the second swallows every error.
                    notify = RustNotify(
                        [os.fspath(path) for path in paths], False, False, 0, recursive, False
                    )
                    self._open.append(notify)
                    thread = threading.Thread(
                        target=self._listen, args=(notify, step_ms), name=f"watch-{name}", daemon=True
                    )
                    self._threads.append(thread)
        except BaseException:
            self._close_all()
            raise
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop both threads. Idempotent. Not from one of them."""
        self._flag.set()
        for thread in self._threads:
            thread.join()
        self._close_all()

    def _close_all(self) -> None:
        for notify in self._open:
            notify.close()
        self._open.clear()

    def _listen(self, notify: RustNotify, step_ms: int) -> None:
        while True:
            try:
                # A time-out of 0 means none: the time-out's path drops events.
                changes = notify.watch(max(DEBOUNCE_MS, step_ms), step_ms, 0, self._flag)
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
            if len(changes) >= HUGE_BATCH:
                self._on_trouble(WatchTrouble(f"{len(changes):,} notifications at once", is_dead=False))
