"""The bodies of requests: refused before they are read where no entry is so big, and 422 in few words.

All of it runs in the event loop, where everybody waits for it: parsing 100 MB takes seconds, and telling
what is wrong with each of 200,000 values more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.types import Message

from pyrite_watch.errors import TooBigError
from pyrite_watch.server.context import live_of

MAX_ESCAPED: Final = 6
"""Bytes of JSON for a byte of an entry: `\\u0041`."""

OVERHEAD_BYTES: Final = 64 * 1024
"""What stands beside an entry's text: names, brackets, blanks."""

MAX_VALUES: Final = 1 << 18
"""Many times what a front matter may have. Parsing and checking eight million, in 16 MB, took 5 s."""

MAX_FAULTS: Final = 20
MAX_REPEATED_CHARS: Final = 1000
"""What a 422 tells: so many faults, and no input that is longer."""

_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


class BoundedRoute(APIRoute):
    """Answers 413 to a body that is larger than an entry can be, and a short 422 to one that is wrong."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's own handler."""
        answer = super().get_route_handler()
        has_body = self.body_field is not None

        async def answer_bounded(request: Request) -> Response:
            try:
                return await answer(await _read(request) if has_body else request)
            except RequestValidationError as error:
                # FastAPI repeats the input in its answer, and fails where that cannot be encoded.
                faults = [_short(fault) for fault in error.errors()[:MAX_FAULTS]]
                raise RequestValidationError(faults, body=None) from error

        return answer_bounded


async def _read(request: Request) -> Request:
    """Read the body; return a request that has it."""
    max_bytes = live_of(request).pipeline.settings.max_entry_bytes
    most = MAX_ESCAPED * max_bytes + OVERHEAD_BYTES
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise TooBigError(max_bytes)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise TooBigError(max_bytes)
    except ClientDisconnect as error:
        raise HTTPException(400, "The body ends too soon.") from error
    if _least_bytes(body) > max_bytes + OVERHEAD_BYTES or _has_too_many_values(body):
        raise TooBigError(max_bytes)
    whole: Message = {"type": "http.request", "body": bytes(body), "more_body": False}

    async def receive() -> Message:
        return whole

    return Request(request.scope, receive)


def _least_bytes(body: bytearray) -> int:
    """How long JSON is at least without its escapes: `\\u0041` and `\\n` may be one byte each."""
    return len(body) - body.count(b"\\") - (MAX_ESCAPED - 2) * body.count(b"\\u")


def _has_too_many_values(body: bytearray) -> bool:
    # Most texts have few commas, and need no second look.
    return body.count(b",") > MAX_VALUES and _STRING.sub(b"", body).count(b",") > MAX_VALUES


def _short(fault: dict[str, Any]) -> dict[str, Any]:
    if _is_repeatable([fault.get("input"), fault.get("loc"), fault.get("ctx")]):
        return fault
    loc = [str(part)[:100].encode("ascii", "backslashreplace").decode() for part in fault.get("loc", ())]
    return {"type": fault.get("type"), "loc": loc, "msg": fault.get("msg"), "input": None}


def _is_repeatable(value: object) -> bool:
    """Whether it is short, and has no half of a surrogate pair and no infinite number."""
    size = 0
    try:
        for part in _ENCODER.iterencode(value):  # in pieces, so that a long value is not encoded whole
            size += len(part.encode())
            if size > MAX_REPEATED_CHARS:
                return False
    except (TypeError, ValueError, RecursionError):
        return False
    return True
