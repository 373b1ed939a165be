"""Temporary files beside the ones that are written: their names, what is in them, and how foreign
bytes that came out of an exchange get back to where their writer put them.

A temporary name says what a crash may leave under it:

- `new`: our own bytes, perhaps half of them. Nobody else's: it may be deleted unread.
- `swap`: our own bytes, all of them, until the exchange; after it, what was at the path: the old
  bytes that were expected, or an editor's that came meanwhile. So the name carries both revisions,
  and the target's name: what is neither is foreign and is never deleted.
- `gone`: what was taken away in order to be deleted; the same holds.

All begin with a dot, which every ignore rule skips, and are short enough for a target of 255 bytes.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
from dataclasses import dataclass

from pyrite_watch.disk.contain import MAX_NAME_BYTES, OpenFolder
from pyrite_watch.disk.exchange import exchange, rename_new
from pyrite_watch.model.entry import Revision
from pyrite_watch.system import is_open_for_writing, open_no_follow_flags

_MAX_TEMPORARY_BYTES = 143
"""eCryptfs takes no longer names than that; every other file system here takes 255."""

_REVISION_CHARS = 16
"""64 bits of a revision: enough to know one's own bytes by."""

_MAX_TURNS = 16
_CHUNK_BYTES = 1 << 20

_NAME = re.compile(
    r"\.pyrite-(?:(?P<new>new)-[0-9a-f]{16}"
    r"|(?:swap-(?P<ours>[0-9a-f]{16})|gone)-(?P<expected>[0-9a-f]{16})-[0-9a-f]{8}(?P<cut>[-+])(?P<target>.+)"
    r")\.tmp",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class TemporaryName:
    """What a temporary name says. `target` is None where it did not fit, and always for `new`."""

    is_new: bool
    ours: str | None = None
    expected: str | None = None
    target: str | None = None


def new_name() -> str:
    """Name a file that is being written."""
    return f".pyrite-new-{secrets.token_hex(8)}.tmp"


def swap_name(target: str, ours: Revision, expected: Revision) -> str:
    """Name a complete file that is about to be exchanged with `target`."""
    return _with_target(f"swap-{ours[:_REVISION_CHARS]}-{expected[:_REVISION_CHARS]}", target)


def gone_name(target: str, expected: Revision) -> str:
    """Name a file that was taken away from `target`."""
    return _with_target(f"gone-{expected[:_REVISION_CHARS]}", target)


def _with_target(head: str, target: str) -> str:
    head = f".pyrite-{head}-{secrets.token_hex(4)}"
    room = _MAX_TEMPORARY_BYTES - len(head) - len("-.tmp")
    fitting = _cut(target, room)
    return f"{head}{'-' if fitting == target else '+'}{fitting}.tmp"


def _cut(name: str, max_bytes: int) -> str:
    return name.encode("utf-8")[:max_bytes].decode("utf-8", "ignore")


def parse_temporary_name(name: str) -> TemporaryName | None:
    """Read a name; None where it is not one of ours."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    target = match["target"] if match["cut"] == "-" else None
    return TemporaryName(match["new"] is not None, match["ours"], match["expected"], target)


@dataclass(frozen=True, slots=True)
class Look:
    """What has a name: nothing (`status` None), no regular file or an unreadable one (`revision` None).

    `busy`: a process has it open for writing. `error`: why it could not be read.
    """

    status: os.stat_result | None
    revision: Revision | None = None
    busy: bool = False
    error: OSError | None = None

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return self.status is not None and stat.S_ISLNK(self.status.st_mode)

    def is_still(self, other: Look) -> bool:
        """Whether this is the very thing that `other` was, unchanged and not being changed."""
        if self.status is None or other.status is None or self.busy:
            return False
        ours, theirs = self.status, other.status
        return (ours.st_dev, ours.st_ino, self.revision) == (theirs.st_dev, theirs.st_ino, other.revision)


def look_at(folder: OpenFolder, name: str) -> Look:
    """Look at what has this name, and name its content. Raises nothing, follows no link.

    `busy` is asked before the bytes are read. Where nobody can reach the file by its path any more,
    one that is not busy stays as it was read; except that where leases don't work (another owner's
    file without CAP_LEASE, network drives, other systems) `busy` is always False.
    """
    try:
        status = folder.status(name)
        if not stat.S_ISREG(status.st_mode):
            return Look(status)
        descriptor = os.open(folder.at(name), open_no_follow_flags(), dir_fd=folder.fd)
    except (FileNotFoundError, NotADirectoryError):
        return Look(None)
    except OSError as error:
        return Look(_status_or_none(folder, name), error=error)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return Look(status)
        busy = is_open_for_writing(descriptor) is True
        return Look(status, _revision_in(descriptor), busy)
    except OSError as error:
        return Look(status, error=error)
    finally:
        os.close(descriptor)


def _status_or_none(folder: OpenFolder, name: str) -> os.stat_result | None:
    try:
        return folder.status(name)
    except OSError:
        return None


def _revision_in(descriptor: int) -> Revision:
    # By the piece: what an editor put there may be of any size.
    content = hashlib.blake2b(digest_size=16)
    while chunk := os.read(descriptor, _CHUNK_BYTES):
        content.update(chunk)
    return Revision(content.hexdigest())


def remove(folder: OpenFolder, name: str) -> None:
    """Remove a file that is known to hold nobody else's bytes; not there is fine too."""
    try:
        os.unlink(folder.at(name), dir_fd=folder.fd)
    except FileNotFoundError:
        return


def put_back(folder: OpenFolder, target: str, temporary: str, ours: Look) -> str | None:
    """Undo an exchange: `target` gets what lies under `temporary`, and what `target` held is removed.

    It is removed only if it is `ours`, unchanged. A third writer may have come in between: its bytes
    are the latest, so they go back to `target`, and what would have been put there is kept under a
    visible name beside it. That goes on until nobody comes in between. Nobody's bytes are lost.

    Returns:
        The visible name, None in the common case that there is none.
    """
    below, is_ours = ours, True  # what `target` holds, as far as known
    for _ in range(_MAX_TURNS):
        held = look_at(folder, temporary)
        try:
            if not exchange(folder, temporary, target):
                break
        except FileNotFoundError:
            # It was deleted meanwhile; whoever did that can't have meant the bytes that we hold.
            try:
                rename_new(folder, temporary, target)
            except FileExistsError:
                continue
            return None
        taken = look_at(folder, temporary)
        if taken.is_still(below):
            if not is_ours:
                break
            remove(folder, temporary)
            return None
        below, is_ours = held, False
    return keep_visible(folder, temporary, target)


def keep_visible(folder: OpenFolder, temporary: str, target: str | None) -> str:
    """Give foreign bytes that lie under a temporary name a visible one; return it.

    `notes.md` becomes `notes.recovered-1f3c9a2e.md`, an entry as any other: where it carries the
    same id in its front matter, the duplicate is shown as a problem.
    """
    stem, dot, suffix = (target or "recovered.md").rpartition(".")
    if not stem:
        stem, dot, suffix = suffix, "", ""
    while True:
        mark = f".recovered-{secrets.token_hex(4)}"
        room = MAX_NAME_BYTES - len(f"{mark}{dot}{suffix}".encode())
        name = f"{_cut(stem, max(room, 1))}{mark}{dot}{suffix}"
        try:
            rename_new(folder, temporary, name)
        except FileExistsError:
            continue
        return name
