"""Is git at work in a KB's repository? Then its many writes are one change of the user's.

git takes `index.lock` while it rewrites the working tree. A lock holds the KB's changes only while
it is young, and once: one that a crash left behind must not silence the KB.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

LOCK_MAX_S = 5.0
"""How long one lock may hold a KB's changes."""

QUIET_S = 0.05
"""How long the lock must be gone: `stash`, `pull` and `rebase` take it several times in a row."""

RECHECK_S = 0.01

_MARKER_MAX_BYTES = 4096 + 16
"""`gitdir: ` and the longest path that Linux takes."""


def find_git_dir(root: Path) -> Path | None:
    """Find the git directory of the repository that holds a folder; None outside of any."""
    folder = Path(os.path.realpath(root))
    for candidate in (folder, *folder.parents):
        marker = candidate / ".git"
        # Not Path.is_dir, which raises where a folder may not be entered (Python 3.11).
        if os.path.isdir(marker):
            return marker
        if os.path.isfile(marker):
            return _linked_git_dir(marker)
    return None


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
class GitHold:
    """Whether the changes of one KB are held. One thread uses it; times in seconds, monotonic."""

    git_dir: Path | None
    _lock_inode: int | None = None
    _first_seen_s: float = 0.0
    _last_seen_s: float = float("-inf")

    def holds(self, now_s: float, wall_s: float) -> bool:
        """Tell whether git is at work at this moment, or was until just now."""
        if self.git_dir is None:
            return False
        try:
            status = os.lstat(self.git_dir / "index.lock")
        except OSError:
            self._lock_inode = None
            return now_s - self._last_seen_s < QUIET_S
        # Not by its times as well: writing into a lock would make it a new one, which holds anew.
        if status.st_ino != self._lock_inode:
            self._lock_inode = status.st_ino
            age_s = wall_s - status.st_ctime
            self._first_seen_s = now_s - max(0.0, age_s)
        if now_s - self._first_seen_s >= LOCK_MAX_S:
            return False
        self._last_seen_s = now_s
        return True
