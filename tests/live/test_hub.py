"""The hub: one log, many cursors, and nobody waits for the slowest."""

from __future__ import annotations

import asyncio

import pytest

from pyrite_watch.live.frames import Frame, guest_frame
from pyrite_watch.live.hub import Hub
from pyrite_watch.live.subscriber import Subscriber, TooSlowError
from pyrite_watch.model.event import Epoch, Event, Offset, Position

EPOCH = Epoch("k3f9")


def make_event(offset: int, kb_name: str = "notes") -> Event:
    return Event(Offset(offset), "entry_updated", kb_name, f"e{offset}", f'{{"offset":{offset}}}')


def frame_of(text: str) -> Frame:
    return Frame("guest", text)


async def read_all(subscriber: Subscriber) -> list[str]:
    """What there is now, marked as sent."""
    texts: list[str] = []
    while subscriber.has_more:
        texts += [frame.text for frame in await subscriber.next_frames()]
        subscriber.sent()
    return texts


def test_frames_are_read_in_the_order_in_which_they_were_published() -> None:
    """Events and guests share one order, for every subscriber."""

    async def scenario() -> None:
        hub = Hub()
        hub.begin_epoch(Position(EPOCH, Offset(0)), is_resync=False)
        readers = [hub.subscribe() for _ in range(3)]
        hub.publish_events([make_event(1), make_event(2)])
        hub.publish([guest_frame({"type": "guest"})])
        hub.publish_events([make_event(3)])
        for reader in readers:
            assert await read_all(reader) == [
                '{"offset":1}',
                '{"offset":2}',
                '{"type": "guest"}',
                '{"offset":3}',
            ]

    asyncio.run(scenario())


def test_a_subscriber_hears_nothing_from_before_it_came() -> None:
    """It joins at the end of the log."""

    async def scenario() -> None:
        hub = Hub()
        hub.publish([frame_of("before")])
        reader = hub.subscribe()
        hub.publish([frame_of("after")])
        assert await read_all(reader) == ["after"]

    asyncio.run(scenario())


def test_a_waiting_subscriber_wakes_up_for_what_is_published() -> None:
    """No frame is needed to be asked for twice."""

    async def scenario() -> None:
        hub = Hub()
        reader = hub.subscribe()
        reading = asyncio.ensure_future(reader.next_frames())
        await asyncio.sleep(0)
        assert not reading.done()
        hub.publish([frame_of("x")])
        assert [frame.text for frame in await reading] == ["x"]

    asyncio.run(scenario())


def test_many_frames_are_read_in_pieces_without_a_gap() -> None:
    """A piece ends where it ends: the next one goes on there."""

    async def scenario() -> None:
        hub = Hub()
        reader = hub.subscribe()
        hub.publish([frame_of(str(number)) for number in range(2000)])
        assert await read_all(reader) == [str(number) for number in range(2000)]

    asyncio.run(scenario())


def test_the_log_is_bounded_in_bytes() -> None:
    """What is older goes, and the numbers of the rest stay."""
    hub = Hub(max_log_bytes=100)
    hub.publish([frame_of("x" * 30) for _ in range(10)])
    assert hub.end == 10
    assert hub.start == 7
    assert [len(hub.read(number)) for number in (7, 8, 9)] == [1, 1, 1]


def test_a_frame_larger_than_the_log_is_still_published() -> None:
    """The newest frame always stays."""

    async def scenario() -> None:
        hub = Hub(max_log_bytes=10)
        reader = hub.subscribe()
        hub.publish([frame_of("x" * 50)])
        assert await read_all(reader) == ["x" * 50]

    asyncio.run(scenario())


def test_who_falls_off_the_log_is_cut_off_once_and_forgotten() -> None:
    """It is told by a call, as its send may be blocked, and by an error, if it reads on.

    Each later publish called again, which cancelled the close of the very tab that was too slow.
    """

    async def scenario() -> None:
        hub = Hub(max_log_bytes=100)
        reader = hub.subscribe()
        calls: list[int] = []
        reader.on_cut_off = lambda: calls.append(1)
        hub.publish([frame_of("x" * 60)])
        assert not calls
        for _ in range(5):
            hub.publish([frame_of("x" * 60)])
        assert calls == [1]
        assert hub.subscriber_count == 0
        with pytest.raises(TooSlowError):
            await reader.next_frames()

    asyncio.run(scenario())


def test_who_waits_when_it_is_cut_off_wakes_up() -> None:
    """Nobody sleeps for ever because one publish was larger than the log."""

    async def scenario() -> None:
        hub = Hub(max_log_bytes=100)
        reader = hub.subscribe()
        reading = asyncio.ensure_future(reader.next_frames())
        await asyncio.sleep(0)
        hub.publish([frame_of("x" * 60) for _ in range(5)])
        with pytest.raises(TooSlowError):
            await reading

    asyncio.run(scenario())


def test_who_keeps_up_is_not_cut_off_with_the_others() -> None:
    """The log's start passes those behind it only."""

    async def scenario() -> None:
        hub = Hub(max_log_bytes=100)
        slow, quick = hub.subscribe(), hub.subscribe()
        heard = []
        for number in range(20):
            hub.publish([frame_of(f"{number:40}")])
            heard += await read_all(quick)
        assert [int(text) for text in heard] == list(range(20))
        assert slow.is_cut_off
        assert not quick.is_cut_off

    asyncio.run(scenario())


