"""A file system of our own: a folder shown read-only at another place, through FUSE (Linux).

    python mirror_fs.py FOLDER MOUNT_POINT

What happens in the folder is not told at the mount point, as on a network drive that another host writes.
It speaks the kernel's protocol itself (linux/fuse.h), as there is nothing on the test's machine that does,
and only the dozen requests that reading needs. It ends with the process that started it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
import sys

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE = 1, 2, 3, 14, 15, 17, 18
FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR, INTERRUPT, BATCH_FORGET = 25, 26, 27, 28, 29, 36, 42
UNANSWERED = {FORGET, BATCH_FORGET, INTERRUPT}

_PR_SET_PDEATHSIG = 1
_MS_NOSUID_NODEV = 2 | 4


class Mirror:
    """Answers the kernel's requests about one folder; a node is a path, and is kept for ever."""

    def __init__(self, folder: str) -> None:
        self._paths = [b"", os.fsencode(folder)]  # node 1 is the root
        self._nodes = {self._paths[1]: 1}

    def answer(self, opcode: int, node: int, body: bytes) -> bytes:
        """Give the answer's body.

        Raises:
            OSError: Its errno is the answer.
        """
        path = self._paths[node] if node else b""
        if opcode == INIT:
            major, minor, readahead, _ = struct.unpack_from("=IIII", body)
            return struct.pack(
                "=IIIIHHIIHHI28x", major, min(minor, 31), readahead, 0, 8, 8, 65536, 1, 0, 0, 0
            )
        if opcode == LOOKUP:
            child = path + b"/" + body.rstrip(b"\0")
            attributes = self._attributes(child)
            if child not in self._nodes:
                self._nodes[child] = len(self._paths)
                self._paths.append(child)
            # Believed for no time at all: the kernel asks again for each look.
            return struct.pack("=QQQQII", self._nodes[child], 0, 0, 0, 0, 0) + attributes
        if opcode == GETATTR:
            return struct.pack("=QII", 0, 0, 0) + self._attributes(path)
        if opcode in (OPEN, OPENDIR):
            os.lstat(path)
            return struct.pack("=QII", 0, 1, 0)  # FOPEN_DIRECT_IO: no page is kept
        if opcode in (READ, READDIR):
            _, offset, size = struct.unpack_from("=QQI", body)
            return _read(path, offset, size) if opcode == READ else self._list(path, offset, size)
        if opcode in (RELEASE, RELEASEDIR, FLUSH):
            return b""
        if opcode == STATFS:
            return struct.pack("=QQQQQIIII24x", 0, 0, 0, 0, 0, 4096, 255, 4096, 0)
        raise OSError(errno.ENOSYS, "not for reading")

    def _attributes(self, path: bytes) -> bytes:
        found = os.lstat(path)
        times = (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)
        seconds, parts = zip(*(divmod(time_ns, 1_000_000_000) for time_ns in times), strict=True)
        owner = (found.st_mode, found.st_nlink, 0, 0, 0, 4096, 0)
        return struct.pack("=QQQqqqIIIIIIIIII", found.st_ino, found.st_size, found.st_blocks,
                           *seconds, *parts, *owner)  # fmt: skip

    def _list(self, path: bytes, offset: int, size: int) -> bytes:
        listing = b""
        for number, name in enumerate(sorted(os.listdir(path)), 1):
            entry = struct.pack("=QQII", number, number, len(name), 0) + name
            entry += b"\0" * (-len(entry) % 8)
            if number > offset and len(listing) + len(entry) <= size:
                listing += entry
            elif number > offset:
                break
        return listing


def _read(path: bytes, offset: int, size: int) -> bytes:
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.pread(fd, size, offset)
    finally:
        os.close(fd)


def mount(point: str) -> int:
    """Mount it and return the descriptor that the requests come from."""
    fd = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"mirror", os.fsencode(point), b"fuse.mirror", _MS_NOSUID_NODEV, options.encode()):
        raise OSError(ctypes.get_errno(), "mount")
    return fd


def serve(fd: int, folder: str) -> None:
    """Answer until it is unmounted."""
    mirror = Mirror(folder)
    while True:
        try:
            request = os.read(fd, 1 << 18)
        except OSError as error:
            if error.errno in (errno.EINTR, errno.ENOENT):
                continue
            return
        _, opcode, unique, node = struct.unpack_from("=IIQQ", request)
        if opcode in UNANSWERED:
            continue
        failed = 0
        try:
            body = mirror.answer(opcode, node, request[40:])
        except OSError as error:
            failed, body = -(error.errno or errno.EIO), b""
        os.write(fd, struct.pack("=IiQ", 16 + len(body), failed, unique) + body)


def main() -> None:
    """Mount and serve, for as long as whoever started it lives."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    folder, point = sys.argv[1:]
    serve(mount(point), folder)


if __name__ == "__main__":
    main()
