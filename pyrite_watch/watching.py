"""Which KBs are watched by notifications and which by sweeps, how a hint finds its KB, and recovery.

Every doubt about the watcher ends in the same way: it is made anew, then everything is swept. What
cannot be watched is swept every few seconds, and whoever asks is told so.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pyrite_watch.disk.folders import is_utf_8
from pyrite_watch.disk.watch import Watcher, WatchTrouble, can_watch
from pyrite_watch.live.metrics import Metrics
from pyrite_watch.model.kb import KbName, KnowledgeBase
from pyrite_watch.system import polled_filesystem_below, watch_limits

log = logging.getLogger(__name__)

POLL_S = 2.0
"""How often a KB on a network or virtual file system is swept."""

LIMIT_POLL_S = 5.0
"""How often what the system does not watch for this user is swept."""

DEAD_POLL_S = 1.0
"""How often everything is swept while a watcher that keeps ending is left alone for a while."""

RETRY_S = 60.0
"""How often it is tried whether what could not be watched can be now."""

LIMIT_LOOK_S = 2.0
"""How often it is looked whether somebody has raised the limit."""

QUIET_S, MAX_STORM_S = 0.5, 10.0
"""After a huge batch the watcher is made anew when the storm is over: made in its middle, the next
batch would put it in doubt again."""

FIRST_PAUSE_S, MAX_PAUSE_S = 0.25, 30.0
"""A watcher that is soon in doubt again is made anew ever more rarely."""

CALM_S = 60.0
"""One that lasts so long is trusted as the first one was."""

_TRIES = 3


@dataclass(frozen=True, slots=True)
class WatchMode:
    """How changes are found: for the banner, `/health` and `doctor`.

    `why` is a sentence where it is not as usual; `poll_s` is None where nothing is polled.
    `is_fallback` where notifications were meant to be, and may be again.
    """

    name: str
    polled: frozenset[KbName] = frozenset()
    poll_s: float | None = None
    why: str | None = None
    is_fallback: bool = False


@dataclass(frozen=True, slots=True)
class Hints:
    """Dirty paths by KB; `roots` are KBs whose root itself may be another."""

    paths: Mapping[KbName, list[str]] = field(default_factory=dict)
    roots: frozenset[KbName] = frozenset()


class RootMap:
    """Finds the KB of an absolute path: the innermost one. Made anew with each watcher.

    Where links lead two KBs to one folder, it belongs to the one that comes first.
    """

    def __init__(self, kbs: Iterable[KnowledgeBase]) -> None:
        self._real: dict[str, KbName] = {}
        self._given: dict[str, KbName] = {}
        for kb in kbs:
            self._real.setdefault(os.path.realpath(kb.root), kb.name)
            # A root that is a link: the link itself may be pointed elsewhere.
            self._given[os.path.join(os.path.realpath(kb.root.parent), kb.root.name)] = kb.name

    @property
    def names(self) -> frozenset[KbName]:
        """All KBs."""
        return frozenset(self._given.values())

    def sort(self, paths: Iterable[str]) -> Hints:
        """Sort absolute paths by KB; what lies in none is dropped."""
        found: dict[KbName, list[str]] = {}
        roots: set[KbName] = set()
        for path in paths:
            if path in self._given or path in self._real:
                roots.add(self._given.get(path) or self._real[path])
                continue
            root = os.path.dirname(path)
            while root not in self._real:
                outer = os.path.dirname(root)
                if outer == root:
                    break
                root = outer
            else:
                relative = path[len(root) :].replace(os.sep, "/").lstrip("/")
                found.setdefault(self._real[root], []).append(relative)
        return Hints(found, frozenset(roots))


def choose_mode(kbs: Sequence[KnowledgeBase], poll_s: float | None) -> WatchMode:
    """Choose how to watch, from the option and the file systems."""
    if poll_s is not None:
        return WatchMode("poll", frozenset(kb.name for kb in kbs), poll_s, f"--poll {poll_s:g}")
    types = {kb.name: polled_filesystem_below(kb.root) for kb in kbs}
    polled = {name: fs_type for name, fs_type in types.items() if fs_type is not None}
    if not polled:
        return WatchMode(_notification_name())
    kinds = ", ".join(sorted(set(polled.values())))
    return WatchMode(
        _mode_name(kbs, frozenset(polled)),
        frozenset(polled),
        POLL_S,
        f"{kinds} tells of no changes by other hosts",
    )


def _mode_name(kbs: Sequence[KnowledgeBase], polled: frozenset[KbName]) -> str:
    return "poll" if len(polled) == len(kbs) else f"{_notification_name()} and poll"


def _notification_name() -> str:
    return {"linux": "inotify", "darwin": "FSEvents", "win32": "ReadDirectoryChanges"}.get(
        sys.platform, "notifications"
    )


def start_watcher(
    kbs: Sequence[KnowledgeBase],
    mode: WatchMode,
    on_hints: Callable[[Iterable[str]], None],
    on_trouble: Callable[[WatchTrouble], None],
) -> tuple[Watcher | None, WatchMode]:
    """Start to watch what the mode says; what cannot be watched is polled, and the rest still watched."""
    watched = [kb for kb in kbs if kb.name not in mode.polled]
    try:
        return _watch(watched, on_hints, on_trouble), mode
    except OSError as error:
        why = _why_not(error)
    there = [kb for kb in watched if os.path.isdir(kb.root)]
    able = can_watch([_real(kb.root) for kb in there])
    deaf = {kb.name for kb, is_able in zip(there, able, strict=True) if not is_able}
    watcher = None
    if any(able):
        try:
            watcher = _watch([kb for kb in watched if kb.name not in deaf], on_hints, on_trouble)
        except OSError:
            log.debug("not even some can be watched", exc_info=True)
    polled = mode.polled | deaf if watcher is not None else frozenset(kb.name for kb in kbs)
    reasons = why if mode.why is None else f"{mode.why}; {why}"
    poll_s = min(LIMIT_POLL_S, mode.poll_s or LIMIT_POLL_S)
    return watcher, WatchMode(_mode_name(kbs, polled), polled, poll_s, reasons, is_fallback=True)


def _watch(
    kbs: Sequence[KnowledgeBase],
    on_hints: Callable[[Iterable[str]], None],
    on_trouble: Callable[[WatchTrouble], None],
) -> Watcher | None:
    for last in (False,) * (_TRIES - 1) + (True,):
        roots = _roots_there(kbs)
        # By both ways: where the folder is, and where the link to it is.
        parents = {parent for kb in kbs for parent in (_real(kb.root).parent, _real(kb.root.parent))}
        there = sorted(filter(_is_watchable, parents))
        if not roots and not there:
            return None
        try:
            watcher = Watcher(sorted(roots), there, on_hints, on_trouble)
        except FileNotFoundError:
            if last:  # a root that goes between the look and the watch: look again
                raise
            continue
        if _roots_there(kbs) != roots:
            # It came before its parent was watched: nobody has told of that, and it may look as it ever did.
            on_trouble(WatchTrouble("a root was touched meanwhile", is_dead=False, is_new_folder=True))
        return watcher
    raise AssertionError("unreachable")


def _roots_there(kbs: Iterable[KnowledgeBase]) -> dict[Path, tuple[int, int]]:
    """The real paths of the roots that are there, and which folder each of them is."""
    found = {}
    for kb in kbs:
        with contextlib.suppress(OSError):
            real = _real(kb.root)
            status = os.stat(real)
            if stat.S_ISDIR(status.st_mode):
                found[real] = (status.st_dev, status.st_ino)
    return found


def _is_watchable(parent: Path) -> bool:
    """Whether a parent can be watched: one that cannot would take the watcher of all the others with it."""
    return os.path.isdir(parent) and os.access(parent, os.R_OK) and is_utf_8(os.fspath(parent))


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _why_not(error: OSError) -> str:
    if error.errno not in (errno.ENOSPC, errno.EMFILE):
        return f"the folders cannot be watched ({error.strerror or error})"
    what, kind = ("folders", "watches") if error.errno == errno.ENOSPC else ("watchers", "instances")
    limits = [(name, number) for name, number in watch_limits().items() if name.endswith(kind)]
    if not limits:
        return f"the system gives this user no more {what} to watch with"
    name, number = limits[0]
    raised = max(1_048_576 if kind == "watches" else 1_024, 2 * number)
    more = "watches no more folders" if kind == "watches" else "gives no more watchers"
    return f"the system {more} for this user ({name} is {number}); raise it: sudo sysctl {name}={raised}"


class Watching:
    """The one watcher, and its recovery. Used by the writing thread alone.

    Args:
        metrics: Where it counts how often the watcher was made anew.
        on_hints, on_trouble: As `Watcher` has them: called from its threads.
        clock: Seconds of a clock that does not go backwards.
    """

    def __init__(
        self,
        kbs: Sequence[KnowledgeBase],
        poll_s: float | None,
        metrics: Metrics,
        on_hints: Callable[[Iterable[str]], None],
        on_trouble: Callable[[WatchTrouble], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._forced_poll_s = poll_s
        self._metrics = metrics
        self._on_hints = on_hints
        self._on_trouble = on_trouble
        self._clock = clock
        self.mode = choose_mode(kbs, poll_s)
        self.roots = RootMap(())
        self._watcher: Watcher | None = None
        self._reason: str | None = None
        self._is_doubt = False
        self._asked_s = 0.0
        self._due_s = 0.0
        self._pause_s = 0.0
        self._made_s = float("-inf")
        self._limits: Mapping[str, int] = {}
        self._next_look_s = 0.0
        self._told_why: str | None = None

    def start(self, kbs: Sequence[KnowledgeBase]) -> None:
        """Make the first watcher."""
        self._make(kbs)

    def stop(self) -> None:
        """Stop the watcher. Idempotent."""
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher = None

    def doubt(self, reason: str, is_dead: bool = False) -> None:
        """Note that the watcher may have missed something: it is made anew, soon."""
        now_s = self._clock()
        if now_s - self._made_s > CALM_S:
            self._pause_s, self._told_why = 0.0, None
        if self._reason is None:
            self._asked_s = now_s
        elif self._due_s <= now_s:
            return  # it is about to be made anew
        self._reason, self._is_doubt = reason, True
        wanted_s = now_s if is_dead else min(now_s + QUIET_S, self._asked_s + MAX_STORM_S)
        self._due_s = max(wanted_s, self._made_s + self._pause_s)
        if is_dead and self._due_s - now_s > DEAD_POLL_S:
            self.mode = WatchMode(
                "poll",
                frozenset(self.roots.names),
                DEAD_POLL_S,
                "the watcher ends again and again",
                is_fallback=True,
            )
            self._tell_mode()

    def replace(self, reason: str) -> None:
        """Note that there is a folder that is not watched, a root or one below: a new watcher at once."""
        self._reason, self._is_doubt, self._due_s = reason, False, self._clock()

    def next_due_s(self) -> float | None:
        """When `rebuild` is to be called; None where there is no doubt."""
        if self._reason is not None:
            return self._due_s
        if not self.mode.is_fallback:
            return None
        now_s = self._clock()
        if now_s >= self._next_look_s:
            self._next_look_s = now_s + LIMIT_LOOK_S
            if watch_limits() != self._limits:
                self._due_s = now_s
        return self._due_s

    def rebuild(self, kbs: Sequence[KnowledgeBase]) -> None:
        """Make the watcher anew. What it missed is the work of the sweep that must follow."""
        reason, self._reason = self._reason, None
        before = self.mode
        if reason is not None and self._is_doubt:
            self._pause_s = min(MAX_PAUSE_S, max(FIRST_PAUSE_S, 2 * self._pause_s))
        self._make(kbs)
        if reason is not None or self.mode != before:
            self._metrics.watch_rebuilds += 1
            self._metrics.last_rebuild_reason = reason or "there is room for it again"
            log.info("The watcher was made anew: %s.", self._metrics.last_rebuild_reason)

    def _make(self, kbs: Sequence[KnowledgeBase]) -> None:
        # The old one first, also where that leaves nothing for a moment: it holds what the new one needs.
        self.stop()
        self.roots = RootMap(kbs)
        mode = choose_mode(kbs, self._forced_poll_s)
        self._limits = watch_limits()
        self._watcher, self.mode = start_watcher(kbs, mode, self._on_hints, self._on_trouble)
        self._made_s = self._clock()
        self._due_s = self._made_s + RETRY_S
        self._next_look_s = self._made_s + LIMIT_LOOK_S
        self._tell_mode()

    def _tell_mode(self) -> None:
        """Say it aloud, once: a limit that is still reached at the next try is nothing new."""
        why = self.mode.why
        if why is not None and why != self._told_why and self._forced_poll_s is None:
            self._told_why = why
            log.warning("Sweeping every %g s: %s.", self.mode.poll_s, why)
