"""The naive manager, as Pyrite has it and as FastAPI's tutorial shows it: a list, and a loop that awaits.

python naive.py            without compression
python naive.py --deflate  with permessage-deflate, uvicorn's default
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from benchmarks.fanout.programs import control


class ConnectionManager:
    """Sends to one socket after the other; who does not read stops all that come after it."""

    def __init__(self) -> None:
        self.active: list[WebSocket] = []

    async def connect(self, ws: WebSocket) -> None:
        """Accept a socket."""
        await ws.accept()
        self.active.append(ws)

    def disconnect(self, ws: WebSocket) -> None:
        """Forget a socket."""
        if ws in self.active:
            self.active.remove(ws)

    async def broadcast(self, event: dict[str, Any]) -> None:
        """Tell all sockets."""
        for ws in list(self.active):
            try:
                await ws.send_json(event)
            except Exception:  # noqa: BLE001 (as the original has it)
                self.disconnect(ws)


app = FastAPI()
manager = ConnectionManager()


@app.websocket("/ws")
async def live_socket(ws: WebSocket) -> None:
    """Keep a socket until it goes."""
    await manager.connect(ws)
    try:
        while True:
            await ws.receive_text()
    except WebSocketDisconnect:
        manager.disconnect(ws)


async def main() -> None:
    """Serve until stdin ends."""
    loop = asyncio.get_running_loop()
    control.take_commands(control.commands_of(manager.broadcast), lambda: loop)
    # With the protocol named: else asyncio does not set TCP_NODELAY.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    config = uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_per_message_deflate="--deflate" in sys.argv,
        log_level="error",
        access_log=False,
    )
    control.say({"port": listener.getsockname()[1]})
    await uvicorn.Server(config).serve([listener])


if __name__ == "__main__":
    asyncio.run(main())
