"""Writing entries: from what is asked to bytes on the disk, and through the reconciler to the event.

Runs in the writing thread, so nothing is reconciled between the rename and the commit: the event of
a write is always `api`, and the watcher's later hint finds an equal revision. What is committed are
the bytes that were written, not those that the disk holds a millisecond later: an editor that saves
in between is told after it, as itself. A write starts from the bytes on the disk and is refused when
they are not those that the caller means.

What others do to the file meanwhile is told as they did it. A whole entry that the index has not
seen is told first (`disk`). What may be a moment between two others (half a save, a file that is
away because it is being moved or saved anew) is left to the settler, as if nobody had written here.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyrite_watch.disk.contain import check_path
from pyrite_watch.disk.edit import EditError, SourceEdit, coerce_like, edit_source, new_source
from pyrite_watch.disk.parse import parse_entry, revision_of
from pyrite_watch.disk.read import Folder, RawFile, Unreadable, read_file
from pyrite_watch.disk.write import BUSY_WAIT_S, create_file, delete_file, replace_file
from pyrite_watch.disk.write_errors import (
    ChangedMeanwhileError,
    FileBusyError,
    PathTakenError,
)
from pyrite_watch.errors import EntryNotFoundError, KbReadOnlyError, KbUnavailableError
from pyrite_watch.index import files
from pyrite_watch.index.gather import Gatherer, KbGather
from pyrite_watch.index.owners import FileOnDisk, FileRecord, claim_of
from pyrite_watch.index.reconcile import judge, plan_kb
from pyrite_watch.index.store import Applied, Batch
from pyrite_watch.model.change import Origin
from pyrite_watch.model.entry import EntryContent, EntryId, FileState, Revision
from pyrite_watch.model.event import Offset, Position
from pyrite_watch.reconciler import PassReport, Reconciler
from pyrite_watch.roots import WatchedKb
from pyrite_watch.write_requests import (
    EntryEdit,
    IndexBusyError,
    InvalidWriteError,
    NewEntry,
    NotIndexedYetError,
    UnparsableError,
    Written,
    new_front_matter,
    new_id,
    new_path,
)

MAX_TRIES = 4
"""How often a write without `If-Match` begins again when an editor was quicker."""

MISSING_WAIT_S = 0.3
"""How long a write waits for the settler to say what became of a missing file: it takes 0.12 s,
longer while git holds its lock or others go missing, too. The writing thread does nothing else."""

_STEP_S = 0.005


@dataclass(frozen=True, slots=True)
class _Found:
    """An entry as it is on the disk, which the index agrees with."""

    record: FileRecord
    data: bytes
    revision: Revision
    content: EntryContent


class Writer:
    """Writes into the KBs of a reconciler; in its thread alone."""

    def __init__(self, reconciler: Reconciler, read_only: bool) -> None:
        self._reconciler = reconciler
        self._read_only = read_only
        self._max_entry_bytes = reconciler.options.max_entry_bytes

    def create(self, kb_name: str, new: NewEntry) -> Written:
        """Make a new file; never replaces an id or a path that exists.

        Raises:
            PathTakenError, PathOutsideKbError, WriteFailedError, InvalidWriteError, IndexBusyError:
                Nothing was made.
            NotIndexedYetError: It was made.
        """
        with _telling_busy():
            kb = self._writable(kb_name)
            entry_id = new_id(new)
            self._check_length(len(new.body))
            self._reconciler.look_at_kb_yaml(kb)
            path = new_path(kb.kb, entry_id, new.entry_type)
            if self._owner(kb, entry_id) is not None:
                raise PathTakenError(path, f"there is an entry '{entry_id}'")
            check_path(path)
            hidden = self._reconciler.read_rules(kb).path_rule(path)
            if hidden is not None:
                if os.path.lexists(kb.kb.root / path):
                    raise PathTakenError(path, f"it is there, though no entry: {hidden}")
                raise InvalidWriteError(f"'{path}' would not be an entry: {hidden}.", "Choose another id.")
            try:
                data = new_source(new_front_matter(entry_id, new), new.body, path)
            except EditError as error:
                raise InvalidWriteError(str(error)) from error
            self._check_result(data, path, entry_id)
            state = create_file(kb.kb.root, path, data)
            return self._tell(kb, path, entry_id, data, state)

    def update(
        self, kb_name: str, entry_id: str, edit: EntryEdit, if_match: Sequence[str] | None = None
    ) -> Written:
        """Change what is asked, and not a byte more.

        Args:
            if_match: Revisions of which the file must have one; None means any.

        Raises:
            ChangedMeanwhileError: The file is another; `current` is what the index has by then.
            UnparsableError, EntryNotFoundError, InvalidWriteError, WriteFailedError, IndexBusyError:
                Nothing was written.
            NotIndexedYetError: It was written.
        """
        with _telling_busy():
            kb = self._writable(kb_name)
            for _ in range(MAX_TRIES):
                found = self._find(kb, entry_id, if_match)
                path = found.record.path
                data = self._edited(found, EntryId(entry_id), edit)
                if data == found.data:
                    return self._written(kb, path, entry_id, found.revision)
                with self._beginning_again(kb, found.record):
                    state = replace_file(kb.kb.root, path, data, found.revision)
                    return self._tell(kb, path, entry_id, data, state)
            raise ChangedMeanwhileError(path, self._known_revision(kb, entry_id))

    def delete(self, kb_name: str, entry_id: str, if_match: Sequence[str] | None = None) -> Written:
        """Delete an entry's file. Raises as `update`."""
        with _telling_busy():
            kb = self._writable(kb_name)
            for _ in range(MAX_TRIES):
                found = self._find(kb, entry_id, if_match)
                path = found.record.path
                with self._beginning_again(kb, found.record):
                    delete_file(kb.kb.root, path, found.revision)
                    return self._tell(kb, path, entry_id)
            raise ChangedMeanwhileError(path, self._known_revision(kb, entry_id))

    def _writable(self, kb_name: str) -> WatchedKb:
        kb = self._reconciler.roots[kb_name]
        if self._read_only or kb.kb.read_only:
            raise KbReadOnlyError(kb_name)
        if not self._reconciler.is_there(kb.name):
            raise KbUnavailableError(kb_name)
        return kb

    def _owner(self, kb: WatchedKb, entry_id: str) -> FileRecord | None:
        connection = self._reconciler.store.connection
        return files.load_owners(connection, kb.kb_id, [EntryId(entry_id)]).get(EntryId(entry_id))

    def _known_revision(self, kb: WatchedKb, entry_id: str) -> Revision | None:
        """What a GET returns now."""
        record = self._owner(kb, entry_id)
        return record.good_revision if record is not None else None

    @contextlib.contextmanager
    def _beginning_again(self, kb: WatchedKb, record: FileRecord) -> Iterator[None]:
        """Let a write begin again where an editor was quicker: the next `_find` judges what it left."""
        try:
            yield
        except FileBusyError as error:
            self._leave_to_settler(kb, record.path)
            raise FileBusyError(record.path, record.good_revision) from error
        except ChangedMeanwhileError:
            return

    def _find(self, kb: WatchedKb, entry_id: str, if_match: Sequence[str] | None) -> _Found:
        """Read the entry's file; where it is not as the index has it, the index learns that first."""
        path = ""
        for _ in range(MAX_TRIES):
            record = self._owner(kb, entry_id)
            if record is None:
                raise EntryNotFoundError(entry_id, kb.name)
            path = record.path
            raw = self._read_at_rest(kb, path)
            if raw is None or isinstance(raw, Folder):
                self._wait_for_missing(kb, entry_id, path)
                continue
            if isinstance(raw, Unreadable):
                self._leave_to_settler(kb, path)
                raise UnparsableError(path, raw.problem.message)
            if raw.open_for_writing:
                self._leave_to_settler(kb, path)
                raise FileBusyError(path, record.good_revision)
            revision = revision_of(raw.data)
            parsed = parse_entry(raw.data, path)
            if revision != record.good_revision:
                parsed = judge(FileOnDisk(path, raw.state, revision, parsed), record).parsed or parsed
            if parsed.content is None:
                # Not told at once: it may be half of a save.
                self._leave_to_settler(kb, path)
                raise UnparsableError(path, "; ".join(problem.message for problem in parsed.problems))
            if revision != record.good_revision:
                # What was read, not what a second look finds: the file may be away again by then.
                self._report(self._apply(kb, path, raw.data, raw.state, "disk"))
                continue
            if if_match is not None and revision not in if_match:
                raise ChangedMeanwhileError(path, revision)
            return _Found(record, raw.data, revision, parsed.content)
        raise ChangedMeanwhileError(path, self._known_revision(kb, entry_id))

    def _read_at_rest(self, kb: WatchedKb, path: str) -> RawFile | Folder | Unreadable | None:
        """Read a file; one that somebody is writing gets a moment to be finished."""
        deadline_s = time.monotonic() + BUSY_WAIT_S
        while True:
            raw = read_file(kb.kb.root, path, self._max_entry_bytes)
            if not (isinstance(raw, RawFile) and raw.open_for_writing) or time.monotonic() >= deadline_s:
                return raw
            time.sleep(_STEP_S)

    def _leave_to_settler(self, kb: WatchedKb, path: str) -> None:
        """Let the index learn what is there as from a hint of the watcher, with all its patience."""
        self._reconciler.take_hints(kb.name, [path])
        self._reconciler.run_due()

    def _wait_for_missing(self, kb: WatchedKb, entry_id: str, path: str) -> None:
        """Wait until a missing file is back, found elsewhere, or gone.

        The whole KB is looked at: where the file was moved, its new name may be a hint that the
        inbox still holds, and a deletion told now would tear the move in two.
        """
        deadline_s = time.monotonic() + MISSING_WAIT_S
        self._reconciler.take_hints(kb.name, [""])
        while True:
            self._reconciler.run_due()
            if not kb.available:
                raise KbUnavailableError(kb.name)
            owner = self._owner(kb, entry_id)
            if owner is None or owner.path != path:
                return
            if isinstance(read_file(kb.kb.root, path, self._max_entry_bytes), RawFile | Unreadable):
                return
            if time.monotonic() >= deadline_s:
                raise ChangedMeanwhileError(path, None)
            time.sleep(_STEP_S)

    def _edited(self, found: _Found, entry_id: EntryId, edit: EntryEdit) -> bytes:
        self._check_length(len(edit.body or ""))
        fields = self._fields_to_write(found, edit)
        title = found.content.metadata.get("title")
        if "title" in fields and fields["title"] != title and found.content.explicit_id is None:
            # The id came from the title or the file's name; links must go on meaning this entry.
            fields["id"] = entry_id
        data = self._edited_source(found, fields, edit.body)
        if data != found.data:
            self._check_result(data, found.record.path, entry_id, found.record)
        return data

    def _fields_to_write(self, found: _Found, edit: EntryEdit) -> dict[str, Any]:
        known, content = found.content.metadata, found.content
        if edit.coerce:
            return {
                name: coerce_like(known[name], value) if name in known else value
                for name, value in edit.fields.items()
            }
        # Whoever sends back what an entry shows (a title that its heading gives) changes nothing.
        shown = {"title": content.title, "tags": list(content.tags), "importance": content.importance}
        fields = {
            name: value
            for name, value in edit.fields.items()
            if name not in shown or shown[name] != value or value is None
        }
        if edit.body is not None and "title" in edit.fields and not {"title"} & {*fields, *known}:
            # The heading that gives the title may go with the body.
            data = self._edited_source(found, fields, edit.body)
            after = parse_entry(data, found.record.path).content
            if after is None or after.title != content.title:
                fields["title"] = content.title
        return fields

    def _edited_source(self, found: _Found, fields: Mapping[str, Any], body: str | None) -> bytes:
        try:
            return edit_source(found.data, SourceEdit(fields, body), found.record.path)
        except EditError as error:
            raise InvalidWriteError(str(error)) from error

    def _check_length(self, least_bytes: int) -> None:
        # Of a body also before the work on it, where its characters are the least that it has of bytes.
        if least_bytes > self._max_entry_bytes:
            raise InvalidWriteError(f"That is larger than {self._max_entry_bytes:,} bytes.")

    def _check_result(
        self, data: bytes, path: str, entry_id: EntryId, record: FileRecord | None = None
    ) -> None:
        """Refuse bytes that would not be this entry when they are read."""
        if not data.strip():
            raise InvalidWriteError("That would leave an empty file.", "Delete the entry instead.")
        self._check_length(len(data))
        content = parse_entry(data, path).content
        if content is None or content.form == "open":
            raise InvalidWriteError("That would not be readable as an entry.")
        explicit, claim = claim_of(content)
        kept = record is not None and (explicit, claim) == (record.explicit, record.claim)
        if claim != entry_id and not kept:
            raise InvalidWriteError(f"That would change the id '{entry_id}' to '{claim}'.")

    def _tell(
        self,
        kb: WatchedKb,
        path: str,
        entry_id: str,
        data: bytes | None = None,
        state: FileState | None = None,
    ) -> Written:
        """Commit what was written (`data` None: deleted), and tell it as `api`."""
        revision = None if data is None else revision_of(data)
        try:
            applied = self._apply(kb, path, data, state)
        except sqlite3.OperationalError as error:
            raise NotIndexedYetError(path, revision) from error
        self._report(applied)
        offsets = [
            event.offset
            for event in applied.events
            if event.kb_name == kb.name and event.entry_id == entry_id
        ]
        return self._written(kb, path, entry_id, revision, offsets[-1] if offsets else None)

    def _report(self, applied: Applied) -> None:
        if applied.events:
            self._reconciler.listeners.on_pass(PassReport(applied, None, 0))

    def _apply(
        self,
        kb: WatchedKb,
        path: str,
        data: bytes | None,
        state: FileState | None,
        origin: Origin = "api",
    ) -> Applied:
        """Commit what a path is known to hold. After an error it is dirty, and still of this origin."""
        try:
            return self._apply_known(kb, path, data, state, origin)
        except BaseException:
            self._reconciler.settler.add(kb.name, path, origin, self._reconciler.clock())
            raise

    def _apply_known(
        self, kb: WatchedKb, path: str, data: bytes | None, state: FileState | None, origin: Origin
    ) -> Applied:
        reconciler, store = self._reconciler, self._reconciler.store
        rules = reconciler.read_rules(kb)
        gather = KbGather(kb.name, kb.kb_id, kb.kb.root, rules, fresh=not kb.indexed)
        gather.indexed.update(files.load_records(store.connection, kb.kb_id, [path]))
        gather.disk[path] = None
        if data is not None and state is not None:
            # Racy: the state is never believed, so that the watcher's hint reads the file again.
            parsed = parse_entry(data, path)
            gather.disk[path] = FileOnDisk(path, files.signed_state(state), revision_of(data), parsed, True)
        # Who waits for an id that becomes free, and who owns one that is claimed.
        gatherer = Gatherer(store.connection, None, self._max_entry_bytes, reconciler.clock)
        gatherer.close(gather)
        reconciler.take_deferred(gatherer)
        return store.apply(Batch([plan_kb(gather.view())], origin=origin, quiet=origin == "api"))

    def _written(
        self,
        kb: WatchedKb,
        path: str,
        entry_id: str,
        revision: Revision | None,
        offset: Offset | None = None,
    ) -> Written:
        now = self._reconciler.store.position
        position = now if offset is None else Position(now.epoch, offset)
        return Written(EntryId(entry_id), kb.name, path, revision, position)


@contextlib.contextmanager
def _telling_busy() -> Iterator[None]:
    """Say so where the index is busy (disk full, locked) before anything was written."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise IndexBusyError from error
