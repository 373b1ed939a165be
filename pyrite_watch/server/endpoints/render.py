"""Entries as HTML, for the page."""

from __future__ import annotations

import hashlib
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from pyrite_watch.errors import TooBigError
from pyrite_watch.index import links
from pyrite_watch.server.answers import RENDERED, refusals
from pyrite_watch.server.bodies import BoundedRoute
from pyrite_watch.server.conditional import answer_conditionally
from pyrite_watch.server.context import live_of, snapshot_for
from pyrite_watch.server.refusals import ENTRY_NOT_FOUND, KB_NOT_FOUND, OF_READS, TOO_BIG
from pyrite_watch.server.render import Document, LinkTarget, Resolved, parse_document

router = APIRouter(tags=["Page"], route_class=BoundedRoute)

_HTML = "text/html"
_CONTENT: dict[str, Any] = {_HTML: {"schema": {"type": "string"}, "example": '<p id="b-1f0c">Straw.</p>'}}
_OK = {
    "description": "Top-level elements, each with an id that stays as long as its text",
    "content": _CONTENT,
    "headers": RENDERED,
}


class Preview(BaseModel):
    """A body that is not saved yet."""

    body: str = Field(description="Markdown, without front matter")
    path: str | None = Field(None, description="The entry's path, for what is relative to it")


@router.get(
    "/render/{kb}/{entry_id}",
    summary="Render an entry",
    response_class=Response,
    response_model=None,
    responses={200: _OK, **refusals(*OF_READS, KB_NOT_FOUND, ENTRY_NOT_FOUND)},
)
def render_entry(request: Request, response: Response, kb: str, entry_id: str) -> Response:
    """An entry's body as sanitised HTML. The ETag is that of this answer: links change without the body."""
    with snapshot_for(request, response) as snapshot:
        entry = live_of(request).service.get_entry(snapshot, entry_id, kb)
    # Of the first snapshot: whoever follows the events from there hears of what the links say later.
    position = response.headers["Pyrite-Position"]
    document = parse_document(kb, entry["path"], entry["body"])
    html = document.html(_resolve(request, response, document))
    return _answer(request, html, {"Pyrite-Position": position, "Pyrite-Revision": entry["revision"]})


@router.post(
    "/render/{kb}",
    summary="Preview a body",
    response_class=Response,
    response_model=None,
    responses={200: _OK, **refusals(*OF_READS, KB_NOT_FOUND, TOO_BIG)},
)
def render_preview(request: Request, response: Response, kb: str, preview: Preview) -> Response:
    """What a body would look like as an entry of this knowledge base. Nothing is written."""
    live = live_of(request)
    live.service.check_kb(kb)
    limit = live.pipeline.settings.max_entry_bytes
    if len(preview.body.encode("utf-8", "surrogatepass")) > limit:
        raise TooBigError(limit)
    body = preview.body.encode("utf-8", "replace").decode().replace("\r\n", "\n")
    document = parse_document(kb, preview.path or "new.md", body)
    html = document.html(_resolve(request, response, document))
    return _answer(request, html, {"Pyrite-Position": response.headers["Pyrite-Position"]})


def _resolve(request: Request, response: Response, document: Document) -> dict[LinkTarget, Resolved]:
    found = {}
    with snapshot_for(request, response) as snapshot:
        for target in document.targets:
            entry = links.resolve(snapshot.connection, target.kb_name, target.name)
            if entry is not None:
                found[target] = Resolved(entry.kb_name, entry.entry_id, entry.title)
    return found


def _answer(request: Request, html: str, headers: dict[str, str]) -> Response:
    body = html.encode("utf-8", "replace")
    etag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    # Opened by itself it is a document of this origin: sanitised, and without any right.
    policy = "default-src 'none'; sandbox"
    sent = {**headers, "Cache-Control": "no-cache", "Content-Security-Policy": policy}
    return answer_conditionally(request, body, f"{_HTML}; charset=utf-8", etag, sent)
