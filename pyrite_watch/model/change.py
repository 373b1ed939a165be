"""A change: a fact about one entry, before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pyrite_watch.model.entry import EntryId, Revision
from pyrite_watch.model.kb import KbName

Origin = Literal["disk", "api", "sweep"]


@dataclass(frozen=True, slots=True)
class EntryRef:
    """Where an entry is and what it holds."""

    path: str
    revision: Revision


@dataclass(frozen=True, slots=True)
class EntryKey:
    """An entry's name in all KBs."""

    kb_name: KbName
    entry_id: EntryId


@dataclass(frozen=True, slots=True)
class Change:
    """One entry that is not as it was: `before` is None when it came, `after` when it went."""

    key: EntryKey
    before: EntryRef | None
    after: EntryRef | None
    moved_from: EntryKey | None = None
    moved_to: EntryKey | None = None

    @property
    def path(self) -> str:
        """The path it is told under: the new one; for a deletion the old one."""
        ref = self.after or self.before
        assert ref is not None
        return ref.path
