"""The examples, run for real in a copy of their folder."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from harness.isolation import REPOSITORY, isolated_environment
from harness.process import WatchProcess
from harness.wait import eventually

from pyrite_watch import subscribe

Json = dict[str, Any]


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """A copy that a test may edit."""
    return Path(shutil.copytree(REPOSITORY / "examples", tmp_path / "examples"))


@contextlib.contextmanager
def running(examples: Path, output: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run it from the folder above the examples; both outputs go to a file."""
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=examples.parent,
            env=isolated_environment(examples.parent),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def edit_mulch(examples: Path) -> None:
    note = examples / "kb" / "garden" / "soil" / "mulch.md"
    note.write_text(note.read_text("utf-8") + "\nOne more line.\n", "utf-8")


def test_tail_prints_what_happens_also_after_a_restart(examples: Path, tmp_path: Path) -> None:
    """A line an event; Ctrl-C ends it without a traceback."""
    output = tmp_path / "tail"

    def printed(line: str) -> bool:
        return line in output.read_text("utf-8").splitlines()

    def watch(port: str = "0") -> WatchProcess:
        return WatchProcess(
            examples / "kb", home=tmp_path, state_dir=tmp_path / "state", options=["--port", port]
        )

    with contextlib.ExitStack() as stack:
        with watch() as server:
            url, position = server.url, server.position
            tail = stack.enter_context(running(examples, output, "examples/tail.py", url, position))
            edit_mulch(examples)
            eventually(lambda: printed("entry_updated garden mulch"))
            server.stop()
        (examples / "kb" / "garden" / "new.md").write_text("# New\n", "utf-8")
        with watch(url.rpartition(":")[2]):
            eventually(lambda: printed("entry_created garden new"), timeout_s=20)
            tail.send_signal(signal.SIGINT)
            tail.wait(10)
    assert "Traceback" not in output.read_text("utf-8")
    lines = output.read_text("utf-8").splitlines()
    assert len(lines) == len(set(lines)) + lines.count("kb_synced garden ") - 1


def test_embed_serves_its_own_routes_and_the_live_layer(examples: Path, tmp_path: Path) -> None:
    """As its text says: uvicorn, then edit a file below examples/kb, and see."""
    output = tmp_path / "embed"
    command = ("-m", "uvicorn", "--app-dir", "examples", "embed:app", "--port", "0", "--no-access-log")

    async def see(url: str) -> Json:
        async with asyncio.timeout(20), aclosing(subscribe(url, position, kbs=["garden"])) as events:
            edit_mulch(examples)
            return await anext(events)

    with running(examples, output, *command) as process:

        def find_url() -> str | None:
            assert process.poll() is None, output.read_text("utf-8")
            found = re.search(r"running on (http://127\.0\.0\.1:\d+)", output.read_text("utf-8"))
            return found[1] if found else None

        url = str(eventually(find_url, timeout_s=30))
        home = eventually(lambda: get(url + "/")[0])
        assert home == b'{"socket":"/ws","entries":"/api/entries"}'
        eventually(lambda: b'"total":18' in get(url + "/api/entries")[0], timeout_s=20)
        position = str(get(url + "/api/entries")[1])
        assert asyncio.run(see(url))["entry_id"] == "mulch"
        assert b"One more line." in get(url + "/api/entries/mulch?kb=garden")[0]
        assert b"<mark>" in get(url + "/api/search?q=one+more+line&kb=garden")[0]
        process.send_signal(signal.SIGINT)
        process.wait(15)
    assert "Traceback" not in output.read_text("utf-8")


def get(url: str) -> tuple[bytes, str | None]:
    """The body and the position."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read(), answer.headers["Pyrite-Position"]
