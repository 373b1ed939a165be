"""While git rewrites a working tree its KBs' changes wait, and are told together when it is through."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pyrite_watch.disk.git import GitHold, GitHolds
from pyrite_watch.disk.settle import DirtyPath, Settler
from pyrite_watch.roots import Roots, WatchedKb

MAX_LOOKED_OVER = 5_000
"""Up to so many files all are compared when git is through: 0.1 s (20 us each), and a save waits as long."""


class GitPatience:
    """Holds dirty paths back while git is at work. One thread uses it.

    Args:
        find_differing: Walks a KB and lists what is not as the index has it.
        count_files: How many files all KBs have.
    """

    def __init__(
        self,
        roots: Roots,
        settler: Settler,
        find_differing: Callable[[WatchedKb], list[str]],
        count_files: Callable[[], int],
    ) -> None:
        self._roots = roots
        self._settler = settler
        self._find_differing = find_differing
        self._count_files = count_files
        self._holds = GitHolds()

    def forget(self, root: Path) -> None:
        """Another folder is in a root's place, perhaps with a repository of its own."""
        self._holds.forget(root)

    def hold_back(self, by_kb: dict[str, list[DirtyPath]], now_s: float) -> None:
        """Put back what must wait, and add what git has done unnoticed. After an error nothing is decided."""
        # Asked once for all KBs of a repository: what one command does to them is one batch.
        held: dict[int, bool] = {}
        for name in list(by_kb):
            hold = self._holds.of(self._roots[name].kb.root)
            if hold is None or id(hold) in held:
                continue
            held[id(hold)] = hold.holds(now_s, time.time())
            if hold.has_held and not held[id(hold)]:
                self._add_unnoticed(hold, by_kb, now_s)
                hold.has_held = False
        for name in list(by_kb):
            root = self._roots[name].kb.root
            hold = self._holds.of(root)
            if hold is None:
                continue
            if held.get(id(hold)):
                hold.has_held = True
                waiting = [self._note_missing(root, hold, dirty, now_s) for dirty in by_kb.pop(name)]
                due_s = hold.next_look_s(now_s)
            elif now_s < hold.missing_until_s:
                # What git has taken away is told with what it has written: one batch.
                waiting, due_s = by_kb.pop(name), hold.missing_until_s
            else:
                continue
            for dirty in waiting:
                self._settler.put_back(dirty, due_s)

    def _note_missing(self, root: Path, hold: GitHold, dirty: DirtyPath, now_s: float) -> DirtyPath:
        """Let the time of a missing file run while it is held. Looks once for each hint."""
        if dirty.due_s == hold.look_s:
            return dirty
        return self._looked_for(root, hold, dirty, now_s)

    def _looked_for(self, root: Path, hold: GitHold, dirty: DirtyPath, now_s: float) -> DirtyPath:
        if os.path.lexists(root / dirty.path):
            return replace(dirty, missing_since_s=None)
        hold.missing_until_s = now_s + self._settler.settle_s
        return replace(dirty, missing_since_s=now_s)

    def _add_unnoticed(self, hold: GitHold, by_kb: dict[str, list[DirtyPath]], now_s: float) -> None:
        """Find what git has done that no hint has named: on a busy machine they come long after it."""
        if self._count_files() > MAX_LOOKED_OVER:
            return
        for kb in self._roots:
            if not (kb.available and kb.indexed and self._holds.of(kb.kb.root) is hold):
                continue
            hinted = {dirty.path for dirty in by_kb.get(kb.name, ())}
            found = [
                self._looked_for(kb.kb.root, hold, DirtyPath(kb.name, path, "disk", now_s, now_s), now_s)
                for path in self._find_differing(kb)
                if path not in hinted and self._settler.waiting(kb.name, path) is None
            ]
            if found:
                by_kb.setdefault(kb.name, []).extend(found)
