"""Who may connect: the door before every route, for HTTP and WebSockets alike.

A server on loopback is reached by every page that the user's browser opens, so the door asks in this
order, and the first "no" is the answer:

1. Host: is it a name of ours? (DNS rebinding: a foreign name that was made to point here.) 403
2. Origin: is the page that asks ours, or an allowed one? 403
3. Proxy: without a token, nobody else may stand in front of us. 403
4. Token, where there is one: 401, on a socket 4401; the read token may not write: 403

It must not look at what a request is about: which knowledge base, read-only or not, is the routes'
business. What they learn from here is `scope["pyrite.access"]`: "write" or "read".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pyrite_watch.errors import RequestError, UsageError
from pyrite_watch.server.origins import (
    DEFAULT_PORTS,
    Authority,
    Origin,
    PublicUrl,
    bracketed,
    is_loopback_host,
    is_wildcard,
    local_address,
    parse_allowed,
    parse_authority,
    parse_origin,
    parse_public_url,
)
from pyrite_watch.server.tokens import (
    Access,
    QueryFreeAccessFilter,
    TokenKeeper,
    bearer_of,
    cookies_named,
    hide_queries,
    redact_query,
    spellings,
    split_query,
)
from pyrite_watch.settings import Settings

__all__ = [
    "Access",
    "Guard",
    "GuardSettings",
    "PublicUrl",
    "QueryFreeAccessFilter",
    "check_guard",
    "hide_queries",
    "is_loopback_host",
    "parse_public_url",
    "redact_query",
]

WS_UNAUTHORIZED: Final = 4401
COOKIE_MAX_AGE_S: Final = 365 * 24 * 3600  # "opened once": it ends when the token changes, hardly by time

_READING_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_PREVIEWS: Final = "/render/"
"""What is sent there is shown, not kept."""

OWN_SEGMENTS: Final = frozenset(
    {"api", "files", "health", "k", "metrics", "openapi.json", "problems", "render", "search", "web", "ws"}
)
"""What our own paths begin with."""

_CORS_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_CORS_HEADERS: Final = ("Authorization", "X-API-Key", "Content-Type", "If-Match", "Last-Event-ID")
_EXPOSED_HEADERS: Final = ("Pyrite-Position", "ETag")
_WEB_SCHEMES: Final = {"ws": "http", "wss": "https"}

_OWN_HEADERS: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_FOREIGN_HEADERS: Final = _OWN_HEADERS[:2]


class HostNotAllowedError(RequestError):
    """The Host header is missing, doubled, malformed, or no name of this server."""

    status = 403
    code = "HOST_NOT_ALLOWED"


class OriginNotAllowedError(RequestError):
    """A page that is not ours asks."""

    status = 403
    code = "ORIGIN_NOT_ALLOWED"


class ProxyWithoutTokenError(RequestError):
    """A proxy stands in front, so loopback is no longer the user alone."""

    status = 403
    code = "PROXY_WITHOUT_TOKEN"

    def __init__(self) -> None:
        super().__init__(
            "This request came through a proxy, and this server has no token.", "Start it with --token auto."
        )


class UnauthorizedError(RequestError):
    """No token, or a wrong one."""

    status = 401
    code = "UNAUTHORIZED"

    def __init__(self) -> None:
        super().__init__(
            "The token is missing or wrong.",
            "Add ?token=… to the page's address, or send 'Authorization: Bearer …'.",
        )


class ReadOnlyTokenError(RequestError):
    """The read token was used to write."""

    status = 403
    code = "READ_ONLY_TOKEN"

    def __init__(self) -> None:
        super().__init__("This token may only read.", "Use the token of --token to write.")


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """Who may connect, as the command line says it."""

    host: str  # as given to --host; a wildcard (0.0.0.0, ::) is no name
    token: str | None = field(default=None, repr=False)
    read_token: str | None = field(default=None, repr=False)
    allow_origins: tuple[str, ...] = ()
    allow_hosts: tuple[str, ...] = ()  # "name": any port; "name:port": that one
    public_url: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> GuardSettings:
        """Take what concerns the door from all that was asked for."""
        return cls(
            host=settings.host,
            token=settings.token,
            read_token=settings.read_token,
            allow_origins=settings.allow_origins,
            allow_hosts=settings.allow_hosts,
            public_url=settings.public_url,
        )


def check_guard(settings: Settings) -> None:
    """Refuse settings of which no `Guard` can be made: the app makes its own only when it starts.

    Raises:
        UsageError: A setting cannot be meant as given.
    """
    Guard(Response(), GuardSettings.of(settings))


class Guard:
    """Let through, or refuse, each request and WebSocket before the app sees it.

    Pure ASGI, and outermost: nothing that answers may stand before it. The lifespan passes through, and
    with its start the server's log gets its filter. It keeps no state between requests, and may serve
    several loops.

    Args:
        position: What `Pyrite-Position` is in a refusal that goes to who may read; strangers are not told.

    Raises:
        UsageError: A setting cannot be meant as given.
    """

    def __init__(
        self, app: ASGIApp, settings: GuardSettings, position: Callable[[], object] | None = None
    ) -> None:
        self._app = app
        self._position = position
        self._keeper = TokenKeeper(settings.token, settings.read_token)
        self._public = parse_public_url(settings.public_url) if settings.public_url else None
        self._sub_path = self._public.path if self._public else ""
        self._wildcard = is_wildcard(settings.host)
        names: set[str] = set()
        exact: set[tuple[str, int]] = set()
        bound = None if self._wildcard else parse_authority(bracketed(settings.host))
        if bound is not None:
            names.add(bound.name)
        for given in settings.allow_hosts:
            authority = parse_authority(bracketed(given) if "]:" not in given else given)
            if authority is None:
                raise UsageError(
                    f"--allow-host {given!r} is not a host name.", "Example: --allow-host notes.example.com"
                )
            if authority.port is None:
                names.add(authority.name)
            else:
                exact.add((authority.name, authority.port))
        # A request by the public name can only be of the public origin, whatever scheme the proxy uses
        # to reach us; unless that name is also one of those by which we are reached directly.
        self._public_name = None
        if self._public is not None and self._public.origin.name not in names:
            self._public_name = self._public.origin.name
            names.add(self._public_name)
        self._names = frozenset(names)
        self._exact = frozenset(exact)
        self._foreign = frozenset(parse_allowed(settings.allow_origins))
        self._cors = CORSMiddleware(
            self._admit_request,
            allow_origins=frozenset(map(str, self._foreign)),
            allow_methods=_CORS_METHODS,
            allow_headers=_CORS_HEADERS,
            allow_credentials=False,  # a foreign page sends its token in a header, never our cookie
            expose_headers=_EXPOSED_HEADERS,
        )
        own = list(_OWN_HEADERS)
        if self._foreign:
            own.append((b"vary", b"Origin"))
        self._own_headers = own

    @property
    def sub_path(self) -> str:
        """The path of `--public-url`, "" for none: the app's root path."""
        return self._sub_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            hide_queries()  # the server that starts has set up its logging by now
            await self._app(scope, receive, send)
            return
        self._take_off_sub_path(scope)
        foreign = False
        try:
            foreign = self._check_headers(scope)
        except RequestError as refusal:
            if kind == "http":
                await _answer(refusal)(scope, receive, _adding(send, self._own_headers))
            else:
                await _refuse_upgrade(refusal, scope, receive, send)
            return
        if kind == "websocket":
            await self._admit_socket(scope, receive, send)
        elif foreign:
            await self._cors(scope, receive, _adding(send, _FOREIGN_HEADERS))
        else:
            await self._admit_request(scope, receive, _adding(send, self._own_headers))

    def _check_headers(self, scope: Scope) -> bool:
        """Raise unless Host, Origin and proxy headers are in order; tell whether the origin is foreign."""
        hosts: list[bytes] = []
        origins: list[bytes] = []
        proxied = False
        for raw_name, value in scope["headers"]:
            name = raw_name.lower()  # ASGI asks for lower case; here a server that forgets must not matter
            if name == b"host":
                hosts.append(value)
            elif name == b"origin":
                origins.append(value)
            elif name in (b"forwarded", b"via") or name.startswith(b"x-forwarded-"):
                proxied = True
        scheme: str = scope.get("scheme", "http")
        scheme = _WEB_SCHEMES.get(scheme, scheme)
        host = self._check_host(hosts, scheme, scope)
        foreign = self._check_origin(origins, scheme, host) if origins else False
        if proxied and not self._keeper.enabled:
            raise ProxyWithoutTokenError
        return foreign

    def _check_host(self, hosts: list[bytes], scheme: str, scope: Scope) -> Authority:
        if len(hosts) != 1:
            raise HostNotAllowedError("A request needs exactly one Host header.")
        host = parse_authority(hosts[0].decode("latin-1"))
        if host is None:
            raise HostNotAllowedError("The Host header is malformed.")
        # The port of a name of ours is not compared with the one we listen on: behind `ssh -L
        # 9000:localhost:8088` it is rightly 9000. Rebinding needs a name that is not ours, so the name
        # is enough; and the origin is compared with its port.
        if host.loopback or host.name in self._names:
            return host
        if (host.name, host.port or DEFAULT_PORTS.get(scheme)) in self._exact:
            return host
        if self._wildcard and host.name == local_address(scope.get("server")):
            return host
        raise HostNotAllowedError(
            f"This server is not known as '{host.name[:255]}'.",
            f"If it should be, start it with --allow-host {host.name[:255]}.",
        )

    def _check_origin(self, origins: list[bytes], scheme: str, host: Authority) -> bool:
        if len(origins) != 1:
            raise OriginNotAllowedError("A request has at most one Origin header.")
        origin = parse_origin(origins[0].decode("latin-1"))
        if origin is None:
            raise OriginNotAllowedError("The Origin is null or malformed: no page of this server sends that.")
        if self._public is not None and origin == self._public.origin:
            return False
        if host.name != self._public_name or host.loopback:
            own = Origin(scheme, host.name, host.port or DEFAULT_PORTS.get(scheme))
            if origin == own:
                return False
        if origin in self._foreign:
            return True
        raise OriginNotAllowedError(
            f"Pages of {str(origin)[:255]} may not use this server.",
            f"If they should, start it with --allow-origin {str(origin)[:255]}.",
        )

    async def _admit_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask for the token of an HTTP request, then call the app."""
        try:
            opened = self._admit(scope)
        except RequestError as refusal:
            answer = _answer(refusal)
            if isinstance(refusal, ReadOnlyTokenError) and self._position is not None:
                answer.headers["Pyrite-Position"] = str(self._position())
            await answer(scope, receive, send)
            return
        await (opened or self._app)(scope, receive, send)

    def _admit(self, scope: Scope) -> Response | None:
        """Raise, or note the access; return the answer to `/?token=…`, which sets the cookie."""
        access: Access | None = "write"
        if self._keeper.enabled:
            method = scope["method"]
            route = self._route(scope)
            given: list[bytes] = []
            if method == "GET" and route in ("/", "/api/events"):
                given = _take_token(scope)
            if given and route == "/":
                return self._open(scope, given)
            access = self._access(scope, given)
            if access is None:
                if route != "/health" or method not in ("GET", "HEAD"):
                    raise UnauthorizedError
                access = "read"
            is_reading = method in _READING_METHODS or (method == "POST" and route.startswith(_PREVIEWS))
            if access == "read" and not is_reading:
                raise ReadOnlyTokenError
        scope["pyrite.access"] = access
        return None

    async def _admit_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask for the token of a WebSocket, then call the app."""
        access: Access | None = "write"
        if self._keeper.enabled:
            access = self._access(scope, _take_token(scope))
        if access is None:
            # Accepted first: before the upgrade, a browser does not let its page see why.
            if (await receive())["type"] == "websocket.connect":
                await send({"type": "websocket.accept"})
                await send(
                    {
                        "type": "websocket.close",
                        "code": WS_UNAUTHORIZED,
                        "reason": "token missing or wrong",
                    }
                )
            return
        scope["pyrite.access"] = access
        await self._app(scope, receive, send)

    def _access(self, scope: Scope, query_tokens: list[bytes]) -> Access | None:
        """Tell the most that any one credential of the request allows, None where none is right.

        A wrong one beside a right one does no harm: a proxy may have an Authorization of its own.
        """
        found: Access | None = self._access_of_query(query_tokens)
        cookie_name = self._cookie_name(scope).encode("ascii")
        for raw_name, value in scope["headers"]:
            name = raw_name.lower()
            allowed: list[Access | None] = []
            if name == b"authorization":
                bearer = bearer_of(value)
                if bearer is not None:
                    allowed = [self._keeper.access_of_token(bearer)]
            elif name == b"x-api-key":
                allowed = [self._keeper.access_of_token(value.strip())]
            elif name == b"cookie":
                allowed = [self._keeper.access_of_cookie(each) for each in cookies_named(cookie_name, value)]
            if "write" in allowed:
                found = "write"
            elif "read" in allowed:
                found = found or "read"
        return found

    def _access_of_query(self, given: list[bytes]) -> Access | None:
        if len(given) != 1:  # two tokens in one address: whoever made it up, it is not ours
            return None
        for spelled in spellings(given[0]):
            access = self._keeper.access_of_token(spelled)
            if access is not None:
                return access
        return None

    def _open(self, scope: Scope, given: list[bytes]) -> Response:
        """Answer `/?token=…`: set the cookie, and go there again. The scope's query is already without it."""
        access = self._access_of_query(given)
        if access is None:
            raise UnauthorizedError
        path = self._sub_path or scope.get("root_path", "").rstrip("/")
        query = quote(scope["query_string"], safe="/?:@!$&'()*+,;=-._~%")
        cookie = (
            f"{self._cookie_name(scope)}={self._keeper.cookie_of(access)}; Path={path or '/'}; "
            f"Max-Age={COOKIE_MAX_AGE_S}; HttpOnly; SameSite=Strict"
        )
        if self._public is not None and self._public.origin.scheme == "https":
            cookie += "; Secure"
        return Response(
            status_code=303,
            headers={
                "Location": f"{path}/" + (f"?{query}" if query else ""),
                "Set-Cookie": cookie,
                "Cache-Control": "no-store",
            },
        )

    def _cookie_name(self, scope: Scope) -> str:
        """Name the cookie after the port: browsers do not keep those of two ports of a host apart."""
        if self._public is not None:
            return f"pyrite_token_{self._public.origin.port}"
        server = scope.get("server")
        return f"pyrite_token_{server[1]}" if server and server[1] else "pyrite_token"

    def _route(self, scope: Scope) -> str:
        """Return the path below the sub-path, which the proxy in front may have left on or taken off."""
        path: str = scope["path"]
        for prefix in (scope.get("root_path", "").rstrip("/"), self._sub_path):
            if prefix and (path == prefix or path.startswith(prefix + "/")):
                return path[len(prefix) :] or "/"
        return path or "/"

    def _take_off_sub_path(self, scope: Scope) -> None:
        """Let the app see the path as behind a proxy that takes the sub-path off, also where it does not."""
        prefix, path = self._sub_path, scope["path"]
        # Below `/api`, say, a path that begins with `/api` may be either.
        if not prefix or prefix.split("/")[1] in OWN_SEGMENTS:
            return
        if path == prefix or path.startswith(prefix + "/"):
            scope["path"] = path[len(prefix) :] or "/"
            scope["raw_path"] = quote(scope["path"]).encode("ascii")


def _take_token(scope: Scope) -> list[bytes]:
    """Take `token` out of the scope's query, so that neither the app nor the server's log can show it."""
    given, scope["query_string"] = split_query(scope.get("query_string", b""))
    return given


def _answer(refusal: RequestError) -> Response:
    headers = {"Cache-Control": "no-store"}
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    detail = {"code": refusal.code, "message": str(refusal)}
    if refusal.hint:
        detail["hint"] = refusal.hint
    return JSONResponse({"detail": detail}, status_code=refusal.status, headers=headers)


async def _refuse_upgrade(refusal: RequestError, scope: Scope, receive: Receive, send: Send) -> None:
    if (await receive())["type"] != "websocket.connect":
        return
    if "websocket.http.response" in (scope.get("extensions") or {}):
        await _answer(refusal)(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": 1008})  # before the upgrade, servers send 403


def _adding(send: Send, extra: list[tuple[bytes, bytes]]) -> Send:
    """Add headers to the response where the app did not set them itself; `vary` in any case."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            present = {name.lower() for name, _ in headers} - {b"vary"}
            headers += [header for header in extra if header[0] not in present]
            message = {**message, "headers": headers}
        await send(message)

    return send_with_headers
