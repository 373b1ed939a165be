"""The one fan-out: a bounded log of ready-made frames, and subscribers that are cursors into it.

Invariants:
    Frames are read in the order in which they were published, by every subscriber.
    A subscriber has no queue: one that lags holds a number. Nobody waits for the slowest.
    One that falls off the log's start is cut off; it resumes from the durable log.

Who has a sink and keeps up (`is_current`) shares one cursor with all others that do, `told`, and is
written to directly in the turn of the loop in which something is published. What else is published in
that turn is joined, and told at its end. Who is behind is fed segment by segment, in turns, and for a few
milliseconds at a time: the loop stays there for others.

Everything here runs in the event loop's thread, but for `position`, which any thread may read.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable

from pyrite_watch.live.current import Current
from pyrite_watch.live.frames import Frame, event_frame, heartbeat_frame, resync_frame
from pyrite_watch.live.segments import SegmentLog
from pyrite_watch.live.subscriber import Delivery, Subscriber, TooSlowError
from pyrite_watch.model.event import Epoch, Event, Offset, Position

MAX_LOG_BYTES = 8 << 20
"""What a lagging subscriber may lag: about 30,000 events of 260 bytes."""

FEED_S = 0.003
"""How long those behind are fed before the loop's other work has its turn: a request takes ten turns."""

_Wants = tuple[frozenset[str], bool]


