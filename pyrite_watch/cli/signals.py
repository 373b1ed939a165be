"""The first SIGINT or SIGTERM ends a command cleanly, a second SIGINT at once."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator


def end_early() -> None:
    """Let SIGINT and SIGTERM end this process with 0 until `signals` takes over: nothing is told yet."""
    signal.signal(signal.SIGINT, _exit)
    signal.signal(signal.SIGTERM, _exit)


def _exit(number: int, _: object) -> None:
    # At once, as after a kill, which loses nothing: an exception may be raised where it is swallowed (an
    # import, a finaliser), and then nobody would ever stop.
    os._exit(0)


@contextlib.contextmanager
def signals(stop: Callable[[], None]) -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into a clean stop, a second SIGINT into exit 130."""
    interrupts = 0

    def handle(number: int, _: object) -> None:
        nonlocal interrupts
        interrupts += number == signal.SIGINT
        if interrupts > 1:
            # The state may be left at any point; the next start finds it as a kill leaves it.
            os._exit(130)
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            # What follows is the end already: a signal from now on is one too many.
            is_early = handler is _exit
            usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, usual if is_early else handler)
