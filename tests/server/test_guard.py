"""Who may connect: every rule, every refusal, and the ways around them that were tried elsewhere."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from pyrite_watch.errors import UsageError
from pyrite_watch.server.guard import Guard, GuardSettings, hide_queries

TOKEN = "s3cret-t0ken"
READER = "r3ader-t0ken"
HOST = ("Host", "127.0.0.1:8088")
LOCAL = GuardSettings(host="127.0.0.1")
LOCKED = GuardSettings(host="127.0.0.1", token=TOKEN, read_token=READER)
PUBLIC = GuardSettings(
    host="127.0.0.1",
    token=TOKEN,
    public_url="https://notes.example.com/pyrite",
    allow_hosts=("backend:8088",),
)

Headers = list[tuple[str, str | bytes]]


@dataclass
class RecordingApp:
    """What stands behind the door: notes what came through, and answers 200."""

    passed: list[Scope] = field(default_factory=list)
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.passed.append(scope)
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": list(self.headers)})
            await send({"type": "http.response.body", "body": b"notes"})
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": "notes"})
            await send({"type": "websocket.close", "code": 1000})


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    passed: list[Scope]

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["detail"]["code"])

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def one(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) <= 1, values
        return values[0] if values else None

    @property
    def access(self) -> str | None:
        return str(self.passed[0]["pyrite.access"]) if self.passed else None


def encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [
        (name.lower().encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in headers
    ]


def run(app: ASGIApp, scope: Scope, incoming: list[Message]) -> list[Message]:
    sent: list[Message] = []
    waiting = iter(incoming)

    async def receive() -> Message:
        return next(waiting)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    return sent


def make_scope(
    kind: str,
    target: str,
    headers: Headers | None,
    *,
    host: bool,
    server: tuple[str, int] | None,
    **more: Any,
) -> Scope:
    path, _, query = target.partition("?")
    given = ([HOST] if host else []) + (headers or [])
    return {
        "type": kind,
        "path": path,
        "query_string": query.encode(),
        "headers": encoded(given),
        "server": server,
        "root_path": "",
        **more,
    }


def ask(
    settings: GuardSettings,
    target: str = "/api/entries",
    headers: Headers | None = None,
    *,
    method: str = "GET",
    scheme: str = "http",
    host: bool = True,
    server: tuple[str, int] | None = ("127.0.0.1", 8088),
    app: RecordingApp | None = None,
    **more: Any,
) -> Answer:
    """Send one HTTP request whose headers are exactly those given, after the usual Host."""
    app = app or RecordingApp()
    scope = make_scope(
        "http", target, headers, host=host, server=server, method=method, scheme=scheme, **more
    )
    start, *parts = run(
        Guard(app, settings), scope, [{"type": "http.request", "body": b"", "more_body": False}]
    )
    lines = [(name.decode().lower(), value.decode()) for name, value in start["headers"]]
    return Answer(start["status"], lines, b"".join(part.get("body", b"") for part in parts), app.passed)


def knock(
    settings: GuardSettings,
    target: str = "/ws",
    headers: Headers | None = None,
    *,
    host: bool = True,
    extensions: dict[str, Any] | None = None,
) -> tuple[list[Message], RecordingApp]:
    """Ask for a WebSocket, and return all that the server sent."""
    app = RecordingApp()
    scope = make_scope("websocket", target, headers, host=host, server=("127.0.0.1", 8088), scheme="ws")
    scope["extensions"] = {"websocket.http.response": {}} if extensions is None else extensions
    return run(Guard(app, settings), scope, [{"type": "websocket.connect"}]), app


# Host


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8088",
        "127.0.0.1",
        "127.1.2.3:8088",
        "localhost:8088",
        "LocalHost:8088",
        "[::1]:8088",
        "[0:0::1]",
    ],
)
def test_loopback_names_are_ours(host: str) -> None:
    """Whatever of its names the user types."""
    assert ask(LOCAL, headers=[("Host", host)], host=False).status == 200


def test_a_forwarded_port_is_not_refused() -> None:
    """`ssh -L 9000:localhost:8088`: the browser says 9000, and is right."""
    headers: Headers = [("Host", "localhost:9000"), ("Origin", "http://localhost:9000")]
    assert ask(LOCAL, headers=headers, host=False).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.com",
        "127.0.0.1.evil.com:8088",
        "localhost.evil.com",
        "evil.localhost",
        "localhost:80@evil",
        "user@localhost",
        "[::1]evil",
        "[::1",
        "::1",
        "[::1%25lo]:8088",
        "[::ffff:127.0.0.1]",
        "[::]",
        "0.0.0.0:8088",
        "localhost.",
        "localhost.:8088",
        "127.0.0.1.",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "127.0.0.256",
        "128.0.0.1",
        "localhost:",
        "localhost:0",
        "localhost:99999",
        "localhost:8088:8088",
        "localhost:+80",
        "localhost/",
        "localhost,evil.example",
        "localhost evil.example",
        "local%68ost",
        "\uff4cocalhost",
        b"\xff\xfe",
        b"localhost\x00",
        "",
        " ",
        ":8088",
    ],
)
def test_other_hosts_are_403(host: str | bytes) -> None:
    """Names that are not ours, and what only looks like one of ours."""
    answer = ask(LOCAL, headers=[("Host", host)], host=False)
    assert (answer.status, answer.code, answer.passed) == (403, "HOST_NOT_ALLOWED", [])


@pytest.mark.parametrize("hosts", [[], ["127.0.0.1", "127.0.0.1"], ["127.0.0.1", "evil.example"]])
def test_one_host_header_exactly(hosts: list[str]) -> None:
    """None is refused, and two, even where they are equal."""
    answer = ask(LOCAL, headers=[("Host", host) for host in hosts], host=False)
    assert (answer.status, answer.code) == (403, "HOST_NOT_ALLOWED")


@pytest.mark.parametrize(
    ("settings", "host", "status"),
    [
        (GuardSettings(host="box.lan", token=TOKEN), "box.lan:8088", 200),
        (GuardSettings(host="Box.lan", token=TOKEN), "BOX.LAN", 200),
        (GuardSettings(host="box.lan", token=TOKEN), "other.lan", 403),
        (GuardSettings(host="192.168.1.5", token=TOKEN), "192.168.1.5:8088", 200),
        (GuardSettings(host="fe80::1%eth0", token=TOKEN), "[fe80::1]:8088", 200),
        (GuardSettings(host="0.0.0.0", token=TOKEN), "0.0.0.0:8088", 403),
        (GuardSettings(host="0.0.0.0", token=TOKEN), "box.lan:8088", 403),
        (GuardSettings(host="::", token=TOKEN), "[::]:8088", 403),
        (GuardSettings(host="", token=TOKEN), "", 403),
        (GuardSettings(host="127.0.0.1", token=TOKEN, allow_hosts=("box.lan",)), "box.lan:1234", 200),
        (GuardSettings(host="127.0.0.1", token=TOKEN, allow_hosts=("box.lan:81",)), "box.lan:81", 200),
        (GuardSettings(host="127.0.0.1", token=TOKEN, allow_hosts=("box.lan:81",)), "box.lan:82", 403),
        (GuardSettings(host="127.0.0.1", token=TOKEN, allow_hosts=("box.lan:81",)), "box.lan", 403),
        (GuardSettings(host="127.0.0.1", token=TOKEN, allow_hosts=("box.lan:80",)), "box.lan", 200),
        (GuardSettings(host="127.0.0.1", token=TOKEN, allow_hosts=("fd00::5",)), "[fd00::5]:8088", 200),
        (GuardSettings(host="127.0.0.1", token=TOKEN, allow_hosts=("[fd00::5]:81",)), "[fd00::5]:82", 403),
        (
            GuardSettings(host="127.0.0.1", token=TOKEN, allow_hosts=("bücher.example",)),
            "xn--bcher-kva.example",
            200,
        ),
        (PUBLIC, "notes.example.com", 200),
        (PUBLIC, "notes.example.com:8443", 200),
        (PUBLIC, "a.notes.example.com", 403),
        (PUBLIC, "backend:8088", 200),
    ],
)
def test_hosts_that_were_named(settings: GuardSettings, host: str, status: int) -> None:
    """The bound host, that of --public-url, those of --allow-host; a wildcard is no name."""
    headers: Headers = [("Host", host), ("X-API-Key", TOKEN)]
    assert ask(settings, headers=headers, host=False).status == status


@pytest.mark.parametrize(
    ("bound", "host", "server", "status"),
    [
        ("0.0.0.0", "192.168.1.5:8088", "192.168.1.5", 200),
        ("0.0.0.0", "192.168.1.6:8088", "192.168.1.5", 403),
        ("::", "192.168.1.5:8088", "::ffff:192.168.1.5", 200),
        ("::", "[fd00::5]:8088", "fd00::5", 200),
        ("127.0.0.1", "192.168.1.5:8088", "192.168.1.5", 403),
    ],
)
def test_bound_to_all_addresses_the_one_that_was_reached_is_a_name(
    bound: str, host: str, server: str, status: int
) -> None:
    """A telephone that opens http://192.168.1.5:8088 of a server on 0.0.0.0 is let in."""
    settings = GuardSettings(host=bound, token=TOKEN)
    headers: Headers = [("Host", host), ("X-API-Key", TOKEN)]
    assert ask(settings, headers=headers, host=False, server=(server, 8088)).status == status


