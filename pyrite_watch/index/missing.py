"""Decide which of a pass's missing files are gone, which have been moved, and which may come back.

A missing file waits to come back. What has come elsewhere ends the wait: the same file under another
name at once, and another file with its content or its id after a moment in which it stays away. (Bug:
`git checkout --force` took a file away and wrote it again just as it was looked at, and a new file
happened to have the same content; a move was told that never was.)
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from pyrite_watch.disk.read import Folder, read_status
from pyrite_watch.disk.settle import DirtyPath, Settler
from pyrite_watch.index import files
from pyrite_watch.index.gather import KbGather, claimed_ids, claims_of
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
    connection: sqlite3.Connection, settler: Settler | None, kbs: Collection[KbGather], now_s: float
) -> None:
    """Decide which missing files are gone: those that another file explains, and the overdue.

    One that is not known to be away for long enough waits, and so do the files that explain it: what
    they make together is one batch. Without a settler nothing waits.
    """
    if settler is None:
        for kb in kbs:
            kb.disk.update(dict.fromkeys(kb.missing))
            kb.missing.clear()
        return
    for kb in kbs:
        _look_at_owners(connection, settler, kb, now_s)
    came = _Came(kbs)
    waiting: list[_Waiting] = []
    for kb in kbs:
        gone: list[str] = []
        unexplained: list[DirtyPath] = []
        claimed = claimed_ids(kb) if kb.missing else set()
        for path, hint in kb.missing.items():
            record = kb.indexed[path]
            contents = frozenset(filter(None, (record.revision, record.good_revision)))
            dirty = replace(hint, missing_revisions=contents)
            if record.entry_id is None:
                unexplained.append(dirty)
            elif record.identity in came.files:
                gone.append(path)
            elif not came.explains(kb, record, contents):
                unexplained.append(dirty)
            elif (due_s := settler.wait_moved(dirty, now_s)) is None:
                gone.append(path)
            else:
                waiting.append(_Waiting(kb.kb_name, record.entry_id, contents, due_s))
        gone += [dirty.path for dirty in settler.wait_missing(unexplained, now_s)]
        for dirty in unexplained:
            # That somebody has asked for its id all along does not mean that it is gone: no answer yet.
            entry_id = kb.indexed[dirty.path].entry_id
            still = settler.waiting(kb.kb_name, dirty.path)
            if entry_id in claimed and still is not None and dirty.path not in gone:
                waiting.append(_Waiting(kb.kb_name, entry_id, frozenset(), still.due_s))
        kb.missing.clear()
        kb.disk.update(dict.fromkeys(gone))
    if waiting:
        for kb in kbs:
            _hold_explaining(settler, kb, waiting, now_s)


class _Came:
    """What this pass has found where it was not before: files, contents, and claims of ids."""

    def __init__(self, kbs: Iterable[KbGather]) -> None:
        self.files: set[Identity] = set()
        self._contents: set[Revision] = set()
        self._ids: dict[KbName, set[EntryId]] = {}
        for kb in kbs:
            ids = self._ids[kb.kb_name] = set()
            for path, file in kb.disk.items():
                known = kb.indexed.get(path)
                if file is None:
                    continue
                if file.identity is not None and (known is None or known.identity != file.identity):
                    self.files.add(file.identity)
                if file.revision and (known is None or known.revision != file.revision):
                    self._contents.add(file.revision)
                    ids |= claims_of(kb, path)

    def explains(self, kb: KbGather, missing: FileRecord, contents: Collection[Revision]) -> bool:
        """Whether a file that is missing may be what has come."""
        return missing.entry_id in self._ids[kb.kb_name] or not self._contents.isdisjoint(contents)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A missing file that may come back, and until when."""

    kb_name: KbName
    entry_id: EntryId
    contents: frozenset[Revision]
    due_s: float


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


def _hold_explaining(settler: Settler, kb: KbGather, waiting: Collection[_Waiting], now_s: float) -> None:
    """Put back the files that explain a missing one which still waits, or ask for its id."""
    by_id = {one.entry_id: one for one in waiting if one.kb_name == kb.kb_name}
    by_revision = {revision: one for one in waiting for revision in one.contents}
    for path, file in list(kb.disk.items()):
        if file is None:
            continue
        explains = [by_id[claim] for claim in claims_of(kb, path) & by_id.keys()]
        if file.revision in by_revision:
            explains.append(by_revision[file.revision])
        if explains:
            due_s = max(one.due_s for one in explains)
            settler.put_back(DirtyPath(kb.kb_name, path, kb.origins[path], now_s, now_s), due_s)
            del kb.disk[path]
