"""Tokens in memory and in logs; how requests carry them is tested with the guard."""

from __future__ import annotations

import logging

import pytest

from pyrite_watch.server.tokens import QueryFreeAccessFilter, TokenKeeper, redact_query, split_query


def test_cookie_values_tell_tokens_apart() -> None:
    """A derived value is no token, and a token is no derived value."""
    keeper = TokenKeeper("t0ken-write", "t0ken-read")
    for token, access in ((b"t0ken-write", "write"), (b"t0ken-read", "read")):
        assert keeper.access_of_token(token) == access
        assert keeper.access_of_cookie(token) is None
    value = keeper.cookie_of("read").encode()
    assert keeper.access_of_cookie(value) == "read"
    assert keeper.access_of_token(value) is None
    assert TokenKeeper("other", "t0ken-read").cookie_of("write") != keeper.cookie_of("write")


def test_a_token_that_is_not_utf8_works() -> None:
    """The environment may hold any bytes; Python shows them as surrogates."""
    assert TokenKeeper("\udcff\udcfe", None).access_of_token(b"\xff\xfe") == "write"


@pytest.mark.parametrize(
    ("query", "given", "rest"),
    [
        (b"", [], b""),
        (b"token", [], b"token"),
        (b"a=1&&b", [], b"a=1&&b"),
        (b"token=x", [b"x"], b""),
        (b"a=%20&token=x&b", [b"x"], b"a=%20&b"),
        (b"%74oken=x&a=token=y", [b"x"], b"a=token=y"),
        (b"token=x&token=", [b"x", b""], b""),
        (b"read_token=x", [], b"read_token=x"),
    ],
)
def test_split_query(query: bytes, given: list[bytes], rest: bytes) -> None:
    """What is not the token stays as it was, byte for byte."""
    assert split_query(query) == (given, rest)


@pytest.mark.parametrize(
    ("logger", "message", "args"),
    [
        (
            "uvicorn.access",
            '%s - "%s %s HTTP/%s" %d',
            ("127.0.0.1:5", "GET", "/api?q=s3cret&token=s3cret", "1.1", 200),
        ),
        ("uvicorn.error", '%s - "WebSocket %s" [accepted]', ("127.0.0.1:5", "/ws?token=s3cret&since=now")),
        ("uvicorn.error", '%s - "WebSocket %s" %d', ("127.0.0.1:5", "/ws?x=%73&token=s3cret", 403)),
        ("uvicorn.error", "< GET %s HTTP/1.1", ("/ws?token=s3cret",)),
        ("uvicorn.error", "< %s: %s", ("Authorization", "Bearer s3cret")),
        ("uvicorn.error", "< %s: %s", ("cookie", "a=s3cret")),
        ("uvicorn.error", "opened http://127.0.0.1:8088/?token=s3cret", ()),
        ("uvicorn.error", "open %s", ("http://127.0.0.1:8088/?a=1&token=s3cret",)),
    ],
)
def test_logs_show_no_query(logger: str, message: str, args: tuple[object, ...]) -> None:
    """The line is there, without what follows the question mark."""
    record = logging.LogRecord(logger, logging.INFO, __file__, 1, message, args, None)
    assert QueryFreeAccessFilter().filter(record)
    assert "s3cret" not in record.getMessage()
    if "/ws" in str(args):
        assert "/ws" in record.getMessage()


def test_redact_query() -> None:
    """Only the path stays."""
    assert redact_query("/a%3Fb?token=x?y") == "/a%3Fb"
    assert redact_query("/a") == "/a"
