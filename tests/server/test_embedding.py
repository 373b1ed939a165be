"""`create_app` and `attach`: in an app of one's own, twice, and in two processes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.staticfiles import StaticFiles
from harness.wait import eventually
from live_app import BASE_URL, SOCKET_URL, client_of, live_of_app, make_app, make_kb, wait_ready, write_entry
from starlette.testclient import TestClient

from pyrite_watch import attach, create_app
from pyrite_watch.errors import RootOwnedError, UsageError
from pyrite_watch.server.tokens import QueryFreeAccessFilter
from pyrite_watch.server.websocket import broadcast_event, manager
from pyrite_watch.service import KBService, StoppedError

NOT_WATCHED = "nothing is watched here now"


@contextlib.contextmanager
def started(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://app.example") as client:
        wait_ready(app)
        yield client


def test_attach_adds_the_live_layer_to_an_app_of_ones_own(tmp_path: Path) -> None:
    """Its own routes, state, handlers and lifespan go on as before; and who may connect is its business."""
    steps: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        app.state.mine = "state"
        steps.append("start")
        yield {"shared": "yielded"}
        # The watch has ended by now: whoever uses its events can still close what they need.
        assert not live_of_app(app).pipeline.is_open
        steps.append("stop")

    app = FastAPI(lifespan=lifespan)

    @app.get("/mine")
    def mine(request: Request) -> dict[str, str]:
        return {"app": request.app.state.mine, "request": request.state.shared}

    @app.get("/api/mine")
    def fail() -> None:
        raise HTTPException(404, "mine")

    attach(app, [make_kb(tmp_path / "notes", "a")], state_dir=tmp_path / "state")
    with started(app) as client:
        assert steps == ["start"]
        assert client.get("/mine").json() == {"app": "state", "request": "yielded"}
        own = client.get("/api/mine")
        assert own.json() == {"detail": "mine"}
        assert "Pyrite-Position" not in own.headers, "that is no answer of ours"
        assert client.get("/none").json() == {"detail": "Not Found"}
        assert client.get("/api/entries/a").json()["id"] == "a"
        for path, status in (("/api/entries/none", 404), ("/api/entries?limit=0", 422)):
            refused = client.get(path)
            assert refused.status_code == status
            assert refused.headers["Pyrite-Position"]
        with client.websocket_connect("ws://app.example/ws", headers={"Origin": "http://other"}) as tab:
            write_entry(tmp_path / "notes", "b")
            assert tab.receive_json()["entry_id"] == "b"
    assert steps == ["start", "stop"]


def test_attach_is_for_an_app_that_has_not_started(tmp_path: Path) -> None:
    """And once: two layers would answer the same paths."""
    kb = make_kb(tmp_path / "notes", "a")
    app = FastAPI()
    attach(app, kb, state_dir=tmp_path / "state")
    with pytest.raises(RuntimeError, match="already"):
        attach(app, kb, state_dir=tmp_path / "state")
    running = FastAPI()
    with TestClient(running), pytest.raises(RuntimeError, match="started"):
        attach(running, kb, state_dir=tmp_path / "other")
    assert not hasattr(running.state, "pyrite_watch")


def test_a_single_path_is_a_list_of_one(tmp_path: Path) -> None:
    """A text was taken for a list of its letters."""
    root = make_kb(tmp_path / "notes", "a")
    for given in (str(root), root, [root], (f"mine={root}",)):
        app = create_app(given, state_dir=tmp_path / "state")
        (name,) = live_of_app(app).service.kbs
        assert name == ("mine" if isinstance(given, tuple) else "notes")


@pytest.mark.parametrize(
    "options",
    [
        {"allow_hosts": ["a b"]},
        {"allow_origins": ["*"]},
        {"public_url": "ftp://notes.example.com"},
        {"token": "one-token", "read_token": "one-token"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_an_option_that_cannot_be_meant_makes_no_app(tmp_path: Path, options: dict[str, Any]) -> None:
    """The door is built when the app starts: only then it failed, with a traceback."""
    with pytest.raises(UsageError):
        make_app(tmp_path, **options)


def test_an_app_may_be_started_again(tmp_path: Path) -> None:
    """Tests do. The second time nothing was watched, and nothing said so."""
    app = make_app(tmp_path)
    for number in range(3):
        with client_of(app) as client, client.websocket_connect(SOCKET_URL) as tab:
            write_entry(tmp_path / "kbs" / "notes", f"new-{number}")
            assert tab.receive_json()["entry_id"] == f"new-{number}"
            assert client.get(f"/api/entries/new-{number}").status_code == 200


def test_the_same_epoch_goes_on_after_a_restart(tmp_path: Path) -> None:
    """A reader resumes over it."""
    app = make_app(tmp_path)
    with client_of(app) as client:
        since = client.get("/api/stats").headers["Pyrite-Position"]
        client.post("/api/index/sync?kb=notes")
    with client_of(app) as client, client.websocket_connect(f"{SOCKET_URL}?since={since}") as tab:
        assert tab.receive_json()["type"] == "kb_synced"
        assert tab.receive_json()["type"] == "ready"


def test_two_apps_at_once_do_not_mix_their_events(tmp_path: Path) -> None:
    """The module's manager is the first's; both were given it, and each heard the other's KBs."""
    first, second = make_app(tmp_path / "1"), make_app(tmp_path / "2")
    with client_of(first) as one, client_of(second) as two:
        assert live_of_app(first).manager is manager
        assert live_of_app(second).manager is not manager
        with one.websocket_connect(SOCKET_URL) as tab, two.websocket_connect(SOCKET_URL) as other:
            write_entry(tmp_path / "2" / "kbs" / "work", "second")
            assert other.receive_json()["entry_id"] == "second"
            write_entry(tmp_path / "1" / "kbs" / "work", "first")
            assert tab.receive_json()["entry_id"] == "first"
            broadcast_event("guest", n=1)
            tab.receive_json()  # kb_synced
            assert tab.receive_json() == {"type": "guest", "n": 1}