class Hub:
    """Frames in, the same frames out to all."""

    def __init__(self, max_log_bytes: int = MAX_LOG_BYTES) -> None:
        self.position = Position(Epoch(""), Offset(0))
        self.told = 0
        """The number of the next frame for all that are current."""
        self.cut_offs = 0
        """How many subscribers were too slow."""
        self.on_publish: Callable[[], None] = lambda: None
        """Called when there is something new to read, for readers that were handed over."""
        self._log = SegmentLog(max_log_bytes)
        self._subscribers: set[Subscriber] = set()
        self._current: dict[_Wants, Current] = {}
        self._tasks: set[Subscriber] = set()
        self._ready: deque[Subscriber] = deque()
        self._ahead: set[Subscriber] = set()
        """Who has all, and knows events that are still to be told: a replay was quicker."""
        self._is_in_turn = False
        self._turn_over: asyncio.Future[None] | None = None

    @property
    def start(self) -> int:
        """The number of the oldest frame in the log."""
        return self._log.start

    @property
    def end(self) -> int:
        """The number of the next frame."""
        return self._log.end

    @property
    def subscriber_count(self) -> int:
        """How many subscribers there are."""
        return len(self._subscribers)

    # -- publishing --------------------------------------------------------------------------

    def publish(self, frames: Iterable[Frame]) -> None:
        """Append frames, and tell those that keep up at once: the first of a turn, then the rest together."""
        start = self._log.start
        self._log.append(frames, self._needed_from)
        if self._log.start != start:
            self._cut_off_slow()
        for subscriber in self._tasks:
            subscriber.wake()
        self.on_publish()
        if not self._is_in_turn:
            self._tell()

    def _needed_from(self) -> int:
        """The first frame that is still to be told to somebody who has room for it."""
        waiting = [subscriber.cursor for subscriber in self._ready if not subscriber.is_cut_off]
        return min([self.told, *waiting] if self._current else [self.end, *waiting])

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

    # -- subscribers -------------------------------------------------------------------------

    def subscribe(self, kbs: frozenset[str] = frozenset(), resumable: bool = False) -> Subscriber:
        """Add a subscriber that gets every frame from now on, by asking for it."""
        subscriber = Subscriber(self, kbs, resumable)
        self._subscribers.add(subscriber)
        self._tasks.add(subscriber)
        return subscriber

    def feed(self, subscriber: Subscriber) -> None:
        """Feed a subscriber through its sink from its cursor on; nobody asks for its frames any more."""
        sink = subscriber.sink
        assert sink is not None
        self.hand_over(subscriber)
        sink.on_full = lambda: self._leave_current(subscriber)
        sink.on_room = lambda: self._stand_in_line(subscriber)
        self._stand_in_line(subscriber)

    def hand_over(self, subscriber: Subscriber) -> None:
        """Wake a subscriber no more: it asks for no frames by itself."""
        self._tasks.discard(subscriber)

    def has(self, subscriber: Subscriber) -> bool:
        """Whether it is here still."""
        return subscriber in self._subscribers

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Remove a subscriber; idempotent."""
        self._leave_current(subscriber)
        self._subscribers.discard(subscriber)
        self._tasks.discard(subscriber)
        self._ahead.discard(subscriber)

    def enter_loop(self) -> None:
        """Forget what was to be done in a loop that has ended."""
        self._is_in_turn = False
        self._turn_over = None
        self._ready.clear()

    def read(self, cursor: int, max_frames: int = 512) -> list[Frame]:
        """Give the next frames from a cursor on, at most a segment's.

        Raises:
            TooSlowError: The cursor is below the log's start.
        """
        if cursor < self._log.start:
            raise TooSlowError
        segment = self._log.segment_at(cursor)
        return segment.frames[cursor - segment.first :][:max_frames]

    async def wait_delivered(self, timeout_s: float) -> None:
        """Wait until every subscriber that keeps up has been sent what is published now.

        One that has not by the time-out lags: it is not waited for again until it has caught up.
        One that is joining is not waited for.
        """
        if self.told != self.end:
            # What others publish in this turn is told together with it.
            if self._turn_over is None:
                self._turn_over = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._turn_over)
        delivery = Delivery(self.end)
        delivery.waiting = {
            subscriber
            for subscriber in self._subscribers
            if not (subscriber.is_current or subscriber.is_lagging or subscriber.is_joining)
            and subscriber.wait_for(delivery)
        }
        if delivery.waiting:
            await asyncio.wait([delivery.done], timeout=timeout_s)
            for subscriber in delivery.waiting:
                subscriber.is_lagging = True

    # -- telling those with a sink -----------------------------------------------------------

    def _tell(self) -> None:
        """Tell those that are current, all of them in this turn; more than a segment is fed in turns."""
        first, end = self.told, self._log.end
        if first == end:
            return
        segment = self._log.segment_at(first) if first >= self._log.start else None
        if segment is not None and segment.end == end:
            self.told = end
            for (kbs, resumable), group in list(self._current.items()):
                wire = segment.wire(first, kbs, resumable)
                if wire:
                    group.write(wire)
        else:
            behind = [subscriber for group in self._current.values() for subscriber in group.subscribers]
            for subscriber in behind:
                self._leave_current(subscriber)
            self.told = end
            for subscriber in behind:
                self._stand_in_line(subscriber)
            self._feed_ready()
        for subscriber in list(self._ahead):
            self._ahead.discard(subscriber)
            self._stand_in_line(subscriber)
        if self._current:
            self._begin_turn()

    def _leave_current(self, subscriber: Subscriber) -> None:
        """Give a subscriber a cursor of its own."""
        if subscriber.is_current:
            subscriber.is_current = False
            subscriber.cursor = self.told
            subscriber.sent()
            wants = (subscriber.kbs, subscriber.resumable)
            group = self._current[wants]
            group.remove(subscriber)
            if not group:
                del self._current[wants]

    def _stand_in_line(self, subscriber: Subscriber) -> None:
        if not (subscriber.is_ready or subscriber.is_current or subscriber not in self._subscribers):
            subscriber.is_ready = True
            self._ready.append(subscriber)
            self._begin_turn()

    def _begin_turn(self) -> None:
        """Come back when the loop has gone round: what is published meanwhile is told together."""
        if not self._is_in_turn:
            self._is_in_turn = True
            asyncio.get_running_loop().call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._is_in_turn = False
        self._tell()
        if self._turn_over is not None:
            self._turn_over.set_result(None)
            self._turn_over = None
        self._feed_ready()

    def _feed_ready(self) -> None:
        """Feed who is in line, a segment each in turns, for a while."""
        until_s = time.perf_counter() + FEED_S
        while self._ready:
            subscriber = self._ready.popleft()
            subscriber.is_ready = False
            if subscriber in self._subscribers:
                self._feed_one(subscriber)
            if time.perf_counter() > until_s:
                break
        if self._ready:
            self._begin_turn()

    def _feed_one(self, subscriber: Subscriber) -> None:
        sink = subscriber.sink
        assert sink is not None
        if not sink.can_take():
            return  # `on_room` comes
        cursor = subscriber.cursor
        if cursor < self._log.start:
            self._cut_off(subscriber)
            return
        if cursor < self.told:
            segment = self._log.segment_at(cursor)
            if subscriber.skip_until:
                frames = segment.frames[cursor - segment.first :]
                wire = b"".join([frame.wire for frame in frames if subscriber.wants(frame)])
            else:
                wire = segment.wire(cursor, subscriber.kbs, subscriber.resumable)
            subscriber.cursor = cursor = segment.end
            if wire:
                sink.take(wire)
            subscriber.sent()
        if not sink.can_take():
            return
        if cursor < self.told:
            self._stand_in_line(subscriber)
        elif subscriber.skip_until > self.position.offset:
            self._ahead.add(subscriber)
        else:
            # All that is published from now on is new to it.
            subscriber.skip_until = Offset(0)
            subscriber.is_current = True
            wants = (subscriber.kbs, subscriber.resumable)
            if wants not in self._current:
                self._current[wants] = Current()
            self._current[wants].add(subscriber, sink.descriptor)

    def _cut_off_slow(self) -> None:
        for subscriber in [s for s in self._subscribers if s.cursor < self._log.start and not s.is_joining]:
            self._cut_off(subscriber)

    def _cut_off(self, subscriber: Subscriber) -> None:
        self.cut_offs += 1
        subscriber.cut_off()
