"""The harness must see a fault when there is one: a product that hangs, lies or dies."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from harness.process import WatchProcess
from harness.wait import eventually

READY = '{"type":"ready","url":"http://127.0.0.1:9","kbs":[],"epoch":"e","offset":0}'


def fake(tmp_path: Path, code: str) -> WatchProcess:
    """Start a program in the product's place."""
    program = tmp_path / "fake.py"
    program.write_text(f"import signal, sys, time\n{code}\n", encoding="utf-8")
    return WatchProcess(home=tmp_path, program=[sys.executable, "-u", str(program)])


def test_ready_events_and_exit_code_are_read(tmp_path: Path) -> None:
    """The ordinary way."""
    code = f"""
signal.signal(signal.SIGINT, lambda *_: (print('{{"type":"stopped"}}'), sys.exit(0)))
print('{READY}')
print('{{"type":"entry_created","offset":1}}')
print("not JSON")
time.sleep(60)"""
    with fake(tmp_path, code) as watch:
        assert watch.position == "e:0"
        assert watch.wait_for(lambda message: message.get("offset") == 1)["type"] == "entry_created"
        eventually(lambda: watch.bad_lines == ["not JSON\n"])
        assert watch.stop() == 0
        assert watch.messages.since()[-1] == {"type": "stopped"}


def test_death_ends_a_wait_at_once_and_shows_stderr(tmp_path: Path) -> None:
    """No deadline is waited out for a process that is gone."""
    with fake(tmp_path, "sys.exit('it broke')") as watch:
        began = time.monotonic()
        with pytest.raises(AssertionError, match="stdout was closed"):
            watch.wait_ready(30)
        assert time.monotonic() - began < 10
        assert watch.wait_exit() == 1
        assert "it broke" in watch.describe()


def test_silence_fails_at_the_deadline(tmp_path: Path) -> None:
    """And says what it waited for."""
    with fake(tmp_path, f"print('{READY}')\ntime.sleep(60)") as watch:
        watch.wait_ready()
        with pytest.raises(AssertionError, match=r"waited for a sign: nothing within 0\.2 s"):
            watch.wait_for(lambda message: message["type"] == "sign", 0.2, what="a sign")


def test_process_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    """A wedged product fails the test, it does not hang it."""
    with fake(
        tmp_path, f"signal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('{READY}')\ntime.sleep(60)"
    ) as watch:
        watch.wait_ready()
        with pytest.raises(AssertionError, match=r"still running after 0\.3 s"):
            watch.stop(timeout_s=0.3)
        assert watch.exit_code == -9


def test_ready_must_be_first(tmp_path: Path) -> None:
    """An event before `ready` is a broken promise."""
    code = f"""print('{{"type":"kb_synced","offset":1}}')\nprint('{READY}')\ntime.sleep(60)"""
    with fake(tmp_path, code) as watch, pytest.raises(AssertionError, match="not the first line"):
        watch.wait_ready()


def test_eventually_shows_what_was_seen_last() -> None:
    """A failed assertion inside is "not yet"."""
    with pytest.raises(
        AssertionError, match=r"not within 0\.05 s: the sum; last seen: AssertionError: 2 is not 3"
    ):
        eventually(lambda: _fail("2 is not 3"), 0.05, what="the sum")
    values = iter([0, 0, 7])
    assert eventually(lambda: next(values)) == 7


def _fail(text: str) -> bool:
    raise AssertionError(text)