# Origin


@pytest.mark.parametrize(
    ("host", "scheme", "origin"),
    [
        ("127.0.0.1:8088", "http", "http://127.0.0.1:8088"),
        ("localhost:8088", "http", "http://localhost:8088"),
        ("localhost:8088", "http", "HTTP://LOCALHOST:8088"),
        ("[::1]:8088", "http", "http://[::1]:8088"),
        ("localhost", "http", "http://localhost"),
        ("localhost:80", "http", "http://localhost"),
        ("localhost", "http", "http://localhost:80"),
        ("localhost", "https", "https://localhost:443"),
        ("localhost:8088", "https", "https://localhost:8088"),
    ],
)
def test_own_origin(host: str, scheme: str, origin: str) -> None:
    """Scheme, host and port are those of the request; a default port may be left out."""
    headers: Headers = [("Host", host), ("Origin", origin)]
    answer = ask(LOCAL, headers=headers, host=False, scheme=scheme)
    assert answer.status == 200
    assert answer.one("access-control-allow-origin") is None


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "https://evil.example",
        "http://127.0.0.1:8089",
        "http://127.0.0.1",
        "https://127.0.0.1:8088",
        "ws://127.0.0.1:8088",
        "http://localhost:8088",
        "http://127.0.0.1:8088.evil.com",
        "http://127.0.0.1.evil.com:8088",
        "http://127.0.0.1:8088@evil.com",
        "http://user@127.0.0.1:8088",
        "http://127.0.0.1:8088/",
        "http://127.0.0.1:8088?",
        "http://127.0.0.1:8088 http://evil.example",
        "http://127.0.0.1.:8088",
        "http://2130706433:8088",
        "http:127.0.0.1:8088",
        "//127.0.0.1:8088",
        "127.0.0.1:8088",
        "http://%3127.0.0.1:8088",
        "file://",
        b"http://127.0.0.1:8088\xff",
    ],
)
def test_other_origins_are_403(origin: str | bytes) -> None:
    """Another site, another port, `null`, and what only looks like ours."""
    answer = ask(LOCAL, headers=[("Origin", origin)])
    assert (answer.status, answer.code, answer.passed) == (403, "ORIGIN_NOT_ALLOWED", [])
    assert answer.one("access-control-allow-origin") is None


