"""What `pyrite doctor` says of libraries, limits and clocks."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrite_watch.cli import machine
from pyrite_watch.cli.machine import (
    FUTURE_S,
    check_clock,
    check_limits,
    check_versions,
    count_folders,
    fits,
)
from pyrite_watch.model.kb import KbName, KnowledgeBase

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


def kb_at(root: Path) -> KnowledgeBase:
    return KnowledgeBase(KbName("notes"), root)


@pytest.mark.parametrize(
    ("version", "needed", "expected"),
    [
        ("1.3.0", ">=1.1,<2", True),
        ("2.0.0", ">=1.1,<2", False),
        ("2.0.0rc1", ">=1.1,<2", False),
        ("1.0.9", ">=1.1,<2", False),
        ("1.1", ">=1.1.0", True),
        ("0.55", "<0.55,>=0.52.4", False),
        ("0.54.9", "<0.55,>=0.52.4", True),
        ("10.0", ">=9", True),
        ("1.0", "", True),
        ("1.0", "~=1.0", True),
        ("strange", ">=1", False),
    ],
)
def test_a_version_fits_or_not(version: str, needed: str, expected: bool) -> None:
    """By number, not by text."""
    assert fits(version, needed) is expected


def test_the_libraries_here_are_as_declared() -> None:
    """They were installed by these very bounds, and each is known to have some."""
    findings = list(check_versions())
    assert {finding.level for finding in findings} == {"ok"}
    needed = machine._needed_versions()
    assert {name.lower() for name in machine.LIBRARIES} <= needed.keys()
    assert all("<" in needed[name.lower()] for name in machine.LIBRARIES)


def test_a_library_that_is_too_new_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to type."""
    monkeypatch.setattr(machine, "_needed_versions", lambda: {"watchfiles": "<1,>=0.5"})
    bad = [finding for finding in check_versions() if finding.level == "bad"]
    assert [finding.hint for finding in bad] == ["pip install 'watchfiles<1,>=0.5'"]


@pytest.fixture
def two_watched(tmp_path: Path) -> Iterator[None]:
    """An inotify instance of this process, with two watches."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(0)
    assert descriptor >= 0, os.strerror(ctypes.get_errno())
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        assert libc.inotify_add_watch(descriptor, os.fsencode(tmp_path / name), 0x100) >= 0
    yield
    os.close(descriptor)


@linux_only
def test_the_use_of_inotify_is_counted(two_watched: None) -> None:
    """By the kernel's own account of this user's processes."""
    found = list(machine._inotify_use())
    assert any(watches == 2 for _, watches in found)
    assert {instances for instances, _ in found} == {1}


@linux_only
def test_what_is_past_the_limit_is_warned_of() -> None:
    """With the very line that raises it; far below the limit all is well."""
    assert {finding.level for finding in check_limits(1)} == {"ok"}
    warned = [finding for finding in check_limits(10**9) if finding.level == "warn"]
    (watches,) = warned
    name = watches.message.split()[0]
    assert name in ("fs.inotify.max_user_watches", "user.max_inotify_watches")
    assert watches.hint.startswith(f"sudo sysctl {name}=")


def test_every_folder_counts(tmp_path: Path) -> None:
    """Hidden ones too: the watch is recursive."""
    for name in ("a/b", ".git/objects"):
        (tmp_path / name).mkdir(parents=True)
    assert count_folders(tmp_path) == 5


def test_a_file_from_the_future_is_warned_of(tmp_path: Path) -> None:
    """By more than two machines' clocks differ; other files are not looked at."""
    (tmp_path / "sub").mkdir()
    for name in ("a.md", "sub/b.md", "picture.png"):
        (tmp_path / name).write_text("x")
    os.utime(tmp_path / "picture.png", (0, time.time() + 10 * FUTURE_S))
    assert [finding.level for finding in check_clock([kb_at(tmp_path)])] == ["ok"]
    os.utime(tmp_path / "sub" / "b.md", (0, time.time() + 2 * FUTURE_S))
    (finding,) = check_clock([kb_at(tmp_path)])
    assert finding.level == "warn"
    assert str(tmp_path / "sub" / "b.md") in finding.message


def test_a_clock_that_cannot_be_true_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a battery begins in 1970."""
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    (finding,) = check_clock([])
    assert (finding.level, "1970" in finding.message) == ("bad", True)
