"""The README's commands, run as printed in a copy of what git tracks: a stranger's start."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from harness.wait import eventually

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")

START, TESTS = commands = [
    line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.strip().splitlines()
]

LONG = [
    (script, re.findall(r"--[a-z]+", row))
    for row in re.findall(r"^\| (`tests/.*?) \|", README.partition("## For developers")[2], re.MULTILINE)
    for script in re.findall(r"([\w/]+\.py)", row)
]
"""The long commands of the developers' table, with the options that are shown."""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a clone would hold: tracked files, and those that are about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    folder = tmp_path / "clone"
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.mark.timeout(300)
def test_start_command_runs_the_main_job(clone: Path, tmp_path: Path) -> None:
    """The first command, as printed, installs and watches the examples; Ctrl-C ends it with 0."""
    foreign = ("PYRITE", "VIRTUAL")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    # The port is the one thing that a test may not take from who works on this machine.
    environ |= {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state"), "PYRITE_PORT": "0"}
    output = tmp_path / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            ["sh", "-c", f"{START.replace('.venv/bin/pyrite', 'exec .venv/bin/pyrite')}"],
            cwd=clone,
            env=environ,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        eventually(
            lambda: process.poll() is not None or "Ctrl-C stops" in output.read_text("utf-8"), timeout_s=240
        )
        assert process.poll() is None, output.read_text("utf-8")
        note = clone / "examples/kb/garden/soil/mulch.md"
        note.write_text(note.read_text("utf-8") + "\nOne more line.\n", "utf-8")
        eventually(lambda: re.search(r"updated +garden +mulch", output.read_text("utf-8")), timeout_s=10)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0, output.read_text("utf-8")
    finally:
        process.kill()
        process.wait()
    assert "garden (9 entries), workshop (9 entries)" in output.read_text("utf-8")


def test_test_command_is_what_ci_runs() -> None:
    """The second command runs these very tests: CI calls exactly it."""
    assert TESTS == "tests/run"
    assert (ROOT / ".ci/run").read_text().rstrip().endswith(f"exec {TESTS}")
    for script in ("tests/run", ".ci/run"):
        assert os.access(ROOT / script, os.X_OK)
        subprocess.run(["bash", "-n", script], cwd=ROOT, check=True)


@pytest.mark.parametrize(("script", "options"), LONG, ids=[script for script, _ in LONG])
def test_long_command_starts(script: str, options: list[str]) -> None:
    """Each takes minutes or hours: here only that it starts, and knows the options that are shown."""
    folder = "" if script.startswith("tests/") else "tests/benchmarks/"
    answer = subprocess.run(
        [sys.executable, folder + script, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    assert set(options) <= set(re.findall(r"--[a-z]+", answer.stdout))


def test_the_long_commands_are_named() -> None:
    """Nobody finds what the README does not name."""
    assert len(LONG) >= 9


def test_embedding_example_is_the_readmes() -> None:
    """The README's snippet is code that runs."""
    snippet = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert snippet is not None
    script = snippet[1] + "\nassert app.url_path_for('live_socket') == '/ws'\n"
    answer = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
