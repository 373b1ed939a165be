"""`ConnectionManager` and `broadcast_event`, over sockets that are not."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast
from unittest import mock

import pytest
from fastapi import FastAPI, WebSocket
from starlette.testclient import TestClient

from pyrite_watch.live.hub import Hub
from pyrite_watch.server import websocket
from pyrite_watch.server.websocket import BROADCAST_WAIT_S, TRY_AGAIN, ConnectionManager, broadcast_event


class FakeSocket:
    """A socket that takes everything, until it is told to stall or to fail."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.is_accepted = False
        self.closes: list[int] = []
        self.fails = False
        self.open = asyncio.Event()
        self.open.set()
        self.takes_close = True

    async def accept(self) -> None:
        self.is_accepted = True

    async def send_text(self, text: str) -> None:
        await self.open.wait()
        if self.fails:
            raise ConnectionResetError
        self.texts.append(text)

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        if not self.takes_close:
            await asyncio.Event().wait()
        self.closes.append(code)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self.texts]

    @property
    def numbers(self) -> list[int]:
        return [message["n"] for message in self.messages]


def ws(fake: FakeSocket) -> WebSocket:
    return cast("WebSocket", fake)


async def turns(count: int = 10) -> None:
    """Let the other tasks have their turns."""
    for _ in range(count):
        await asyncio.sleep(0)


async def connected(manager: ConnectionManager, count: int) -> list[FakeSocket]:
    fakes = [FakeSocket() for _ in range(count)]
    for fake in fakes:
        await manager.connect(ws(fake))
    return fakes


def test_connecting_accepts_and_counts() -> None:
    """A socket is told events from then on."""

    async def scenario() -> None:
        manager = ConnectionManager()
        assert manager.connection_count == 0
        (fake,) = await connected(manager, 1)
        assert fake.is_accepted
        assert manager.connection_count == 1

    asyncio.run(scenario())


def test_disconnecting_is_idempotent() -> None:
    """A socket that is unknown, or gone, is no error."""

    async def scenario() -> None:
        manager = ConnectionManager()
        fake, other = await connected(manager, 2)
        manager.disconnect(ws(fake))
        manager.disconnect(ws(fake))
        manager.disconnect(ws(FakeSocket()))
        assert manager.connection_count == 1
        await manager.broadcast({"n": 1})
        assert fake.texts == []
        assert other.numbers == [1]

    asyncio.run(scenario())


def test_a_broadcast_without_sockets_is_nothing() -> None:
    """Nobody hears it, also not who comes later."""

    async def scenario() -> None:
        manager = ConnectionManager()
        await manager.broadcast({"n": 1})
        (fake,) = await connected(manager, 1)
        await turns()
        assert fake.texts == []

    asyncio.run(scenario())


def test_a_broadcast_is_handed_over_on_return() -> None:
    """Every socket that keeps up has the dict as it was given."""

    async def scenario() -> None:
        manager = ConnectionManager()
        fakes = await connected(manager, 20)
        event = {"type": "build_done", "deep": {"n": [1, None, "é"]}, "n": 1}
        await manager.broadcast(event)
        assert all(fake.messages == [event] for fake in fakes)

    asyncio.run(scenario())


def test_broadcasts_keep_their_order() -> None:
    """Those of one task, awaited or not, and those of `broadcast_soon` between them."""

    async def scenario() -> None:
        manager = ConnectionManager()
        fakes = await connected(manager, 3)
        for number in range(0, 300, 3):
            await manager.broadcast({"n": number})
            manager.broadcast_soon({"n": number + 1})
            asyncio.get_running_loop().call_soon(manager.broadcast_soon, {"n": number + 2})
            await asyncio.sleep(0)
        await manager.broadcast({"n": 300})
        assert all(fake.numbers == list(range(301)) for fake in fakes)

    asyncio.run(scenario())


def test_a_dict_that_changes_later_is_sent_as_it_was() -> None:
    """It is encoded when it is given."""

    async def scenario() -> None:
        manager = ConnectionManager()
        (fake,) = await connected(manager, 1)
        event = {"n": 1}
        manager.broadcast_soon(event)
        event["n"] = 2
        await turns()
        assert fake.numbers == [1]

    asyncio.run(scenario())


