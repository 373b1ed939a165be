"""`KBService` without a server: a pipeline that is opened, started and stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import neighbours  # noqa: F401 - it makes the others importable
import pytest
from live_app import make_kb

from pyrite_watch.disk.write_errors import ChangedMeanwhileError, PathTakenError
from pyrite_watch.errors import EntryNotFoundError, KbNotFoundError
from pyrite_watch.model.kb import KbName, KnowledgeBase
from pyrite_watch.pipeline import Pipeline
from pyrite_watch.service import KBService, StoppedError
from pyrite_watch.settings import Settings
from pyrite_watch.write_requests import EntryEdit, NewEntry


@pytest.fixture(scope="module", autouse=True)
def own_state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the registry of owners out of the user's own state folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state-home")))
        yield


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    """A running pipeline over `notes` (a)."""
    root = make_kb(tmp_path / "notes", "a")
    pipeline = Pipeline(Settings((KnowledgeBase(KbName("notes"), root),), tmp_path / "state"))
    pipeline.open()
    pipeline.start()
    yield pipeline
    pipeline.stop()


def test_a_service_writes_without_a_server(pipeline: Pipeline) -> None:
    """Also at once after the start: a write waits for the first index. What is told is what was done."""
    told: list[dict[str, Any]] = []
    pipeline.listeners.append(
        lambda report: told.extend(json.loads(event.message) for event in report.events)
    )
    service = KBService(pipeline)
    new = service.create_entry("notes", NewEntry("New one", body="text", tags=("x",)))
    assert (new.entry_id, new.kb_name, new.path) == ("new-one", "notes", "new-one.md")
    changed = service.update_entry(
        "notes", "new-one", EntryEdit({"tags": ["y"]}, "more"), [str(new.revision)]
    )
    with pytest.raises(ChangedMeanwhileError):
        service.update_entry("notes", "new-one", EntryEdit(body="x"), [str(new.revision)])
    with pytest.raises(PathTakenError):
        service.create_entry("notes", NewEntry("New one"))
    with pipeline.reader.snapshot() as snapshot:
        entry = service.get_entry(snapshot, "new-one")
    assert (entry["body"], entry["tags"], entry["revision"]) == ("more", ["y"], changed.revision)
    gone = service.delete_entry("notes", "new-one")
    assert gone.revision is None
    with pytest.raises(EntryNotFoundError):
        service.delete_entry("notes", "new-one")
    with pytest.raises(KbNotFoundError):
        service.delete_entry("none", "a")
    assert [(event["type"], event["offset"], event["origin"]) for event in told] == [
        ("entry_created", new.offset, "api"),
        ("entry_updated", changed.offset, "api"),
        ("entry_deleted", gone.offset, "api"),
    ]
    assert service.sync_index().updated == 0


def test_a_service_may_be_used_from_many_threads(pipeline: Pipeline) -> None:
    """Each gets its own event."""
    service = KBService(pipeline)

    def write(number: int) -> int:
        return service.update_entry("notes", "a", EntryEdit({f"field{number}": number})).offset

    with ThreadPoolExecutor(20) as pool:
        offsets = list(pool.map(write, range(40)))
    assert sorted(offsets) == list(range(1, 41))


def test_a_stopped_service_says_so(pipeline: Pipeline) -> None:
    """Before and after; nothing hangs."""
    service = KBService(pipeline)
    pipeline.stop()
    with pytest.raises(StoppedError):
        service.create_entry("notes", NewEntry("Late"))
