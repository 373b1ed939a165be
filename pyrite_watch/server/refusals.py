"""Every error of the API, as its description tells it, and which of them each kind of call can answer.

Status, code and sentence are those of the errors that are raised: only when they come is said here.
"""

from __future__ import annotations

import errno

from pyrite_watch.disk.write_errors import (
    ChangedMeanwhileError,
    PathOutsideKbError,
    PathTakenError,
    WriteFailedError,
)
from pyrite_watch.errors import (
    EntryNotFoundError,
    JobNotFoundError,
    KbNotFoundError,
    KbReadOnlyError,
    KbUnavailableError,
    PictureNotFoundError,
    PositionLostError,
    PositionMalformedError,
    TooBigError,
)
from pyrite_watch.model.entry import Revision
from pyrite_watch.server.answers import Refusal
from pyrite_watch.server.context import NotRunningError
from pyrite_watch.server.guard import (
    HostNotAllowedError,
    OriginNotAllowedError,
    ProxyWithoutTokenError,
    ReadOnlyTokenError,
    UnauthorizedError,
)
from pyrite_watch.service import StoppedError
from pyrite_watch.write_requests import IndexBusyError, InvalidWriteError, NotIndexedYetError, UnparsableError

_PATH = "soil/mulch.md"
_REVISION = Revision("91ab4c8d02e7f6a35b1c9d8e7f60a1b2")

# -- the guard's -----------------------------------------------------------------------------

UNAUTHORIZED = Refusal.of(UnauthorizedError(), "The token is missing or wrong.", is_guards=True)
HOST_NOT_ALLOWED = Refusal.of(
    HostNotAllowedError(
        "This server is not known as 'box.lan'.", "If it should be, start it with --allow-host box.lan."
    ),
    "`Host` is missing, doubled, malformed, or no name of this server.",
    is_guards=True,
)
ORIGIN_NOT_ALLOWED = Refusal.of(
    OriginNotAllowedError(
        "Pages of https://example.com may not use this server.",
        "If they should, start it with --allow-origin https://example.com.",
    ),
    "A page asks that is neither the server's own nor an allowed one.",
    is_guards=True,
)
PROXY_WITHOUT_TOKEN = Refusal.of(
    ProxyWithoutTokenError(), "The request came through a proxy, and the server has no token.", is_guards=True
)
READ_ONLY_TOKEN = Refusal.of(
    ReadOnlyTokenError(), "The token is the one that may only read.", is_guards=True, has_position=True
)

# -- of every route --------------------------------------------------------------------------

NOT_RUNNING = Refusal.of(NotRunningError(), "The app has not started: nothing is watched.")
STOPPED = Refusal.of(StoppedError(), "The watch was stopped, perhaps while this waited.")
INDEX_UNREADABLE = Refusal(
    503,
    "INDEX_BUSY",
    "SQLite cannot read or write the index now.",
    "The index cannot be read or written now.",
    "Try again.",
)
INTERNAL_ERROR = Refusal(
    500,
    "INTERNAL_ERROR",
    "A fault of the server; its log has the details.",
    "This is a fault of the server; its log says more.",
)

# -- of what was asked for -------------------------------------------------------------------

KB_NOT_FOUND = Refusal.of(KbNotFoundError("gardn"), "No knowledge base of that name is watched.")
ENTRY_NOT_FOUND = Refusal.of(EntryNotFoundError("mulhc", "garden"), "No entry has that id.")
JOB_NOT_FOUND = Refusal.of(
    JobNotFoundError("5d1c3c0e9a0b4f6f8f3d2b1a00c0ffee"), "No job has that id, or it is forgotten by now."
)
PICTURE_NOT_FOUND = Refusal.of(
    PictureNotFoundError("soil/mulch.png", "garden"),
    "Nothing is there, or it is no picture, too large, hidden, or beyond a link.",
)
TOO_BIG = Refusal.of(TooBigError(16 << 20), "The body is longer than an entry may be (`--max-entry-bytes`).")
POSITION_MALFORMED = Refusal.of(PositionMalformedError("1204"), "`since` is not EPOCH:OFFSET.")
POSITION_LOST = Refusal.of(
    PositionLostError("h2d8q1:7", "k3f9x2:1204"),
    "`since` is of another epoch, or ahead of the log: load the state again.",
)

