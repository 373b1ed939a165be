"""The courier: awaited readers, each told in order, and none held up by another."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from pyrite_watch.live import courier as courier_module
from pyrite_watch.live.courier import Courier
from pyrite_watch.live.frames import Frame, guest_frame
from pyrite_watch.live.hub import Hub
from pyrite_watch.live.subscriber import TooSlowError


@pytest.fixture(autouse=True)
def much_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn's share is not used up on a busy machine: it is not what is tested here."""
    monkeypatch.setattr(courier_module, "FEED_S", 10.0)


class FakeReader:
    """A reader whose send waits while it is shut, or gives way once where it is `polite`."""

    def __init__(self, hub: Hub, is_polite: bool = False) -> None:
        self.subscriber = hub.subscribe()
        self.texts: list[str] = []
        self.open = asyncio.Event()
        self.open.set()
        self.is_polite = is_polite
        self.breaks = False
        self.errors: list[Exception] = []
        self.cancelled = 0

    async def send(self, frames: Sequence[Frame]) -> None:
        if self.is_polite:
            await asyncio.sleep(0)
        for frame in frames:
            if self.breaks:
                raise OSError("gone")
            if not self.open.is_set():
                try:
                    await self.open.wait()
                except asyncio.CancelledError:
                    self.cancelled += 1
                    raise
            self.texts.append(frame.text)

    def fail(self, error: Exception) -> None:
        self.errors.append(error)


def frame(number: int) -> Frame:
    return guest_frame({"n": number})


def texts(numbers: range) -> list[str]:
    return [frame(number).text for number in numbers]


def set_up(count: int) -> tuple[Hub, Courier, list[FakeReader]]:
    hub = Hub()
    courier = Courier(hub)
    readers = [FakeReader(hub) for _ in range(count)]
    for reader in readers:
        courier.add(reader)
    return hub, courier, readers


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_all_are_told_in_the_next_turn_of_the_loop() -> None:
    """A thousand readers with room are one task's one step, whoever was behind by one before."""

    async def scenario() -> None:
        hub, _, readers = set_up(100)
        await turns()
        for number in range(3):
            hub.publish([frame(number)])
            await asyncio.sleep(0)
            assert all(reader.texts == texts(range(number + 1)) for reader in readers)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scenario())


def test_a_send_that_suspends_holds_nobody_up_for_a_turn() -> None:
    """The others are told in this turn of the loop or the next; it is told all in the end, in order."""

    async def scenario() -> None:
        hub, _, readers = set_up(20)
        await turns()
        slow = readers[3::5]
        for reader in slow:
            reader.open.clear()
        for number in range(5):
            hub.publish([frame(number)])
            await turns(2 + 2 * len(slow))
            assert all(reader.texts == texts(range(number + 1)) for reader in readers if reader not in slow)
        assert not any(reader.texts for reader in slow)
        for reader in slow:
            reader.open.set()
        await turns()
        assert all(reader.texts == texts(range(5)) for reader in slow)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scenario())


def test_a_reader_that_fails_ends_alone() -> None:
    """The readers after it in the line are told, and it is told of its error once."""

    async def scenario() -> None:
        hub, _, readers = set_up(5)
        await turns()
        readers[2].breaks = True
        hub.publish([frame(0)])
        hub.publish([frame(1)])
        await turns()
        assert [len(reader.errors) for reader in readers] == [0, 0, 1, 0, 0]
        assert [len(reader.texts) for reader in readers] == [2, 2, 0, 2, 2]
        assert hub.subscriber_count == 4

    asyncio.run(scenario())


@pytest.mark.parametrize("turns_before", [0, 1, 5], ids=["in the line", "just suspended", "long suspended"])
def test_a_reader_that_is_discarded_gets_nothing_more(turns_before: int) -> None:
    """In the line or in the middle of a send, which is cancelled; the others go on."""

    async def scenario() -> None:
        hub, courier, readers = set_up(5)
        await turns()
        gone = readers[1]
        gone.open.clear()
        hub.publish([frame(0)])
        await turns(turns_before)
        gone.subscriber.close()
        courier.discard(gone)
        courier.discard(gone)
        await turns()
        gone.open.set()
        hub.publish([frame(1)])
        await turns()
        assert gone.texts == []
        assert gone.cancelled == (1 if turns_before else 0)
        assert all(reader.texts == texts(range(2)) for reader in readers if reader is not gone)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scenario())


def test_a_reader_that_fell_off_the_log_is_told_so() -> None:
    """It was in the line when the log went past it."""

    async def scenario() -> None:
        hub = Hub(max_log_bytes=10_000)
        courier = Courier(hub)
        reader = FakeReader(hub)
        courier.add(reader)
        for number in range(2_000):
            hub.publish([frame(number)])
        await turns()
        assert reader.texts == []
        assert reader.subscriber.is_cut_off

    asyncio.run(scenario())


@pytest.mark.parametrize("seed", range(10))
def test_whatever_happens_each_is_told_all_once_and_in_order(seed: int) -> None:
    """Readers that stall, wake, give way, come and go, while things are published."""

    async def scenario() -> None:
        rng = random.Random(seed)
        hub, courier, readers = set_up(0)
        first: dict[FakeReader, int] = {}
        gone: set[FakeReader] = set()
        published = 0
        for _ in range(200):
            what = rng.random()
            here = [reader for reader in readers if reader not in gone]
            if what < 0.45:
                count = 600 if rng.random() < 0.05 else rng.choice((1, 1, 3))
                hub.publish([frame(number) for number in range(published, published + count)])
                published += count
            elif what < 0.55 or not here:
                reader = FakeReader(hub, is_polite=rng.random() < 0.3)
                first[reader] = published
                readers.append(reader)
                courier.add(reader)
            elif what < 0.75:
                rng.choice(here).open.clear()
            elif what < 0.9:
                rng.choice(here).open.set()
            elif what < 0.93:
                reader = rng.choice(here)
                gone.add(reader)
                reader.subscriber.close()
                courier.discard(reader)
            if rng.random() < 0.7:
                await turns(rng.randrange(4))
        for reader in readers:
            reader.open.set()
        await turns(3_000)
        for reader in readers:
            expected = texts(range(first[reader], published))
            if reader in gone:
                expected = expected[: len(reader.texts)]
            assert reader.texts == expected
            assert reader.errors == []
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scenario())


def test_a_courier_survives_a_cut_off_in_its_own_send() -> None:
    """Its error is that it was too slow, where nobody has discarded it before."""

    async def scenario() -> None:
        hub = Hub(max_log_bytes=10_000)
        courier = Courier(hub)
        slow, other = FakeReader(hub), FakeReader(hub)
        courier.add(slow)
        courier.add(other)
        await turns()
        slow.open.clear()
        hub.publish([frame(0)])
        await turns()
        for number in range(1, 2_000):
            hub.publish([frame(number)])
            await turns(1)
        slow.open.set()
        await turns(20)
        assert slow.texts == texts(range(1))
        assert slow.subscriber.is_cut_off
        assert other.texts == texts(range(2_000))
        assert not any(isinstance(error, TooSlowError) for error in other.errors)

    asyncio.run(scenario())
