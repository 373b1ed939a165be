"""`/ws` over a real uvicorn: live, resumed, filtered, refused, too slow, and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from harness.socket import StalledTab, Tab, socket_url
from harness.wait import eventually
from live_app import SERVER_KINDS, Served, make_app, make_kb, served, write_entry
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect as connect_sync
from websockets.typing import Origin

from pyrite_watch import __version__
from pyrite_watch.live.frames import guest_frame
from pyrite_watch.live.hub import Hub
from pyrite_watch.model.event import Epoch, Offset, Position, parse_position
from pyrite_watch.server import joining
from pyrite_watch.server.protocol import FanoutProtocol
from pyrite_watch.server.websocket import ConnectionManager

Json = dict[str, Any]


@pytest.fixture(scope="module", params=SERVER_KINDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server of each kind for all tests that leave it as it was: both ways keep the same promises."""
    with served(make_app(tmp_path_factory.mktemp("live")), kind=request.param) as running:
        yield running


def offset_of(position: str) -> int:
    return int(position.rpartition(":")[2])


def epoch_of(server: Served) -> str:
    return server.position.rpartition(":")[0]


def sync(server: Served, kb: str = "notes") -> int:
    """Make one event of this KB; return its offset."""
    server.service.sync_index(kb)
    return offset_of(server.position)


def until(offset: int) -> Callable[[Json], bool]:
    return lambda message: message.get("offset") == offset and message["type"] != "ready"


async def code_of(client: ClientConnection) -> int | None:
    """Read on until the server closes; the code."""
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await client.recv()
        await client.wait_closed()
    return client.close_code


def read_to_the_end(stalled: StalledTab) -> None:
    while stalled._socket.recv(1 << 20):
        continue


def offsets(messages: list[Json]) -> list[int]:
    return [message["offset"] for message in messages]


# -- live and resumed ------------------------------------------------------------------------


def test_without_parameters_a_tab_hears_events_and_nothing_else(server: Served) -> None:
    """As Pyrite's does: no greeting, and nothing from before."""
    sync(server)
    with Tab(server.url) as tab:
        first = sync(server)
        last = sync(server, "work")
        tab.wait_for(until(last))
        assert offsets(tab.messages.since()) == list(range(first, last + 1))
        assert all(message["type"] == "kb_synced" for message in tab.messages.since())


def test_a_saved_file_reaches_every_tab_with_pyrites_fields(server: Served) -> None:
    """What is told can be read: the entry's revision is the event's."""
    root = server.service.kbs["notes"].root
    with Tab(server.url) as first, Tab(server.url) as second:
        write_entry(root, "saved", "New.")
        seen = [tab.wait_for(lambda message: message["entry_id"] == "saved") for tab in (first, second)]
        assert seen[0] == seen[1]
        assert (seen[0]["type"], seen[0]["kb_name"]) == ("entry_created", "notes")
        entry = server.get("/api/entries/saved").json()
        assert entry["revision"] == seen[0]["revision"]


def test_now_only_tells_the_position(server: Served) -> None:
    """It is where the events after it join on."""
    with Tab(server.url, since="now") as tab:
        ready = tab.wait_type("ready")
        assert ready == {
            "type": "ready",
            "epoch": epoch_of(server),
            "offset": offset_of(server.position),
            "replayed": 0,
            "compacted": False,
            "server_version": __version__,
        }
        next_one = sync(server)
        assert tab.wait_for(until(next_one))["offset"] == ready["offset"] + 1


def test_a_resume_replays_what_was_missed_then_says_ready(server: Served) -> None:
    """Each once, in order, exactly as they were told live."""
    with Tab(server.url) as live:
        before = server.position
        for kb in ("notes", "work", "notes"):
            last = sync(server, kb)
        live.wait_for(until(last))
        with Tab(server.url, since=before) as tab:
            ready = tab.wait_type("ready")
            messages = tab.messages.since()
            assert messages[:-1] == live.events
            assert (ready["replayed"], ready["offset"]) == (3, last)


def test_a_resume_at_the_current_position_replays_nothing(server: Served) -> None:
    """There is nothing after it."""
    with Tab(server.url, since=server.position) as tab:
        assert tab.wait_type("ready")["replayed"] == 0


