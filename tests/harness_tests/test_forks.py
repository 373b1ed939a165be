"""A watch that is a fork behaves as one that was started: its end, its streams, its session."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.fixtures import make_small_kb
from harness.forks import CAN_FORK, Forked
from harness.process import WatchProcess

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="forks were not asked for, or there are none here")


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[WatchProcess]:
    """A forked watch of five entries, ready."""
    root = make_small_kb(tmp_path / "small")
    with WatchProcess(root, home=tmp_path, state_dir=tmp_path / "state", forked=True) as process:
        process.wait_ready()
        yield process


def test_it_ends_as_any_process(watch: WatchProcess) -> None:
    """By a signal with 0, and all that it said was read to the end."""
    assert watch.exit_code is None
    assert watch.stop() == 0
    assert watch.exit_code == 0
    assert watch.messages.since()[-1]["type"] == "stopped"
    assert watch.stderr == ""


def test_a_kill_is_told(watch: WatchProcess) -> None:
    """As `Popen` tells it: the signal, negative."""
    os.kill(watch.pid, signal.SIGKILL)
    assert watch.wait_exit() == -signal.SIGKILL


def test_it_has_a_session_and_a_folder_of_its_own(watch: WatchProcess, tmp_path: Path) -> None:
    """A kill of its group hits nobody else."""
    assert os.getsid(watch.pid) == watch.pid != os.getsid(0)
    assert Path(f"/proc/{watch.pid}/cwd").resolve() == tmp_path.resolve()


def test_two_at_a_time_know_nothing_of_each_other(watch: WatchProcess, tmp_path: Path) -> None:
    """The end of one is seen at once, though the other was forked while its pipes were open."""
    other_root = make_small_kb(tmp_path / "other")
    with WatchProcess(other_root, home=tmp_path, state_dir=tmp_path / "state-2", forked=True) as other:
        other.wait_ready()
        assert watch.stop() == 0
        assert other.exit_code is None
        assert other.stop() == 0


def test_a_wait_has_a_deadline(watch: WatchProcess) -> None:
    """It raises what `Popen.wait` raises."""
    process = watch._process
    assert isinstance(process, Forked)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
