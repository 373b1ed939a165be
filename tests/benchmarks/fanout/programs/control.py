"""The commands on stdin that every server here takes, for those in Python; `limit.c` describes them.

Made for servers whose loop runs in the main thread: stdin is read by a thread, and each command runs as a
coroutine in the loop.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any

Send = Callable[[dict[str, Any]], Awaitable[None]]

_sequence = 0


def new_event(stamp_ns: int, pad: int) -> dict[str, Any]:
    """Make the next event: such as Pyrite's own, with the time and a number in front."""
    global _sequence
    _sequence += 1
    return {
        "t": f"{stamp_ns:016x}",
        "s": f"{_sequence:08x}",
        "type": "entry_updated",
        "entry_id": f"2026-11-22-some-note-title-{_sequence:06}",
        "kb_name": "main",
        "path": f"notes/some-note.md{'0' * pad}",
    }


async def send_singles(send: Send, count: int, gap_us: int, pad: int) -> None:
    """Send one event at a time, with a pause after each."""
    for _ in range(count):
        await send(new_event(time.monotonic_ns(), pad))
        await asyncio.sleep(gap_us / 1e6)


async def send_storm(send: Send, count: int, pad: int) -> None:
    """Send all at once, one after the other."""
    stamp_ns = time.monotonic_ns()
    for _ in range(count):
        await send(new_event(stamp_ns, pad))


def commands_of(send: Send) -> dict[str, Callable[..., Coroutine[Any, Any, None]]]:
    """The two commands of a server that sends an event by awaiting this."""
    return {
        "single": lambda count, gap_us, pad: send_singles(send, count, gap_us, pad),
        "storm": lambda count, pad: send_storm(send, count, pad),
    }


def take_commands(
    commands: dict[str, Callable[..., Coroutine[Any, Any, None]]],
    loop_of: Callable[[], asyncio.AbstractEventLoop | None],
) -> None:
    """Begin to read commands; the process ends with its stdin."""

    def read() -> None:
        for line in sys.stdin:
            name, *numbers = line.split()
            loop = loop_of()
            assert loop is not None, "a command came before the server ran"
            running = asyncio.run_coroutine_threadsafe(commands[name](*map(int, numbers)), loop)
            running.add_done_callback(partial(answer, numbers[0]))
        os._exit(0)

    def answer(count: str, done: Future[None]) -> None:
        error = done.exception()
        say({"done": int(count)} if error is None else {"error": repr(error)})

    threading.Thread(target=read, name="commands", daemon=True).start()


def say(answer: dict[str, Any]) -> None:
    """Print a line for the bench."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
