"""Entries: list and get, and the whole state for replicas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from pyrite_watch.index import queries
from pyrite_watch.server.answers import ETAG, NO_STORE, POSITION, Described, answer, refusals
from pyrite_watch.server.context import live_of, snapshot_for
from pyrite_watch.server.refusals import ENTRY_NOT_FOUND, KB_NOT_FOUND, OF_READS
from pyrite_watch.server.shapes.entries import NDJSON, STATE_CONTENT, Entry, EntryPage

router = APIRouter(prefix="/api", tags=["Entries"])

STATE_LINES = 500
"""Lines in one chunk of `/api/state`."""


class NdjsonResponse(StreamingResponse):
    """One JSON object a line."""

    media_type = NDJSON


SortBy = Literal["updated_at", "created_at", "title", "id", "entry_type", "importance", "date", "path"]


@router.get(
    "/entries",
    summary="List entries",
    responses=answer("A page of them", EntryPage) | refusals(*OF_READS, KB_NOT_FOUND),
)
def list_entries(
    request: Request,
    response: Response,
    kb: Annotated[str | None, Query(description="Only this knowledge base")] = None,
    entry_type: Annotated[str | None, Query(description="Only this type")] = None,
    tag: Annotated[str | None, Query(description="Only with this tag")] = None,
    fields: Annotated[
        str | None, Query(description="Only these fields; without it, all", examples=["id,title"])
    ] = None,
    sort_by: Annotated[SortBy, Query(description="What comes first")] = "updated_at",
    sort_order: Annotated[Literal["asc", "desc"], Query(description="Upwards or downwards")] = "desc",
    limit: Annotated[int, Query(ge=1, le=1000, description="How many on a page")] = 50,
    offset: Annotated[int, Query(ge=0, le=2**53, description="How many to skip")] = 0,
) -> Described:
    """A page of entries. The position is that of this page: for several, keep the first one's."""
    service = live_of(request).service
    service.check_kb(kb)
    wanted = [name.strip() for name in fields.split(",") if name.strip()] if fields else []
    with snapshot_for(request, response) as snapshot:
        entries, total = queries.load_entries(
            snapshot.connection,
            kb_name=kb,
            entry_type=entry_type,
            tag=tag,
            fields=wanted,
            sort_by=sort_by,
            descending=sort_order == "desc",
            limit=limit,
            offset=offset,
            roots=service.roots,
        )
    return {"entries": entries, "total": total, "limit": limit, "offset": offset}


@router.get(
    "/entries/{entry_id}",
    summary="Get an entry",
    response_model=Described,
    responses=answer("The entry", Entry, headers=POSITION | ETAG | NO_STORE)
    | refusals(*OF_READS, KB_NOT_FOUND, ENTRY_NOT_FOUND),
)
def get_entry(
    request: Request,
    response: Response,
    entry_id: str,
    kb: Annotated[str | None, Query(description="Else the first that has it")] = None,
) -> JSONResponse:
    """One entry, its links both ways, and its revision as the ETag."""
    with snapshot_for(request, response) as snapshot:
        entry = live_of(request).service.get_entry(snapshot, entry_id, kb)
    headers = {
        "ETag": f'"{entry["revision"]}"',
        # Backlinks change without the revision: nobody may keep an answer.
        "Cache-Control": "no-store",
        "Pyrite-Position": response.headers["Pyrite-Position"],
    }
    return JSONResponse(entry, headers=headers)


@router.get(
    "/state",
    summary="Load the whole state",
    response_model=None,
    response_class=StreamingResponse,  # of no media type: FastAPI would give the errors that of NDJSON
    responses={
        200: {"description": "The position, then the entries", "headers": POSITION, "content": STATE_CONTENT},
        **refusals(*OF_READS, KB_NOT_FOUND),
    },
)
def get_state(
    request: Request,
    response: Response,
    kb: Annotated[str | None, Query(description="Only this knowledge base")] = None,
) -> NdjsonResponse:
    """The whole state at one position, as NDJSON: the position first, then a line an entry.

    For replicas: follow the events from that position, and the copy stays true.
    """
    live_of(request).service.check_kb(kb)
    # Loaded whole before the first byte leaves: no read transaction stays open across a send.
    with snapshot_for(request, response) as snapshot:
        position = snapshot.position
        lines = [json.dumps({"epoch": position.epoch, "offset": position.offset})]
        lines += [
            json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
            for entry in queries.iter_state(snapshot.connection, kb)
        ]

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(lines), STATE_LINES):
            yield ("\n".join(lines[start : start + STATE_LINES]) + "\n").encode()

    return NdjsonResponse(chunks(), headers={"Pyrite-Position": str(position)})
