"""Walking a KB."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyrite_watch.disk import scan
from pyrite_watch.disk.ignore import read_ignore_rules
from pyrite_watch.disk.read import file_state
from pyrite_watch.disk.scan import TreeScan, scan_tree


def _walk(root: Path, below: str = "", nested: tuple[str, ...] = ()) -> TreeScan:
    return scan_tree(root, read_ignore_rules(root, nested=nested, gitignore=False), below)


def _make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


def test_entries_are_found_with_their_states(tmp_path: Path) -> None:
    """By name, with what `lstat` says; other files are not."""
    _make(tmp_path, "a.md", "f/g/b.md", "c.txt", "README.md", "d.MD")
    found = _walk(tmp_path)
    assert sorted(found.files) == ["a.md", "f/g/b.md"]
    assert found.files["a.md"] == file_state(os.lstat(tmp_path / "a.md"))
    assert sorted(found.folders) == ["f", "f/g"]
    assert not found.problems


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    """`.git`, `.obsidian`, `_templates`, and names of temporary files."""
    _make(tmp_path, ".a.md", ".git/b.md", "f/.x/c.md", "_templates/d.md", "~$e.md", "f/g.md")
    assert list(_walk(tmp_path).files) == ["f/g.md"]


def test_a_kb_inside_is_left_out(tmp_path: Path) -> None:
    """Its files belong to it alone."""
    _make(tmp_path, "a.md", "in/ner/b.md", "in/c.md")
    assert sorted(_walk(tmp_path, nested=("in/ner",)).files) == ["a.md", "in/c.md"]


def test_a_walk_may_begin_at_a_folder(tmp_path: Path) -> None:
    """Paths are still relative to the root."""
    _make(tmp_path, "a.md", "f/g/b.md", "f/c.md")
    found = _walk(tmp_path, "f")
    assert sorted(found.files) == ["f/c.md", "f/g/b.md"]
    assert found.folders == ["f/g"]


def test_links_are_neither_files_nor_folders(tmp_path: Path) -> None:
    """No loop, and nothing outside."""
    root = tmp_path / "kb"
    _make(root, "a.md", "f/b.md")
    _make(tmp_path, "outside/c.md")
    for target, name in (
        ("a.md", "l.md"),
        (".", "loop"),
        ("..", "f/up"),
        ("../outside", "out"),
        ("no", "n.md"),
    ):
        os.symlink(target, root / name)
    assert sorted(_walk(root).files) == ["a.md", "f/b.md"]


def test_a_folder_with_the_name_of_a_file_is_a_folder(tmp_path: Path) -> None:
    """`dir.md/` is entered."""
    _make(tmp_path, "dir.md/a.md")
    found = _walk(tmp_path)
    assert list(found.files) == ["dir.md/a.md"]
    assert found.folders == ["dir.md"]


@pytest.mark.parametrize("path", [b"caf\xe9.md", b"f\xe9/a.md"])
def test_a_name_that_is_not_utf_8_is_a_problem(tmp_path: Path, path: bytes) -> None:
    """It is shown escaped; neighbours are found. A hidden one or no entry is nothing."""
    _make(tmp_path, os.fsdecode(path), "b.md", os.fsdecode(b".h\xe9.md"), os.fsdecode(b"\xe9.txt"))
    found = _walk(tmp_path)
    assert list(found.files) == ["b.md"]
    shown = path.split(b"/")[0].decode("utf-8", "backslashreplace")
    assert [(problem.path, problem.kind) for problem in found.problems] == [(shown, "name")]


def test_special_files_are_found_so_that_they_can_be_reported(tmp_path: Path) -> None:
    """Whoever reads it says what it is."""
    os.mkfifo(tmp_path / "fifo.md")
    assert list(_walk(tmp_path).files) == ["fifo.md"]


def test_an_unreadable_folder_hides_what_is_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Siblings are found; nothing is known of what is below it, however deep."""
    _make(tmp_path, "a.md", "f/b.md", "f.md", "fx/c.md")
    real = os.scandir

    def scandir(path: Path) -> object:
        if path == tmp_path / "f":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr("os.scandir", scandir)
    found = _walk(tmp_path)
    assert sorted(found.files) == ["a.md", "f.md", "fx/c.md"]
    assert [(problem.path, problem.kind) for problem in found.problems] == [("f", "unreadable")]
    assert found.hides("f/b.md")
    assert found.hides("f/g/h.md")
    assert not found.hides("f.md")
    assert not found.hides("fx/gone.md")
    assert not found.hides("gone.md")


def test_an_unreadable_root_hides_everything() -> None:
    """The root is above every path."""
    assert TreeScan(unreadable={""}).hides("a.md")
    assert not TreeScan().hides("a.md")


def test_a_folder_that_may_be_listed_but_not_entered_is_unreadable_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mode r--: each file in it refuses `lstat`, the folder is one problem."""
    _make(tmp_path, "f/a.md", "f/b.md", "c.md")

    class Item:
        def __init__(self, item: os.DirEntry[str]) -> None:
            self.name = item.name

        def is_dir(self, *, follow_symlinks: bool) -> bool:
            return False

        def stat(self, *, follow_symlinks: bool) -> os.stat_result:
            raise PermissionError(13, "Permission denied")

    real = scan._take

    def take(item: os.DirEntry[str], folder: str, *rest: object) -> None:
        real(Item(item) if folder == "f" else item, folder, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(scan, "_take", take)
    found = _walk(tmp_path)
    assert list(found.files) == ["c.md"]
    assert [problem.path for problem in found.problems] == ["f"]
    assert found.hides("f/a.md")


def test_a_folder_that_is_gone_by_now_is_left_out(tmp_path: Path) -> None:
    """No problem: nothing is there."""
    found = _walk(tmp_path, "gone")
    assert found == TreeScan()
