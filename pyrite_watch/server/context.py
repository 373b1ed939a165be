"""What an app has while it runs: the pipeline, its service and the sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from fastapi import Request, Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pyrite_watch.index.reader import Snapshot
from pyrite_watch.live.hub import Hub
from pyrite_watch.model.event import Position
from pyrite_watch.pipeline import Pipeline
from pyrite_watch.reconciler import PassReport
from pyrite_watch.server.websocket import ConnectionManager
from pyrite_watch.server.websocket import manager as module_manager
from pyrite_watch.service import KBService

HEARTBEAT_S = 15.0


@dataclass(slots=True)
class Live:
    """One app's live layer; `app.state.pyrite_watch` holds it."""

    pipeline: Pipeline
    service: KBService
    manager: ConnectionManager

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Open the pipeline where it is not open, publish what it tells, and stop it at the end."""
        loop = asyncio.get_running_loop()
        pipeline, hub = self.pipeline, self.manager.hub
        if not pipeline.is_open:
            await asyncio.to_thread(pipeline.open)
        self.manager.bind(loop)
        hub.begin_epoch(pipeline.store.position, is_resync=False)

        def publish(report: PassReport) -> None:
            # After the loop's end there is no tab left to tell.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(hub.publish_events, report.events)

        pipeline.listeners.insert(0, publish)

        def begin_epoch(position: Position) -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(hub.begin_epoch, position, True)

        pipeline.on_new_epoch.append(begin_epoch)
        heart = loop.create_task(self._beat(), name="pyrite-heartbeat")
        pipeline.start()
        try:
            yield
        finally:
            heart.cancel()
            await asyncio.to_thread(pipeline.stop)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            self.manager.hub.publish_heartbeat()


def choose_manager() -> ConnectionManager:
    """The module's manager for the first app of a process; another one has sockets of its own."""
    return ConnectionManager() if module_manager.loop and module_manager.loop.is_running() else module_manager


def live_of(request: Request) -> Live:
    """The live layer of the app that answers."""
    live: Live = request.app.state.pyrite_watch
    return live


class PositionHeader:
    """Gives every `/api` answer a `Pyrite-Position`: errors, too, which have no snapshot of their own."""

    def __init__(self, app: ASGIApp, hub: Hub) -> None:
        self._app = app
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with the header where it is missing."""
        if scope["type"] != "http" or "/api/" not in scope["path"]:
            await self._app(scope, receive, send)
            return

        async def send_with_position(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("Pyrite-Position", str(self._hub.position))
            await send(message)

        await self._app(scope, receive, send_with_position)


@contextmanager
def snapshot_for(request: Request, response: Response) -> Iterator[Snapshot]:
    """A read transaction; the answer carries its position."""
    with live_of(request).pipeline.reader.snapshot() as snapshot:
        response.headers["Pyrite-Position"] = str(snapshot.position)
        yield snapshot
