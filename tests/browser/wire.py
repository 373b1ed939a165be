"""A TCP proxy between a tab and the server, which can stall and cut what goes through it.

Playwright's `set_offline` leaves open WebSockets as they are; a network that is gone does neither close nor
answer, and this is how that looks from the page.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType
from typing import Self

CHUNK_BYTES = 65_536


class Wire:
    """Listens on a port of its own and passes bytes on to the server's.

    Give the server `--allow-host 127.0.0.1`; loopback names are allowed whatever their port.
    """

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._flows = threading.Event()
        self._flows.set()
        self._refuses = False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self.accepted_s: list[float] = []
        """When connections came, by `time.monotonic()`."""
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def stall(self) -> None:
        """Pass nothing on, in both directions, and close nothing."""
        self._flows.clear()

    def flow(self) -> None:
        """Pass everything on again, also what came meanwhile."""
        self._refuses = False
        self._flows.set()

    def cut(self) -> None:
        """End every connection, as a router does that forgets them."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                _end(end)

    def refuse(self) -> None:
        """End what there is, and every new connection as soon as it comes."""
        self._refuses = True
        self.cut()

    def close(self) -> None:
        """End it all."""
        _end(self._listener)
        self.flow()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.accepted_s.append(time.monotonic())
            if self._refuses:
                _end(near)
                continue
            try:
                far = socket.create_connection(self._target)
            except OSError:
                _end(near)
                continue
            self._pairs.append((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                self._flows.wait()
                sink.sendall(data)
        _end(source)
        _end(sink)


def _end(end: socket.socket) -> None:
    # A thread that waits in `accept` or `recv` is only woken by a shutdown.
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        end.close()
