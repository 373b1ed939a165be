"""Knowledge bases, their problems and totals."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from pyrite_watch.index import queries
from pyrite_watch.server.answers import Described, answer, refusals
from pyrite_watch.server.context import live_of, snapshot_for
from pyrite_watch.server.refusals import KB_NOT_FOUND, OF_READS
from pyrite_watch.server.shapes.kbs import KbList, ProblemList, Stats

router = APIRouter(prefix="/api", tags=["Knowledge bases"])


@router.get(
    "/kbs",
    summary="List the knowledge bases",
    responses=answer("All of them", KbList) | refusals(*OF_READS),
)
def list_kbs(request: Request, response: Response) -> Described:
    """All knowledge bases, in the order in which they were named."""
    with snapshot_for(request, response) as snapshot:
        kbs = live_of(request).service.list_kbs(snapshot)
    return {"kbs": kbs, "total": len(kbs)}


@router.get(
    "/problems",
    summary="List the problems",
    responses=answer("None, where all is well", ProblemList) | refusals(*OF_READS, KB_NOT_FOUND),
)
def list_problems(
    request: Request,
    response: Response,
    kb: Annotated[str | None, Query(description="Only this knowledge base")] = None,
) -> Described:
    """Files that are not, or not fully, entries, and why. The last good version of each stays readable."""
    live_of(request).service.check_kb(kb)
    with snapshot_for(request, response) as snapshot:
        return {"problems": queries.load_problems(snapshot.connection, kb)}


@router.get("/stats", summary="Count", responses=answer("The totals", Stats) | refusals(*OF_READS))
def get_stats(request: Request, response: Response) -> Described:
    """How many entries, different tags, links and problems there are, and in which knowledge base."""
    with snapshot_for(request, response) as snapshot:
        return queries.load_stats(snapshot.connection)
