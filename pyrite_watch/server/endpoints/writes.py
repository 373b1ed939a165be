"""Entries: create, change, delete. Thin: the work is the writer's, in the writing thread."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query, Request, Response
from fastapi.openapi.models import Example
from pydantic import BaseModel, Field, JsonValue

from pyrite_watch.disk.json_values import scalar_text
from pyrite_watch.disk.safe_yaml import MAX_NODES
from pyrite_watch.server.answers import ETAG, POSITION, Described, answer, refusals
from pyrite_watch.server.bodies import BoundedRoute
from pyrite_watch.server.context import live_of
from pyrite_watch.server.refusals import OF_CHANGE, OF_CREATE, OF_DELETE
from pyrite_watch.server.shapes.entries import Created, Deleted, Updated
from pyrite_watch.server.waiting import wait_for
from pyrite_watch.service import StoppedError
from pyrite_watch.write_requests import EntryEdit, InvalidWriteError, NewEntry, Written
from pyrite_watch.writer import Writer

router = APIRouter(prefix="/api", tags=["Entries"], route_class=BoundedRoute)

_ETAGS = re.compile(r'\s*(?:W/)?"([^"]*)"\s*(?:,|$)')

# A limit also makes pydantic refuse half a surrogate pair, which no message could repeat.
Name = Annotated[str, Field(max_length=1000)]
Metadata = Annotated[dict[Name, JsonValue], Field(max_length=MAX_NODES)]
# `fail_fast`: one fault of a list says enough.
Tags = Annotated[list[str], Field(max_length=MAX_NODES, fail_fast=True)]

IfMatch = Annotated[
    str | None,
    Header(
        description='The revision that the change starts from: `"REVISION"`, as an `ETag` has it. '
        "Without it, or with `*`, any will do.",
        examples=['"91ab4c8d02e7f6a35b1c9d8e7f60a1b2"'],
    ),
]


class CreateEntry(BaseModel):
    """A new entry."""

    kb: Name
    title: str = Field(min_length=1)
    entry_type: str = Field("note", min_length=1)
    body: str = ""
    tags: Tags = []
    importance: int | None = Field(None, ge=1, le=10)
    date: str | None = None
    id: Name | None = None
    metadata: Metadata = {}


class UpdateEntry(BaseModel):
    """What of an entry is to change; what is left out stays."""

    kb: Name
    title: str | None = Field(None, min_length=1)
    body: str | None = None
    tags: Tags | None = None
    importance: int | None = Field(None, ge=1, le=10)
    metadata: Metadata | None = None


class PatchEntry(BaseModel):
    """One field of the front matter, or `body`."""

    kb: Name
    field: str = Field(min_length=1, max_length=1000)
    value: JsonValue


NEW_ENTRIES: dict[str, Example] = {
    "The least": {"value": {"kb": "garden", "title": "Mulch"}},
    "Everything": {
        "value": {
            "kb": "garden",
            "title": "Mulch",
            "entry_type": "note",
            "body": "Straw keeps [[soil]] moist, and slugs happy.",
            "tags": ["soil"],
            "importance": 5,
            "date": "2026-03-01",
            "id": "mulch",
            "metadata": {"status": "draft", "sources": ["almanac"]},
        }
    },
}
UPDATES: dict[str, Example] = {
    "The text": {"value": {"kb": "garden", "body": "Straw, leaves, or wool."}},
    "Front matter": {
        "summary": "`metadata` adds and changes fields; those that it does not name stay",
        "value": {
            "kb": "garden",
            "title": "Mulch and straw",
            "tags": ["soil", "straw"],
            "importance": 7,
            "metadata": {"status": "final"},
        },
    },
}
PATCHES: dict[str, Example] = {
    "A field": {"value": {"kb": "garden", "field": "status", "value": "final"}},
    "The tags": {"value": {"kb": "garden", "field": "tags", "value": ["soil", "straw"]}},
    "The text": {"value": {"kb": "garden", "field": "body", "value": "Straw, leaves, or wool."}},
}


@router.post(
    "/entries",
    summary="Create an entry",
    responses=answer("It is on the disk and in the index", Created, headers=POSITION | ETAG)
    | refusals(*OF_CREATE),
)
async def create_entry(
    request: Request,
    response: Response,
    asked: Annotated[CreateEntry, Body(openapi_examples=NEW_ENTRIES)],
) -> Described:
    """Make a new entry's file; never replaces an id or a file that exists.

    It goes to the folder that kb.yaml names for its type, else to the root, as `ID.md`.
    """
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


@router.put(
    "/entries/{entry_id}",
    summary="Update an entry",
    responses=answer("It is on the disk and in the index", Updated, headers=POSITION | ETAG)
    | refusals(*OF_CHANGE),
)
async def update_entry(
    request: Request,
    response: Response,
    entry_id: str,
    asked: Annotated[UpdateEntry, Body(openapi_examples=UPDATES)],
    if_match: IfMatch = None,
) -> Described:
    """Change an entry; bytes that are not asked for stay as they are: comments, order, quoting, line ends.

    What is left out of the body of the call stays. A change that changes nothing writes nothing.
    """
    given = asked.model_fields_set
    fields: dict[str, Any] = dict(asked.metadata or {})
    _refuse_id(fields, entry_id)
    for name in ("title", "tags", "importance"):
        value = getattr(asked, name)
        if name in given and value is not None:
            fields[name] = value
    return await _update(request, response, asked.kb, entry_id, EntryEdit(fields, asked.body), if_match)


@router.patch(
    "/entries/{entry_id}",
    summary="Change one field",
    responses=answer("It is on the disk and in the index", Updated, headers=POSITION | ETAG)
    | refusals(*OF_CHANGE),
)
async def patch_entry(
    request: Request,
    response: Response,
    entry_id: str,
    asked: Annotated[PatchEntry, Body(openapi_examples=PATCHES)],
    if_match: IfMatch = None,
) -> Described:
    """Change one field; a string keeps the type of a number, boolean or date that was there.

    A field that the front matter does not have is added to it. `id` is refused.
    """
    if asked.field == "id":
        raise InvalidWriteError("An entry's id cannot be changed here.", "Edit the file.")
    if asked.field == "body":
        if not isinstance(asked.value, str):
            raise InvalidWriteError("A body is text.")
        edit = EntryEdit(body=asked.value)
    else:
        edit = EntryEdit({asked.field: asked.value}, coerce=True)
    return await _update(request, response, asked.kb, entry_id, edit, if_match)


@router.delete(
    "/entries/{entry_id}",
    summary="Delete an entry",
    responses=answer("Its file is gone", Deleted) | refusals(*OF_DELETE),
)
async def delete_entry(
    request: Request,
    response: Response,
    entry_id: str,
    kb: Annotated[str, Query(description="Its knowledge base")],
    if_match: IfMatch = None,
) -> Described:
    """Delete an entry's file. Links to it stay, and lead nowhere."""
    revisions = parse_if_match(_whole(request, if_match))
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
    revisions = parse_if_match(_whole(request, if_match))
    written = await _write(request, response, kb, lambda writer: writer.update(kb, entry_id, edit, revisions))
    return {
        "updated": True,
        "id": written.entry_id,
        "revision": written.revision,
        "offset": written.offset,
    }


def _whole(request: Request, if_match: str | None) -> str | None:
    """Join the lines of a header that came in several: they mean one list."""
    return if_match and ", ".join(request.headers.getlist("If-Match"))


def _refuse_id(fields: dict[str, Any], entry_id: str) -> None:
    # As text: `id: 2024` is shown as the number that it is in the file, and sent back so.
    if scalar_text(fields.pop("id", entry_id)).strip() != entry_id:
        raise InvalidWriteError("An entry's id cannot be changed here.", "Edit the file.")


async def _write(request: Request, response: Response, kb: str, work: Callable[[Writer], Written]) -> Written:
    """Have it done in the writing thread, as `KBService` does, and note what it came to."""
    live = live_of(request)
    live.service.check_kb(kb)
    if not live.pipeline.is_open:
        raise StoppedError
    written = await wait_for(live.pipeline, live.pipeline.write(work))
    response.headers["Pyrite-Position"] = str(written.position)
    if written.revision is not None:
        response.headers["ETag"] = f'"{written.revision}"'
    return written