def test_who_is_joining_is_not_cut_off() -> None:
    """It reads the durable log: falling off this one is no matter, until it goes live."""

    async def scenario() -> None:
        hub = Hub(max_log_bytes=100)
        reader = hub.subscribe()
        reader.is_joining = True
        hub.publish([frame_of("x" * 60) for _ in range(5)])
        assert not reader.is_cut_off
        reader.is_joining = False
        with pytest.raises(TooSlowError):
            await reader.next_frames()

    asyncio.run(scenario())


def test_a_filtered_subscriber_passes_over_what_is_not_for_it() -> None:
    """Its cursor moves all the same: who wants little never lags."""

    async def scenario() -> None:
        hub = Hub()
        reader = hub.subscribe(frozenset({"work"}))
        hub.publish_events([make_event(1), make_event(2, "work"), make_event(3)])
        assert await read_all(reader) == ['{"offset":2}']
        assert reader.cursor == hub.end

    asyncio.run(scenario())


def test_control_frames_reach_readers_with_a_position_only() -> None:
    """A heartbeat and a new epoch are told to who asked with `since`."""

    async def scenario() -> None:
        hub = Hub()
        plain, resumable = hub.subscribe(), hub.subscribe(resumable=True)
        hub.publish_heartbeat()
        hub.begin_epoch(Position(EPOCH, Offset(0)), is_resync=True)
        assert await read_all(plain) == []
        assert len(await read_all(resumable)) == 2

    asyncio.run(scenario())


def test_without_subscribers_no_heartbeat_fills_the_log() -> None:
    """An idle night leaves no trace."""
    hub = Hub()
    hub.publish_heartbeat()
    assert hub.end == 0


def test_the_position_is_that_of_the_last_event() -> None:
    """It is up to date before the frames can be read."""
    hub = Hub()
    hub.begin_epoch(Position(EPOCH, Offset(4)), is_resync=False)
    hub.publish_events([make_event(5), make_event(6)])
    hub.publish_events([])
    assert str(hub.position) == "k3f9:6"


def test_events_that_the_reader_knows_are_skipped_until_a_new_epoch() -> None:
    """Offsets begin again there, and what they then say is new."""

    async def scenario() -> None:
        hub = Hub()
        reader = hub.subscribe()
        reader.skip_until = Offset(2)
        hub.publish_events([make_event(1), make_event(2), make_event(3)])
        assert await read_all(reader) == ['{"offset":3}']
        hub.begin_epoch(Position(Epoch("new"), Offset(0)), is_resync=False)
        hub.publish_events([make_event(1)])
        assert await read_all(reader) == ['{"offset":1}']

    asyncio.run(scenario())


def test_waiting_ends_when_all_have_sent() -> None:
    """Not when they have read: what was read may still wait to be sent."""

    async def scenario() -> None:
        hub = Hub()
        first, second = hub.subscribe(), hub.subscribe()
        hub.publish([frame_of("x")])
        waiting = asyncio.ensure_future(hub.wait_delivered(60))
        await asyncio.sleep(0)
        await read_all(first)
        await second.next_frames()
        for _ in range(3):
            await asyncio.sleep(0)
        assert not waiting.done()
        second.sent()
        await waiting

    asyncio.run(scenario())


def test_waiting_ends_at_once_where_everything_has_left() -> None:
    """Nobody is held to be slow because there was nothing to send."""

    async def scenario() -> None:
        hub = Hub()
        reader = hub.subscribe()
        hub.publish([frame_of("x")])
        await read_all(reader)
        await hub.wait_delivered(60)
        assert not reader.is_lagging

    asyncio.run(scenario())


def test_waiting_ends_when_a_subscriber_goes() -> None:
    """A socket that fails while it is waited for holds nobody up."""

    async def scenario() -> None:
        hub = Hub()
        reader = hub.subscribe()
        hub.publish([frame_of("x")])
        waiting = asyncio.ensure_future(hub.wait_delivered(60))
        await asyncio.sleep(0)
        reader.close()
        await waiting

    asyncio.run(scenario())


def test_who_lags_is_waited_for_once_until_it_has_caught_up() -> None:
    """A first time-out marks it; having sent a part does not unmark it."""

    async def scenario() -> None:
        hub = Hub()
        reader = hub.subscribe()
        hub.publish([frame_of(str(number)) for number in range(1000)])
        await hub.wait_delivered(0)
        assert reader.is_lagging
        await hub.wait_delivered(60)
        await reader.next_frames()
        reader.sent()
        assert reader.is_lagging
        await read_all(reader)
        assert not reader.is_lagging

    asyncio.run(scenario())


def test_who_is_joining_is_not_waited_for() -> None:
    """A long replay is nothing that a broadcast waits for."""

    async def scenario() -> None:
        hub = Hub()
        hub.subscribe().is_joining = True
        hub.publish([frame_of("x")])
        await hub.wait_delivered(60)

    asyncio.run(scenario())


def test_closing_is_idempotent_and_leaves_nothing() -> None:
    """A hub remembers nobody who has gone."""
    hub = Hub()
    reader = hub.subscribe()
    reader.close()
    reader.close()
    hub.publish([frame_of("x")])
    assert hub.subscriber_count == 0