def test_two_origins_are_403() -> None:
    """Even where both are ours."""
    own = ("Origin", "http://127.0.0.1:8088")
    assert ask(LOCAL, headers=[own, own]).code == "ORIGIN_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("notes.example.com", "https://notes.example.com", 200),
        ("backend:8088", "https://notes.example.com", 200),
        ("127.0.0.1:8088", "https://notes.example.com", 200),
        ("127.0.0.1:8088", "http://127.0.0.1:8088", 200),
        ("notes.example.com", "http://notes.example.com", 403),
        ("notes.example.com", "https://notes.example.com:8443", 403),
        ("notes.example.com:8443", "http://notes.example.com:8443", 403),
    ],
)
def test_origin_behind_a_public_url(host: str, origin: str, status: int) -> None:
    """The proxy speaks http to us, and yet the page of the plain http site is not ours."""
    headers: Headers = [("Host", host), ("Origin", origin), ("X-API-Key", TOKEN)]
    assert ask(PUBLIC, headers=headers, host=False).status == status


def test_a_malicious_origin_has_no_say_by_a_refused_host() -> None:
    """DNS rebinding: the origin fits the Host, and neither is ours."""
    headers: Headers = [("Host", "evil.example:8088"), ("Origin", "http://evil.example:8088")]
    assert ask(LOCAL, headers=headers, host=False).code == "HOST_NOT_ALLOWED"


# CORS

CROSS = GuardSettings(
    host="127.0.0.1", token=TOKEN, allow_origins=("https://App.example.com:443", "app://obsidian.md")
)
FRIEND = ("Origin", "https://app.example.com")


@pytest.mark.parametrize("origin", ["https://app.example.com", "app://obsidian.md"])
def test_allowed_origin_may_read_the_answer(origin: str) -> None:
    """CORS headers, the position exposed, and no credentials."""
    answer = ask(CROSS, headers=[("Origin", origin), ("Authorization", f"Bearer {TOKEN}")])
    assert answer.status == 200
    assert answer.one("access-control-allow-origin") == origin
    assert answer.one("access-control-expose-headers") == "Pyrite-Position, ETag"
    assert answer.one("access-control-allow-credentials") is None
    assert answer.one("cross-origin-resource-policy") is None
    assert "Origin" in answer.all("vary")


def test_allowed_origin_may_read_why_it_is_refused() -> None:
    """A 401 carries CORS headers, too."""
    answer = ask(CROSS, headers=[FRIEND])
    assert (answer.status, answer.one("access-control-allow-origin")) == (401, "https://app.example.com")


def test_preflight_needs_no_token() -> None:
    """Browsers send none with it; it does not reach the app."""
    headers: Headers = [
        FRIEND,
        ("Access-Control-Request-Method", "PATCH"),
        ("Access-Control-Request-Headers", "authorization,content-type,if-match,last-event-id,x-api-key"),
    ]
    answer = ask(CROSS, method="OPTIONS", headers=headers)
    assert (answer.status, answer.passed) == (200, [])
    assert answer.one("access-control-allow-origin") == "https://app.example.com"
    assert answer.one("access-control-allow-methods") == "GET, POST, PUT, PATCH, DELETE"


