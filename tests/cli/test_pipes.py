"""What a command does when its stdout takes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness.fixtures import make_small_kb
from harness.isolation import isolated_environment

COMMANDS = (["doctor"], ["doctor", "--json"], ["explain", "kb/entry-1.md"], ["sync", "kb"], ["status"])


def run_into(descriptor: int, home: Path, *arguments: str) -> tuple[int, str]:
    """Run a command that prints there; give its exit code and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "pyrite_watch", *arguments],
        cwd=home,
        env=isolated_environment(home),
        stdin=subprocess.DEVNULL,
        stdout=descriptor,
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_reader_that_is_gone_is_no_error(tmp_path: Path, arguments: list[str]) -> None:
    """As `head` is at its end: no word on stderr, and the exit code says what it always says."""
    make_small_kb(tmp_path / "kb")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert run_into(writing, tmp_path, *arguments) == (3 if arguments == ["status"] else 0, "")
    finally:
        os.close(writing)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device here is always full")
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_full_disk_is_said(tmp_path: Path, arguments: list[str]) -> None:
    """In a sentence, not as a traceback: else a script takes an empty file for the answer."""
    make_small_kb(tmp_path / "kb")
    with open("/dev/full", "wb") as full:
        code, said = run_into(full.fileno(), tmp_path, *arguments)
    assert (code, said.splitlines()[0]) == (
        1,
        "pyrite: The output cannot be written: No space left on device.",
    )
    assert "Traceback" not in said
