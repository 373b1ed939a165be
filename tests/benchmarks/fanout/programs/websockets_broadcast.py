"""`websockets.broadcast()`: it writes to all connections without waiting for any."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from websockets.asyncio.server import ServerConnection, broadcast, serve

from benchmarks.fanout.programs import control

connections: set[ServerConnection] = set()


async def keep(connection: ServerConnection) -> None:
    """Keep a connection until it goes."""
    connections.add(connection)
    try:
        await connection.wait_closed()
    finally:
        connections.discard(connection)


async def send(event: dict[str, Any]) -> None:
    """Tell all of them."""
    broadcast(connections, json.dumps(event, separators=(",", ":")))


async def main() -> None:
    """Serve until stdin ends."""
    loop = asyncio.get_running_loop()
    async with serve(keep, "127.0.0.1", 0, compression=None, backlog=2048) as server:
        control.take_commands(control.commands_of(send), lambda: loop)
        control.say({"port": next(iter(server.sockets)).getsockname()[1]})
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
