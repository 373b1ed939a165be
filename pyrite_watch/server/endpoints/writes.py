"""Entries: create, change, delete. Thin: the work is the writer's, in the writing thread."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field, JsonValue

from pyrite_watch.server.answers import ErrorAnswer, Responses
from pyrite_watch.server.context import live_of
from pyrite_watch.service import POLL_S, StoppedError
from pyrite_watch.writer import EntryEdit, InvalidWriteError, NewEntry, Writer, Written


class _WriteRoute(APIRoute):
    """Answers 422 also to what no JSON answer can repeat: half a surrogate pair, an infinite number."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's own handler."""
        answer = super().get_route_handler()

        async def answer_safely(request: Request) -> Response:
            try:
                return await answer(request)
            except RequestValidationError as error:
                # FastAPI repeats the input in its answer, and fails where that cannot be encoded.
                faults = [_repeatable(fault) for fault in error.errors()]
                raise RequestValidationError(faults, body=None) from error

        return answer_safely


def _repeatable(fault: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps([fault.get("input"), fault.get("loc")], ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError):
        loc = [str(part).encode("ascii", "backslashreplace").decode() for part in fault.get("loc", ())]
        return {"type": fault.get("type"), "loc": loc, "msg": fault.get("msg"), "input": None}
    return fault


_REFUSED: Responses = {
    400: {"model": ErrorAnswer, "description": "INVALID_WRITE, PATH_OUTSIDE_KB: it cannot be so"},
    403: {"model": ErrorAnswer, "description": "READ_ONLY, PERMISSION_DENIED"},
    404: {"model": ErrorAnswer, "description": "KB_NOT_FOUND, NOT_FOUND"},
    503: {
        "model": ErrorAnswer,
        "description": "KB_UNAVAILABLE, INDEX_BUSY: nothing was written; NOT_INDEXED_YET: it was",
    },
}
CREATE_REFUSED: Responses = {
    **_REFUSED,
    409: {"model": ErrorAnswer, "description": "ALREADY_EXISTS: the id, or something at its path"},
}
CHANGE_REFUSED: Responses = {
    **_REFUSED,
    409: {"model": ErrorAnswer, "description": "UNPARSABLE: the file is no entry at the moment"},
    412: {
        "model": ErrorAnswer,
        "description": "CONFLICT: the file is another; `revision` is the present one",
    },
}

router = APIRouter(prefix="/api", tags=["Entries"], route_class=_WriteRoute)

_ETAGS = re.compile(r'\s*(?:W/)?"([^"]*)"\s*(?:,|$)')

# A limit also makes pydantic refuse half a surrogate pair, which no message could repeat.
Name = Annotated[str, Field(max_length=1000)]
Metadata = dict[Name, JsonValue]

IfMatch = Annotated[str | None, Header(description='The revision that the change starts from: "REVISION"')]


class CreateEntry(BaseModel):
    """A new entry."""

    kb: Name
    title: str = Field(min_length=1)
    entry_type: str = Field("note", min_length=1)
    body: str = ""
    tags: list[str] = []
    importance: int | None = Field(None, ge=1, le=10)
    date: str | None = None
    id: Name | None = None
    metadata: Metadata = {}


class UpdateEntry(BaseModel):
    """What of an entry is to change; what is left out stays."""

    kb: Name
    title: str | None = Field(None, min_length=1)
    body: str | None = None
    tags: list[str] | None = None
    importance: int | None = Field(None, ge=1, le=10)
    metadata: Metadata | None = None


class PatchEntry(BaseModel):
    """One field of the front matter, or `body`."""

    kb: Name
    field: str = Field(min_length=1, max_length=1000)
    value: JsonValue


@router.post("/entries", responses=CREATE_REFUSED)
async def create_entry(request: Request, response: Response, asked: CreateEntry) -> dict[str, Any]:
    """Make a new entry; never replaces an id or a file that exists."""
    new = NewEntry(
        asked.title,
        asked.entry_type,
        asked.body,
        asked.id,
        tuple(asked.tags),
        asked.importance,
        asked.date,
        asked.metadata,
    )
    written = await _write(request, response, asked.kb, lambda writer: writer.create(asked.kb, new))
    roots = live_of(request).service.roots
    return {
        "created": True,
        "id": written.entry_id,
        "kb_name": written.kb_name,
        "file_path": f"{roots[written.kb_name]}/{written.path}",
        "revision": written.revision,
        "offset": written.offset,
    }


@router.put("/entries/{entry_id}", responses=CHANGE_REFUSED)
async def update_entry(
    request: Request, response: Response, entry_id: str, asked: UpdateEntry, if_match: IfMatch = None
) -> dict[str, Any]:
    """Change an entry; bytes that are not asked for stay as they are."""
    given = asked.model_fields_set
    fields: dict[str, Any] = dict(asked.metadata or {})
    _refuse_id(fields, entry_id)
    for name in ("title", "tags", "importance"):
        value = getattr(asked, name)
        if name in given and value is not None:
            fields[name] = value
    return await _update(request, response, asked.kb, entry_id, EntryEdit(fields, asked.body), if_match)


@router.patch("/entries/{entry_id}", responses=CHANGE_REFUSED)
async def patch_entry(
    request: Request, response: Response, entry_id: str, asked: PatchEntry, if_match: IfMatch = None
) -> dict[str, Any]:
    """Change one field; a string keeps the type of a number, boolean or date that was there."""
    if asked.field == "id":
        raise InvalidWriteError("An entry's id cannot be changed here.", "Edit the file.")
    if asked.field == "body":
        if not isinstance(asked.value, str):
            raise InvalidWriteError("A body is text.")
        edit = EntryEdit(body=asked.value)
    else:
        edit = EntryEdit({asked.field: asked.value}, coerce=True)
    return await _update(request, response, asked.kb, entry_id, edit, if_match)


@router.delete("/entries/{entry_id}", responses=CHANGE_REFUSED)
async def delete_entry(
    request: Request,
    response: Response,
    entry_id: str,
    kb: Annotated[str, Query(description="Its knowledge base")],
    if_match: IfMatch = None,
) -> dict[str, Any]:
    """Delete an entry's file."""
    revisions = parse_if_match(if_match)
    written = await _write(request, response, kb, lambda writer: writer.delete(kb, entry_id, revisions))
    return {"deleted": True, "id": written.entry_id, "offset": written.offset}


def parse_if_match(header: str | None) -> tuple[str, ...] | None:
    """Read `If-Match`: the revisions that it allows; None where any will do.

    A weak tag never matches, as RFC 9110 wants it; neither does what is malformed.
    """
    if header is None or header.strip() == "*":
        return None
    strong = []
    rest = header
    while match := _ETAGS.match(rest):
        if not rest.lstrip().startswith("W/"):
            strong.append(match[1])
        rest = rest[match.end() :]
    return tuple(strong)


async def _update(
    request: Request, response: Response, kb: str, entry_id: str, edit: EntryEdit, if_match: str | None
) -> dict[str, Any]:
    revisions = parse_if_match(if_match)
    written = await _write(request, response, kb, lambda writer: writer.update(kb, entry_id, edit, revisions))
    return {
        "updated": True,
        "id": written.entry_id,
        "revision": written.revision,
        "offset": written.offset,
    }


def _refuse_id(fields: dict[str, Any], entry_id: str) -> None:
    if fields.pop("id", entry_id) != entry_id:
        raise InvalidWriteError("An entry's id cannot be changed here.", "Edit the file.")


async def _write(request: Request, response: Response, kb: str, work: Callable[[Writer], Written]) -> Written:
    """Have it done in the writing thread, as `KBService` does, and note what it came to.

    Awaited: forty writes that wait in threads would leave none to answer a read.
    """
    live = live_of(request)
    live.service.check_kb(kb)
    if not live.pipeline.is_open:
        raise StoppedError
    future = asyncio.wrap_future(live.pipeline.write(work))
    while not (await asyncio.wait([future], timeout=POLL_S))[0]:
        if not live.pipeline.is_open:
            raise StoppedError
    written = future.result()
    response.headers["Pyrite-Position"] = str(written.position)
    if written.revision is not None:
        response.headers["ETag"] = f'"{written.revision}"'
    return written
