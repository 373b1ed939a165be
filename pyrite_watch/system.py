"""What only one operating system can tell, each with a plain way beside it.

No other module asks which platform it runs on. Linux is tested in full; elsewhere every function
here answers with its plain way (`None`, `""`, a monotonic clock), and callers must live with that.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import re
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import platformdirs

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

APP = "pyrite-watch"

# Other hosts or the hypervisor's host change these without this kernel's knowledge, so nothing is
# notified; and SQLite's WAL needs memory shared between processes, which they do not give.
# WSL 2 mounts /mnt/c as 9p, WSL 1 as drvfs.
# fmt: off
NETWORK_FILESYSTEMS = frozenset({
    "nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "ncpfs", "9p", "virtiofs", "vboxsf", "vmhgfs",
    "prl_fs", "drvfs", "afs", "coda", "ceph", "glusterfs", "gfs", "gfs2", "ocfs2", "lustre", "beegfs",
    "gpfs", "orangefs", "pvfs2", "davfs",
})
NETWORK_FUSE = frozenset({
    "fuse.sshfs", "fuse.rclone", "fuse.s3fs", "fuse.gcsfuse", "fuse.goofys", "fuse.geesefs",
    "fuse.mountpoint-s3", "fuse.davfs", "fuse.davfs2", "fuse.curlftpfs", "fuse.smbnetfs",
    "fuse.glusterfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.juicefs", "fuse.seaweedfs", "fuse.mfs",
    "fuse.google-drive-ocamlfuse", "fuse.onedriver", "fuse.gvfsd-fuse", "fuse.kio-fuse",
    "fuse.grpcfuse", "fuse.osxfs", "fuse.vmhgfs-fuse", "fuse.prl_fsd", "fuse.portal",
})
# fmt: on
# Everything that changes these passes through this kernel's mount, so notifications are complete:
# a block device (NTFS, exFAT), and the root of a rootless container. Not gocryptfs or mergerfs:
# a sync tool may well work on the folder underneath.
LOCAL_FUSE = frozenset({"fuseblk", "fuse.fuse-overlayfs"})


def boot_id() -> str | None:
    """Name this boot of the machine; None where that is unknown, so any stop may be a power cut."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def boottime_s() -> float:
    """Read a clock that never goes back and, on Linux, counts the time in suspend too."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def parse_mountinfo(text: str) -> list[tuple[str, str]]:
    """Turn /proc/self/mountinfo into (mount point, type) pairs, in the order of mounting."""
    mounts = []
    for line in text.splitlines():
        # "36 35 98:0 /root /mount/point rw shared:1 - ext4 /dev/sda rw": any number of optional
        # fields stands before the lone dash, so both ends are counted from it.
        before, dash, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if dash and len(fields) > 4:
            mounts.append((_unescape(fields[4]), rest[0]))
    return mounts


def _unescape(text: str) -> str:
    """Undo the kernel's octal escapes (blank, tab, newline, backslash)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def find_mount_type(path: str, mounts: Iterable[tuple[str, str]]) -> str:
    """Choose the type of the mount that holds `path`, which is absolute and free of links."""
    longest, found = -1, ""
    for point, fs_type in mounts:
        prefix = point.rstrip("/") + "/"
        # >=: of two mounts on one point, the later one hides the earlier (autofs, then nfs).
        if (path + "/").startswith(prefix) and len(prefix) >= longest:
            longest, found = len(prefix), fs_type
    return found


def find_mount_types(path: str, mounts: Iterable[tuple[str, str]]) -> list[str]:
    """Give the types of all mounts whose files lie below `path`: the one that holds it comes first.

    A mount that a later one on the same point hides is left out.
    """
    known = list(mounts)
    visible = dict(known)
    below = [kind for point, kind in visible.items() if point.startswith(path.rstrip("/") + "/")]
    return [find_mount_type(path, known), *below]


def filesystem_type(path: str | Path) -> str:
    """Say which kind of file system holds `path`, which need not exist; "" where unknown."""
    return find_mount_type(os.path.realpath(path), _read_mounts())


