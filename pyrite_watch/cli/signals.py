"""What signals do to a command, from its first line to its end.

One that lasts is ended cleanly by the first SIGINT or SIGTERM, and at once by a second SIGINT. What is asked
for an answer is ended at once by SIGINT. Nobody sees a traceback of it, at whatever moment it comes.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

INTERRUPTED = 130


def end_early() -> None:
    """Let SIGINT and SIGTERM end this process with 0 until `signals` takes over: nothing is told yet."""
    signal.signal(signal.SIGINT, _exit)
    signal.signal(signal.SIGTERM, _exit)


def end_when_interrupted() -> None:
    """Let SIGINT end this process with 130, to its end. Where it is ignored, as behind `&`, it stays so."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)


def leave_interrupts() -> None:
    """Let SIGINT be Python's own again: what follows is somebody else's program."""
    if signal.getsignal(signal.SIGINT) is _interrupted:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def run_to_the_end(command: Callable[[], None]) -> NoReturn:
    """Run a command, and end the process with its exit code as soon as it is through.

    Python's own end would wait for threads, of which one may be in a long question to SQLite, and a signal
    in it would be the end by that signal. By now all is closed that needs it.
    """
    code = 0
    try:
        command()
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        code = end.code or 0
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


@contextlib.contextmanager
def signals(stop: Callable[[], None]) -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into a clean stop, a second SIGINT into exit 130."""
    interrupts = 0

    def handle(number: int, _: object) -> None:
        nonlocal interrupts
        interrupts += number == signal.SIGINT
        if interrupts > 1:
            _interrupted()
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if _exit in before.values():
            # What follows is the end already: one more SIGINT is a second one, and SIGTERM has its will.
            before = {signal.SIGINT: _interrupted, signal.SIGTERM: _go_on}
        for number, handler in before.items():
            signal.signal(number, handler)


# At once, as after a kill, which loses nothing: an exception may be raised where it is swallowed (an import,
# a finaliser), and then nobody would ever stop. The next start finds the state as a kill leaves it.


def _exit(*_: object) -> None:
    os._exit(0)


def _interrupted(*_: object) -> None:
    os._exit(INTERRUPTED)


def _go_on(*_: object) -> None:
    return
