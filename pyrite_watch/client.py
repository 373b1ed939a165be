"""The client for Python: `async for event in subscribe(url)`, which reconnects and resumes by itself.

It knows the wire only (interface: live sockets), and nothing of the index, the disk or the server.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import random
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI, SecurityError

from pyrite_watch.errors import PyriteWatchError
from pyrite_watch.model.event import Position, parse_position

log = logging.getLogger(__name__)

_socket_log = logging.getLogger(f"{__name__}.socket")
_socket_log.setLevel(logging.INFO)  # at DEBUG, websockets logs the headers, and the token with them

STOPPING = 1012

MAX_MESSAGE_BYTES = 2**20
"""An event is below 20 KiB; what is bigger is somebody's `broadcast`, which no resume brings again."""

_TO_SOCKET = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}

_HINTS = {
    4401: "Give the server's token: subscribe(url, token=…).",
    4404: "GET /api/kbs lists the knowledge bases.",
    4409: "A position is EPOCH:OFFSET, as each event and the Pyrite-Position header tell it.",
    401: "Give the server's token: subscribe(url, token=…).",
    403: "The server does not know this host name: see --allow-host, --public-url and --token.",
    404: "Give the address that 'pyrite watch' prints.",
}

Json = dict[str, Any]


class SubscriptionRefusedError(PyriteWatchError):
    """The server will not let this subscriber in, however often it asks.

    `code` is that of the WebSocket close (4401 token, 4404 knowledge base, 4409 position), `status` that
    of HTTP (403 and the like); one of them is None, or both, where no connection can be trusted.
    """

    def __init__(self, url: str, why: str, *, status: int | None = None, code: int | None = None) -> None:
        super().__init__(url, why)
        self.url, self.why, self.status, self.code = url, why, status, code
        self.hint = _HINTS.get(code or status or 0, "")

    def __str__(self) -> str:
        number = self.code or self.status
        answer = f"{self.url} refuses to be subscribed to: {self.why}" + (f" ({number})" if number else "")
        return f"{answer}. {self.hint}".rstrip()


@dataclass(frozen=True, slots=True)
class Policy:
    """When to give up waiting and when to try again; tests put their own clock in."""

    first_wait_s: float = 0.2
    max_wait_s: float = 30.0
    silence_s: float = 35.0
    """The server sends a heartbeat every 15 s: after two that are missing the connection is dead."""
    open_timeout_s: float = 10.0
    close_timeout_s: float = 1.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    timeout: Callable[[float], asyncio.Timeout] = asyncio.timeout
    random: Callable[[], float] = random.random
    """0 ≤ x < 1: a thousand subscribers must not come back at the same moment."""

    def wait_s(self, failures: int, code: int | None = None) -> float:
        """How long to wait after so many failures in a row (0: it worked until just now)."""
        if code == STOPPING and not failures:
            return self.first_wait_s * self.random()
        # From 2**8 on it is the maximum anyway.
        longest = min(self.max_wait_s, 2 * self.first_wait_s * 2.0 ** min(failures, 8))
        return longest / 2 * (1 + self.random())


def subscribe(
    url: str,
    since: str | Position | None = None,
    *,
    kbs: Iterable[str] = (),
    token: str | None = None,
    policy: Policy | None = None,
) -> AsyncGenerator[Json, None]:
    """Yield every event as a dict, in order, each once, for ever.

    Where the connection breaks, it reconnects (after 0.2 to 30 s, at random) and resumes after the last
    event that it yielded: no gap, no repeat, also when the server restarts. A server that cannot be
    reached is tried until it is there: bound that with `asyncio.timeout`.

    Three kinds of dicts are not events of the log:

    - `{"type": "resync", "epoch", "offset", …}`: the position is not of this log's past. Load the state
      again (`GET /api/state`); what is yielded next comes after the position in this dict.
    - What somebody has `broadcast`: no offset, live only.
    - Types of later versions: ignore what you do not know.

    To end it, cancel the task or leave `contextlib.aclosing(subscribe(…))`: both close the socket. After
    a bare `break`, the socket stays open until the generator is collected.

    Args:
        url: The server's address, `http(s)://…`, or its socket's, `ws(s)://…/ws`.
        since: The position after which to begin, `EPOCH:OFFSET`; None or "now": when first connected.
        kbs: Only these knowledge bases' events; empty means all.
        token: The server's token. It is sent as a header, and is in no log and no error.
        policy: For tests.

    Raises:
        ValueError: At once, where the URL or token is none.
        SubscriptionRefusedError: While iterating: token (4401), knowledge base (4404), position (4409),
            Host or Origin (403), another HTTP error of the client's (4xx), a bad certificate.
    """
    return _Subscription(url, since, kbs, token, policy or Policy()).run()


