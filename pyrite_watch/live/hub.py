"""The one fan-out: a bounded log of ready-made frames, and subscribers that are cursors into it.

Invariants:
    Frames are read in the order in which they were published, by every subscriber.
    A subscriber has no queue: one that lags holds a number. Nobody waits for the slowest.
    One that falls off the log's start is cut off; it resumes from the durable log.

Everything here runs in the event loop's thread, but for `position`, which any thread may read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from pyrite_watch.live.frames import Frame, event_frame, heartbeat_frame, resync_frame
from pyrite_watch.model.event import Epoch, Event, Offset, Position

MAX_LOG_BYTES = 8 << 20
"""What a lagging subscriber may lag: about 30,000 events of 260 bytes."""


MAX_PUSH_BYTES = 64 << 10
"""What is written to one reader at once: with the transport's own 64 KiB, all that it holds here."""


class TooSlowError(Exception):
    """The subscriber fell off the log's start."""


class Hub:
    """Frames in, the same frames out to all."""

    def __init__(self, max_log_bytes: int = MAX_LOG_BYTES) -> None:
        self.max_log_bytes = max_log_bytes
        self.position = Position(Epoch(""), Offset(0))
        self.start = 0
        self._frames: deque[Frame] = deque()
        self._log_bytes = 0
        self._subscribers: set[Subscriber] = set()

    @property
    def end(self) -> int:
        """The number of the next frame."""
        return self.start + len(self._frames)

    @property
    def subscriber_count(self) -> int:
        """How many subscribers there are."""
        return len(self._subscribers)

    def publish(self, frames: Iterable[Frame]) -> None:
        """Append frames; send them at once to who is idle and can take them, and wake the others."""
        frames = list(frames)
        first = self.end
        for frame in frames:
            self._frames.append(frame)
            self._log_bytes += frame.size
        while self._log_bytes > self.max_log_bytes and len(self._frames) > 1:
            self._log_bytes -= self._frames.popleft().size
            self.start += 1
        joined = _Joined(frames)
        for subscriber in list(self._subscribers):
            if subscriber.cursor < self.start and not subscriber.is_joining:
                subscriber.cut_off()
            elif not subscriber.take_at_once(first, joined):
                subscriber.wake()

    def publish_events(self, events: Iterable[Event]) -> None:
        """Publish events of the log, in order, after their commit."""
        events = list(events)
        if events:
            # Before the frames: who joins now replays up to here, and reads no frame twice.
            self.position = Position(self.position.epoch, events[-1].offset)
            self.publish(map(event_frame, events))

    def begin_epoch(self, position: Position, is_resync: bool) -> None:
        """Take over the position of the log; with `is_resync` tell readers that theirs is void."""
        self.position = position
        for subscriber in self._subscribers:
            subscriber.skip_until = Offset(0)  # offsets begin again
        if is_resync:
            self.publish([resync_frame("epoch", position)])

    def publish_heartbeat(self) -> None:
        """Tell readers with a position that the connection lives."""
        if self._subscribers:
            self.publish([heartbeat_frame(self.position)])

    def subscribe(self, kbs: frozenset[str] = frozenset(), resumable: bool = False) -> Subscriber:
        """Add a subscriber that gets every frame from now on."""
        subscriber = Subscriber(self, kbs, resumable)
        self._subscribers.add(subscriber)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Remove a subscriber; idempotent."""
        self._subscribers.discard(subscriber)

    def read(self, cursor: int) -> list[Frame]:
        """Give the frames from a cursor on.

        Raises:
            TooSlowError: The cursor is below the log's start.
        """
        if cursor < self.start:
            raise TooSlowError
        # Near the end, as nearly always, a deque is walked from its right side.
        return [self._frames[number - self.start] for number in range(cursor, min(self.end, cursor + 512))]

    async def wait_delivered(self, timeout_s: float) -> None:
        """Wait until every subscriber that keeps up has sent what is published now.

        One that has not by the time-out lags: it is not waited for again until it has caught up.
        One that is joining is not waited for.
        """
        waiting = {
            subscriber.delivered(self.end): subscriber
            for subscriber in self._subscribers
            if not subscriber.is_lagging and not subscriber.is_joining
        }
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=timeout_s)
            for future in late:
                waiting[future].is_lagging = True


class _Joined:
    """What was published in one go, joined once for all readers that want the same of it."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = frames
        self._wires: dict[tuple[frozenset[str], bool], bytes] = {}
        self.first_offset = next((frame.offset for frame in frames if frame.offset is not None), None)

    def wire(self, kbs: frozenset[str], resumable: bool) -> bytes:
        key = (kbs, resumable)
        if key not in self._wires:
            wanted = [frame.wire for frame in self._frames if frame.is_for(kbs, resumable)]
            self._wires[key] = b"".join(wanted)
        return self._wires[key]


