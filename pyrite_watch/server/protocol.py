"""uvicorn's WebSocket protocol with what ASGI does not offer: a hard end for a stalled peer.

Given as `Config(ws=FanoutProtocol)`. It puts itself into `scope["extensions"]["pyrite.fanout"]`,
the ASGI specification's way for what a server can do beyond it. Checked against uvicorn 0.54.
"""

from __future__ import annotations

from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request


class FanoutProtocol(WebSocketsSansIOProtocol):
    """A WebSocket connection whose application can end it also when its peer takes nothing."""

    def handle_connect(self, event: Request) -> None:
        """Start the application; it runs in a later turn of the loop, so the scope can still grow."""
        super().handle_connect(event)
        scope = cast("dict[str, Any] | None", getattr(self, "scope", None))
        if scope is not None:
            scope["extensions"]["pyrite.fanout"] = self

    def abort(self) -> None:
        """Reset the connection at once; what waits in its buffer is dropped."""
        self.transport.abort()
