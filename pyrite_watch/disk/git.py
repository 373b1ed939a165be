"""Is git at work in a KB's repository? Then its many writes are one change of the user's.

git takes `index.lock` while it rewrites the working tree. A lock holds the KB's changes only while
it is young, and once: one that a crash left behind must not silence the KB. Between two locks of one
command the hold goes on as long as the command runs, where the system tells that (see `git_process`),
and for a while of quiet in any case.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pyrite_watch.disk.git_process import find_rewriting_git, is_rewriting_git

LOCK_MAX_S = 5.0
"""How long one lock may hold a KB's changes."""

QUIET_S = 0.1
"""How long git must be quiet: `stash`, `pull` and `rebase` take the lock several times in a row, and
what a checkout has written is notified up to 55 ms later (the watcher's debounce and step)."""

REBASE_QUIET_S = 0.5
"""The same while a rebase or a series of picks is under way: between two of its commits git may take longer
to come back, on a busy machine. One that stands open, as a person resolves a conflict, is quiet."""

_SERIES = ("rebase-merge", "rebase-apply", "sequencer")

RECHECK_S = 0.01

_MARKER_MAX_BYTES = 4096 + 16
"""`gitdir: ` and the longest path that Linux takes."""


def find_git_dir(root: Path) -> Path | None:
    """Find the git directory of the repository that holds a folder; None outside of any."""
    return find_repository(root)[0]


def find_repository(root: Path) -> tuple[Path | None, str]:
    """Find the git directory of the repository that holds a folder, and the top of its working tree."""
    folder = Path(os.path.realpath(root))
    for candidate in (folder, *folder.parents):
        marker = candidate / ".git"
        # Not Path.is_dir, which raises where a folder may not be entered (Python 3.11).
        if os.path.isdir(marker):
            return marker, os.fspath(candidate)
        if os.path.isfile(marker):
            return _linked_git_dir(marker), os.fspath(candidate)
    return None, ""


def _linked_git_dir(marker: Path) -> Path | None:
    # A worktree or a submodule: a file that names the directory.
    try:
        with open(marker, "rb") as file:
            text = os.fsdecode(file.read(_MARKER_MAX_BYTES))
    except OSError:
        return None
    if not text.startswith("gitdir:") or "\0" in text:
        return None
    return marker.parent / text.removeprefix("gitdir:").strip()


@dataclass(slots=True)
class _Place:
    """Where a root's repository is; a nearer `.git` than that of `markers` may come at any time."""

    git_dir: Path
    work_tree: str
    markers: tuple[Path, ...]

    @classmethod
    def find(cls, folder: Path) -> _Place | None:
        git_dir, work_tree = find_repository(folder)
        if git_dir is None:
            return None
        below = [one for one in (folder, *folder.parents) if len(one.parts) > len(Path(work_tree).parts)]
        return cls(git_dir, work_tree, tuple(one / ".git" for one in below))

    def is_still_there(self) -> bool:
        return os.path.isdir(self.git_dir) and not any(os.path.lexists(marker) for marker in self.markers)


class GitHolds:
    """The holds of all KBs: those in one repository have one, so that what one command does is one batch.

    One thread uses it.
    """

    def __init__(self) -> None:
        self._places: dict[Path, _Place] = {}
        self._holds: dict[Path, GitHold] = {}

    def of(self, root: Path) -> GitHold | None:
        """Give the hold of the repository that a root is in now; None outside of any."""
        # Each time: `git init` may come after the start, a link may lead elsewhere, and this is a few
        # microseconds.
        folder = Path(os.path.realpath(root))
        place = self._places.get(folder)
        if place is None or not place.is_still_there():
            place = _Place.find(folder)
            if place is None:
                return None
            self._places[folder] = place
        hold = self._holds.get(place.git_dir)
        if hold is None:
            hold = self._holds[place.git_dir] = GitHold(place.git_dir, place.work_tree)
        return hold

    def forget(self, root: Path) -> None:
        """Another folder is in a root's place, perhaps with a repository of its own."""
        place = self._places.pop(Path(os.path.realpath(root)), None)
        if place is not None:
            self._holds.pop(place.git_dir, None)


