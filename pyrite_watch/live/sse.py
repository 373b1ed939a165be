"""Frames as Server-Sent Events: made once for all who read the same."""

from __future__ import annotations

import json
from functools import lru_cache

from fastapi.sse import format_sse_event

from pyrite_watch.live.frames import Frame


@lru_cache(maxsize=1024)
def stream_event(frame: Frame) -> bytes:
    """Encode a frame: `id` is EPOCH:OFFSET where a reader may resume after it, `event` the message's type."""
    message = json.loads(frame.text)
    kind = message.get("type")
    resumable = frame.offset is not None or (frame.kind == "control" and kind == "resync")
    return format_sse_event(
        data_str=frame.text,
        # A guest's type may be anything; what is no name would end the field, or the event.
        event=kind if isinstance(kind, str) and kind.isprintable() else None,
        id=f"{message['epoch']}:{message['offset']}" if resumable else None,
    )
