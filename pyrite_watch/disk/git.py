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


def find_git_dir(root: Path) -> Path | None:
    """Find the git directory of the repository that holds a folder; None outside of any."""
    folder = Path(os.path.realpath(root))
    for candidate in (folder, *folder.parents):
        marker = candidate / ".git"
        if marker.is_dir():
            return marker
        if marker.is_file():
            return _linked_git_dir(marker)
    return None


def _linked_git_dir(marker: Path) -> Path | None:
    # A worktree or a submodule: a file that names the directory.
    try:
        text = marker.read_text("utf-8", "surrogateescape")[:4096]
    except OSError:
        return None
    if not text.startswith("gitdir:"):
        return None
    return marker.parent / text.removeprefix("gitdir:").strip()


@dataclass(slots=True)
class GitHold:
    """Whether the changes of one KB are held. One thread uses it; times in seconds, monotonic."""

    git_dir: Path | None
    _lock: tuple[int, int] | None = None
    _first_seen_s: float = 0.0
    _last_seen_s: float = float("-inf")

    def holds(self, now_s: float, wall_s: float) -> bool:
        """Tell whether git is at work at this moment, or was until just now."""
        if self.git_dir is None:
            return False
        try:
            status = os.lstat(self.git_dir / "index.lock")
        except OSError:
            return now_s - self._last_seen_s < QUIET_S
        lock = (status.st_ino, status.st_ctime_ns)
        if lock != self._lock:
            self._lock = lock
            age_s = wall_s - status.st_ctime
            self._first_seen_s = now_s - max(0.0, age_s)
        if now_s - self._first_seen_s >= LOCK_MAX_S:
            return False
        self._last_seen_s = now_s
        return True
