"""Files are created, replaced and deleted whole, or not at all."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pyrite_watch.disk import exchange as exchange_module
from pyrite_watch.disk import write as write_module
from pyrite_watch.disk.parse import revision_of
from pyrite_watch.disk.read import file_state
from pyrite_watch.disk.write import create_file, delete_file, replace_file
from pyrite_watch.disk.write_errors import (
    ChangedMeanwhileError,
    FileBusyError,
    PathOutsideKbError,
    PathTakenError,
    RootGoneError,
    WriteFailedError,
)

OLD, NEW, OTHER = b"old words\n", b"new words\n" * 50, b"an editor's words\n"
OLD_REVISION = revision_of(OLD)
NOBODY = 65_534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")


@pytest.fixture(params=["here", "/dev/shm"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A KB's root, on the disk and on a second file system."""
    if request.param == "here":
        yield tmp_path
        return
    if not os.access(request.param, os.W_OK):
        pytest.skip(f"there is no {request.param}")
    folder = Path(tempfile.mkdtemp(prefix="pyrite-test-", dir=request.param))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(params=["renameat2", "plain"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run with `renameat2`, and as if there were none."""
    if request.param == "plain":
        no_renameat2(monkeypatch)
    return str(request.param)


def no_renameat2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_module, "_rename", lambda *_: False)


def everything(root: Path) -> dict[str, bytes | None]:
    """All that is below a folder, hidden or not: files with their bytes, the rest with None."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        if path.is_file() and not path.is_symlink()
        else None
        for path in root.rglob("*")
    }


CALLS: dict[str, Callable[[Path, str], object]] = {
    "create": lambda root, path: create_file(root, path, NEW),
    "replace": lambda root, path: replace_file(root, path, NEW, OLD_REVISION),
    "delete": lambda root, path: delete_file(root, path, OLD_REVISION),
    "delete any": lambda root, path: delete_file(root, path, None),
}


def failing(code: int) -> Callable[..., NoReturn]:
    def fail(*_: Any, **__: Any) -> NoReturn:
        raise OSError(code, os.strerror(code))

    return fail


# ---- create -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("both_ways")
def test_a_new_file_and_its_folders_are_made(root: Path) -> None:
    """The state returned is the file's own."""
    state = create_file(root, "a/b/new.md", NEW)
    assert everything(root) == {"a": None, "a/b": None, "a/b/new.md": NEW}
    assert state == file_state(os.lstat(root / "a/b/new.md"))


def test_new_files_and_folders_honour_the_umask(tmp_path: Path) -> None:
    """As everything else that the user makes."""
    before = os.umask(0o027)
    try:
        create_file(tmp_path, "a/new.md", NEW)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.lstat(tmp_path / "a").st_mode) == 0o750
    assert stat.S_IMODE(os.lstat(tmp_path / "a/new.md").st_mode) == 0o640


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("kind", ["file", "empty", "folder", "link", "dangling", "fifo", "socket"])
def test_a_new_file_replaces_nothing(root: Path, kind: str) -> None:
    """Whatever has the name, it stays, even a link that leads nowhere."""
    place = root / "new.md"
    if kind in ("file", "empty"):
        place.write_bytes(OLD if kind == "file" else b"")
    elif kind == "folder":
        place.mkdir()
    elif kind == "fifo":
        os.mkfifo(place)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(place))
    else:
        (root / "there.md").write_bytes(OLD)
        place.symlink_to("there.md" if kind == "link" else "nowhere.md")
    before, inode = everything(root), os.lstat(place).st_ino
    with pytest.raises(PathTakenError) as told:
        create_file(root, "new.md", NEW)
    assert (told.value.status, told.value.code) == (409, "ALREADY_EXISTS")
    assert everything(root) == before
    assert os.lstat(place).st_ino == inode


