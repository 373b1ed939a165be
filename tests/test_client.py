"""`subscribe`: against a scripted server and a clock of ours, then against the product itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from harness.process import WatchProcess
from harness.wait import eventually
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

import pyrite_watch
from pyrite_watch.client import Policy, SubscriptionRefusedError, subscribe
from pyrite_watch.errors import PyriteWatchError

Json = dict[str, Any]
Script = Callable[[ServerConnection], Awaitable[None]]

QUICK = Policy(first_wait_s=0.005, max_wait_s=0.05)
"""For a server that really comes back."""


class FakeTime:
    """Time that stands still: waits are noted and over at once, time-outs fire when the test says so."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.limits: list[float] = []
        self.timeout: asyncio.Timeout | None = None

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)

    def start_timeout(self, seconds: float) -> asyncio.Timeout:
        self.limits.append(seconds)
        self.timeout = asyncio.timeout(None)
        return self.timeout

    def pass_limit(self) -> None:
        """Let the time-out that runs now be over. RuntimeError where none runs."""
        assert self.timeout is not None
        self.timeout.reschedule(asyncio.get_running_loop().time())

    @property
    def policy(self) -> Policy:
        return Policy(sleep=self.sleep, timeout=self.start_timeout, random=lambda: 0.5)


@dataclass
class ScriptedServer:
    """A server whose nth connection runs its nth script; after the last, connections stay silent."""

    url: str = ""
    scripts: list[Script] = field(default_factory=list)
    answers: list[HTTPStatus] = field(default_factory=list)
    """Refusals before the upgrade, first of all."""
    requests: list[Request] = field(default_factory=list)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def asked(self) -> list[str]:
        """`since` of each attempt."""
        return [parse_qs(urlsplit(request.path).query)["since"][0] for request in self.requests]

    def refuse(self, connection: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        return connection.respond(self.answers.pop(0), "no\n") if self.answers else None

    async def handle(self, connection: ServerConnection) -> None:
        if self.scripts:
            await self.scripts.pop(0)(connection)
        else:
            self.opened.set()
            with contextlib.suppress(ConnectionClosed):
                await connection.recv()
            self.closed.set()


@asynccontextmanager
async def scripted(*scripts: Script, answers: tuple[HTTPStatus, ...] = ()) -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer(scripts=list(scripts), answers=list(answers))
    async with serve(
        server.handle, "127.0.0.1", 0, process_request=server.refuse, ping_interval=None, close_timeout=0.2
    ) as listening:
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        async with asyncio.timeout(20):
            yield server


def say(*messages: Json | str, code: int | None = 1012) -> Script:
    """Send these; then close with this code, or break off where it is None."""

    async def run(connection: ServerConnection) -> None:
        for message in messages:
            await connection.send(message if isinstance(message, str) else json.dumps(message))
        if code is not None:
            await connection.close(code, "as scripted")
        else:
            await asyncio.sleep(0.05)  # an abort would overtake what was just sent
            connection.transport.abort()

    return run


def stay(*messages: Json) -> Script:
    """Send these and be silent."""

    async def run(connection: ServerConnection) -> None:
        for message in messages:
            await connection.send(json.dumps(message))
        await connection.wait_closed()

    return run


def ready(offset: int, epoch: str = "e") -> Json:
    return {"type": "ready", "epoch": epoch, "offset": offset, "replayed": 0, "compacted": False}


def event(offset: int, epoch: str = "e") -> Json:
    return {"type": "entry_updated", "entry_id": "a", "kb_name": "k", "epoch": epoch, "offset": offset}


async def take(events: AsyncGenerator[Json, None], count: int) -> list[Json]:
    """The next so many."""
    return [await anext(events) for _ in range(count)]


def offsets(events: list[Json]) -> list[int]:
    return [event["offset"] for event in events]


# -- what is yielded -------------------------------------------------------------------------


async def _yields_events_alone() -> None:
    beat = {"type": "heartbeat", "epoch": "e", "offset": 7}
    later = {"type": "of_a_later_version", "x": 1}
    script = stay(ready(5), event(6), beat, event(7), later)
    async with scripted(script) as server, aclosing(subscribe(server.url)) as events:
        assert await take(events, 3) == [event(6), event(7), later]


def test_events_are_yielded_and_ready_and_heartbeat_are_not() -> None:
    """What is unknown is yielded too: who reads ignores it."""
    asyncio.run(_yields_events_alone())


async def _ignores_nonsense() -> None:
    script = say(ready(0), "no json", "[]", "1", "[" * 100_000, event(1))
    async with scripted(script) as server, aclosing(subscribe(server.url)) as events:
        assert await take(events, 1) == [event(1)]


def test_messages_that_are_no_objects_are_ignored() -> None:
    """One bad message must not end a subscription."""
    asyncio.run(_ignores_nonsense())


async def _drops_repeats() -> None:
    script = stay(ready(5), event(6), event(6), event(5), event(7))
    async with scripted(script) as server, aclosing(subscribe(server.url)) as events:
        assert offsets(await take(events, 2)) == [6, 7]


def test_an_event_is_yielded_once() -> None:
    """Even where a server would send it again."""
    asyncio.run(_drops_repeats())


async def _passes_guests_on() -> None:
    guest, foreign = {"type": "mine", "text": "hello"}, event(99, "other")
    odd = {"type": "mine", "epoch": "e", "offset": True}
    scripts = say(ready(5), event(6), guest, foreign, odd, code=None), stay(event(7))
    async with (
        scripted(*scripts) as server,
        aclosing(subscribe(server.url, policy=FakeTime().policy)) as events,
    ):
        assert await take(events, 5) == [event(6), guest, foreign, odd, event(7)]
        assert server.asked == ["now", "e:6"]


def test_what_others_broadcast_is_yielded_and_moves_no_position() -> None:
    """It has no place in the log, whatever fields it has."""
    asyncio.run(_passes_guests_on())


async def _yields_resync() -> None:
    resync = {"type": "resync", "reason": "epoch", "epoch": "new", "offset": 3}
    scripts = say(resync, ready(3, "new"), code=None), stay(event(4, "new"))
    time = FakeTime()
    async with (
        scripted(*scripts) as server,
        aclosing(subscribe(server.url, "old:900", policy=time.policy)) as events,
    ):
        assert await take(events, 2) == [resync, event(4, "new")]
        assert server.asked == ["old:900", "new:3"]


def test_resync_is_yielded_and_gives_the_new_position() -> None:
    """The reader loads the state again; the subscription goes on after that position."""
    asyncio.run(_yields_resync())


async def _resyncs_backwards() -> None:
    resync = {"type": "resync", "reason": "ahead", "epoch": "e", "offset": 3}
    script = stay(resync, ready(3), event(4))
    async with scripted(script) as server, aclosing(subscribe(server.url, "e:900")) as events:
        assert await take(events, 2) == [resync, event(4)]


def test_a_resync_may_go_back_in_the_same_epoch() -> None:
    """`ahead`: what comes after it is not taken for a repeat."""
    asyncio.run(_resyncs_backwards())


# -- resuming --------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1012, 1013, 1011, 1000, None])
def test_it_resumes_after_the_last_event(code: int | None) -> None:
    """However the connection ended."""

    async def run() -> None:
        scripts = say(ready(5), event(6), event(7), code=code), stay(event(8), ready(8), event(9))
        async with (
            scripted(*scripts) as server,
            aclosing(subscribe(server.url, policy=FakeTime().policy)) as events,
        ):
            assert offsets(await take(events, 4)) == [6, 7, 8, 9]
            assert server.asked == ["now", "e:7"]

    asyncio.run(run())


@pytest.mark.parametrize("since", [None, "now"])
def test_now_becomes_a_position_with_the_first_ready(since: str | None) -> None:
    """So that nothing is missed that happens in the first interruption, before the first event."""

    async def run() -> None:
        scripts = say(), say(ready(5)), stay(event(6))
        async with (
            scripted(*scripts) as server,
            aclosing(subscribe(server.url, since, policy=FakeTime().policy)) as events,
        ):
            assert offsets(await take(events, 1)) == [6]
            assert server.asked == ["now", "now", "e:5"]

    asyncio.run(run())


# -- waiting ---------------------------------------------------------------------------------


def test_waits_grow_from_a_fifth_of_a_second_to_half_a_minute() -> None:
    """Twice as long each time, at random in the upper half."""
    low, high = Policy(random=lambda: 0.0), Policy(random=lambda: 1.0)
    assert [low.wait_s(failures) for failures in range(4)] == pytest.approx([0.2, 0.4, 0.8, 1.6])
    assert [high.wait_s(failures) for failures in range(4)] == pytest.approx([0.4, 0.8, 1.6, 3.2])
    assert (low.wait_s(1000), high.wait_s(1000)) == (15.0, 30.0)


def test_a_server_that_stops_is_asked_again_at_once() -> None:
    """1012, with jitter; where it is not back by then, as ever."""
    assert Policy(random=lambda: 0.0).wait_s(0, 1012) == 0
    assert Policy(random=lambda: 0.99).wait_s(0, 1012) < 0.2
    assert Policy(random=lambda: 0.0).wait_s(1, 1012) == 0.4


async def _backs_off() -> None:
    time, busy = FakeTime(), HTTPStatus.SERVICE_UNAVAILABLE
    # Three refusals, one that says nothing, one that works, one refusal more.
    scripts = say(code=1011), say(ready(1), event(2), code=1011), stay(event(3))
    async with (
        scripted(*scripts, answers=(busy,) * 3) as server,
        aclosing(subscribe(server.url, policy=time.policy)) as events,
    ):
        assert offsets(await take(events, 1)) == [2]
        assert time.waits == pytest.approx([0.6, 1.2, 2.4, 4.8])
        server.answers.append(busy)
        assert offsets(await take(events, 1)) == [3]
        assert time.waits[4:] == pytest.approx([0.3, 0.6])


def test_the_waits_begin_anew_after_success() -> None:
    """Success is a message: a server that lets in and closes at once is not asked five times a second."""
    asyncio.run(_backs_off())


async def _waits_for_a_server() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        time = FakeTime()
        events = subscribe(f"http://127.0.0.1:{port}", policy=time.policy)
        reading = asyncio.ensure_future(anext(events))
        async with asyncio.timeout(10):
            await asyncio.to_thread(eventually, lambda: len(time.waits) >= 5)
        reading.cancel()
        await asyncio.wait([reading])
        await events.aclose()


def test_a_server_that_is_not_there_is_tried_until_it_is() -> None:
    """Nobody listens: no error, only waits."""
    asyncio.run(_waits_for_a_server())


async def _notices_silence() -> None:
    time = FakeTime()
    scripts = stay(ready(5), event(6)), stay(event(7))
    async with scripted(*scripts) as server, aclosing(subscribe(server.url, policy=time.policy)) as events:
        assert offsets(await take(events, 1)) == [6]
        reading = asyncio.ensure_future(anext(events))
        await asyncio.to_thread(eventually, lambda: len(time.limits) >= 3)
        time.pass_limit()
        assert (await reading)["offset"] == 7
        assert server.asked == ["now", "e:6"]
        assert set(time.limits) == {35.0}


def test_silence_for_35_seconds_ends_a_connection() -> None:
    """Two heartbeats are missing: the peer is gone, though nobody said so."""
    asyncio.run(_notices_silence())


async def _lets_readers_think() -> None:
    time = FakeTime()
    async with (
        scripted(stay(ready(5), event(6), event(7))) as server,
        aclosing(subscribe(server.url, policy=time.policy)) as events,
    ):
        await anext(events)
        with pytest.raises(RuntimeError):
            time.pass_limit()
        assert offsets(await take(events, 1)) == [7]
        assert len(server.requests) == 1


def test_a_slow_reader_is_not_silence() -> None:
    """No time-out runs while the reader has the event."""
    asyncio.run(_lets_readers_think())


# -- refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [4401, 4404, 4409])
def test_a_refusal_by_close_is_an_error(code: int) -> None:
    """It would be the same for ever; the error says what to do."""

    async def run() -> None:
        time = FakeTime()
        async with scripted(say(code=code)) as server:
            with pytest.raises(SubscriptionRefusedError) as caught:
                await anext(subscribe(server.url, policy=time.policy))
            error = caught.value
            assert (error.code, error.status) == (code, None)
            assert isinstance(error, PyriteWatchError)
            assert error.hint
            assert str(error).endswith(f"as scripted ({code}). {error.hint}")
            assert time.waits == []

    asyncio.run(run())


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_by_http_is_an_error(status: int) -> None:
    """Host, Origin, a wrong address."""

    async def run() -> None:
        async with scripted(answers=(HTTPStatus(status),)) as server:
            with pytest.raises(SubscriptionRefusedError) as caught:
                await anext(subscribe(server.url, policy=FakeTime().policy))
            assert (caught.value.code, caught.value.status) == (None, status)
            assert caught.value.hint in str(caught.value)

    asyncio.run(run())


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_refusal_for_now_is_not(status: int) -> None:
    """A proxy in front answers for a server that is being restarted."""

    async def run() -> None:
        script = stay(ready(0), event(1))
        async with (
            scripted(script, answers=(HTTPStatus(status),)) as server,
            aclosing(subscribe(server.url, policy=FakeTime().policy)) as events,
        ):
            assert offsets(await take(events, 1)) == [1]

    asyncio.run(run())


@pytest.mark.parametrize("url", ["", "127.0.0.1:8088", "ftp://host", "http://", "http:///ws", "file:///x"])
def test_what_is_no_url_is_refused_at_once(url: str) -> None:
    """Before anything is awaited."""
    with pytest.raises(ValueError, match=r"http://127\.0\.0\.1:8088"):
        subscribe(url)


@pytest.mark.parametrize("token", ["a\r\nX: y", "é", "tab\there"])
def test_a_token_cannot_carry_another_header(token: str) -> None:
    """And is not repeated in the error."""
    with pytest.raises(ValueError, match="printable") as caught:
        subscribe("http://127.0.0.1", token=token)
    assert token not in str(caught.value)


# -- what is sent ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "path", "query"),
    [
        ("http://HOST", "/ws", {}),
        ("http://HOST/", "/ws", {}),
        ("http://HOST/sub/path/", "/sub/path/ws", {}),
        ("ws://HOST", "/ws", {}),
        ("ws://HOST/ws", "/ws", {}),
        ("ws://HOST/live", "/live", {}),
        ("ws://HOST/ws?kb=z", "/ws", {"kb": ["z", "a b", "c"]}),
    ],
)
def test_a_servers_address_and_its_sockets_both_do(given: str, path: str, query: Json) -> None:
    """The page's address has `/ws` added, the socket's stays as it is."""

    async def run() -> None:
        async with scripted(stay(ready(0), event(1))) as server:
            url = given.replace("HOST", server.url.removeprefix("http://"))
            async with aclosing(subscribe(url, "e:0", kbs=["a b", "c"])) as events:
                await anext(events)
            asked = urlsplit(server.requests[0].path)
            assert asked.path == path
            # Deflate of small messages costs more than it saves.
            assert "Sec-WebSocket-Extensions" not in server.requests[0].headers
            assert parse_qs(asked.query) == {"since": ["e:0"], "kb": ["a b", "c"], **query}

    asyncio.run(run())


