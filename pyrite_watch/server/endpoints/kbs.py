"""Knowledge bases, their problems and totals."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from pyrite_watch.index import queries
from pyrite_watch.server.answers import NO_SUCH
from pyrite_watch.server.context import live_of, snapshot_for

router = APIRouter(prefix="/api", tags=["Knowledge bases"])


@router.get("/kbs")
def list_kbs(request: Request, response: Response) -> dict[str, Any]:
    """All knowledge bases, in the order in which they were named."""
    with snapshot_for(request, response) as snapshot:
        kbs = live_of(request).service.list_kbs(snapshot)
    return {"kbs": kbs, "total": len(kbs)}


@router.get("/problems", responses=NO_SUCH)
def list_problems(
    request: Request,
    response: Response,
    kb: Annotated[str | None, Query(description="Only this knowledge base")] = None,
) -> dict[str, Any]:
    """Files that are not, or not fully, entries, and why."""
    live_of(request).service.check_kb(kb)
    with snapshot_for(request, response) as snapshot:
        return {"problems": queries.load_problems(snapshot.connection, kb)}


@router.get("/stats")
def get_stats(request: Request, response: Response) -> dict[str, Any]:
    """Totals."""
    with snapshot_for(request, response) as snapshot:
        return queries.load_stats(snapshot.connection)