def test_sockets_that_failed_are_no_longer_counted() -> None:
    """On return, as Pyrite's does; the others have the event."""

    async def scenario() -> None:
        manager = ConnectionManager()
        fakes = await connected(manager, 6)
        for fake in fakes[::2]:
            fake.fails = True
        await manager.broadcast({"n": 1})
        assert manager.connection_count == 3
        assert all(fake.numbers == [1] for fake in fakes[1::2])
        assert manager.hub.subscriber_count == 3

    asyncio.run(scenario())


def test_a_stalled_socket_holds_nobody_up() -> None:
    """The naive loop stops at it. Here the broadcast returns, and the next one does not wait at all."""

    async def scenario() -> None:
        manager = ConnectionManager()
        stalled, *others = await connected(manager, 4)
        stalled.open.clear()
        await asyncio.wait_for(manager.broadcast({"n": 0}), 10)
        began_s = time.monotonic()
        for number in range(1, 50):
            await manager.broadcast({"n": number})
        assert time.monotonic() - began_s < 10 * BROADCAST_WAIT_S
        assert all(fake.numbers == list(range(50)) for fake in others)
        assert manager.connection_count == 4
        stalled.open.set()
        await turns(200)
        assert stalled.numbers == list(range(50))
        await manager.broadcast({"n": 50})
        assert stalled.numbers[-1] == 50, "having caught up, it is waited for again"

    asyncio.run(scenario())


def test_a_socket_that_never_comes_back_is_closed_with_1013() -> None:
    """It is cut off when the log has passed it, whatever goes on being published meanwhile.

    Each publish after the cut cancelled the close, so that the tab was neither closed nor reset.
    """

    async def scenario() -> None:
        manager = ConnectionManager(Hub(max_log_bytes=200))
        stalled, other = await connected(manager, 2)
        stalled.open.clear()
        for number in range(100):
            await manager.broadcast({"n": number})
        await turns()
        assert stalled.closes == [TRY_AGAIN]
        assert manager.connection_count == 1
        assert other.numbers == list(range(100))

    asyncio.run(scenario())


def test_a_socket_that_does_not_take_the_close_is_forgotten() -> None:
    """Its task ends with the close's time-out, also while events go on."""

    async def scenario() -> None:
        manager = ConnectionManager(Hub(max_log_bytes=200), close_timeout_s=0.05)
        stalled, _ = await connected(manager, 2)
        stalled.open.clear()
        stalled.takes_close = False
        async with asyncio.timeout(10):
            while manager.connection_count == 2:
                await manager.broadcast({"n": 1})
        await turns()
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "pyrite-socket"][1:]

    asyncio.run(scenario())


def test_a_socket_that_is_cut_off_before_its_task_began_is_closed() -> None:
    """A burst larger than the log, right after the connect: it was accepted, and never heard of again."""

    async def scenario() -> None:
        manager = ConnectionManager(Hub(max_log_bytes=100))
        (fake,) = await connected(manager, 1)
        for number in range(50):
            manager.broadcast_soon({"n": number})
        await turns()
        assert fake.closes == [TRY_AGAIN]
        assert manager.connection_count == 0

    asyncio.run(scenario())


def test_a_tab_that_connects_during_a_broadcast_does_no_harm() -> None:
    """Pyrite's loop ends with "Set changed size during iteration"."""

    async def scenario() -> None:
        manager = ConnectionManager()
        first, second = await connected(manager, 2)
        first.open.clear()
        broadcast = asyncio.ensure_future(manager.broadcast({"n": 1}))
        await turns()
        (late,) = await connected(manager, 1)
        manager.disconnect(ws(second))
        first.open.set()
        await broadcast
        await manager.broadcast({"n": 2})
        assert first.numbers == [1, 2]
        assert late.numbers == [2]

    asyncio.run(scenario())


