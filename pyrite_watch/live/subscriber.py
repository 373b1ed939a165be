"""A subscriber: a cursor into the hub's log, and what its reader wants of it.

It has no queue. A reader is fed in one of two ways: by the hub, through a `Sink` that takes bytes without
waiting; or by a task of its own, which asks for `next_frames`, awaits the send and says `sent`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from pyrite_watch.live.frames import Frame
from pyrite_watch.model.event import Offset

if TYPE_CHECKING:
    from pyrite_watch.live.hub import Hub

MAX_READ_FRAMES = 512
"""Frames that a task of its own gets at once."""


class TooSlowError(Exception):
    """The subscriber fell off the log's start."""


class Sink(Protocol):
    """A connection that takes bytes without waiting."""

    descriptor: int
    """Of its socket, written to directly while `can_take`; -1 where that can't be done."""
    on_full: Callable[[], None]
    """Called when something is left in its buffer, or it ends: not another byte directly from then on."""
    on_room: Callable[[], None]
    """Called when its buffer is empty again."""

    def can_take(self) -> bool:
        """Whether it lives and nothing is left in its buffer."""

    def take(self, wire: bytes | memoryview) -> None:
        """Take bytes; what the kernel does not take at once waits in its buffer."""


class Delivery:
    """Waits until everything before the frame `end` has left for all who are asked to tell it.

    One future for all of them: one each was a quarter of what a broadcast cost.
    """

    def __init__(self, end: int) -> None:
        self.end = end
        self.waiting: set[Subscriber] = set()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def note(self, subscriber: Subscriber) -> None:
        """It has left for this one, or it is gone."""
        self.waiting.discard(subscriber)
        if not self.waiting and not self.done.done():
            self.done.set_result(None)


class Subscriber:
    """One reader. Everything here belongs into the hub's loop."""

    def __init__(self, hub: Hub, kbs: frozenset[str], resumable: bool) -> None:
        self.hub = hub
        self.kbs = kbs
        self.resumable = resumable
        self.skip_until = Offset(0)
        """Events up to this offset are known to the reader already."""
        self.is_lagging = False
        """It was waited for in vain (`Hub.wait_delivered`) and has not caught up since."""
        self.is_joining = False
        """It is not live yet (reads the durable log, say): falling off this one is no matter."""
        self.is_cut_off = False
        """It fell off the log's start; it gets nothing any more."""
        self.on_cut_off: Callable[[], None] = lambda: None
        """Called once when it fell off: its send may be blocked, so that it can't see it itself."""
        self.sink: Sink | None = None
        self.is_current = False
        """It has all that was told, and room for more: its cursor is the hub's."""
        self.is_ready = False
        """It is in the hub's line of those to be fed."""
        self._cursor = self._left = hub.end
        self._wake = asyncio.Event()
        self._delivered: list[Delivery] = []

    @property
    def cursor(self) -> int:
        """The number of the next frame that it is to read."""
        return self.hub.told if self.is_current else self._cursor

    @cursor.setter
    def cursor(self, number: int) -> None:
        self._cursor = number

    @property
    def has_more(self) -> bool:
        """Whether `next_frames` would not wait."""
        return self.is_cut_off or self.cursor != self.hub.end

    def skip_to_end(self) -> None:
        """Pass over what is in the log: the reader has it, or gets it from elsewhere."""
        self._cursor = self._left = self.hub.end

    def wake(self) -> None:
        """There is something to read."""
        self._wake.set()

    def cut_off(self) -> None:
        """Leave the hub because the log's start has passed the cursor."""
        self.end()
        self.on_cut_off()

    def end(self) -> None:
        """Leave the hub; a task that waits for frames ends."""
        self.is_cut_off = True
        self.close()
        self._wake.set()

    async def next_frames(self) -> list[Frame]:
        """Wait for frames and return those for this reader; maybe none. Moves the cursor.

        Call `sent` when they have left. Returns without giving way to others where there are some.

        Raises:
            TooSlowError: It fell off the log's start, or was ended.
        """
        while not self.has_more:
            self._wake.clear()
            await self._wake.wait()
        return self.take_frames()

    def take_frames(self) -> list[Frame]:
        """Give the next frames as `next_frames` does, but none where it would wait."""
        if self.is_cut_off:
            raise TooSlowError
        if self._cursor == self.hub.end:
            return []
        frames = self.hub.read(self._cursor, MAX_READ_FRAMES)
        self._cursor += len(frames)
        return [frame for frame in frames if self.wants(frame)]

    def wants(self, frame: Frame) -> bool:
        """Whether a frame is for this reader, and not known to it."""
        is_new = frame.offset is None or frame.offset > self.skip_until
        return is_new and frame.is_for(self.kbs, self.resumable)

    def sent(self) -> None:
        """Everything up to the cursor has left."""
        self._left = self._cursor
        if self._cursor == self.hub.end:
            self.is_lagging = False
        if not self._delivered:
            return
        waiting, self._delivered = self._delivered, []
        for delivery in waiting:
            if delivery.end > self._left:
                self._delivered.append(delivery)
            else:
                delivery.note(self)

    def wait_for(self, delivery: Delivery) -> bool:
        """Have the delivery told when it has left, or the reader is gone; False where it has left already."""
        if delivery.end <= (self.hub.told if self.is_current else self._left):
            return False
        self._delivered.append(delivery)
        return True

    @property
    def is_closed(self) -> bool:
        """Whether it has left the hub."""
        return not self.hub.has(self)

    def close(self) -> None:
        """Leave the hub; idempotent."""
        waiting, self._delivered = self._delivered, []
        self.forget()
        for delivery in waiting:
            delivery.note(self)

    def forget(self) -> None:
        """Leave the hub when the loop of its reader is gone, and whoever waited there with it."""
        self.hub.unsubscribe(self)
        self._delivered.clear()
