"""uvicorn, as `pyrite watch` runs it: with our socket protocol, at rest when idle, stopped at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from pyrite_watch.cli.waiting import is_set_within
from pyrite_watch.server.http_protocol import BoundedHttpProtocol
from pyrite_watch.server.protocol import FanoutProtocol
from pyrite_watch.server.tokens import hide_queries

GRACE_S = 1
"""How long a stop waits for connections; with the rest of the stop it stays well below 3 s."""

TICK_S = 1.0
"""How often the `Date` header is made anew. uvicorn's own loop wakes ten times a second for it: a
quarter of all that an idle watch costs."""


class Server(uvicorn.Server):
    """One server for one app; signals are left to who runs it. In the loop's thread only."""

    def __init__(self, app: FastAPI) -> None:
        hide_queries()
        logging.getLogger("uvicorn.error").addFilter(_is_worth_telling)
        super().__init__(
            uvicorn.Config(
                app,
                ws=FanoutProtocol,
                http=BoundedHttpProtocol,
                ws_max_size=4096,
                # Doubles the CPU of a fan-out and costs 35 KiB a tab.
                ws_per_message_deflate=False,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=GRACE_S,
                lifespan="on",
            )
        )
        self._live = app.state.pyrite_watch
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Begin the stop; `serve` returns when it is through."""
        self.should_exit = True
        self._stopping.set()

    async def main_loop(self) -> None:
        """Tick until the stop, which ends it at once."""
        while not await self.on_tick(0) and not await is_set_within(self._stopping, TICK_S):
            continue

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End first what would last: event streams for ever, calls until the writing thread comes to them."""
        self._live.manager.end_streams()
        self._live.pipeline.begin_stop()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none: uvicorn would see them only at its next tick, and raise them again at its end."""
        yield


def _is_worth_telling(record: logging.LogRecord) -> bool:
    """Not a request that the stop has cut short: uvicorn tells it as a fault of the app, with a traceback."""
    return record.exc_info is None or not isinstance(record.exc_info[1], asyncio.CancelledError)