def test_what_happens_during_the_accept_is_told() -> None:
    """A client knows that it is connected before `accept` returns here: from then on it hears all."""

    class Slow(FakeSocket):
        async def accept(self) -> None:
            await super().accept()
            await manager.broadcast({"n": 1})

    manager = ConnectionManager()

    async def scenario() -> None:
        fake = Slow()
        await manager.connect(ws(fake))
        await manager.broadcast({"n": 2})
        assert fake.numbers == [1, 2]

    asyncio.run(scenario())


def test_an_accept_that_fails_leaves_nothing() -> None:
    """The error is the caller's, and nobody is counted."""

    class Gone(FakeSocket):
        async def accept(self) -> None:
            raise RuntimeError("gone")

    async def scenario() -> None:
        manager = ConnectionManager()
        with pytest.raises(RuntimeError, match="gone"):
            await manager.connect(ws(Gone()))
        assert manager.connection_count == 0
        assert manager.hub.subscriber_count == 0

    asyncio.run(scenario())


def test_a_socket_that_is_connected_twice_hears_everything_once() -> None:
    """The second time replaces the first."""

    async def scenario() -> None:
        manager = ConnectionManager()
        fake = FakeSocket()
        await manager.connect(ws(fake))
        await manager.connect(ws(fake))
        assert manager.connection_count == 1
        await manager.broadcast({"n": 1})
        assert fake.numbers == [1]

    asyncio.run(scenario())


def test_no_task_is_left_after_a_disconnect() -> None:
    """Also of one that stalls."""

    async def scenario() -> None:
        manager = ConnectionManager()
        fakes = await connected(manager, 5)
        fakes[0].open.clear()
        manager.broadcast_soon({"n": 1})
        await turns()
        for fake in fakes:
            manager.disconnect(ws(fake))
        await turns()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert manager.hub.subscriber_count == 0

    asyncio.run(scenario())


def test_a_fast_socket_gives_way_to_the_others() -> None:
    """A send that never waits must not keep the loop until the whole log is sent."""

    async def scenario() -> None:
        manager = ConnectionManager()
        first, second = await connected(manager, 2)
        await turns()
        for number in range(5000):
            manager.broadcast_soon({"n": number})
        await turns(3)
        assert second.texts
        assert len(first.texts) < 5000
        await manager.broadcast({"n": 5000})
        assert first.numbers == second.numbers == list(range(5001))

    asyncio.run(scenario())


def test_what_a_thread_tells_wakes_the_loop_once() -> None:
    """A wake-up is a system call and a turn of the loop: a storm from a thread needs one, not thousands."""

    async def scenario() -> None:
        manager = ConnectionManager()
        (socket,) = await connected(manager, 1)
        loop = asyncio.get_running_loop()

        def tell(first: int) -> None:
            for number in range(first, first + 1000):
                manager.broadcast_soon({"n": number})

        for first in (0, 1000):
            with mock.patch.object(loop, "call_soon_threadsafe", wraps=loop.call_soon_threadsafe) as wake:
                thread = threading.Thread(target=tell, args=(first,))
                thread.start()
                thread.join()  # the loop stands still meanwhile
                assert wake.call_count == 1
            await turns()
        await manager.broadcast({"n": 2000})
        assert socket.numbers == list(range(2001))

    asyncio.run(scenario())


def test_closing_all_ends_every_socket_soon() -> None:
    """One that does not take the close holds nobody up."""

    async def scenario() -> None:
        manager = ConnectionManager()
        *fakes, stuck = await connected(manager, 5)
        stuck.takes_close = False
        await asyncio.wait_for(manager.close_all(1012), 10)
        assert all(fake.closes == [1012] for fake in fakes)
        assert manager.connection_count == 0
        await turns()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())


def test_a_manager_serves_one_loop_after_another() -> None:
    """What a loop that has ended left behind is forgotten."""
    manager = ConnectionManager()
    old: list[FakeSocket] = []

    async def scenario(number: int) -> None:
        old.extend(await connected(manager, 2))
        assert manager.connection_count == 2
        await manager.broadcast({"n": number})

    for number in range(3):
        asyncio.run(scenario(number))
    assert [fake.numbers for fake in old] == [[0], [0], [1], [1], [2], [2]]


