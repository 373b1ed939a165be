"""A tab: a WebSocket client that only listens, in a thread, and notes when each message came.

And its bad neighbour: a tab that shakes hands and then never reads.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urlencode, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from harness.record import Json, Record, only_events

OPEN_TIMEOUT_S = 10.0


def socket_url(url: str, since: str | None = None, kb: Sequence[str] = (), path: str = "/ws") -> str:
    """Turn the server's http address into that of its socket."""
    query = [("since", since)] if since is not None else []
    query += [("kb", name) for name in kb]
    address = "ws" + url.removeprefix("http") + path
    return f"{address}?{urlencode(query)}" if query else address


class Tab:
    """An open page, as the server sees it.

    The constructor returns when the socket is accepted: what happens from then on, the tab hears.

    Args:
        since: EPOCH:OFFSET or "now"; None leaves the parameter out (Pyrite's own protocol).
        kb: only these KBs.

    Raises:
        websockets.exceptions.InvalidStatus: refused before the upgrade.
    """

    def __init__(
        self,
        url: str,
        *,
        since: str | None = None,
        kb: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.messages = Record(f"tab (since={since}, kb={list(kb)})")
        self.close_code: int | None = None
        self._closed = threading.Event()
        # websockets 17 wants connect() entered; what is entered here is left in close().
        self._stack = contextlib.ExitStack()
        self._socket: ClientConnection = self._stack.enter_context(
            connect(
                socket_url(url, since, kb),
                additional_headers=dict(headers or {}),
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=1.0,
                proxy=None,
                max_size=None,
            )
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def events(self) -> list[Json]:
        """A copy of the events heard so far, without `ready`, `resync` and `heartbeat`."""
        return only_events(self.messages.since())

    def wait_for(
        self,
        predicate: Callable[[Json], bool],
        timeout_s: float = 15.0,
        *,
        start: int = 0,
        what: str = "an event",
    ) -> Json:
        """Return the first message behind `start` that the predicate accepts."""
        return self.messages.wait_for(predicate, timeout_s, start=start, what=what)

    def wait_type(self, kind: str, timeout_s: float = 15.0) -> Json:
        """Return the first message of a type, `ready` for one."""
        return self.wait_for(lambda message: message.get("type") == kind, timeout_s, what=f"'{kind}'")

    def wait_closed(self, timeout_s: float = 10.0) -> int | None:
        """Wait until the server closed the socket; the close code, None where the line just broke."""
        if not self._closed.wait(timeout_s):
            raise AssertionError(f"{self.messages.name}: still open after {timeout_s:g} s")
        return self.close_code

    def close(self) -> None:
        """Leave; may be called twice."""
        with contextlib.suppress(OSError, ConnectionClosed):
            self._stack.close()
        self._thread.join(OPEN_TIMEOUT_S)

    def _read(self) -> None:
        try:
            while True:
                text = self._socket.recv()
                message = json.loads(text)
                assert isinstance(message, dict), f"not an object: {text!r}"
                self.messages.add(message)
        except ConnectionClosed as closed:
            self.close_code = closed.rcvd.code if closed.rcvd is not None else None
            self.messages.finish(f"the socket was closed with {self.close_code}")
        except (OSError, AssertionError, ValueError) as error:
            self.messages.finish(f"{type(error).__name__}: {error}")
        finally:
            self.messages.finish("the reading thread ended")
            self._closed.set()


class StalledTab:
    """A tab that never reads: a plain socket with the smallest receive buffer the system gives."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        host, port = address.hostname or "127.0.0.1", address.port or 80
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            # Before connect(): the window is negotiated there.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            self._socket.settimeout(OPEN_TIMEOUT_S)
            self._socket.connect((host, port))
            key = base64.b64encode(os.urandom(16)).decode()
            self._socket.sendall(
                f"GET /ws HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            answer = b""
            while b"\r\n\r\n" not in answer:
                piece = self._socket.recv(1)
                if not piece:
                    raise AssertionError(f"refused: {answer!r}")
                answer += piece
            if not answer.startswith(b"HTTP/1.1 101"):
                raise AssertionError(f"refused: {answer!r}")
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def say(self, frame: bytes | None) -> None:
        """Send this; None ends its sending, and nothing else."""
        if frame is None:
            self._socket.shutdown(socket.SHUT_WR)
        else:
            self._socket.sendall(frame)

    def close(self) -> None:
        """Drop the line without a word."""
        self._socket.close()