@pytest.mark.parametrize("where", ["argument", "url"])
def test_a_token_is_a_header_and_in_no_log(where: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nor in an error; from a URL, as `pyrite watch` prints it, it is taken out."""
    secret = "s3cret-token"

    async def run() -> None:
        scripts = say(ready(0), event(1), code=None), say(code=4401)
        async with scripted(*scripts) as server:
            url = server.url + (f"/?token={secret}" if where == "url" else "")
            events = subscribe(url, token=secret if where == "argument" else None, policy=FakeTime().policy)
            await anext(events)
            with pytest.raises(SubscriptionRefusedError) as caught:
                await anext(events)
            assert secret not in str(caught.value) + repr(caught.value)
            for request in server.requests:
                assert request.headers["Authorization"] == f"Bearer {secret}"
                assert secret not in request.path

    with caplog.at_level(logging.DEBUG):
        asyncio.run(run())
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("pyrite_watch")]
    assert ours
    assert not [line for line in ours if secret in line]
    assert not [line for line in caplog.messages if secret in line and line.startswith(">")]


def test_a_loopback_server_is_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy reaches this machine's loopback."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    async def run() -> None:
        script = stay(ready(0), event(1))
        async with scripted(script) as server, aclosing(subscribe(server.url)) as events:
            async with asyncio.timeout(5):
                assert offsets(await take(events, 1)) == [1]

    asyncio.run(run())


# -- the end ---------------------------------------------------------------------------------


async def _cancelled() -> None:
    async with scripted() as server:
        events = subscribe(server.url)
        reading = asyncio.ensure_future(anext(events))
        await asyncio.wait_for(server.opened.wait(), 5)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await asyncio.wait_for(server.closed.wait(), 2)


def test_cancellation_closes_the_socket() -> None:
    """While it waits for a message."""
    asyncio.run(_cancelled())


async def _left() -> None:
    gone = asyncio.Event()

    async def script(connection: ServerConnection) -> None:
        await connection.send(json.dumps(event(1)))
        await connection.wait_closed()
        gone.set()

    async with scripted(script) as server:
        async with aclosing(subscribe(server.url)) as events:
            async for _ in events:
                break
        await asyncio.wait_for(gone.wait(), 2)


def test_leaving_closes_the_socket() -> None:
    """With `contextlib.aclosing`, at once."""
    asyncio.run(_left())


def test_it_is_the_packages_own_name() -> None:
    """`pyrite_watch.subscribe`, imported when it is first used."""
    assert pyrite_watch.subscribe is subscribe


# -- against the product ---------------------------------------------------------------------


@dataclass
class Kb:
    """A KB, its home and its state, which outlive the process that watches them."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "notes"

    def watch(self, *options: str) -> WatchProcess:
        return WatchProcess(self.root, home=self.folder, state_dir=self.folder / "state", options=options)

    def write(self, name: str) -> None:
        (self.root / f"{name}.md").write_text(f"---\nid: {name}\n---\n{name}\n", "utf-8")


@pytest.fixture
def kb(tmp_path: Path) -> Kb:
    """One with an entry."""
    found = Kb(tmp_path)
    found.root.mkdir()
    (found.root / "kb.yaml").write_text("name: notes\n", "utf-8")
    found.write("first")
    return found


@pytest.fixture
def running(kb: Kb) -> Iterator[WatchProcess]:
    """`pyrite watch` of it."""
    with kb.watch() as process:
        process.wait_ready()
        yield process


async def read_until(events: AsyncGenerator[Json, None], entry_id: str, into: list[Json]) -> None:
    """Read on until the pass that brought this entry is through."""
    async with asyncio.timeout(20):
        async for message in events:
            into.append(message)
            if message["type"] == "kb_synced" and any(one["entry_id"] == entry_id for one in into):
                return


def check_dense(told: list[Json], position: str, *entry_ids: str) -> None:
    """No gap, no repeat, and each entry once."""
    epoch, offset = position.split(":")
    first = int(offset) + 1
    assert {message["epoch"] for message in told} == {epoch}
    assert offsets(told) == list(range(first, first + len(told)))
    created = [message["entry_id"] for message in told if message["type"] == "entry_created"]
    assert created == list(entry_ids)


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_restart_in_the_middle_leaves_no_gap_and_no_repeat(kb: Kb, is_killed: bool) -> None:
    """The same port and state; also after `kill -9`, and with changes while nobody watched."""
    told: list[Json] = []

    async def run() -> str:
        with kb.watch() as server:
            position, port = server.position, str(urlsplit(server.url).port)
            events = subscribe(server.url, position, policy=QUICK)
            kb.write("before")
            await read_until(events, "before", told)
            if is_killed:
                server.kill()
            else:
                server.stop()
        kb.write("between")
        with kb.watch("--port", port) as server:
            await asyncio.to_thread(server.wait_ready)
            await read_until(events, "between", told)
            kb.write("behind")
            await read_until(events, "behind", told)
            await events.aclose()
        return position

    check_dense(told, asyncio.run(run()), "before", "between", "behind")


class Relay:
    """A network between subscriber and server, which the test cuts: after so many bytes, each time."""

    def __init__(self, port: int, after_bytes: int) -> None:
        self.port, self.after_bytes = port, after_bytes
        self.cuts = 0

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.port)
        up = asyncio.ensure_future(self._up(reader, server_writer))
        carried = 0
        try:
            while piece := await server_reader.read(1 << 16):
                piece = piece[: self.after_bytes - carried]
                writer.write(piece)
                await writer.drain()
                carried += len(piece)
                if carried == self.after_bytes:
                    self.cuts += 1
                    break
        except OSError:
            pass
        finally:
            up.cancel()
            writer.close()
            server_writer.transport.abort()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(1 << 16):
                writer.write(piece)


