"""The shapes of entries, found, read and written."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pyrite_watch.server.answers import Json, shown

_REVISION = "91ab4c8d02e7f6a35b1c9d8e7f60a1b2"
_TS = "2026-11-22T14:02:11.482Z"


class Backlink(BaseModel):
    """An entry that links here."""

    id: str
    kb_name: str
    title: str
    entry_type: str


class Outlink(BaseModel):
    """A link to an entry, which need not exist."""

    id: str
    kb_name: str
    title: str | None = Field(description="Null where there is no such entry")
    entry_type: str | None = Field(description="Null where there is no such entry")
    exists: bool


_ENTRY: Json = {
    "id": "mulch",
    "kb_name": "garden",
    "entry_type": "note",
    "title": "Mulch",
    "body": "Straw keeps [[soil]] moist, and slugs happy.",
    "summary": "What keeps beds moist, and what it costs.",
    "importance": 5,
    "status": "draft",
    "tags": ["soil"],
    "date": "2026-03-01",
    "outlinks": [{"id": "soil", "kb_name": "garden", "title": "Soil", "entry_type": "note", "exists": True}],
    "backlinks": [{"id": "slugs", "kb_name": "garden", "title": "Slugs", "entry_type": "note"}],
    "file_path": "/home/ann/garden/soil/mulch.md",
    "path": "soil/mulch.md",
    "created_at": "2026-03-01T09:30:00.000Z",
    "updated_at": _TS,
    "revision": _REVISION,
    "metadata": {
        "id": "mulch",
        "title": "Mulch",
        "summary": "What keeps beds moist, and what it costs.",
        "tags": ["soil"],
        "importance": 5,
        "status": "draft",
        "date": "2026-03-01",
    },
}


class Entry(BaseModel):
    """An entry: a Markdown file, its front matter and its links both ways."""

    model_config = shown(_ENTRY)

    id: str
    kb_name: str
    entry_type: str
    title: str
    body: str = Field(description="Markdown, without the front matter")
    summary: str | None
    importance: int | None
    status: str | None
    tags: list[str]
    date: str | None
    outlinks: list[Outlink] = Field(description="In the order of the text")
    backlinks: list[Backlink]
    file_path: str = Field(description="Absolute")
    path: str = Field(description="Relative to the knowledge base's folder, with `/`")
    created_at: str = Field(description="The front matter's, else the file's")
    updated_at: str = Field(description="The front matter's, else when the content last changed")
    revision: str = Field(description="`blake2b(file_bytes, digest_size=16)` in hex")
    metadata: dict[str, Any] = Field(description="The whole front matter")


def _require_nothing(schema: Json) -> None:
    schema.pop("required", None)
    schema["examples"] = [{"id": "mulch", "title": "Mulch"}]


class EntryPart(Entry):
    """With `fields`, of each entry only those."""

    model_config = ConfigDict(json_schema_extra=_require_nothing)


class EntryPage(BaseModel):
    """A page of entries, and how many there are on all pages."""

    model_config = shown({"entries": [_ENTRY], "total": 412, "limit": 50, "offset": 0})

    entries: list[Entry | EntryPart]
    total: int
    limit: int
    offset: int


class StatePosition(BaseModel):
    """The first line: everything up to here is in the lines that follow."""

    epoch: str
    offset: int


class StateEntry(BaseModel):
    """Every further line: an entry, in order of knowledge base and id."""

    kb_name: str
    id: str
    path: str
    title: str
    entry_type: str
    tags: list[str]
    revision: str
    updated_at: str


_STATE_LINES: tuple[Json, Json] = (
    {"epoch": "k3f9x2", "offset": 1204},
    {
        "kb_name": "garden",
        "id": "mulch",
        "path": "soil/mulch.md",
        "title": "Mulch",
        "entry_type": "note",
        "tags": ["soil"],
        "revision": _REVISION,
        "updated_at": _TS,
    },
)

NDJSON = "application/x-ndjson"

# OpenAPI 3.2 says what 3.1 leaves open: a media type of many values is described as their array.
STATE_CONTENT: Json = {
    NDJSON: {
        "schema": {
            "type": "array",
            "description": "The lines: one JSON object each, the position first, then one an entry",
            "prefixItems": [StatePosition.model_json_schema()],
            "items": StateEntry.model_json_schema(),
        },
        "example": "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in _STATE_LINES),
    }
}


class SearchResult(BaseModel):
    """An entry in which the words stand."""

    id: str
    kb_name: str
    entry_type: str
    title: str
    snippet: str = Field(description="HTML: escaped, with `<mark>` around hits")
    tags: list[str]
    date: str | None
    importance: int | None


class SearchAnswer(BaseModel):
    """The best first; `count` is how many of them are here."""

    model_config = shown(
        {
            "query": "slug copper",
            "count": 1,
            "results": [
                {
                    "id": "mulch",
                    "kb_name": "garden",
                    "entry_type": "note",
                    "title": "Mulch",
                    "snippet": "…a ring of <mark>copper</mark> keeps a <mark>slug</mark> off, says R&amp;D…",
                    "tags": ["soil"],
                    "date": "2026-03-01",
                    "importance": 5,
                }
            ],
        }
    )

    query: str
    count: int
    results: list[SearchResult]


# -- writes ----------------------------------------------------------------------------------

_WRITE_OFFSET = "Of this write's event; where nothing changed, the present one"


class Created(BaseModel):
    """A new entry's file."""

    model_config = shown(
        {
            "created": True,
            "id": "mulch",
            "kb_name": "garden",
            "file_path": "/home/ann/garden/mulch.md",
            "revision": _REVISION,
            "offset": 1205,
        }
    )

    created: Literal[True]
    id: str
    kb_name: str
    file_path: str = Field(description="Absolute")
    revision: str
    offset: int = Field(description=_WRITE_OFFSET)


class Updated(BaseModel):
    """A changed entry."""

    model_config = shown({"updated": True, "id": "mulch", "revision": _REVISION, "offset": 1206})

    updated: Literal[True]
    id: str
    revision: str = Field(description="The new one")
    offset: int = Field(description=_WRITE_OFFSET)


class Deleted(BaseModel):
    """An entry whose file is gone."""

    model_config = shown({"deleted": True, "id": "mulch", "offset": 1207})

    deleted: Literal[True]
    id: str
    offset: int = Field(description=_WRITE_OFFSET)
