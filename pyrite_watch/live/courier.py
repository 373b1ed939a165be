"""Feeds readers that can only be awaited: sockets on a server without our protocol.

A task for each would cost a future and a turn of the loop an event and reader, twice what the sending costs.
So one task, the sender, awaits them in turn; a send to a reader with room does not suspend. Where it does,
its reader is slow: that task is left to it alone, and another sender goes on with the others at once.
Seen without a clock: what is scheduled right behind a sender's step runs when the line is done, or the
sender is suspended.

Invariants:
    A reader is in one place: idle, in the line, or with the one task that awaits its send.
    Nobody waits for a reader whose send suspends.

Everything here runs in the event loop's thread.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from pyrite_watch.live.frames import Frame
from pyrite_watch.live.hub import FEED_S, Hub
from pyrite_watch.live.subscriber import Subscriber


class Reader(Protocol):
    """Who is fed. Nobody else may ask its subscriber for frames."""

    subscriber: Subscriber

    async def send(self, frames: Sequence[Frame]) -> None:
        """Send these; whatever it raises ends the reader."""

    def fail(self, error: Exception) -> None:
        """It is fed no more: its send failed, or it fell off the log's start (`TooSlowError`)."""


class Courier:
    """The readers of one hub that are awaited."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._idle: set[Reader] = set()
        self._line: deque[Reader] = deque()
        self._slow: dict[Reader, asyncio.Task[None]] = {}
        """Whose send is suspended, and the task that awaits it."""
        self._sender: asyncio.Task[None] | None = None
        self._at: Reader | None = None
        """Whom the sender is at; None while it only gives way to others."""
        self._taken: tuple[int, frozenset[str], bool] | None = None
        self._frames: list[Frame] = []
        self._next = 0
        hub.on_publish = self._on_publish

    def add(self, reader: Reader) -> None:
        """Feed a reader from its subscriber's cursor on."""
        self._hub.hand_over(reader.subscriber)
        self._line.append(reader)
        self._send_line()

    def discard(self, reader: Reader) -> None:
        """Feed it no more, its subscriber is closed; a send that is under way is cancelled. Idempotent."""
        if reader is self._at and self._sender is not asyncio.current_task():
            self._leave_to_itself(reader)
        task = self._slow.pop(reader, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        self._idle.discard(reader)

    def enter_loop(self) -> None:
        """Forget everybody: their loop has ended."""
        self._idle.clear()
        self._line.clear()
        self._slow.clear()
        self._sender = self._at = None

    def _on_publish(self) -> None:
        if self._idle:
            self._line.extend(self._idle)
            self._idle.clear()
            self._send_line()

    def _send_line(self) -> None:
        if self._sender is None:
            loop = asyncio.get_running_loop()
            self._sender = loop.create_task(self._run(), name="pyrite-courier")
            loop.call_soon(self._look, self._sender)

    def _look(self, sender: asyncio.Task[None] | None) -> None:
        """See whether this sender's last step ended in the middle of a send."""
        if sender is self._sender and self._at is not None:
            self._leave_to_itself(self._at)

    def _leave_to_itself(self, reader: Reader) -> None:
        """Let the sender wait for this reader alone, and have another one for the line."""
        assert self._sender is not None
        self._slow[reader] = self._sender
        self._sender = self._at = None
        if self._line:
            self._send_line()

    async def _run(self) -> None:
        """Send to all in the line, until there is none, or a send has suspended."""
        me = asyncio.current_task()
        until_s = time.perf_counter() + FEED_S
        try:
            while self._line:
                self._at = reader = self._line.popleft()
                await self._send_one(reader)
                if self._sender is not me:
                    if self._slow.get(reader) is me:
                        del self._slow[reader]
                        self._put_back(reader)
                        self._send_line()
                    return
                self._at = None
                self._put_back(reader)
                if time.perf_counter() > until_s or reader.subscriber.has_more:
                    # A send to a reader with room gives way to nobody: others must have their turn.
                    await asyncio.sleep(0)
                    asyncio.get_running_loop().call_soon(self._look, me)
                    until_s = time.perf_counter() + FEED_S
        finally:
            if self._sender is me:
                self._sender = self._at = None

    def _put_back(self, reader: Reader) -> None:
        if reader.subscriber.is_closed:
            return
        if reader.subscriber.has_more:
            self._line.append(reader)
        else:
            self._idle.add(reader)

    async def _send_one(self, reader: Reader) -> None:
        subscriber = reader.subscriber
        if subscriber.is_closed:
            return  # while it stood in the line
        try:
            frames = self._take(subscriber)
            if frames:
                await reader.send(frames)
        except Exception as error:  # noqa: BLE001 - whatever a server's send raises ends that reader only
            subscriber.close()
            reader.fail(error)
        else:
            subscriber.sent()

    def _take(self, subscriber: Subscriber) -> list[Frame]:
        """Take its next frames; mostly those that the reader before it was given."""
        if subscriber.skip_until or not subscriber.has_more:
            return subscriber.take_frames()
        taken = (subscriber.cursor, subscriber.kbs, subscriber.resumable)
        if taken != self._taken:
            self._frames = subscriber.take_frames()
            self._taken, self._next = taken, subscriber.cursor
        else:
            subscriber.cursor = self._next
        return self._frames
