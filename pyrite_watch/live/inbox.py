"""What other threads have for the loop in which the sockets live: one line for all of it.

Events of the log and what is told beside it come from several threads. If each had a way of its own into the
loop, one could overtake the other; here what was put first is done first, and the loop is woken once for
everything that came until it wakes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

Work = Callable[[], None]


class Inbox:
    """Work for an event loop, from any thread, done in the order in which it was put."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Work] = deque()
        self._is_woken = False

    def put(self, work: Work) -> None:
        """Have the loop do this soon; at once where it is the one that asks. Any thread.

        What it raises is told to the loop's exception handler, and keeps nothing else from being done.

        Raises:
            RuntimeError: The loop has ended; nothing is done.
        """
        if self._loop.is_closed():
            # Also where it was woken, and has not come to it: nobody would ever take what waits.
            self._waiting.clear()
            raise RuntimeError("The event loop has ended.")
        self._waiting.append(work)
        if _running_loop() is self._loop:
            self._do_all()
        # After the append: where the loop has begun to take meanwhile, it is woken once more.
        elif not self._is_woken:
            self._is_woken = True
            self._loop.call_soon_threadsafe(self._do_all)

    def _do_all(self) -> None:
        self._is_woken = False
        while self._waiting:
            work = self._waiting.popleft()
            try:
                work()
            except Exception as error:  # noqa: BLE001 - what others wait for has nothing to do with it
                context = {"message": "What was handed to the loop failed.", "exception": error}
                self._loop.call_exception_handler(context)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None  # a worker thread: where sync endpoints run