@pytest.mark.parametrize(
    ("origin", "method", "asked", "status"),
    [
        ("https://app.example.com", "TRACE", "authorization", 400),
        ("https://app.example.com", "PUT", "x-other", 400),
        ("https://evil.example", "PUT", "authorization", 403),
        ("https://app.example.com.evil.example", "PUT", "authorization", 403),
        ("https://app.example.com:444", "PUT", "authorization", 403),
        ("http://app.example.com", "PUT", "authorization", 403),
    ],
)
def test_preflight_refused(origin: str, method: str, asked: str, status: int) -> None:
    """Another origin, method or header."""
    headers: Headers = [
        ("Origin", origin),
        ("Access-Control-Request-Method", method),
        ("Access-Control-Request-Headers", asked),
    ]
    answer = ask(CROSS, method="OPTIONS", headers=headers)
    assert (answer.status, answer.passed) == (status, [])


def test_preflight_of_our_own_origin_is_an_ordinary_request() -> None:
    """OPTIONS is not a way around the token."""
    headers: Headers = [("Origin", "http://127.0.0.1:8088"), ("Access-Control-Request-Method", "PUT")]
    assert ask(CROSS, method="OPTIONS", headers=headers).status == 401


# Proxies


@pytest.mark.parametrize(
    "name",
    [
        "Forwarded",
        "Via",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Prefix",
        "X-FORWARDED-",
    ],
)
def test_a_proxy_without_a_token_is_403(name: str) -> None:
    """On every path, /health too; with a token it is an ordinary thing."""
    for target in ("/api/entries", "/health"):
        answer = ask(LOCAL, target, [(name, "")])
        assert (answer.status, answer.code, answer.passed) == (403, "PROXY_WITHOUT_TOKEN", [])
    assert ask(LOCKED, headers=[(name, "x"), ("X-API-Key", TOKEN)]).status == 200


def test_a_server_that_does_not_lower_header_names_opens_no_door() -> None:
    """ASGI asks for lower case, but the rules do not depend on it."""
    app = RecordingApp()
    scope = make_scope("http", "/", None, host=True, server=None, method="GET", scheme="http")
    scope["headers"].append((b"X-Forwarded-For", b"10.0.0.1"))
    sent = run(Guard(app, LOCAL), scope, [])
    assert (sent[0]["status"], app.passed) == (403, [])


# Tokens


def test_without_a_token_everything_may_be_written() -> None:
    """Loopback is the user alone."""
    assert ask(LOCAL, method="DELETE").access == "write"
    _, app = knock(LOCAL)
    assert app.passed[0]["pyrite.access"] == "write"


@pytest.mark.parametrize(
    ("headers", "access"),
    [
        ([("Authorization", f"Bearer {TOKEN}")], "write"),
        ([("Authorization", f"bearer   {TOKEN} ")], "write"),
        ([("X-API-Key", TOKEN)], "write"),
        ([("Authorization", f"Bearer {READER}")], "read"),
        ([("X-API-Key", READER)], "read"),
        ([("X-API-Key", READER), ("Authorization", f"Bearer {TOKEN}")], "write"),
        ([("Authorization", f"Bearer {TOKEN}"), ("X-API-Key", READER)], "write"),
        ([("Authorization", "Basic dXNlcjpwdw=="), ("X-API-Key", TOKEN)], "write"),
    ],
)
def test_tokens_in_headers(headers: Headers, access: str) -> None:
    """Bearer or X-API-Key; the right one counts, whatever stands beside it."""
    answer = ask(LOCKED, headers=headers)
    assert (answer.status, answer.access) == (200, access)


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/api/entries", []),
        ("/", []),
        ("/api/entries", [("Authorization", "Bearer")]),
        ("/api/entries", [("Authorization", "Bearer ")]),
        ("/api/entries", [("Authorization", TOKEN)]),
        ("/api/entries", [("Authorization", f"Basic {TOKEN}")]),
        ("/api/entries", [("Authorization", f"Bearer {TOKEN[:-1]}")]),
        ("/api/entries", [("Authorization", f"Bearer {TOKEN}x")]),
        ("/api/entries", [("Authorization", f"Bearer {TOKEN.upper()}")]),
        ("/api/entries", [("Authorization", f"Bearer {TOKEN},{TOKEN}")]),
        ("/api/entries", [("X-API-Key", "")]),
        ("/api/entries", [("X-API-Key", "tökén")]),
        ("/api/entries", [("X-API-Key", b"\xff\x00")]),
        ("/api/entries", [("Cookie", f"pyrite_token_8088={TOKEN}")]),
        ("/api/entries", [("Cookie", f"token={TOKEN}")]),
        (f"/api/entries?token={TOKEN}", []),
        (f"/api/events/log?token={TOKEN}", []),
        (f"/k/kb?token={TOKEN}", []),
        (f"/health/?token={TOKEN}", []),
        ("/healthz", []),
        ("/api/../health", []),
        ("//health", []),
        ("/api/events?token=", []),
        ("/api/events?token=wrong", []),
        (f"/api/events?token={TOKEN}&token={TOKEN}", []),
        (f"/api/events?Token={TOKEN}", []),
        (f"/?token={TOKEN}x", []),
        (f"/?token={TOKEN}&token=x", []),
        ("/?token=", []),
    ],
)
def test_missing_or_wrong_token_is_401(target: str, headers: Headers) -> None:
    """No way in, and the answer holds nothing of what was tried."""
    answer = ask(LOCKED, target, headers)
    assert (answer.status, answer.code, answer.passed) == (401, "UNAUTHORIZED", [])
    assert answer.one("www-authenticate") == "Bearer"
    assert answer.one("set-cookie") is None
    assert TOKEN.encode() not in answer.body