def test_a_loop_that_ended_while_somebody_waited_is_forgotten_too() -> None:
    """Its futures are not touched: their loop is closed."""
    manager = ConnectionManager()

    async def wait_for_a_stalled_one() -> None:
        (fake,) = await connected(manager, 1)
        fake.open.clear()
        await manager.broadcast({"n": 1})

    async def scenario() -> None:
        (fake,) = await connected(manager, 1)
        await manager.broadcast({"n": 2})
        assert fake.numbers == [2]

    asyncio.run(wait_for_a_stalled_one())
    asyncio.run(scenario())


async def refused_here(manager: ConnectionManager) -> None:
    """In a loop that is not the manager's."""
    fake = FakeSocket()
    with pytest.raises(RuntimeError, match="one event loop"):
        await manager.connect(ws(fake))
    assert not fake.is_accepted


def test_a_second_loop_at_the_same_time_is_refused() -> None:
    """The sockets of the first would silently hear nothing more."""
    manager = ConnectionManager()

    async def scenario() -> None:
        (fake,) = await connected(manager, 1)
        await asyncio.to_thread(asyncio.run, refused_here(manager))
        await manager.broadcast({"n": 1})
        assert fake.numbers == [1]

    asyncio.run(scenario())


def test_a_broadcast_from_another_loop_is_handed_over_on_return() -> None:
    """It is awaited in the loop of who calls."""
    manager = ConnectionManager()

    async def scenario() -> None:
        fakes = await connected(manager, 3)
        await asyncio.to_thread(asyncio.run, manager.broadcast({"n": 1}))
        assert all(fake.numbers == [1] for fake in fakes)

    asyncio.run(scenario())


def test_a_broadcast_does_not_overtake_what_threads_told_before_it() -> None:
    """In the sockets' loop, which has not come to that yet; and in another one."""
    manager = ConnectionManager()

    async def elsewhere() -> None:
        first = asyncio.create_task(manager.broadcast({"n": 3}))
        await asyncio.sleep(0)
        manager.broadcast_soon({"n": 4})
        await first

    async def scenario() -> None:
        (fake,) = await connected(manager, 1)
        thread = threading.Thread(target=manager.broadcast_soon, args=({"n": 1},))
        thread.start()
        thread.join()
        await manager.broadcast({"n": 2})
        assert fake.numbers == [1, 2]
        thread = threading.Thread(target=asyncio.run, args=(elsewhere(),))
        thread.start()
        await asyncio.to_thread(thread.join)
        await turns()
        assert fake.numbers == [1, 2, 3, 4]

    asyncio.run(scenario())


def test_a_manager_that_tells_an_apps_events_stays_in_its_loop() -> None:
    """Also while nobody is connected: events between would be missed, and nothing would say so."""
    manager = ConnectionManager()

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        manager.bind(loop)
        manager.claimed_by = loop
        await asyncio.to_thread(asyncio.run, refused_here(manager))
        (fake,) = await connected(manager, 1)
        await manager.broadcast({"n": 1})
        assert fake.numbers == [1]

    asyncio.run(scenario())


def test_a_manager_with_a_stream_stays_in_its_loop() -> None:
    """The stream would hang: forgotten, and never woken."""
    manager = ConnectionManager()

    async def scenario() -> None:
        manager.bind(asyncio.get_running_loop())
        subscriber = manager.hub.subscribe()
        manager.note_stream(subscriber)
        await asyncio.to_thread(asyncio.run, refused_here(manager))
        manager.broadcast_soon({"n": 1})
        assert len(await subscriber.next_frames()) == 1
        manager.forget_stream(subscriber)

    asyncio.run(scenario())


def test_a_broadcast_for_a_loop_that_was_stopped_returns() -> None:
    """A loop that stands still, and is not closed, would never come to it."""
    manager = ConnectionManager()
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(connected(manager, 1))
        asyncio.run(asyncio.wait_for(manager.broadcast({"n": 1}), 10))
        manager.broadcast_soon({"n": 2})
    finally:
        loop.run_until_complete(manager.close_all(1012))
        loop.run_until_complete(turns())
        loop.close()