def polled_filesystem_below(path: str | Path) -> str | None:
    """Say which kind of file system holds `path`, or is mounted below it, that must be polled."""
    kinds = find_mount_types(os.path.realpath(path), _read_mounts())
    return next((kind for kind in kinds if is_polled_filesystem(kind)), None)


def _read_mounts() -> list[tuple[str, str]]:
    if sys.platform != "linux":
        return []
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            return parse_mountinfo(os.fsdecode(file.read()))
    except OSError:
        return []


def is_network_filesystem(fs_type: str) -> bool:
    """Tell whether other machines may write there and SQLite's WAL is not safe."""
    return fs_type in NETWORK_FILESYSTEMS or fs_type in NETWORK_FUSE


def is_polled_filesystem(fs_type: str) -> bool:
    """Tell whether notifications may miss changes there, so that a sweep must look instead.

    An unknown kind of FUSE is polled: too many looks cost little, a missed change costs trust.
    """
    if is_network_filesystem(fs_type):
        return True
    return fs_type.startswith("fuse") and fs_type not in LOCAL_FUSE


MAX_QUEUED_NOTIFICATIONS = 16_384
"""What Linux has by default."""


def max_queued_notifications() -> int:
    """Say how many notifications the system keeps for who does not fetch them; more are lost."""
    return _read_number("/proc/sys/fs/inotify/max_queued_events") or MAX_QUEUED_NOTIFICATIONS


def watch_limits() -> dict[str, int]:
    """Give the limits to what this user may watch, by their sysctl names; empty where unknown.

    A user namespace (a container) has limits of its own beside the system's: the lower one counts.
    """
    limits = {}
    for ours, namespaces in (
        ("max_user_watches", "max_inotify_watches"),
        ("max_user_instances", "max_inotify_instances"),
    ):
        found = {
            f"fs.inotify.{ours}": _read_number(f"/proc/sys/fs/inotify/{ours}"),
            f"user.{namespaces}": _read_number(f"/proc/sys/user/{namespaces}"),
        }
        known = {name: number for name, number in found.items() if number is not None}
        if known:
            lowest = min(known, key=known.__getitem__)
            limits[lowest] = known[lowest]
    return limits


def _read_number(path: str) -> int | None:
    try:
        return int(Path(path).read_text("ascii"))
    except (OSError, ValueError):
        return None


_STATX_BTIME = 0x800
_AT_FDCWD = -100


def birth_time_ns(path: str | Path) -> int | None:
    """Say when a folder was made, which no rename changes; None where the file system does not tell.

    An inode's number is used again at once, so that `rm -r kb; mkdir kb` often gives the same one.
    """
    if sys.platform != "linux":
        born_s = getattr(os.stat(path), "st_birthtime", None)
        return None if born_s is None else int(born_s * 1e9)
    found = ctypes.create_string_buffer(256)
    statx = _statx()
    if statx is None or statx(_AT_FDCWD, os.fsencode(path), 0, _STATX_BTIME, found):
        return None
    if not struct.unpack_from("=I", found)[0] & _STATX_BTIME:
        return None
    seconds, nanoseconds = struct.unpack_from("=qI", found, 80)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


@functools.cache
def _statx() -> Callable[..., int] | None:
    # Python itself has it from 3.15 on; glibc before 2.28 has not.
    return getattr(ctypes.CDLL(None), "statx", None)


def open_no_follow_flags() -> int:
    """Give the flags for reading what may be a link or a FIFO, without following or blocking.

    On Windows nothing of that exists: a link is followed there, and the caller's own check of the
    path is all the guard there is.
    """
    flags = os.O_RDONLY
    for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_NOCTTY"):
        flags |= getattr(os, name, 0)
    return flags


