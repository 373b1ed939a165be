"""Reading one file: links, special files, files that change meanwhile."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from pyrite_watch.disk import read
from pyrite_watch.disk.read import Folder, RawFile, Unreadable, file_state, read_file, read_status
from pyrite_watch.model.entry import FileState

MAX = 1 << 20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A KB with `f/a.md` and a file outside."""
    (tmp_path / "kb" / "f").mkdir(parents=True)
    (tmp_path / "kb" / "f" / "a.md").write_bytes(b"text")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.md").write_bytes(b"secret")
    return tmp_path / "kb"


def _open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_file_is_read_with_its_state(root: Path) -> None:
    """The state is what `lstat` says."""
    found = read_file(root, "f/a.md", MAX)
    assert isinstance(found, RawFile)
    assert found.data == b"text"
    assert found.state == file_state(os.lstat(root / "f/a.md"))
    assert not found.open_for_writing
    assert read_status(root, "f/a.md") == found.state


@pytest.mark.parametrize("path", ["b.md", "g/a.md", "f/a.md/b.md", "f/g/h/a.md"])
def test_what_is_not_there_is_none(root: Path, path: str) -> None:
    """Also where a file stands in a folder's place."""
    assert read_file(root, path, MAX) is None
    assert read_status(root, path) is None


def test_a_root_that_is_gone_holds_nothing(tmp_path: Path) -> None:
    """Whoever asked looks at the root before believing it."""
    assert read_file(tmp_path / "gone", "a.md", MAX) is None


def test_a_folder_is_told_as_such(root: Path) -> None:
    """Whatever its name."""
    (root / "dir.md").mkdir()
    assert read_file(root, "dir.md", MAX) == Folder()
    assert read_status(root, "f") == Folder()


@pytest.mark.parametrize("target", ["f/a.md", "../outside/a.md", "nowhere", "link.md", "/dev/zero"])
def test_a_link_is_nothing(root: Path, target: str) -> None:
    """Inside, out of the root, dangling, to itself, to a device."""
    os.symlink(target, root / "link.md")
    assert read_file(root, "link.md", MAX) is None
    assert read_status(root, "link.md") is None


@pytest.mark.parametrize("target", ["f", "../outside", "..", "."])
def test_nothing_is_read_through_a_linked_folder(root: Path, target: str) -> None:
    """Neither inside nor outside."""
    os.symlink(target, root / "link")
    for path in ("link/a.md", "link/f/a.md", "link/link/a.md"):
        assert read_file(root, path, MAX) is None
        assert read_status(root, path) is None


def test_a_root_that_is_a_link_is_followed(root: Path, tmp_path: Path) -> None:
    """It is the user's word."""
    os.symlink(root, tmp_path / "link")
    found = read_file(tmp_path / "link", "f/a.md", MAX)
    assert isinstance(found, RawFile)


def _between(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], None]) -> None:
    """Do something between the look at a file and its opening; told how often that was before."""
    real, calls = read._lstat, 0

    def lstat(*args: object) -> os.stat_result:
        nonlocal calls
        status = real(*args)  # type: ignore[arg-type]
        act(calls)
        calls += 1
        return status

    monkeypatch.setattr(read, "_lstat", lstat)


def test_a_link_swapped_in_before_the_opening_is_not_followed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file looked like one; by now it leads out of the root."""

    def swap(calls: int) -> None:
        if not calls:
            (root / "f/a.md").unlink()
            os.symlink(root.parent / "outside" / "a.md", root / "f/a.md")

    _between(monkeypatch, swap)
    assert read_file(root, "f/a.md", MAX) is None


def test_a_folder_swapped_for_a_link_leads_nowhere(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The opened folder is what is read, not whatever has its name by now."""

    def swap(calls: int) -> None:
        if not calls:
            os.rename(root / "f", root / "old")
            os.symlink(root.parent / "outside", root / "f")

    _between(monkeypatch, swap)
    found = read_file(root, "f/a.md", MAX)
    assert isinstance(found, RawFile)
    assert found.data == b"text"


