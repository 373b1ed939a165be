"""Saves and deletions: hard cases 4 to 13, 18 to 22, 35, 38, 45, 46, with hints of every kind."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from pyrite_watch.disk.ignore import IgnoreRules
from pyrite_watch.disk.read import Folder, RawFile, Unreadable, read_file
from pyrite_watch.disk.scan import TreeScan, scan_tree

from .bed import Bed, note


def test_a_file_truncated_and_written_again_is_one_update(bed: Bed) -> None:
    """Row 4: truncate in place, then write."""
    bed.write("a.md", note("a"))
    bed.settle("a.md").told()
    bed.write("a.md", "")
    bed.run("a.md")
    assert bed.told() == []
    bed.write("a.md", note("a", "new"))
    bed.settle("a.md")
    assert bed.told() == ["U a a.md"]
    bed.check()


def test_a_save_by_rename_is_one_update(bed: Bed) -> None:
    """Row 5, 1: temporary name, rename, backup; every name is hinted."""
    bed.write("a.md", note("a"))
    bed.settle("a.md").told()
    bed.write("sedAbC", note("a", "new"))
    bed.run("sedAbC")
    os.rename(bed.path("sedAbC"), bed.path("a.md"))
    bed.settle("sedAbC", "a.md", "a.md~", "4913", ".a.md.swp")
    assert bed.told() == ["U a a.md"]
    bed.check()


def test_a_new_file_is_one_creation_and_one_sync(bed: Bed) -> None:
    """Row 6: created events come with the KB's `kb_synced`, after them."""
    bed.write("a.md", note("a"))
    bed.settle("a.md")
    news = bed.news()
    assert [event["type"] for event in news] == ["entry_created", "kb_synced"]
    assert [event["origin"] for event in news] == ["disk", "disk"]
    bed.check()


def test_a_half_in_an_open_file_waits_for_its_end(bed: Bed) -> None:
    """Row 7: a half with complete front matter is never told."""
    bed.write("a.md", note("a"))
    bed.settle("a.md").told()
    with open(bed.path("a.md"), "wb", buffering=0) as file:
        file.write(note("a", "half").encode())
        for _ in range(15):
            bed.run("a.md").advance(0.02)
        assert bed.told() == []
        file.write(b"the rest\n")
    bed.settle()
    assert bed.told() == ["U a a.md"]
    bed.check()


def test_a_file_that_stays_open_is_told_after_400_ms(bed: Bed) -> None:
    """Row 7: a program that never closes its file does not hide it for ever."""
    with open(bed.path("a.md"), "wb", buffering=0) as file:
        file.write(note("a").encode())
        bed.run("a.md").advance(0.39)
        assert bed.told() == []
        bed.advance(0.02)
        assert bed.told() == ["C a a.md"]


@pytest.mark.parametrize("existing", [True, False])
def test_a_file_that_is_empty_for_a_moment_is_one_event(bed: Bed, existing: bool) -> None:
    """Row 8: 1 C or 1 U, no D."""
    if existing:
        bed.write("a.md", note("a"))
        bed.settle("a.md").told()
    bed.write("a.md", "")
    bed.run("a.md").advance(0.2)
    bed.write("a.md", note("a", "new"))
    bed.settle("a.md")
    assert bed.told() == ["U a a.md" if existing else "C a a.md"]
    bed.check()


def test_a_new_empty_file_is_an_entry_after_400_ms(bed: Bed) -> None:
    """It is no entry before, as its writer may be about to fill it."""
    bed.write("a.md", "")
    bed.run("a.md").advance(0.38)
    assert bed.told() == []
    bed.advance(0.03)
    assert bed.told() == ["C a a.md"]
    bed.check()


@pytest.mark.parametrize("pause_s", [0.0, 0.06])
@pytest.mark.parametrize("text", ["new", "text"])
def test_delete_and_recreate_is_at_most_one_update(bed: Bed, pause_s: float, text: str) -> None:
    """Row 9: an update, or nothing where the bytes are the same."""
    bed.write("a.md", note("a"))
    bed.settle("a.md").told()
    bed.path("a.md").unlink()
    bed.run("a.md").advance(pause_s)
    bed.write("a.md", note("a", text))
    bed.settle("a.md")
    assert bed.told() == (["U a a.md"] if text == "new" else [])
    bed.check()


