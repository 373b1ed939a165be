"""uvicorn's WebSocket protocol with what ASGI does not offer: bytes without waiting, and a hard end.

Given as `Config(ws=FanoutProtocol)`, or `uvicorn --ws pyrite_watch.server.protocol:FanoutProtocol`. It
puts itself into `scope["extensions"]["pyrite.fanout"]`, the ASGI specification's way for what a server
can do beyond it. Checked against uvicorn 0.54, with asyncio and uvloop. Its `transport.close()` waits
without end for a peer that does not read: its buffer, its task and its descriptor would stay for as long as
that peer lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from asyncio.transports import BaseTransport
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

CLOSE_TIMEOUT_S = 5.0
"""How long a peer may take to take a close."""

STOP_TIMEOUT_S = 0.8
"""The same when the server stops: below `timeout_graceful_shutdown`, which would log an error."""


def reset(transport: asyncio.Transport) -> None:
    """Reset a connection; what waits in its buffers, the kernel's too, is dropped."""
    own_socket = transport.get_extra_info("socket")
    if own_socket is not None:
        # Without it the kernel would go on offering what it holds to a peer that takes nothing.
        with contextlib.suppress(OSError, struct.error):
            own_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _nothing() -> None:
    """Nobody listens."""


class FanoutProtocol(WebSocketsSansIOProtocol):
    """A WebSocket connection that takes ready-made frames, and ends in bounded time, whatever its peer does.

    It is a `live.subscriber.Sink`. Frames and what uvicorn writes itself (pings, pongs, a close) never
    interleave: all are written whole, and nothing goes past the transport while something is in its buffer,
    nor after a close.
    """

    close_timeout_s = CLOSE_TIMEOUT_S
    stop_timeout_s = STOP_TIMEOUT_S
    descriptor = -1
    _abort_timer: asyncio.TimerHandle | None = None
    _is_closed = False

    def connection_made(self, transport: BaseTransport) -> None:
        """A connection is to become a WebSocket."""
        self.on_full: Callable[[], None] = _nothing
        self.on_room: Callable[[], None] = _nothing
        super().connection_made(transport)
        # So that `pause_writing` is called as soon as anything is left in the buffer.
        self.transport.set_write_buffer_limits(high=0)
        own_socket = transport.get_extra_info("socket")
        if own_socket is not None and transport.get_extra_info("sslcontext") is None:
            self.descriptor = own_socket.fileno()

    def handle_connect(self, event: Request) -> None:
        """Start the application; it runs in a later turn of the loop, so the scope can still grow."""
        super().handle_connect(event)
        scope = cast("dict[str, Any] | None", getattr(self, "scope", None))
        if scope is not None:
            scope["extensions"]["pyrite.fanout"] = self

    async def send(self, message: ASGISendEvent) -> None:
        """Send; a close is one that the peer takes in time, or it is reset."""
        if message["type"] == "websocket.close":
            self._end_frames()
            self.abort_after(self.close_timeout_s)
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            # uvicorn notes this only of a refusal by a close; any other it would log as an error.
            self._end_frames()
            self.handshake_complete = True

    def can_take(self) -> bool:
        """Whether it is open and nothing waits in its buffer."""
        return (
            self.handshake_complete
            and self.writable.is_set()
            and not self._is_closed
            and not self.disconnected
            and not self.transport.is_closing()
        )

    def take(self, wire: bytes | memoryview) -> None:
        """Write whole frames, or the rest of some; what the kernel does not take waits in the buffer."""
        self.transport.write(wire)

    async def send_frames(self, wire: bytes) -> None:
        """Send whole frames when there is room.

        Raises:
            ClientDisconnected: The peer is gone, or the close was sent.
        """
        await self.writable.wait()
        if not self.can_take():
            raise ClientDisconnected
        self.take(wire)

    def pause_writing(self) -> None:
        """Something is left in the buffer."""
        super().pause_writing()
        self.on_full()

    def resume_writing(self) -> None:
        """The buffer is empty."""
        super().resume_writing()
        self.on_room()

    def _end_frames(self) -> None:
        """Take no more frames: none may follow a close."""
        self._is_closed = True
        self.on_full()

    def handle_close(self, event: Frame) -> None:
        """Answer the peer's close."""
        self._end_frames()
        super().handle_close(event)
        self.abort_after(self.close_timeout_s)

    def eof_received(self) -> None:
        """End because the peer sends no more; asyncio closes, and waits for it to read what is left."""
        self._end_frames()
        super().eof_received()
        self.abort_after(self.close_timeout_s)

    def shutdown(self) -> None:
        """Close because the server stops."""
        self._end_frames()
        if self.conn.state is State.CLOSING and not self.close_sent:
            # The peer's close was answered, and waits to be read: a second one must not be sent.
            self.stop_keepalive()
            self.transport.close()
        else:
            super().shutdown()
        self.abort_after(self.stop_timeout_s)

    def keepalive_timeout(self) -> None:
        """Close because the peer does not answer."""
        self._end_frames()
        super().keepalive_timeout()
        self.abort_after(self.close_timeout_s)

    def handle_parser_exception(self) -> None:
        """Close because the peer does not keep to the protocol, or a message is too big."""
        self._end_frames()
        super().handle_parser_exception()
        self.abort_after(self.close_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended; its descriptor may soon be another's."""
        self._end_frames()
        self._stop_timer()
        super().connection_lost(exc)

    def abort_after(self, timeout_s: float) -> None:
        """Reset the connection if it has not ended by then; a later call replaces the time."""
        self._stop_timer()
        if not self.disconnected:
            self._abort_timer = self.loop.call_later(timeout_s, self.abort)

    def abort(self) -> None:
        """Reset the connection at once."""
        reset(self.transport)

    def _stop_timer(self) -> None:
        if self._abort_timer is not None:
            self._abort_timer.cancel()
            self._abort_timer = None
