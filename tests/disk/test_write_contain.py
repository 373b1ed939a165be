"""Nothing is written, and nothing is taken, outside a KB's root."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pyrite_watch.disk.contain import OpenFolder, check_path
from pyrite_watch.disk.exchange import exchange
from pyrite_watch.disk.ignore import read_ignore_rules
from pyrite_watch.disk.parse import revision_of
from pyrite_watch.disk.temporary import gone_name, new_name, parse_temporary_name, swap_name
from pyrite_watch.disk.write import create_file, delete_file, replace_file
from pyrite_watch.disk.write_errors import ChangedMeanwhileError, PathOutsideKbError, PathTakenError
from pyrite_watch.errors import RequestError

OLD, NEW = b"old words\n", b"new words\n"
OLD_REVISION = revision_of(OLD)
RACE_S = 0.5
PATIENCE_S = 20.0
processes = multiprocessing.get_context("fork")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A KB beside a folder that is none of its business, which holds files of the same names and bytes."""
    outside = tmp_path / "outside"
    outside.mkdir()
    for folder in (outside, tmp_path / "kb", tmp_path / "kb/sub"):
        folder.mkdir(exist_ok=True)
        (folder / "x.md").write_bytes(OLD)
    return tmp_path / "kb"


def outside_now(root: Path) -> dict[str, tuple[bytes, int, int]]:
    """What is beside the KB: bytes, inode and mtime of each file."""
    return {
        str(path): (path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns)
        for path in [root.parent, *root.parent.joinpath("outside").rglob("*")]
        if path.is_file()
    } | {"names": (repr(sorted(os.listdir(root.parent))).encode(), 0, 0)}


CALLS: dict[str, Callable[[Path, str], object]] = {
    "create": lambda root, path: create_file(root, path, NEW),
    "replace": lambda root, path: replace_file(root, path, NEW, OLD_REVISION),
    "delete": lambda root, path: delete_file(root, path, OLD_REVISION),
    "delete any": lambda root, path: delete_file(root, path, None),
}


# ---- spelling ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "it is empty"),
        ("/etc/x.md", "it is absolute"),
        ("//x.md", "it is absolute"),
        ("..", "it holds '..'"),
        ("../outside/x.md", "it holds '..'"),
        ("a/../../outside/x.md", "it holds '..'"),
        ("sub/../x.md", "it holds '..'"),
        ("./x.md", "it holds '.'"),
        ("a//x.md", "a part of it is empty"),
        ("sub/", "a part of it is empty"),
        ("x.md\0.png", "it holds a NUL character"),
        ("\ud800.md", "it is not Unicode"),
        ("a" * 253 + ".md", "a name in it is longer than 255 bytes"),
        ("é" * 127 + ".md", "a name in it is longer than 255 bytes"),
        ("a" * 256 + "/x.md", "a name in it is longer than 255 bytes"),
        ("/".join("a" * 2049), "it is too long"),
    ],
)
@pytest.mark.parametrize("call", CALLS)
def test_a_path_that_could_lead_outside_is_refused(root: Path, path: str, why: str, call: str) -> None:
    """By its spelling, before the disk is asked."""
    before = outside_now(root)
    with pytest.raises(PathOutsideKbError) as told:
        CALLS[call](root, path)
    assert (told.value.status, told.value.code, told.value.why) == (400, "PATH_OUTSIDE_KB", why)
    str(told.value).encode("utf-8")
    assert outside_now(root) == before


@pytest.mark.parametrize(
    "path",
    ["x.md", "a/b/c.md", "...md", "..a/x.md", "-x.md", "a b\nc.md", "é" * 126 + ".md", "a" * 252 + ".md"],
)
def test_odd_names_are_names(tmp_path: Path, path: str) -> None:
    """Also one of exactly 255 bytes, whose temporary names must fit too."""
    check_path(path)
    create_file(tmp_path, path, OLD)
    replace_file(tmp_path, path, NEW, OLD_REVISION)
    assert (tmp_path / path).read_bytes() == NEW
    delete_file(tmp_path, path, revision_of(NEW))
    assert not (tmp_path / path).exists()


