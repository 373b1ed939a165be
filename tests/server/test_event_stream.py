"""Server-Sent Events: the same stream as the socket's, with the same positions."""

from __future__ import annotations

import http.client
import logging
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from harness.process import WatchProcess
from harness.record import Json, only_events
from harness.socket import Tab
from harness.stream import EventStream, plain
from harness.wait import eventually
from live_app import Served, make_app, make_kb, served, write_entry

from pyrite_watch.live.frames import guest_frame
from pyrite_watch.live.hub import Hub
from pyrite_watch.live.sse import stream_event
from pyrite_watch.server.http_protocol import BoundedHttpProtocol
from pyrite_watch.server.websocket import ConnectionManager


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(make_app(tmp_path_factory.mktemp("stream"))) as running:
        yield running


def offset_of(position: str) -> int:
    return int(position.rpartition(":")[2])


def sync(server: Served, kb: str = "notes") -> int:
    server.service.sync_index(kb)
    return offset_of(server.position)


def wait_offset(stream: EventStream, offset: int) -> list[Json]:
    """Wait for the event of an offset; give all events until then."""
    stream.messages.wait_for(
        lambda message: message.get("offset") == offset and message["type"] != "ready", 15, what=str(offset)
    )
    return only_events(stream.messages.since())


def wait_ready(stream: EventStream) -> Json:
    return stream.messages.wait_for(lambda message: message["type"] == "ready", 15, what="ready")


def test_without_a_position_events_come_as_they_happen_and_nothing_else(server: Served) -> None:
    """Each as its JSON, with its type and the position to resume after."""
    with EventStream(server.url) as stream, Tab(server.url) as tab:
        assert stream.response.getheader("content-type") == "text/event-stream; charset=utf-8"
        assert stream.response.getheader("cache-control") == "no-store"
        eventually(lambda: server.live.manager.connection_count == 2)
        sync(server)
        write_entry(server.service.kbs["notes"].root, "streamed")
        tab.wait_for(lambda message: message["entry_id"] == "streamed")
        events = wait_offset(stream, sync(server, "work"))
        tab.wait_for(lambda message: message["kb_name"] == "work")
        assert [plain(event) for event in events] == tab.events
        for event in events:
            assert event["sse_id"] == f"{event['epoch']}:{event['offset']}"
            assert event["sse_event"] == event["type"]
        assert only_events(stream.messages.since()) == stream.messages.since()


def test_a_resume_replays_then_says_ready_then_goes_on(server: Served) -> None:
    """`ready` is no position to resume after: it has no id."""
    before = server.position
    missed = [sync(server, kb) for kb in ("notes", "work", "notes")]
    with EventStream(server.url, since=before) as stream:
        ready = wait_ready(stream)
        assert (ready["replayed"], ready["sse_id"], ready["sse_event"]) == (3, None, "ready")
        last = sync(server)
        assert [event["offset"] for event in wait_offset(stream, last)] == [*missed, last]


def test_the_last_id_goes_before_since(server: Served) -> None:
    """A browser comes back to the same address, with the id of what it heard last."""
    start = server.position
    for _ in range(4):
        sync(server)
    with EventStream(server.url, since=start) as stream:
        wait_ready(stream)
        known = stream.last_id
        heard = only_events(stream.messages.since())
    for _ in range(3):
        sync(server)
    with EventStream(server.url, since=start, headers={"Last-Event-ID": known or ""}) as stream:
        wait_ready(stream)
        heard += only_events(stream.messages.since())
    first = offset_of(start)
    assert [event["offset"] for event in heard] == list(range(first + 1, first + 8))


def test_a_position_of_another_past_is_told_with_where_one_is_live(server: Served) -> None:
    """`resync` has an id: who comes back after it must not be told again."""
    with EventStream(server.url, since="elsewhere:3") as stream:
        wait_ready(stream)
        resync = stream.messages.since()[0]
        assert (resync["type"], resync["reason"], resync["sse_event"]) == ("resync", "epoch", "resync")
        assert resync["sse_id"] == server.position == stream.last_id


def test_now_tells_the_position_alone(server: Served) -> None:
    """Nothing is replayed."""
    with EventStream(server.url, since="now") as stream:
        ready = wait_ready(stream)
        assert f"{ready['epoch']}:{ready['offset']}" == server.position
        assert stream.response.getheader("pyrite-position") == server.position


def test_an_empty_since_is_malformed(server: Served) -> None:
    """As it is on the socket; an `EventSource` that has seen no id may send an empty header."""
    with EventStream(server.url, since="now", headers={"Last-Event-ID": ""}) as stream:
        wait_ready(stream)
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    connection.request("GET", "/api/events?since=")
    answer = connection.getresponse()
    assert (answer.status, b"POSITION_MALFORMED" in answer.read()) == (400, True)
    connection.close()


def test_only_the_named_kbs_are_told(server: Served) -> None:
    """In the replay, and live."""
    before = server.position
    sync(server, "work")
    sync(server, "notes")
    with EventStream(server.url, since=before, kb=["work"]) as stream:
        wait_ready(stream)
        sync(server, "notes")
        events = wait_offset(stream, sync(server, "work"))
        assert {event["kb_name"] for event in events} == {"work"}
        assert len(events) == 2