def test_a_deletion_is_told_after_120_ms(bed: Bed) -> None:
    """Row 10: not before, as the file may come back; then it is told, and a later file is new."""
    bed.write("a.md", note("a"))
    bed.settle("a.md").told()
    bed.path("a.md").unlink()
    bed.run("a.md").advance(0.11)
    assert bed.told() == []
    bed.advance(0.011)
    assert bed.told() == ["D a a.md"]
    bed.advance(5)
    bed.write("a.md", note("a"))
    bed.settle("a.md")
    assert bed.told() == ["C a a.md"]
    bed.check()


def test_create_and_delete_within_the_window_is_nothing(bed: Bed) -> None:
    """Row 11."""
    bed.write("a.md", "")
    bed.run("a.md")
    bed.path("a.md").unlink()
    bed.settle("a.md")
    assert bed.news() == []


def test_away_and_back_within_the_window_is_nothing(bed: Bed) -> None:
    """Row 13: the content before and after is the same."""
    for number in range(20):
        bed.write(f"{number}.md", note(f"n{number}"))
    bed.settle("").news()
    kept = {path.name: path.read_bytes() for path in bed.roots["kb"].iterdir()}
    for name in kept:
        bed.path(name).unlink()
    bed.run(*kept)
    for name, content in kept.items():
        bed.write(name, content)
    bed.settle(*kept)
    assert bed.news() == []


def test_a_save_without_change_is_nothing(bed: Bed) -> None:
    """Row 2: touch, chmod, the same bytes again."""
    bed.write("a.md", note("a"))
    bed.settle("a.md").news()
    bed.write("a.md", note("a"))
    bed.path("a.md").chmod(0o600)
    os.utime(bed.path("a.md"))
    bed.settle("a.md").sweep()
    assert bed.news() == []


@pytest.mark.parametrize("lost", [False, True])
def test_an_older_mtime_is_one_update(bed: Bed, lost: bool) -> None:
    """Row 35: `cp -p`, and a restored mtime with the same size, also where no hint came."""
    bed.write("a.md", note("a", "one"))
    bed.settle("a.md").told()
    os.utime(bed.path("a.md"), ns=(10**18, 10**18))
    bed.settle("a.md")
    bed.write("a.md", note("a", "two"))
    os.utime(bed.path("a.md"), ns=(10**18, 10**18))
    if lost:
        bed.sweep()
    else:
        bed.settle("a.md")
    assert bed.told() == ["U a a.md"]
    bed.check()


def test_a_write_within_the_same_tick_is_found_by_the_sweep(bed: Bed) -> None:
    """Git's racy rule: a file read right after it changed is read again, whatever its state says."""
    bed.write("a.md", note("a", "one"))
    bed.run("a.md").told()
    state = bed.store.connection.execute("SELECT ctime_ns FROM file").fetchone()
    assert state == (None,)
    bed.write("a.md", note("a", "two"))
    bed.sweep()
    assert bed.told() == ["U a a.md"]


@pytest.mark.parametrize(
    "name", [".syncthing.a.md.tmp", "~syncthing~a.md.tmp", ".a.md.icloud", ".stversions/a.md", ".~tmp~/a.md"]
)
def test_sync_tools_own_files_are_nothing(bed: Bed, name: str) -> None:
    """Row 38: only the real file counts."""
    bed.write(name, note("a"))
    bed.settle(name, name.split("/")[0]).sweep()
    assert bed.news() == []
    bed.write("a.md", note("a"))
    bed.settle(name, "a.md")
    assert bed.told() == ["C a a.md"]
    bed.check()


def test_files_made_right_after_their_folders_are_found(bed: Bed) -> None:
    """Row 18: only the top folder is named, and one file comes after the first look."""
    bed.write("a/b/c/one.md", note("one"))
    bed.run("a")
    bed.write("a/b/c/two.md", note("two"))
    bed.advance(0.06)
    bed.write("a/b/three.md", note("three"))
    bed.settle()
    assert bed.told() == ["C one a/b/c/one.md", "C two a/b/c/two.md", "C three a/b/three.md"]
    bed.check()


