"""Decide which file owns which id. Pure.

Invariants:
    An id has one owner. A file that owns an id and still claims it keeps it: no flip-flop.
    An explicit id that is owned elsewhere makes the file wait (`entry_id` None, a problem); it
    takes over when the owner goes. A derived id falls back to the path's form, once, and keeps it.
    Without history (a fresh index) explicit ids go before derived ones, smaller paths before larger.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from pyrite_watch.model.entry import EntryContent, EntryId, FileState, Form, ParsedFile, Revision

EMPTY_REVISION = Revision("cae66941d9efbd404e4d88758ea67670")
"""The revision of a file without bytes."""


Identity = tuple[int, int, int]
"""A file's device, inode and mtime in nanoseconds: a rename leaves all three. The inode alone may be
another file's by now, as file systems give one away again at once."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What the index knows of one path.

    `state` is None where the file must be read again however it looks. `revision` is that of the
    bytes last read, good or bad; `good_revision` that of the entry it owns. `claim` is the explicit
    id or the derived one that its last good version asked for. `identity` is of the file that was last
    read: it tells a renamed file from a copy, also where its state is not believed.
    """

    path: str
    state: FileState | None
    revision: Revision
    entry_id: EntryId | None
    claim: str | None
    explicit: bool
    form: Form
    good_revision: Revision | None
    identity: Identity | None = None


@dataclass(frozen=True, slots=True)
class FileOnDisk:
    """What one path holds now. `parsed` is None where the bytes are those of the index.

    `racy` means that it may have changed again without another look (git's racy rule), or could not be
    read: then its state is not remembered, so that the next look reads it.
    """

    path: str
    state: FileState | None
    revision: Revision
    parsed: ParsedFile | None
    racy: bool = False

    @property
    def identity(self) -> Identity | None:
        """Which file it is."""
        return None if self.state is None else (self.state.device, self.state.inode, self.state.mtime_ns)

    @property
    def content(self) -> EntryContent | None:
        """The entry in it; None where it is bad, or as the index has it."""
        return self.parsed.content if self.parsed else None

    @property
    def is_bad(self) -> bool:
        """It was read and is no entry."""
        return self.parsed is not None and self.parsed.content is None


@dataclass(slots=True)
class KbView:
    """One KB's part of a batch: what is known of its paths, and what is there.

    `disk` maps each path of the batch to what it holds, None where it is gone. `indexed` has the
    records of those paths. `owners` has the records of paths outside the batch that own an id
    which a file of the batch claims. `fresh` means that there is no history to keep.
    """

    kb_name: str
    indexed: Mapping[str, FileRecord]
    disk: Mapping[str, FileOnDisk | None]
    owners: Mapping[EntryId, FileRecord] = field(default_factory=dict)
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class IdAssignment:
    """Who owns what after the batch, and who would like to."""

    owned: Mapping[str, EntryId]
    waiting: Mapping[str, str]
    inherited: Mapping[str, str]
    """A bad file's path → the vanished path whose last good version it carries on (it was moved)."""


def path_id(path: str) -> EntryId:
    """The path's form of an id: `guide/index.md` becomes `guide-index`."""
    return EntryId(unicodedata.normalize("NFC", path.removesuffix(".md").replace("/", "-")))


def claim_of(content: EntryContent) -> tuple[bool, EntryId]:
    """What id a content asks for, and whether it says so itself."""
    if content.explicit_id is not None:
        return True, content.explicit_id
    return False, EntryId(content.derived_id)


def assign_ids(view: KbView) -> IdAssignment:
    """Decide the owner of every id that the batch concerns."""
    owned: dict[str, EntryId] = {}
    taken: dict[EntryId, str] = {
        entry_id: record.path for entry_id, record in view.owners.items() if record.path not in view.disk
    }
    explicit: dict[EntryId, list[str]] = {}
    derived: list[str] = []
    inherited: dict[str, str] = {}
    vanished = _vanished_owners(view)
    swapped = _swapped_owners(view)

    def own(path: str, entry_id: EntryId) -> None:
        owned[path] = entry_id
        taken[entry_id] = path

    for path in sorted(view.disk):
        file = view.disk[path]
        record = view.indexed.get(path)
        if file is None:
            continue
        if file.content is None:
            if record is not None and record.entry_id is not None:
                own(path, record.entry_id)
            elif file.is_bad and (origin := _take_origin(vanished, file)) is not None:
                inherited[path] = origin.path
                assert origin.entry_id is not None
                own(path, origin.entry_id)
            continue
        is_explicit, claim = claim_of(file.content)
        if (
            record is not None
            and record.entry_id is not None
            and path not in swapped
            and _keeps(view, record, is_explicit, claim)
        ):
            own(path, record.entry_id)
        elif is_explicit:
            explicit.setdefault(claim, []).append(path)
        else:
            derived.append(path)

    left = {
        record.entry_id: record
        for path, record in view.indexed.items()
        if path in view.disk and record.entry_id is not None and owned.get(path) != record.entry_id
    }
    waiting: dict[str, str] = {}

    for entry_id, paths in explicit.items():
        if entry_id not in taken:
            own(_heir(view, left.get(entry_id), paths), entry_id)
        for path in paths:
            if path not in owned:
                waiting[path] = taken[entry_id]

    wanted: dict[EntryId, list[str]] = {}
    for path in derived:
        file = view.disk[path]
        assert file is not None
        assert file.content is not None
        wanted.setdefault(EntryId(file.content.derived_id), []).append(path)
    for entry_id, paths in wanted.items():
        if entry_id != "index" and entry_id not in taken:
            own(_heir(view, left.get(entry_id), paths), entry_id)
    for path in derived:
        if path not in owned:
            fallback = path_id(path)
            if fallback in taken:
                waiting[path] = taken[fallback]
            else:
                own(path, fallback)
    return IdAssignment(owned, waiting, inherited)


def _keeps(view: KbView, record: FileRecord, explicit: bool, claim: EntryId) -> bool:
    if record.entry_id == claim and (explicit or not view.fresh):
        return True
    # A derived id was decided when the file was first indexed; only another title asks anew.
    return not view.fresh and record.explicit == explicit and record.claim == claim


def _heir(view: KbView, left: FileRecord | None, paths: list[str]) -> str:
    """Choose who gets a free id: whom its last owner became, else the smallest path."""

    def likeness(path: str) -> tuple[bool, bool, bool, str]:
        file = view.disk[path]
        assert file is not None
        if left is None:
            return True, True, True, path
        same_bytes = file.revision in (left.revision, left.good_revision)
        return not same_bytes, not is_same_file(file, left), path in view.indexed, path

    return min(paths, key=likeness)


def is_same_file(file: FileOnDisk, record: FileRecord) -> bool:
    """Whether it is the very file of the record, be it under another name."""
    return (
        file.state is not None
        and record.state is not None
        and (file.state.inode, file.state.device) == (record.state.inode, record.state.device)
    )


def _swapped_owners(view: KbView) -> set[str]:
    """List the paths whose owner has swapped its name with a file that waited for the same id.

    Told by the bytes of both: an owner that is only saved, with a copy of what it was put in the
    other's place, is the owner still.
    """
    waiting: dict[str, list[FileRecord]] = {}
    for path, record in view.indexed.items():
        if record.entry_id is None and record.claim is not None and path in view.disk:
            waiting.setdefault(record.claim, []).append(record)
    swapped = set()
    for path, record in view.indexed.items() if waiting else ():
        file = view.disk.get(path)
        if record.entry_id is None or file is None or file.revision == record.revision:
            continue
        for rival in waiting.get(record.entry_id, ()):
            there = view.disk[rival.path]
            if (
                there is not None
                and there.content is not None
                and claim_of(there.content) == (True, record.entry_id)
                and (file.revision, there.revision) == (rival.revision, record.revision)
            ):
                swapped.add(path)
    return swapped


def _vanished_owners(view: KbView) -> dict[Revision, list[FileRecord]]:
    """List the files that owned an id and are gone, by their last bytes."""
    vanished: dict[Revision, list[FileRecord]] = {}
    for path, record in view.indexed.items():
        if record.entry_id is not None and record.revision and path in view.disk and view.disk[path] is None:
            vanished.setdefault(record.revision, []).append(record)
    return vanished


def _take_origin(vanished: Mapping[Revision, list[FileRecord]], file: FileOnDisk) -> FileRecord | None:
    """Find the vanished file of which a bad one is the same bytes under another name; it is taken."""
    candidates = vanished.get(file.revision)
    if not candidates:
        return None
    origin = min(candidates, key=lambda record: (not is_same_file(file, record), record.path))
    candidates.remove(origin)
    return origin