@pytest.mark.parametrize("after_bytes", [701, 1000, 1777])
def test_a_connection_that_is_cut_anywhere_leaves_no_gap_and_no_repeat(
    kb: Kb, running: WatchProcess, after_bytes: int
) -> None:
    """In the middle of a frame, too, again and again, while the disk changes."""
    told: list[Json] = []
    names = [f"n{number:02}" for number in range(30)]

    async def run() -> None:
        relay = Relay(urlsplit(running.url).port or 0, after_bytes)
        async with await asyncio.start_server(relay.carry, "127.0.0.1", 0) as listening:
            url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
            events = subscribe(url, running.position, policy=QUICK)
            reading = asyncio.ensure_future(read_until(events, names[-1], told))
            for name in names:
                kb.write(name)
                await asyncio.sleep(0.01)
            await reading
            await events.aclose()
        assert relay.cuts >= 3

    asyncio.run(run())
    check_dense(told, running.position, *names)


def test_an_unknown_kb_is_told(running: WatchProcess) -> None:
    """4404, from the server itself."""
    with pytest.raises(SubscriptionRefusedError, match="4404") as caught:
        asyncio.run(_first(subscribe(running.url, kbs=["nope"])))
    assert caught.value.code == 4404


def test_a_malformed_position_is_told(running: WatchProcess) -> None:
    """4409, from the server itself."""
    with pytest.raises(SubscriptionRefusedError, match="4409") as caught:
        asyncio.run(_first(subscribe(running.url, "nonsense")))
    assert caught.value.code == 4409


def test_a_token_lets_in_and_a_wrong_one_is_told(kb: Kb) -> None:
    """4401, from the server itself."""
    with kb.watch("--token", "right") as server:
        position = server.position
        kb.write("second")
        found = asyncio.run(_first(subscribe(server.url, position, token="right")))
        assert found["entry_id"] == "second"
        for wrong in (None, "wrong"):
            with pytest.raises(SubscriptionRefusedError, match="token") as caught:
                asyncio.run(_first(subscribe(server.url, token=wrong)))
            assert caught.value.code == 4401


async def _first(events: AsyncGenerator[Json, None]) -> Json:
    async with asyncio.timeout(20), aclosing(events):
        return await anext(events)