def test_wrong_token_in_the_address_is_401_in_spite_of_a_cookie() -> None:
    """Who opens a new address with an old token should hear it."""
    cookie = cookie_of(LOCKED, TOKEN)
    assert ask(LOCKED, "/?token=old", [("Cookie", cookie)]).status == 401


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_health_needs_no_token(method: str) -> None:
    """But what may be read there is little, and Host and Origin hold for it as well."""
    assert ask(LOCKED, "/health", method=method).access == "read"
    assert ask(LOCKED, "/health", [("Origin", "https://evil.example")], method=method).status == 403
    assert ask(LOCKED, "/health", [("Host", "evil.example")], method=method, host=False).status == 403


def test_health_below_a_sub_path() -> None:
    """Whether the proxy leaves the sub-path on or takes it off."""
    for target in ("/health", "/pyrite/health"):
        assert ask(PUBLIC, target).status == 200
    assert ask(PUBLIC, "/pyritehealth").status == 401
    assert ask(PUBLIC, "/health", method="POST").status == 401


@pytest.mark.parametrize(
    ("public_url", "asked", "seen"),
    [
        ("https://notes.example.com/pyrite", "/pyrite/api/kbs", "/api/kbs"),
        ("https://notes.example.com/pyrite", "/pyrite", "/"),
        ("https://notes.example.com/pyrite", "/pyrite/", "/"),
        ("https://notes.example.com/pyrite", "/api/kbs", "/api/kbs"),
        ("https://notes.example.com/pyrite", "/pyritex", "/pyritex"),
        ("https://notes.example.com/a/b", "/a/b/k/x", "/k/x"),
        ("https://notes.example.com/api", "/api/kbs", "/api/kbs"),
        ("https://notes.example.com", "/pyrite/api/kbs", "/pyrite/api/kbs"),
    ],
)
def test_the_app_sees_no_sub_path(public_url: str, asked: str, seen: str) -> None:
    """Whether the proxy leaves it on or takes it off; below a name of ours only the second can be told."""
    answer = ask(GuardSettings(host="127.0.0.1", public_url=public_url), asked)
    assert [scope["path"] for scope in answer.passed] == [seen]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "QUERY", "TRACE", "get"])
def test_read_token_may_not_write(method: str) -> None:
    """403, and the app does not hear of it."""
    answer = ask(LOCKED, headers=[("X-API-Key", READER)], method=method)
    assert (answer.status, answer.code, answer.passed) == (403, "READ_ONLY_TOKEN", [])
    assert ask(LOCKED, headers=[("X-API-Key", TOKEN)], method=method).access == "write"


def test_who_may_read_is_told_the_position_also_when_refused() -> None:
    """Every answer below `/api` has it; a stranger's has not."""
    guard = Guard(RecordingApp(), LOCKED, position=lambda: "e:7")
    told = {}
    for token in (READER, "wrong"):
        scope = make_scope(
            "http", "/api/entries", [("X-API-Key", token)], host=True, server=("127.0.0.1", 1), method="POST"
        )
        start, *_ = run(guard, scope, [{"type": "http.request", "body": b"", "more_body": False}])
        told[start["status"]] = dict(start["headers"]).get(b"pyrite-position")
    assert told == {403: b"e:7", 401: None}


def test_read_token_alone_locks_everything() -> None:
    """A read token without a write token does not mean that strangers may write."""
    settings = GuardSettings(host="127.0.0.1", read_token=READER)
    assert ask(settings).status == 401
    assert ask(settings, method="POST").status == 401
    assert ask(settings, headers=[("X-API-Key", READER)]).access == "read"
    assert ask(settings, headers=[("X-API-Key", READER)], method="POST").status == 403


@pytest.mark.parametrize(
    ("token", "value"),
    [
        ("schlüssel-ключ", "schl%C3%BCssel-%D0%BA%D0%BB%D1%8E%D1%87"),
        ("a+b/c==", "a+b/c=="),
        ("a+b/c==", "a%2Bb%2Fc%3D%3D"),
        ("two words", "two+words"),
        ("two words", "two%20words"),
    ],
)
def test_any_token_can_stand_in_an_address(token: str, value: str) -> None:
    """Also one with characters that an address must escape, or need not."""
    settings = GuardSettings(host="127.0.0.1", token=token)
    assert ask(settings, f"/api/events?token={value}").status == 200
    assert ask(settings, f"/?token={value}").status == 303
    assert ask(settings, headers=[("Authorization", b"Bearer " + token.encode())]).status == 200


