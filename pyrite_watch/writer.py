"""Writing entries: from what is asked to bytes on the disk, and through the reconciler to the event.

Runs in the writing thread, so nothing is reconciled between the rename and the commit: the event of
a write is always `api`, and the watcher's later hint finds an equal revision. A write starts from
the bytes on the disk and is refused when they are not those that the caller means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyrite_watch.disk.edit import EditError, SourceEdit, coerce_like, edit_source, new_source
from pyrite_watch.disk.parse import parse_entry, revision_of, slug_of, usable_id
from pyrite_watch.disk.read import RawFile, read_file
from pyrite_watch.disk.write import create_file, delete_file, replace_file
from pyrite_watch.disk.write_errors import ChangedMeanwhileError, FileBusyError, PathTakenError
from pyrite_watch.errors import EntryNotFoundError, KbReadOnlyError, KbUnavailableError, RequestError
from pyrite_watch.index import files
from pyrite_watch.index.owners import FileRecord, claim_of
from pyrite_watch.model.entry import EntryContent, EntryId, Revision
from pyrite_watch.model.event import Offset
from pyrite_watch.model.kb import KbName
from pyrite_watch.reconciler import Reconciler
from pyrite_watch.roots import WatchedKb

MAX_TRIES = 4
"""How often a write without `If-Match` begins again when an editor was quicker."""


class InvalidWriteError(RequestError):
    """What was asked for cannot be an entry."""

    code = "INVALID_WRITE"


class UnparsableError(RequestError):
    """The file on disk is no entry at the moment: nobody may write over what is in it."""

    status = 409
    code = "UNPARSABLE"

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"'{path}' cannot be changed as it is: {why}.", "Mend the file in an editor first.")
        self.path, self.why = path, why


@dataclass(frozen=True, slots=True)
class NewEntry:
    """What a new entry is to hold; `entry_id` None takes the title's slug."""

    title: str
    entry_type: str = "note"
    body: str = ""
    entry_id: str | None = None
    tags: Sequence[str] = ()
    importance: int | None = None
    date: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EntryEdit:
    """What of an entry is to change: front matter fields by name, and the body.

    `coerce` gives a string the type that the field has (PATCH).
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    body: str | None = None
    coerce: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What a write came to. `offset` is its event's; where nothing changed, the present one."""

    entry_id: EntryId
    kb_name: KbName
    path: str
    revision: Revision | None
    offset: Offset


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
            PathTakenError, PathOutsideKbError, WriteFailedError, InvalidWriteError: Nothing was made.
        """
        kb = self._writable(kb_name)
        entry_id = _new_id(new)
        folder = kb.kb.subdirectories.get(new.entry_type, "").strip().strip("/")
        path = f"{folder}/{entry_id}.md" if folder else f"{entry_id}.md"
        if self._owner(kb, entry_id) is not None:
            raise PathTakenError(path, f"there is an entry '{entry_id}'")
        hidden = kb.read_rules(self._reconciler.options.gitignore).path_rule(path)
        if hidden is not None and not path.startswith("../"):
            raise InvalidWriteError(f"'{path}' would not be an entry: {hidden}.", "Choose another id.")
        data = new_source(_front_matter(entry_id, new), new.body)
        self._check_result(data, path, entry_id)
        create_file(kb.kb.root, path, data)
        return self._tell(kb, path, entry_id, revision_of(data))

    def update(
        self, kb_name: str, entry_id: str, edit: EntryEdit, if_match: Sequence[str] | None = None
    ) -> Written:
        """Change what is asked, and not a byte more.

        Args:
            if_match: Revisions of which the file must have one; None means any.

        Raises:
            ChangedMeanwhileError: The file is another; the index knows it by then.
            UnparsableError, EntryNotFoundError, InvalidWriteError, WriteFailedError: Nothing was written.
        """
        kb = self._writable(kb_name)
        for attempt in range(MAX_TRIES):
            found = self._find(kb, entry_id, if_match)
            data = self._edited(found, EntryId(entry_id), edit)
            if data == found.data:
                return Written(EntryId(entry_id), kb.name, found.record.path, found.revision, self._offset)
            try:
                replace_file(kb.kb.root, found.record.path, data, found.revision)
            except ChangedMeanwhileError as error:
                self._reconciler.look_now(kb.name, [found.record.path], "disk")
                if if_match is not None or isinstance(error, FileBusyError) or attempt == MAX_TRIES - 1:
                    raise
            else:
                return self._tell(kb, found.record.path, EntryId(entry_id), revision_of(data))
        raise AssertionError("unreachable")

    def delete(self, kb_name: str, entry_id: str, if_match: Sequence[str] | None = None) -> Written:
        """Delete an entry's file. Raises as `update`."""
        kb = self._writable(kb_name)
        for attempt in range(MAX_TRIES):
            found = self._find(kb, entry_id, if_match)
            try:
                delete_file(kb.kb.root, found.record.path, found.revision)
            except ChangedMeanwhileError as error:
                self._reconciler.look_now(kb.name, [found.record.path], "disk")
                if if_match is not None or isinstance(error, FileBusyError) or attempt == MAX_TRIES - 1:
                    raise
            else:
                return self._tell(kb, found.record.path, EntryId(entry_id), None)
        raise AssertionError("unreachable")

    @property
    def _offset(self) -> Offset:
        return self._reconciler.store.position.offset

    def _writable(self, kb_name: str) -> WatchedKb:
        kb = self._reconciler.roots[kb_name]
        if self._read_only or kb.kb.read_only:
            raise KbReadOnlyError(kb_name)
        self._reconciler.look_at_roots()
        if not kb.available:
            raise KbUnavailableError(kb_name)
        return kb

    def _owner(self, kb: WatchedKb, entry_id: str) -> FileRecord | None:
        connection = self._reconciler.store.connection
        return files.load_owners(connection, kb.kb_id, [EntryId(entry_id)]).get(EntryId(entry_id))

    def _find(self, kb: WatchedKb, entry_id: str, if_match: Sequence[str] | None) -> _Found:
        """Read the entry's file; where it is not as the index has it, the index learns that first."""
        record, raw, revision = self._read(kb, entry_id)
        for _ in range(MAX_TRIES):
            if raw is not None and revision == record.good_revision:
                break
            self._reconciler.look_now(kb.name, [record.path], "disk")
            if revision is not None and if_match is not None and revision not in if_match:
                raise ChangedMeanwhileError(record.path, revision)
            before = record
            record, raw, revision = self._read(kb, entry_id)
            if record.path == before.path and revision != record.good_revision:
                # The index knows these bytes and holds an older version: they are no entry.
                raise UnparsableError(record.path, self._why(kb, record.path))
        else:
            raise ChangedMeanwhileError(record.path, revision)
        if if_match is not None and revision not in if_match:
            raise ChangedMeanwhileError(record.path, revision)
        content = parse_entry(raw.data, record.path).content
        if content is None or revision is None:
            raise UnparsableError(record.path, self._why(kb, record.path))
        return _Found(record, raw.data, revision, content)

    def _read(self, kb: WatchedKb, entry_id: str) -> tuple[FileRecord, RawFile | None, Revision | None]:
        record = self._owner(kb, entry_id)
        if record is None:
            raise EntryNotFoundError(entry_id, kb.name)
        raw = read_file(kb.kb.root, record.path, self._max_entry_bytes)
        if not isinstance(raw, RawFile):
            return record, None, None
        return record, raw, revision_of(raw.data)

    def _why(self, kb: WatchedKb, path: str) -> str:
        rows = self._reconciler.store.connection.execute(
            "SELECT message FROM problem WHERE kb_id = ? AND path = ? ORDER BY kind", (kb.kb_id, path)
        )
        return "; ".join(row[0] for row in rows) or "it changes while it is read"

    def _edited(self, found: _Found, entry_id: EntryId, edit: EntryEdit) -> bytes:
        fields = dict(edit.fields)
        known = found.content.metadata
        if edit.coerce:
            fields = {
                name: coerce_like(known[name], value) if name in known else value
                for name, value in fields.items()
            }
        if "title" in fields and fields["title"] != known.get("title") and found.content.explicit_id is None:
            # The id came from the title or the file's name; links must go on meaning this entry.
            fields["id"] = entry_id
        try:
            data = edit_source(found.data, SourceEdit(fields, edit.body), found.record.path)
        except EditError as error:
            raise InvalidWriteError(str(error)) from error
        if data != found.data:
            self._check_result(data, found.record.path, entry_id, found.record)
        return data

    def _check_result(
        self, data: bytes, path: str, entry_id: EntryId, record: FileRecord | None = None
    ) -> None:
        """Refuse bytes that would not be this entry when they are read."""
        if not data.strip():
            raise InvalidWriteError("That would leave an empty file.", "Delete the entry instead.")
        if len(data) > self._max_entry_bytes:
            raise InvalidWriteError(f"That is larger than {self._max_entry_bytes:,} bytes.")
        content = parse_entry(data, path).content
        if content is None or content.form == "open":
            raise InvalidWriteError("That would not be readable as an entry.")
        explicit, claim = claim_of(content)
        kept = record is not None and (explicit, claim) == (record.explicit, record.claim)
        if claim != entry_id and not kept:
            raise InvalidWriteError(f"That would change the id '{entry_id}' to '{claim}'.")

    def _tell(self, kb: WatchedKb, path: str, entry_id: EntryId, revision: Revision | None) -> Written:
        applied = self._reconciler.look_now(kb.name, [path], "api")
        offsets = [
            event.offset
            for event in (applied.events if applied else ())
            if event.kb_name == kb.name and event.entry_id == entry_id
        ]
        return Written(entry_id, kb.name, path, revision, offsets[-1] if offsets else self._offset)


def _new_id(new: NewEntry) -> EntryId:
    given = new.entry_id if new.entry_id is not None else slug_of(new.title)
    if not given:
        raise InvalidWriteError(
            "The title has no letter or digit that an id could be made of.", "Give an 'id'."
        )
    usable = usable_id(given)
    if not isinstance(usable, str) or usable != given:
        reason = "it is empty or has blanks around it" if isinstance(usable, str | None) else usable.message
        raise InvalidWriteError(f"'{given[:80]}' cannot be an id: {reason}.", "Give another 'id'.")
    return usable


def _front_matter(entry_id: EntryId, new: NewEntry) -> dict[str, Any]:
    fields: dict[str, Any] = {"id": entry_id, "type": new.entry_type, "title": new.title}
    if new.date is not None:
        fields["date"] = new.date
    if new.importance is not None:
        fields["importance"] = new.importance
    if new.tags:
        fields["tags"] = list(new.tags)
    return {**fields, **{name: value for name, value in new.metadata.items() if name not in fields}}