# -- of writes -------------------------------------------------------------------------------

INVALID_WRITE = Refusal.of(
    InvalidWriteError("The title has no letter or digit that an id could be made of.", "Give an 'id'."),
    "What was asked for cannot be an entry. Nothing was written.",
)
PATH_OUTSIDE_KB = Refusal.of(
    PathOutsideKbError("../mulch.md", "it holds '..'"),
    "The file would lie, or lies through a link, outside the knowledge base. Nothing was written.",
)
READ_ONLY = Refusal.of(
    KbReadOnlyError("garden"), "The server, the knowledge base or its file system is read-only."
)
PERMISSION_DENIED = Refusal.of(
    WriteFailedError(_PATH, OSError(errno.EACCES, "Permission denied")),
    "The operating system does not let the server write there.",
)
ALREADY_EXISTS = Refusal.of(
    PathTakenError(_PATH, "there is an entry 'mulch'"),
    "An entry has that id, or something is at its path. Nothing is ever replaced.",
)
UNPARSABLE = Refusal.of(
    UnparsableError(_PATH, "the front matter is not valid YAML"),
    "The file is no readable entry at the moment; nobody may write over what is in it.",
)
CONFLICT = Refusal.of(
    ChangedMeanwhileError(_PATH, _REVISION),
    "The file on disk is another than `If-Match` says, is gone, or another program is writing it. "
    "Nothing was written; `revision` is the one to start from, where there is a file.",
)
ROOT_UNAVAILABLE = Refusal.of(KbUnavailableError("garden"), "The knowledge base's folder is not there.")
KB_UNAVAILABLE = Refusal.of(
    KbUnavailableError("garden"), "The knowledge base's folder is not there. Nothing was written."
)
INDEX_BUSY = Refusal.of(IndexBusyError(), "SQLite cannot read or write the index now. Nothing was written.")
NOT_INDEXED_YET = Refusal.of(
    NotIndexedYetError(_PATH, _REVISION),
    "The file *was* written, or deleted; its event follows when the index can be written. Do not repeat it.",
)
WRITE_FAILED = Refusal.of(
    WriteFailedError(_PATH, OSError(errno.EIO, "Input/output error")),
    "The operating system refused for another reason; the message names it.",
)
DISK_FULL = Refusal.of(
    WriteFailedError(_PATH, OSError(errno.ENOSPC, "No space left on device")),
    "The disk, or the quota on it, is full. Nothing was written.",
)

# -- by kind of call -------------------------------------------------------------------------

AT_THE_DOOR = (HOST_NOT_ALLOWED, ORIGIN_NOT_ALLOWED, PROXY_WITHOUT_TOKEN)
OF_HEALTH = (*AT_THE_DOOR, NOT_RUNNING, INTERNAL_ERROR)
OF_READS = (UNAUTHORIZED, *AT_THE_DOOR, NOT_RUNNING, STOPPED, INDEX_UNREADABLE, INTERNAL_ERROR)
OF_FILES = (UNAUTHORIZED, *AT_THE_DOOR, NOT_RUNNING, INTERNAL_ERROR)
OF_SYNC = (UNAUTHORIZED, *AT_THE_DOOR, READ_ONLY_TOKEN, *OF_READS[4:], KB_NOT_FOUND)

_OF_WRITES = (
    UNAUTHORIZED,
    *AT_THE_DOOR,
    READ_ONLY_TOKEN,
    READ_ONLY,
    PERMISSION_DENIED,
    PATH_OUTSIDE_KB,
    KB_NOT_FOUND,
    NOT_RUNNING,
    STOPPED,
    KB_UNAVAILABLE,
    INDEX_BUSY,
    NOT_INDEXED_YET,
    INTERNAL_ERROR,
    WRITE_FAILED,
    DISK_FULL,
)
OF_CREATE = (INVALID_WRITE, *_OF_WRITES, ALREADY_EXISTS, TOO_BIG)
OF_DELETE = (*_OF_WRITES, ENTRY_NOT_FOUND, UNPARSABLE, CONFLICT)
OF_CHANGE = (INVALID_WRITE, *OF_DELETE, TOO_BIG)
