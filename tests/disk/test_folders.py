"""Which folders are watched one by one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyrite_watch.disk.folders import folders_to_watch, is_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A KB of three folders, and a folder outside of it."""
    for folder in ("kb/a/b", "kb/.git", "outside/deep"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "kb" / "a" / "note.md").touch()
    return tmp_path / "kb"


def test_a_root_without_links_is_watched_as_a_whole(root: Path) -> None:
    """Links to files and to nothing change nothing: nobody goes into them."""
    (root / "link.md").symlink_to(root / "a" / "note.md")
    (root / "a" / ".#note.md").symlink_to("writer@host.4711")
    (root / "loop").symlink_to("loop")
    assert folders_to_watch(root) is None


@pytest.mark.parametrize("target", ["../outside", ".", "..", "a/b", "/"])
def test_beside_a_link_to_a_folder_all_are_listed(root: Path, target: str) -> None:
    """Each true folder once, and nothing that a link leads to."""
    (root / "a" / "link").symlink_to(root / target)
    listed = folders_to_watch(root)
    assert listed is not None
    assert sorted(listed) == sorted([root, root / ".git", root / "a", root / "a" / "b"])


def test_a_name_that_is_not_utf_8_is_left_out(root: Path) -> None:
    """The folder and all below it; the others are watched one by one."""
    os.makedirs(os.fsencode(root) + b"/a/caf\xe9/below")
    assert set(folders_to_watch(root) or ()) == {root, root / "a", root / "a/b", root / ".git"}


def test_a_root_that_is_gone_is_an_error(root: Path) -> None:
    """Its owner looks again."""
    with pytest.raises(FileNotFoundError):
        folders_to_watch(root / "gone")


def test_a_link_is_no_folder(root: Path) -> None:
    """However it is made."""
    (root / "link").symlink_to(root / "a")
    assert is_folder(str(root / "a"))
    assert not is_folder(str(root / "link"))
    assert not is_folder(str(root / "a" / "note.md"))
