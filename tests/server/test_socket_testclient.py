"""`/ws` without uvicorn: starlette's client has no extension of ours, and the same guarantees."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from fastapi import FastAPI
from harness.wait import eventually
from live_app import SOCKET_URL, client_of, live_of_app, make_app
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect

from pyrite_watch.model.event import Epoch, Offset, Position
from pyrite_watch.server import joining
from pyrite_watch.server.websocket import TRY_AGAIN, broadcast_event


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """The app that all tests here share."""
    return make_app(tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[TestClient]:
    """It runs."""
    with client_of(app) as client:
        yield client


def position_of(app: FastAPI) -> Position:
    return live_of_app(app).pipeline.store.position


def sync(app: FastAPI, kb: str = "notes") -> int:
    live_of_app(app).service.sync_index(kb)
    return position_of(app).offset


def hear(tab: WebSocketTestSession, last: int) -> list[dict[str, Any]]:
    messages = [tab.receive_json()]
    while messages[-1]["offset"] != last or messages[-1]["type"] == "ready":
        messages.append(tab.receive_json())
    return messages


def test_without_parameters_a_tab_hears_events_and_nothing_else(client: TestClient, app: FastAPI) -> None:
    """From the accept on."""
    with client.websocket_connect(SOCKET_URL) as tab:
        first = sync(app)
        assert [message["offset"] for message in hear(tab, first)] == [first]


def test_a_resume_replays_then_says_ready_then_is_live(client: TestClient, app: FastAPI) -> None:
    """Dense, in order."""
    since = position_of(app)
    for _ in range(3):
        last = sync(app)
    with client.websocket_connect(f"{SOCKET_URL}?since={since}") as tab:
        replayed = [tab.receive_json()["offset"] for _ in range(3)]
        assert replayed == list(range(since.offset + 1, last + 1))
        ready = tab.receive_json()
        assert (ready["type"], ready["offset"], ready["replayed"]) == ("ready", last, 3)
        assert hear(tab, sync(app))[-1]["offset"] == last + 1


@pytest.mark.parametrize("since", ["other:1", "ahead"])
def test_a_position_that_is_not_of_this_log_is_told_to_load_again(
    client: TestClient, app: FastAPI, since: str
) -> None:
    """Then it is live."""
    here = position_of(app)
    given = f"{here.epoch}:{here.offset + 5}" if since == "ahead" else since
    with client.websocket_connect(f"{SOCKET_URL}?since={given}") as tab:
        resync = tab.receive_json()
        assert (resync["type"], resync["offset"]) == ("resync", here.offset)
        assert resync["reason"] == ("ahead" if since == "ahead" else "epoch")
        assert tab.receive_json()["type"] == "ready"


def test_a_new_epoch_is_told_to_readers_with_a_position_only(client: TestClient, app: FastAPI) -> None:
    """Then their offsets begin again."""
    manager = live_of_app(app).manager
    assert manager.loop is not None
    known = manager.hub.position
    url = SOCKET_URL
    with client.websocket_connect(url) as plain, client.websocket_connect(f"{url}?since=now") as tab:
        assert tab.receive_json()["type"] == "ready"
        fresh = Position(Epoch("fresh"), Offset(0))
        manager.loop.call_soon_threadsafe(manager.hub.begin_epoch, fresh, True)
        assert tab.receive_json()["type"] == "resync"
        manager.loop.call_soon_threadsafe(manager.hub.begin_epoch, known, False)
        last = sync(app)
        assert [message["type"] for message in hear(plain, last)] == ["kb_synced"]


def test_a_filter_sends_its_own_only(client: TestClient, app: FastAPI) -> None:
    """Others' events are passed over."""
    with client.websocket_connect(f"{SOCKET_URL}?kb=work") as tab:
        sync(app, "notes")
        assert [message["kb_name"] for message in hear(tab, sync(app, "work"))] == ["work"]


@pytest.mark.parametrize(("query", "code"), [("kb=none", 4404), ("since=x", 4409), ("since=", 4409)])
def test_a_refusal_has_its_code(client: TestClient, query: str, code: int) -> None:
    """After the accept."""
    with client.websocket_connect(f"{SOCKET_URL}?{query}") as tab:
        with pytest.raises(WebSocketDisconnect) as closed:
            tab.receive_json()
        assert closed.value.code == code


@pytest.mark.parametrize("message", ["x" * 4097, "é" * 2049, b"\0" * 4097])
def test_a_message_over_4_kib_is_refused(client: TestClient, message: str | bytes) -> None:
    """Counted in bytes. Here uvicorn's own limit is not in front."""
    with client.websocket_connect(SOCKET_URL) as tab:
        tab.send_bytes(message) if isinstance(message, bytes) else tab.send_text(message)
        with pytest.raises(WebSocketDisconnect) as closed:
            tab.receive_json()
        assert closed.value.code == 1009


