"""Is a KB's root there, and is it the one that was there?"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyrite_watch.disk.root import look_at_root
from pyrite_watch.system import birth_time_ns


def test_a_root_is_known_by_device_and_identity(tmp_path: Path) -> None:
    """Also through a link, and where nothing was known of it; an empty one too, and one renamed."""
    (tmp_path / "kb").mkdir()
    os.symlink("kb", tmp_path / "link")
    status = os.stat(tmp_path / "kb")
    look = look_at_root(tmp_path / "kb", None, None)
    assert (look.device, look.missing) == (status.st_dev, None)
    assert look_at_root(tmp_path / "link", look.device, look.inode) == look
    os.rename(tmp_path / "kb", tmp_path / "renamed")
    assert look_at_root(tmp_path / "renamed", look.device, look.inode) == look


def test_a_new_folder_with_the_old_ones_inode_number_is_another(tmp_path: Path) -> None:
    """`rm -r kb; mkdir kb` often gives the same number: the time of birth tells them apart."""
    root = tmp_path / "kb"
    root.mkdir()
    if birth_time_ns(root) is None:
        pytest.skip(f"the file system of {tmp_path} tells no time of birth")
    for _ in range(50):
        known, number = look_at_root(root, None, None), os.stat(root).st_ino
        root.rmdir()
        root.mkdir()
        if os.stat(root).st_ino == number:
            assert look_at_root(root, known.device, known.inode).missing is not None
            return
    pytest.skip(f"the file system of {tmp_path} uses no inode number again")


def test_where_no_birth_is_known_an_empty_root_that_was_away_stays_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can say whether it is another; one that never was away was emptied."""
    monkeypatch.setattr("pyrite_watch.disk.root.birth_time_ns", lambda path: None)
    known = look_at_root(tmp_path, None, None)
    assert known.inode == os.stat(tmp_path).st_ino
    assert look_at_root(tmp_path, known.device, known.inode).missing is None
    assert look_at_root(tmp_path, known.device, known.inode, was_away=True).missing is not None
    (tmp_path / "a.md").touch()
    assert look_at_root(tmp_path, known.device, known.inode, was_away=True) == known


def test_another_root_that_is_empty_is_missing(tmp_path: Path) -> None:
    """An unmounted drive leaves an empty folder, `git clone` begins with `.git`: hidden names are nothing."""
    status = os.stat(tmp_path)
    root = tmp_path / "kb"
    root.mkdir()
    assert look_at_root(root, status.st_dev, status.st_ino).missing is not None
    assert look_at_root(root, status.st_dev + 1, os.stat(root).st_ino).missing is not None
    (root / ".git").mkdir()
    assert look_at_root(root, status.st_dev, status.st_ino).missing is not None
    (root / "a.md").touch()
    assert look_at_root(root, status.st_dev, status.st_ino).missing is None


def test_the_known_root_may_be_empty(tmp_path: Path) -> None:
    """Somebody deleted all that was in it: that is a fact. Older versions noted the inode's number."""
    status = os.stat(tmp_path)
    (tmp_path / ".git").mkdir()
    assert look_at_root(tmp_path, status.st_dev, status.st_ino).missing is None
    (tmp_path / ".git").rmdir()
    assert look_at_root(tmp_path, status.st_dev, status.st_ino).missing is None


@pytest.mark.parametrize("kind", ["gone", "file", "loop", "dangling"])
def test_what_is_no_folder_is_missing(tmp_path: Path, kind: str) -> None:
    """It says why."""
    root = tmp_path / "kb"
    if kind == "file":
        root.touch()
    elif kind == "loop":
        os.symlink("kb", root)
    elif kind == "dangling":
        os.symlink("nowhere", root)
    look = look_at_root(root, None, None)
    assert look.missing
    assert look.inode is None


def test_a_root_that_cannot_be_listed_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not an empty KB."""

    def scandir(path: Path) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", scandir)
    assert look_at_root(tmp_path, None, None).missing == "the folder cannot be read: Permission denied"
