"""Tokens: who holds one, the cookie derived from it, and keeping it out of the logs.

Everything here is a function on bytes that the caller took from a request; nothing reads a request or
answers one. A token itself appears in no `repr`, no error and no cookie.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from typing import Final, Literal
from urllib.parse import unquote_to_bytes

from pyrite_watch.errors import UsageError

Access = Literal["write", "read"]
"""What a request may do. "write" includes reading."""

# Part of the key derivation: another text makes every cookie that was given out void.
COOKIE_CONTEXT: Final = b"pyrite-watch cookie 1"

_TOKEN_IN_TEXT: Final = re.compile(r"([?&]token=)[^&\s\"'#]*", re.IGNORECASE)
_SECRET_HEADERS: Final = frozenset({"authorization", "x-api-key", "cookie", "set-cookie"})
_ACCESS_LOGGERS: Final = ("uvicorn.access", "uvicorn.error")


class TokenKeeper:
    """Knows the tokens, and tells what a credential may do.

    Any token that is configured means that every request needs one: a `read_token` alone makes a
    server that nobody can write to over HTTP, not one that everybody can.

    Raises:
        UsageError: A token is empty or has blanks around it (no header could carry it), or both are
            one: the read token would write.
    """

    def __init__(self, token: str | None, read_token: str | None) -> None:
        for option, given in (("--token", token), ("--read-token", read_token)):
            if given is not None and (not given or given != given.strip()):
                raise UsageError(
                    f"The value of {option} is empty, or has blanks around it.",
                    "'--token auto' makes a good one.",
                )
        if token is not None and token == read_token:
            raise UsageError(
                "--token and --read-token are the same.", "Give the readers another one: it must not write."
            )
        self._tokens: list[tuple[bytes, Access]] = []
        if read_token is not None:
            self._tokens.append((_to_bytes(read_token), "read"))
        if token is not None:
            self._tokens.append((_to_bytes(token), "write"))
        self._cookies = [(_derive(token_bytes), access) for token_bytes, access in self._tokens]

    @property
    def enabled(self) -> bool:
        """Whether requests need a token."""
        return bool(self._tokens)

    def access_of_token(self, given: bytes) -> Access | None:
        """Tell what this token may do, None for nothing.

        Constant time in where it differs from ours; not in how long it is.
        """
        return _matching(given, self._tokens)

    def access_of_cookie(self, given: bytes) -> Access | None:
        """Tell what this cookie's value may do, None for nothing."""
        return _matching(given, self._cookies)

    def cookie_of(self, access: Access) -> str:
        """Return the value that stands for the token of that access; the token cannot be read off it."""
        return next(value.decode("ascii") for value, allowed in self._cookies if allowed == access)


def _to_bytes(token: str) -> bytes:
    # surrogateescape: a token from the environment may be bytes that are not UTF-8.
    return token.encode("utf-8", "surrogateescape")


def _derive(token: bytes) -> bytes:
    return hmac.new(token, COOKIE_CONTEXT, hashlib.sha256).hexdigest().encode("ascii")


def _matching(given: bytes, known: list[tuple[bytes, Access]]) -> Access | None:
    found: Access | None = None
    for secret, access in known:  # no early exit: the time must not tell which one matched
        if hmac.compare_digest(given, secret):
            found = access
    return found


def split_query(query: bytes) -> tuple[list[bytes], bytes]:
    """Take `token` out of a query: the values given, and the query without them, else as it was."""
    if b"=" not in query:
        return [], query
    given: list[bytes] = []
    rest: list[bytes] = []
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        if unquote_to_bytes(name) == b"token":
            given.append(value)
        else:
            rest.append(part)
    return given, (b"&".join(rest) if given else query)


def spellings(value: bytes) -> list[bytes]:
    """Decode a query value in the ways that it may be meant.

    `+` is a blank where a form made the query, and itself where a hand typed a base64 token.
    """
    spelled = [unquote_to_bytes(value)]
    if b"+" in value:
        spelled.append(unquote_to_bytes(value.replace(b"+", b" ")))
    return spelled


def bearer_of(authorization: bytes) -> bytes | None:
    """Return the token of an `Authorization: Bearer` header, None for another scheme."""
    scheme, _, token = authorization.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else None


def cookies_named(name: bytes, header: bytes) -> list[bytes]:
    """Return the values, as sent, of all cookies of that name: a browser may hold one for each path."""
    values = []
    for pair in header.split(b";"):
        key, _, value = pair.partition(b"=")
        if key.strip() == name:
            values.append(value.strip())
    return values


def redact_query(path_with_query: str) -> str:
    """Leave the query out of what a log shows: it may hold a token, or what somebody searches for."""
    return path_with_query.partition("?")[0]


class QueryFreeAccessFilter(logging.Filter):
    """Changes log records so that they show no query and no token; lets every record through.

    For the loggers `uvicorn.access` (requests) and `uvicorn.error` (accepted and refused WebSockets,
    and, at debug level, the headers of their handshake). A filter of a logger does not see the
    records of its children.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple) and record.args:
            args = tuple(_redact(arg) for arg in record.args)
            # The websockets library logs "< %s: %s" with the name and the value of each header.
            if len(args) == 2 and str(args[0]).lower() in _SECRET_HEADERS:
                args = (args[0], "…")
            record.args = args
        elif isinstance(record.msg, str):
            record.msg = _redact(record.msg)
        return True


def _redact(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.startswith("/"):
        return redact_query(value)
    return _TOKEN_IN_TEXT.sub(r"\1…", value)


def hide_queries() -> None:
    """Put the filter on uvicorn's loggers; may be called again, before or after uvicorn sets them up."""
    for name in _ACCESS_LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(present, QueryFreeAccessFilter) for present in logger.filters):
            logger.addFilter(QueryFreeAccessFilter())
