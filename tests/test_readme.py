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

START, TESTS, BENCHMARK, WRITES, MACHINE = commands = [
    line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.strip().splitlines()
]


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


def _as_here(command: str) -> list[str]:
    """The developers' command with the Python that runs this test, as CI's folder may have another."""
    words = command.split()
    program = next(number for number, word in enumerate(words) if word.endswith("/python"))
    return [sys.executable, *words[program + 1 :]]


@pytest.mark.parametrize("command", [BENCHMARK, WRITES])
def test_benchmark_command_starts(command: str) -> None:
    """A benchmark takes minutes: here only that it starts and explains itself."""
    answer = subprocess.run([*_as_here(command), "--help"], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert "--quick" in answer.stdout


def test_long_property_run_starts() -> None:
    """The long run takes half an hour: here only that there is something to run."""
    answer = subprocess.run(
        [*_as_here(MACHINE), "--collect-only", "-q"], cwd=ROOT, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_embedding_example_is_the_readmes() -> None:
    """The README's snippet is code that runs."""
    snippet = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert snippet is not None
    script = snippet[1] + "\nassert app.url_path_for('live_socket') == '/ws'\n"
    answer = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