def test_a_replay_of_several_pages_is_dense(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page ends, the next one goes on after its last event; also with a filter."""
    monkeypatch.setattr(joining, "REPLAY_PAGE", 3)
    before = server.position
    for _ in range(7):
        sync(server)
        sync(server, "work")
    with Tab(server.url, since=before) as tab, Tab(server.url, since=before, kb=["work"]) as filtered:
        tab.wait_type("ready")
        first = offset_of(before) + 1
        assert offsets(tab.events) == list(range(first, first + 14))
        assert filtered.wait_type("ready")["replayed"] == 7
        assert offsets(filtered.events) == list(range(first + 1, first + 14, 2))


def test_a_position_of_another_epoch_is_told_to_load_again(server: Served) -> None:
    """From the offset of the `resync` on the reader is live."""
    with Tab(server.url, since="otherEpoch:3") as tab:
        resync = tab.wait_type("resync")
        assert resync == {
            "type": "resync",
            "reason": "epoch",
            "epoch": epoch_of(server),
            "offset": offset_of(server.position),
        }
        assert tab.wait_type("ready")["offset"] == resync["offset"]
        assert tab.wait_for(until(sync(server)))["offset"] == resync["offset"] + 1


def test_a_position_ahead_of_the_log_is_told_to_load_again(server: Served) -> None:
    """The log lost its tail, or the state was copied back."""
    with Tab(server.url, since=f"{epoch_of(server)}:{offset_of(server.position) + 1}") as tab:
        assert tab.wait_type("resync")["reason"] == "ahead"
        tab.wait_type("ready")


def test_a_position_that_is_committed_and_not_yet_published_is_no_other_log(server: Served) -> None:
    """By HTTP a reader may know an event before the hub does: it was told to load everything again.

    Here the hub is set back by one event, as it stands between the commit and the publishing.
    """
    last = sync(server)
    hub = server.live.manager.hub
    eventually(lambda: hub.position.offset == last)
    known = hub.position
    hub.position = Position(known.epoch, Offset(last - 1))
    try:
        with Tab(server.url, since=f"{known.epoch}:{last}") as tab:
            assert tab.wait_type("ready") == {**tab.messages.since()[0], "offset": last, "replayed": 0}
            event = next(frame for frame in hub.read(hub.end - 1) if frame.offset == last)
            loop = server.live.manager.loop
            assert loop is not None
            loop.call_soon_threadsafe(hub.publish, [event])  # what the hub was still to publish
            tab.wait_for(until(sync(server)))
            assert offsets(tab.events) == [last + 1]
    finally:
        hub.position = parse_position(server.position) or known


def test_filters_send_only_these_knowledge_bases(server: Served) -> None:
    """The parameter may be given several times."""
    with (
        Tab(server.url, kb=["work"]) as work,
        Tab(server.url, kb=["work", "notes"]) as both,
        Tab(server.url, kb=["work"], since="now") as resumable,
    ):
        resumable.wait_type("ready")
        sync(server, "notes")
        last = sync(server, "work")
        for tab in (work, resumable):
            tab.wait_for(until(last))
            assert [event["kb_name"] for event in tab.events] == ["work"]
        both.wait_for(until(last))
        assert [event["kb_name"] for event in both.events] == ["notes", "work"]


def test_what_a_client_says_is_ignored(server: Served) -> None:
    """Text and bytes, up to the limit."""
    with connect_sync(socket_url(server.url), proxy=None) as client:
        client.send("hello")
        client.send(b"\0" * 4096)
        client.send("x" * 4096)
        last = sync(server)
        assert json.loads(client.recv(10))["offset"] == last


def test_readers_that_join_while_a_writer_commits_miss_nothing(server: Served) -> None:
    """Twenty readers, at random moments: what they resume from, and what they hear, is dense.

    Some load a page by HTTP first, some take `since=now`, some begin at the very start.
    """
    ended = threading.Event()
    start = server.position

    def write() -> None:
        while not ended.is_set():
            sync(server, random.choice(["notes", "work"]))

    def join(number: int) -> tuple[int, list[Json], str]:
        time.sleep(random.uniform(0, 1.0))  # the moment is what varies
        since = {0: start, 1: "now"}.get(number % 3) or server.get("/api/stats").headers["Pyrite-Position"]
        with Tab(server.url, since=since) as tab:
            ready = tab.wait_type("ready")
            known = ready["offset"] if since == "now" else offset_of(since)
            tab.wait_for(lambda message: message["offset"] >= ready["offset"] + 20)
            return known, tab.messages.since(), since

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with ThreadPoolExecutor(20) as pool:
            joined = list(pool.map(join, range(20)))
    finally:
        ended.set()
        writer.join()
    for known, messages, since in joined:
        assert "resync" not in {message["type"] for message in messages}, since
        seen = [message["offset"] for message in messages if message["type"] == "kb_synced"]
        assert seen == list(range(known + 1, known + 1 + len(seen))), since
        ready = next(number for number, message in enumerate(messages) if message["type"] == "ready")
        assert messages[ready]["offset"] == known + ready, "ready comes after exactly what it counts"


def test_a_replay_that_the_hub_outruns_goes_on_in_the_durable_log(tmp_path: Path) -> None:
    """The hub holds three events; many more come while the reader still reads old ones."""
    app = make_app(tmp_path)
    app.state.pyrite_watch.manager = ConnectionManager(Hub(max_log_bytes=600))
    with served(app) as server, pytest.MonkeyPatch.context() as patch:
        before = server.position
        sync(server)
        load = joining._load_page
        calls: list[int] = []

        def load_slowly(*args: Any) -> Any:
            page = load(*args)
            if not calls:
                calls.append(1)
                for _ in range(10):
                    sync(server)
                eventually(lambda: server.live.manager.hub.position == server.live.pipeline.store.position)
            return page

        patch.setattr(joining, "_load_page", load_slowly)
        with Tab(server.url, since=before) as tab:
            tab.wait_type("ready")
            last = sync(server)
            tab.wait_for(until(last))
            assert offsets(tab.events) == list(range(offset_of(before) + 1, last + 1))


# -- refused and closed ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("?kb=nowhere", 4404),
        ("?kb=notes&kb=nowhere", 4404),
        ("?kb=", 4404),
        ("?kb=nowhere&since=now", 4404),
        ("?since=", 4409),
        ("?since=12", 4409),
        ("?since=abc:-1", 4409),
        ("?since=abc:01", 4409),
        ("?since=abc:1e3", 4409),
        ("?since=a%20b:1", 4409),
        ("?since=abc:99999999999999999999", 4409),
    ],
)
def test_a_refusal_is_accepted_then_closed_with_a_code(server: Served, query: str, code: int) -> None:
    """Before the upgrade a browser would not let its page see why."""
    with connect_sync(socket_url(server.url) + query, proxy=None) as client:
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code
    assert server.live.manager.connection_count == 0


def test_a_message_over_4_kib_is_refused(server: Served) -> None:
    """With 1009, and the tab is forgotten."""
    with Tab(server.url) as tab:
        tab._socket.send("x" * 4097)
        assert tab.wait_closed() == 1009
    eventually(lambda: server.live.manager.connection_count == 0)


def test_a_tab_that_goes_is_forgotten(server: Served) -> None:
    """With a close, or without a word."""
    tabs = [Tab(server.url) for _ in range(3)]
    rude = StalledTab(server.url)
    eventually(lambda: server.live.manager.connection_count == 4)
    for tab in tabs:
        tab.close()
    rude.close()
    eventually(lambda: server.live.manager.connection_count == 0)
    eventually(lambda: server.live.manager.hub.subscriber_count == 0)


# -- slow ------------------------------------------------------------------------------------


CLOSE_FRAME = b"\x88\x80\0\0\0\0"
"""As a client sends it: masked, without a code."""


class Impatient(FanoutProtocol):
    """With the times of a test."""

    close_timeout_s = 0.4
    stop_timeout_s = 0.3


@contextlib.contextmanager
def small_hub(tmp_path: Path, **options: Any) -> Iterator[Served]:
    """A server whose log holds little, so that slow tabs fall off it."""
    app = make_app(tmp_path, **options)
    app.state.pyrite_watch.manager = ConnectionManager(Hub(max_log_bytes=1 << 20), close_timeout_s=0.4)
    with served(app, Impatient) as server:
        yield server


def flood(server: Served, mebibytes: int) -> None:
    """Publish that much, in turns."""
    loop, hub = server.live.manager.loop, server.live.manager.hub
    assert loop is not None
    text = "x" * 10_000
    for _ in range(mebibytes):
        done = asyncio.run_coroutine_threadsafe(publish_turns(hub, text), loop)
        done.result(10)


async def publish_turns(hub: Hub, text: str) -> None:
    for _ in range(10):
        hub.publish([guest_frame({"type": "flood", "text": text}) for _ in range(10)])
        await asyncio.sleep(0.002)


def test_a_slow_tab_gets_1013_and_resumes(tmp_path: Path) -> None:
    """It stops reading for a while: what was sent until then arrives, and then the close."""

    async def scenario(server: Served) -> None:
        async with connect(socket_url(server.url), proxy=None, max_queue=1, max_size=None) as slow:
            await asyncio.to_thread(flood, server, 12)  # its queue is full: nobody reads
            assert await code_of(slow) == 1013

    class Patient(Impatient):
        close_timeout_s = 10.0

    app = make_app(tmp_path)
    app.state.pyrite_watch.manager = ConnectionManager(Hub(max_log_bytes=1 << 20))
    with served(app, Patient) as server:
        before = server.position
        asyncio.run(scenario(server))
        last = sync(server)
        with Tab(server.url, since=before) as again:
            again.wait_for(until(last))


def test_a_peer_that_takes_nothing_is_reset(tmp_path: Path) -> None:
    """Neither the events nor the close: after the time-out nothing of it is left, and others hear all.

    uvicorn alone keeps such a connection, its buffer and its task for as long as the peer lives.
    """
    with small_hub(tmp_path) as server, Tab(server.url) as other:
        with StalledTab(server.url) as stalled:
            eventually(lambda: server.live.manager.connection_count == 2)
            flood(server, 12)
            eventually(lambda: server.live.manager.connection_count == 1, 5)
            assert server.uvicorn is not None
            connections = server.uvicorn.server_state.connections
            eventually(lambda: len(connections) == 1, 5)
            with pytest.raises(ConnectionResetError):
                read_to_the_end(stalled)
        last = sync(server)
        other.wait_for(until(last))
        assert sum(message["type"] == "flood" for message in other.messages.since()) == 1200


@pytest.mark.parametrize("farewell", [CLOSE_FRAME, None], ids=["a close", "the end of its sending"])
def test_a_peer_that_says_it_goes_and_reads_nothing_is_reset(tmp_path: Path, farewell: bytes | None) -> None:
    """Its answer waits behind what it does not read: not for as long as it lives."""
    with served(make_app(tmp_path), Impatient) as server, StalledTab(server.url) as stalled:
        eventually(lambda: server.live.manager.connection_count == 1)
        flood(server, 6)
        stalled.say(farewell)
        assert server.uvicorn is not None
        connections = server.uvicorn.server_state.connections
        eventually(lambda: not connections, 5)
        eventually(lambda: server.live.manager.connection_count == 0)


def test_a_stop_while_a_close_waits_to_be_read_closes_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No second close is sent to that one, and the app's own end comes."""

    async def scenario(server: Served) -> None:
        clients = [await connect(socket_url(server.url), proxy=None) for _ in range(20)]
        await asyncio.to_thread(eventually, lambda: server.live.manager.connection_count == 20)
        codes = [asyncio.ensure_future(code_of(client)) for client in clients]
        await asyncio.sleep(0)
        await asyncio.to_thread(server.stop)
        assert set(await asyncio.gather(*codes)) == {1012}

    with served(make_app(tmp_path)) as server, StalledTab(server.url) as stalled:
        eventually(lambda: server.live.manager.connection_count == 1)
        flood(server, 6)
        stalled.say(CLOSE_FRAME)
        eventually(lambda: server.live.manager.connection_count == 0)
        asyncio.run(scenario(server))
        assert not server.live.pipeline.is_open
    assert [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []


def test_a_peer_that_stalls_in_its_replay_is_reset_with_the_keepalive(tmp_path: Path) -> None:
    """While it reads the durable log nothing cuts it off; it answers no ping, either."""
    app = make_app(tmp_path)
    with served(app, Impatient) as server:
        uvicorn = server.uvicorn
        assert uvicorn is not None
        uvicorn.config.ws_ping_interval = 0.2
        uvicorn.config.ws_ping_timeout = 0.2
        with StalledTab(server.url):
            eventually(lambda: server.live.manager.connection_count == 1)
            flood(server, 6)
            eventually(lambda: not uvicorn.server_state.connections, 10)
            eventually(lambda: server.live.manager.connection_count == 0)


# -- heartbeat, epoch, stop ------------------------------------------------------------------


def test_the_heartbeat_tells_readers_with_a_position(tmp_path: Path) -> None:
    """Those without hear events only."""
    app = make_app(tmp_path)
    app.state.pyrite_watch.heartbeat_s = 0.02
    with served(app) as server, Tab(server.url) as plain, Tab(server.url, since="now") as tab:
        beat = tab.wait_type("heartbeat")
        assert beat == {
            "type": "heartbeat",
            "epoch": epoch_of(server),
            "offset": offset_of(server.position),
        }
        plain.wait_for(until(sync(server)))
        assert {message["type"] for message in plain.messages.since()} == {"kb_synced"}


def test_a_new_epoch_is_told_to_readers_with_a_position(server: Served) -> None:
    """They load the state again; a client of Pyrite's fields hears nothing of it."""
    loop, hub = server.live.manager.loop, server.live.manager.hub
    assert loop is not None
    known = hub.position
    with Tab(server.url) as plain, Tab(server.url, since="now") as tab:
        tab.wait_type("ready")
        loop.call_soon_threadsafe(hub.begin_epoch, Position(Epoch("fresh"), Offset(0)), True)
        resync = tab.wait_type("resync")
        assert resync == {"type": "resync", "reason": "epoch", "epoch": "fresh", "offset": 0}
        loop.call_soon_threadsafe(hub.begin_epoch, known, False)
        plain.wait_for(until(sync(server)))
        assert {message["type"] for message in plain.messages.since()} == {"kb_synced"}


def test_who_asks_during_the_first_index_is_told_to_load_again_after_it(tmp_path: Path) -> None:
    """The half-built index has a passing epoch: nobody resumes from it."""
    go_on = threading.Event()
    app = make_app(tmp_path)
    pipeline = app.state.pyrite_watch.pipeline
    first_pass = pipeline._first_pass

    def wait_then_index() -> None:
        assert go_on.wait(10)
        first_pass()

    pipeline._first_pass = wait_then_index
    with ThreadPoolExecutor(1) as pool:

        def watch(url: str) -> tuple[Json, Json]:
            with Tab(url, since="now") as tab:
                ready = tab.wait_type("ready")
                go_on.set()
                return ready, tab.wait_type("resync")

        def start() -> tuple[Json, Json]:
            eventually(lambda: app.state.pyrite_watch.manager.loop is not None and urls)
            return watch(urls[0])

        urls: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("live_app.wait_ready", lambda app: None)
            seen = pool.submit(start)
            with served(app) as server:
                urls.append(server.url)
                ready, resync = seen.result(20)
    assert ready["epoch"] != resync["epoch"]
    assert resync["reason"] == "epoch"


def test_a_stop_with_200_tabs_closes_them_with_1012_in_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Three stalled ones among them: all within 3 s, and without an error in the log."""

    async def scenario(server: Served) -> float:
        clients = [await connect(socket_url(server.url), proxy=None) for _ in range(200)]
        await asyncio.to_thread(eventually, lambda: server.live.manager.connection_count == 203)
        codes = [asyncio.ensure_future(code_of(client)) for client in clients]
        await asyncio.sleep(0)
        began_s = time.monotonic()
        await asyncio.to_thread(server.stop)
        took_s = time.monotonic() - began_s
        assert set(await asyncio.gather(*codes)) == {1012}
        return took_s

    with served(make_app(tmp_path)) as server, contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(StalledTab(server.url))
        eventually(lambda: server.live.manager.connection_count == 3)
        flood(server, 6)
        assert asyncio.run(scenario(server)) < 3
        assert server.live.manager.connection_count == 0
    assert [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []


def test_a_storm_while_tabs_come_and_go_ends_with_none_left(tmp_path: Path) -> None:
    """Connects, cuts and closes among events: nothing leaks, nothing is reported."""
    make_kb(tmp_path / "kbs" / "notes", "a")
    make_kb(tmp_path / "kbs" / "work", "b")

    async def visit(server: Served, number: int) -> None:
        for _ in range(4):
            since = random.choice([None, "now", server.position])
            async with connect(socket_url(server.url, since), proxy=None) as client:
                for _ in range(random.randrange(3)):
                    await client.recv()
                if number % 2:
                    client.transport.abort()

    async def scenario(server: Served) -> None:
        await asyncio.gather(*(visit(server, number) for number in range(30)))

    with served(make_app(tmp_path)) as server:
        ended = threading.Event()

        def write() -> None:
            while not ended.is_set():
                sync(server)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            asyncio.run(scenario(server))
        finally:
            ended.set()
            writer.join()
        eventually(lambda: server.live.manager.connection_count == 0)
        assert server.live.manager.hub.subscriber_count == 0


def test_a_refused_upgrade_is_no_error_of_the_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each was told in the log as one: any page could fill it."""
    with served(make_app(tmp_path)) as server:
        url = server.url.replace("http", "ws") + "/ws"
        with pytest.raises(InvalidStatus) as refused:
            connect_sync(url, origin=Origin("https://evil.example"), proxy=None)
        assert refused.value.response.status_code == 403
        assert b"ORIGIN_NOT_ALLOWED" in (refused.value.response.body or b"")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
