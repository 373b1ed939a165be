"""git's lock holds a KB's changes while it is young."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyrite_watch.disk.git import LOCK_MAX_S, QUIET_S, REBASE_QUIET_S, GitHold, GitHolds, find_git_dir


@pytest.fixture
def git_dir(tmp_path: Path) -> Path:
    """A git directory without a lock."""
    (tmp_path / ".git").mkdir()
    return tmp_path / ".git"


def _lock(git_dir: Path) -> float:
    """Take the lock; give its time by the wall clock."""
    (git_dir / "index.lock").touch()
    return os.lstat(git_dir / "index.lock").st_ctime


def hold_of(root: Path) -> GitHold:
    """The hold of the repository that a root is in."""
    hold = GitHolds().of(root)
    assert hold is not None
    return hold


def look(hold: GitHold, begin_s: float, end_s: float, wall_s: float, *, runs: bool = False) -> bool:
    """Look every tenth of a second, as is done while something is held; give the last answer.

    Args:
        wall_s: by the wall clock, at the beginning; it stands still unless `runs`.
    """
    held = False
    for tenth in range(round((end_s - begin_s) * 10) + 1):
        held = hold.holds(begin_s + tenth / 10, wall_s + (tenth / 10 if runs else 0))
    return held


def test_nothing_holds_outside_of_a_repository(tmp_path: Path) -> None:
    """Where there is no git, nobody waits for it."""
    assert GitHolds().of(tmp_path) is None


def test_a_repository_made_later_is_found(tmp_path: Path) -> None:
    """Bug: `git init` after the start was never seen, and a checkout was many passes."""
    holds = GitHolds()
    assert holds.of(tmp_path) is None
    (tmp_path / ".git").mkdir()
    wall_s = _lock(tmp_path / ".git")
    hold = holds.of(tmp_path)
    assert hold is not None
    assert hold.holds(1.0, wall_s)


def test_a_nearer_repository_made_later_is_found(git_dir: Path) -> None:
    """Bug: where there was one above, the KB's own lock held nothing."""
    kb = git_dir.parent / "notes" / "kb"
    kb.mkdir(parents=True)
    holds = GitHolds()
    outer = holds.of(kb)
    assert outer is not None
    assert holds.of(kb) is outer
    (git_dir.parent / "notes" / ".git").mkdir()
    nearer = holds.of(kb)
    assert nearer is not None
    assert nearer is not outer
    assert nearer.holds(1.0, _lock(git_dir.parent / "notes" / ".git"))
    assert not outer.holds(1.0, 0.0)


def test_knowledge_bases_in_one_repository_have_one_hold(git_dir: Path) -> None:
    """What one command does to both is one batch; a KB of another repository has its own."""
    for name in ("a", "b", "c"):
        (git_dir.parent / name).mkdir()
    (git_dir.parent / "c" / ".git").mkdir()
    holds = GitHolds()
    assert holds.of(git_dir.parent / "a") is holds.of(git_dir.parent / "b")
    assert holds.of(git_dir.parent / "a") is not holds.of(git_dir.parent / "c")


def test_a_link_that_leads_elsewhere_has_the_hold_of_that_place(tmp_path: Path) -> None:
    """A root may be one, and be pointed at another clone while it is watched."""
    for name in ("one", "two"):
        (tmp_path / name / ".git").mkdir(parents=True)
    link = tmp_path / "kb"
    link.symlink_to("one")
    holds = GitHolds()
    first = holds.of(link)
    link.unlink()
    link.symlink_to("two")
    assert holds.of(link) is not first
    assert holds.of(link) is holds.of(tmp_path / "two")


def test_a_folder_in_the_place_of_another_begins_anew(git_dir: Path) -> None:
    """Whatever was held in the one before it is gone with it."""
    holds = GitHolds()
    first = holds.of(git_dir.parent)
    holds.forget(git_dir.parent)
    assert holds.of(git_dir.parent) is not first


