"""Rows 1 to 6: how editors and in-place filters save; each save is told once, a save without change never."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.editors import (
    EMACS_SAVES,
    REPLAYS,
    needs_emacs,
    needs_nano,
    needs_perl,
    replay_emacs,
    save_in_emacs,
    save_in_nano,
    save_in_vim,
)
from harness.fixtures import Starter, make_small_kb
from harness.scene import Scene
from harness.tools import needs_sed, needs_vim, run_tool

from .exactly import exactly, note

PLACES = ["below the home folder", "in the temporary folder"]
ONE_UPDATE = "U entry-1 entry-1.md"


class Placed:
    """A scene of which one knows whether its KB lies in what the editors take for the temporary folder."""

    def __init__(self, scene: Scene, temporary: Path) -> None:
        self.scene = scene
        (self.root,) = scene.roots.values()
        self.file = self.root / "entry-1.md"
        self.temporary = temporary


@pytest.fixture(params=PLACES)
def home_or_temporary(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A folder for the KB, and the folder that TMPDIR is to name."""
    if request.param == PLACES[1]:
        yield tmp_path, tmp_path
        return
    own_home = Path.home()
    if own_home.is_relative_to("/tmp") or not os.access(own_home, os.W_OK):
        pytest.skip(f"the home folder {own_home} is not writable, or is itself temporary")
    with tempfile.TemporaryDirectory(prefix="pyrite-watch-test-", dir=own_home) as folder:
        yield Path(folder), tmp_path


@pytest.fixture
def placed(home_or_temporary: tuple[Path, Path], start: Starter) -> Iterator[Placed]:
    """A small KB, watched, below the home folder or in the temporary one."""
    folder, temporary = home_or_temporary
    root = make_small_kb(folder / "placed")
    scene = Scene.open(start(root), {root.name: root})
    yield Placed(scene, temporary)
    scene.close()


@needs_vim
@pytest.mark.parametrize("backupcopy", ["no", "yes", "auto"])
def test_vim_save_is_one_update(placed: Placed, backupcopy: str) -> None:
    """Row 1: vim's probe file, backup and swap file tell nothing; the save is one update."""
    exactly(
        placed.scene,
        lambda: save_in_vim(
            placed.file, "normal! Goadded", "write", backupcopy=backupcopy, temporary=placed.temporary
        ),
        ONE_UPDATE,
    )
    placed.scene.check()


@needs_vim
def test_vim_probe_file_is_nothing(small_scene: Scene, small_kb: Path) -> None:
    """Row 1: `4913` (vim's question whether the folder takes files), swap and backup, one after another."""

    def act() -> None:
        for name in ("4913", "5036", ".entry-1.md.swp", ".entry-1.md.swx", "entry-1.md~", "entry-1.md.bak"):
            shutil.copyfile(small_kb / "entry-1.md", small_kb / name)
            (small_kb / name).unlink()

    exactly(small_scene, act)
    small_scene.check()


@needs_vim
@pytest.mark.parametrize("backupcopy", ["no", "yes", "auto"])
def test_vim_write_without_change_is_nothing(placed: Placed, backupcopy: str) -> None:
    """Row 2: `:w!` of an unchanged buffer rewrites the file and tells nothing."""
    before = placed.file.stat()
    exactly(
        placed.scene,
        lambda: save_in_vim(placed.file, "write!", backupcopy=backupcopy, temporary=placed.temporary),
    )
    assert placed.file.stat().st_mtime_ns != before.st_mtime_ns, "vim did not write, so nothing was tested"
    placed.scene.check()


def _same_bytes_in_place(file: Path) -> None:
    file.write_bytes(file.read_bytes())


def _same_bytes_renamed(file: Path) -> None:
    shutil.copyfile(file, file.with_name(".copy"))
    os.replace(file.with_name(".copy"), file)


@pytest.mark.parametrize(
    "act",
    [
        lambda file: os.utime(file),
        lambda file: os.utime(file, ns=(1, 1)),
        lambda file: file.chmod(0o600),
        _same_bytes_in_place,
        _same_bytes_renamed,
        lambda file: replay_emacs(file, file.read_bytes(), "rename"),
    ],
    ids=["touch", "touch to 1970", "chmod", "in place", "by rename", "as Emacs"],
)
def test_unchanged_content_is_nothing(small_scene: Scene, small_kb: Path, act) -> None:  # type: ignore[no-untyped-def]
    """Row 2: touch, chmod, and the same bytes saved again in any way tell nothing."""
    exactly(small_scene, lambda: act(small_kb / "entry-1.md"))
    small_scene.check()


@needs_emacs
@pytest.mark.parametrize("how", EMACS_SAVES)
def test_emacs_save_is_one_update(placed: Placed, how: str) -> None:
    """Row 3: Emacs itself: lock symlink, auto-save file and backup tell nothing; the save is one update."""
    exactly(
        placed.scene,
        lambda: save_in_emacs(placed.file, "added by Emacs", how, placed.temporary),
        ONE_UPDATE,
    )
    assert placed.file.read_bytes().endswith(b"added by Emacs\n")
    placed.scene.check()


@pytest.mark.parametrize("backup_is_there", [False, True], ids=["first backup", "backup is there"])
@pytest.mark.parametrize("how", EMACS_SAVES)
def test_emacs_calls_are_one_update(
    small_scene: Scene, small_kb: Path, how: str, backup_is_there: bool
) -> None:
    """Row 3: the same calls without Emacs, so that the row is tested where it is not installed."""
    if backup_is_there:
        (small_kb / "entry-1.md~").write_bytes(note("entry-1", "The last backup."))
    exactly(
        small_scene,
        lambda: replay_emacs(small_kb / "entry-1.md", note("entry-1", "Saved."), how),
        ONE_UPDATE,
    )
    small_scene.check()