@pytest.mark.parametrize("query", [b"", b"since=now", b"kb=none"])
@pytest.mark.parametrize("moment", ["accept", "connect"])
def test_a_client_that_is_gone_before_it_is_accepted_makes_no_error(
    client: TestClient, app: FastAPI, query: bytes, moment: str
) -> None:
    """A server logs what a route raises: it was a traceback for each such client."""

    async def receive() -> Message:
        return {"type": "websocket.disconnect" if moment == "connect" else "websocket.connect", "code": 1006}

    async def send(message: Message) -> None:
        raise OSError("gone")

    scope = {
        "type": "websocket",
        "path": "/ws",
        "query_string": query,
        "headers": [(b"host", b"127.0.0.1:8088")],
        "server": ("127.0.0.1", 8088),
        "root_path": "",
        "subprotocols": [],
        "app": app,
    }
    assert client.portal is not None
    client.portal.call(app, scope, receive, send)
    assert live_of_app(app).manager.connection_count == 0
    assert live_of_app(app).manager.hub.subscriber_count == 0


def test_guests_that_come_while_a_reader_joins_are_told(
    client: TestClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in no log: what is told after the accept is told, each once, after the replay."""
    since = position_of(app)
    last = sync(app)
    load = joining._load_page

    def load_and_tell(*args: Any) -> Any:
        broadcast_event("guest", n=1)
        return load(*args)

    monkeypatch.setattr(joining, "_load_page", load_and_tell)
    with client.websocket_connect(f"{SOCKET_URL}?since={since}") as tab:
        heard = [tab.receive_json() for _ in range(3)]
        assert [message["type"] for message in heard] == ["kb_synced", "ready", "guest"]
        assert hear(tab, sync(app))[0]["offset"] == last + 1


def test_a_reader_whose_replay_cannot_be_read_is_closed(
    client: TestClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may come again; open and without a word it would believe that nothing happens."""
    since = position_of(app)
    sync(app)
    broken = mock.Mock(side_effect=sqlite3.OperationalError("unable to open database file"))
    with monkeypatch.context() as patch:
        patch.setattr(joining, "_load_page", broken)
        with client.websocket_connect(f"{SOCKET_URL}?since={since}") as tab:
            closed = tab.receive()
    assert (closed["type"], closed["code"]) == ("websocket.close", TRY_AGAIN)
    eventually(lambda: live_of_app(app).manager.hub.subscriber_count == 0)


def test_what_a_client_says_is_ignored(client: TestClient, app: FastAPI) -> None:
    """Up to the limit."""
    with client.websocket_connect(SOCKET_URL) as tab:
        tab.send_text("x" * 4096)
        tab.send_bytes(b"\0" * 4096)
        last = sync(app)
        assert hear(tab, last)[-1]["offset"] == last


def test_guests_and_events_come_in_the_order_in_which_they_were_made(
    client: TestClient, app: FastAPI
) -> None:
    """From whichever thread: what is told after a commit comes after its events."""
    with client.websocket_connect(SOCKET_URL) as tab:
        for number in range(20):
            sync(app)
            broadcast_event("guest", n=number)
        kinds = [tab.receive_json()["type"] for _ in range(40)]
        assert kinds == ["kb_synced", "guest"] * 20


def test_a_guest_does_not_overtake_events_while_the_loop_is_busy(client: TestClient, app: FastAPI) -> None:
    """The loop, woken for the guest before, must not take the one that comes after an event with it."""
    is_busy, go_on = threading.Event(), threading.Event()

    def be_busy() -> None:
        is_busy.set()
        go_on.wait(10)

    portal = client.portal
    assert portal is not None
    with client.websocket_connect(SOCKET_URL) as tab:
        portal.start_task_soon(be_busy)
        assert is_busy.wait(10)
        broadcast_event("guest", n=1)
        sync(app)
        broadcast_event("guest", n=2)
        go_on.set()
        assert [tab.receive_json()["type"] for _ in range(3)] == ["guest", "kb_synced", "guest"]


def test_a_foreign_page_is_refused_before_the_upgrade(client: TestClient) -> None:
    """403, not a close code."""
    headers = {"Origin": "http://evil.example"}
    with pytest.raises(Exception) as refused, client.websocket_connect(SOCKET_URL, headers=headers):  # noqa: PT011
        pass
    assert getattr(refused.value, "status_code", None) == 403


def test_readers_that_join_while_a_writer_commits_miss_nothing(client: TestClient, app: FastAPI) -> None:
    """Dense from their position on, ten times."""
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            sync(app)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(10):
            since = position_of(app)
            with client.websocket_connect(f"{SOCKET_URL}?since={since}") as tab:
                heard = [tab.receive_json() for _ in range(25)]
            offsets = [message["offset"] for message in heard if message["type"] == "kb_synced"]
            assert offsets == list(range(since.offset + 1, since.offset + 1 + len(offsets)))
            assert [message["type"] for message in heard].count("ready") == 1
    finally:
        ended.set()
        writer.join()
