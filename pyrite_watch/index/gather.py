"""Turn dirty paths into views: look at the disk, load what is known, and leave out what must wait.

A hint names a path, not what happened to it. So a folder is walked, a name that is gone may have
been a folder, and a file that claims an id is looked at together with the file that owns it.
Nothing here writes.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from pyrite_watch.disk.ignore import IgnoreRules
from pyrite_watch.disk.parse import parse_entry, revision_of
from pyrite_watch.disk.read import Folder, RawFile, Unreadable, read_file, read_status
from pyrite_watch.disk.scan import scan_tree
from pyrite_watch.disk.settle import DirtyPath, Settler, merge
from pyrite_watch.index import files
from pyrite_watch.index.owners import EMPTY_REVISION, FileOnDisk, FileRecord, KbView, claim_of, path_id
from pyrite_watch.index.reconcile import judge
from pyrite_watch.model.change import Origin
from pyrite_watch.model.entry import EntryId, FileState, ParsedFile, Problem, Revision
from pyrite_watch.model.kb import KbName

MAX_BATCH_PATHS = 10_000
MAX_BATCH_BYTES = 64 << 20
"""Bounds of one transaction, and so of the memory that a storm takes."""

FOLDER_LOOKS_S = (0.06, 0.4)
"""Race: watchfiles names a new folder before it watches it (1.3.0), so what is written at once is
never named: a folder is walked again after these times."""

_NEVER_READ = Revision("")


class Unfinished(NamedTuple):
    """A file that may be half written, as it was looked at: when, and how old its last change was then.

    Noted then: a batch may take longer than a half has time to become whole.
    """

    dirty: DirtyPath
    file: FileOnDisk
    is_open: bool
    seen_s: float
    changed_ago_s: float


@dataclass(slots=True)
class KbGather:
    """One KB's part of a pass, while it is gathered."""

    kb_name: KbName
    kb_id: int
    root: Path
    rules: IgnoreRules
    fresh: bool
    disk: dict[str, FileOnDisk | None] = field(default_factory=dict)
    indexed: dict[str, FileRecord] = field(default_factory=dict)
    owners: dict[EntryId, FileRecord] = field(default_factory=dict)
    missing: dict[str, DirtyPath] = field(default_factory=dict)
    scan_problems: dict[str, tuple[Problem, ...]] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    unfinished: dict[str, Unfinished] = field(default_factory=dict)
    """Files that may wait for their end: decided when all that went is known."""
    with_problem: frozenset[str] | None = None
    """The paths of files with a problem, loaded when first asked for."""
    changed_at_s: float = 0.0
    read_bytes: int = 0

    def view(self) -> KbView:
        """What `plan_kb` decides upon."""
        return KbView(self.kb_name, self.indexed, self.disk, self.owners, self.fresh)