def test_git_that_rested_after_its_five_seconds_is_held_again(git_dir: Path) -> None:
    """Bug: once a long rebase had had its time, no later command was held: nobody had looked meanwhile."""
    hold, wall_s = hold_of(git_dir.parent), _lock(git_dir)
    for tenth in range(60):
        (git_dir / "index.lock").unlink()
        wall_s = _lock(git_dir)
        held = hold.holds(100.0 + tenth / 10, wall_s)
    assert not held
    (git_dir / "index.lock").unlink()
    wall_s = _lock(git_dir)
    assert not hold.holds(100.0 + 6.1, wall_s), "one that never rests keeps nobody waiting for longer"
    (git_dir / "index.lock").unlink()
    wall_s = _lock(git_dir)
    assert hold.holds(100.0 + 6.2 + REBASE_QUIET_S, wall_s)


def test_a_lock_that_came_and_went_between_two_looks_is_seen_by_the_index(git_dir: Path) -> None:
    """Bug: a quick checkout was two passes, as nobody had ever seen its lock."""
    (git_dir / "index").touch()
    wall_s = os.lstat(git_dir / "index").st_ctime
    hold = hold_of(git_dir.parent)
    assert hold.holds(100.0, wall_s + QUIET_S / 2)
    assert not hold.holds(100.0 + QUIET_S, wall_s + QUIET_S * 1.5)


def test_an_index_written_after_the_look_at_the_clock_holds(git_dir: Path) -> None:
    """git may rename its lock in the moment between the two; no other sign is left then."""
    (git_dir / "index").touch()
    wall_s = os.lstat(git_dir / "index").st_ctime
    assert hold_of(git_dir.parent).holds(100.0, wall_s - 0.004)


def test_an_index_from_the_future_holds_nothing(git_dir: Path) -> None:
    """The clock was set back: it would look young for all that time."""
    (git_dir / "index").touch()
    wall_s = os.lstat(git_dir / "index").st_ctime
    assert not hold_of(git_dir.parent).holds(100.0, wall_s - 3_600)


def test_all_that_is_held_is_asked_for_at_one_time(git_dir: Path) -> None:
    """Bug: hints that came 5 ms apart were let go 5 ms apart, as two passes."""
    hold = hold_of(git_dir.parent)
    first_s = hold.next_look_s(100.0)
    assert first_s > 100.0
    assert hold.next_look_s(first_s - 0.001) == first_s
    assert hold.next_look_s(first_s) > first_s


def test_a_repository_that_never_rests_holds_nobody_for_longer(git_dir: Path) -> None:
    """An index that is rewritten all the time must not silence the KB."""
    hold = hold_of(git_dir.parent)
    (git_dir / "index").touch()
    wall_s = os.lstat(git_dir / "index").st_ctime
    assert look(hold, 100.0, 100.0 + LOCK_MAX_S - 0.1, wall_s)
    assert not hold.holds(100.0 + LOCK_MAX_S, wall_s)


def test_no_lock_holds_nothing(git_dir: Path) -> None:
    """A repository at rest, from the first question on."""
    assert not hold_of(git_dir.parent).holds(0.0, 0.0)


def test_a_young_lock_holds_until_it_has_been_gone_for_a_while(git_dir: Path) -> None:
    """`stash`, `pull` and `rebase` take it several times in a row."""
    hold, wall_s = hold_of(git_dir.parent), _lock(git_dir)
    assert hold.holds(100.0, wall_s)
    (git_dir / "index.lock").unlink()
    assert hold.holds(100.0 + QUIET_S / 2, wall_s)
    assert not hold.holds(100.001 + QUIET_S, wall_s)


@pytest.mark.parametrize("series", ["rebase-merge", "rebase-apply", "sequencer"])
def test_between_two_commits_of_a_rebase_it_may_be_quiet_for_longer(git_dir: Path, series: str) -> None:
    """On a busy machine git takes its time; a rebase that stands open is quiet, and holds nothing."""
    (git_dir / series).mkdir()
    hold, wall_s = hold_of(git_dir.parent), _lock(git_dir)
    assert hold.holds(100.0, wall_s)
    (git_dir / "index.lock").unlink()
    assert hold.holds(100.0 + REBASE_QUIET_S / 2, wall_s)
    assert not hold.holds(100.001 + REBASE_QUIET_S, wall_s)