def test_the_app_does_not_see_the_token_of_an_address() -> None:
    """So that neither an error nor the server's log can show it."""
    answer = ask(LOCKED, f"/api/events?kb=a%20b&token={READER}&since=e:1")
    assert answer.passed[0]["query_string"] == b"kb=a%20b&since=e:1"


# The cookie


def cookie_of(settings: GuardSettings, token: str) -> str:
    cookie = ask(settings, f"/?token={token}").one("set-cookie")
    assert cookie is not None
    return cookie.partition(";")[0]


def test_opening_the_address_sets_a_cookie_that_hides_the_token() -> None:
    """303 to the same address without it; the value is derived."""
    answer = ask(LOCKED, f"/?a=1&token={TOKEN}&b=%20x")
    assert (answer.status, answer.one("location"), answer.passed) == (303, "/?a=1&b=%20x", [])
    cookie = answer.one("set-cookie") or ""
    name_and_value, *attributes = cookie.split("; ")
    assert name_and_value.startswith("pyrite_token_8088=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)
    assert "Secure" not in attributes
    assert not any(secret in repr(answer.headers) for secret in (TOKEN, READER))
    assert answer.one("cache-control") == "no-store"
    assert answer.one("referrer-policy") == "no-referrer"


def test_the_cookie_lets_in() -> None:
    """With the access of the token it was made from, beside other cookies."""
    for token, access in ((TOKEN, "write"), (READER, "read")):
        cookie = cookie_of(LOCKED, token)
        assert ask(LOCKED, headers=[("Cookie", f"a=b;{cookie} ; c=d")]).access == access
        assert ask(LOCKED, headers=[("Cookie", "a=b"), ("Cookie", cookie)]).access == access
        stale = cookie.partition("=")[0] + "=stale"
        assert ask(LOCKED, headers=[("Cookie", f"{stale}; {cookie}")]).access == access
    assert ask(LOCKED, headers=[("Cookie", cookie_of(LOCKED, READER))], method="POST").status == 403


def test_a_cookie_that_was_tampered_with_is_401() -> None:
    """Escaped, quoted, cut, of another port, of another token, or sent as a token."""
    cookie = cookie_of(LOCKED, TOKEN)
    name, _, value = cookie.partition("=")
    escaped = "".join(f"%{ord(character):02x}" for character in value)
    for header in (
        f"{name}={escaped}",
        f'{name}="{value}"',
        f"{name}={value[:-1]}",
        f"{name}={value.upper()}",
        f"{name}=",
        name,
        f"pyrite_token_8089={value}",
        f"{name.upper()}={value}",
        f"pyrite%5ftoken_8088={value}",
        cookie_of(GuardSettings(host="127.0.0.1", token="another"), "another"),
    ):
        assert ask(LOCKED, headers=[("Cookie", header)]).status == 401, header
    assert ask(LOCKED, headers=[("X-API-Key", value)]).status == 401


def test_cookie_behind_a_public_url() -> None:
    """Secure, for the sub-path, named after the public port; and the redirect stays below the sub-path."""
    for target in (f"/?token={TOKEN}&q=1", f"/pyrite/?token={TOKEN}&q=1", f"/pyrite?token={TOKEN}&q=1"):
        answer = ask(PUBLIC, target)
        assert (answer.status, answer.one("location")) == (303, "/pyrite/?q=1")
        cookie = answer.one("set-cookie") or ""
        assert cookie.startswith("pyrite_token_443=")
        assert {"Secure", "Path=/pyrite"} <= set(cookie.split("; "))
        assert ask(PUBLIC, headers=[("Cookie", cookie.partition(";")[0])]).status == 200


def test_cookie_below_a_root_path() -> None:
    """A server's own root path counts as the sub-path where no public address is given."""
    answer = ask(LOCKED, f"/kb/?token={TOKEN}", root_path="/kb")
    assert answer.one("location") == "/kb/"
    assert "; Path=/kb;" in (answer.one("set-cookie") or "")


def test_only_a_get_of_the_front_page_sets_the_cookie() -> None:
    """Another method or page with ?token= is refused."""
    assert ask(LOCKED, f"/?token={TOKEN}", method="POST").status == 401
    assert ask(LOCKED, f"/?token={TOKEN}", method="HEAD").status == 401
    assert ask(LOCKED, f"/x?token={TOKEN}").status == 401


def test_the_redirect_cannot_be_turned_elsewhere() -> None:
    """Neither by a path that begins with two slashes nor by line ends in the query."""
    assert ask(LOCKED, f"//evil.example/?token={TOKEN}").status == 401
    location = ask(LOCKED, f"/?token={TOKEN}&x=\r\nSet-Cookie:a=b").one("location")
    assert location == "/?x=%0D%0ASet-Cookie:a=b"
    settings = GuardSettings(
        host="127.0.0.1", token=TOKEN, public_url="https://notes.example.com//evil.example/"
    )
    assert ask(settings, f"/?token={TOKEN}").one("location") == "/evil.example/"


# Sockets


@pytest.mark.parametrize(
    ("settings", "headers", "host"),
    [
        (LOCAL, [("Host", "evil.example")], False),
        (LOCAL, [("Origin", "https://evil.example")], True),
        (LOCAL, [("Origin", "null")], True),
        (LOCAL, [("Origin", "wss://127.0.0.1:8088")], True),
        (LOCAL, [("Via", "1.1 proxy")], True),
        (LOCKED, [("Origin", "https://evil.example"), ("X-API-Key", TOKEN)], True),
    ],
)
def test_sockets_refused_before_the_upgrade(settings: GuardSettings, headers: Headers, host: bool) -> None:
    """HTTP 403 with the reason, or the close that servers turn into a 403."""
    sent, app = knock(settings, headers=headers, host=host)
    assert [message["type"] for message in sent] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert sent[0]["status"] == 403
    assert "code" in json.loads(sent[1]["body"])["detail"]
    plain, _ = knock(settings, headers=headers, host=host, extensions={})
    assert [message["type"] for message in plain] == ["websocket.close"]
    assert app.passed == []


@pytest.mark.parametrize(
    "target", ["/ws", "/ws?token=", f"/ws?token={TOKEN}x", f"/ws?token={TOKEN}&token=x", "/health"]
)
def test_sockets_without_a_token_are_accepted_and_closed_with_4401(target: str) -> None:
    """A page sees a code only after the upgrade."""
    sent, app = knock(LOCKED, target)
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
    assert (sent[1]["code"], app.passed) == (4401, [])
    assert TOKEN not in repr(sent)


@pytest.mark.parametrize(
    ("target", "headers", "access"),
    [
        (f"/ws?token={TOKEN}&since=now", [], "write"),
        (f"/ws?token={READER}&since=now", [], "read"),
        ("/ws?since=now", [("Authorization", f"Bearer {READER}")], "read"),
        ("/ws?since=now", [("X-API-Key", TOKEN)], "write"),
        ("/ws?since=now", [("Cookie", cookie_of(LOCKED, READER))], "read"),
        (f"/ws?since=now&token={TOKEN}", [("Origin", "http://127.0.0.1:8088")], "write"),
    ],
)
def test_sockets_with_a_token(target: str, headers: Headers, access: str) -> None:
    """By query, header or cookie; the app does not see the query's token."""
    sent, app = knock(LOCKED, target, headers)
    assert sent[1]["text"] == "notes"
    assert app.passed[0]["pyrite.access"] == access
    assert app.passed[0]["query_string"] == b"since=now"


def test_a_socket_that_left_is_not_answered() -> None:
    """The peer went away before it was judged."""
    cases: list[Headers] = [[], [("Origin", "null")]]
    for headers in cases:
        scope = make_scope("websocket", "/ws", headers, host=True, server=None, scheme="ws")
        gone: list[Message] = [{"type": "websocket.disconnect", "code": 1006}]
        assert run(Guard(RecordingApp(), LOCKED), scope, gone) == []


# Headers, errors, settings


def test_every_answer_carries_the_security_headers() -> None:
    """Refusals too; what the app set itself stays."""
    for answer in (ask(LOCAL), ask(LOCKED), ask(LOCAL, headers=[("Origin", "null")])):
        assert answer.one("x-content-type-options") == "nosniff"
        assert answer.one("referrer-policy") == "no-referrer"
        assert answer.one("cross-origin-resource-policy") == "same-origin"
    app = RecordingApp(headers=[(b"Referrer-Policy", b"same-origin"), (b"vary", b"Accept")])
    answer = ask(CROSS, headers=[("X-API-Key", TOKEN)], app=app)
    assert answer.one("referrer-policy") == "same-origin"
    assert answer.all("vary") == ["Accept", "Origin"]


def test_sub_path() -> None:
    """What the app takes as its root path."""
    assert Guard(RecordingApp(), PUBLIC).sub_path == "/pyrite"
    assert Guard(RecordingApp(), LOCAL).sub_path == ""


def test_errors_say_what_to_do() -> None:
    """`detail` has code, message and hint."""
    detail = json.loads(ask(LOCAL, headers=[("Host", "box.lan:8088")], host=False).body)["detail"]
    assert detail == {
        "code": "HOST_NOT_ALLOWED",
        "message": "This server is not known as 'box.lan'.",
        "hint": "If it should be, start it with --allow-host box.lan.",
    }


def test_where_there_is_nothing_to_do_there_is_no_hint() -> None:
    """Bug: it was an empty one, which clients showed."""
    detail = json.loads(ask(LOCAL, headers=[("Host", "a b")], host=False).body)["detail"]
    assert detail == {"code": "HOST_NOT_ALLOWED", "message": "The Host header is malformed."}


def test_the_lifespan_passes() -> None:
    """It is no request."""
    app = RecordingApp()
    run(Guard(app, LOCKED), {"type": "lifespan"}, [])
    assert [scope["type"] for scope in app.passed] == ["lifespan"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (GuardSettings(host="127.0.0.1", token=""), "--token"),
        (GuardSettings(host="127.0.0.1", token="t3st\n"), "--token"),
        (GuardSettings(host="127.0.0.1", read_token=" "), "--read-token"),
        (GuardSettings(host="127.0.0.1", token="t3st", read_token="t3st"), "the same"),
        (GuardSettings(host="127.0.0.1", allow_origins=("*",)), "--allow-origin '*'"),
        (GuardSettings(host="127.0.0.1", allow_origins=("null",)), "--allow-origin 'null'"),
        (GuardSettings(host="127.0.0.1", allow_origins=("app.example.com",)), "--allow-origin"),
        (GuardSettings(host="127.0.0.1", allow_origins=("https://app.example.com/x",)), "--allow-origin"),
        (GuardSettings(host="127.0.0.1", allow_hosts=("*",)), "--allow-host '*'"),
        (GuardSettings(host="127.0.0.1", allow_hosts=("http://box.lan",)), "--allow-host"),
        (GuardSettings(host="127.0.0.1", public_url="notes.example.com"), "--public-url"),
        (GuardSettings(host="127.0.0.1", public_url="ftp://notes.example.com"), "--public-url"),
        (GuardSettings(host="127.0.0.1", public_url="https://me:pw@notes.example.com"), "--public-url"),
        (GuardSettings(host="127.0.0.1", public_url="https://notes.example.com/?q=1"), "--public-url"),
        (GuardSettings(host="127.0.0.1", public_url="https://notes.example.com/a;b"), "--public-url"),
    ],
)
def test_settings_that_cannot_be_meant(settings: GuardSettings, says: str) -> None:
    """Refused at start, with the option's name and without the token."""
    with pytest.raises(UsageError) as refused:
        Guard(RecordingApp(), settings)
    assert says in str(refused.value)
    assert refused.value.hint
    assert "t3st" not in f"{refused.value} {refused.value.hint} {settings!r}"