def test_the_modules_manager_is_free_again_after_a_stop(tmp_path: Path) -> None:
    """Also in a loop that goes on running."""

    async def scenario() -> None:
        for name in ("1", "2"):
            app = make_app(tmp_path / name)
            async with app.router.lifespan_context(app):
                assert live_of_app(app).manager is manager

    asyncio.run(scenario())


def test_an_app_whose_lifespan_does_not_run_says_so(tmp_path: Path) -> None:
    """A mounted app's, for one: it answered with a traceback."""
    outer = FastAPI()
    outer.mount("/notes", make_app(tmp_path))
    with TestClient(outer, base_url=BASE_URL) as client:
        answer = client.get("/notes/api/kbs")
        assert answer.status_code == 503
        assert answer.json()["detail"]["code"] == "NOT_RUNNING"
        with client.websocket_connect("ws://127.0.0.1:8088/notes/ws?since=now") as tab:
            assert tab.receive() == {"type": "websocket.close", "code": 1012, "reason": NOT_WATCHED}


def test_a_mounted_app_does_not_tell_the_events_of_the_outer_one(tmp_path: Path) -> None:
    """Its lifespan does not run: it had the manager that the outer app's events go through."""
    outer, inner = make_app(tmp_path / "1"), make_app(tmp_path / "2")
    outer.mount("/inner", inner)
    outer.router.routes.insert(0, outer.router.routes.pop())
    with (
        client_of(outer) as client,
        client.websocket_connect("ws://127.0.0.1:8088/inner/ws") as tab,
    ):
        assert tab.receive()["code"] == 1012
        assert live_of_app(outer).manager.connection_count == 0


