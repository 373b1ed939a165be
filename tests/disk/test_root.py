"""Is a KB's root there, and is it the one that was there?"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyrite_watch.disk.root import look_at_root


def test_a_root_is_known_by_device_and_inode(tmp_path: Path) -> None:
    """Also through a link, and where nothing was known of it; an empty one too."""
    (tmp_path / "kb").mkdir()
    os.symlink("kb", tmp_path / "link")
    status = os.stat(tmp_path / "kb")
    for root in (tmp_path / "kb", tmp_path / "link"):
        look = look_at_root(root, None, None)
        assert (look.device, look.inode, look.missing) == (status.st_dev, status.st_ino, None)
        assert look_at_root(root, look.device, look.inode) == look


def test_another_root_that_is_empty_is_missing(tmp_path: Path) -> None:
    """An unmounted drive leaves an empty folder; one with anything in it is believed."""
    status = os.stat(tmp_path)
    root = tmp_path / "kb"
    root.mkdir()
    assert look_at_root(root, status.st_dev, status.st_ino).missing is not None
    assert look_at_root(root, status.st_dev + 1, os.stat(root).st_ino).missing is not None
    (root / ".hidden").touch()
    assert look_at_root(root, status.st_dev, status.st_ino).missing is None


def test_the_known_root_may_be_empty(tmp_path: Path) -> None:
    """Somebody deleted all that was in it: that is a fact."""
    status = os.stat(tmp_path)
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
