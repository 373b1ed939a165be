"""Read one file of a KB, safely: nothing outside the root, nothing that blocks, nothing half-read.

A path is walked from the root by directory descriptors that refuse symlinks, so that neither a
link in the KB nor one that is swapped in meanwhile leads outside. Not guaranteed: that the bytes
are still those on the disk when this returns; `racy` says when nobody could tell.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from pyrite_watch.model.entry import FileState, Problem
from pyrite_watch.system import is_open_for_writing

RACY_NS = 10_000_000
"""A file that changed less than 10 ms before it was read may change again within the same mtime:
kernels stamp times by the tick (4 ms here), as in git's racy rule."""

_ATTEMPTS = 3
_CHUNK_BYTES = 1 << 20
# Windows has neither; there links are told by lstat, which leaves a race that POSIX has not.
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_OPEN_FILE = (
    os.O_RDONLY
    | _NO_FOLLOW
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_OPEN_FOLDER = os.O_RDONLY | _NO_FOLLOW | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_HAS_DIR_FD = os.open in os.supports_dir_fd


@dataclass(frozen=True, slots=True)
class RawFile:
    """A regular file's bytes as they were between two equal looks at its state."""

    state: FileState
    data: bytes
    racy: bool
    open_for_writing: bool


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A path that is there and cannot be an entry; `state` is None where not even that is known."""

    state: FileState | None
    problem: Problem


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder, where a file was asked for."""


def file_state(status: os.stat_result) -> FileState:
    """Take the state of a file from what `lstat` says."""
    return FileState(status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev)


def read_status(root: Path, path: str) -> FileState | Folder | Unreadable | None:
    """Look at a path without reading it; None where nothing (or a link) is there."""
    try:
        folder = _open_parent(root, path)
        if folder is None:
            return None
        try:
            status = _lstat(root, path, folder)
        finally:
            _close(folder)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        return Unreadable(None, _unreadable(path, error))
    if stat.S_ISDIR(status.st_mode):
        return Folder()
    if stat.S_ISLNK(status.st_mode):
        return None
    return file_state(status)


def read_file(root: Path, path: str, max_bytes: int) -> RawFile | Folder | Unreadable | None:
    """Read a file below the root; None where nothing (or a link) is there.

    Never blocks on a FIFO, never opens a device, never raises `OSError`.
    """
    try:
        folder = _open_parent(root, path)
        if folder is None:
            return None
        try:
            return _read(root, path, folder, max_bytes)
        finally:
            _close(folder)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        return Unreadable(_state_of(root, path), _unreadable(path, error))


def _read(root: Path, path: str, folder: int, max_bytes: int) -> RawFile | Folder | Unreadable | None:
    read: RawFile | None = None
    for _ in range(_ATTEMPTS):
        status = _lstat(root, path, folder)
        if stat.S_ISDIR(status.st_mode):
            return Folder()
        if stat.S_ISLNK(status.st_mode):
            return None
        state = file_state(status)
        if not stat.S_ISREG(status.st_mode):
            return Unreadable(state, Problem(path, "not_a_file", "it is not a regular file"))
        if status.st_size > max_bytes:
            return Unreadable(state, _too_big(path, status.st_size, max_bytes))
        try:
            descriptor = _open(root, path, folder, _OPEN_FILE)
        except OSError as error:
            if error.errno == errno.ELOOP:
                return None  # a link by now
            raise
        try:
            # Before the reading: what changes in its middle may have the time that this look finds.
            read_ns = time.time_ns()
            opened = os.fstat(descriptor)
            # Another file by now, perhaps: what was opened counts, if it is one.
            if not stat.S_ISREG(opened.st_mode):
                continue
            state = file_state(opened)
            data = _read_all(descriptor, max_bytes)
            # Asked after the reading: who opens it later has not changed what was read.
            writing = is_open_for_writing(descriptor) is True
            closing = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        after = file_state(closing)
        if len(data) > max_bytes:
            return Unreadable(after, _too_big(path, len(data), max_bytes))
        # Who has it open may also have it mapped, and a page that is dirty already takes more bytes without
        # a new time: its state can't tell, until it is closed.
        read = RawFile(after, data, writing or _is_racy(after, read_ns), writing)
        # Race: deleted after it was opened here, and so perhaps never finished: whoever closed it after that
        # is not found by the lease. What has no name any more is not what the path holds.
        if after == state and len(data) == state.size and closing.st_nlink:
            return read
    if read is None:
        return Unreadable(None, Problem(path, "not_a_file", "it is not a regular file"))
    # It is being written, or replaced, faster than it can be read: what was read is told as unfinished.
    return replace(read, racy=True, open_for_writing=True)


def _is_racy(state: FileState, read_ns: int) -> bool:
    # A time in the future (a clock set back) can't tell anything either; but a file restored with
    # an old mtime has a new ctime, so the later of the two counts, and ctime can't be forged.
    return state.ctime_ns > read_ns - RACY_NS


def _read_all(descriptor: int, max_bytes: int) -> bytes:
    chunks, size = [], 0
    while size <= max_bytes and (chunk := os.read(descriptor, _CHUNK_BYTES)):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)


def _too_big(path: str, size: int, max_bytes: int) -> Problem:
    return Problem(path, "too_big", f"it has {size:,} bytes; the limit is {max_bytes:,} (--max-entry-bytes)")


def _unreadable(path: str, error: Exception) -> Problem:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return Problem(path, "unreadable", f"it cannot be read: {reason}")


def _state_of(root: Path, path: str) -> FileState | None:
    looked = read_status(root, path)
    return looked if isinstance(looked, FileState) else None


if _HAS_DIR_FD and sys.platform != "win32":

    def _open_parent(root: Path, path: str) -> int | None:
        """Open the folder that holds the path; None where a link or nothing is on the way."""
        # The root itself may be a link: it is the user's word.
        descriptor = os.open(root, _OPEN_FOLDER & ~_NO_FOLLOW)
        try:
            for part in path.split("/")[:-1]:
                inner = os.open(part, _OPEN_FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
        except (OSError, ValueError) as error:
            os.close(descriptor)
            # O_NOFOLLOW with O_DIRECTORY tells a link as ENOTDIR or ELOOP.
            if isinstance(error, OSError) and error.errno in (errno.ENOTDIR, errno.ENOENT, errno.ELOOP):
                return None
            raise
        return descriptor

    def _close(folder: int) -> None:
        os.close(folder)

    def _lstat(root: Path, path: str, folder: int) -> os.stat_result:
        return os.stat(path.rsplit("/", 1)[-1], dir_fd=folder, follow_symlinks=False)

    def _open(root: Path, path: str, folder: int, flags: int) -> int:
        return os.open(path.rsplit("/", 1)[-1], flags, dir_fd=folder)

else:

    def _open_parent(root: Path, path: str) -> int | None:
        """Check the folders on the way; None where a link or nothing is there."""
        folder = root
        for part in path.split("/")[:-1]:
            folder = folder / part
            if not stat.S_ISDIR(os.lstat(folder).st_mode):
                return None
        return 0

    def _close(folder: int) -> None:
        return

    def _lstat(root: Path, path: str, folder: int) -> os.stat_result:
        return os.lstat(root / path)

    def _open(root: Path, path: str, folder: int, flags: int) -> int:
        return os.open(root / path, flags)
