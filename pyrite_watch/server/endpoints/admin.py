"""How the server is, and comparing with the disk on request."""

from __future__ import annotations

import re
import time
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from pyrite_watch import __version__
from pyrite_watch.index.entries import iso_time
from pyrite_watch.server.answers import Described, answer, refusals
from pyrite_watch.server.context import live_of, snapshot_for
from pyrite_watch.server.refusals import JOB_NOT_FOUND, OF_HEALTH, OF_READS, OF_SYNC
from pyrite_watch.server.shapes.admin import (
    Health,
    JobCompleted,
    JobFailed,
    JobUnfinished,
    SyncDone,
    SyncSubmitted,
)
from pyrite_watch.server.waiting import wait_for
from pyrite_watch.service import sum_counts

router = APIRouter(tags=["Server"])


@router.get(
    "/health",
    summary="Ask how it is",
    responses=answer("It answers; `status` says whether it can also index", Health, headers={})
    | refusals(*OF_HEALTH),
)
def get_health(request: Request) -> Described:
    """Whether it works, and how. Needs no token, so it names no knowledge base."""
    live = live_of(request)
    pipeline, metrics = live.pipeline, live.pipeline.metrics
    progress = pipeline.progress
    failing = metrics.last_index_error is not None or pipeline.failure is not None
    return {
        "status": "degraded" if failing else "ok",
        "timestamp": iso_time(time.time()),
        "version": __version__,
        "ready": pipeline.ready.is_set(),
        "indexing": {"done": progress.done, "total": progress.total} if progress.active else None,
        "watch": {
            "mode": pipeline.mode.name,
            "poll_s": pipeline.mode.poll_s,
            "why": _without_paths(pipeline.mode.why),
            "rebuilds": metrics.watch_rebuilds,
            "last_rebuild_reason": _without_paths(metrics.last_rebuild_reason),
        },
        "last_sweep": {
            "at": iso_time(metrics.last_sweep_at) if metrics.last_sweep_at else None,
            "duration_ms": round(metrics.last_sweep_s * 1000, 1),
            "count": metrics.sweeps,
            "repairs": metrics.sweep_repairs,
        },
        "index": {"retries": metrics.index_retries, "error": _without_paths(metrics.last_index_error)},
        "connections": live.manager.connection_count,
    }


@router.post(
    "/api/index/sync",
    summary="Compare with the disk",
    responses=answer("What differed, or with `wait=false` a job", SyncDone, SyncSubmitted)
    | refusals(*OF_SYNC),
)
async def sync_index(
    request: Request,
    response: Response,
    kb: Annotated[str | None, Query(description="Only this knowledge base")] = None,
    wait: Annotated[bool, Query(description="Answer when it is done")] = True,
) -> Described:
    """Compare the index with the disk now, and tell what differs. It is seldom needed: changes are watched.

    The answer comes when the difference is committed: a read after it sees it.
    """
    live = live_of(request)
    if not wait:
        job = live.service.submit_sync(kb)
        await run_in_threadpool(_note_position, request, response)
        return {"job_id": job.job_id, "status": "submitted"}
    counts = sum_counts(await wait_for(live.pipeline, live.service.submit(kb)))
    await run_in_threadpool(_note_position, request, response)
    return {"synced": True, "added": counts.added, "updated": counts.updated, "removed": counts.removed}


@router.get(
    "/api/index/jobs/{job_id}",
    summary="Ask how a sync goes",
    responses=answer("So far", JobCompleted, JobUnfinished, JobFailed) | refusals(*OF_READS, JOB_NOT_FOUND),
)
def get_job(request: Request, response: Response, job_id: str) -> Described:
    """How a sync that was not waited for goes. The last hundred are remembered, until the server stops."""
    _note_position(request, response)
    return live_of(request).service.get_job(job_id)


def _without_paths(text: str | None) -> str | None:
    """What the system or a library says may name a folder: such a text is in the log only."""
    if text is None or not re.search(r"[/\\]\w", text):
        return text
    return "the server's log says why"


def _note_position(request: Request, response: Response) -> None:
    with snapshot_for(request, response):
        return
