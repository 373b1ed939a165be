"""Subscribers whose bytes go straight to a socket: real sockets, and a buffer as a transport has one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pyrite_watch.live import hub as hub_module
from pyrite_watch.live.frames import Frame, guest_frame
from pyrite_watch.live.hub import Hub
from pyrite_watch.live.segments import MAX_SEGMENT_BYTES
from pyrite_watch.live.subscriber import Subscriber
from pyrite_watch.model.event import Epoch, Event, Offset, Position

EPOCH = Epoch("k3f9")


class Connection:
    """A sink over a socket pair, with a buffer of its own that is sent on request.

    A packet socket keeps the writes apart: one `recv` is one write.
    """

    def __init__(self, kind: int = socket.SOCK_SEQPACKET) -> None:
        self.own, self.peer = socket.socketpair(socket.AF_UNIX, kind)
        self.own.setblocking(False)
        self.peer.setblocking(False)
        self.descriptor = self.own.fileno()
        self.on_full: Callable[[], None] = lambda: None
        self.on_room: Callable[[], None] = lambda: None
        self.buffer = b""
        self.is_open = True

    def can_take(self) -> bool:
        """Whether nothing waits."""
        return self.is_open and not self.buffer

    def take(self, wire: bytes | memoryview) -> None:
        """Send, and keep the rest."""
        assert self.is_open
        self.buffer += bytes(wire)
        self.drain(tell=False)
        if self.buffer:
            self.on_full()

    def drain(self, tell: bool = True) -> None:
        """Send what waits, as an event loop does when the socket has room."""
        try:
            sent = self.own.send(self.buffer) if self.buffer else 0
        except BlockingIOError:
            return
        self.buffer = self.buffer[sent:]
        if tell and not self.buffer:
            self.on_room()

    def received(self) -> list[bytes]:
        """What has come, a write each."""
        found = []
        try:
            while packet := self.peer.recv(1 << 20):
                found.append(packet)
        except BlockingIOError:
            pass
        return found

    def close(self) -> None:
        """Close both ends."""
        self.own.close()
        self.peer.close()


def numbered(number: int, size: int = 0) -> Frame:
    return guest_frame({"n": number, "x": "x" * size})


def wire(*frames: Frame) -> bytes:
    return b"".join(frame.wire for frame in frames)


async def turns(count: int = 5) -> None:
    """Let the loop go round."""
    for _ in range(count):
        await asyncio.sleep(0)


@contextmanager
def connected(
    hub: Hub,
    kbs: frozenset[str] = frozenset(),
    resumable: bool = False,
    kind: int = socket.SOCK_SEQPACKET,
) -> Iterator[tuple[Subscriber, Connection]]:
    connection = Connection(kind)
    subscriber = hub.subscribe(kbs, resumable)
    subscriber.sink = connection
    try:
        yield subscriber, connection
    finally:
        subscriber.close()
        connection.close()


def test_a_single_event_leaves_in_the_turn_in_which_it_is_published() -> None:
    """Nothing is awaited between publishing and receiving."""

    async def scenario() -> None:
        hub = Hub()
        with connected(hub) as (subscriber, connection):
            hub.feed(subscriber)
            await turns()
            for number in range(3):
                hub.publish([numbered(number)])
                assert connection.received() == [numbered(number).wire]
                await turns()

    asyncio.run(scenario())


def test_what_else_comes_in_a_turn_leaves_together_at_its_end() -> None:
    """A burst costs two writes a tab, in order, however many publish it."""

    async def scenario() -> None:
        hub = Hub()
        with connected(hub) as (subscriber, connection):
            hub.feed(subscriber)
            await turns()
            for number in range(100):
                hub.publish([numbered(number)])
            assert connection.received() == [numbered(0).wire]
            await turns()
            assert connection.received() == [wire(*map(numbered, range(1, 100)))]

    asyncio.run(scenario())


def test_a_storm_leaves_in_segments_of_whole_frames() -> None:
    """Each write is at most a segment, begins with a frame and ends with one; together they are all."""

    async def scenario() -> None:
        hub = Hub()
        frames = [numbered(number, 200) for number in range(2000)]
        with connected(hub) as (subscriber, connection):
            hub.feed(subscriber)
            await turns()
            hub.publish(frames)
            packets: list[bytes] = []
            while sum(map(len, packets)) < len(wire(*frames)):
                packets += connection.received()
                connection.drain()
                await turns(1)
            assert b"".join(packets) == wire(*frames)
            assert len(packets) == -(-len(wire(*frames)) // MAX_SEGMENT_BYTES)
            assert all(len(packet) <= MAX_SEGMENT_BYTES and packet[0] == 0x81 for packet in packets)

    asyncio.run(scenario())


def test_a_storm_gives_the_loop_its_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no time for feeding at all, one segment a turn leaves, and others run between."""
    monkeypatch.setattr(hub_module, "FEED_S", -1.0)

    async def scenario() -> None:
        hub = Hub()
        with connected(hub) as (one, first), connected(hub) as (two, second):
            for subscriber in (one, two):
                hub.feed(subscriber)
            await turns()
            hub.publish([numbered(number, 1000) for number in range(500)])
            seen = []
            for _ in range(20):
                seen.append((len(first.received()), len(second.received())))
                first.drain()
                second.drain()
                await turns(1)
            assert max(map(sum, seen)) == 1
            assert sum(left for left, _ in seen) == sum(right for _, right in seen) > 5
            assert seen.index((1, 0)) < seen.index((0, 1)) < 3, "in turns, not one after the other"

    asyncio.run(scenario())


