"""The state folders of a user: what is noted of them, copies, and removing what is old."""

from __future__ import annotations

import os
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from pyrite_watch.cli.states import (
    NOTE,
    find_old,
    find_state,
    is_copy,
    list_states,
    note_state,
    read_note,
    remove_old,
)
from pyrite_watch.index.store import Store
from pyrite_watch.model.kb import KbName, KnowledgeBase
from pyrite_watch.ownership import Ownership
from pyrite_watch.settings import Settings


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "xdg"), "HOME": str(tmp_path)}


def settings_of(folder: Path, *roots: Path) -> Settings:
    """What a watch of these roots was asked for."""
    return Settings(tuple(KnowledgeBase(KbName(root.name), root) for root in roots), folder)


def make_state(folder: Path, *roots: Path) -> Path:
    """Make a state as a watch of these roots leaves it."""
    store = Store(folder, [root.name for root in roots], None)
    store.complete_first_pass([root.name for root in roots])
    store.close()
    note_state(settings_of(folder, *roots))
    (folder / "owner.lock").touch()
    return folder


@pytest.fixture
def states(tmp_path: Path) -> Path:
    return tmp_path / "xdg" / "pyrite-watch" / "states"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "kbs" / "notes").mkdir(parents=True)
    return tmp_path / "kbs" / "notes"


def test_the_roots_are_noted_by_name(states: Path, root: Path) -> None:
    """Also one whose name is not UTF-8."""
    strange = Path(os.fsdecode(os.fsencode(root.parent) + b"/\xff"))
    folder = make_state(states / "a", root)
    note_state(replace(settings_of(folder, root, strange), gitignore=True, max_entry_bytes=7))
    note = read_note(folder)
    assert note is not None
    assert list(note.roots.values()) == [root, strange]
    assert (note.gitignore, note.max_entry_bytes) == (True, 7)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"kbs": 7}', '{"kbs": [{"name": 1}]}', '{"kbs":[]}'])
def test_a_note_of_another_shape_is_none(states: Path, root: Path, text: str) -> None:
    """It only informs."""
    folder = make_state(states / "a", root)
    (folder / NOTE).write_text(text)
    assert read_note(folder) is None


def test_a_state_is_found_by_its_root(
    states: Path, root: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    """The one that was noted last, and also through a link to the root."""
    first, second = make_state(states / "a", root), make_state(states / "b", root)
    os.utime(first / NOTE, (1, 1))
    (tmp_path / "link").symlink_to(root)
    assert find_state(root, environ) == find_state(tmp_path / "link", environ) == second
    os.utime(second / NOTE, (0, 0))
    assert find_state(root, environ) == first
    assert find_state(tmp_path, environ) is None


def test_a_copy_is_told_from_a_move(states: Path, root: Path) -> None:
    """A copy has the epoch of its original; a folder that was moved is still the one."""
    made = make_state(states / "a", root)
    moved = made.rename(states / "moved")
    copied = Path(shutil.copytree(moved, states / "copied"))
    for folder, expected in ((moved, False), (copied, True)):
        note = read_note(folder)
        assert note is not None
        assert is_copy(folder, note) is expected


def test_a_copy_stays_one_when_it_is_used_and_a_new_index_is_none(states: Path, root: Path) -> None:
    """Its use does not make its epoch another; an index that is made anew does."""
    made = make_state(states / "a", root)
    copied = Path(shutil.copytree(made, states / "copied"))
    note_state(settings_of(copied, root))
    note = read_note(copied)
    assert note is not None
    assert is_copy(copied, note)
    assert note.path == str(made)
    (copied / "index.sqlite").unlink()
    Store(copied, ["notes"], None).close()
    note_state(settings_of(copied, root))
    note = read_note(copied)
    assert note is not None
    assert not is_copy(copied, note)


def test_old_is_what_has_no_root_and_no_owner(
    states: Path, root: Path, tmp_path: Path, environ: dict[str, str]
) -> None:
    """One root that is there keeps it; so do a process that uses it, and the config that names the root."""
    gone, named, owned = tmp_path / "gone", tmp_path / "named", tmp_path / "owned"
    old = make_state(states / "old", gone)
    make_state(states / "half", gone, root)
    make_state(states / "named", named)
    (make_state(states / "unnoted", gone) / NOTE).unlink()
    make_state(states / "owned", owned)
    with Ownership.take([owned], states / "owned", environ):
        assert [state.path for state in find_old(environ, [named])] == [old]
    assert {state.path.name for state in find_old(environ, ())} == {"old", "named", "owned"}


def test_a_root_that_is_a_link_to_nowhere_is_there(
    states: Path, tmp_path: Path, environ: dict[str, str]
) -> None:
    """What it leads to may only not be mounted."""
    make_state(states / "a", tmp_path / "link")
    (tmp_path / "link").symlink_to(tmp_path / "drive")
    assert find_old(environ, ()) == []


def test_removing_takes_our_files_and_the_folder(
    states: Path, tmp_path: Path, environ: dict[str, str]
) -> None:
    """All of them; other states stay."""
    make_state(states / "old", tmp_path / "gone")
    kept = make_state(states / "kept", tmp_path)
    (state,) = find_old(environ, ())
    assert state.size_bytes > 0
    done = remove_old(state)
    assert (done.removed, done.left) == (True, "")
    assert list(states.iterdir()) == [kept]


def test_what_is_not_ours_is_never_removed(states: Path, tmp_path: Path, environ: dict[str, str]) -> None:
    """A file that somebody put there stays, and so does the folder."""
    folder = make_state(states / "old", tmp_path / "gone")
    (folder / "diary.txt").write_text("dear diary")
    (state,) = find_old(environ, ())
    done = remove_old(state)
    assert done.removed
    assert done.left
    assert [path.name for path in folder.iterdir()] == ["diary.txt"]


def test_a_database_of_another_program_is_left_untouched(
    states: Path, tmp_path: Path, environ: dict[str, str]
) -> None:
    """Told by its application id, whatever the folder's name and the note say."""
    folder = make_state(states / "old", tmp_path / "gone")
    (folder / "index.sqlite").unlink()
    with sqlite3.connect(folder / "index.sqlite") as connection:
        connection.execute("CREATE TABLE photos (name TEXT)")
    connection.close()
    before = sorted((path.name, path.read_bytes()) for path in folder.iterdir())
    (state,) = find_old(environ, ())
    done = remove_old(state)
    assert not done.removed
    assert "another program" in done.left
    assert sorted((path.name, path.read_bytes()) for path in folder.iterdir()) == before


def test_a_state_that_is_taken_meanwhile_is_left(
    states: Path, tmp_path: Path, environ: dict[str, str]
) -> None:
    """Between the look and the removal, a process may begin to use it."""
    folder = make_state(states / "old", tmp_path / "gone")
    (state,) = find_old(environ, ())
    with Ownership.take([tmp_path / "gone"], folder, environ):
        done = remove_old(state)
        assert (done.removed, done.left) == (False, "a process uses it")
        assert (folder / "index.sqlite").exists()


def test_links_and_folders_without_an_index_are_no_states(
    states: Path, root: Path, tmp_path: Path, environ: dict[str, str]
) -> None:
    """A link in the states' place leads somewhere that nobody gave us."""
    elsewhere = make_state(tmp_path / "elsewhere", root)
    states.mkdir(parents=True)
    (states / "link").symlink_to(elsewhere)
    (states / "empty").mkdir()
    (states / "file").touch()
    assert list(list_states(environ)) == []
