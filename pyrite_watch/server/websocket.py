"""Live sockets: what Pyrite's module of this name holds, over our one fan-out.

`ConnectionManager`, `manager` and `broadcast_event` keep Pyrite's signatures. The fan-out itself
is `live.hub`; a manager is its face for sockets, with one small task a socket that reads the hub's
log by its cursor and awaits the send. So a stalled or dead socket delays nobody.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from starlette.concurrency import run_in_threadpool

from pyrite_watch import __version__
from pyrite_watch.index import log as event_log
from pyrite_watch.index.reader import Reader
from pyrite_watch.live.frames import Frame, ResyncReason, event_frame, guest_frame, ready_frame, resync_frame
from pyrite_watch.live.hub import Hub, Subscriber, TooSlowError
from pyrite_watch.model.event import Event, Offset, Position, parse_position

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 4096
"""What a client sends is ignored; more than this a message is refused with 1009."""

CLOSE_TIMEOUT_S = 5.0
"""A peer that does not even take the close is reset after this time."""

BROADCAST_WAIT_S = 0.25
"""How long `broadcast` waits for a socket to keep up; after that it counts as lagging."""

REPLAY_PAGE = 500

TOKEN_REFUSED, NO_SUCH_KB, MALFORMED_SINCE = 4401, 4404, 4409
TOO_SLOW, TOO_BIG = 1013, 1009


@dataclass(frozen=True, slots=True)
class Since:
    """Where a reader wants to go on: after `position`, or from now on where it is None."""

    position: Position | None
    reader: Reader


class ConnectionManager:
    """The connected sockets of one event loop, and what is told to them.

    Coroutines are to be awaited in any loop; `connection_count` may be read from any thread.
    """

    def __init__(self, hub: Hub | None = None) -> None:
        self.hub = hub or Hub()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sockets: dict[int, _Socket] = {}

    @property
    def connection_count(self) -> int:
        """How many sockets are connected."""
        return len(self._sockets)

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop in which the sockets live; None before the first."""
        return self._loop

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say in which loop the sockets live; those of another one are forgotten."""
        if loop is not self._loop:
            for socket in list(self._sockets.values()):
                socket.subscriber.close()
            self._sockets.clear()
            self._loop = loop

    async def connect(
        self, ws: WebSocket, kbs: frozenset[str] = frozenset(), since: Since | None = None
    ) -> None:
        """Accept a socket and tell it every event from now on (or from `since` on)."""
        await ws.accept()
        self.bind(asyncio.get_running_loop())
        socket = _Socket(ws, self.hub.subscribe(kbs, resumable=since is not None), since, self)
        self._sockets[id(ws)] = socket
        socket.start()

    def disconnect(self, ws: WebSocket) -> None:
        """Forget a socket; idempotent."""
        socket = self._sockets.pop(id(ws), None)
        if socket is not None:
            socket.stop()

    async def broadcast(self, event: dict[str, Any]) -> None:
        """Tell all sockets a dict as given: live only, not in the log.

        On return it was handed to every socket that keeps up; sockets that failed are gone.
        """
        frame = guest_frame(event)
        loop = self._loop
        if loop is None or loop is asyncio.get_running_loop():
            await self._broadcast(frame)
        elif not loop.is_closed():
            future = asyncio.run_coroutine_threadsafe(self._broadcast(frame), loop)
            await asyncio.wrap_future(future)

    def broadcast_soon(self, event: dict[str, Any]) -> None:
        """Tell all sockets a dict, from any thread; returns at once, order kept."""
        loop = self._loop
        if loop is None:
            return  # nobody has ever connected
        frames = [guest_frame(event)]
        try:
            running: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            running = None  # a worker thread: where sync endpoints run
        if running is loop:
            self.hub.publish(frames)
            return
        try:
            loop.call_soon_threadsafe(self.hub.publish, frames)
        except RuntimeError:
            log.debug("An event for a server that has stopped is dropped.")

    async def _broadcast(self, frame: Frame) -> None:
        self.hub.publish([frame])
        await self.hub.wait_delivered(BROADCAST_WAIT_S)


class _Socket:
    """One connected socket and its task."""

    def __init__(
        self, ws: WebSocket, subscriber: Subscriber, since: Since | None, manager: ConnectionManager
    ) -> None:
        self.ws = ws
        self.subscriber = subscriber
        self._since = since
        self._manager = manager
        self._task: asyncio.Task[None] | None = None
        self._is_cut_off = False

    def start(self) -> None:
        """Begin to send. The replay, if any, reaches exactly to where the cursor is now."""
        self.subscriber.on_cut_off = self.cut_off
        self.subscriber.is_replaying = self._since is not None
        self._task = asyncio.get_running_loop().create_task(self._run(), name="pyrite-socket")

    def stop(self) -> None:
        """Stop sending."""
        self.subscriber.close()
        if self._task is not None:
            self._task.cancel()

    def cut_off(self) -> None:
        """It fell off the hub's log while a send was blocked."""
        self._is_cut_off = True
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            try:
                if self._since is not None:
                    await self._replay(self._since)
                await self._go_live()
            except (TooSlowError, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and not self._is_cut_off:
                    raise
                await self._close_slow()
        except asyncio.CancelledError:
            return
        except Exception:
            log.debug("A socket failed and is forgotten.", exc_info=True)
        finally:
            self.subscriber.close()
            self._manager.disconnect(self.ws)

    async def _go_live(self) -> None:
        subscriber = self.subscriber
        while True:
            for frame in await subscriber.next_frames():
                await self.ws.send_text(frame.text)
            subscriber.sent()

    async def _replay(self, since: Since) -> None:
        subscriber, hub = self.subscriber, self.subscriber.hub
        first = since.position or hub.position
        replayed, compacted = 0, False
        if first.epoch != hub.position.epoch or first.offset > hub.position.offset:
            reason: ResyncReason = "epoch" if first.epoch != hub.position.epoch else "ahead"
            await self.ws.send_text(resync_frame(reason, hub.position).text)
            # What was published while that was sent is live for this reader already.
            target = Position(hub.position.epoch, hub.position.offset)
            subscriber.cursor = hub.end
        else:
            target = first
            while True:
                start, target, subscriber.cursor = target, hub.position, hub.end
                if target.epoch != start.epoch:
                    break  # a new epoch began meanwhile: its resync is in the hub's log
                replayed += await self._replay_between(since.reader, start.offset, target.offset)
                compacted |= await run_in_threadpool(_is_compacted, since.reader, start.offset, target.offset)
                if subscriber.cursor >= hub.start:
                    break
        subscriber.is_replaying = False
        await self.ws.send_text(ready_frame(target, replayed, compacted, __version__).text)

    async def _replay_between(self, reader: Reader, after: Offset, until: Offset) -> int:
        kbs = sorted(self.subscriber.kbs)
        count = 0
        while after < until:
            page = await run_in_threadpool(_load_page, reader, after, until, kbs)
            for event in page:
                await self.ws.send_text(event_frame(event).text)
            count += len(page)
            if len(page) < REPLAY_PAGE:
                break
            after = page[-1].offset
        return count

    async def _close_slow(self) -> None:
        log.info("A socket was too slow and is closed; it may resume.")
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self.ws.close(TOO_SLOW, "too slow: reconnect with since")
        except TimeoutError:
            fanout = self.ws.scope.get("extensions", {}).get("pyrite.fanout")
            if fanout is not None:
                fanout.abort()


def _load_page(reader: Reader, after: Offset, until: Offset, kbs: list[str]) -> list[Event]:
    with reader.snapshot() as snapshot:
        return event_log.load_events(snapshot.connection, after, until, REPLAY_PAGE, kbs)


def _is_compacted(reader: Reader, after: Offset, until: Offset) -> bool:
    with reader.snapshot() as snapshot:
        return event_log.is_compacted(snapshot.connection, after, until)


manager = ConnectionManager()
"""The sockets of this process's server."""


def broadcast_event(event_type: str, **data: Any) -> None:
    """Tell all sockets `{"type": event_type, **data}`; works from any thread, returns at once."""
    manager.broadcast_soon({"type": event_type, **data})


router = APIRouter()


@router.websocket("/ws")
async def live_socket(ws: WebSocket) -> None:
    """Events as they happen; with `?since=EPOCH:OFFSET` those that were missed first."""
    live = ws.app.state.pyrite_watch
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
    try:
        # uvicorn reads only while somebody receives: without this no tab would ever be seen to go.
        while True:
            message = await ws.receive()
            if message["type"] == "websocket.disconnect":
                return
            if _size(message) > MAX_MESSAGE_BYTES:
                await ws.close(TOO_BIG, "too big")
                return
    except (WebSocketDisconnect, RuntimeError):
        return  # closed from our side meanwhile
    finally:
        live.manager.disconnect(ws)


def _size(message: Any) -> int:
    text, data = message.get("text"), message.get("bytes")
    return len(text.encode()) if text is not None else len(data or b"")


async def _refuse(ws: WebSocket, code: int, reason: str) -> None:
    await ws.accept()
    await ws.close(code, reason)