class Gatherer:
    """Gathers one pass. `settler` None means that nothing waits: a first index, or a `sync`.

    `deferred` are files that a program is writing and that had to be left out: nobody may tell a half.
    They are to be looked at again, with a settler's patience.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        settler: Settler | None,
        max_entry_bytes: int,
        clock: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._settler = settler
        self._max_entry_bytes = max_entry_bytes
        self._clock = clock
        self.now_s = clock()
        """When the pass began."""
        self.deferred: list[tuple[KbName, str, Origin]] = []

    def gather(self, kb: KbGather, dirty: Iterable[DirtyPath]) -> list[DirtyPath]:
        """Look at the dirty paths of one KB; return those for which the batch has no room."""
        hints: dict[str, DirtyPath] = {}
        for hint in dirty:
            known = hints.get(hint.path)
            hints[hint.path] = hint if known is None else merge(known, hint)
        order = sorted(hints)
        # Those beyond are not even looked for: else a storm would be asked for in full with each batch.
        rest = [hints[path] for path in order[MAX_BATCH_PATHS:]]
        candidates: dict[str, DirtyPath] = {}
        for path in order[:MAX_BATCH_PATHS]:
            self._expand(kb, hints[path], candidates)
        kb.indexed.update(files.load_records(self._connection, kb.kb_id, candidates))
        for path in sorted(candidates):
            if len(kb.disk) >= MAX_BATCH_PATHS or kb.read_bytes >= MAX_BATCH_BYTES:
                rest.append(candidates[path])
            else:
                self.look(kb, candidates[path])
        return rest

    def close(self, kb: KbGather) -> None:
        """Look at every other file that the batch concerns: owners of claimed ids, and heirs."""
        asked: set[EntryId] = set()
        freed: set[EntryId] = set()
        while True:
            ids = claimed_ids(kb) - asked
            more_freed = freed_ids(kb) - freed
            if not ids and not more_freed:
                return
            asked |= ids
            freed |= more_freed
            owners = files.load_owners(self._connection, kb.kb_id, ids)
            outside = {entry_id: record for entry_id, record in owners.items() if record.path not in kb.disk}
            kb.owners.update(outside)
            paths = [record.path for record in outside.values() if self._concerns(kb, record)]
            for path in files.load_waiting_paths(self._connection, kb.kb_id, more_freed):
                file = kb.disk.get(path)
                if path not in kb.disk or (file is not None and file.parsed is None):
                    paths.append(path)
            kb.indexed.update(files.load_records(self._connection, kb.kb_id, paths))
            for path in paths:
                self._look_closely(kb, path)

    def _expand(self, kb: KbGather, dirty: DirtyPath, candidates: dict[str, DirtyPath]) -> None:
        path = dirty.path

        def add(name: str) -> None:
            # The hint for a folder may be old; what is found in it has its time from now on. (Bug: in a
            # storm a file was told as empty that was being written.)
            since_s = dirty.since_s if name == path else self.now_s
            found = replace(dirty, path=name, is_folder_look=False, since_s=since_s)
            # It may have a hint of its own, which is older and says who saw it.
            known = candidates.get(name)
            if known is None and self._settler is not None:
                known = self._settler.waiting(kb.kb_name, name)
            candidates[name] = found if known is None else merge(known, found)

        looked = read_status(kb.root, path) if path else Folder()
        if isinstance(looked, Folder) and (path == "" or kb.rules.path_rule(path, folder=True) is None):
            for below in self.differing(kb, path):
                add(below)
            if self._settler is not None and path and not dirty.is_folder_look:
                self._settler.look_again(kb.kb_name, path, self.now_s, FOLDER_LOOKS_S)
            return
        if path.endswith(".md"):
            add(path)
        elif isinstance(looked, Unreadable) and kb.rules.path_rule(path, folder=True) is None:
            # A folder above it can't be opened: walking that one says so, and knows what it hides.
            self._expand(kb, replace(dirty, path=path.rpartition("/")[0]), candidates)
            return
        # What was a folder may be gone, or hidden by a new rule, or a file now.
        for below in files.load_paths_below(self._connection, kb.kb_id, path):
            add(below)

    def differing(self, kb: KbGather, folder: str) -> list[str]:
        """Walk a folder ("" is the root) and list what is not as the index remembers it."""
        scan = scan_tree(kb.root, kb.rules, folder)
        known = set(files.load_problem_paths(self._connection, kb.kb_id, "scan", folder))
        found = scan.problems if folder else [*scan.problems, *kb.rules.problems]
        kb.scan_problems.update(files.paths_of(found, known))
        states = self._known_states(kb, folder, scan.files)
        differing = [
            path
            for path, state in scan.files.items()
            if path not in states or states[path] != files.signed_state(state)
        ]
        differing += [path for path in states if path not in scan.files and not scan.hides(path)]
        return sorted(differing)

    def _known_states(self, kb: KbGather, folder: str, found: Collection[str]) -> dict[str, FileState | None]:
        if not folder:
            return files.load_states(self._connection, kb.kb_id)
        paths = {*files.load_paths_below(self._connection, kb.kb_id, folder), *found}
        if folder.endswith(".md"):
            paths.add(folder)  # the folder has taken the place of a file
        records = files.load_records(self._connection, kb.kb_id, paths)
        return {path: record.state for path, record in records.items()}

    def look(self, kb: KbGather, dirty: DirtyPath) -> None:
        """Look at one file, whose record is loaded: it is taken, missing, or unfinished."""
        path = dirty.path
        record = kb.indexed.get(path)
        kb.origins[path] = dirty.origin
        if kb.rules.path_rule(path) is not None:
            # Hidden by a rule: there is nothing to wait for.
            self._forget(kb, path, record)
            return
        raw = read_file(kb.root, path, self._max_entry_bytes)
        if raw is None or isinstance(raw, Folder):
            if record is not None:
                kb.missing[path] = dirty
            else:
                self._forget(kb, path, record)
            return
        # One that waits for an id takes it when nobody else has it any more: what it asks for must be known.
        waits = record is not None and record.entry_id is None and record.claim is not None
        file = _file_on_disk(kb, path, record, raw, closely=waits)
        is_open = isinstance(raw, RawFile) and raw.open_for_writing
        if self._settler is None and is_open and file.parsed is not None:
            self.deferred.append((kb.kb_name, path, dirty.origin))
        elif self._settler is not None and _is_incomplete(file, raw) and file.state is not None:
            # Race: ext4 cuts a file before it gives it its new time, on a busy disk by a tenth of a second.
            # Until then it looks as if it had been left like this long ago.
            is_cut = record is not None and record.state is not None and _is_cut(record.state, file.state)
            age_s = 0.0 if is_open or is_cut else max(0.0, time.time() - file.state.ctime_ns / 1e9)
            kb.unfinished[path] = Unfinished(dirty, file, is_open, self._clock(), age_s)
        else:
            self._take(kb, path, file)

    def _take(self, kb: KbGather, path: str, file: FileOnDisk) -> None:
        kb.disk[path] = file
        if file.state is not None:
            kb.changed_at_s = max(kb.changed_at_s, file.state.ctime_ns / 1e9)

    def settle_unfinished(self, kbs: Collection[KbGather]) -> None:
        """Decide which unfinished files wait for their end.

        One with the bytes of a file that is missing is that file, renamed: it is as finished as it was.
        """
        settler = self._settler
        for kb in kbs:
            gone = {kb.indexed[path].revision for kb in kbs for path in kb.missing}
            for path, (dirty, file, is_open, seen_s, changed_ago_s) in kb.unfinished.items():
                assert settler is not None
                may_be_moved = path not in kb.indexed and not is_open
                if may_be_moved and (file.revision in gone or settler.explained_by([file.revision])):
                    self._take(kb, path, file)
                    continue
                if not settler.wait_incomplete(dirty, seen_s, changed_ago_s):
                    self._take(kb, path, file)
            kb.unfinished.clear()

    def _forget(self, kb: KbGather, path: str, record: FileRecord | None) -> None:
        if kb.with_problem is None:
            kb.with_problem = frozenset(files.load_problem_paths(self._connection, kb.kb_id, "file"))
        if record is not None or path in kb.with_problem:
            kb.disk[path] = None

    def _look_closely(self, kb: KbGather, path: str) -> None:
        """Read and parse, whatever its state says; nothing waits."""
        hidden = kb.rules.path_rule(path) is not None
        raw = None if hidden else read_file(kb.root, path, self._max_entry_bytes)
        if raw is None or isinstance(raw, Folder):
            kb.disk[path] = None
        elif isinstance(raw, RawFile) and raw.open_for_writing:
            self.deferred.append((kb.kb_name, path, "disk"))
        else:
            kb.disk[path] = _file_on_disk(kb, path, kb.indexed.get(path), raw, closely=True)

    def _concerns(self, kb: KbGather, owner: FileRecord) -> bool:
        if kb.fresh and not owner.explicit:
            return True  # without history an explicit id goes before a derived one
        if kb.rules.path_rule(owner.path) is not None:
            return True
        looked = read_status(kb.root, owner.path)
        if looked is None or isinstance(looked, Folder):
            return True
        return isinstance(looked, FileState) and owner.state != files.signed_state(looked)


def _file_on_disk(
    kb: KbGather, path: str, record: FileRecord | None, raw: RawFile | Unreadable, closely: bool = False
) -> FileOnDisk:
    if isinstance(raw, Unreadable):
        state = None if raw.state is None else files.signed_state(raw.state)
        # What could not be read may be readable in a moment, and what is too big allowed at the next start,
        # without another state; to try again costs little. What is no file does not become one.
        may_pass = raw.problem.kind != "not_a_file"
        return FileOnDisk(path, state, _NEVER_READ, ParsedFile(None, (raw.problem,)), racy=may_pass)
    state = files.signed_state(raw.state)
    revision = revision_of(raw.data)
    if record is not None and revision == record.revision and not closely:
        return FileOnDisk(path, state, revision, None, raw.racy)
    kb.read_bytes += len(raw.data)
    return judge(FileOnDisk(path, state, revision, parse_entry(raw.data, path), raw.racy), record)


def _is_cut(known: FileState, now: FileState) -> bool:
    """Whether it is another by its size and by no time. Not all may ask who writes it."""
    return known.size != now.size and known.ctime_ns == now.ctime_ns


def _is_incomplete(file: FileOnDisk, raw: RawFile | Unreadable) -> bool:
    if file.parsed is None or isinstance(raw, Unreadable):
        return False
    content = file.content
    return (
        raw.open_for_writing or content is None or content.form == "open" or file.revision == EMPTY_REVISION
    )


def claimed_ids(kb: KbGather) -> set[EntryId]:
    """The ids that files of the batch ask for and do not have."""
    return set().union(*(claims_of(kb, path) for path in kb.disk))


def claims_of(kb: KbGather, path: str) -> set[EntryId]:
    """The ids that one file of the batch asks for and does not have."""
    file = kb.disk[path]
    content = file.content if file is not None else None
    if content is None:
        return set()
    _, claim = claim_of(content)
    record = kb.indexed.get(path)
    if record is not None and record.entry_id == claim and not kb.fresh:
        return set()
    return {claim} if content.explicit_id is not None else {claim, path_id(path)}


def freed_ids(kb: KbGather) -> set[EntryId]:
    """The ids that files of the batch may give up."""
    ids: set[EntryId] = set()
    for path, record in kb.indexed.items():
        if record.entry_id is None or path not in kb.disk:
            continue
        file = kb.disk[path]
        if file is None or (
            file.content is not None and claim_of(file.content) != (record.explicit, record.claim)
        ):
            ids.add(record.entry_id)
    return ids