def test_a_folder_is_looked_at_again_but_not_for_ever(bed: Bed) -> None:
    """The second look orders no third: after half a second nothing waits."""
    bed.path("a").mkdir()
    for _ in range(100):
        bed.run("a")
    bed.advance(0.06).advance(0.5)
    assert bed.reconciler.next_due_s() is None


def test_a_file_that_vanishes_before_it_is_read_is_nothing(bed: Bed) -> None:
    """Row 45: the hint is about a file that is gone, and was never known."""
    bed.settle("a.md", "b/c.md", "d", "e/f")
    assert bed.news() == []


@pytest.mark.parametrize("hints", [["a.md"], ["a.md/x.md", "a.md"], [""]])
def test_a_folder_and_a_file_may_take_each_others_place(bed: Bed, hints: list[str]) -> None:
    """Row 46: `a.md/` with entries becomes a file `a.md`, and back."""
    bed.write("a.md/x.md", note("x"))
    bed.write("a.md/y.md", note("y"))
    bed.settle("a.md").told()
    shutil.rmtree(bed.path("a.md"))
    bed.write("a.md", note("a"))
    bed.settle(*hints)
    assert sorted(bed.told()) == ["C a a.md", "D x a.md/x.md", "D y a.md/y.md"]
    bed.check()
    bed.path("a.md").unlink()
    bed.write("a.md/x.md", note("x"))
    bed.settle(*hints)
    assert sorted(bed.told()) == ["C x a.md/x.md", "D a a.md"]
    bed.check()


def test_deletions_in_a_stream_are_one_batch(bed: Bed) -> None:
    """As long as more go missing they wait together: one `kb_synced`."""
    for number in range(10):
        bed.write(f"{number}.md", note(f"n{number}"))
    bed.settle("").news()
    for number in range(10):
        bed.path(f"{number}.md").unlink()
        bed.run(f"{number}.md").advance(0.1)
    bed.settle()
    assert [event["type"] for event in bed.news()] == ["entry_deleted"] * 10 + ["kb_synced"]


def test_a_sweep_that_meets_a_waiting_file_takes_its_origin(bed: Bed) -> None:
    """What a hint has named is no repair of the sweep, though the sweep finds it first."""
    bed.write("a.md", "")
    bed.run("a.md")
    bed.write("a.md", note("a"))
    bed.sweep()
    news = bed.news()
    assert [event["origin"] for event in news if event["type"] == "entry_created"] == ["disk"]
    assert [report.repairs for report in bed.reports] == [0]


def test_what_the_rules_hid_takes_over_when_they_go_with_the_owner(bed: Bed) -> None:
    """Bug: a `git stash` that took away the rules and the owner of an id was told as D, then C. The property
    test found it."""
    bed.write(".pyriteignore", "hidden.md\n")
    bed.write("hidden.md", note("x", "hidden"))
    bed.write("owner.md", note("x"))
    bed.settle("", "owner.md").told()
    bed.path("owner.md").unlink()
    bed.path(".pyriteignore").unlink()
    bed.settle(".pyriteignore", "owner.md")
    assert bed.told() == ["U x hidden.md < owner.md"]
    bed.check()