@pytest.mark.usefixtures("both_ways")
def test_a_file_that_appears_meanwhile_is_not_replaced(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look before the work is not the guard: the rename itself refuses."""

    def appears(_: int, real: Callable[[int], None] = os.fsync) -> None:
        (root / "new.md").write_bytes(OTHER)

    monkeypatch.setattr(os, "fsync", appears)
    with pytest.raises(PathTakenError):
        create_file(root, "new.md", NEW)
    assert everything(root) == {"new.md": OTHER}


def test_a_file_where_a_folder_is_needed_stays(tmp_path: Path) -> None:
    """`a.md/new.md` cannot be made beside an entry `a.md`."""
    (tmp_path / "a.md").write_bytes(OLD)
    with pytest.raises(PathTakenError, match="a file is where its folder should be"):
        create_file(tmp_path, "a.md/new.md", NEW)
    assert everything(tmp_path) == {"a.md": OLD}


def test_a_root_that_is_gone_is_not_made(tmp_path: Path) -> None:
    """An unmounted drive must not get a folder of notes in its mount point's place."""
    with pytest.raises(RootGoneError) as told:
        create_file(tmp_path / "gone", "a/new.md", NEW)
    assert (told.value.status, told.value.code) == (503, "KB_UNAVAILABLE")
    assert everything(tmp_path) == {}


def test_it_works_without_hard_links_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAT has neither hard links nor, in old kernels, `renameat2`; what exists is still not replaced."""
    no_renameat2(monkeypatch)
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    create_file(tmp_path, "new.md", NEW)
    assert everything(tmp_path) == {"new.md": NEW}
    monkeypatch.setattr(write_module, "_refuse_taken", lambda *_: None)
    with pytest.raises(PathTakenError):
        create_file(tmp_path, "new.md", OTHER)
    assert everything(tmp_path) == {"new.md": NEW}


# ---- replace ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("both_ways")
def test_the_bytes_are_replaced_and_nothing_else_is_left(root: Path) -> None:
    """The state returned is the file's own, so the index need not look again."""
    (root / "a").mkdir()
    (root / "a/x.md").write_bytes(OLD)
    state = replace_file(root, "a/x.md", NEW, OLD_REVISION)
    assert everything(root) == {"a": None, "a/x.md": NEW}
    assert state == file_state(os.lstat(root / "a/x.md"))


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("now", [OTHER, b"", None])
def test_a_stale_write_changes_nothing(root: Path, now: bytes | None) -> None:
    """It is told the revision that is there; None where the file is gone."""
    if now is not None:
        (root / "x.md").write_bytes(now)
    before = everything(root)
    with pytest.raises(ChangedMeanwhileError) as told:
        replace_file(root, "x.md", NEW, OLD_REVISION)
    assert (told.value.status, told.value.code) == (412, "CONFLICT")
    assert told.value.current == (None if now is None else revision_of(now))
    assert everything(root) == before


@pytest.mark.parametrize("path", ["gone/x.md", "file.md/x.md", "folder"])
@pytest.mark.parametrize("call", ["replace", "delete", "delete any"])
def test_what_is_no_file_any_more_is_gone(tmp_path: Path, path: str, call: str) -> None:
    """A missing folder, a file in a folder's place and a folder in the file's: nobody's error but time's."""
    (tmp_path / "file.md").write_bytes(OLD)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ChangedMeanwhileError) as told:
        CALLS[call](tmp_path, path)
    assert told.value.current is None
    assert everything(tmp_path) == {"file.md": OLD, "folder": None}


def test_a_reader_never_sees_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes are complete and on the disk before they get the name; also where a write is cut short."""
    seen: list[bytes] = []
    place = tmp_path / "x.md"
    place.write_bytes(OLD)
    real = os.write

    def short(descriptor: int, data: bytes) -> int:
        seen.append(place.read_bytes())
        return real(descriptor, bytes(data)[:7])

    monkeypatch.setattr(os, "write", short)
    replace_file(tmp_path, "x.md", NEW, OLD_REVISION)
    assert set(seen) == {OLD}
    assert place.read_bytes() == NEW


@pytest.mark.usefixtures("both_ways")
def test_mode_and_extended_attributes_stay(tmp_path: Path) -> None:
    """Also a mode that the umask would not give."""
    place = tmp_path / "x.md"
    place.write_bytes(OLD)
    place.chmod(0o667)
    try:
        os.setxattr(place, "user.colour", b"green")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    replace_file(tmp_path, "x.md", NEW, OLD_REVISION)
    assert stat.S_IMODE(place.stat().st_mode) == 0o667
    assert os.getxattr(place, "user.colour") == b"green"


def test_new_bytes_are_as_private_as_the_old_ones_from_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A private note's temporary file is not open to the group for a millisecond."""
    place = tmp_path / "x.md"
    place.write_bytes(OLD)
    place.chmod(0o600)
    modes = []
    real = os.write

    def watched(descriptor: int, data: bytes) -> int:
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", watched)
    replace_file(tmp_path, "x.md", NEW, OLD_REVISION)
    assert set(modes) == {0o600}


