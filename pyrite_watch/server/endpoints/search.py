"""Search over title, body and tags."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, JsonValue

from pyrite_watch.index import search
from pyrite_watch.server.answers import NO_SUCH, ErrorAnswer, Responses
from pyrite_watch.server.context import live_of, snapshot_for

router = APIRouter(prefix="/api", tags=["Entries"])

MAX_RESULTS = 100

EXAMPLE: dict[str, JsonValue] = {
    "query": "slug copper",
    "count": 1,
    "results": [
        {
            "id": "mulch",
            "kb_name": "garden",
            "entry_type": "note",
            "title": "Mulch",
            "snippet": "…a ring of <mark>copper</mark> tape keeps a <mark>slug</mark> off, says R&amp;D…",
            "tags": ["soil"],
            "date": "2026-03-01",
            "importance": 5,
        }
    ],
}

_ERRORS: Responses = {
    404: {
        **NO_SUCH[404],
        "content": {
            "application/json": {
                "example": {
                    "detail": {
                        "code": "KB_NOT_FOUND",
                        "message": "There is no knowledge base 'gardn'.",
                        "hint": "GET /api/kbs lists them.",
                    }
                }
            }
        },
    },
    503: {"model": ErrorAnswer, "description": "Nothing is watched, or the index is busy"},
}


class SearchResult(BaseModel):
    """An entry in which the words stand. `snippet` is HTML, escaped, with `<mark>` around hits."""

    id: str
    kb_name: str
    entry_type: str
    title: str
    snippet: str
    tags: list[str]
    date: str | None
    importance: int | None


class SearchAnswer(BaseModel):
    """The best first; `count` is how many of them are here."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    query: str
    count: int
    results: list[SearchResult]


@router.get("/search", responses=_ERRORS, response_model=SearchAnswer)
def search_entries(
    request: Request,
    response: Response,
    q: Annotated[str, Query(description="Words, taken literally", examples=["slug copper"])],
    kb: Annotated[str | None, Query(description="Only this knowledge base")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_RESULTS)] = 20,
) -> dict[str, Any]:
    """Entries that have all these words in title, body or tags, the best first.

    The text is taken literally: AND, NEAR, * and quotes are words or nothing. Case and accents do not
    count. Where no entry has all the words, the last may also be the beginning of a word.
    """
    live_of(request).service.check_kb(kb)
    with snapshot_for(request, response) as snapshot:
        results = search.load_hits(snapshot.connection, q, kb, limit)
    return {"query": q, "count": len(results), "results": results}