class _Subscription:
    def __init__(
        self, url: str, since: str | Position | None, kbs: Iterable[str], token: str | None, policy: Policy
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in _TO_SOCKET or not parts.hostname:
            raise ValueError("The URL must be that of a server: http://127.0.0.1:8088")
        given = parse_qsl(parts.query, keep_blank_values=True)
        taken = dict(given)
        path = parts.path.rstrip("/")
        if parts.scheme.startswith("http") or not path:
            path += "/ws"
        self._policy = policy
        self._headers = _headers(token if token is not None else taken.get("token"))
        self._base = (_TO_SOCKET[parts.scheme], parts.netloc, path)
        self._query = [pair for pair in given if pair[0] not in ("token", "since")]
        self._query += [("kb", name) for name in ([kbs] if isinstance(kbs, str) else kbs)]
        self._shown = urlunsplit((self._base[0], parts.netloc.rpartition("@")[2], path, "", ""))
        # Elsewhere what the environment says (True); a proxy cannot reach this machine's loopback.
        self._proxy: Literal[True] | None = None if _is_loopback(parts.hostname) else True
        self._since = str(since) if since is not None else taken.get("since", "now")
        self._position = parse_position(self._since)

    async def run(self) -> AsyncGenerator[Json, None]:
        failures = 0
        while True:
            connection, code = await self._connect(), None
            if connection is None:
                failures += 1
            else:
                has_heard = False
                try:
                    while (text := await self._receive(connection)) is not None:
                        failures, has_heard = 0, True
                        message = _parse(text)
                        if message is not None and self._is_new(message):
                            yield message
                    code = connection.close_code
                    self._check_close(connection)
                finally:
                    await _close(connection)
                # One that lets in and says nothing has not succeeded: it must not be asked 5 times a second.
                failures += not has_heard
            wait_s = self._policy.wait_s(max(0, failures), code)
            log.info("%s: no connection; the next attempt is in %.1f s.", self._shown, wait_s)
            await self._policy.sleep(wait_s)

    @property
    def _url(self) -> str:
        since = str(self._position) if self._position is not None else self._since
        return urlunsplit((*self._base, urlencode([*self._query, ("since", since)]), ""))

    async def _connect(self) -> ClientConnection | None:
        policy = self._policy
        try:
            # Awaited, not iterated: its own reconnecting knows nothing of positions.
            return await connect(
                self._url,
                additional_headers=self._headers,
                compression=None,
                proxy=self._proxy,
                max_size=MAX_MESSAGE_BYTES,
                open_timeout=policy.open_timeout_s,
                close_timeout=policy.close_timeout_s,
                # The heartbeat tells a dead peer. A reader that takes long over an event reads no pong.
                ping_interval=None,
                logger=_socket_log,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            if 400 <= status < 500 and status not in (408, 425, 429):
                raise SubscriptionRefusedError(self._shown, "no entry", status=status) from error
            log.debug("%s answers %s.", self._shown, status)
        except (SecurityError, ssl.SSLCertVerificationError) as error:
            raise SubscriptionRefusedError(self._shown, str(error)) from error
        except InvalidURI as error:
            raise ValueError(f"{self._shown} is not the URL of a server.") from error
        except (OSError, InvalidHandshake, EOFError) as error:
            log.debug("%s: %s", self._shown, error)
        return None

    async def _receive(self, connection: ClientConnection) -> str | bytes | None:
        """The next message; None when the connection is closed, or seems dead."""
        try:
            # Only while it waits: how long the reader takes over an event is the reader's affair.
            async with self._policy.timeout(self._policy.silence_s):
                return await connection.recv()
        except TimeoutError:
            log.info("%s: nothing for %g s.", self._shown, self._policy.silence_s)
            connection.transport.abort()  # a close would wait for an answer that does not come
        except ConnectionClosed as closed:
            log.debug("%s: %s", self._shown, closed)
        return None

    def _check_close(self, connection: ClientConnection) -> None:
        code = connection.close_code
        if code in (4401, 4404, 4409):
            raise SubscriptionRefusedError(self._shown, connection.close_reason or "no entry", code=code)

    def _is_new(self, message: Json) -> bool:
        """Note the position that a message tells; whether it is to be yielded."""
        kind, position = message.get("type"), _position_of(message)
        known = self._position
        if kind == "heartbeat":
            return False
        if kind == "resync":
            self._position = position or known
            return True
        is_next = position is not None and (
            known is None or (position.epoch == known.epoch and position.offset > known.offset)
        )
        if is_next:
            self._position = position
        if kind == "ready":
            return False
        is_repeat = position is not None and known is not None and position.epoch == known.epoch
        # Of another epoch without a resync: somebody's broadcast, which has no place in this log.
        return is_next or not is_repeat


def _headers(token: str | None) -> dict[str, str]:
    if token is None:
        return {}
    if not token.isascii() or not token.isprintable():
        raise ValueError("The token must be printable ASCII.")
    return {"Authorization": f"Bearer {token}"}


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _parse(text: str | bytes) -> Json | None:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        message = None
    if isinstance(message, dict):
        return message
    log.debug("A message that is no JSON object is ignored.")
    return None


def _position_of(message: Json) -> Position | None:
    epoch, offset = message.get("epoch"), message.get("offset")
    if not isinstance(epoch, str) or not isinstance(offset, int) or isinstance(offset, bool):
        return None
    return parse_position(f"{epoch}:{offset}")


async def _close(connection: ClientConnection) -> None:
    try:
        await connection.close()
    finally:
        # Also where the close itself was cancelled.
        connection.transport.abort()
