"""git's lock holds a KB's changes while it is young."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyrite_watch.disk.git import LOCK_MAX_S, QUIET_S, REBASE_QUIET_S, GitHold, find_git_dir


@pytest.fixture
def git_dir(tmp_path: Path) -> Path:
    """A git directory without a lock."""
    (tmp_path / ".git").mkdir()
    return tmp_path / ".git"


def _lock(git_dir: Path) -> float:
    """Take the lock; give its time by the wall clock."""
    (git_dir / "index.lock").touch()
    return os.lstat(git_dir / "index.lock").st_ctime


def test_nothing_holds_outside_of_a_repository(tmp_path: Path) -> None:
    """Where there is no git, nobody waits for it."""
    assert not GitHold(tmp_path).holds(0.0, 0.0)


def test_a_repository_made_later_is_found(tmp_path: Path) -> None:
    """Bug: `git init` after the start was never seen, and a checkout was many passes."""
    hold = GitHold(tmp_path)
    assert not hold.holds(0.0, 0.0)
    (tmp_path / ".git").mkdir()
    wall_s = _lock(tmp_path / ".git")
    assert hold.holds(1.0, wall_s)


def test_a_lock_that_came_and_went_between_two_looks_is_seen_by_the_index(git_dir: Path) -> None:
    """Bug: a quick checkout was two passes, as nobody had ever seen its lock."""
    (git_dir / "index").touch()
    wall_s = os.lstat(git_dir / "index").st_ctime
    hold = GitHold(git_dir.parent)
    assert hold.holds(100.0, wall_s + QUIET_S / 2)
    assert not hold.holds(100.0 + QUIET_S, wall_s + QUIET_S * 1.5)


def test_an_index_written_after_the_look_at_the_clock_holds(git_dir: Path) -> None:
    """git may rename its lock in the moment between the two; no other sign is left then."""
    (git_dir / "index").touch()
    wall_s = os.lstat(git_dir / "index").st_ctime
    assert GitHold(git_dir.parent).holds(100.0, wall_s - 0.004)


def test_an_index_from_the_future_holds_nothing(git_dir: Path) -> None:
    """The clock was set back: it would look young for all that time."""
    (git_dir / "index").touch()
    wall_s = os.lstat(git_dir / "index").st_ctime
    assert not GitHold(git_dir.parent).holds(100.0, wall_s - 3_600)


def test_all_that_is_held_is_asked_for_at_one_time(git_dir: Path) -> None:
    """Bug: hints that came 5 ms apart were let go 5 ms apart, as two passes."""
    hold = GitHold(git_dir.parent)
    first_s = hold.next_look_s(100.0)
    assert first_s > 100.0
    assert hold.next_look_s(first_s - 0.001) == first_s
    assert hold.next_look_s(first_s) > first_s


def test_a_repository_that_never_rests_holds_nobody_for_longer(git_dir: Path) -> None:
    """An index that is rewritten all the time must not silence the KB."""
    hold = GitHold(git_dir.parent)
    (git_dir / "index").touch()
    wall_s = os.lstat(git_dir / "index").st_ctime
    assert hold.holds(100.0, wall_s)
    assert hold.holds(100.0 + LOCK_MAX_S - 0.1, wall_s)
    assert not hold.holds(100.0 + LOCK_MAX_S, wall_s)


def test_no_lock_holds_nothing(git_dir: Path) -> None:
    """A repository at rest, from the first question on."""
    assert not GitHold(git_dir.parent).holds(0.0, 0.0)


def test_a_young_lock_holds_until_it_has_been_gone_for_a_while(git_dir: Path) -> None:
    """`stash`, `pull` and `rebase` take it several times in a row."""
    hold, wall_s = GitHold(git_dir.parent), _lock(git_dir)
    assert hold.holds(100.0, wall_s)
    (git_dir / "index.lock").unlink()
    assert hold.holds(100.0 + QUIET_S / 2, wall_s)
    assert not hold.holds(100.001 + QUIET_S, wall_s)


@pytest.mark.parametrize("series", ["rebase-merge", "rebase-apply", "sequencer"])
def test_between_two_commits_of_a_rebase_it_may_be_quiet_for_longer(git_dir: Path, series: str) -> None:
    """On a busy machine git takes its time; a rebase that stands open is quiet, and holds nothing."""
    (git_dir / series).mkdir()
    hold, wall_s = GitHold(git_dir.parent), _lock(git_dir)
    assert hold.holds(100.0, wall_s)
    (git_dir / "index.lock").unlink()
    assert hold.holds(100.0 + REBASE_QUIET_S / 2, wall_s)
    assert not hold.holds(100.001 + REBASE_QUIET_S, wall_s)


def test_a_lock_holds_for_five_seconds_and_once(git_dir: Path) -> None:
    """One that a crash left behind must not silence the KB."""
    hold, wall_s = GitHold(git_dir.parent), _lock(git_dir)
    assert hold.holds(100.0, wall_s)
    assert hold.holds(100.0 + LOCK_MAX_S - 0.1, wall_s)
    assert not hold.holds(100.0 + LOCK_MAX_S, wall_s)
    assert not hold.holds(100.0 + LOCK_MAX_S + 0.01, wall_s)


def test_a_lock_that_is_written_to_is_still_the_same(git_dir: Path) -> None:
    """Bug: each write into it made it a new lock, which held for five seconds more."""
    hold, wall_s = GitHold(git_dir.parent), _lock(git_dir)
    assert hold.holds(100.0, wall_s)
    (git_dir / "index.lock").write_bytes(b"index")
    os.utime(git_dir / "index.lock", (wall_s + 4, wall_s + 4))
    assert not hold.holds(100.0 + LOCK_MAX_S, wall_s + LOCK_MAX_S)


def test_a_lock_that_was_old_when_first_seen_holds_nothing(git_dir: Path) -> None:
    """It was left behind before this process began."""
    wall_s = _lock(git_dir)
    assert not GitHold(git_dir.parent).holds(100.0, wall_s + LOCK_MAX_S)
    assert GitHold(git_dir.parent).holds(100.0, wall_s + LOCK_MAX_S - 0.1)


def test_a_clock_set_back_does_not_lengthen_the_hold(git_dir: Path) -> None:
    """A lock from the future is as young as can be."""
    hold, wall_s = GitHold(git_dir.parent), _lock(git_dir)
    assert hold.holds(100.0, wall_s - 3600)
    assert not hold.holds(100.0 + LOCK_MAX_S, wall_s - 3600)


def test_the_next_lock_holds_anew(git_dir: Path) -> None:
    """Also after one that had reached its cap, and also with the same inode."""
    hold, wall_s = GitHold(git_dir.parent), _lock(git_dir)
    assert hold.holds(100.0, wall_s)
    assert not hold.holds(106.0, wall_s)
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
    assert GitHold(tmp_path / "w").holds(0.0, 0.0)


@pytest.mark.parametrize("text", [b"", b"nonsense", b"gitdir: a\0b\n", b"\xff" * 9999])
def test_a_git_file_that_names_nothing_is_no_repository(tmp_path: Path, text: bytes) -> None:
    """Bug: a NUL in it raised ValueError with each batch."""
    (tmp_path / ".git").write_bytes(text)
    assert find_git_dir(tmp_path) is None
