"""The address that `pyrite watch` serves on: take it first, and name it for people."""

from __future__ import annotations

import contextlib
import errno
import os
import socket

from pyrite_watch.errors import AddressError, PortInUseError
from pyrite_watch.settings import Settings

PORTS_TO_TRY = 50


def bind(host: str, port: int) -> socket.socket:
    """Take the address, before anything else is done.

    Raises:
        PortInUseError, AddressError: It cannot be had.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With the protocol: else asyncio does not set TCP_NODELAY, and a GET takes 44 ms instead of 3.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise AddressError(host, port, error.strerror or str(error)) from error
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Listening now: a second process must not be able to bind the same port, too.
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise PortInUseError(host, port, _next_free(host, port)) from error
        raise AddressError(host, port, getattr(error, "strerror", None) or str(error)) from error
    return listener


def _next_free(host: str, port: int) -> int:
    for candidate in range(port + 1, min(port + PORTS_TO_TRY, 65536)):
        with contextlib.suppress(AddressError, PortInUseError, OSError), socket.socket() as probe:
            probe.bind((host, candidate))
            return candidate
    return 0


def url_of(listener: socket.socket, settings: Settings) -> str:
    """Where it listens: by this address programs on this machine find it, whatever a proxy shows."""
    host, port = settings.host, listener.getsockname()[1]
    if host in ("", "0.0.0.0"):
        host = "127.0.0.1"
    elif host == "::":
        host = "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