def is_open_for_writing(fd: int) -> bool | None:
    """Tell whether any process has this file open for writing; None where nobody can tell.

    `fd` must be open for reading only. The answer is of this moment. Only the file's owner or a
    process with CAP_LEASE is told; network and most FUSE file systems tell nobody.
    Somebody who opens the file for writing in the few microseconds of the question waits until it
    is over (with O_NONBLOCK: is refused with EWOULDBLOCK).
    """
    if sys.platform == "linux":
        try:
            # A lease that is broken while we hold it raises SIGIO, which ends a process that has no
            # handler for it. SIGURG is ignored by default, so it is asked for instead.
            fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError as error:
            return True if error.errno == errno.EAGAIN else None
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False
    return None


class FileLock:
    """A lock on a file, held by an open descriptor: the kernel frees it when the holder dies.

    The file itself is never deleted, as somebody may be about to lock it: two processes could then
    hold "the" lock, on two files of one name. It holds the locker's pid, which only informs.
    A forked child shares the lock and keeps it after its parent's death: fork none while holding
    it, or let the child exec (descriptors here are not inherited).
    """

    # Windows locks are mandatory: the locked byte lies far behind the pid, so that can be read.
    _LOCKED_BYTE = 1 << 30

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._fd is not None

    def acquire(self) -> bool:
        """Take the lock without waiting; True if this object holds it now (or did already).

        Raises:
            OSError: The file cannot be opened, or its file system knows no locks.
        """
        if self._fd is not None:
            return True
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        fd = os.open(self.path, flags, 0o600)
        try:
            taken = _try_lock(fd, shared=False)
            if taken:
                os.ftruncate(fd, 0)
                os.write(fd, f"{os.getpid()}\n".encode())
        except BaseException:
            os.close(fd)
            raise
        if not taken:
            os.close(fd)
            return False
        self._fd = fd
        return True

    def release(self) -> None:
        """Let go of the lock; does nothing where it is not held."""
        fd, self._fd = self._fd, None
        if fd is not None:
            # Explicit: closing alone would leave it with a forked child's copy of the descriptor.
            try:
                _unlock(fd)
            finally:
                os.close(fd)

    def is_held(self) -> bool:
        """Tell whether anybody holds the lock, this object included; makes no file.

        The question itself takes a shared lock for an instant, so whoever takes the lock must try
        more than once before believing a refusal.
        """
        try:
            fd = os.open(self.path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
        except FileNotFoundError:
            return False
        try:
            if not _try_lock(fd, shared=True):
                return True
            _unlock(fd)
            return False
        finally:
            os.close(fd)


def _try_lock(fd: int, *, shared: bool) -> bool:
    try:
        if sys.platform == "win32":
            os.lseek(fd, FileLock._LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
            os.lseek(fd, 0, os.SEEK_SET)
        else:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # flock's and msvcrt's words for "taken"
        return False
    return True


def _unlock(fd: int) -> None:
    if sys.platform == "win32":
        os.lseek(fd, FileLock._LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)
    else:
        fcntl.flock(fd, fcntl.LOCK_UN)


def expand_home(path: str, environ: Mapping[str, str]) -> str:
    """Expand a leading `~`, by `environ` first, so that one mapping decides about everything."""
    home = environ.get("USERPROFILE" if sys.platform == "win32" else "HOME")
    if home and (path == "~" or path.startswith(("~/", "~" + os.sep))):
        return home + path[1:]
    return os.path.expanduser(path)


def user_state_folder(environ: Mapping[str, str]) -> Path:
    """Name the user's state folder for this program; it need not exist.

    As platformdirs has it, which however looks at the process's own environment only.
    """
    if sys.platform != "win32":
        xdg = environ.get("XDG_STATE_HOME", "").strip()
        if os.path.isabs(xdg):  # the XDG specification: a relative one is to be ignored
            return Path(xdg) / APP
    if sys.platform not in ("win32", "darwin") and environ.get("HOME"):
        return Path(environ["HOME"]) / ".local" / "state" / APP
    return platformdirs.user_state_path(APP, appauthor=False)


def make_private_folder(path: Path) -> None:
    """Make `path` and its missing parents for this user only; one that exists stays as it is."""
    for folder in [*reversed(path.parents), path]:
        # Unlike Path.mkdir(parents=True), whose mode is for the last folder only.
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
