"""Answer with an ETag: 304 where the reader has it already. For what is not below `/api`."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Request, Response


def answer_conditionally(
    request: Request, body: bytes, media_type: str, etag: str, headers: Mapping[str, str]
) -> Response:
    """Answer with the body, or with 304 where `If-None-Match` names what would be sent."""
    sent = {**headers, "ETag": etag}
    given = request.headers.get("if-none-match", "")
    # Compared weakly: a proxy that compresses makes `W/"…"` of it.
    if given == "*" or etag in (each.strip().removeprefix("W/") for each in given.split(",")):
        return Response(status_code=304, headers=sent)
    return Response(body, media_type=media_type, headers=sent)
