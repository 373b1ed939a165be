"""Renames that lose nothing: Linux's `renameat2`, and a plain way beside each.

`exchange` swaps two names in one step, so that what was replaced can be looked at afterwards.
`rename_new` moves a file to a name that nobody has.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import sys

from pyrite_watch.disk.contain import OpenFolder

_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
# For a C library without the function (musl before 1.2.6): the call's number.
_SYSCALL_NUMBERS = {"x86_64": 316, "aarch64": 276, "riscv64": 276}
# An old kernel; a file system (NFS, some FUSE) without the flag; a sandbox that does not know the call.
_UNSUPPORTED = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP})


class _Renamer:
    """The C library's `renameat2`, found at its first use."""

    def __init__(self) -> None:
        self._call: ctypes._NamedFuncPointer | None = None
        self._number: int | None = None
        if sys.platform != "linux":
            return
        library = ctypes.CDLL(None, use_errno=True)
        c_int, c_char_p, c_uint = ctypes.c_int, ctypes.c_char_p, ctypes.c_uint
        try:
            self._call = library.renameat2
            self._call.argtypes = [c_int, c_char_p, c_int, c_char_p, c_uint]
        except AttributeError:
            self._number = _SYSCALL_NUMBERS.get(platform.machine())
            if self._number is not None:
                self._call = library.syscall
                self._call.argtypes = [ctypes.c_long, c_int, c_char_p, c_int, c_char_p, c_uint]

    def rename(self, folder: OpenFolder, old: str, new: str, flags: int) -> bool:
        """Rename within one folder; False where this cannot be done here at all."""
        if self._call is None or folder.fd is None:
            return False
        arguments = (folder.fd, os.fsencode(old), folder.fd, os.fsencode(new), flags)
        numbered = arguments if self._number is None else (self._number, *arguments)
        while self._call(*numbered) != 0:
            code = ctypes.get_errno()
            if code in _UNSUPPORTED:
                return False
            if code != errno.EINTR:
                raise OSError(code, os.strerror(code), new)
        return True


_renamer: _Renamer | None = None


def _rename(folder: OpenFolder, old: str, new: str, flags: int) -> bool:
    global _renamer
    if _renamer is None:
        _renamer = _Renamer()
    return _renamer.rename(folder, old, new, flags)


def exchange(folder: OpenFolder, one: str, other: str) -> bool:
    """Swap two names in one step; False, and nothing done, where that cannot be done here.

    Raises:
        FileNotFoundError: One of them is not there (any more).
    """
    return _rename(folder, one, other, _RENAME_EXCHANGE)


def rename_new(folder: OpenFolder, old: str, new: str) -> None:
    """Move a file to a name that nobody has, in one step where the file system can.

    Without `renameat2` a second (hard) link does it: then both names exist for an instant. Where there
    are no hard links either (FAT, some network drives), it looks first: a file that appears between
    look and rename is replaced there. Windows' own rename never replaces.

    Raises:
        FileExistsError: Anything has that name, be it a dangling link.
    """
    if _rename(folder, old, new, _RENAME_NOREPLACE):
        return
    if sys.platform != "win32":
        try:
            os.link(
                folder.at(old),
                folder.at(new),
                src_dir_fd=folder.fd,
                dst_dir_fd=folder.fd,
                follow_symlinks=False,
            )
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
                raise
        else:
            os.unlink(folder.at(old), dir_fd=folder.fd)
            return
        with contextlib.suppress(FileNotFoundError):
            folder.status(new)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)
    os.rename(folder.at(old), folder.at(new), src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
