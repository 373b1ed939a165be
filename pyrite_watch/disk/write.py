"""Write, replace and delete single files below a KB's root: all or nothing, and never somebody
else's bytes.

Synchronous; called from one writing thread. A file is made complete under a temporary name in its
folder, reaches the disk (fsync), and then takes its place in one step. On Linux that step is an
*exchange*, so that what was replaced can still be looked at: if it is not what the caller expected,
it is put back, and the caller is told.

Guaranteed on Linux, on file systems with `renameat2` (ext4, XFS, btrfs, tmpfs, overlayfs):

- A reader sees the old bytes or the new ones, whole; so does one after `kill -9` or a power cut.
- What an editor saves, by rename, in place or by truncating, is not lost: neither before, during nor
  after the exchange. When the write is refused, it is at its path.
- Nothing outside the root is touched (see `contain`).

Not guaranteed:

- A stale write can be seen at the path for some 50 µs before it is put back, and a file whose
  deletion is refused can be missing for as long.
- When the disk fails in the very last step, the fsync of the folder, the write is told as failed
  and is at its path nevertheless.
- A program that has found the file but not yet opened it (within one `open(2)`), or has it open
  where leases cannot be asked (see `temporary.look_at`), may write into the file that is removed.
- Without `renameat2` the revision is compared just before the rename: a save in between is lost.
- A hard link to the file keeps the old bytes. Times are new; attributes, owner and group are copied
  where the system permits it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pyrite_watch.disk.attributes import copy_attributes
from pyrite_watch.disk.contain import OpenFolder, check_path, open_parent
from pyrite_watch.disk.exchange import exchange, rename_new
from pyrite_watch.disk.parse import revision_of
from pyrite_watch.disk.read import file_state
from pyrite_watch.disk.temporary import (
    Look,
    gone_name,
    keep_visible,
    look_at,
    new_name,
    parse_temporary_name,
    put_back,
    remove,
    swap_name,
)
from pyrite_watch.disk.write_errors import (
    ChangedMeanwhileError,
    FileBusyError,
    PathOutsideKbError,
    PathTakenError,
    WriteFailedError,
)
from pyrite_watch.model.entry import FileState, Revision

BUSY_WAIT_S = 0.1
"""How long a write waits for a program that has the file open for writing: a save in place takes a
few milliseconds. The writing thread does nothing else meanwhile."""

_BUSY_STEP_S = 0.002
_OPEN_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
for _flag in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):
    _OPEN_NEW |= getattr(os, _flag, 0)


def create_file(root: Path, path: str, data: bytes) -> FileState:
    """Make a new file and the folders it needs; never replaces anything, whatever it is.

    On return it is on the disk, its name too. It honours the umask.

    Raises:
        PathTakenError: Something has that name, or a file is where a folder is needed.
        PathOutsideKbError: See `check_path`; or a link is on the way.
        WriteFailedError: The system refused; no new file and no new folder is left.
    """
    with _telling(path, needs_file=False), open_parent(root, path, make=True) as (folder, name):
        # Asked first only to save the work; what counts is `rename_new`.
        _refuse_taken(folder, name, path)
        with _complete_file(folder, data) as (temporary, before):
            try:
                rename_new(folder, temporary, name)
            except FileExistsError as error:
                raise PathTakenError(path) from error
        folder.sync()
        return _state_after(folder, name, before)


def replace_file(root: Path, path: str, data: bytes, expected: Revision) -> FileState:
    """Replace a file's bytes, if they are the expected ones; mode, owner and attributes stay.

    On return it is on the disk. The state returned is as fresh as the racy rule says: a change by
    somebody else in the same tick may hide in it.

    Raises:
        ChangedMeanwhileError: The file on disk is another, or no regular file; it is where its
            writer put it. `FileBusyError`: a program keeps it open for writing.
        PathOutsideKbError: See `check_path`; or the file is a link, or a link is on the way.
        WriteFailedError: The system refused; nothing was changed.
    """
    with _telling(path), open_parent(root, path) as (folder, name):
        with _complete_file(folder, data, like=name) as (temporary, before):
            # Not before: the fsync takes most of the time, and a save that is seen now needs no undoing.
            _expect(folder, name, path, expected)
            revision = revision_of(data)
            swapped = swap_name(name, revision, expected)
            _rename_own(folder, temporary, swapped)
            # From here on the name says what may lie under it, whenever the process dies.
            try:
                exchanged = exchange(folder, swapped, name)
                if not exchanged:
                    os.replace(
                        folder.at(swapped), folder.at(name), src_dir_fd=folder.fd, dst_dir_fd=folder.fd
                    )
            except FileNotFoundError as error:
                remove(folder, swapped)
                raise ChangedMeanwhileError(path, None) from error
            except OSError:
                remove(folder, swapped)
                raise
        if exchanged:
            taken = look_at(folder, swapped)
            if taken.revision != expected or taken.busy:
                put_back(folder, name, swapped, Look(before, revision))
                raise _changed(folder, name, path, taken)
            # The write is done; should this fail, the next start removes it.
            with contextlib.suppress(OSError):
                remove(folder, swapped)
        folder.sync()
        return _state_after(folder, name, before)


def delete_file(root: Path, path: str, expected: Revision | None) -> None:
    """Delete a file, if it holds the expected bytes (None: whatever it holds).

    It is moved to a temporary name, looked at, and only then removed. If it is another it goes back;
    where a new file is at the path by then, that one stays, and the other gets a visible name beside.

    Raises:
        ChangedMeanwhileError, PathOutsideKbError, WriteFailedError: As with `replace_file`; also when
            there is nothing to delete.
    """
    with _telling(path), open_parent(root, path) as (folder, name):
        if expected is None:
            _refuse_other(look_at(folder, name), path)
            os.unlink(folder.at(name), dir_fd=folder.fd)
            folder.sync()
            return
        _expect(folder, name, path, expected)
        taken_name = gone_name(name, expected)
        _rename_own(folder, name, taken_name)
        taken = look_at(folder, taken_name)
        if taken.revision != expected or taken.busy:
            try:
                rename_new(folder, taken_name, name)
            except FileExistsError:
                keep_visible(folder, taken_name, name)
            raise _changed(folder, name, path, taken)
        try:
            remove(folder, taken_name)
        except OSError:
            rename_new(folder, taken_name, name)
            raise
        folder.sync()


@contextlib.contextmanager
def _telling(path: str, *, needs_file: bool = True) -> Iterator[None]:
    """Check the path, and turn what the system says into an error of ours."""
    check_path(path)
    if any(parse_temporary_name(part) for part in path.split("/")):
        raise PathOutsideKbError(path, "that name is kept for temporary files")
    try:
        yield
    except OSError as error:
        if needs_file and isinstance(error, FileNotFoundError | NotADirectoryError):
            raise ChangedMeanwhileError(path, None) from error
        if error.errno == errno.ELOOP:
            raise PathOutsideKbError(path, "it is a link, and links are not written through") from error
        if error.errno == errno.ENAMETOOLONG:
            raise PathOutsideKbError(path, "a name in it is too long for this disk") from error
        raise WriteFailedError(path, error) from error


def _refuse_taken(folder: OpenFolder, name: str, path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        folder.status(name)
        raise PathTakenError(path)


def _expect(folder: OpenFolder, name: str, path: str, expected: Revision) -> Look:
    """Look whether the file is the expected one and nobody is writing it; wait a little for those who do."""
    deadline_s = time.monotonic() + BUSY_WAIT_S
    while (found := look_at(folder, name)).busy and time.monotonic() < deadline_s:
        time.sleep(_BUSY_STEP_S)
    _refuse_other(found, path)
    if found.busy:
        raise FileBusyError(path, found.revision)
    if found.revision != expected:
        raise ChangedMeanwhileError(path, found.revision)
    return found


def _refuse_other(found: Look, path: str) -> None:
    """Refuse what is no regular file, or cannot be read."""
    if found.is_link:
        raise PathOutsideKbError(path, "it is a link, and links are not written through")
    if found.error is not None:
        raise found.error
    if found.revision is None:
        raise ChangedMeanwhileError(path, None)


def _changed(folder: OpenFolder, name: str, path: str, taken: Look) -> ChangedMeanwhileError:
    current = look_at(folder, name).revision
    return FileBusyError(path, current) if taken.busy else ChangedMeanwhileError(path, current)


@contextlib.contextmanager
def _complete_file(
    folder: OpenFolder, data: bytes, like: str | None = None
) -> Iterator[tuple[str, os.stat_result]]:
    """Make a file with these bytes that has reached the disk; give its temporary name and its status.

    If the body raises, nothing has that name afterwards: it never holds anybody else's bytes.
    """
    name = new_name()
    try:
        # With `like`, nobody may read the bytes before they are as private as those they replace.
        mode = 0o666 if like is None else 0o600
        descriptor = os.open(folder.at(name), _OPEN_NEW, mode, dir_fd=folder.fd)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            if like is not None:
                copy_attributes(folder, like, descriptor)
            os.fsync(descriptor)
            status = os.fstat(descriptor)
        finally:
            # Closed before it takes its place: who looks then must not find it open for writing.
            os.close(descriptor)
        yield name, status
    except BaseException:
        with contextlib.suppress(OSError):
            remove(folder, name)
        raise


def _rename_own(folder: OpenFolder, old: str, new: str) -> None:
    os.rename(folder.at(old), folder.at(new), src_dir_fd=folder.fd, dst_dir_fd=folder.fd)


def _state_after(folder: OpenFolder, name: str, before: os.stat_result) -> FileState:
    """Give the state of the file that was written, with the ctime that its renames gave it.

    Where somebody has changed it since, the state before the rename: it differs from what is there
    now, so nobody takes one for the other.
    """
    with contextlib.suppress(OSError):
        now = folder.status(name)
        first, second = file_state(before), file_state(now)
        if replace(first, ctime_ns=second.ctime_ns) == second:
            return second
    return file_state(before)