def test_emacs_files_left_behind_are_nothing(small_scene: Scene, small_kb: Path) -> None:
    """Row 3: a crashed Emacs leaves its dangling lock and auto-save file: they are nothing, to sweeps too."""

    def act() -> None:
        (small_kb / ".#entry-1.md").symlink_to("writer@host.4711")
        (small_kb / "#entry-1.md#").write_bytes(note("entry-1", "Unsaved."))
        (small_kb / "entry-1.md~").write_bytes(note("entry-1", "Older."))

    exactly(small_scene, act)
    assert small_scene.api.problems() == []
    small_scene.check()


@needs_nano
def test_nano_save_is_one_update(small_scene: Scene, small_kb: Path) -> None:
    """Row 4: nano itself, on a terminal: truncated in place, then written."""
    file = small_kb / "entry-1.md"
    exactly(small_scene, lambda: save_in_nano(file, "added by nano"), ONE_UPDATE)
    assert b"added by nano" in file.read_bytes()
    small_scene.check()


@pytest.mark.parametrize("bytes_written", [40, 100_000])
@pytest.mark.parametrize("editor", REPLAYS)
def test_truncate_then_write_is_one_update(
    small_scene: Scene, small_kb: Path, editor: str, bytes_written: int
) -> None:
    """Row 4: the calls of nano and VS Code, with little and with much to write."""
    content = note("entry-1", "x" * bytes_written)
    exactly(small_scene, lambda: REPLAYS[editor](small_kb / "entry-1.md", content), ONE_UPDATE)
    small_scene.check()


IN_PLACE = {
    "sed -i": ("sed", "-i", "$ a added"),
    "sed -i.bak": ("sed", "-i.bak", "$ a added"),
    "perl -i": ("perl", "-p", "-i", "-e", "s/Text/Other text/"),
    "perl -i.orig": ("perl", "-p", "-i.orig", "-e", "s/Text/Other text/"),
}


@needs_sed
@needs_perl
@pytest.mark.parametrize("files", [1, 5], ids=["one file", "five files"])
@pytest.mark.parametrize("command", IN_PLACE)
def test_in_place_filter_is_one_update(small_scene: Scene, small_kb: Path, command: str, files: int) -> None:
    """Row 5: a temporary name without extension, and a rename; one update a file."""
    names = [f"entry-{number}.md" for number in range(1, files + 1)]
    exactly(
        small_scene,
        lambda: run_tool(*IN_PLACE[command], *names, cwd=small_kb),
        *(f"U {name.removesuffix('.md')} {name}" for name in names),
    )
    assert all(b"added" in (text := (small_kb / name).read_bytes()) or b"Other" in text for name in names)
    small_scene.check()


@needs_sed
@needs_perl
@pytest.mark.parametrize(
    "command",
    [("sed", "-i", "s/nowhere//"), ("perl", "-p", "-i", "-e", "s/nowhere//")],
    ids=["sed -i", "perl -i"],
)
def test_in_place_filter_without_change_is_nothing(
    small_scene: Scene, small_kb: Path, command: tuple[str, ...]
) -> None:
    """Rows 2 and 5: the file is another one, with the same bytes."""
    exactly(small_scene, lambda: run_tool(*command, "entry-1.md", "entry-2.md", cwd=small_kb))
    small_scene.check()


@pytest.mark.parametrize(
    "temporary",
    [
        ".new.md.swp",
        ".new.md.XYZ123",
        "new.md.tmp",
        "new.md.tmp.4711",
        "sedAbC123",
        "4711",
        "new.md~",
        ".goutputstream-AB12CD",
        "new.md___jb_tmp___",
    ],
)
def test_new_file_by_temporary_and_rename_is_one_creation(
    small_scene: Scene, small_kb: Path, temporary: str
) -> None:
    """Row 6: whatever the temporary name, and however long it is there, only the final name counts."""
    file = small_kb / temporary

    def act() -> None:
        file.write_bytes(note("new", "New."))
        small_scene.marker()
        file.rename(small_kb / "new.md")

    events = small_scene.observe(act, until=lambda events: any(e["entry_id"] == "new" for e in events))
    told = [f"{e['type']} {e['path']}" for e in events if e["entry_id"] and "marker" not in e["path"]]
    assert told == ["entry_created new.md"]
    small_scene.check()


@pytest.mark.parametrize("file_system", ["the same", "another"])
def test_move_from_outside_is_one_creation(
    small_scene: Scene, small_kb: Path, tmp_path: Path, file_system: str
) -> None:
    """Row 6: `mv` renames within a file system, and copies with the old times between two."""
    folder = tmp_path
    if file_system == "another":
        folder = Path("/dev/shm")
        if not folder.is_dir() or folder.stat().st_dev == small_kb.stat().st_dev:
            pytest.skip("no second file system at /dev/shm")
    with tempfile.TemporaryDirectory(dir=folder) as outside:
        source = Path(outside, "new.md")
        source.write_bytes(note("new", "From outside."))
        os.utime(source, ns=(10**18, 10**18))
        exactly(small_scene, lambda: run_tool("mv", source, small_kb, cwd=small_kb), "C new new.md")
    small_scene.check()
