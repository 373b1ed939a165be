"""What the tests of the running app share: KBs in a folder, the app over them, and a real uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI
from harness.wait import eventually
from starlette.testclient import TestClient

from pyrite_watch import create_app
from pyrite_watch.cli.serve import bind, url_of
from pyrite_watch.server.context import Live
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
    """An app behind a real uvicorn."""

    app: FastAPI
    url: str
    server: uvicorn.Server
    thread: threading.Thread

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
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()


class QuietServer(uvicorn.Server):
    """In a thread there are no signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def served(app: FastAPI, protocol: type[FanoutProtocol] = FanoutProtocol) -> Iterator[Served]:
    """Serve as `pyrite watch` does, on a free port; an error of any task there fails the test."""
    listener = bind("127.0.0.1", 0)
    settings = live_of_app(app).pipeline.settings
    config = uvicorn.Config(
        app,
        ws=protocol,
        ws_max_size=4096,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
        lifespan="on",
    )
    server = QuietServer(config)
    faults: list[dict[str, Any]] = []

    async def serve() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
        await server.serve([listener])

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="test-server")
    running = Served(app, url_of(listener, settings), server, thread)
    thread.start()
    try:
        eventually(lambda: server.started or not thread.is_alive())
        assert thread.is_alive(), "the server did not start"
        wait_ready(app)
        yield running
    finally:
        running.stop()
        listener.close()
    assert faults == []
