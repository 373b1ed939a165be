"""Readers that behave badly, and come back: each remembers its position and every event that it got."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from harness.record import EVENT_TYPES, Json
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

OPEN_TIMEOUT_S = 10.0
SLOW_READ_S = 0.01
MAX_STALL_S = 1.5


@dataclass
class Plan:
    """What the readers share: where the server is, what they do, and when they are done."""

    url: str
    end: asyncio.Event
    """Set when all has happened: who reaches `last` then leaves."""
    last: Callable[[], int]
    done: Counter[str] = field(default_factory=Counter)
    """What was done how often."""


class Reader:
    """One reader. `events` is all that it was told, over all its connections, as it was told."""

    def __init__(self, plan: Plan, seed: int, position: str) -> None:
        self.plan = plan
        self.rng = random.Random(seed)
        self.position = position
        self.events: list[Json] = []
        self.resyncs: list[Json] = []
        self.close_codes: Counter[int] = Counter()

    @property
    def offset(self) -> int:
        """The offset that it has reached."""
        return int(self.position.rpartition(":")[2])

    def take(self, message: Json) -> None:
        """Note a message; the position is the last event's."""
        if message["type"] in EVENT_TYPES:
            self.events.append(message)
            self.position = f"{message['epoch']}:{message['offset']}"
        elif message["type"] == "resync":
            self.resyncs.append(message)
            self.position = f"{message['epoch']}:{message['offset']}"

    def is_through(self) -> bool:
        """Whether it has all that ever happened."""
        return self.plan.end.is_set() and self.offset >= self.plan.last()

    async def run(self) -> None:
        """Connect, misbehave, go, and come back, until it has everything."""
        while not self.is_through():
            try:
                if self.rng.random() < 0.3:
                    await self._stream()
                else:
                    await self._socket()
            except (OSError, InvalidHandshake, TimeoutError, EOFError, asyncio.IncompleteReadError):
                self.plan.done["not connected"] += 1
                await asyncio.sleep(self.rng.uniform(0.02, 0.2))

    async def _socket(self) -> None:
        url = f"ws{self.plan.url.removeprefix('http')}/ws?{urlencode({'since': self.position})}"
        # Small buffers: a reader that does not read is soon one that the server feels.
        async with connect(
            url, proxy=None, compression=None, max_queue=4, open_timeout=OPEN_TIMEOUT_S, close_timeout=1
        ) as client:
            self.plan.done["sockets"] += 1
            with contextlib.suppress(ConnectionClosed):
                await self._misbehave(client)
            if client.close_code:
                self.close_codes[client.close_code] += 1

    async def _misbehave(self, client: ClientConnection) -> None:
        manner = self.rng.choice(["cut", "close", "stall", "slow", "steady"])
        left = self.rng.randrange(1, 400)
        while left and not self.is_through():
            try:
                async with asyncio.timeout(0.5):
                    self.take(json.loads(await client.recv()))
            except TimeoutError:
                left = max(1, left // 2)  # nothing happens: it goes on misbehaving a little sooner
            left -= 1
            if manner == "slow":
                await asyncio.sleep(SLOW_READ_S)
        self.plan.done[manner] += 1
        if manner == "stall":
            await asyncio.sleep(self.rng.uniform(0, MAX_STALL_S))
        if manner in ("cut", "stall"):
            client.transport.abort()

    async def _stream(self) -> None:
        address = urlsplit(self.plan.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1 << 20)
        try:
            host, position = address.netloc, self.position
            head = f"GET /api/events HTTP/1.1\r\nHost: {host}\r\nLast-Event-ID: {position}\r\n\r\n"
            writer.write(head.encode())
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), OPEN_TIMEOUT_S)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise ConnectionError(answer.decode())
            self.plan.done["streams"] += 1
            left = self.rng.randrange(1, 400)
            while left and not self.is_through():
                try:
                    async with asyncio.timeout(0.5):
                        line = await reader.readline()
                except TimeoutError:
                    left = max(1, left // 2)
                    line = b"-"
                if not line:
                    return
                if line.startswith(b"data: "):
                    left -= 1
                    self.take(json.loads(line[6:]))
                elif line == b"-":
                    left -= 1
            self.plan.done["cut"] += 1
        finally:
            writer.transport.abort()
