"""A WebSocket that only listens, as cheap as a client can be: what it costs is nobody's figure."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit


def open_socket(url: str, timeout_s: float) -> socket.socket:
    """Connect to `/ws` of a watch; frames come unparsed.

    Raises:
        RuntimeError: It was refused.
    """
    split = urlsplit(url)
    plain = socket.create_connection((split.hostname or "", split.port or 80), timeout_s)
    plain.sendall(
        f"GET /ws HTTP/1.1\r\nHost: {split.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    if b" 101 " not in plain.recv(4096):
        raise RuntimeError("a socket was refused")
    return plain