class Subscriber:
    """A cursor into the hub's log, and what its reader wants of it."""

    def __init__(self, hub: Hub, kbs: frozenset[str], resumable: bool) -> None:
        self.hub = hub
        self.kbs = kbs
        self.resumable = resumable
        self.cursor = hub.end
        self.skip_until = Offset(0)
        """Events up to this offset are known to the reader already."""
        self.is_lagging = False
        """A send has not returned for longer than `wait_delivered` was ready to wait."""
        self.is_joining = False
        """It is not live yet (reads the durable log, say): falling off this one is no matter."""
        self.is_cut_off = False
        """It fell off the log's start; it gets nothing any more."""
        self.on_cut_off: Callable[[], None] = lambda: None
        """Called once when it fell off: its send may be blocked, so that it can't see it itself."""
        self.push: Callable[[bytes], bool] | None = None
        """Sends frames without waiting, and says whether it did; None where that cannot be done."""
        self._left = hub.end
        self._wake = asyncio.Event()
        self._delivered: list[tuple[int, asyncio.Future[None]]] = []

    @property
    def has_more(self) -> bool:
        """Whether `next_frames` would not wait."""
        return self.is_cut_off or self.cursor != self.hub.end

    def skip_to_end(self) -> None:
        """Pass over what is in the log: the reader has it, or gets it from elsewhere."""
        self.cursor = self._left = self.hub.end

    def wake(self) -> None:
        """There is something to read."""
        self._wake.set()

    def take_at_once(self, first: int, joined: _Joined) -> bool:
        """Send what was published from `first` on, if nothing before it is still on its way."""
        if self.push is None or self.is_joining or not self.cursor == self._left == first:
            return False
        if joined.first_offset is not None and joined.first_offset <= self.skip_until:
            return False
        wire = joined.wire(self.kbs, self.resumable)
        if len(wire) > MAX_PUSH_BYTES or (wire and not self.push(wire)):
            return False
        self.cursor = self.hub.end
        self.sent()
        return True

    def cut_off(self) -> None:
        """Leave the hub because the log's start has passed the cursor."""
        self.is_cut_off = True
        self.close()
        self._wake.set()
        self.on_cut_off()

    async def next_frames(self) -> list[Frame]:
        """Wait for frames and return those for this reader; maybe none. Moves the cursor.

        Call `sent` when they have left. Returns without giving way to others where there are some.

        Raises:
            TooSlowError: It fell off the log's start.
        """
        while not self.has_more:
            self._wake.clear()
            await self._wake.wait()
        if self.is_cut_off:
            raise TooSlowError
        frames = self.hub.read(self.cursor)
        self.cursor += len(frames)
        return [frame for frame in frames if frame.is_for(self.kbs, self.resumable) and self._is_new(frame)]

    def _is_new(self, frame: Frame) -> bool:
        return frame.offset is None or frame.offset > self.skip_until

    def sent(self) -> None:
        """Everything up to the cursor has left."""
        self._left = self.cursor
        if self.cursor == self.hub.end:
            self.is_lagging = False
        waiting, self._delivered = self._delivered, []
        for end, future in waiting:
            if end > self._left:
                self._delivered.append((end, future))
            elif not future.done():
                future.set_result(None)

    def delivered(self, end: int) -> asyncio.Future[None]:
        """A future that is done when the frame before `end` has left, or the reader is gone."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if end <= self._left:
            future.set_result(None)
        else:
            self._delivered.append((end, future))
        return future

    def close(self) -> None:
        """Leave the hub; idempotent."""
        waiting, self._delivered = self._delivered, []
        self.forget()
        for _, future in waiting:
            if not future.done():
                future.set_result(None)

    def forget(self) -> None:
        """Leave the hub when the loop of its reader is gone, and whoever waited there with it."""
        self.hub.unsubscribe(self)
        self._delivered.clear()
