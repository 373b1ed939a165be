"""Entries: create, change, delete. Thin: the work is `KBService`'s, in the writing thread."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, Field, JsonValue

from pyrite_watch.server.context import live_of
from pyrite_watch.writer import EntryEdit, InvalidWriteError, NewEntry, Written

router = APIRouter(prefix="/api", tags=["Entries"])

_ETAGS = re.compile(r'\s*(?:W/)?"([^"]*)"\s*(?:,|$)')

IfMatch = Annotated[str | None, Header(description='The revision that the change starts from: "REVISION"')]


class CreateEntry(BaseModel):
    """A new entry."""

    kb: str
    title: str = Field(min_length=1)
    entry_type: str = Field("note", min_length=1)
    body: str = ""
    tags: list[str] = []
    importance: int | None = Field(None, ge=1, le=10)
    date: str | None = None
    id: str | None = None
    metadata: dict[str, JsonValue] = {}


class UpdateEntry(BaseModel):
    """What of an entry is to change; what is left out stays."""

    kb: str
    title: str | None = Field(None, min_length=1)
    body: str | None = None
    tags: list[str] | None = None
    importance: int | None = Field(None, ge=1, le=10)
    metadata: dict[str, JsonValue] | None = None


class PatchEntry(BaseModel):
    """One field of the front matter, or `body`."""

    kb: str
    field: str = Field(min_length=1)
    value: JsonValue


@router.post("/entries")
def create_entry(request: Request, response: Response, asked: CreateEntry) -> dict[str, Any]:
    """Make a new entry; never replaces an id or a file that exists."""
    service = live_of(request).service
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
    written = service.create_entry(asked.kb, new)
    _note(request, response, written)
    return {
        "created": True,
        "id": written.entry_id,
        "kb_name": written.kb_name,
        "file_path": f"{service.roots[written.kb_name]}/{written.path}",
        "revision": written.revision,
        "offset": written.offset,
    }


@router.put("/entries/{entry_id}")
def update_entry(
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
    return _update(request, response, asked.kb, entry_id, EntryEdit(fields, asked.body), if_match)


@router.patch("/entries/{entry_id}")
def patch_entry(
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
    return _update(request, response, asked.kb, entry_id, edit, if_match)


@router.delete("/entries/{entry_id}")
def delete_entry(
    request: Request,
    response: Response,
    entry_id: str,
    kb: Annotated[str, Query(description="Its knowledge base")],
    if_match: IfMatch = None,
) -> dict[str, Any]:
    """Delete an entry's file."""
    written = live_of(request).service.delete_entry(kb, entry_id, parse_if_match(if_match))
    _note(request, response, written)
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


def _update(
    request: Request, response: Response, kb: str, entry_id: str, edit: EntryEdit, if_match: str | None
) -> dict[str, Any]:
    written = live_of(request).service.update_entry(kb, entry_id, edit, parse_if_match(if_match))
    _note(request, response, written)
    return {
        "updated": True,
        "id": written.entry_id,
        "revision": written.revision,
        "offset": written.offset,
    }


def _refuse_id(fields: dict[str, Any], entry_id: str) -> None:
    if fields.pop("id", entry_id) != entry_id:
        raise InvalidWriteError("An entry's id cannot be changed here.", "Edit the file.")


def _note(request: Request, response: Response, written: Written) -> None:
    epoch = live_of(request).pipeline.store.position.epoch
    response.headers["Pyrite-Position"] = f"{epoch}:{written.offset}"
    if written.revision is not None:
        response.headers["ETag"] = f'"{written.revision}"'
