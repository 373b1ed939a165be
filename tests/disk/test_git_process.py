"""A git that is changing a working tree is found by its process, as long as it lives."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.repository import Repository
from harness.tools import needs_git
from harness.wait import eventually

from pyrite_watch.disk.git import LOCK_MAX_S, REBASE_QUIET_S, GitHold
from pyrite_watch.disk.git_process import find_rewriting_git, is_rewriting_git, subcommand

needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells in /proc")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("git rebase main", "rebase"),
        ("git -c a.b=c -C /notes --no-pager pull --rebase", "pull"),
        ("/usr/lib/git-core/git --git-dir=.git stash pop", "stash"),
        ("git --git-dir checkout log", "log"),
        ("git --version", ""),
        ("git", ""),
    ],
)
def test_the_subcommand_is_found_behind_the_options(line: str, found: str) -> None:
    """Also where an option's value looks like one."""
    assert subcommand(line.split()) == found


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Two commits."""
    repository = Repository(tmp_path / "notes", entries=2)
    repository.write([1], "Again.")
    repository.commit("again")
    return repository


@pytest.fixture
def rebase(repository: Repository) -> Iterator[subprocess.Popen[bytes]]:
    """A rebase that goes on when there is a file `go` beside the repository."""
    beside = repository.work.parent
    wait = f"touch '{beside}/began'; while [ ! -e '{beside}/go' ]; do sleep 0.01; done; touch '{beside}/went'"
    who = ("-c", "user.name=Writer", "-c", "user.email=writer@example.org")
    process = subprocess.Popen(
        ["git", *who, "rebase", "--quiet", "--force-rebase", "--exec", wait, "HEAD~1"],
        cwd=repository.work,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    eventually((beside / "began").exists)
    yield process
    (repository.work.parent / "go").touch()
    assert process.wait(20) == 0
    assert (repository.work.parent / "went").exists()


@needs_git
@needs_proc
def test_a_rebase_is_found_until_it_ends(repository: Repository, rebase: subprocess.Popen[bytes]) -> None:
    """In its own working tree, and in no other."""
    tree = os.path.realpath(repository.work)
    assert find_rewriting_git(tree) == rebase.pid
    assert is_rewriting_git(rebase.pid, tree)
    assert find_rewriting_git(f"{tree}-other") is None
    assert not is_rewriting_git(os.getpid(), tree)
    (repository.work.parent / "go").touch()
    rebase.wait(20)
    assert find_rewriting_git(tree) is None
    assert not is_rewriting_git(rebase.pid, tree)


@needs_git
@needs_proc
def test_a_running_rebase_lengthens_a_hold(repository: Repository, rebase: subprocess.Popen[bytes]) -> None:
    """But begins none: who edits while a rebase waits for him is told at once."""
    hold = GitHold(repository.work / ".git", str(repository.work))
    wall_s = (repository.work / ".git" / "index").stat().st_ctime + 60
    assert not hold.holds(100.0, wall_s)
    lock = repository.work / ".git" / "index.lock"
    lock.touch()
    assert hold.holds(200.0, lock.stat().st_ctime)
    lock.unlink()
    assert hold.holds(204.0, wall_s)
    (repository.work.parent / "go").touch()
    rebase.wait(20)
    assert hold.holds(204.05, wall_s), "what it has written last may not have been told yet"
    assert not hold.holds(204.2, wall_s)


@needs_git
@needs_proc
def test_a_rebase_that_has_just_written_holds_what_comes_late(
    repository: Repository, rebase: subprocess.Popen[bytes]
) -> None:
    """On a busy machine a hint may come when git has been quiet for longer than between two commits."""
    hold = GitHold(repository.work / ".git", str(repository.work))
    wall_s = os.lstat(repository.work / ".git" / "index").st_ctime
    assert not hold.holds(100.0, wall_s + LOCK_MAX_S + 1), "it stands open"
    assert hold.holds(100.0, wall_s + 2 * REBASE_QUIET_S)
    (repository.work.parent / "go").touch()
    rebase.wait(30)
    assert not hold.holds(103.0, wall_s + 60)


@needs_proc
@needs_git
def test_a_pager_is_no_work(repository: Repository, tmp_path: Path) -> None:
    """`git log` stays open for hours."""
    os.mkfifo(tmp_path / "pager")
    log = subprocess.Popen(
        ["git", "-c", "core.pager=cat >../pager", "-p", "log"],
        cwd=repository.work,
        env={**os.environ, "TERM": "dumb"},
    )
    try:
        assert find_rewriting_git(os.path.realpath(repository.work)) is None
    finally:
        log.kill()
        log.wait(10)


def test_a_system_that_does_not_tell_is_no_error(tmp_path: Path) -> None:
    """There is no such folder, or it is full of other things."""
    (tmp_path / "17").mkdir()
    (tmp_path / "cpuinfo").touch()
    assert find_rewriting_git("/", str(tmp_path)) is None
    assert find_rewriting_git("/", str(tmp_path / "gone")) is None