def test_a_lock_holds_for_five_seconds_and_once(git_dir: Path) -> None:
    """One that a crash left behind must not silence the KB."""
    hold, wall_s = hold_of(git_dir.parent), _lock(git_dir)
    assert look(hold, 100.0, 100.0 + LOCK_MAX_S - 0.1, wall_s)
    assert not hold.holds(100.0 + LOCK_MAX_S, wall_s)
    assert not hold.holds(100.0 + LOCK_MAX_S + 0.01, wall_s)
    assert not hold.holds(200.0, wall_s + 100.0), "it is as old as it is, however long nobody looked"


def test_a_lock_that_is_written_to_is_still_the_same(git_dir: Path) -> None:
    """Bug: each write into it made it a new lock, which held for five seconds more."""
    hold, wall_s = hold_of(git_dir.parent), _lock(git_dir)
    assert hold.holds(100.0, wall_s)
    (git_dir / "index.lock").write_bytes(b"index")
    os.utime(git_dir / "index.lock", (wall_s + 4, wall_s + 4))
    assert not look(hold, 100.1, 100.0 + LOCK_MAX_S, wall_s, runs=True)


def test_a_lock_that_was_old_when_first_seen_holds_nothing(git_dir: Path) -> None:
    """It was left behind before this process began."""
    wall_s = _lock(git_dir)
    assert not hold_of(git_dir.parent).holds(100.0, wall_s + LOCK_MAX_S)
    assert hold_of(git_dir.parent).holds(100.0, wall_s + LOCK_MAX_S - 0.1)


def test_a_clock_set_back_does_not_lengthen_the_hold(git_dir: Path) -> None:
    """A lock from the future is as young as can be."""
    hold, wall_s = hold_of(git_dir.parent), _lock(git_dir)
    assert hold.holds(100.0, wall_s - 3600)
    assert not look(hold, 100.1, 100.0 + LOCK_MAX_S, wall_s - 3600)


def test_the_next_lock_holds_anew(git_dir: Path) -> None:
    """Also after one that had reached its cap, and also with the same inode."""
    hold, wall_s = hold_of(git_dir.parent), _lock(git_dir)
    assert hold.holds(100.0, wall_s)
    assert not look(hold, 100.1, 106.0, wall_s)
    (git_dir / "index.lock").unlink()
    assert not hold.holds(107.0, wall_s)
    wall_s = _lock(git_dir)
    assert hold.holds(108.0, wall_s)


def test_the_git_directory_is_that_of_the_nearest_repository(tmp_path: Path) -> None:
    """In the KB, above it, or none; through a link, that of where it leads."""
    (tmp_path / "a/.git").mkdir(parents=True)
    (tmp_path / "a/b/kb").mkdir(parents=True)
    (tmp_path / "c").mkdir()
    os.symlink("a/b/kb", tmp_path / "link")
    assert find_git_dir(tmp_path / "a/b/kb") == tmp_path / "a/.git"
    assert find_git_dir(tmp_path / "a") == tmp_path / "a/.git"
    assert find_git_dir(tmp_path / "link") == tmp_path / "a/.git"
    assert find_git_dir(tmp_path / "c") is None
    assert find_git_dir(tmp_path / "gone") is None


@pytest.mark.parametrize("absolute", [True, False])
def test_a_worktree_names_its_git_directory_in_a_file(tmp_path: Path, absolute: bool) -> None:
    """Absolute, or relative to the file (a submodule)."""
    target = tmp_path / "main/.git/worktrees/w"
    target.mkdir(parents=True)
    (tmp_path / "w").mkdir()
    named = os.fspath(target) if absolute else "../main/.git/worktrees/w"
    (tmp_path / "w/.git").write_text(f"gitdir: {named}\n")
    found = find_git_dir(tmp_path / "w")
    assert found is not None
    assert os.path.realpath(found) == os.path.realpath(target)
    (target / "index.lock").touch()
    assert hold_of(tmp_path / "w").holds(0.0, 0.0)


@pytest.mark.parametrize("text", [b"", b"nonsense", b"gitdir: a\0b\n", b"\xff" * 9999])
def test_a_git_file_that_names_nothing_is_no_repository(tmp_path: Path, text: bytes) -> None:
    """Bug: a NUL in it raised ValueError with each batch."""
    (tmp_path / ".git").write_bytes(text)
    assert find_git_dir(tmp_path) is None
