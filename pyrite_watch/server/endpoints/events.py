"""The event log, a page at a time."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from pyrite_watch.errors import PositionLostError, PositionMalformedError
from pyrite_watch.index import log
from pyrite_watch.model.event import Offset, Position, parse_position
from pyrite_watch.server.answers import Described, answer, refusals
from pyrite_watch.server.context import live_of, snapshot_for
from pyrite_watch.server.refusals import KB_NOT_FOUND, OF_READS, POSITION_LOST, POSITION_MALFORMED
from pyrite_watch.server.shapes.events import EventPage

router = APIRouter(prefix="/api/events", tags=["Events"])


@router.get(
    "/log",
    summary="Read the event log",
    responses=answer("A page of it", EventPage)
    | refusals(*OF_READS, KB_NOT_FOUND, POSITION_MALFORMED, POSITION_LOST),
)
def get_log(
    request: Request,
    response: Response,
    since: Annotated[
        str | None,
        Query(description="EPOCH:OFFSET, or `now`; without it, from the beginning", examples=["k3f9x2:1204"]),
    ] = None,
    kb: Annotated[list[str] | None, Query(description="Only these knowledge bases")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many on a page")] = 100,
) -> Described:
    """Events after a position, oldest first; `more` says that there are further ones.

    `offset` is where to go on: the last event's, or the log's own where these are all. What comes after
    that is told live by `/ws?since=EPOCH:OFFSET`, in the same shapes.
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