def test_a_watch_that_goes_down_takes_its_readers_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Heartbeats would tell them that they are up to date; whoever comes is refused, and the log says why."""
    app = make_app(tmp_path)
    with client_of(app) as client:
        live = live_of_app(app)
        with client.websocket_connect(f"{SOCKET_URL}?since=now") as tab:
            assert tab.receive_json()["type"] == "ready"
            damage = sqlite3.DatabaseError("database disk image is malformed")
            damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            monkeypatch.setattr(live.pipeline, "_look_at_roots", mock.Mock(side_effect=damage))
            closed = tab.receive()
            assert (closed["type"], closed["code"]) == ("websocket.close", 1012)
        eventually(lambda: not live.pipeline.is_open)
        with client.websocket_connect(SOCKET_URL) as late:
            assert late.receive() == {"type": "websocket.close", "code": 1012, "reason": NOT_WATCHED}
        assert client.get("/api/entries").status_code == 503
        assert client.get("/health").json()["status"] == "degraded"
    assert [record.levelname for record in caplog.records if str(tmp_path) in record.message] == ["CRITICAL"]


def test_a_second_process_is_told_who_has_the_root_and_what_to_do(tmp_path: Path) -> None:
    """As a second uvicorn worker would be: one process owns a root."""
    root = make_kb(tmp_path / "notes", "a")
    app = create_app(root, state_dir=tmp_path / "state")
    program = (
        "import sys\n"
        "from fastapi import FastAPI\n"
        "import uvicorn\n"
        "from pyrite_watch import attach\n"
        "app = FastAPI()\n"
        f"attach(app, {str(root)!r}, state_dir={str(tmp_path / 'other')!r})\n"
        "uvicorn.run(app, port=0)\n"
    )
    with client_of(app):
        run = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
            env={**os.environ},
        )
        assert run.returncode != 0
        assert f"RootOwnedError: {root} is already watched by process {os.getpid()}." in run.stderr
        assert "start the server with one worker" in run.stderr
        with pytest.raises(RootOwnedError), TestClient(create_app(root, state_dir=tmp_path / "third")):
            pass


def test_the_service_works_in_any_thread_of_the_process(tmp_path: Path) -> None:
    """`KBService`, as an embedder has it."""
    app = make_app(tmp_path)
    with client_of(app):
        service = live_of_app(app).service
        assert isinstance(service, KBService)
        (tmp_path / "kbs" / "work" / "d.md").unlink()
        counts = service.sync_index()
        seen = live_of_app(app).pipeline.metrics.events
        assert counts.removed == 1 or seen > 0, "the watcher may have been quicker"
    with pytest.raises(StoppedError):
        service.sync_index()


def test_a_sync_that_is_waited_for_when_the_watch_stops_ends(tmp_path: Path) -> None:
    """Its thread waited for ever, and with it the end of the process."""
    app = make_app(tmp_path)
    ended: list[BaseException] = []
    go_on, waiting = threading.Event(), threading.Event()
    with client_of(app):
        live = live_of_app(app)

        def hold(_: Any) -> None:
            waiting.set()
            go_on.wait(20)

        live.pipeline.call(hold)
        assert waiting.wait(10)

        def wait() -> None:
            try:
                live.service.sync_index()
            except StoppedError as error:
                ended.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        stopping = threading.Timer(0.2, go_on.set)
        stopping.start()
    thread.join(20)
    assert not thread.is_alive()
    assert len(ended) == 1


@pytest.mark.parametrize("how", ["files", "route"])
def test_attach_stands_before_what_takes_every_path(tmp_path: Path, how: str) -> None:
    """Files mounted at `/`, or a page for all addresses: they go on to have what is not ours."""
    (tmp_path / "page.txt").write_text("mine")
    app = FastAPI()
    if how == "files":
        app.mount("/", StaticFiles(directory=tmp_path))
    else:

        @app.get("/{anything:path}")
        def page(anything: str) -> Response:
            return Response("mine")

    attach(app, [make_kb(tmp_path / "notes", "a")], state_dir=tmp_path / "state")
    with started(app) as client:
        assert client.get("/api/entries/a").json()["id"] == "a"
        assert client.get("/page.txt").text == "mine"
        with client.websocket_connect("ws://app.example/ws?since=now") as tab:
            assert tab.receive_json()["type"] == "ready"


def test_the_log_of_a_plain_server_shows_no_query(tmp_path: Path) -> None:
    """Whoever runs the app by uvicorn has its access log."""
    names = ("uvicorn.access", "uvicorn.error")
    for name in names:
        logging.getLogger(name).filters.clear()
    with client_of(make_app(tmp_path)):
        for name in names:
            assert any(isinstance(each, QueryFreeAccessFilter) for each in logging.getLogger(name).filters)
