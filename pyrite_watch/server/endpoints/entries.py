"""Entries: list and get, and the whole state for replicas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from pyrite_watch.index import queries
from pyrite_watch.server.answers import NO_SUCH
from pyrite_watch.server.context import live_of, snapshot_for

router = APIRouter(prefix="/api", tags=["Entries"])

STATE_LINES = 500
"""Lines in one chunk of `/api/state`."""


class NdjsonResponse(StreamingResponse):
    """One JSON object a line."""

    media_type = "application/x-ndjson"


SortBy = Literal["updated_at", "created_at", "title", "id", "entry_type", "importance", "date", "path"]


@router.get("/entries", responses=NO_SUCH)
def list_entries(
    request: Request,
    response: Response,
    kb: Annotated[str | None, Query(description="Only this knowledge base")] = None,
    entry_type: Annotated[str | None, Query(description="Only this type")] = None,
    tag: Annotated[str | None, Query(description="Only with this tag")] = None,
    fields: Annotated[str | None, Query(description="Only these fields: id,title")] = None,
    sort_by: SortBy = "updated_at",
    sort_order: Literal["asc", "desc"] = "desc",
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> dict[str, Any]:
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


@router.get("/entries/{entry_id}", responses=NO_SUCH, response_model=dict[str, Any])
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


@router.get("/state", responses=NO_SUCH, response_class=NdjsonResponse)
def get_state(
    request: Request,
    response: Response,
    kb: Annotated[str | None, Query(description="Only this knowledge base")] = None,
) -> NdjsonResponse:
    """The whole state at one position, as NDJSON: the position first, then a line an entry."""
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