def test_a_half_in_a_long_batch_has_all_its_time(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: how old its last change was, was asked after the whole batch: then any half looks left behind."""
    late_s = 0.0

    def slowly(root: Path, path: str, most: int) -> RawFile | Folder | Unreadable | None:
        nonlocal late_s
        if path == "b.md":
            bed.write("a.md", note("a"))  # its writer is through in no time
            bed.clock.advance(2.0)
            late_s += 2.0
        return read_file(root, path, most)

    monkeypatch.setattr("pyrite_watch.index.gather.read_file", slowly)
    monkeypatch.setattr("pyrite_watch.index.gather.time", SimpleNamespace(time=lambda: time.time() + late_s))
    bed.write("a.md", "---\nid: a\ntitle: Not clos")
    bed.write("b.md", note("b"))
    bed.settle("a.md", "b.md")
    assert bed.told() == ["C b b.md", "C a a.md"]
    bed.check()


@pytest.mark.parametrize("can_ask", [True, False], ids=["open, as the lease tells", "nobody may ask"])
def test_a_file_that_is_cut_is_not_one_that_was_left_empty(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, can_ask: bool
) -> None:
    """Bug: ext4 gives a file that is cut its new size, and later its new time; in between it looked like one
    that has been empty for long, and was told at once. One that waits for its id: it has no last version."""
    now_s = time.time() + 10  # all that is written here was written long ago
    monkeypatch.setattr("pyrite_watch.index.gather.time", SimpleNamespace(time=lambda: now_s))
    bed.write("0.md", note("x"))
    bed.write("a.md", note("x"))
    status = bed.path("a.md").lstat()

    def in_between(root: Path, path: str, most: int) -> RawFile | Folder | Unreadable | None:
        raw = read_file(root, path, most)
        assert isinstance(raw, RawFile)
        if raw.data:
            return replace(raw, racy=can_ask)  # it is not known when it changed, or else nobody may ask
        state = replace(raw.state, ctime_ns=status.st_ctime_ns, mtime_ns=status.st_mtime_ns)
        return replace(raw, state=state, racy=False, open_for_writing=can_ask)

    monkeypatch.setattr("pyrite_watch.index.gather.read_file", in_between)
    bed.settle("0.md", "a.md").told()
    bed.write("a.md", "")
    bed.run("a.md")
    bed.write("a.md", note("x", "new"))
    bed.settle("a.md")
    assert bed.told() == []


def test_a_half_after_a_long_wait_for_git_has_all_its_time(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: the time of a hint that was held for git counted as the half's."""
    now_s = time.time()
    monkeypatch.setattr("pyrite_watch.index.gather.time", SimpleNamespace(time=lambda: now_s))
    (bed.path(".git")).mkdir()
    bed.path(".git/index.lock").touch()
    bed.write("a.md", note("a"))
    bed.run("a.md").advance(2.0)
    assert bed.told() == []
    bed.write("a.md", "---\nid: a\ntitle: Not clos")
    bed.path(".git/index.lock").unlink()
    for _ in range(30):
        bed.advance(0.01)
    assert bed.told() == []
    bed.write("a.md", note("a", "new"))
    bed.settle("a.md")
    assert bed.told() == ["C a a.md"]


def test_a_file_that_is_gone_at_the_end_of_a_long_walk_may_come_back(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows 9 and 12. Bug: its 120 ms began with the walk, and were over when that was."""
    bed.write("a.md", note("a"))
    bed.settle("a.md").told()

    def slowly(root: Path, rules: IgnoreRules, folder: str) -> TreeScan:
        bed.clock.advance(1.0)
        return scan_tree(root, rules, folder)

    monkeypatch.setattr("pyrite_watch.index.gather.scan_tree", slowly)
    bed.path("a.md").unlink()
    bed.run("")
    bed.advance(0.05)
    assert bed.told() == []
    bed.write("a.md", note("a", "new"))
    bed.settle("a.md")
    assert bed.told() == ["U a a.md"]
    bed.path("a.md").unlink()
    bed.settle("a.md")
    assert bed.told() == ["D a a.md"]


def test_a_clone_in_the_place_of_a_root_tells_the_difference_alone(bed: Bed) -> None:
    """Row 31. Bug: a folder that held `.git` and nothing else yet was believed, and all was deleted."""
    for name in ("a", "b"):
        bed.write(f"{name}.md", note(name))
    bed.settle("").told()
    bed.path("").rename(bed.folder / "before")
    (bed.path("") / ".git").mkdir(parents=True)
    bed.reconciler.look_at_roots()
    bed.sweep()
    assert bed.told() == []
    bed.write("a.md", note("a"))
    bed.write("b.md", note("b", "new"))
    bed.reconciler.look_at_roots()
    bed.sweep()
    assert bed.told() == ["U b b.md"]
