"""Stay below a KB's root, whatever the path says and whoever swaps a folder for a link meanwhile.

A path is first judged by its spelling (`check_path`), then walked from the root, a folder at a
time, each opened relative to the one before and never through a link. What is done in the end is
done relative to the last folder's descriptor, so a swap after the walk changes nothing.

Not guaranteed: a folder that is *moved* out of the KB after it was opened is still the folder that
was opened. Where there are no directory descriptors (Windows), links are told by looking first,
which leaves a gap between look and use.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from pyrite_watch.disk.write_errors import PathOutsideKbError, PathTakenError, RootGoneError

MAX_NAME_BYTES = 255
"""What ext4, XFS, btrfs, APFS and NTFS (there: UTF-16 units) take as one name."""

MAX_PATH_BYTES = 4_096
"""Linux's PATH_MAX. What is longer could be written a folder at a time, but then not be found again
by the scan, which opens folders by their whole path."""

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_OPEN_ROOT = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_OPEN_FOLDER = _OPEN_ROOT | _NO_FOLLOW
_HAS_DIR_FD = os.open in os.supports_dir_fd
_BAD_ON_WINDOWS = frozenset('\\:*?"<>|') | {chr(code) for code in range(32)}


def check_path(path: str) -> None:
    """Refuse a path that could not be below a root, by its spelling alone. Pure.

    Whether the ignore rules hide it is the caller's question.

    Raises:
        PathOutsideKbError: It is empty, absolute, holds an empty part, `.`, `..`, NUL or what is not
            Unicode, or a part of over 255 bytes, or (Windows only) a character that means something
            there, such as a backslash.
    """
    if not path:
        raise PathOutsideKbError(path, "it is empty")
    if path.startswith("/"):
        raise PathOutsideKbError(path, "it is absolute")
    if "\0" in path:
        raise PathOutsideKbError(path, "it holds a NUL character")
    try:
        size = len(path.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise PathOutsideKbError(path, "it is not Unicode") from error
    if size >= MAX_PATH_BYTES:
        raise PathOutsideKbError(path, "it is too long")
    for part in path.split("/"):
        if not part:
            raise PathOutsideKbError(path, "a part of it is empty")
        if part in (".", ".."):
            raise PathOutsideKbError(path, f"it holds '{part}'")
        if len(part.encode("utf-8")) > MAX_NAME_BYTES:
            raise PathOutsideKbError(path, f"a name in it is longer than {MAX_NAME_BYTES} bytes")
        if os.name == "nt" and (not _BAD_ON_WINDOWS.isdisjoint(part) or part[-1] in ". "):
            raise PathOutsideKbError(path, "Windows cannot have such a name")


class OpenFolder:
    """A folder that is held open. Give `at(name)` and `dir_fd=fd` to the functions of `os`.

    Where there are no directory descriptors, `fd` is None and `at` gives the whole path.
    """

    __slots__ = ("fd", "path")

    def __init__(self, path: Path, fd: int | None) -> None:
        self.path = path
        self.fd = fd

    def at(self, name: str) -> str:
        """Name a file in this folder, for use with `dir_fd=self.fd`."""
        return name if self.fd is not None else str(self.path / name)

    def names(self) -> list[str]:
        """List what is in it."""
        return os.listdir(self.path if self.fd is None else self.fd)

    def status(self, name: str) -> os.stat_result:
        """Look at what has that name, without following it."""
        return os.stat(self.at(name), dir_fd=self.fd, follow_symlinks=False)

    def sync(self) -> None:
        """Make its names survive a power cut, where the file system can do that."""
        if self.fd is None:
            return
        try:
            os.fsync(self.fd)
        except OSError as error:
            # Some file systems (FUSE, SMB) have no fsync for folders; EIO and ENOSPC are to be told.
            if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS, errno.EACCES):
                raise

    def close(self) -> None:
        """Let go of the descriptor."""
        if self.fd is not None:
            fd, self.fd = self.fd, None
            os.close(fd)


@contextlib.contextmanager
def open_parent(root: Path, path: str, *, make: bool = False) -> Iterator[tuple[OpenFolder, str]]:
    """Hold the folder open in which `path` lies; give it and the path's last part.

    Args:
        root: May itself be a link: it is the user's word. It is never made.
        path: One that `check_path` accepts.
        make: Make the folders that are missing, by the umask; they are removed again, where still
            empty, if the body raises.

    Raises:
        PathOutsideKbError: A link is on the way.
        PathTakenError: With `make`: a file is where a folder is needed.
        FileNotFoundError, NotADirectoryError: Without `make`: a folder is missing.
        RootGoneError: The root cannot be opened.
    """
    if len(os.fsencode(root)) + 1 + len(os.fsencode(path)) >= MAX_PATH_BYTES:
        raise PathOutsideKbError(path, "it is too long")
    *parts, name = path.split("/")
    made: list[tuple[OpenFolder, str]] = []
    folder = _open_root(root, path)
    try:
        for part in parts:
            outer = folder
            if make and _make(outer, part):
                made.append((outer, part))
            try:
                folder = _enter(outer, part, path, needed=make)
            finally:
                if not (made and made[-1][0] is outer):
                    outer.close()
        yield folder, name
        for outer, _ in made:
            outer.sync()
    except BaseException:
        for outer, part in reversed(made):
            with contextlib.suppress(OSError):  # somebody has put a file there meanwhile: it stays
                os.rmdir(outer.at(part), dir_fd=outer.fd)
        raise
    finally:
        folder.close()
        for outer, _ in made:
            outer.close()


def _open_root(root: Path, path: str) -> OpenFolder:
    try:
        if _HAS_DIR_FD:
            return OpenFolder(root, os.open(root, _OPEN_ROOT))
        if not stat.S_ISDIR(os.stat(root).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(root))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RootGoneError(path, error) from error
    return OpenFolder(root, None)


def _make(outer: OpenFolder, part: str) -> bool:
    try:
        os.mkdir(outer.at(part), dir_fd=outer.fd)
    except FileExistsError:
        return False
    return True


def _enter(outer: OpenFolder, part: str, path: str, *, needed: bool) -> OpenFolder:
    inner = outer.path / part
    try:
        if outer.fd is not None:
            return OpenFolder(inner, os.open(part, _OPEN_FOLDER, dir_fd=outer.fd))
        if _is_plain_folder(os.lstat(inner)):
            return OpenFolder(inner, None)
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(inner))
    except OSError as error:
        # O_NOFOLLOW with O_DIRECTORY tells a link as ENOTDIR (Linux) or ELOOP (macOS).
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        with contextlib.suppress(FileNotFoundError):
            mode = outer.status(part).st_mode
            # What looks like a folder and can't be entered is a junction, or was a link just now.
            if stat.S_ISLNK(mode) or stat.S_ISDIR(mode):
                raise PathOutsideKbError(path, "it leads through a link") from error
        if needed:
            raise PathTakenError(path, "a file is where its folder should be") from error
        raise


def _is_plain_folder(status: os.stat_result) -> bool:
    if sys.platform == "win32":
        # A junction says that it is a folder, and leads anywhere.
        links = (stat.IO_REPARSE_TAG_SYMLINK, stat.IO_REPARSE_TAG_MOUNT_POINT)
        return stat.S_ISDIR(status.st_mode) and status.st_reparse_tag not in links
    return stat.S_ISDIR(status.st_mode)
