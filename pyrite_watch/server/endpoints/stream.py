"""The live stream as Server-Sent Events: what `/ws` tells, for who has no WebSocket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from pyrite_watch.errors import PositionMalformedError
from pyrite_watch.live.sse import stream_event
from pyrite_watch.live.subscriber import Subscriber, TooSlowError
from pyrite_watch.model.event import parse_position
from pyrite_watch.server.answers import POSITION, Responses, refusals
from pyrite_watch.server.context import Live, live_of
from pyrite_watch.server.joining import Since, join
from pyrite_watch.server.refusals import KB_NOT_FOUND, OF_READS, POSITION_MALFORMED
from pyrite_watch.service import StoppedError

router = APIRouter(prefix="/api/events", tags=["Events"])


class EventStreamResponse(StreamingResponse):
    """Bytes of Server-Sent Events, encoded already: FastAPI's own response encodes for each reader anew."""

    media_type = "text/event-stream"


_EXAMPLE = """\
event: entry_updated
data: {"type":"entry_updated","entry_id":"mulch","kb_name":"garden","epoch":"k3f9x2","offset":1205,…}
id: k3f9x2:1205

event: ready
data: {"type":"ready","epoch":"k3f9x2","offset":1205,"replayed":1,"compacted":false,"server_version":"…"}

"""

_STREAM: Responses = {
    200: {
        "description": "Events, without end",
        "headers": POSITION,
        "content": {
            "text/event-stream": {
                "schema": {"type": "string", "description": "Each event's `data` is JSON, as `/ws` sends it"},
                "example": _EXAMPLE,
            }
        },
    }
}


@router.get(
    "",
    summary="Follow the events",
    # Not its own class: errors are JSON.
    response_class=StreamingResponse,
    response_model=None,
    responses=_STREAM | refusals(*OF_READS, KB_NOT_FOUND, POSITION_MALFORMED),
)
async def follow_events(
    request: Request,
    since: Annotated[
        str | None,
        Query(
            description="EPOCH:OFFSET: replay what came after it first; `now`: only tell the position",
            examples=["k3f9x2:1204"],
        ),
    ] = None,
    kb: Annotated[list[str] | None, Query(description="Only these knowledge bases")] = None,
    last_event_id: Annotated[
        str | None, Header(description="The `id` of the last event: goes before `since`")
    ] = None,
) -> EventStreamResponse:
    """The same stream as `/ws`, as Server-Sent Events.

    `id` is EPOCH:OFFSET where a reader may resume after it, `event` the type, `data` the JSON. A browser's
    `EventSource` resumes by itself. The stream ends when the server stops, or when the reader is too slow.
    """
    live = live_of(request)
    for name in kb or []:
        live.service.check_kb(name)
    if not live.pipeline.is_open:
        raise StoppedError
    # An `EventSource` that has seen no id sends no header, or an empty one; an empty `since` is a mistake.
    given = last_event_id or since
    position = parse_position(given) if given is not None and given != "now" else None
    if given is not None and given != "now" and position is None:
        raise PositionMalformedError(given)
    joining = Since(position, live.pipeline.reader) if given is not None else None
    headers = {
        "Cache-Control": "no-store",
        "Pyrite-Position": str(live.manager.hub.position),
        # nginx would keep events until its buffer is full.
        "X-Accel-Buffering": "no",
    }
    if request.scope.get("pyrite.head"):
        return EventStreamResponse(_nothing(), headers=headers)
    return EventStreamResponse(_stream(live, frozenset(kb or ()), joining), headers=headers)


async def _nothing() -> AsyncIterator[bytes]:
    """No event: HEAD asks for the headers alone, and must end."""
    return
    yield b""  # makes it a generator


async def _stream(live: Live, kbs: frozenset[str], since: Since | None) -> AsyncIterator[bytes]:
    subscriber = live.manager.hub.subscribe(kbs, resumable=since is not None)
    live.manager.note_stream(subscriber)
    try:
        if since is not None:
            subscriber.is_joining = True
            async for frames in join(subscriber, since):
                yield b"".join(map(stream_event, frames))
            subscriber.is_joining = False
        async for chunk in _live(subscriber):
            yield chunk
    except TooSlowError:
        # Its end is all that can be told: the reader comes back with the last `id`.
        return
    finally:
        live.manager.forget_stream(subscriber)


async def _live(subscriber: Subscriber) -> AsyncIterator[bytes]:
    while True:
        frames = await subscriber.next_frames()
        if frames:
            yield b"".join(map(stream_event, frames))
        subscriber.sent()
