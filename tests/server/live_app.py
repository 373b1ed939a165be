"""What the tests of the running app share: KBs in a folder, the app over them, and a real uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import httpx2
import uvicorn
from fastapi import FastAPI
from harness.wait import eventually
from starlette.testclient import TestClient

from pyrite_watch import create_app
from pyrite_watch.cli.address import bind, url_of
from pyrite_watch.server.context import Live
from pyrite_watch.server.http_protocol import BoundedHttpProtocol
from pyrite_watch.server.protocol import FanoutProtocol
from pyrite_watch.service import KBService

BASE_URL = "http://127.0.0.1:8088"
SOCKET_URL = "ws://127.0.0.1:8088/ws"


def make_kb(root: Path, *entry_ids: str) -> Path:
    """Write a KB of these entries."""
    root.mkdir(parents=True)
    (root / "kb.yaml").write_text(f"name: {root.name}\n", encoding="utf-8")
    for entry_id in entry_ids:
        write_entry(root, entry_id)
    return root


def write_entry(root: Path, entry_id: str, body: str = "Text.", front: str = "") -> Path:
    """Write an entry, in place."""
    file = root / f"{entry_id}.md"
    file.write_text(
        f"---\nid: {entry_id}\ntitle: Title of {entry_id}\n{front}---\n\n{body}\n", encoding="utf-8"
    )
    return file


def make_app(folder: Path, **options: Any) -> FastAPI:
    """The app over the KBs `notes` (a, b, c) and `work` (d), which are made where they are not there."""
    if not (folder / "kbs").exists():
        make_kb(folder / "kbs" / "notes", "a", "b", "c")
        make_kb(folder / "kbs" / "work", "d")
    return create_app([folder / "kbs"], state_dir=folder / "state", **options)


def live_of_app(app: FastAPI) -> Live:
    live = app.state.pyrite_watch
    assert isinstance(live, Live)
    return live


def wait_ready(app: FastAPI) -> None:
    """Wait until the index is the disk, and the hub knows it."""
    live = live_of_app(app)
    assert live.pipeline.ready.wait(20)
    eventually(lambda: live.manager.hub.position == live.pipeline.store.position)


@contextlib.contextmanager
def client_of(app: FastAPI, **options: Any) -> Iterator[TestClient]:
    """The app, started, behind starlette's client."""
    with TestClient(app, base_url=BASE_URL, **options) as client:
        wait_ready(app)
        yield client


@dataclass
class Served:
    """An app behind a real server."""

    app: FastAPI
    url: str
    end: Callable[[], None]
    thread: threading.Thread
    uvicorn: uvicorn.Server | None = None

    @property
    def live(self) -> Live:
        return live_of_app(self.app)

    @property
    def service(self) -> KBService:
        return self.live.service

    @property
    def position(self) -> str:
        return str(self.live.pipeline.store.position)

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return httpx2.get(self.url + path, **options)

    def stop(self) -> None:
        self.end()
        self.thread.join(20)
        assert not self.thread.is_alive()


ServerKind = Literal["asyncio", "uvloop", "plain", "hypercorn"]
"""uvicorn with our protocol on two kinds of loop; and what has no extension of ours: uvicorn's own
protocol, and a foreign server."""

SERVER_KINDS: tuple[ServerKind, ...] = get_args(ServerKind)


class QuietServer(uvicorn.Server):
    """In a thread there are no signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def served(
    app: FastAPI, protocol: type[FanoutProtocol] = FanoutProtocol, kind: ServerKind = "asyncio"
) -> Iterator[Served]:
    """Serve on a free port, as `pyrite watch` does or otherwise; an error of any task fails the test."""
    listener = bind("127.0.0.1", 0)
    settings = live_of_app(app).pipeline.settings
    server = None if kind == "hypercorn" else _uvicorn(app, protocol, kind)
    serve, end = _hypercorn(app, listener) if server is None else _serving(server, listener)
    faults: list[dict[str, Any]] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
        await serve()

    def run() -> None:
        with asyncio.Runner(loop_factory=_uvloop if kind == "uvloop" else None) as runner:
            runner.run(watched())

    thread = threading.Thread(target=run, name="test-server")
    running = Served(app, url_of(listener, settings), end, thread, server)
    thread.start()
    try:
        eventually(lambda: live_of_app(app).has_run or not thread.is_alive())
        assert thread.is_alive(), "the server did not start"
        wait_ready(app)
        yield running
    finally:
        running.stop()
        listener.close()
    assert faults == []


Serve = Callable[[], Awaitable[None]]


def _uvloop() -> asyncio.AbstractEventLoop:
    # Here: it has no wheel for every platform, and only these tests want it.
    import uvloop

    return uvloop.new_event_loop()


def _uvicorn(app: FastAPI, protocol: type[FanoutProtocol], kind: ServerKind) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        ws="websockets-sansio" if kind == "plain" else protocol,
        http="auto" if kind == "plain" else BoundedHttpProtocol,
        ws_max_size=4096,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
        lifespan="on",
    )
    return QuietServer(config)


def _serving(server: uvicorn.Server, listener: socket.socket) -> tuple[Serve, Callable[[], None]]:
    async def serve() -> None:
        await server.serve([listener])

    def end() -> None:
        server.should_exit = True

    return serve, end


def _hypercorn(app: FastAPI, listener: socket.socket) -> tuple[Serve, Callable[[], None]]:
    import hypercorn
    import hypercorn.asyncio

    config = hypercorn.Config()
    # It closes what it is given; the listener has to be there for whoever made it.
    config.bind = [f"fd://{os.dup(listener.fileno())}"]
    config.accesslog = config.errorlog = None
    config.graceful_timeout = 2
    stopping = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def trigger() -> None:
        await stopping.wait()

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        await hypercorn.asyncio.serve(app, config, shutdown_trigger=trigger, mode="asgi")  # type: ignore[arg-type]

    def end() -> None:
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            loops[0].call_soon_threadsafe(stopping.set)

    return serve, end
