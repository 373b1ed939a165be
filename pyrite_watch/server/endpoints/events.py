"""The event log, a page at a time."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from pyrite_watch.errors import PositionLostError, PositionMalformedError
from pyrite_watch.index import log
from pyrite_watch.model.event import Offset, Position, parse_position
from pyrite_watch.server.answers import LOST, NO_SUCH
from pyrite_watch.server.context import live_of, snapshot_for

router = APIRouter(prefix="/api/events", tags=["Events"])


@router.get("/log", responses=NO_SUCH | LOST)
def get_log(
    request: Request,
    response: Response,
    since: Annotated[str | None, Query(description="EPOCH:OFFSET; without it, from the beginning")] = None,
    kb: Annotated[list[str] | None, Query(description="Only these knowledge bases")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Events after a position, oldest first; `more` says that there are further ones.

    `offset` is where to go on: the last event's, or the log's own where these are all.
    """
    live = live_of(request)
    for name in kb or []:
        live.service.check_kb(name)
    with snapshot_for(request, response) as snapshot:
        now = snapshot.position
        after = _after(since, now)
        events = log.load_events(snapshot.connection, after, now.offset, limit + 1, kb or [])
        more = len(events) > limit
        events = events[:limit]
        reached = events[-1].offset if more else now.offset
        compacted = log.is_compacted(snapshot.connection, after, reached)
    return {
        "events": [json.loads(event.message) for event in events],
        "epoch": now.epoch,
        "offset": reached,
        "more": more,
        "compacted": compacted,
    }


def _after(since: str | None, now: Position) -> Offset:
    if since is None:
        return Offset(0)
    if since == "now":
        return now.offset
    position = parse_position(since)
    if position is None:
        raise PositionMalformedError(since)
    if position.epoch != now.epoch or position.offset > now.offset:
        raise PositionLostError(since, str(now))
    return position.offset