@pytest.mark.skipif(os.name == "nt", reason="a separator there")
def test_a_backslash_is_a_letter_where_it_is_no_separator(tmp_path: Path) -> None:
    r"""`..\x.md` is one name here; on Windows it is refused."""
    create_file(tmp_path, "..\\x.md", OLD)
    assert os.listdir(tmp_path) == ["..\\x.md"]


def test_windows_refuses_what_means_something_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Separators, drives, streams, and a dot at the end that it would drop."""
    monkeypatch.setattr(os, "name", "nt")
    for path in ("..\\x.md", "C:x.md", "x.md:stream", "a?.md", "x.md.", "x.md ", "a\nb.md", "a./x.md"):
        with pytest.raises(PathOutsideKbError, match="Windows"):
            check_path(path)
    check_path("a b/x.md")


def test_a_path_that_the_scan_could_not_open_is_refused(tmp_path: Path) -> None:
    """Root and path together: a folder at a time it could be written, and would never be found again."""
    path = "/".join(["a" * 200] * 20) + f"/{'x' * 60}.md"
    check_path(path)
    with pytest.raises(PathOutsideKbError, match="too long"):
        create_file(tmp_path, path, NEW)
    assert os.listdir(tmp_path) == []


# ---- temporary names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["x.md", "a b\nc.md", "é" * 126 + ".md", "-.md", "a" * 252 + ".md"])
def test_temporary_names_are_hidden_short_and_ours(tmp_path: Path, target: str) -> None:
    """Whatever the target's name is; and one that fits can be read back."""
    names = [new_name(), swap_name(target, revision_of(NEW), OLD_REVISION), gone_name(target, OLD_REVISION)]
    for name in names:
        assert len(name.encode()) <= 143
        assert read_ignore_rules(tmp_path).path_rule(name) == "hidden"
        parsed = parse_temporary_name(name)
        assert parsed is not None
        assert parsed.target == (target if "new" not in name and len(target) < 60 else None)


@pytest.mark.parametrize("name", ["x.md", ".pyrite-1.tmp", ".pyrite-new-1.tmp", ".pyrite-new-.tmp", ".tmp"])
def test_other_names_are_not_ours(name: str) -> None:
    """Only the exact pattern counts."""
    assert parse_temporary_name(name) is None


@pytest.mark.parametrize("call", CALLS)
def test_our_temporary_names_cannot_be_asked_for(root: Path, call: str) -> None:
    """Else a caller could have the next start delete or rename what it likes."""
    for path in (new_name(), f"{gone_name('x.md', OLD_REVISION)}/x.md"):
        with pytest.raises(PathOutsideKbError, match="kept for temporary files"):
            CALLS[call](root, path)


# ---- links ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("lead", ["../outside", "sub", "nowhere", "."])
def test_a_folder_that_is_a_link_is_not_entered(root: Path, call: str, lead: str) -> None:
    """Neither one that leads outside, nor one that stays inside."""
    (root / "link").symlink_to(lead)
    before = outside_now(root)
    for path in ("link/x.md", "link/new.md", "link/deep/new.md"):
        with pytest.raises(PathOutsideKbError, match="leads through a link"):
            CALLS[call](root, path)
    assert outside_now(root) == before
    assert sorted(os.listdir(root)) == ["link", "sub", "x.md"]


@pytest.mark.parametrize("call", ["replace", "delete", "delete any"])
@pytest.mark.parametrize("lead", ["../outside/x.md", "sub/x.md", "nowhere.md"])
def test_a_file_that_is_a_link_is_not_written_through(root: Path, call: str, lead: str) -> None:
    """It is no entry; it stays a link."""
    (root / "link.md").symlink_to(lead)
    before = outside_now(root)
    with pytest.raises(PathOutsideKbError, match="links are not written through"):
        CALLS[call](root, "link.md")
    assert outside_now(root) == before
    assert (root / "link.md").readlink() == Path(lead)
    assert (root / "sub/x.md").read_bytes() == OLD


