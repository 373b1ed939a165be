"""A reader's replica: the state at a position, plus the events after it, applied as interface §4 says.

"Created" and "updated" alike mean "is now"; the deletion of what it does not have is ignored.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.api import Key, Place, State
from harness.record import ENTRY_TYPES, EVENT_TYPES, Json


class OffsetGapError(AssertionError):
    """An event was lost, came twice, or came in the wrong order."""


class Replica:
    """Entries by (kb, id), kept by events alone.

    Args:
        dense: offsets must rise by exactly 1; False for a reader that filters by KB or reads a compacted log,
            where they must only rise.
    """

    def __init__(self, state: State, *, dense: bool = True) -> None:
        self.epoch = state.epoch
        self.offset = state.offset
        self.entries: dict[Key, Place] = dict(state.entries)
        self._dense = dense

    @property
    def position(self) -> str:
        """EPOCH:OFFSET of the last event."""
        return f"{self.epoch}:{self.offset}"

    def apply_all(self, messages: Iterable[Json]) -> None:
        """Apply the events behind the replica's position; skip older ones and other messages."""
        for message in messages:
            if message.get("type") in EVENT_TYPES and (
                message["epoch"] != self.epoch or message["offset"] > self.offset
            ):
                self.apply(message)

    def apply(self, event: Json) -> None:
        """Apply the next event.

        Raises:
            OffsetGapError: it is not the next one, or of another epoch.
        """
        if event["epoch"] != self.epoch:
            raise OffsetGapError(f"epoch {self.epoch} expected: {event}")
        offset = event["offset"]
        if offset <= self.offset or (self._dense and offset != self.offset + 1):
            raise OffsetGapError(f"offset after {self.offset} expected: {event}")
        self.offset = offset
        if event["type"] not in ENTRY_TYPES:
            return
        key = (event["kb_name"], event["entry_id"])
        if event["type"] == "entry_deleted":
            self.entries.pop(key, None)
        else:
            self.entries[key] = (event["path"], event["revision"])

    def of(self, kb: str) -> dict[str, Place]:
        """The entries of one KB by their ids."""
        return {entry_id: place for (name, entry_id), place in self.entries.items() if name == kb}
