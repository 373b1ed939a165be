"""Which KBs are watched by notifications and which by sweeps, and how a hint finds its KB."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pyrite_watch.disk.watch import Watcher, WatchTrouble
from pyrite_watch.model.kb import KbName, KnowledgeBase
from pyrite_watch.system import filesystem_type, is_polled_filesystem

POLL_S = 2.0
"""How often a KB on a network or virtual file system is swept."""

LIMIT_POLL_S = 5.0
"""How often all KBs are swept when the system watches no more folders for this user."""


@dataclass(frozen=True, slots=True)
class WatchMode:
    """How changes are found: for the banner, `/health` and `doctor`.

    `why` is a sentence where it is not as usual; `poll_s` is None where nothing is polled.
    """

    name: str
    polled: frozenset[KbName] = frozenset()
    poll_s: float | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Hints:
    """Dirty paths by KB; `roots` are KBs whose root itself may be another."""

    paths: Mapping[KbName, list[str]] = field(default_factory=dict)
    roots: frozenset[KbName] = frozenset()


class RootMap:
    """Finds the KB of an absolute path: the innermost one. Made anew with each watcher."""

    def __init__(self, kbs: Iterable[KnowledgeBase]) -> None:
        self._real: dict[str, KbName] = {}
        self._given: dict[str, KbName] = {}
        for kb in kbs:
            self._real[os.path.realpath(kb.root)] = kb.name
            # A root that is a link: the link itself may be pointed elsewhere.
            self._given[os.path.join(os.path.realpath(kb.root.parent), kb.root.name)] = kb.name

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
    types = {kb.name: filesystem_type(kb.root) for kb in kbs}
    polled = {name: fs_type for name, fs_type in types.items() if is_polled_filesystem(fs_type)}
    if not polled:
        return WatchMode(_notification_name())
    kinds = ", ".join(sorted(set(polled.values())))
    name = "poll" if len(polled) == len(types) else f"{_notification_name()} and poll"
    return WatchMode(name, frozenset(polled), POLL_S, f"{kinds} tells of no changes by other hosts")


def _notification_name() -> str:
    import sys

    return {"linux": "inotify", "darwin": "FSEvents", "win32": "ReadDirectoryChanges"}.get(
        sys.platform, "notifications"
    )


def start_watcher(
    kbs: Sequence[KnowledgeBase],
    mode: WatchMode,
    on_hints: Callable[[Iterable[str]], None],
    on_trouble: Callable[[WatchTrouble], None],
) -> tuple[Watcher | None, WatchMode]:
    """Start to watch what the mode says; past the system's limit fall back to sweeping."""
    watched = [kb for kb in kbs if kb.name not in mode.polled]
    roots = sorted({Path(os.path.realpath(kb.root)) for kb in watched if os.path.isdir(kb.root)})
    parents = {
        parent
        for kb in kbs
        for parent in (Path(os.path.realpath(kb.root)).parent, Path(os.path.realpath(kb.root.parent)))
        if os.path.isdir(parent)
    }
    if not roots and not parents:
        return None, mode
    try:
        return Watcher(roots, sorted(parents), on_hints, on_trouble), mode
    except OSError as error:
        everything = frozenset(kb.name for kb in kbs)
        return None, WatchMode("poll", everything, LIMIT_POLL_S, _why_not(error))


def _why_not(error: OSError) -> str:
    if error.errno not in (errno.ENOSPC, errno.EMFILE) and "limit" not in str(error).lower():
        return f"the folders cannot be watched ({error.strerror or error})"
    limits = []
    for name in ("max_user_watches", "max_user_instances"):
        try:
            limits.append(f"fs.inotify.{name}={Path('/proc/sys/fs/inotify', name).read_text().strip()}")
        except OSError:
            continue
    return (
        f"the system watches no more folders ({', '.join(limits)});"
        " raise it: sudo sysctl fs.inotify.max_user_watches=1048576"
    )
