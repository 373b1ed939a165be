"""Frames: what is sent to tabs, made once for all of them."""

from __future__ import annotations

import json
from typing import Any, Literal

from pyrite_watch.model.event import Event, Position

ResyncReason = Literal["epoch", "ahead"]

FrameKind = Literal["event", "guest", "control"]
"""An event of the log; somebody else's dict (`broadcast`); what only readers with `since` get."""


def text_frame(payload: bytes) -> bytes:
    """One whole text message as RFC 6455 (5.2) wants it: final, unmasked, not compressed."""
    length = len(payload)
    if length < 126:
        return bytes((0x81, length)) + payload
    if length < 1 << 16:
        return b"\x81\x7e" + length.to_bytes(2, "big") + payload
    return b"\x81\x7f" + length.to_bytes(8, "big") + payload


class Frame:
    """One text message; a value. `kb_name` is None where it concerns no KB, `offset` where it has none.

    Not a frozen dataclass: to make one is half of what a single event costs before it leaves.
    """

    __slots__ = ("as_sse", "kb_name", "kind", "offset", "size", "text", "wire")

    as_sse: bytes
    """The same for Server-Sent Events, from the first time on that it is asked for (`live.sse`)."""

    def __init__(
        self, kind: FrameKind, text: str, kb_name: str | None = None, offset: int | None = None
    ) -> None:
        self.kind = kind
        self.text = text
        self.kb_name = kb_name
        self.offset = offset
        self.wire = text_frame(text.encode())
        """The WebSocket frame, made once: from a server it is unmasked, so the same for all tabs."""
        self.size = len(self.wire)

    def is_for(self, kbs: frozenset[str], resumable: bool) -> bool:
        """Whether a subscriber of these KBs (all where empty) is to get it."""
        if self.kind == "control":
            return resumable
        return not kbs or self.kb_name is None or self.kb_name in kbs


def event_frame(event: Event) -> Frame:
    """The frame of an event of the log."""
    return Frame("event", event.message, event.kb_name, event.offset)


def guest_frame(message: dict[str, Any]) -> Frame:
    """The frame of somebody else's dict, sent as given."""
    kb_name = message.get("kb_name")
    return Frame("guest", json.dumps(message), kb_name if isinstance(kb_name, str) and kb_name else None)


def _control(**fields: object) -> Frame:
    return Frame("control", json.dumps(fields, separators=(",", ":")))


def ready_frame(position: Position, replayed: int, compacted: bool, version: str) -> Frame:
    """The replay is through."""
    return _control(
        type="ready",
        epoch=position.epoch,
        offset=position.offset,
        replayed=replayed,
        compacted=compacted,
        server_version=version,
    )


def resync_frame(reason: ResyncReason, position: Position) -> Frame:
    """The reader's position is not of this log's past: load the state again."""
    return _control(type="resync", reason=reason, epoch=position.epoch, offset=position.offset)


def heartbeat_frame(position: Position) -> Frame:
    """Nothing has happened, and the connection lives."""
    return _control(type="heartbeat", epoch=position.epoch, offset=position.offset)
