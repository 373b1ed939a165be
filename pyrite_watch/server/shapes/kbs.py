"""The shapes of knowledge bases, their problems and totals."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from pyrite_watch.server.answers import left_out, shown

_TS = "2026-11-22T14:02:11.482Z"


class Kb(BaseModel):
    """A knowledge base and what the index knows of it."""

    name: str
    type: str = Field(description="As kb.yaml or Pyrite's config says; else `generic`")
    path: str = Field(description="Its folder, absolute")
    source: Literal["path", "config"] = Field(description="Named as a PATH, or in Pyrite's config")
    description: str
    read_only: bool
    indexed: bool = Field(description="Its first pass is done")
    available: bool = Field(description="Its folder is there; where not, its entries stay readable")
    last_indexed: str | None
    entries: int
    problems: int


class KbList(BaseModel):
    """All knowledge bases, in the order in which they were named."""

    model_config = shown(
        {
            "kbs": [
                {
                    "name": "garden",
                    "type": "generic",
                    "path": "/home/ann/garden",
                    "source": "path",
                    "description": "What grows, and what eats it",
                    "read_only": False,
                    "indexed": True,
                    "available": True,
                    "last_indexed": _TS,
                    "entries": 412,
                    "problems": 1,
                }
            ],
            "total": 1,
        }
    )

    kbs: list[Kb]
    total: int


class Problem(BaseModel):
    """A file that is not, or not fully, an entry."""

    kb_name: str
    path: str = Field(description="Relative to the knowledge base's folder")
    kind: str = Field(
        description="`yaml`, `front_matter`, `encoding`, `conflict`, `emptied`, `too_big`, `unreadable`, "
        "`not_a_file`, `name`, `duplicate_id`, `id`, `kb_yaml`, `unavailable` or `ignore_file`; "
        "more may come"
    )
    message: str
    line: int = Field(0, description="From 1; only where one is to blame", json_schema_extra=left_out)
    since: str


class ProblemList(BaseModel):
    """Every problem, by knowledge base and path."""

    model_config = shown(
        {
            "problems": [
                {
                    "kb_name": "garden",
                    "path": "soil/lime.md",
                    "kind": "yaml",
                    "message": "The front matter is not valid YAML: expected ',' or ']'",
                    "since": _TS,
                    "line": 3,
                }
            ]
        }
    )

    problems: list[Problem]


class KbTotals(BaseModel):
    """Of one knowledge base."""

    entries: int
    problems: int


class Stats(BaseModel):
    """Totals over all knowledge bases."""

    model_config = shown(
        {
            "total_entries": 412,
            "kbs": {"garden": {"entries": 412, "problems": 1}},
            "total_tags": 57,
            "total_links": 903,
            "total_problems": 1,
        }
    )

    total_entries: int
    kbs: dict[str, KbTotals] = Field(description="By name")
    total_tags: int = Field(description="Different ones")
    total_links: int
    total_problems: int
