"""The watched KBs at run time: which are there, and what is hidden in each.

Used by the reconciler's thread alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyrite_watch.disk import git
from pyrite_watch.disk.ignore import IgnoreRules, read_ignore_rules
from pyrite_watch.disk.root import look_at_root
from pyrite_watch.index.files import KbRow
from pyrite_watch.index.store import Availability, Batch
from pyrite_watch.model.entry import Problem
from pyrite_watch.model.kb import KbName, KnowledgeBase


@dataclass(slots=True)
class WatchedKb:
    """A KB and what the last look at its root said."""

    kb: KnowledgeBase
    kb_id: int
    nested: tuple[str, ...]
    """Roots of other KBs inside this one, relative to it: their files are not ours."""
    indexed: bool
    available: bool
    device: int | None
    inode: int | None
    git_hold: git.GitHold
    replaced: bool = False
    """The root is back, or is another directory: the difference is yet to be told."""

    @property
    def name(self) -> KbName:
        """The KB's name."""
        return self.kb.name

    def read_rules(self, gitignore: bool) -> IgnoreRules:
        """Read what is hidden now; the rules may be old a moment later, as any hint will tell."""
        return read_ignore_rules(self.kb.root, nested=self.nested, gitignore=gitignore)

    def look(self, batch: Batch) -> bool:
        """Look at the root, note in the batch what is new about it, and tell whether it is there."""
        look = look_at_root(self.kb.root, self.device, self.inode)
        if look.missing is not None:
            if self.available:
                self.available = False
                self._note(batch, look.missing)
            return False
        if self.available and (look.device, look.inode) == (self.device, self.inode):
            return True
        self.replaced = not self.available or self.inode is not None
        self.available, self.device, self.inode = True, look.device, look.inode
        self.git_hold = git.GitHold(git.find_git_dir(self.kb.root))
        self._note(batch, None)
        return True

    def _note(self, batch: Batch, missing: str | None) -> None:
        availability = Availability(self.available, self.device, self.inode)
        batch.availability = {**batch.availability, self.name: availability}
        batch.add_problems(self.name, "kb", {".": (Problem(".", "unavailable", missing),) if missing else ()})


class Roots:
    """All watched KBs, by name, in the order in which they were named."""

    def __init__(self, kbs: Sequence[KnowledgeBase], rows: dict[str, KbRow]) -> None:
        real = {kb.name: Path(os.path.realpath(kb.root)) for kb in kbs}
        self._kbs: dict[str, WatchedKb] = {}
        for kb in kbs:
            row = rows[kb.name]
            nested = tuple(
                root.relative_to(real[kb.name]).as_posix()
                for root in real.values()
                if real[kb.name] in root.parents
            )
            hold = git.GitHold(git.find_git_dir(kb.root))
            self._kbs[kb.name] = WatchedKb(
                kb, row.kb_id, nested, row.indexed, row.available, row.device, row.inode, hold
            )

    def __getitem__(self, name: str) -> WatchedKb:
        return self._kbs[name]

    def __iter__(self) -> Iterator[WatchedKb]:
        return iter(self._kbs.values())

    def look(self, batch: Batch) -> list[WatchedKb]:
        """Look at every root; return those that are back or another directory."""
        for kb in self:
            kb.look(batch)
        return [kb for kb in self if kb.available and kb.replaced]

    def available(self) -> list[KbName]:
        """The names of those that are there."""
        return [kb.name for kb in self if kb.available]
