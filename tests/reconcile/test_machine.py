"""Invariant 8 as a state machine: whatever happens to the files, and whatever the hints say or leave out,
the settled index is the disk, and the events alone lead there.

`HYPOTHESIS_PROFILE=long` runs it at length.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.reader import BadFileError, entry_paths, parse_front_matter, read_kb, revision_of
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from .bed import BAD, Bed, note

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"

KBS = ("one", "two")
FOLDERS = ("", "f/", "f/g/", "h.md/")
# A stem is in one folder only, as ids that several stems would share are kept by history.
FILES = [f"{folder}{number}{'abcd'[place]}.md" for place, folder in enumerate(FOLDERS) for number in (1, 2)]
IDS = ("x", "y", "z")
CONTENTS = [
    note(),
    note(None, "texT"),  # the same size: only the times and the racy rule tell
    note(None, "other"),
    *(note(entry_id) for entry_id in IDS),
    *(note(entry_id, "other") for entry_id in IDS),
    BAD,
    "---\nid: x\n<<<<<<< ours\n=======\n>>>>>>> theirs\n---\n",
    "---\n- a list\n---\n",
    note("x", "<<<<<<< ours\n=======\n>>>>>>> theirs"),
]
HIDDEN: dict[str, Callable[[str], bool]] = {
    "": lambda path: False,
    "1*\n": lambda path: any(part.startswith("1") for part in path.split("/")),
    "f/\n": lambda path: path.startswith("f/"),
    "/f/g/\n": lambda path: path.startswith("f/g/"),
    "*.md\n!2a.md\n": lambda path: path != "2a.md",
    "h.md\n": lambda path: path.startswith("h.md"),
}
RULES = list(HIDDEN)

kbs = st.sampled_from(KBS)
files = st.sampled_from(FILES)
folders = st.sampled_from(["f", "f/g", "h.md"])
contents = st.sampled_from(CONTENTS)
when = st.sampled_from(["now", "now", "late", "lost", "folder", "all"])


class Edits(RuleBasedStateMachine):
    """Two KBs that are edited, hinted about, swept and restarted."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self.bed = Bed(self.folder, KBS)
        for number, name in enumerate(FILES[:3]):
            self.bed.write(name, note(IDS[number]), "one")
        self.bed.start()
        self.late: list[tuple[str, str]] = []
        self.lost = False
        self.hiding = dict.fromkeys(KBS, "")

    def teardown(self) -> None:
        if hasattr(self, "bed"):
            try:
                self.settle_and_check()
            finally:
                self.bed.close()
                shutil.rmtree(self.folder)

    # -- edits -----------------------------------------------------------------------------

    def _hint(self, how: str, *paths: tuple[str, str]) -> None:
        for kb, path in paths:
            if how == "now":
                self.bed.hint(path, kb=kb)
            elif how == "folder":
                self.bed.hint(path.rpartition("/")[0] or path, kb=kb)
            elif how == "late":
                self.late.append((kb, path))
            elif how == "lost":
                self.lost = True
            elif how == "all":
                self.bed.hint("", kb=kb)

    def _make_room(self, full: Path) -> bool:
        """Make the folders of a path; tell whether it can be a file now."""
        try:
            full.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            return False
        return not full.is_dir()

    @rule(kb=kbs, name=files, content=contents, how=when, rename=st.booleans())
    def write(self, kb: str, name: str, content: str, how: str, rename: bool) -> None:
        full = self.bed.path(name, kb)
        if not self._make_room(full):
            return
        if rename:
            temporary = full.with_name(full.name + ".tmp")
            temporary.write_text(content)
            os.replace(temporary, full)
        else:
            full.write_text(content)
        self._hint(how, (kb, name))

    @rule(kb=kbs, name=files, how=when)
    def append(self, kb: str, name: str, how: str) -> None:
        full = self.bed.path(name, kb)
        if full.is_file():
            with open(full, "a") as file:
                file.write("more\n")
            self._hint(how, (kb, name))

    @rule(kb=kbs, name=files, how=when, mtime_s=st.sampled_from([None, 1, 4_000_000_000]))
    def touch(self, kb: str, name: str, how: str, mtime_s: int | None) -> None:
        full = self.bed.path(name, kb)
        if full.is_file():
            os.utime(full, None if mtime_s is None else (mtime_s, mtime_s))
            self._hint(how, (kb, name))

    @rule(kb=kbs, name=files, how=when)
    def delete(self, kb: str, name: str, how: str) -> None:
        full = self.bed.path(name, kb)
        if full.is_file():
            full.unlink()
            self._hint(how, (kb, name))

    @rule(kb=kbs, to_kb=kbs, name=files, to=files, how=when, new_first=st.booleans())
    def move(self, kb: str, to_kb: str, name: str, to: str, how: str, new_first: bool) -> None:
        full, target = self.bed.path(name, kb), self.bed.path(to, to_kb)
        if full.is_file() and self._make_room(target):
            os.replace(full, target)
            hints = [(to_kb, to), (kb, name)]
            self._hint(how, *(hints if new_first else reversed(hints)))

    @rule(kb=kbs, one=files, other=files, how=when)
    def swap(self, kb: str, one: str, other: str, how: str) -> None:
        first, second = self.bed.path(one, kb), self.bed.path(other, kb)
        if one != other and first.is_file() and second.is_file():
            temporary = first.with_name("swap.tmp")
            os.replace(first, temporary)
            os.replace(second, first)
            os.replace(temporary, second)
            self._hint(how, (kb, one), (kb, other))

    @rule(kb=kbs, to_kb=kbs, folder=folders, how=when)
    def move_folder(self, kb: str, to_kb: str, folder: str, how: str) -> None:
        full, target = self.bed.path(folder, kb), self.bed.path(folder, to_kb)
        if kb != to_kb and full.is_dir() and not target.exists() and target.parent.is_dir():
            os.rename(full, target)
            self._hint(how, (kb, folder), (to_kb, folder))

    @rule(kb=kbs, folder=folders, how=when, hidden=st.booleans())
    def put_folder_aside(self, kb: str, folder: str, how: str, hidden: bool) -> None:
        """A folder leaves the KB, or goes into a hidden one; it comes back by the same rule."""
        full = self.bed.path(folder, kb)
        place = self.bed.path(".hidden", kb) if hidden else self.folder / f"aside-{kb}"
        place.mkdir(exist_ok=True)
        aside = place / folder.replace("/", "_")
        if full.is_dir() and not aside.exists():
            os.rename(full, aside)
        elif aside.exists() and not full.exists() and full.parent.is_dir():
            os.rename(aside, full)
        self._hint(how, (kb, folder))

    @rule(kb=kbs, folder=folders, content=contents, how=when)
    def file_for_folder(self, kb: str, folder: str, content: str, how: str) -> None:
        """`h.md/` with all that is in it becomes a file, or the file goes."""
        full = self.bed.path("h.md", kb)
        if full.is_dir():
            shutil.rmtree(full)
            full.write_text(content)
        elif full.is_file():
            full.unlink()
        self._hint(how, (kb, "h.md"))

    @rule(kb=kbs, patterns=st.sampled_from(RULES), how=when)
    def ignore(self, kb: str, patterns: str, how: str) -> None:
        self.bed.write(".pyriteignore", patterns, kb)
        self.hiding[kb] = patterns
        self._hint("all" if how == "folder" else how, (kb, ".pyriteignore"))

    # -- hints and time --------------------------------------------------------------------

    @rule(kb=kbs, path=st.sampled_from([*FILES, "f", "h.md", "none", "none/a.md", "x.txt", ""]))
    def hint_without_reason(self, kb: str, path: str) -> None:
        self.bed.hint(path, kb=kb)

    @rule(order=st.randoms(use_true_random=False))
    def late_hints(self, order: random.Random) -> None:
        order.shuffle(self.late)
        for kb, path in self.late:
            self.bed.hint(path, kb=kb)
        self.late.clear()

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.06, 0.13, 0.5, 3.0]))
    def run(self, seconds: float) -> None:
        self.bed.advance(seconds)

    @rule()
    def sweep(self) -> None:
        self.bed.reconciler.sweep()

    @rule()
    def sync(self) -> None:
        self.bed.reconciler.sync(KBS)

    @rule()
    def restart(self) -> None:
        self.bed.restart()
        self.late.clear()
        self.lost = False

    @rule()
    def settle_and_check(self) -> None:
        self.bed.settle()
        if not self.lost and not self.late:
            # Every change was named, somehow: no sweep is needed.
            for kb in KBS:
                self._check(kb)
        self.bed.sweep()
        self.lost = False
        for kb in KBS:
            self._check(kb)
        assert self.bed.replica.epoch == self.bed.store.position.epoch
        self.bed.check_events()
        logged = self.bed.store.connection.execute("SELECT message FROM event ORDER BY offset").fetchall()
        assert len(logged) == len(self.bed.events)
        before = len(self.bed.events)
        self.bed.sweep()
        assert len(self.bed.events) == before, "a second sweep found something"

    def _check(self, kb: str) -> None:
        root, hidden = self.bed.roots[kb], HIDDEN[self.hiding[kb]]
        entries = self.bed.entries(kb)
        claims: dict[str, set[str]] = {}
        revisions: dict[str, str] = {}
        bad: set[str] = set()
        for path in entry_paths(root):
            if hidden(path):
                continue
            content = (root / path).read_bytes()
            revisions[path] = revision_of(content)
            try:
                claimed = parse_front_matter(content).get("id") or path.rpartition("/")[2][:-3]
                claims.setdefault(claimed, set()).add(path)
            except BadFileError:
                bad.add(path)
        problems = {path for path, _ in self.bed.problems()}
        for entry_id, (path, revision) in entries.items():
            assert path in bad or (path in claims.get(entry_id, ()) and revision == revisions[path])
        assert len({path for path, _ in entries.values()}) == len(entries)
        for entry_id, paths in claims.items():
            owner, _ = entries[entry_id]
            assert owner in paths | bad
            assert not paths - {owner} or {*paths} - {owner} <= problems
        assert bad <= problems
        if not bad and self.hiding[kb] == "" and all(len(paths) == 1 for paths in claims.values()):
            assert entries == read_kb(root).entries


@pytest.mark.timeout(3600 if LONG else 60)
class TestEdits(Edits.TestCase):  # type: ignore[misc,valid-type]
    """Run the machine."""


TestEdits.settings = settings(
    max_examples=2_000 if LONG else 60,
    stateful_step_count=60 if LONG else 30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
