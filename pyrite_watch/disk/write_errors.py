"""Why a file was not written. Each is an HTTP answer too; nothing was changed when one is raised.

RequestError
├── PathOutsideKbError          400 PATH_OUTSIDE_KB
├── PathTakenError              409 ALREADY_EXISTS
├── ChangedMeanwhileError       412 CONFLICT
│   └── FileBusyError
└── WriteFailedError            what the operating system says: 507, 403, 503 or 500
"""

from __future__ import annotations

import errno
from typing import NamedTuple

from pyrite_watch.errors import RequestError
from pyrite_watch.model.entry import Revision


def shown(path: str) -> str:
    """Make a path fit for a message: short, and without what no terminal and no JSON takes."""
    text = path.encode("utf-8", "backslashreplace").decode()
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[:200])


class PathOutsideKbError(RequestError):
    """The path leads, or could lead, out of the KB's root; or no file below it can have that name."""

    status = 400
    code = "PATH_OUTSIDE_KB"

    def __init__(self, path: str, why: str) -> None:
        super().__init__(
            f"'{shown(path)}' is no place in this knowledge base: {why}.",
            "A path is relative to the knowledge base's folder, with '/' between its parts, "
            "and no part is a link.",
        )
        self.path, self.why = path, why


class PathTakenError(RequestError):
    """Something is there already, and a new file never replaces anything."""

    status = 409
    code = "ALREADY_EXISTS"

    def __init__(self, path: str, what: str = "something of that name is there already") -> None:
        super().__init__(
            f"'{shown(path)}' was not created: {what}.", "Choose another id, or update the entry."
        )
        self.path, self.what = path, what


class ChangedMeanwhileError(RequestError):
    """The file on disk is another than the caller started from; it was left as its writer left it.

    `current` is its revision; None where there is no file of that name now.
    """

    status = 412
    code = "CONFLICT"

    def __init__(self, path: str, current: Revision | None) -> None:
        now = f"its revision is {current}" if current else "it is gone"
        super().__init__(
            f"'{shown(path)}' has changed meanwhile: {now}.", "Read it again, then repeat the change."
        )
        self.path, self.current = path, current

    @property
    def facts(self) -> dict[str, str]:
        """The revision to start from now."""
        return {"revision": self.current} if self.current else {}


class FileBusyError(ChangedMeanwhileError):
    """Another program has the file open for writing: what it is about to write would be lost.

    `current` may be the revision that the caller expected.
    """

    def __init__(self, path: str, current: Revision | None) -> None:
        super().__init__(path, current)
        self.args = (f"'{shown(path)}' is being written by another program.",)
        self.hint = "Repeat the change when that program has closed the file."


class _Reason(NamedTuple):
    status: int
    code: str
    why: str
    hint: str


_FULL = _Reason(507, "DISK_FULL", "the disk is full", "Free some space, then repeat the change.")
_DENIED = _Reason(
    403,
    "PERMISSION_DENIED",
    "this process may not write there",
    "Check who owns the file and its folder, and their permissions.",
)
_REASONS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL._replace(why="the quota on that disk is used up"),
    errno.EROFS: _Reason(
        403, "READ_ONLY", "the file system is read-only", "Mount it for writing, or write elsewhere."
    ),
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
}


class WriteFailedError(RequestError):
    """The operating system refused; always raised from its `OSError`, whose number is `errno`."""

    def __init__(self, path: str, error: OSError) -> None:
        known = _REASONS.get(error.errno or 0)
        said = (error.strerror or str(error)).lower()
        reason = known or _Reason(500, "WRITE_FAILED", said, "Check the disk, then repeat the change.")
        super().__init__(f"'{shown(path)}' was not written: {reason.why}.", reason.hint)
        self.status, self.code, self.why = reason.status, reason.code, reason.why
        self.path, self.errno = path, error.errno


class RootGoneError(WriteFailedError):
    """The KB's root itself cannot be opened: nothing is known of what is below."""

    def __init__(self, path: str, error: OSError) -> None:
        super().__init__(path, error)
        self.args = (f"'{shown(path)}' was not written: the knowledge base's folder is not there.",)
        self.status, self.code = 503, "KB_UNAVAILABLE"
        self.hint = "Mount the drive that holds it, or bring the folder back."