# In a real server, and with a real client


def test_with_a_browserlike_client() -> None:
    """Open the address once; from then on the cookie serves for pages, writes and sockets."""
    app = RecordingApp()
    client = TestClient(Guard(app, LOCKED), base_url="http://127.0.0.1:8088")
    assert client.get("/api/entries").status_code == 401
    assert client.get(f"/?token={TOKEN}").status_code == 200
    assert app.passed[-1]["query_string"] == b""
    assert client.post("/api/entries").status_code == 200
    with client.websocket_connect("ws://127.0.0.1:8088/ws") as tab:
        assert tab.receive_text() == "notes"


@contextmanager
def serving(settings: GuardSettings) -> Iterator[int]:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()  # from here on who connects waits in the queue: nothing to sleep for
    app = Guard(RecordingApp(), settings)
    config = uvicorn.Config(app, ws="websockets-sansio", lifespan="off", log_config=None, log_level="debug")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def test_in_uvicorn(caplog: pytest.LogCaptureFixture) -> None:
    """403 before the upgrade, 4401 after it, 303 with the cookie, and no token in any log line."""
    caplog.set_level(logging.DEBUG)
    hide_queries()
    hide_queries()
    with serving(LOCKED) as port:
        address = f"127.0.0.1:{port}"
        with pytest.raises(InvalidStatus) as refused:
            connect(f"ws://{address}/ws?token={TOKEN}", origin=Origin("https://evil.example"), proxy=None)
        assert refused.value.response.status_code == 403
        assert b"ORIGIN_NOT_ALLOWED" in (refused.value.response.body or b"")
        with (
            connect(f"ws://{address}/ws?token=wrong-s3cret", proxy=None) as tab,
            pytest.raises(ConnectionClosed) as closed,
        ):
            tab.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401
        own = f"http://{address}"
        with connect(f"ws://{address}/ws?token={TOKEN}", origin=Origin(own), proxy=None) as tab:
            assert tab.recv(timeout=10) == "notes"
        with httpx2.Client(base_url=own, trust_env=False) as client:
            opened = client.get("/", params={"token": TOKEN})
            assert (opened.status_code, opened.headers["location"]) == (303, "/")
            assert f"pyrite_token_{port}" in client.cookies
            assert client.get("/api/entries").text == "notes"
            assert (
                client.get("/health", params={"q": "s3cret"}, headers={"Host": "evil.example"}).status_code
                == 403
            )
    server_lines = [record.getMessage() for record in caplog.records if record.name.startswith("uvicorn")]
    assert any("/ws" in line for line in server_lines)
    assert not [line for line in server_lines if "s3cret" in line]
