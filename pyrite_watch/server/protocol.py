"""uvicorn's WebSocket protocol with what ASGI does not offer: a hard end for a peer that takes nothing.

Given as `Config(ws=FanoutProtocol)`, or `uvicorn --ws pyrite_watch.server.protocol:FanoutProtocol`. It
puts itself into `scope["extensions"]["pyrite.fanout"]`, the ASGI specification's way for what a server
can do beyond it. Checked against uvicorn 0.54, whose `transport.close()` waits without end for a peer
that does not read: its buffer, its task and its descriptor would stay for as long as that peer lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

CLOSE_TIMEOUT_S = 5.0
"""How long a peer may take to take a close."""

STOP_TIMEOUT_S = 1.0
"""The same when the server stops: below `timeout_graceful_shutdown`, which would log an error."""


class FanoutProtocol(WebSocketsSansIOProtocol):
    """A WebSocket connection that ends in bounded time, whatever its peer does."""

    close_timeout_s = CLOSE_TIMEOUT_S
    stop_timeout_s = STOP_TIMEOUT_S
    _abort_timer: asyncio.TimerHandle | None = None

    def handle_connect(self, event: Request) -> None:
        """Start the application; it runs in a later turn of the loop, so the scope can still grow."""
        super().handle_connect(event)
        scope = cast("dict[str, Any] | None", getattr(self, "scope", None))
        if scope is not None:
            scope["extensions"]["pyrite.fanout"] = self

    async def send(self, message: ASGISendEvent) -> None:
        """Send; a close is one that the peer takes in time, or it is reset."""
        if message["type"] == "websocket.close":
            self.abort_after(self.close_timeout_s)
        await super().send(message)

    def try_send_frames(self, wire: bytes) -> bool:
        """Send whole frames if that needs no waiting; tell whether it was done."""
        if self.disconnected or self.close_sent or not self.handshake_complete:
            return False
        if not self.writable.is_set() or self.transport.is_closing():
            return False
        self.transport.write(wire)
        return True

    async def send_frames(self, wire: bytes) -> None:
        """Send whole frames that were made before; waits while the peer's buffer is full.

        Everything that uvicorn writes itself is whole frames, too, so they never interleave.

        Raises:
            ClientDisconnected: The peer is gone, or the close was sent.
        """
        await self.writable.wait()
        if self.disconnected or self.close_sent:
            raise ClientDisconnected
        self.transport.write(wire)

    def shutdown(self) -> None:
        """Close because the server stops."""
        super().shutdown()
        self.abort_after(self.stop_timeout_s)

    def keepalive_timeout(self) -> None:
        """Close because the peer does not answer."""
        super().keepalive_timeout()
        self.abort_after(self.close_timeout_s)

    def handle_parser_exception(self) -> None:
        """Close because the peer does not keep to the protocol, or a message is too big."""
        super().handle_parser_exception()
        self.abort_after(self.close_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        self._stop_timer()
        super().connection_lost(exc)

    def abort_after(self, timeout_s: float) -> None:
        """Reset the connection if it has not ended by then; a later call replaces the time."""
        self._stop_timer()
        if not self.disconnected:
            self._abort_timer = self.loop.call_later(timeout_s, self.abort)

    def abort(self) -> None:
        """Reset the connection at once; what waits in its buffers, the kernel's too, is dropped."""
        own_socket = self.transport.get_extra_info("socket")
        if own_socket is not None:
            # Without it the kernel would go on offering what it holds to a peer that takes nothing.
            with contextlib.suppress(OSError, struct.error):
                own_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _stop_timer(self) -> None:
        if self._abort_timer is not None:
            self._abort_timer.cancel()
            self._abort_timer = None
