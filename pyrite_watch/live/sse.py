"""Frames as Server-Sent Events: made once for all who read the same."""

from __future__ import annotations

import json

from fastapi.sse import format_sse_event

from pyrite_watch.live.frames import Frame


def stream_event(frame: Frame) -> bytes:
    """Encode a frame: `id` is EPOCH:OFFSET where a reader may resume after it, `event` the message's type."""
    try:
        return frame.as_sse
    except AttributeError:
        # Kept with the frame, and so for as long as it.
        frame.as_sse = _encode(frame)
        return frame.as_sse


def _encode(frame: Frame) -> bytes:
    message = json.loads(frame.text)
    kind = message.get("type")
    resumable = frame.offset is not None or (frame.kind == "control" and kind == "resync")
    return format_sse_event(
        data_str=frame.text,
        # A guest's type may be anything; what is no name would end the field, or the event.
        event=kind if isinstance(kind, str) and kind.isprintable() else None,
        id=f"{message['epoch']}:{message['offset']}" if resumable else None,
    )