def test_a_full_socket_holds_nobody_up_and_loses_nothing() -> None:
    """Half a frame is followed by its other half; what came meanwhile is joined."""

    async def scenario() -> None:
        hub = Hub()
        with (
            connected(hub, kind=socket.SOCK_STREAM) as (slow, stalled),
            connected(hub) as (quick, connection),
        ):
            stalled.own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            for subscriber in (slow, quick):
                hub.feed(subscriber)
            await turns()
            frames = [numbered(number, 3000) for number in range(200)]
            for frame in frames:
                hub.publish([frame])
                assert connection.received() == [frame.wire]
                await turns(2)
            assert stalled.buffer, "this test needs a socket that fills up"
            assert len(stalled.buffer) <= MAX_SEGMENT_BYTES
            came = b""
            while len(came) < len(wire(*frames)):
                came += b"".join(stalled.received())
                stalled.drain()
                await turns(1)
            assert came == wire(*frames)
            await turns()
            hub.publish([numbered(7)])
            assert stalled.received() == [numbered(7).wire], "it keeps up again"

    asyncio.run(scenario())


def test_nothing_goes_past_what_waits_in_the_buffer() -> None:
    """Somebody else (a ping) wrote, and not all of it has left: frames wait for their place."""

    async def scenario() -> None:
        hub = Hub()
        with connected(hub) as (subscriber, connection):
            hub.feed(subscriber)
            await turns()
            connection.buffer = b"ping"
            connection.on_full()
            hub.publish([numbered(1)])
            await turns()
            assert connection.received() == []
            connection.drain()
            await turns()
            assert connection.received() == [b"ping", numbered(1).wire]

    asyncio.run(scenario())


def test_nothing_is_written_to_a_connection_that_has_ended() -> None:
    """Its descriptor may be another's by then."""

    async def scenario() -> None:
        hub = Hub()
        with connected(hub) as (subscriber, connection):
            hub.feed(subscriber)
            await turns()
            connection.is_open = False
            connection.on_full()
            hub.publish([numbered(1)])
            await turns()
            assert connection.received() == []

    asyncio.run(scenario())


def test_a_connection_without_a_descriptor_gets_all_through_its_transport() -> None:
    """Encrypted ones have none that could be written to."""

    async def scenario() -> None:
        hub = Hub()
        with connected(hub) as (subscriber, connection):
            connection.descriptor = -1
            hub.feed(subscriber)
            await turns()
            hub.publish([numbered(1)])
            assert connection.received() == [numbered(1).wire]

    asyncio.run(scenario())


def test_filters_hold_for_what_is_joined() -> None:
    """Of one segment, each gets what it wants; who wants nothing of it is not left behind."""

    async def scenario() -> None:
        hub = Hub()
        notes, work = guest_frame({"kb_name": "notes"}), guest_frame({"kb_name": "work"})
        with (
            connected(hub, frozenset({"notes"})) as (one, first),
            connected(hub, frozenset({"work"})) as (two, second),
            connected(hub, resumable=True) as (three, third),
        ):
            for subscriber in (one, two, three):
                hub.feed(subscriber)
            await turns()
            hub.publish([notes, work, notes])
            hub.publish_heartbeat()
            await turns()
            assert first.received() == [wire(notes, notes)]
            assert second.received() == [work.wire]
            came = third.received()
            assert came[0] == wire(notes, work, notes)
            assert b"heartbeat" in came[1]
            hub.publish([work])
            assert second.received() == [work.wire]

    asyncio.run(scenario())


def make_event(offset: int) -> Event:
    return Event(Offset(offset), "entry_updated", "notes", f"e{offset}", f'{{"offset":{offset}}}')