@pytest.mark.parametrize(
    ("since", "kb", "headers", "status", "code"),
    [
        ("1204", [], {}, 400, "POSITION_MALFORMED"),
        (None, [], {"Last-Event-ID": "1204"}, 400, "POSITION_MALFORMED"),
        (None, ["nosuch"], {}, 404, "KB_NOT_FOUND"),
    ],
)
def test_what_cannot_be_followed_is_refused(
    server: Served, since: str | None, kb: list[str], headers: dict[str, str], status: int, code: str
) -> None:
    """With the API's own errors, before anything is streamed."""
    stream = EventStream(server.url, since=since, kb=kb, headers=headers)
    assert (stream.status, stream.answer["detail"]["code"]) == (status, code)


def test_without_the_token_nothing_is_streamed(tmp_path_factory: pytest.TempPathFactory) -> None:
    """401, as everywhere under `/api`."""
    with served(make_app(tmp_path_factory.mktemp("guarded"), token="secret-token-of-the-test")) as running:
        assert EventStream(running.url).status == 401
        with EventStream(
            running.url, since="now", headers={"Authorization": "Bearer secret-token-of-the-test"}
        ) as stream:
            wait_ready(stream)


def test_head_is_answered_and_ends(server: Served) -> None:
    """A stream without end would keep who asks for its headers waiting for ever."""
    split = urlsplit(server.url)
    connection = http.client.HTTPConnection(split.netloc, timeout=5)
    connection.request("HEAD", "/api/events")
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.read() == b""
    connection.close()


def test_a_stream_that_has_gone_is_forgotten(server: Served) -> None:
    """By the hub, and by the count."""
    manager = server.live.manager
    eventually(lambda: manager.connection_count == 0)
    with EventStream(server.url, since="now") as stream:
        wait_ready(stream)
        assert manager.connection_count == 1
    eventually(lambda: manager.connection_count == 0 and manager.hub.subscriber_count == 0)


def test_a_stream_that_takes_nothing_is_ended(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It delays nobody, costs a bounded amount of memory, and may come back with its last id."""
    monkeypatch.setattr(BoundedHttpProtocol, "stall_timeout_s", 0.3)
    app = make_app(tmp_path_factory.mktemp("slow"))
    # One of its own: the module's is the next test's, too.
    app.state.pyrite_watch.manager = ConnectionManager(Hub(max_log_bytes=1 << 20))
    with served(app) as running:
        manager = running.live.manager
        stalled = socket.socket()
        # Before connect(): the window is negotiated there.
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        stalled.connect(("127.0.0.1", urlsplit(running.url).port))
        stalled.sendall(b"GET /api/events?since=now HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert stalled.recv(12) == b"HTTP/1.1 200"
        eventually(lambda: manager.connection_count == 1)
        loop = manager.loop
        assert loop is not None
        text = "x" * 10_000
        for _ in range(1500):
            loop.call_soon_threadsafe(manager.hub.publish, [guest_frame({"type": "flood", "text": text})])
        eventually(lambda: manager.hub.cut_offs == 1)
        eventually(lambda: manager.connection_count == 0)
        assert running.uvicorn is not None
        connections = running.uvicorn.server_state.connections
        eventually(lambda: not connections)
        stalled.close()


def test_an_answer_that_is_read_slowly_comes_whole(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes many times as long as a peer may take nothing: reading a little is enough."""
    monkeypatch.setattr(BoundedHttpProtocol, "stall_timeout_s", 0.4)
    folder = tmp_path_factory.mktemp("large")
    app = make_app(folder)
    write_entry(folder / "kbs" / "notes", "large", "A line of text.\n" * 500_000)
    with served(app) as running, socket.create_connection(("127.0.0.1", urlsplit(running.url).port)) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)
        slow.sendall(b"GET /api/entries/large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        taken, began_s = 0, time.monotonic()
        while piece := slow.recv(1 << 20 if time.monotonic() - began_s > 2 else 1 << 15):
            taken += len(piece)
            if time.monotonic() - began_s < 2:
                time.sleep(0.05)  # as slowly as it likes: that is the case under test
        assert taken > 8_000_000


def test_a_frame_is_encoded_once_for_all_its_readers() -> None:
    """And what was made is kept with it, in no cache that outlives it."""
    frame = guest_frame({"type": "hello"})
    assert stream_event(frame) is stream_event(frame) is frame.as_sse


def test_a_guest_has_no_id(server: Served) -> None:
    """It is in no log: nobody could resume after it; and its type may be anything."""
    assert b"\nid:" not in b"\n" + stream_event(guest_frame({"type": "hello", "n": 1}))
    assert b"event: hello\n" in stream_event(guest_frame({"type": "hello"}))
    for strange in ("a\nid: 7", None, 3, {"a": 1}):
        encoded = stream_event(guest_frame({"type": strange}))
        assert not encoded.startswith(b"event:")
        assert encoded.count(b"\n") == 3 or b"\nid: 7" not in encoded


def test_a_server_stops_in_time_with_a_stream_open(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A stream has no end of its own, and uvicorn waits for answers."""
    folder = tmp_path_factory.mktemp("stop")
    (folder / "home").mkdir()
    root = make_kb(folder / "home" / "notes", "a")
    with WatchProcess(root, home=folder / "home", state_dir=folder / "home" / "state") as process:
        process.wait_ready()
        with EventStream(process.url, since="now") as stream:
            wait_ready(stream)
            assert process.stop(timeout_s=3) == 0
            assert stream.ended.wait(5)
        assert "Traceback" not in process.output
        assert logging.getLevelName(logging.ERROR) not in process.output