@pytest.fixture
def module_manager(monkeypatch: pytest.MonkeyPatch) -> ConnectionManager:
    """A manager in the place of the module's: no other test's sockets are in it."""
    fresh = ConnectionManager()
    monkeypatch.setattr(websocket, "manager", fresh)
    return fresh


def test_broadcast_event_without_any_loop_is_nothing(module_manager: ConnectionManager) -> None:
    """Before a server runs, and after: no error, and no event later."""
    broadcast_event("x", n=1)

    async def scenario() -> None:
        (fake,) = await connected(module_manager, 1)
        await turns()
        assert fake.texts == []

    asyncio.run(scenario())
    broadcast_event("x", n=2)


def test_broadcast_event_refuses_what_json_cannot_hold(module_manager: ConnectionManager) -> None:
    """Whether or not a tab is connected: else the error came with the first tab."""
    with pytest.raises(TypeError):
        broadcast_event("x", when=object())


def test_broadcast_event_works_from_a_worker_thread(module_manager: ConnectionManager) -> None:
    """Pyrite's asks for the running loop there, and swallows the error: no event ever came."""

    async def scenario() -> None:
        fakes = await connected(module_manager, 2)
        for number in range(100):
            await asyncio.to_thread(broadcast_event, "entry_updated", n=number)
        await module_manager.broadcast({"n": 100})
        assert all(fake.numbers == list(range(101)) for fake in fakes)
        assert fakes[0].messages[0] == {"type": "entry_updated", "n": 0}

    asyncio.run(scenario())


def test_many_threads_may_broadcast_at_once(module_manager: ConnectionManager) -> None:
    """Nothing is lost or doubled, and each thread's own order is kept."""

    async def scenario() -> None:
        fakes = await connected(module_manager, 3)

        def send(sender: int) -> None:
            for number in range(200):
                broadcast_event("x", sender=sender, n=number)

        with ThreadPoolExecutor(8) as pool:
            loop = asyncio.get_running_loop()
            await asyncio.gather(*(loop.run_in_executor(pool, send, sender) for sender in range(8)))
        await module_manager.broadcast({"sender": None})
        for fake in fakes:
            for sender in range(8):
                mine = [message["n"] for message in fake.messages if message["sender"] == sender]
                assert mine == list(range(200))

    asyncio.run(scenario())


def test_broadcast_event_works_from_a_coroutine(module_manager: ConnectionManager) -> None:
    """It returns at once; the event leaves in the next turns."""

    async def scenario() -> None:
        (fake,) = await connected(module_manager, 1)
        broadcast_event("x", n=1)
        await turns()
        assert fake.numbers == [1]

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_broadcast_event_works_from_an_endpoint(module_manager: ConnectionManager, kind: str) -> None:
    """A sync endpoint runs in a worker thread, where no loop runs: that is where Pyrite's events got lost."""
    app = FastAPI()
    threads: list[int] = []

    def tell() -> dict[str, bool]:
        threads.append(threading.get_ident())
        broadcast_event("entry_created", entry_id="a", kb_name="notes")
        return {"ok": True}

    async def tell_async() -> dict[str, bool]:
        return tell()

    app.add_api_route("/tell", tell if kind == "sync" else tell_async, methods=["POST"])

    @app.websocket("/ws")
    async def live(socket: WebSocket) -> None:
        threads.append(threading.get_ident())
        await module_manager.connect(socket)
        while (await socket.receive())["type"] != "websocket.disconnect":
            continue
        module_manager.disconnect(socket)

    with TestClient(app) as client, client.websocket_connect("/ws") as tab:
        assert client.post("/tell").json() == {"ok": True}
        assert tab.receive_json() == {"type": "entry_created", "entry_id": "a", "kb_name": "notes"}
    assert (threads[0] != threads[1]) == (kind == "sync")
    assert module_manager.connection_count == 0