def test_who_was_joining_gets_what_it_does_not_know() -> None:
    """Of what was published meanwhile, and of what a replay had before it was published."""

    async def scenario() -> None:
        hub = Hub()
        hub.begin_epoch(Position(EPOCH, Offset(0)), is_resync=False)
        with connected(hub, resumable=True) as (subscriber, connection):
            subscriber.is_joining = True
            hub.publish_events([make_event(1), make_event(2)])
            await turns()
            assert connection.received() == [], "what it missed comes first"
            subscriber.skip_until = Offset(3)  # a replay of three; the third is committed, not published
            subscriber.is_joining = False
            hub.feed(subscriber)
            await turns()
            assert connection.received() == []
            hub.publish_events([make_event(3), make_event(4)])
            await turns()
            hub.publish_events([make_event(5)])
            await turns()
            came = b"".join(connection.received())
            assert [f'{{"offset":{number}}}'.encode() in came for number in range(1, 6)] == [
                False,
                False,
                False,
                True,
                True,
            ]
            hub.publish_events([make_event(6)])
            assert connection.received(), "from now on as everybody, in the turn"

    asyncio.run(scenario())


def test_who_stalls_for_too_long_is_cut_off_and_the_others_stay() -> None:
    """It is called once, and nothing more is kept for it."""

    async def scenario() -> None:
        hub = Hub(max_log_bytes=MAX_SEGMENT_BYTES)
        calls: list[int] = []
        with connected(hub) as (slow, stalled), connected(hub) as (quick, connection):
            stalled.own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            slow.on_cut_off = lambda: calls.append(1)
            for subscriber in (slow, quick):
                hub.feed(subscriber)
            await turns()
            for number in range(300):
                hub.publish([numbered(number, 1000)])
                await turns(2)
                connection.received()
            assert calls == [1]
            assert slow.is_cut_off
            assert not quick.is_cut_off
            assert hub.subscriber_count == hub.cut_offs == 1

    asyncio.run(scenario())


def test_one_storm_larger_than_the_log_cuts_off_nobody_who_keeps_up() -> None:
    """That it is not told yet is not theirs; who does not keep up goes with the first half of it."""

    async def scenario() -> None:
        hub = Hub(max_log_bytes=20 * 1024)
        frames = [numbered(number, 1000) for number in range(60)]
        with connected(hub) as (subscriber, connection), connected(hub) as (slow, stalled):
            stalled.buffer = b"x"
            for one in (subscriber, slow):
                hub.feed(one)
            await turns()
            hub.publish(frames)
            hub.publish([numbered(60)])
            came = b""
            while len(came) < len(wire(*frames, numbered(60))):
                came += b"".join(connection.received())
                connection.drain()
                await turns(1)
            assert came == wire(*frames, numbered(60))
            hub.publish([numbered(61)])
            assert slow.is_cut_off
            assert hub.end - hub.start < 30, "the log is as small as ever"

    asyncio.run(scenario())


def test_broadcasts_at_once_leave_together() -> None:
    """A hundred that are awaited at the same time cost a tab two writes."""

    async def scenario() -> None:
        hub = Hub()
        with connected(hub) as (subscriber, connection):
            hub.feed(subscriber)
            await turns()

            async def broadcast(number: int) -> None:
                hub.publish([numbered(number)])
                await hub.wait_delivered(5)

            await asyncio.gather(*map(broadcast, range(100)))
            assert connection.received() == [numbered(0).wire, wire(*map(numbered, range(1, 100)))]

    asyncio.run(scenario())


def test_broadcasting_waits_for_who_keeps_up_and_not_for_who_does_not() -> None:
    """Handed over on return, also in the middle of a turn; a stalled one is waited for once."""

    async def scenario() -> None:
        hub = Hub()
        with connected(hub) as (slow, stalled), connected(hub) as (quick, connection):
            stalled.buffer = b"x"
            for subscriber in (slow, quick):
                hub.feed(subscriber)
            await turns()
            hub.publish([numbered(1)])
            hub.publish([numbered(2)])
            await hub.wait_delivered(0.05)
            assert connection.received() == [numbered(1).wire, numbered(2).wire]
            assert slow.is_lagging
            hub.publish([numbered(3)])
            await asyncio.wait_for(hub.wait_delivered(3600), 5)
            assert connection.received() == [numbered(3).wire]
            stalled.drain()
            await turns()
            assert b"".join(stalled.received()) == b"x" + wire(*map(numbered, (1, 2, 3)))
            assert not slow.is_lagging

    asyncio.run(scenario())


def test_a_hub_works_in_the_next_loop_when_the_first_has_ended_in_a_turn() -> None:
    """The module's manager lives longer than a test's loop."""
    hub = Hub()

    async def scenario(count: int) -> None:
        hub.enter_loop()
        with connected(hub) as (subscriber, connection):
            hub.feed(subscriber)
            await turns()
            hub.publish([numbered(count)])
            assert connection.received() == [numbered(count).wire]

    for count in range(3):
        asyncio.run(scenario(count))
