"""Live sockets: what Pyrite's module of this name holds, over our one fan-out.

`ConnectionManager`, `manager` and `broadcast_event` keep Pyrite's signatures. The fan-out itself
is `live.hub`; a manager is its face for sockets. On our uvicorn protocol the hub writes to them; on any
other server `live.courier` awaits their sends. Either way a stalled or dead socket delays nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Protocol

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from pyrite_watch.live.courier import Courier
from pyrite_watch.live.frames import Frame, guest_frame
from pyrite_watch.live.hub import Hub
from pyrite_watch.live.inbox import Inbox
from pyrite_watch.live.subscriber import Sink, Subscriber, TooSlowError
from pyrite_watch.model.event import parse_position
from pyrite_watch.server.joining import Since, join

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 4096
"""What a client sends is ignored; more than this a message is refused with 1009."""

CLOSE_TIMEOUT_S = 5.0
"""How long a peer may take to take a close. `server.protocol` resets it after that."""

BROADCAST_WAIT_S = 0.25
"""How long `broadcast` waits for a socket to keep up; after that it counts as lagging."""

STOP_WAIT_S = 0.5
"""How long the end of an app waits for its sockets to take the close."""

TOKEN_REFUSED, NO_SUCH_KB, MALFORMED_SINCE = 4401, 4404, 4409
TOO_BIG, STOPPING, TRY_AGAIN = 1009, 1012, 1013


class ConnectionManager:
    """The connected sockets of one event loop, and what is told to them.

    `broadcast` and `broadcast_soon` work in any loop, `connection_count` may be read from any thread;
    the others belong into the loop in which the sockets live.
    """

    def __init__(self, hub: Hub | None = None, close_timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        self.hub = hub or Hub()
        self.courier = Courier(self.hub)
        self.close_timeout_s = close_timeout_s
        self.claimed_by: asyncio.AbstractEventLoop | None = None
        """The loop of the app whose events it tells."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sockets: dict[int, _Socket] = {}
        self._streams: set[Subscriber] = set()
        self._inbox: Inbox | None = None

    @property
    def connection_count(self) -> int:
        """How many sockets, and streams of Server-Sent Events, are connected."""
        return len(self._sockets) + len(self._streams)

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop in which the sockets live; None before the first."""
        return self._loop

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say in which loop the sockets live; those of a loop that has ended are forgotten.

        Raises:
            RuntimeError: There are readers in another loop that runs, or an app there tells its events here.
        """
        if loop is self._loop:
            return
        is_used = self._sockets or self._streams or self.claimed_by is self._loop
        if is_used and self._loop is not None and self._loop.is_running():
            raise RuntimeError("A ConnectionManager serves one event loop; make another one for this loop.")
        for subscriber in (*(socket.subscriber for socket in self._sockets.values()), *self._streams):
            subscriber.forget()
        self._sockets.clear()
        self._streams.clear()
        self.hub.enter_loop()
        self.courier.enter_loop()
        self._loop = loop
        self._inbox = Inbox(loop)

    async def connect(
        self, ws: WebSocket, kbs: frozenset[str] = frozenset(), since: Since | None = None
    ) -> None:
        """Accept a socket and tell it every event from now on (or from `since` on)."""
        self.bind(asyncio.get_running_loop())
        self.disconnect(ws)  # one that is connected twice still hears everything once
        # Before the accept: what happens when the client knows that it is connected, it is told.
        subscriber = self.hub.subscribe(kbs, resumable=since is not None)
        subscriber.is_joining = True
        try:
            await ws.accept()
        except BaseException:
            subscriber.close()
            raise
        socket = _Socket(ws, subscriber, since, self)
        self._sockets[id(ws)] = socket
        socket.start()

    def disconnect(self, ws: WebSocket) -> None:
        """Forget a socket; idempotent."""
        socket = self._sockets.pop(id(ws), None)
        if socket is not None:
            socket.stop()

    def forget(self, socket: _Socket) -> None:
        """Count a socket no longer whose sending has ended."""
        if self._sockets.get(id(socket.ws)) is socket:
            del self._sockets[id(socket.ws)]

    def note_stream(self, subscriber: Subscriber) -> None:
        """Count a reader that is told by other means than a socket."""
        self._streams.add(subscriber)

    def forget_stream(self, subscriber: Subscriber) -> None:
        """Count it no longer; idempotent."""
        self._streams.discard(subscriber)
        subscriber.close()

    def end_streams(self) -> None:
        """End the streams: a server that stops waits for its answers, and these have no end."""
        for subscriber in list(self._streams):
            subscriber.end()

    async def close_all(self, code: int, reason: str = "") -> None:
        """Close every socket that is still there, and forget them all; soon, also if some are stalled."""
        self.end_streams()
        sockets = list(self._sockets.values())
        for socket in sockets:
            self.disconnect(socket.ws)
        if sockets:
            loop = asyncio.get_running_loop()
            closing = [loop.create_task(_close(socket.ws, code, reason)) for socket in sockets]
            _, late = await asyncio.wait(closing, timeout=STOP_WAIT_S)
            for task in late:
                task.cancel()

    async def broadcast(self, event: dict[str, Any]) -> None:
        """Tell all sockets a dict as given: live only, not in the log.

        On return it was handed to every socket that keeps up; sockets that failed are gone.
        """
        self.broadcast_soon(event)
        loop = self._loop
        if loop is asyncio.get_running_loop():
            await self.hub.wait_delivered(BROADCAST_WAIT_S)
        elif loop is not None and loop.is_running():
            # Behind the publishing, in that loop's line.
            future = asyncio.run_coroutine_threadsafe(self.hub.wait_delivered(BROADCAST_WAIT_S), loop)
            # Bounded: that loop may end before it comes to this.
            _, late = await asyncio.wait([asyncio.wrap_future(future)], timeout=4 * BROADCAST_WAIT_S)
            for waiting in late:
                waiting.cancel()

    def broadcast_soon(self, event: dict[str, Any]) -> None:
        """Tell all sockets a dict, from any thread; returns at once, order kept."""
        frame = guest_frame(event)
        loop = self._loop
        # Else nobody has ever connected, or the server has stopped.
        if loop is not None and loop.is_running():
            self.do_soon(partial(self.hub.publish, [frame]), loop)

    def do_soon(self, work: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        """Do this in the sockets' loop, from any thread, in the order in which it is asked for.

        Nothing is done where the loop has ended, or the sockets live in another by now.
        """
        inbox = self._inbox
        if inbox is None or loop is not self._loop:
            return
        try:
            inbox.put(work)
        except RuntimeError:
            log.debug("What was told to a server that has stopped is dropped.")


class Fanout(Sink, Protocol):
    """What our uvicorn protocol can do beyond ASGI (`server/protocol.py`)."""

    async def send_frames(self, wire: bytes) -> None:
        """Send whole frames when there is room."""


class _Socket:
    """One connected socket. Where its server has our protocol, the hub feeds it; else the courier does."""

    def __init__(
        self, ws: WebSocket, subscriber: Subscriber, since: Since | None, manager: ConnectionManager
    ) -> None:
        self.ws = ws
        self.subscriber = subscriber
        self._since = since
        self._manager = manager
        self._task: asyncio.Task[None] | None = None
        # A fake socket of a test, or another server, has no such extension.
        extensions = getattr(ws, "scope", {}).get("extensions") or {}
        self._fanout: Fanout | None = extensions.get("pyrite.fanout")
        subscriber.sink = self._fanout

    def start(self) -> None:
        """Begin to send."""
        self.subscriber.on_cut_off = self._end_slow
        # A replay goes on joining until it is through.
        self.subscriber.is_joining = self._since is not None
        if self._since is None:
            self._go_live()
        else:
            self._start_task(self._join(self._since))

    def stop(self) -> None:
        """Stop sending."""
        self._leave()
        if self._task is not None:
            self._task.cancel()

    def _leave(self) -> None:
        self.subscriber.close()
        self._manager.courier.discard(self)

    def _start_task(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.get_running_loop().create_task(work, name="pyrite-socket")

    def _end_slow(self) -> None:
        """It was cut off. While it joins, its own task sees that by itself."""
        if self._task is None or self._task.done():
            self._leave()
            self._start_task(self._close_slow())

    def _go_live(self) -> None:
        if self.subscriber.sink is not None:
            self.subscriber.hub.feed(self.subscriber)
        else:
            self._manager.courier.add(self)

    async def _join(self, since: Since) -> None:
        try:
            async for frames in join(self.subscriber, since):
                try:
                    await self.send(frames)
                except Exception as error:  # noqa: BLE001 - `fail` logs it
                    self.fail(error)
                    return
            self.subscriber.is_joining = False
        except TooSlowError:
            await self._close_slow()
        except Exception:
            # It must not stay open and be told nothing.
            log.warning("What a socket missed cannot be read; it is closed, and may resume.", exc_info=True)
            await self._close(TRY_AGAIN, "the log cannot be read now: reconnect with since")
        else:
            self._go_live()

    def fail(self, error: Exception) -> None:
        """Be told no more."""
        if isinstance(error, TooSlowError):
            self._start_task(self._close_slow())
            return
        log.debug("A socket failed and is forgotten.", exc_info=error)
        self._forget()

    def _forget(self) -> None:
        self._manager.forget(self)
        self._leave()

    async def send(self, frames: Sequence[Frame]) -> None:
        """Send frames, each a message, and wait as long as its server does."""
        if self._fanout is not None:
            await self._fanout.send_frames(b"".join([frame.wire for frame in frames]))
            return
        for frame in frames:
            await self.ws.send_text(frame.text)

    async def _close_slow(self) -> None:
        log.info("A socket was too slow and is closed; it may resume.")
        await self._close(TRY_AGAIN, "too slow: reconnect with since")

    async def _close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(self._manager.close_timeout_s):
                await self.ws.close(code, reason)
        except TimeoutError:
            log.info("It did not take the close, either.")
        except Exception:
            log.debug("It went by itself.", exc_info=True)
        finally:
            self._forget()


async def _close(ws: WebSocket, code: int, reason: str) -> None:
    try:
        await ws.close(code, reason)
    except Exception:
        log.debug("A socket could not be closed.", exc_info=True)


manager = ConnectionManager()
"""The sockets of this process's server."""


def broadcast_event(event_type: str, **data: Any) -> None:
    """Tell all sockets `{"type": event_type, **data}`; works from any thread, returns at once."""
    manager.broadcast_soon({"type": event_type, **data})


router = APIRouter()


@router.websocket("/ws")
async def live_socket(ws: WebSocket) -> None:
    """Events as they happen; with `?since=EPOCH:OFFSET` those that were missed first."""
    try:
        await _serve(ws)
    except (WebSocketDisconnect, OSError, RuntimeError):
        log.debug("A socket went, or was closed from our side, meanwhile.", exc_info=True)
    finally:
        ws.app.state.pyrite_watch.manager.disconnect(ws)


async def _serve(ws: WebSocket) -> None:
    live = ws.app.state.pyrite_watch
    if not (live.has_run and live.pipeline.is_open):
        await _refuse(ws, STOPPING, "nothing is watched here now")
        return
    kbs = frozenset(ws.query_params.getlist("kb"))
    given = ws.query_params.get("since")
    if not kbs <= live.service.kbs.keys():
        await _refuse(ws, NO_SUCH_KB, "no such knowledge base")
        return
    since = None
    if given is not None:
        position = None if given == "now" else parse_position(given)
        if position is None and given != "now":
            await _refuse(ws, MALFORMED_SINCE, "since is EPOCH:OFFSET")
            return
        since = Since(position, live.pipeline.reader)
    await live.manager.connect(ws, kbs, since)
    # uvicorn reads only while somebody receives: without this no tab would ever be seen to go.
    while True:
        message = await ws.receive()
        if message["type"] == "websocket.disconnect":
            return
        if _size(message) > MAX_MESSAGE_BYTES:
            await ws.close(TOO_BIG, "too big")
            return


def _size(message: Any) -> int:
    text, data = message.get("text"), message.get("bytes")
    return len(text.encode()) if text is not None else len(data or b"")


async def _refuse(ws: WebSocket, code: int, reason: str) -> None:
    await ws.accept()
    await ws.close(code, reason)
