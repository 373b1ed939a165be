"""What the operating system tells: clocks, mounts, leases and locks, on real files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pyrite_watch.system import (
    FileLock,
    boot_id,
    boottime_s,
    filesystem_type,
    find_mount_type,
    is_network_filesystem,
    is_open_for_writing,
    is_polled_filesystem,
    make_private_folder,
    open_no_follow_flags,
    parse_mountinfo,
    user_state_folder,
)

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX files")
linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")

MOUNTINFO = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 27 0:40 / /home/me rw - autofs systemd-1 rw
31 30 0:41 / /home/me rw shared:2 master:3 - nfs4 host:/me rw
32 31 0:42 / /home/me/my\040notes\134x rw - fuse.sshfs other: rw
33 27 0:43 / /home/me2 rw - xfs /dev/vdb rw
not a line
"""

HOLD_LOCK = """
import sys
from pathlib import Path
from pyrite_watch.system import FileLock
lock = FileLock(Path(sys.argv[1]))
print(lock.acquire(), flush=True)
sys.stdin.read()
"""


def spawn(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start a second Python; it must print a line once it is ready, and end with its stdin."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


class TestClocks:
    def test_the_boot_id_is_the_same_in_one_boot(self) -> None:
        """Or unknown, twice."""
        assert boot_id() == boot_id() != ""

    def test_the_clock_does_not_go_back(self) -> None:
        """It counts seconds."""
        first = boottime_s()
        assert 0 <= boottime_s() - first < 60

    @linux
    def test_the_clock_counts_the_time_in_suspend(self) -> None:
        """So it is never behind Python's monotonic clock, which stops then."""
        before = time.monotonic()
        assert boottime_s() >= before


class TestFileSystems:
    @pytest.mark.parametrize(
        ("path", "fs_type"),
        [
            ("/", "ext4"),
            ("/etc", "ext4"),
            ("/home/me", "nfs4"),
            ("/home/me/a/b", "nfs4"),
            ("/home/me2/a", "xfs"),
            ("/home/me/my notes\\x/a", "fuse.sshfs"),
        ],
    )
    def test_the_longest_and_latest_mount_holds_a_path(self, path: str, fs_type: str) -> None:
        """By whole path parts; blanks and backslashes are escaped in the kernel's table."""
        assert find_mount_type(path, parse_mountinfo(MOUNTINFO)) == fs_type

    @linux
    def test_real_paths_have_a_type(self, tmp_path: Path) -> None:
        """A link counts for where it leads; a path need not exist."""
        (tmp_path / "link").symlink_to("/proc")
        assert filesystem_type("/proc") == filesystem_type(tmp_path / "link" / "self") == "proc"
        assert filesystem_type(tmp_path / "not" / "there") == filesystem_type(tmp_path) != ""

    @pytest.mark.parametrize("fs_type", ["nfs", "nfs4", "cifs", "9p", "drvfs", "vboxsf", "fuse.sshfs"])
    def test_network_file_systems_are_polled_and_hold_no_state(self, fs_type: str) -> None:
        """Another host's changes give no notification."""
        assert is_polled_filesystem(fs_type)
        assert is_network_filesystem(fs_type)

    @pytest.mark.parametrize("fs_type", ["fuse", "fuse.gocryptfs", "fuse.unheard-of"])
    def test_an_unknown_fuse_is_polled_but_may_hold_state(self, fs_type: str) -> None:
        """Something may change the files beneath it."""
        assert is_polled_filesystem(fs_type)
        assert not is_network_filesystem(fs_type)

    @pytest.mark.parametrize("fs_type", ["", "ext4", "btrfs", "tmpfs", "overlay", "fuseblk"])
    def test_local_file_systems_are_notified(self, fs_type: str) -> None:
        """NTFS through fuseblk is a block device that only this kernel writes."""
        assert not is_polled_filesystem(fs_type)


@posix
class TestNoFollow:
    def test_a_link_is_not_opened(self, tmp_path: Path) -> None:
        """Not even one to a good file."""
        (tmp_path / "file").write_text("x")
        (tmp_path / "link").symlink_to("file")
        with pytest.raises(OSError, match="symbolic links"):
            os.open(tmp_path / "link", open_no_follow_flags())

    def test_a_fifo_does_not_block(self, tmp_path: Path) -> None:
        """Opening it for reading would otherwise wait for a writer."""
        os.mkfifo(tmp_path / "fifo")
        os.close(os.open(tmp_path / "fifo", open_no_follow_flags()))


@linux
class TestOpenForWriting:
    def test_it_is_told_while_a_writer_has_the_file_open(self, tmp_path: Path) -> None:
        """And no longer once it is closed."""
        path = tmp_path / "a.md"
        with path.open("w") as writer:
            writer.write("half")
            fd = os.open(path, open_no_follow_flags())
            assert is_open_for_writing(fd) is True
        assert is_open_for_writing(fd) is False
        os.close(fd)

    def test_it_leaves_no_lease_behind(self, tmp_path: Path) -> None:
        """A lease would make the next editor wait 45 s for its file."""
        import fcntl

        path = tmp_path / "a.md"
        path.write_text("x")
        fd = os.open(path, open_no_follow_flags())
        assert is_open_for_writing(fd) is False
        assert fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_UNLCK
        os.close(fd)

    def test_nobody_can_tell_for_a_pipe(self) -> None:
        """None is not False: the caller has to wait instead."""
        reader, writer = os.pipe()
        assert is_open_for_writing(reader) is None
        os.close(reader)
        os.close(writer)

    def test_a_writer_in_the_middle_of_the_question_ends_nobody(self, tmp_path: Path) -> None:
        """The kernel's SIGIO for a broken lease ends a process that has no handler, as here."""
        path = tmp_path / "a.md"
        path.write_text("x")
        assert signal.getsignal(signal.SIGIO) is signal.SIG_DFL
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                os.close(os.open(path, os.O_WRONLY))

        writer = threading.Thread(target=write)
        writer.start()
        fd = os.open(path, open_no_follow_flags())
        try:
            answers = {is_open_for_writing(fd) for _ in range(5000)}
        finally:
            stop.set()
            writer.join()
            os.close(fd)
        assert answers <= {True, False}


class TestFileLock:
    def test_one_holder_at_a_time(self, tmp_path: Path) -> None:
        """Also within one process, where two services could be started."""
        first, second = FileLock(tmp_path / "x.lock"), FileLock(tmp_path / "x.lock")
        assert first.acquire()
        assert first.acquire()
        assert not second.acquire()
        assert (first.held, second.held) == (True, False)
        first.release()
        first.release()
        assert second.acquire()
        second.release()

    def test_the_file_stays_and_names_the_locker(self, tmp_path: Path) -> None:
        """Deleting it would let two processes lock two files of one name."""
        lock = FileLock(tmp_path / "x.lock")
        lock.acquire()
        lock.release()
        assert int((tmp_path / "x.lock").read_text()) == os.getpid()

    def test_asking_makes_no_file(self, tmp_path: Path) -> None:
        """`pyrite status` changes nothing on disk."""
        assert not FileLock(tmp_path / "x.lock").is_held()
        assert list(tmp_path.iterdir()) == []

    def test_asking_does_not_take_it(self, tmp_path: Path) -> None:
        """It says what is so before, while and after it is held."""
        lock, other = FileLock(tmp_path / "x.lock"), FileLock(tmp_path / "x.lock")
        lock.acquire()
        assert lock.is_held()
        assert other.is_held()
        lock.release()
        assert not other.is_held()
        assert lock.acquire()
        lock.release()

    def test_the_kernel_frees_it_when_the_holder_is_killed(self, tmp_path: Path) -> None:
        """No stale lock survives a crash."""
        lock = FileLock(tmp_path / "x.lock")
        with spawn(HOLD_LOCK, lock.path) as process:
            assert first_line(process) == "True"
            assert not lock.acquire()
            process.kill()
        assert lock.acquire()
        lock.release()


@posix
class TestFolders:
    def test_made_folders_are_private(self, tmp_path: Path) -> None:
        """Parents too, whatever the umask; one that exists keeps its mode."""
        tmp_path.chmod(0o755)
        make_private_folder(tmp_path / "a" / "b")
        make_private_folder(tmp_path / "a" / "b")
        assert [(tmp_path / part).stat().st_mode & 0o777 for part in ("a", "a/b", ".")] == [
            0o700,
            0o700,
            0o755,
        ]

    def test_the_state_folder_follows_the_given_environment(self, tmp_path: Path) -> None:
        """Not the process's own; a relative XDG_STATE_HOME is ignored, as its specification says."""
        home = {"HOME": str(tmp_path)}
        given = user_state_folder(home | {"XDG_STATE_HOME": str(tmp_path / "xdg")})
        assert given == tmp_path / "xdg" / "pyrite-watch"
        assert user_state_folder(home | {"XDG_STATE_HOME": "xdg"}) == user_state_folder(home)
