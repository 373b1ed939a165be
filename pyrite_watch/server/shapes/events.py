"""The shapes of events, as the log and the live socket give them; for the API's description only."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from pyrite_watch.server.answers import left_out, shown


class EntryName(BaseModel):
    """An entry of any knowledge base."""

    kb_name: str
    entry_id: str


_NOBODY = EntryName(kb_name="", entry_id="")


class _Event(BaseModel):
    entry_id: str
    kb_name: str
    epoch: str
    offset: int = Field(description="One more with each event of the epoch")
    path: str = Field(description="Relative to the knowledge base's folder")
    revision: str | None
    origin: Literal["disk", "api", "sweep"] = Field(
        description="The watcher saw it, a call made it, or a comparison found it"
    )
    ts: str = Field(description="When it was committed")


class EntryCreated(_Event):
    """An id that the knowledge base did not have."""

    type: Literal["entry_created"]
    revision: str
    moved_from: EntryName = Field(
        _NOBODY, description="Where it was before, if it moved", json_schema_extra=left_out
    )


class EntryUpdated(_Event):
    """Other content, or another path."""

    type: Literal["entry_updated"]
    revision: str
    previous_path: str = Field("", description="If the path changed", json_schema_extra=left_out)


class EntryDeleted(_Event):
    """The id is gone; `path` is where it was."""

    type: Literal["entry_deleted"]
    revision: None
    moved_to: EntryName = Field(
        _NOBODY, description="Where it is now, if it moved", json_schema_extra=left_out
    )


class KbSynced(_Event):
    """A pass with changes over one knowledge base is through, or a sync; `entry_id` and `path` are empty."""

    type: Literal["kb_synced"]
    revision: None
    added: int
    updated: int
    removed: int
    problems: int = Field(description="Now")
    available: bool
    duration_ms: int


Event = Annotated[EntryCreated | EntryUpdated | EntryDeleted | KbSynced, Field(discriminator="type")]


class EventPage(BaseModel):
    """Events, oldest first."""

    model_config = shown(
        {
            "events": [
                {
                    "type": "entry_updated",
                    "entry_id": "mulch",
                    "kb_name": "garden",
                    "epoch": "k3f9x2",
                    "offset": 1203,
                    "path": "soil/mulch.md",
                    "revision": "91ab4c8d02e7f6a35b1c9d8e7f60a1b2",
                    "origin": "disk",
                    "previous_path": "mulch.md",
                    "ts": "2026-11-22T14:02:11.482Z",
                },
                {
                    "type": "entry_created",
                    "entry_id": "slugs",
                    "kb_name": "garden",
                    "epoch": "k3f9x2",
                    "offset": 1204,
                    "path": "slugs.md",
                    "revision": "5e0c1d6f2b7a48938d1f0a9b3c4e5d6f",
                    "origin": "api",
                    "moved_from": {"kb_name": "inbox", "entry_id": "slugs"},
                    "ts": "2026-11-22T14:02:12.017Z",
                },
            ],
            "epoch": "k3f9x2",
            "offset": 1204,
            "more": False,
            "compacted": False,
        }
    )

    events: list[Event]
    epoch: str
    offset: int = Field(description="Where to go on: `since=EPOCH:OFFSET`")
    more: bool = Field(description="There are further ones")
    compacted: bool = Field(
        description="Superseded ones among these are gone; the newest of each entry is here"
    )
