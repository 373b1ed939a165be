"""The watched KBs at run time: which are there, what is hidden in each, and what each says of itself.

Used by the reconciler's thread alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pyrite_watch.disk.ignore import IgnoreRules, read_ignore_rules
from pyrite_watch.disk.root import RootLook, look_at_root
from pyrite_watch.index.files import KbRow
from pyrite_watch.index.store import Availability, Batch
from pyrite_watch.kb_files import KB_FILE, KbYaml, kb_yaml_state, read_kb_yaml
from pyrite_watch.kb_roots import described
from pyrite_watch.model.entry import Problem
from pyrite_watch.model.kb import KbName, KnowledgeBase

RULES_WAIT_S = 0.4
"""How long `.pyriteignore`, or kb.yaml, may take to be written: as long as an entry."""

RULES_GONE_S = 0.12
"""How long it may be away before that is believed: as long as an entry."""


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
    committed: Availability
    """What the index says of the root. Until a look is committed it is noted again and again."""
    replaced: bool = False
    """The root is back, or is another directory: the difference is yet to be told."""
    told_problem: tuple[Problem, ...] | None = None
    """What the index says of its kb.yaml; None before that was written at all."""
    _kb_yaml_state: object = None
    _kb_yaml_since_s: float | None = None
    _rules: IgnoreRules | None = field(default=None, repr=False, compare=False)
    _unfinished_since_s: float | None = None
    all: Sequence[WatchedKb] = field(default=(), repr=False, compare=False)
    """Every KB, this one too, as they were named: no two may have one folder."""

    @property
    def name(self) -> KbName:
        """The KB's name."""
        return self.kb.name

    def read_rules(self, gitignore: bool, now_s: float, may_change: bool) -> IgnoreRules:
        """Read what is hidden now; the rules may be old a moment later, as any hint will tell.

        While a program writes `.pyriteignore`, for `RULES_WAIT_S` at most, the last rules hold; and for
        `RULES_GONE_S` when it is gone. After that, too, for who looks at less than the whole KB (not
        `may_change`): what they hid and what they show is told together.
        """
        waited_s = 0.0
        if self._unfinished_since_s is not None and may_change:
            waited_s = now_s - self._unfinished_since_s
        rules = read_ignore_rules(
            self.kb.root,
            nested=self.nested,
            gitignore=gitignore,
            last=self._rules,
            wait_for_writer=waited_s < RULES_WAIT_S,
            wait_for_return=waited_s < RULES_GONE_S,
        )
        if not rules.is_unfinished:
            self._unfinished_since_s = None
        elif self._unfinished_since_s is None:
            self._unfinished_since_s = now_s
        self._rules = rules
        return rules

    def read_kb_yaml(self, batch: Batch, now_s: float) -> bool:
        """Read what kb.yaml says, where it is another than at the last look; note in the batch what is wrong
        with it. Tell whether that was left for later: what is broken, empty or gone may be half a save, and
        for `RULES_WAIT_S` it says what it said."""
        state = kb_yaml_state(self.kb.root)
        if state is None or state != self._kb_yaml_state:
            about = read_kb_yaml(self.kb.root)
            kb = described(self.kb, about)
            is_half = about.problem is not None or about == KbYaml()
            if is_half and kb != self.kb:
                if self._kb_yaml_since_s is None:
                    self._kb_yaml_since_s = now_s
                if now_s - self._kb_yaml_since_s < RULES_WAIT_S:
                    return True
            self._kb_yaml_state = None if about.is_unread else state
            self.kb, self._kb_yaml_since_s = kb, None
        message, line = self.kb.problem, self.kb.problem_line
        found = (Problem(KB_FILE, "kb_yaml", message, line),) if message else ()
        if found != self.told_problem:
            batch.add_problems(self.name, "kb", {KB_FILE: found})
        return False

    def look(self, batch: Batch) -> bool:
        """Look at the root, note in the batch what is new about it, and tell whether it is there."""
        look = look_at_root(self.kb.root, self.device, self.inode, was_away=not self.available)
        if (rival := self._holder(look)) is not None:
            look = RootLook(None, None, f"it leads to the folder of the knowledge base '{rival.name}'")
        if look.missing is not None:
            self.available = False
        elif not self.available or (look.device, look.inode) != (self.device, self.inode):
            # Never taken back here: only who has told the difference does that.
            self.replaced |= not self.available or self.inode is not None
            self.available, self.device, self.inode = True, look.device, look.inode
        self._note(batch, look.missing)
        return self.available

    def _holder(self, look: RootLook) -> WatchedKb | None:
        """Find another KB that has this folder: links may be pointed at one. Who has it keeps it."""
        if look.missing is not None:
            return None
        found = (look.device, look.inode)
        place = next(place for place, kb in enumerate(self.all) if kb is self)
        is_ours = self.available and found == (self.device, self.inode)
        # Where both have it (links pointed at one while nothing ran), the one that was named first.
        for rival in self.all[:place] if is_ours else self.all:
            if rival is self or not rival.available or found != (rival.device, rival.inode):
                continue
            now = look_at_root(rival.kb.root, rival.device, rival.inode)
            if (now.device, now.inode) == found:  # not only when it was looked at last
                return rival
        return None

    def _note(self, batch: Batch, missing: str | None) -> None:
        availability = Availability(self.available, self.device, self.inode)
        if availability == self.committed:
            return
        batch.availability = {**batch.availability, self.name: availability}
        batch.add_problems(self.name, "kb", {".": (Problem(".", "unavailable", missing),) if missing else ()})


class Roots:
    """All watched KBs, by name, in the order in which they were named."""

    def __init__(self, kbs: Sequence[KnowledgeBase], rows: dict[str, KbRow]) -> None:
        self._kbs: dict[str, WatchedKb] = {}
        for kb in kbs:
            row = rows[kb.name]
            looked = (row.available, row.device, row.inode)
            self._kbs[kb.name] = WatchedKb(kb, row.kb_id, (), row.indexed, *looked, Availability(*looked))
        for watched in self:
            watched.all = tuple(self._kbs.values())
        self.find_nested()

    def __getitem__(self, name: str) -> WatchedKb:
        return self._kbs[name]

    def __iter__(self) -> Iterator[WatchedKb]:
        return iter(self._kbs.values())

    def find_nested(self) -> list[WatchedKb]:
        """Find anew which roots lie inside others (a root may be a link that was pointed elsewhere).

        Returns those whose files are others than before.
        """
        real = {kb.name: Path(os.path.realpath(kb.kb.root)) for kb in self}
        changed = []
        for kb in self:
            own = real[kb.name]
            nested = tuple(root.relative_to(own).as_posix() for root in real.values() if own in root.parents)
            if nested != kb.nested:
                kb.nested = nested
                changed.append(kb)
        return changed

    def look(self, batch: Batch) -> list[WatchedKb]:
        """Look at every root; return those that are back or another directory."""
        for kb in self:
            kb.look(batch)
        return [kb for kb in self if kb.available and kb.replaced]

    def note_committed(self, batch: Batch) -> None:
        """Note that what a look has put into the batch is in the index."""
        for name, availability in batch.availability.items():
            self[name].committed = availability
        for name, scopes in batch.problems.items():
            told = scopes.get("kb", {}).get(KB_FILE)
            if told is not None:
                self[name].told_problem = tuple(told)

    def available(self) -> list[KbName]:
        """The names of those that are there."""
        return [kb.name for kb in self if kb.available]