@dataclass(slots=True)
class GitHold:
    """Whether the changes of one repository are held. One thread uses it; times in seconds, monotonic.

    Until `missing_until_s` a file that was seen to be missing meanwhile may still come back. `has_held` is
    the caller's note that there was something to hold.
    """

    git_dir: Path
    work_tree: str
    missing_until_s: float = float("-inf")
    has_held: bool = False
    _process: int | None = None
    _lock_inode: int | None = None
    _first_seen_s: float = 0.0
    _last_seen_s: float = float("-inf")
    _held_since_s: float | None = None
    _looked_s: float = float("-inf")
    _next_look_s: float = float("-inf")

    def holds(self, now_s: float, wall_s: float) -> bool:
        """Tell whether git is at work at this moment, or was until just now."""
        if now_s - self._looked_s > REBASE_QUIET_S:
            # Nobody looked, as nothing was left to be held: a lock may be another one with the same inode,
            # and a hold that had all its time is over.
            self._lock_inode = None
            if self._held_since_s is not None and now_s - self._held_since_s >= LOCK_MAX_S:
                self._held_since_s = None
        self._looked_s = now_s
        if not self._is_at_work(now_s, wall_s):
            self._held_since_s = None
            return False
        if self._held_since_s is None:
            self._held_since_s = now_s
        # Whatever git does without an end, nobody is kept waiting for longer than one lock may.
        return now_s - self._held_since_s < LOCK_MAX_S

    @property
    def look_s(self) -> float:
        """When was, or will be, the look that was planned last."""
        return self._next_look_s

    def next_look_s(self, now_s: float) -> float:
        """When to ask again: one time for all that is held, so that it is let go together."""
        if self._next_look_s <= now_s:
            self._next_look_s = now_s + RECHECK_S
        return self._next_look_s

    def _is_at_work(self, now_s: float, wall_s: float) -> bool:
        git_dir = self.git_dir
        try:
            status = os.lstat(git_dir / "index.lock")
        except OSError:
            self._lock_inode = None
            is_series = any(os.path.isdir(git_dir / name) for name in _SERIES)
            quiet_s = REBASE_QUIET_S if is_series else QUIET_S
            if now_s - self._last_seen_s < quiet_s or _was_just_written(git_dir / "index", wall_s, quiet_s):
                return True
            # Git alone, without a lock, holds nothing: asked only before a hold ends, and where the hints
            # are late, on a busy machine, and a rebase has just written.
            is_late = is_series and _was_just_written(git_dir / "index", wall_s, LOCK_MAX_S)
            if (self._held_since_s is None and not is_late) or not self._is_running():
                return False
            self._last_seen_s = now_s
            return True
        # Not by its times as well: writing into a lock would make it a new one, which holds anew.
        if status.st_ino != self._lock_inode:
            self._lock_inode = status.st_ino
            self._first_seen_s = now_s - max(0.0, wall_s - status.st_ctime)
        if now_s - self._first_seen_s >= LOCK_MAX_S:
            return False
        self._last_seen_s = now_s
        return True

    def _is_running(self) -> bool:
        if self._process is None or not is_rewriting_git(self._process, self.work_tree):
            self._process = find_rewriting_git(self.work_tree)
        return self._process is not None


def _was_just_written(index: Path, wall_s: float, quiet_s: float) -> bool:
    """A lock that came and went between two looks has become the index.

    Also one that was written after the caller looked at the clock: then git is at work right now.
    """
    try:
        age_s = wall_s - os.lstat(index).st_ctime
    except OSError:
        return False
    return -LOCK_MAX_S < age_s < quiet_s
