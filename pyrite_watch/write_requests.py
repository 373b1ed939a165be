"""What is asked of a writer, what it answers, and why it refuses: values and errors, no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyrite_watch.disk.json_values import scalar_text
from pyrite_watch.disk.parse import slug_of, usable_id
from pyrite_watch.disk.write_errors import PathOutsideKbError
from pyrite_watch.errors import RequestError
from pyrite_watch.model.entry import EntryId, Revision
from pyrite_watch.model.event import Offset, Position
from pyrite_watch.model.kb import KbName, KnowledgeBase


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


class IndexBusyError(RequestError):
    """The index could not be read or written before anything was done: nothing was written."""

    status = 503
    code = "INDEX_BUSY"

    def __init__(self) -> None:
        super().__init__("The index cannot be read or written now; nothing was changed.", "Try again.")


class NotIndexedYetError(RequestError):
    """The file was written, and the index could not take note; its event comes when it can."""

    status = 503
    code = "NOT_INDEXED_YET"

    def __init__(self, path: str, revision: Revision | None) -> None:
        done = "written" if revision else "deleted"
        super().__init__(
            f"'{path}' was {done}, but the index cannot be written now.",
            "Do not repeat the change: its event follows when the index can be written again.",
        )
        self.path, self.revision = path, revision

    @property
    def facts(self) -> dict[str, str]:
        """The revision that was written."""
        return {"revision": self.revision} if self.revision else {}


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

    With `coerce` (PATCH) the fields are the file's: a string gets the type that its field has.
    Without it they are the entry's: a title, tags and an importance that it shows already, however
    they are written, are left as they are.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    body: str | None = None
    coerce: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What a write came to. `position` is its event's; where nothing changed, the present one."""

    entry_id: EntryId
    kb_name: KbName
    path: str
    revision: Revision | None
    position: Position

    @property
    def offset(self) -> Offset:
        """The offset of `position`."""
        return self.position.offset


def new_path(kb: KnowledgeBase, entry_id: EntryId, entry_type: str) -> str:
    """Where a new entry goes, as kb.yaml says it, unchecked; `./notes/` is the folder `notes`."""
    folder = f"{kb.subdirectories.get(entry_type, '').strip()}/"
    while folder.startswith("./"):
        folder = folder[2:].lstrip("/")
    folder = "/" * folder.startswith("/") + folder.strip("/") if folder != "/" else ""
    return f"{folder}/{entry_id}.md" if folder else f"{entry_id}.md"


def new_id(new: NewEntry) -> EntryId:
    given = new.entry_id if new.entry_id is not None else slug_of(new.title)
    if not given:
        raise InvalidWriteError(
            "The title has no letter or digit that an id could be made of.", "Give an 'id'."
        )
    if given.startswith("/") or ".." in given.split("/"):
        raise PathOutsideKbError(f"{given}.md", "an id is no path")
    usable = usable_id(given)
    if not isinstance(usable, str) or usable != given:
        reason = "it is empty or has blanks around it" if isinstance(usable, str | None) else usable.message
        raise InvalidWriteError(f"'{given[:80]}' cannot be an id: {reason}.", "Give another 'id'.")
    return usable


def new_front_matter(entry_id: EntryId, new: NewEntry) -> dict[str, Any]:
    if scalar_text(new.metadata.get("id", entry_id)).strip() != entry_id:
        raise InvalidWriteError("The metadata names another id.", "Give it as 'id'.")
    fields: dict[str, Any] = {"id": entry_id, "type": new.entry_type, "title": new.title}
    if new.date is not None:
        fields["date"] = new.date
    if new.importance is not None:
        fields["importance"] = new.importance
    if new.tags:
        fields["tags"] = list(new.tags)
    return {**fields, **{name: value for name, value in new.metadata.items() if name not in fields}}