def test_a_fifo_swapped_in_before_the_opening_does_not_block(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is opened without waiting for a writer, and not read."""

    def swap(calls: int) -> None:
        if not calls:
            (root / "f/a.md").unlink()
            os.mkfifo(root / "f/a.md")

    _between(monkeypatch, swap)
    found = read_file(root, "f/a.md", MAX)
    assert isinstance(found, Unreadable)
    assert found.problem.kind == "not_a_file"


def test_a_file_replaced_before_each_opening_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: three replacements in a row ended in an UnboundLocalError, and with it the writing thread."""

    def swap(calls: int) -> None:
        (root / "t").write_bytes(b"new")
        os.replace(root / "t", root / "f/a.md")

    _between(monkeypatch, swap)
    found = read_file(root, "f/a.md", MAX)
    assert isinstance(found, RawFile)
    assert found.data == b"new"
    assert found.state == file_state(os.lstat(root / "f/a.md"))


def test_what_is_no_file_is_a_problem_and_is_not_opened(root: Path) -> None:
    """FIFO, socket, device: none blocks."""
    os.mkfifo(root / "fifo.md")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(root / "socket.md"))
    names = ["fifo.md", "socket.md"]
    if os.geteuid() == 0:
        os.mknod(root / "device.md", 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero: endless
        names.append("device.md")
    for name in names:
        found = read_file(root, name, MAX)
        assert isinstance(found, Unreadable)
        assert found.problem.kind == "not_a_file"
        assert isinstance(found.state, FileState)


def test_a_huge_sparse_file_is_not_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size is enough to refuse it."""
    with open(root / "huge.md", "wb") as file:
        file.truncate(2 << 30)
    monkeypatch.setattr(read, "_read_all", lambda *args: pytest.fail("it was read"))
    found = read_file(root, "huge.md", MAX)
    assert isinstance(found, Unreadable)
    assert found.problem.kind == "too_big"
    assert "--max-entry-bytes" in found.problem.message


@pytest.mark.parametrize(("size", "kind"), [(MAX, RawFile), (MAX + 1, Unreadable)])
def test_the_limit_is_a_size_that_is_allowed(root: Path, size: int, kind: type) -> None:
    """One byte more is too big."""
    (root / "a.md").write_bytes(b"x" * size)
    assert isinstance(read_file(root, "a.md", MAX), kind)


def _while_reading(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], None]) -> None:
    real, calls = read._read_all, 0

    def read_all(descriptor: int, max_bytes: int) -> bytes:
        nonlocal calls
        data = real(descriptor, max_bytes)
        act(calls)
        calls += 1
        return data

    monkeypatch.setattr(read, "_read_all", read_all)


def test_a_file_that_changes_while_it_is_read_is_read_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes and state belong together."""

    def change(calls: int) -> None:
        if calls < 2:
            (root / "f/a.md").write_bytes(b"longer text"[: 5 + calls * 6])

    _while_reading(monkeypatch, change)
    found = read_file(root, "f/a.md", MAX)
    assert isinstance(found, RawFile)
    assert found.data == b"longer text"
    assert found.state == file_state(os.lstat(root / "f/a.md"))


def test_a_file_that_never_stands_still_is_told_as_unfinished(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not read for ever, and its state is not to be remembered."""
    counted: list[int] = []

    def change(calls: int) -> None:
        counted.append(calls)
        with open(root / "f/a.md", "ab") as file:
            file.write(b"more")

    _while_reading(monkeypatch, change)
    found = read_file(root, "f/a.md", MAX)
    assert isinstance(found, RawFile)
    assert found.racy
    assert found.open_for_writing
    assert len(counted) == 3


def test_a_file_that_grows_over_the_limit_while_it_is_read_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more than the limit and a block is ever in memory."""
    real = read._read_all

    def read_all(descriptor: int, max_bytes: int) -> bytes:
        with open(root / "f/a.md", "ab") as file:
            file.truncate(MAX * 10)
        return real(descriptor, max_bytes)

    monkeypatch.setattr(read, "_read_all", read_all)
    found = read_file(root, "f/a.md", MAX)
    assert isinstance(found, Unreadable)
    assert found.problem.kind == "too_big"


@pytest.mark.parametrize(
    ("age_ns", "racy"), [(0, True), (9_000_000, True), (11_000_000, False), (-(10**12), True)]
)
def test_a_file_is_racy_when_it_changed_just_before_it_was_read(
    root: Path, monkeypatch: pytest.MonkeyPatch, age_ns: int, racy: bool
) -> None:
    """By its ctime, which nobody can set; a time in the future (a clock set back) tells nothing."""
    os.utime(root / "f/a.md", ns=(0, 0))
    changed_ns = os.lstat(root / "f/a.md").st_ctime_ns
    monkeypatch.setattr("time.time_ns", lambda: changed_ns + age_ns)
    found = read_file(root, "f/a.md", MAX)
    assert isinstance(found, RawFile)
    assert found.racy is racy


def test_a_file_that_is_long_in_reading_is_racy_by_when_that_began(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: what was read first might change within its mtime, and the end of the reading was asked."""
    now_ns = os.lstat(root / "f/a.md").st_ctime_ns + 1_000_000

    def take_long(calls: int) -> None:
        nonlocal now_ns
        now_ns += 10**9

    _while_reading(monkeypatch, take_long)
    monkeypatch.setattr("time.time_ns", lambda: now_ns)
    found = read_file(root, "f/a.md", MAX)
    assert isinstance(found, RawFile)
    assert found.racy


def test_a_file_that_is_open_for_writing_is_told_so(root: Path) -> None:
    """Asked with a lease; a reader is no writer."""
    with open(root / "f/a.md", "ab"):
        found = read_file(root, "f/a.md", MAX)
        assert isinstance(found, RawFile)
        assert found.open_for_writing
    with open(root / "f/a.md", "rb"):
        found = read_file(root, "f/a.md", MAX)
        assert isinstance(found, RawFile)
        assert not found.open_for_writing


def _as_nobody(root: Path, check: Callable[[Path], bool]) -> bool:
    """Ask in a child without root's rights, as these need no permission to read.

    It stands in the root's parent and names the root from there, as nobody may enter pytest's own folders.
    """
    root.parent.chmod(0o755)
    child = os.fork()
    if child == 0:
        try:
            os.chdir(root.parent)
            if os.geteuid() == 0:
                os.setegid(65534)
                os.seteuid(65534)
            os._exit(0 if check(Path(root.name)) else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_unreadable_file_is_a_problem_with_its_state(root: Path) -> None:
    """No exception, and no deletion."""
    (root / "f/a.md").chmod(0)

    def check(root: Path) -> bool:
        found = read_file(root, "f/a.md", MAX)
        return (
            isinstance(found, Unreadable) and found.problem.kind == "unreadable" and found.state is not None
        )

    assert _as_nobody(root, check)


def test_a_file_in_an_unreadable_folder_is_a_problem_without_a_state(root: Path) -> None:
    """Nobody can say whether it is there: that is not "gone"."""
    (root / "f").chmod(0)

    def check(root: Path) -> bool:
        found, looked = read_file(root, "f/a.md", MAX), read_status(root, "f/a.md")
        return isinstance(found, Unreadable) and found.state is None and isinstance(looked, Unreadable)

    try:
        assert _as_nobody(root, check)
    finally:
        (root / "f").chmod(0o755)


def test_a_name_that_no_system_takes_is_a_problem(root: Path) -> None:
    """A NUL or a name of 300 bytes raises nothing."""
    assert isinstance(read_file(root, "f/a\0b/c.md", MAX), Unreadable)
    assert isinstance(read_file(root, "n" * 300 + ".md", MAX), Unreadable)


def test_no_descriptor_is_left_open(root: Path) -> None:
    """Whatever a path is."""
    os.symlink("f", root / "link")
    os.mkfifo(root / "fifo.md")
    before = _open_descriptors()
    for path in ("f/a.md", "f", "link/a.md", "no/a.md", "f/a.md/x", "fifo.md", "f/a\0/b.md", "f/x\0.md"):
        read_file(root, path, 2)
        read_status(root, path)
    assert _open_descriptors() == before
