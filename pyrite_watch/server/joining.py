"""How a reader joins the live stream: what it missed from the durable log, then the hub's, without a hole.

The reader is registered at the hub first. What is committed meanwhile stands behind its cursor there; of
that, events that the replay has sent are skipped by their offset.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

from pyrite_watch import __version__
from pyrite_watch.index import log as event_log
from pyrite_watch.index.reader import Reader
from pyrite_watch.live.frames import Frame, ResyncReason, event_frame, ready_frame, resync_frame
from pyrite_watch.live.subscriber import Subscriber
from pyrite_watch.model.event import Event, Offset, Position

REPLAY_PAGE = 500
"""Events in one read transaction: none is held open while they are sent."""


@dataclass(frozen=True, slots=True)
class Since:
    """Where a reader wants to go on: after `position`, or from now on where it is None."""

    position: Position | None
    reader: Reader


async def join(subscriber: Subscriber, since: Since) -> AsyncIterator[list[Frame]]:
    """Give what the reader missed, a page at a time, then what it is told of that (`ready`, `resync`).

    The subscriber must be joining, from before the reader knows that it is connected. Afterwards its cursor
    stands where the live stream goes on.
    """
    hub = subscriber.hub
    until = hub.position
    first = since.position or until
    reached, replayed, compacted = first.offset, 0, False
    is_ahead = first.epoch == until.epoch and first.offset > until.offset
    # Committed events may be known to a reader, by HTTP, before they are published here.
    if is_ahead and not await run_in_threadpool(_is_past, since.reader, first):
        yield _resync(subscriber, "ahead")
        return
    kbs = sorted(subscriber.kbs)
    while first.epoch == until.epoch:
        if until.offset > reached:
            # Asked first: a compaction meanwhile would else be seen, and not said.
            compacted |= await run_in_threadpool(_is_compacted, since.reader, reached, until.offset)
            after = reached
            while after < until.offset:
                page = await run_in_threadpool(_load_page, since.reader, after, until.offset, kbs)
                replayed += len(page)
                if page:
                    yield [event_frame(event) for event in page]
                after = page[-1].offset if len(page) == REPLAY_PAGE else until.offset
            compacted |= await run_in_threadpool(_is_compacted, since.reader, reached, until.offset)
            reached = until.offset
        if subscriber.cursor >= hub.start:
            subscriber.skip_until = reached if hub.position.epoch == first.epoch else Offset(0)
            yield [ready_frame(Position(first.epoch, reached), replayed, compacted, __version__)]
            return
        # What was published meanwhile has left the hub's log already: read on in the durable one.
        subscriber.skip_to_end()
        until = hub.position
    yield _resync(subscriber, "epoch")


def _resync(subscriber: Subscriber, reason: ResyncReason) -> list[Frame]:
    subscriber.skip_to_end()
    position = subscriber.hub.position
    return [resync_frame(reason, position), ready_frame(position, 0, False, __version__)]


def _load_page(reader: Reader, after: Offset, until: Offset, kbs: list[str]) -> list[Event]:
    with reader.snapshot() as snapshot:
        return event_log.load_events(snapshot.connection, after, until, REPLAY_PAGE, kbs)


def _is_compacted(reader: Reader, after: Offset, until: Offset) -> bool:
    with reader.snapshot() as snapshot:
        return event_log.is_compacted(snapshot.connection, after, until)


def _is_past(reader: Reader, position: Position) -> bool:
    with reader.snapshot() as snapshot:
        now = snapshot.position
    return position.epoch == now.epoch and position.offset <= now.offset
