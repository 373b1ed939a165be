"""What an app has while it runs: the pipeline, its service and the sockets."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial

from fastapi import Request, Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pyrite_watch.errors import RequestError, StateError
from pyrite_watch.index.reader import Snapshot
from pyrite_watch.model.event import Position
from pyrite_watch.pipeline import Pipeline
from pyrite_watch.reconciler import PassReport
from pyrite_watch.server.websocket import STOPPING, ConnectionManager
from pyrite_watch.server.websocket import manager as module_manager
from pyrite_watch.service import KBService, StoppedError

HEARTBEAT_S = 15.0

OWN_PATHS = ("kbs", "entries", "state", "events", "problems", "stats", "index", "search")
"""What of `/api` is ours where the app is somebody else's."""

_POSITION = "pyrite.position"
"""In a request's scope: where the index was when it was read for it."""

_claiming = threading.Lock()

log = logging.getLogger(__name__)


class NotRunningError(RequestError):
    """The app's lifespan has not run, or has ended: nothing is watched."""

    status = 503
    code = "NOT_RUNNING"

    def __init__(self) -> None:
        super().__init__(
            "Nothing is watched: the app's lifespan does not run.",
            "A server runs it (uvicorn --lifespan on); that of a mounted app is not run by its parent.",
        )


@dataclass(slots=True)
class Live:
    """One app's live layer; `app.state.pyrite_watch` holds it."""

    pipeline: Pipeline
    service: KBService
    manager: ConnectionManager = module_manager
    """The module's; a second app that runs at the same time gets one of its own at its start."""
    heartbeat_s: float = HEARTBEAT_S
    has_run: bool = False
    closing: asyncio.Task[None] | None = None
    """Closes the sockets, when the writing thread has ended by an error."""

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Open the pipeline where it is not open, publish what it tells, and stop it at the end."""
        loop = asyncio.get_running_loop()
        if self.has_run:
            # A pipeline runs once; an app may be started again (tests do).
            self.pipeline = Pipeline(self.pipeline.settings)
            self.service = KBService(self.pipeline)
        self.has_run = True
        if not self.pipeline.is_open:
            await asyncio.to_thread(self.pipeline.open)
        with self._claimed_manager(loop):
            heart = self._start(loop)
            try:
                yield
            finally:
                heart.cancel()
                # uvicorn has closed its sockets by now; other servers may not have.
                await self.manager.close_all(STOPPING, "the server stops")
                await asyncio.to_thread(self.pipeline.stop)

    def _start(self, loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
        pipeline, hub = self.pipeline, self.manager.hub
        hub.begin_epoch(pipeline.store.position, is_resync=False)

        def publish(report: PassReport) -> None:
            self.manager.do_soon(partial(hub.publish_events, report.events), loop)

        def begin_epoch(position: Position) -> None:
            self.manager.do_soon(partial(hub.begin_epoch, position, is_resync=True), loop)

        def end(error: BaseException) -> None:
            self.manager.do_soon(partial(self._end_readers, loop, heart, error), loop)

        # First: what is printed must not come before what tabs are told.
        pipeline.listeners.insert(0, publish)
        pipeline.on_new_epoch.append(begin_epoch)
        pipeline.on_failure.append(end)
        heart = loop.create_task(self._beat(), name="pyrite-heartbeat")
        pipeline.start()
        return heart

    def _end_readers(
        self, loop: asyncio.AbstractEventLoop, heart: asyncio.Task[None], error: BaseException
    ) -> None:
        """End all readers: nothing is told any more, and none must believe that it is up to date."""
        heart.cancel()
        self.closing = loop.create_task(self.manager.close_all(STOPPING, "nothing is watched any more"))
        if isinstance(error, StateError) and len(self.pipeline.on_failure) == 1:
            log.critical("%s %s", error, error.hint)  # else who runs it says so

    @contextmanager
    def _claimed_manager(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Have a manager that no other app uses: two apps' events must not mix."""
        if self.manager is module_manager:
            with _claiming:
                holder = module_manager.claimed_by
                if holder is None or not holder.is_running():
                    module_manager.claimed_by = loop
                else:
                    self.manager = ConnectionManager()
        self.manager.bind(loop)
        self.manager.claimed_by = loop
        try:
            yield
        finally:
            self.manager.claimed_by = None

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.heartbeat_s)
            self.manager.hub.publish_heartbeat()


def live_of(request: Request) -> Live:
    """The live layer of the app that answers.

    Raises:
        NotRunningError: It has not started.
    """
    live: Live = request.app.state.pyrite_watch
    if not live.has_run:
        raise NotRunningError
    return live


class PositionHeader:
    """Gives every `/api` answer a `Pyrite-Position`: errors, too, which have no snapshot of their own.

    Args:
        only: First parts of paths below `/api` to which this is confined; None for all.
    """

    def __init__(self, app: ASGIApp, live: Live, only: Collection[str] | None = None) -> None:
        self._app = app
        self._live = live
        self._only = only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with the header where it is missing."""
        if scope["type"] != "http" or not self._is_ours(scope["path"]):
            await self._app(scope, receive, send)
            return

        async def send_with_position(message: Message) -> None:
            if message["type"] == "http.response.start":
                # What it found was found there: the hub may have gone on meanwhile.
                position = scope.get(_POSITION) or self._live.manager.hub.position
                MutableHeaders(scope=message).setdefault("Pyrite-Position", str(position))
            await send(message)

        await self._app(scope, receive, send_with_position)

    def _is_ours(self, path: str) -> bool:
        _, api, below = path.partition("/api/")
        return bool(api) and (self._only is None or below.split("/", 1)[0] in self._only)


class AnswerCancelled:
    """Tells who waits for what a stop has cut short that it was; uvicorn would send a plain 500.

    Args:
        make_answer: What is sent where nothing has been sent yet.
    """

    def __init__(self, app: ASGIApp, make_answer: Callable[[], Response]) -> None:
        self._app = app
        self._make_answer = make_answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def send_noting(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        except asyncio.CancelledError:
            if not has_begun:
                await self._make_answer()(scope, receive, send)
            raise


class AnswerHead:
    """Answers HEAD wherever GET is answered, with the same headers and no body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                if message.get("more_body", False):
                    return
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET", "pyrite.head": True}, receive, send_head)


@contextmanager
def snapshot_for(request: Request, response: Response) -> Iterator[Snapshot]:
    """A read transaction; the answer carries its position."""
    pipeline = live_of(request).pipeline
    if not pipeline.is_open:
        raise StoppedError
    with pipeline.reader.snapshot() as snapshot:
        response.headers["Pyrite-Position"] = str(snapshot.position)
        request.scope[_POSITION] = snapshot.position  # for an error, which is another answer
        yield snapshot