def test_the_root_itself_may_be_a_link(root: Path) -> None:
    """It is the user's word."""
    (root.parent / "alias").symlink_to(root)
    replace_file(root.parent / "alias", "x.md", NEW, OLD_REVISION)
    assert (root / "x.md").read_bytes() == NEW


def test_a_hard_link_outside_keeps_its_bytes(root: Path) -> None:
    """A file is replaced, never written into."""
    os.link(root.parent / "outside/x.md", root / "hard.md")
    replace_file(root, "hard.md", NEW, OLD_REVISION)
    assert (root.parent / "outside/x.md").read_bytes() == OLD


# ---- links that are swapped in ----------------------------------------------------------------------------


def _swap_for_ever(folder: str, one: str, other: str) -> None:
    opened = OpenFolder(Path(folder), os.open(folder, os.O_RDONLY))
    while True:
        with suppress(FileNotFoundError):
            exchange(opened, one, other)


@contextmanager
def swapping(folder: Path, one: str, other: str) -> Iterator[int]:
    """While this lasts, a process swaps two names, some hundred thousand times a second."""
    process = processes.Process(target=_swap_for_ever, args=(str(folder), one, other), daemon=True)
    process.start()
    assert process.pid is not None
    try:
        yield process.pid
    finally:
        process.kill()
        process.join()
        process.close()


def _lasts(begin_s: float, met: bool) -> bool:
    """Race for a moment, and on a busy machine until both outcomes were met often enough."""
    return time.monotonic() < begin_s + (RACE_S if met else PATIENCE_S)


@pytest.mark.parametrize("call", CALLS)
def test_a_folder_swapped_for_a_link_meanwhile_leads_nowhere(root: Path, call: str) -> None:
    """Between check and use there is nothing: each folder is opened through the one before."""
    (root / "link").symlink_to("../outside")
    paths = ["sub/made/deep/new.md", "sub/new.md"] if call == "create" else ["sub/x.md"]
    before = outside_now(root)
    done = refused = 0
    with swapping(root, "sub", "link"):
        begin_s = time.monotonic()
        while _lasts(begin_s, min(done, refused) > 50):
            for path in paths:
                try:
                    CALLS[call](root, path)
                    done += 1
                except PathOutsideKbError:
                    refused += 1
                except (ChangedMeanwhileError, PathTakenError):
                    pass
            # Whichever of the two names the folder has now.
            for folder in (root / "sub", root / "link"):
                if not folder.is_symlink():
                    _prepare(folder, call)
    assert outside_now(root) == before
    assert min(done, refused) > 50, (done, refused)


def _prepare(folder: Path, call: str) -> None:
    # By descriptor: the folder may be a link when this comes to write.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
        with suppress(OSError):
            if call == "create":
                os.unlink("new.md", dir_fd=descriptor)
            else:
                file = os.open("x.md", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644, dir_fd=descriptor)
                os.write(file, OLD)
                os.close(file)
        os.close(descriptor)


@pytest.mark.parametrize("call", ["replace", "delete"])
def test_a_file_swapped_for_a_link_meanwhile_leads_nowhere(root: Path, call: str) -> None:
    """The link is taken out, seen, and put back; what it leads to is not touched."""
    (root / "other.md").symlink_to("../outside/x.md")
    before = outside_now(root)
    outcomes: set[str] = set()
    with swapping(root, "x.md", "other.md") as swapper:
        begin_s = time.monotonic()
        while _lasts(begin_s, {"done", "PATH_OUTSIDE_KB"} <= outcomes):
            try:
                CALLS[call](root, "x.md")
                outcomes.add("done")
            except RequestError as error:
                outcomes.add(error.code)
            os.kill(swapper, signal.SIGSTOP)
            os.waitpid(swapper, os.WUNTRACED)
            assert not [name for name in os.listdir(root) if name.startswith(".pyrite")]
            for place in root.glob("*.md"):
                place.unlink()
            (root / "x.md").write_bytes(OLD)
            (root / "other.md").symlink_to("../outside/x.md")
            os.kill(swapper, signal.SIGCONT)
    assert outside_now(root) == before
    assert {"done", "PATH_OUTSIDE_KB"} <= outcomes
