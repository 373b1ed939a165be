"""The shapes of what the server tells of itself and of syncs; for the API's description only."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from pyrite_watch.server.answers import shown

_JOB = "5d1c3c0e9a0b4f6f8f3d2b1a00c0ffee"


class Progress(BaseModel):
    """How far the first index is, in files."""

    done: int
    total: int


class Watch(BaseModel):
    """How changes are found."""

    mode: str = Field(description="`inotify` or what the system has, `poll`, or both: `inotify and poll`")
    poll_s: float | None = Field(description="Seconds between sweeps, where that is how changes are found")
    why: str | None = Field(description="Why it is not as usual")
    rebuilds: int = Field(description="How often the watcher was made anew")
    last_rebuild_reason: str | None


class LastSweep(BaseModel):
    """The periodic comparison with the disk."""

    at: str | None = Field(description="Null before the first")
    duration_ms: float
    count: int
    repairs: int = Field(description="Changes that the watcher had missed")


class IndexHealth(BaseModel):
    """Whether SQLite does as it is told."""

    retries: int
    error: str | None = Field(description="What is in its way now")


class Health(BaseModel):
    """How the server is. It names no knowledge base and no path: no token is needed for it.

    On a quiet day the status is `ok`, and `indexing`, `why` and `error` are null.
    """

    model_config = shown(
        {
            "status": "degraded",
            "timestamp": "2026-11-22T14:02:11.482Z",
            "version": "0.1.1",
            "ready": False,
            "indexing": {"done": 1200, "total": 4391},
            "watch": {
                "mode": "inotify and poll",
                "poll_s": 2.0,
                "why": "nfs tells of no changes by other hosts",
                "rebuilds": 1,
                "last_rebuild_reason": "the process was suspended",
            },
            "last_sweep": {
                "at": "2026-11-22T14:01:58.020Z",
                "duration_ms": 41.7,
                "count": 12,
                "repairs": 0,
            },
            "index": {"retries": 3, "error": "database or disk is full"},
            "connections": 3,
        }
    )

    status: Literal["ok", "degraded"] = Field(description="`degraded`: changes cannot be indexed now")
    timestamp: str
    version: str
    ready: bool = Field(description="The first pass is done and the watch is up: no change is missed")
    indexing: Progress | None = Field(description="Only during a first index")
    watch: Watch
    last_sweep: LastSweep
    index: IndexHealth
    connections: int = Field(description="Live sockets")


class SyncDone(BaseModel):
    """`wait=true`: how many entries differed from the disk."""

    model_config = shown({"synced": True, "added": 2, "updated": 1, "removed": 0})

    synced: Literal[True]
    added: int
    updated: int
    removed: int


class SyncSubmitted(BaseModel):
    """`wait=false`: ask `/api/index/jobs/{job_id}` how it goes."""

    model_config = shown({"job_id": _JOB, "status": "submitted"})

    job_id: str
    status: Literal["submitted"]


class JobCompleted(BaseModel):
    """It is done, with what differed."""

    model_config = shown({"job_id": _JOB, "status": "completed", "added": 2, "updated": 1, "removed": 0})

    job_id: str
    status: Literal["completed"]
    added: int
    updated: int
    removed: int


class JobUnfinished(BaseModel):
    """It waits for its turn, or is at work."""

    model_config = shown({"job_id": _JOB, "status": "running"})

    job_id: str
    status: Literal["submitted", "running"]


class JobFailed(BaseModel):
    """It ended by an error."""

    model_config = shown({"job_id": _JOB, "status": "failed", "error": "database or disk is full"})

    job_id: str
    status: Literal["failed"]
    error: str
