"""Signals at the moments that a person hits by chance: while it starts, while it runs, while it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from harness.isolation import isolated_environment

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no process there can send itself a SIGINT")

AT_IMPORT = """
import os, signal, sys
moment = sys.argv.pop(1)
class Finder:
    def find_spec(self, name, path, target=None):
        if name == moment:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""
"""A SIGINT comes when the module of that name is about to be imported."""

RUN = "from pyrite_watch.__main__ import main\nmain()\n"


def end_of(program: str, home: Path, *arguments: str) -> tuple[int, str]:
    """Run it in a fresh interpreter; give its exit code, and all that it printed."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=home,
        env=isolated_environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("moment", "command", "code"),
    [
        ("app", ("tail",), 0),
        ("app", ("status",), 130),
        ("app", ("sync", "."), 130),
        ("app", ("--help",), 130),
        ("status", ("status",), 130),
        ("sync", ("sync", "."), 130),
        ("tail", ("tail",), 0),
    ],
)
def test_an_interrupt_at_any_moment_is_no_traceback(
    tmp_path: Path, moment: str, command: tuple[str, ...], code: int
) -> None:
    """Bug: in the first half of a second all but `watch` ended with a KeyboardInterrupt."""
    assert end_of(AT_IMPORT + RUN, tmp_path, f"pyrite_watch.cli.{moment}", *command) == (code, "")


def test_an_interrupt_at_its_end_is_no_traceback(tmp_path: Path) -> None:
    """Python's end calls what was registered for it, the first last."""
    program = "import atexit, os, signal\natexit.register(os.kill, os.getpid(), signal.SIGINT)\n" + RUN
    code, told = end_of(program, tmp_path, "status")
    assert code == 130
    assert told.startswith("Nothing is watched")
    assert "Traceback" not in told


@pytest.mark.parametrize(("number", "end"), [("SIGINT", (130, "")), ("SIGTERM", (7, ""))])
def test_a_signal_after_the_stop_ends_it_at_once_or_changes_nothing(
    tmp_path: Path, number: str, end: tuple[int, str]
) -> None:
    """Bug: from the moment on when the server had ended, a second SIGINT was the end by that signal."""
    program = (
        "import os, signal\n"
        "from pyrite_watch.cli.signals import end_early, run_to_the_end, signals\n"
        "def command():\n"
        "    with signals(lambda: None):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        f"    os.kill(os.getpid(), signal.{number})\n"
        "    raise SystemExit(7)\n"
        "end_early()\n"
        "run_to_the_end(command)\n"
    )
    assert end_of(program, tmp_path) == end


def test_the_end_does_not_wait_for_a_thread_and_keeps_what_was_printed(tmp_path: Path) -> None:
    """Bug: a question to SQLite that takes long held up a stop. What is registered for an end still runs."""
    program = (
        "import atexit, threading, time\n"
        "from pyrite_watch.cli.signals import run_to_the_end\n"
        "atexit.register(print, 'last')\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "run_to_the_end(lambda: print('first'))\n"
    )
    assert end_of(program, tmp_path) == (0, "first\nlast\n")


def test_what_is_passed_on_has_pythons_own_interrupt(tmp_path: Path) -> None:
    """Pyrite's commands do with a KeyboardInterrupt what they like; an ignored SIGINT stays ignored."""
    program = (
        "import signal\n"
        "from pyrite_watch.cli.signals import end_when_interrupted, leave_interrupts\n"
        "end_when_interrupted()\n"
        "assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler\n"
        "leave_interrupts()\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "end_when_interrupted()\n"
        "assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN\n"
    )
    assert end_of(program, tmp_path) == (0, "")