@needs_root
def test_owner_and_group_stay(tmp_path: Path) -> None:
    """A service that runs as root does not take the user's notes away."""
    place = tmp_path / "x.md"
    place.write_bytes(OLD)
    os.chown(place, NOBODY, NOBODY)
    replace_file(tmp_path, "x.md", NEW, OLD_REVISION)
    status = place.stat()
    assert (status.st_uid, status.st_gid) == (NOBODY, NOBODY)


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that every user can reach; for this test we are an ordinary user."""
    folder = Path(tempfile.mkdtemp(prefix="pyrite-test-", dir="/dev/shm"))
    folder.chmod(0o777)
    groups = os.getgroups()
    try:
        yield folder
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
        shutil.rmtree(folder)


def become_nobody() -> None:
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)


@needs_root
def test_a_group_that_cannot_be_kept_gets_no_more_than_everybody(shared_folder: Path) -> None:
    """The mode's group bits were meant for another group."""
    place = shared_folder / "x.md"
    place.write_bytes(OLD)
    place.chmod(0o664)
    become_nobody()
    replace_file(shared_folder, "x.md", NEW, OLD_REVISION)
    status = place.stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (NOBODY, 0o644)


@needs_root
def test_a_folder_that_may_not_be_written_is_said_so(shared_folder: Path) -> None:
    """The system's own refusal, in words; nothing is changed."""
    (shared_folder / "x.md").write_bytes(OLD)
    (shared_folder / "x.md").chmod(0o666)
    shared_folder.chmod(0o755)
    become_nobody()
    for call in (
        lambda: create_file(shared_folder, "new.md", NEW),
        lambda: create_file(shared_folder, "a/new.md", NEW),
        lambda: replace_file(shared_folder, "x.md", NEW, OLD_REVISION),
        lambda: delete_file(shared_folder, "x.md", OLD_REVISION),
        lambda: delete_file(shared_folder, "x.md", None),
    ):
        with pytest.raises(WriteFailedError) as told:
            call()
        assert (told.value.status, told.value.code) == (403, "PERMISSION_DENIED")
        assert told.value.hint
    assert everything(shared_folder) == {"x.md": OLD}


# ---- a program that is writing ----------------------------------------------------------------------------


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("call", ["replace", "delete"])
def test_a_file_that_is_open_for_writing_is_not_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """What the other program is about to write would go into a removed file."""
    monkeypatch.setattr(write_module, "BUSY_WAIT_S", 0.01)
    place = tmp_path / "x.md"
    place.write_bytes(OLD)
    with place.open("r+b") as editor:
        with pytest.raises(FileBusyError) as told:
            CALLS[call](tmp_path, "x.md")
        editor.write(OTHER)
        editor.truncate()
    assert (told.value.status, told.value.code, told.value.current) == (412, "CONFLICT", OLD_REVISION)
    assert "being written by another program" in str(told.value)
    assert everything(tmp_path) == {"x.md": OTHER}


