"""What the index tests arrange with: files from their text, a KB without SQLite, batches on a store."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pyrite_watch.disk.parse import parse_entry, revision_of
from pyrite_watch.index import files, queries
from pyrite_watch.index.owners import FileOnDisk, FileRecord, KbView, claim_of, path_id
from pyrite_watch.index.reconcile import KbPlan, judge, plan_kb
from pyrite_watch.index.store import Applied, Batch, Store
from pyrite_watch.model.entry import EntryId, FileState

BAD = "---\nid: [unclosed\n---\n"
"""A text whose front matter is no YAML."""

Json = dict[str, Any]


def explicit(entry_id: str, body: str = "") -> str:
    """A text that says its id itself."""
    return f"---\nid: {entry_id}\n---\n{body}"


def titled(title: str, body: str = "") -> str:
    """A text whose id is derived from its title."""
    return f"---\ntitle: {title}\n---\n{body}"


def on_disk(
    path: str,
    text: str,
    record: FileRecord | None = None,
    *,
    inode: int | None = None,
    mtime_ns: int = 1_700_000_000_000_000_000,
    racy: bool = False,
) -> FileOnDisk:
    """A file that was just read; a path has one inode for ever unless told otherwise."""
    data = text.encode()
    inode = zlib.crc32(path.encode()) if inode is None else inode
    state = FileState(mtime_ns, mtime_ns, len(data), inode, 1)
    return judge(FileOnDisk(path, state, revision_of(data), parse_entry(data, path), racy), record)


class FakeKb:
    """A KB without disk and SQLite: `files` are texts by path, `records` what the index would hold."""

    def __init__(self, files: Mapping[str, str] | None = None) -> None:
        self.files: dict[str, str] = dict(files or {})
        self.inodes: dict[str, int] = {}
        self.records: dict[str, FileRecord] = {}
        self.problems: dict[str, str] = {}

    def move(self, old: str, new: str) -> None:
        """Rename as a file system does: text and inode go along."""
        self.inodes[new] = self.inodes.pop(old, zlib.crc32(old.encode()))
        self.files[new] = self.files.pop(old)

    def reconcile(self, *, fresh: bool = False) -> KbPlan:
        """Compare all files in one batch and remember the outcome."""
        disk: dict[str, FileOnDisk | None] = dict.fromkeys(self.records)
        for path, text in self.files.items():
            record = self.records.get(path)
            file = on_disk(path, text, record, inode=self.inodes.get(path))
            waits = record is not None and record.entry_id is None and record.claim is not None
            if record is not None and record.revision == file.revision and not waits and not fresh:
                file = replace(file, parsed=None)
            disk[path] = file
        plan = plan_kb(KbView("kb", dict(self.records), disk, fresh=fresh))
        for path, after in plan.files.items():
            if after is None:
                del self.records[path]
            else:
                self.records[path] = after
        for path, problems in plan.problems.items():
            self.problems.pop(path, None)
            if problems:
                self.problems[path] = ", ".join(problem.kind for problem in problems)
        return plan

    @property
    def ids(self) -> dict[str, str | None]:
        """Who owns what."""
        return {path: record.entry_id for path, record in sorted(self.records.items())}


def plan_on(
    store: Store, kb_name: str, disk: Mapping[str, FileOnDisk | None], *, fresh: bool = False
) -> KbPlan:
    """Decide about these paths alone, with what the store knows of them and of the ids they claim."""
    kb_id = store.kb_row(kb_name).kb_id
    indexed = files.load_records(store.connection, kb_id, disk)
    claims: set[EntryId] = set()
    for path, file in disk.items():
        if file is not None and file.content is not None:
            claims |= {claim_of(file.content)[1], path_id(path)}
    owners = files.load_owners(store.connection, kb_id, claims)
    outside = {entry_id: record for entry_id, record in owners.items() if record.path not in disk}
    return plan_kb(KbView(kb_name, indexed, disk, outside, fresh))


def change(store: Store, kb_name: str, texts: Mapping[str, str | FileOnDisk | None], **batch: Any) -> Applied:
    """Write, change or remove (None) files of one KB and apply that as one batch."""
    return store.apply(Batch([plan_texts(store, kb_name, texts)], **batch))


def plan_texts(store: Store, kb_name: str, texts: Mapping[str, str | FileOnDisk | None]) -> KbPlan:
    """Plan what `change` applies."""
    records = files.load_records(store.connection, store.kb_row(kb_name).kb_id, texts)
    disk = {
        path: on_disk(path, text, records.get(path)) if isinstance(text, str) else text
        for path, text in texts.items()
    }
    return plan_on(store, kb_name, disk)


def messages(applied: Applied) -> list[Json]:
    """The events as a reader gets them."""
    return [json.loads(event.message) for event in applied.events]


def told(applied: Applied) -> list[tuple[str, str, str]]:
    """Type, KB and id of each event, in order."""
    return [(event.type, event.kb_name, event.entry_id) for event in applied.events]


def state_of(connection: sqlite3.Connection) -> dict[tuple[str, str], tuple[str, str]]:
    """Path and revision of every entry, by KB and id."""
    return {
        (entry["kb_name"], entry["id"]): (entry["path"], entry["revision"])
        for entry in queries.iter_state(connection, None)
    }


def replay(
    state: dict[tuple[str, str], tuple[str, str]], events: list[Json]
) -> dict[tuple[str, str], tuple[str, str]]:
    """What a reader has who loaded `state` and heard the events."""
    state = dict(state)
    for event in events:
        key = (event["kb_name"], event["entry_id"])
        if event["type"] == "entry_deleted":
            state.pop(key, None)
        elif event["type"] != "kb_synced":
            state[key] = (event["path"], event["revision"])
    return state


def dump(connection: sqlite3.Connection) -> list[tuple[str, list[str]]]:
    """Every row of every table, full text included."""
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    return [
        (name, sorted(map(repr, connection.execute(f"SELECT * FROM {name}"))))
        for (name,) in tables.fetchall()
    ]


def check_text(connection: sqlite3.Connection) -> None:
    """Raise where the full text is out of step with the entries."""
    connection.execute("INSERT INTO entry_text (entry_text) VALUES ('integrity-check')")
