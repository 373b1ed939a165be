"""Decide which of a pass's missing files are gone, which were renamed, and which may come back.

A missing file waits to come back. The same file under another name ends the wait at once. Another file with
its content or its id does not: it may be a copy, and waits until the time of the missing one is over, to be
told with it as a move. (Bug: git took a file away and wrote it again just as it was looked at, and a new
file happened to have the same content; a move was told that never was.)
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import replace

from pyrite_watch.disk.read import Folder, read_status
from pyrite_watch.disk.settle import DirtyPath, Settler
from pyrite_watch.index import files
from pyrite_watch.index.gather import KbGather, claimed_ids, claims_of
from pyrite_watch.index.heirs import heirs_due
from pyrite_watch.index.owners import FileRecord, Identity
from pyrite_watch.model.entry import EntryId, Revision
from pyrite_watch.model.kb import KbName


def explained(settler: Settler | None, kbs: Iterable[KbGather]) -> list[DirtyPath]:
    """Give the missing files of any KB that wait and whose content has just come elsewhere."""
    if settler is None:
        return []
    came = {
        file.revision
        for kb in kbs
        for path, file in kb.disk.items()
        if file is not None and file.revision and path not in kb.indexed
    }
    return settler.explained_by(came) if came else []


def settle_missing(
    connection: sqlite3.Connection,
    settler: Settler | None,
    kbs: Collection[KbGather],
    now_s: float,
    seen_s: float,
) -> None:
    """Decide which missing files are gone: those that were renamed, and the overdue.

    The others wait, and so does what may be one of them under another name: what they make together is one
    batch. Without a settler nothing waits. `now_s` is when the pass began: all were looked at after it. Whose
    time begins only now, `seen_s`, has all of it: a walk may have taken long.
    """
    if settler is None:
        for kb in kbs:
            kb.disk.update(dict.fromkeys(kb.missing))
            kb.missing.clear()
        return
    for kb in kbs:
        _look_at_owners(connection, settler, kb, now_s)
    if not any(kb.missing for kb in kbs):
        return
    newcomers = _identities_of_newcomers(kbs)
    gone, waiting = _Missing(), _Missing()
    for kb in kbs:
        unexplained: list[DirtyPath] = []
        heirs = heirs_due(settler, kb)
        for path, hint in kb.missing.items():
            record = kb.indexed[path]
            if record.entry_id is not None and record.identity in newcomers:
                kb.disk[path] = None
                gone.add(kb.kb_name, record)
            else:
                unexplained.append(replace(hint, missing_revisions=_contents_of(record)))
        for dirty in settler.wait_missing(unexplained, now_s, seen_s):
            if kb.rules.is_unfinished and (whole := settler.waiting(kb.kb_name, "")) is not None:
                # The rules file is away, too, or half written: what it hides may have the same id, and is
                # looked at when that is decided. (Bug: `git stash` took away both, and the id was told as
                # deleted, then as created in a file that had been hidden.)
                settler.put_back(dirty, whole.due_s)
                continue
            entry_id = kb.indexed[dirty.path].entry_id
            if entry_id is not None and entry_id in heirs:
                settler.put_back(dirty, heirs[entry_id])
                continue
            kb.disk[dirty.path] = None
            gone.add(kb.kb_name, kb.indexed[dirty.path])
        for path in kb.missing.keys() - kb.disk.keys():
            still = settler.waiting(kb.kb_name, path)
            assert still is not None
            waiting.add(kb.kb_name, kb.indexed[path], still.due_s)
        kb.missing.clear()
    for kb in kbs:
        _hold_newcomers(settler, kb, gone, waiting, now_s)


class _Missing:
    """Entries whose files are missing, by what would be the same elsewhere: their ids and contents.

    Of those that wait it knows until when.
    """

    def __init__(self) -> None:
        self._ids: dict[tuple[KbName, EntryId], float] = {}
        self._contents: dict[Revision, float] = {}

    def add(self, kb_name: KbName, record: FileRecord, due_s: float = 0.0) -> None:
        """Add one; a file that never was an entry is nobody's other name."""
        if record.entry_id is None:
            return
        self._ids[kb_name, record.entry_id] = due_s
        for revision in _contents_of(record):
            self._contents[revision] = max(due_s, self._contents.get(revision, 0.0))

    def due_of(self, kb: KbGather, path: str) -> float | None:
        """Give until when those wait that this file may be; None where it is none of these."""
        file, known = kb.disk[path], kb.indexed.get(path)
        assert file is not None
        due_s = [self._ids.get((kb.kb_name, claim)) for claim in claims_of(kb, path)]
        if known is None or known.revision != file.revision:
            due_s.append(self._contents.get(file.revision))
        return max((known_s for known_s in due_s if known_s is not None), default=None)


def _contents_of(record: FileRecord) -> frozenset[Revision]:
    return frozenset(filter(None, (record.revision, record.good_revision)))


def _identities_of_newcomers(kbs: Iterable[KbGather]) -> set[Identity]:
    """The files that this pass has found under a name that was not theirs."""
    found: set[Identity] = set()
    for kb in kbs:
        for path, file in kb.disk.items():
            known = kb.indexed.get(path)
            if file is None or file.identity is None:
                continue
            if known is None or known.identity != file.identity:
                found.add(file.identity)
    return found


def _look_at_owners(connection: sqlite3.Connection, settler: Settler, kb: KbGather, now_s: float) -> None:
    """Bring in the owners of claimed ids that are not there: they may come back as any other file."""
    if kb.fresh or not (ids := claimed_ids(kb)):
        return
    for record in files.load_owners(connection, kb.kb_id, ids).values():
        path = record.path
        if path in kb.disk or path in kb.missing or kb.rules.path_rule(path) is not None:
            continue
        looked = read_status(kb.root, path)
        if looked is None or isinstance(looked, Folder):
            kb.indexed[path] = record
            kb.origins.setdefault(path, "disk")
            hint = settler.waiting(kb.kb_name, path)
            kb.missing[path] = hint or DirtyPath(kb.kb_name, path, "disk", now_s, now_s)


def _hold_newcomers(settler: Settler, kb: KbGather, gone: _Missing, waiting: _Missing, now_s: float) -> None:
    """Put back the files that may be a missing one which still waits, and none that is known to be gone."""
    for path, file in list(kb.disk.items()):
        if file is None:
            continue
        due_s = waiting.due_of(kb, path)
        if due_s is not None and gone.due_of(kb, path) is None:
            settler.put_back(DirtyPath(kb.kb_name, path, kb.origins[path], now_s, now_s), due_s)
            del kb.disk[path]
