"""The files that wait for an id which is being given up: one that is being written has its time first.

An id that became free while its next owner was open for writing was told as deleted, and a moment later as
created. So who gives it up waits with the heir, for as long as an unfinished file may take.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from pyrite_watch.disk.settle import DirtyPath, Settler
from pyrite_watch.index import files
from pyrite_watch.index.gather import Gatherer, KbGather, freed_ids
from pyrite_watch.index.owners import path_id
from pyrite_watch.model.entry import EntryId


def look_at_heirs(connection: sqlite3.Connection, gatherer: Gatherer, settler: Settler, kb: KbGather) -> None:
    """Look at the heirs of the files that are missing or ask for another id; nobody named them."""
    missing = {kb.indexed[path].entry_id for path in kb.missing}
    ids = freed_ids(kb) | {entry_id for entry_id in missing if entry_id is not None}
    paths = [
        path
        for path in files.load_waiting_paths(connection, kb.kb_id, ids)
        if path not in kb.disk and path not in kb.missing and path not in kb.unfinished
    ]
    kb.indexed.update(files.load_records(connection, kb.kb_id, paths))
    for path in paths:
        now_s = gatherer.now_s
        gatherer.look(
            kb, settler.waiting(kb.kb_name, path) or DirtyPath(kb.kb_name, path, "disk", now_s, now_s)
        )


def heirs_due(settler: Settler, kb: KbGather) -> dict[EntryId, float]:
    """Give the ids for which an unfinished file waits, each with the time when that is looked at again."""
    due: dict[EntryId, float] = {}
    for path, record in kb.indexed.items():
        if record.entry_id is not None or record.claim is None or path in kb.disk:
            continue
        waiting = settler.waiting(kb.kb_name, path)
        if waiting is None or waiting.unfinished_since_s is None:
            continue
        claim = EntryId(record.claim)
        for entry_id in (claim,) if record.explicit else (claim, path_id(path)):
            due[entry_id] = min(waiting.due_s, due.get(entry_id, waiting.due_s))
    return due


def hold_for_heirs(settler: Settler, kbs: Collection[KbGather], now_s: float) -> None:
    """Put back the files that ask for another id while an heir of the one they had is being written."""
    for kb in kbs:
        due = heirs_due(settler, kb)
        held = due.keys() & freed_ids(kb) if due else set()
        for path, file in list(kb.disk.items()) if held else ():
            known = kb.indexed.get(path)
            if file is None or known is None or known.entry_id is None or known.entry_id not in held:
                continue
            hint = DirtyPath(kb.kb_name, path, kb.origins[path], now_s, now_s)
            settler.put_back(hint, due[known.entry_id])
            del kb.disk[path]
