"""Search over title, body and tags."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from pyrite_watch.index import search
from pyrite_watch.server.answers import Described, answer, refusals
from pyrite_watch.server.context import live_of, snapshot_for
from pyrite_watch.server.refusals import KB_NOT_FOUND, OF_READS
from pyrite_watch.server.shapes.entries import SearchAnswer

router = APIRouter(prefix="/api", tags=["Entries"])

MAX_RESULTS = 100


@router.get(
    "/search",
    summary="Search",
    responses=answer("What was found, perhaps nothing", SearchAnswer) | refusals(*OF_READS, KB_NOT_FOUND),
)
def search_entries(
    request: Request,
    response: Response,
    q: Annotated[str, Query(description="Words, taken literally", examples=["slug copper"])],
    kb: Annotated[str | None, Query(description="Only this knowledge base")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_RESULTS, description="How many at most")] = 20,
) -> Described:
    """Entries that have all these words in title, body or tags, the best first.

    The text is taken literally: AND, NEAR, * and quotes are words or nothing. Case and accents do not
    count. Where no entry has all the words, the last may also be the beginning of a word.
    """
    live_of(request).service.check_kb(kb)
    with snapshot_for(request, response) as snapshot:
        results = search.load_hits(snapshot.connection, q, kb, limit)
    return {"query": q, "count": len(results), "results": results}
