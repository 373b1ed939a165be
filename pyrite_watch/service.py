"""KBService: what one may ask of the knowledge bases, without a server. Any thread may use it."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, wait
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from pyrite_watch.errors import EntryNotFoundError, JobNotFoundError, KbNotFoundError, RequestError
from pyrite_watch.index import queries
from pyrite_watch.index.reader import Snapshot
from pyrite_watch.index.store import SyncCounts
from pyrite_watch.model.kb import KnowledgeBase
from pyrite_watch.pipeline import Pipeline
from pyrite_watch.write_requests import EntryEdit, NewEntry, Written
from pyrite_watch.writer import Writer

T = TypeVar("T")

MAX_JOBS = 100
"""How many finished sync jobs are remembered."""

POLL_S = 0.5
"""How often somebody who waits for a sync looks whether the pipeline still runs."""


class StoppedError(RequestError):
    """The watch was stopped before it came to this."""

    status = 503
    code = "STOPPED"

    def __init__(self) -> None:
        super().__init__("The watch was stopped.", "Ask again when it runs.")


@dataclass(frozen=True, slots=True)
class SyncJob:
    """A sync that nobody waits for."""

    job_id: str
    future: Future[dict[str, SyncCounts]]


class KBService:
    """The knowledge bases of one pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.kbs: dict[str, KnowledgeBase] = {kb.name: kb for kb in pipeline.settings.kbs}
        # To be told, not to be opened: a path that is not UTF-8 is in no JSON as it is.
        self.roots = {
            name: os.fsencode(kb.root).decode("utf-8", "backslashreplace") for name, kb in self.kbs.items()
        }
        self._jobs: dict[str, SyncJob] = {}
        self._lock = threading.Lock()

    def check_kb(self, name: str | None) -> None:
        """Raise `KbNotFoundError` where a KB is named that is not watched."""
        if name is not None and name not in self.kbs:
            raise KbNotFoundError(name)

    def list_kbs(self, snapshot: Snapshot) -> list[dict[str, Any]]:
        """All KBs in Pyrite's shape, in the order in which they were named."""
        facts = queries.load_kb_facts(snapshot.connection)
        return [
            {
                "name": kb.name,
                "type": kb.kb_type,
                "path": self.roots[kb.name],
                "source": kb.source,
                "description": kb.description,
                "read_only": kb.read_only or self.pipeline.settings.read_only,
                **facts[kb.name],
            }
            for kb in self.pipeline.kbs
            if kb.name in facts
        ]

    def get_entry(self, snapshot: Snapshot, entry_id: str, kb_name: str | None = None) -> dict[str, Any]:
        """One entry; without a KB that of the first that has it."""
        self.check_kb(kb_name)
        order = [kb_name] if kb_name is not None else list(self.kbs)
        entry = queries.load_entry(snapshot.connection, entry_id, order, self.roots)
        if entry is None:
            raise EntryNotFoundError(entry_id, kb_name)
        return entry

    def sync_index(self, kb_name: str | None = None) -> SyncCounts:
        """Compare with the disk now, and tell what differs; blocks until it is committed."""
        return sum_counts(self._result(self.submit(kb_name)))

    def submit_sync(self, kb_name: str | None = None) -> SyncJob:
        """The same, without waiting for it; `get_job` tells how it went."""
        job = SyncJob(uuid.uuid4().hex, self.submit(kb_name))
        with self._lock:
            finished = [job_id for job_id, known in self._jobs.items() if known.future.done()]
            for job_id in finished[: max(0, len(self._jobs) - MAX_JOBS)]:
                del self._jobs[job_id]
            self._jobs[job.job_id] = job
        return job

    def get_job(self, job_id: str) -> dict[str, Any]:
        """How a sync job goes: `submitted`, `running`, `completed` or `failed`."""
        with self._lock:
            job = self._jobs.get(job_id)
        if job is None:
            raise JobNotFoundError(job_id)
        future = job.future
        if not future.done():
            return {"job_id": job_id, "status": "running" if future.running() else "submitted"}
        error = future.exception()
        if error is not None:
            return {"job_id": job_id, "status": "failed", "error": str(error)}
        return {"job_id": job_id, "status": "completed", **asdict(sum_counts(future.result()))}

    def create_entry(self, kb_name: str, new: NewEntry) -> Written:
        """Make a new entry's file; blocks until its event is committed. Raises `RequestError`."""
        return self._write(kb_name, lambda writer: writer.create(kb_name, new))

    def update_entry(
        self, kb_name: str, entry_id: str, edit: EntryEdit, if_match: Sequence[str] | None = None
    ) -> Written:
        """Change an entry's file, if it still is one of the revisions `if_match` (None: any)."""
        return self._write(kb_name, lambda writer: writer.update(kb_name, entry_id, edit, if_match))

    def delete_entry(self, kb_name: str, entry_id: str, if_match: Sequence[str] | None = None) -> Written:
        """Delete an entry's file, under the same condition."""
        return self._write(kb_name, lambda writer: writer.delete(kb_name, entry_id, if_match))

    def _write(self, kb_name: str, work: Callable[[Writer], Written]) -> Written:
        self.check_kb(kb_name)
        if not self.pipeline.is_open:
            raise StoppedError
        return self._result(self.pipeline.write(work))

    def _result(self, future: Future[T]) -> T:
        # In slices: a pipeline that is stopped meanwhile may never come to it.
        while not wait([future], POLL_S).done:
            if not self.pipeline.is_open:
                raise StoppedError
        try:
            return future.result()
        except CancelledError as error:
            raise StoppedError from error

    def submit(self, kb_name: str | None = None) -> Future[dict[str, SyncCounts]]:
        """Ask for a comparison with the disk; the future has what each KB came to."""
        self.check_kb(kb_name)
        if not self.pipeline.is_open:
            raise StoppedError
        names: Sequence[str] = [kb_name] if kb_name is not None else list(self.kbs)
        return self.pipeline.sync(names)


def sum_counts(counts: dict[str, SyncCounts]) -> SyncCounts:
    """Add up what each KB came to."""
    total = SyncCounts()
    for count in counts.values():
        total = total + count
    return total