def test_a_write_waits_for_a_program_that_is_about_to_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A save in place takes a few milliseconds; then its outcome counts."""
    place = tmp_path / "x.md"
    place.write_bytes(OLD)
    editor = place.open("r+b")
    monkeypatch.setattr(time, "sleep", lambda _: editor.close())
    replace_file(tmp_path, "x.md", NEW, OLD_REVISION)
    assert everything(tmp_path) == {"x.md": NEW}


# ---- delete -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("expected", [OLD_REVISION, None])
def test_a_file_is_deleted(root: Path, expected: Any) -> None:
    """Its folder stays."""
    (root / "a").mkdir()
    (root / "a/x.md").write_bytes(OLD)
    delete_file(root, "a/x.md", expected)
    assert everything(root) == {"a": None}


def test_a_stale_deletion_changes_nothing(root: Path) -> None:
    """It is told the revision that is there."""
    (root / "x.md").write_bytes(OTHER)
    with pytest.raises(ChangedMeanwhileError) as told:
        delete_file(root, "x.md", OLD_REVISION)
    assert told.value.current == revision_of(OTHER)
    assert everything(root) == {"x.md": OTHER}


# ---- durability and failures ------------------------------------------------------------------------------


@pytest.mark.usefixtures("both_ways")
def test_bytes_reach_the_disk_before_the_name_and_the_name_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One fsync of the file while it has a temporary name, one of the folder after."""
    synced: list[str] = []

    def watched(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        place = tmp_path / "x.md"
        holds = "new" if place.exists() and place.read_bytes() == NEW else "old"
        synced.append(f"{kind}, path {holds}")

    monkeypatch.setattr(os, "fsync", watched)
    create_file(tmp_path, "x.md", OLD)
    assert synced == ["file, path old", "folder, path old"]
    synced.clear()
    replace_file(tmp_path, "x.md", NEW, OLD_REVISION)
    assert synced == ["file, path old", "folder, path new"]
    synced.clear()
    delete_file(tmp_path, "x.md", revision_of(NEW))
    assert synced == ["folder, path old"]


def test_a_folder_without_fsync_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some FUSE and network file systems know none; a full disk is told, though."""
    real = os.fsync

    def for_files_only(code: int) -> Callable[[int], None]:
        def sync(descriptor: int) -> None:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise OSError(code, os.strerror(code))
            real(descriptor)

        return sync

    monkeypatch.setattr(os, "fsync", for_files_only(errno.EINVAL))
    create_file(tmp_path, "x.md", OLD)
    monkeypatch.setattr(os, "fsync", for_files_only(errno.EIO))
    with pytest.raises(WriteFailedError):
        create_file(tmp_path, "y.md", OLD)


@pytest.mark.parametrize(
    ("code", "status", "name", "sentence"),
    [
        (errno.ENOSPC, 507, "DISK_FULL", "'a/x.md' was not written: the disk is full."),
        (errno.EDQUOT, 507, "DISK_FULL", "'a/x.md' was not written: the quota on that disk is used up."),
        (errno.EROFS, 403, "READ_ONLY", "'a/x.md' was not written: the file system is read-only."),
        (
            errno.EACCES,
            403,
            "PERMISSION_DENIED",
            "'a/x.md' was not written: this process may not write there.",
        ),
        (errno.EIO, 500, "WRITE_FAILED", "'a/x.md' was not written: input/output error."),
    ],
)
@pytest.mark.parametrize("where", ["open", "write", "fsync", "rename"])
@pytest.mark.parametrize("call", ["create", "replace"])
def test_when_the_system_refuses_nothing_is_changed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    status: int,
    name: str,
    sentence: str,
    where: str,
    call: str,
) -> None:
    """What, why, and what to do; no temporary file, no new folder."""
    if call == "replace":
        (tmp_path / "a").mkdir()
        (tmp_path / "a/x.md").write_bytes(OLD)
    before = everything(tmp_path)
    with monkeypatch.context() as patch:
        if where == "rename":
            patch.setattr(exchange_module, "_rename", failing(code))
        elif where == "open":
            real = os.open

            def refuse_new(path: str, flags: int, *rest: Any, **more: Any) -> int:
                if flags & os.O_CREAT:
                    raise OSError(code, os.strerror(code))
                return real(path, flags, *rest, **more)

            patch.setattr(os, "open", refuse_new)
        else:
            patch.setattr(os, where, failing(code))
        with pytest.raises(WriteFailedError) as told:
            CALLS[call](tmp_path, "a/x.md")
    assert (told.value.status, told.value.code, told.value.errno) == (status, name, code)
    assert str(told.value) == sentence
    assert told.value.hint
    assert everything(tmp_path) == before


def test_a_disk_that_fills_up_halfway_leaves_no_half(tmp_path: Path) -> None:
    """A limit on file sizes fails as a full disk does: a short write, then an error."""
    (tmp_path / "x.md").write_bytes(OLD)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(WriteFailedError, match="too large"):
            replace_file(tmp_path, "x.md", NEW, OLD_REVISION)
        with pytest.raises(WriteFailedError, match="too large"):
            create_file(tmp_path, "a/b/new.md", NEW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert everything(tmp_path) == {"x.md": OLD}


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    """Neither by what succeeds nor by what is refused."""
    (tmp_path / "link").symlink_to(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        create_file(tmp_path, "a/b/x.md", OLD)
        replace_file(tmp_path, "a/b/x.md", NEW, OLD_REVISION)
        for path, error in (("a/b/x.md", PathTakenError), ("link/x.md", PathOutsideKbError)):
            with pytest.raises(error):
                create_file(tmp_path, path, OLD)
        delete_file(tmp_path, "a/b/x.md", revision_of(NEW))
    assert len(os.listdir("/proc/self/fd")) == before
