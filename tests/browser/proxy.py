"""A reverse proxy as people put one before the server: on https, and under a sub-path.

It knows just enough of HTTP for that: each request is asked for on a connection of its own, so that what
comes after its head can be passed on as it is, be it an answer or a WebSocket.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

MAX_HEAD_BYTES = 65_536
CHUNK_BYTES = 65_536


def make_certificate(folder: Path) -> Path:
    """Make a key and a certificate that nobody has signed, in one file."""
    file = folder / "proxy.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    key = folder / "key.pem"
    subprocess.run([*command, "-keyout", key, "-out", file], check=True, capture_output=True)
    with file.open("a") as whole:
        whole.write(key.read_text())
    return file


class Proxy:
    """Passes on what comes below `prefix`.

    Args:
        prefix: `/notes`, or "" for all.
        takes_off: Whether the server is asked without the prefix.
        certificate: With it the proxy speaks TLS.
    """

    def __init__(self, prefix: str = "", takes_off: bool = True, certificate: Path | None = None) -> None:
        self._prefix = prefix
        self._takes_off = takes_off
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.target = free.getsockname()[1]
            """Where the server is to listen: the two have to know each other before they begin."""
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
        self._ready = threading.Event()
        self._stop: Callable[[], object] = lambda: None
        self._serving: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.port = 0
        self.strays: list[str] = []
        """What was asked for beside the prefix."""

    @property
    def url(self) -> str:
        """Where the server is, seen through it."""
        scheme = "http" if self._context is None else "https"
        return f"{scheme}://localhost:{self.port}{self._prefix}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._thread.join()

    async def _run(self) -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._stop = lambda: loop.call_soon_threadsafe(stopped.set)
        server = await asyncio.start_server(
            self._accept, "127.0.0.1", 0, ssl=self._context, limit=MAX_HEAD_BYTES
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await stopped.wait()
        server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await asyncio.sleep(0.05)  # the transports end in later turns

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
                await self._serve(reader, writer)
        finally:
            self._serving.discard(task)
            writer.transport.abort() if task.cancelling() else writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request, _, fields = head.partition("\r\n")
        method, path, version = request.split(" ")
        if path != self._prefix and not path.startswith(f"{self._prefix}/"):
            self.strays.append(path)
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        if self._takes_off:
            path = path.removeprefix(self._prefix) or "/"
        if "upgrade: websocket" not in fields.lower():
            kept = [line for line in fields.split("\r\n") if not line.lower().startswith("connection:")]
            fields = "\r\n".join(["Connection: close", *kept])
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            far_writer.write(f"{method} {path} {version}\r\n{fields}".encode("latin-1"))
            # The answer's end is the end; what the tab sends before that is its request's body, or messages.
            asking = asyncio.create_task(_pass_on(reader, far_writer))
            await _pass_on(far_reader, writer)
            asking.cancel()
        finally:
            far_writer.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, ssl.SSLError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
