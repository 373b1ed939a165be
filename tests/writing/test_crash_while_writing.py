"""A process that dies in the middle of a write, and the next one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import neighbours  # noqa: F401 - it makes the others importable
import pytest
from harness.isolation import isolated_environment
from harness.reader import revision_of
from live_app import make_kb

Json = dict[str, Any]

CHILD = r"""
import json, os, sys
from pathlib import Path
from pyrite_watch import writer as module
from pyrite_watch.disk import write as disk
from pyrite_watch.model.kb import KbName, KnowledgeBase
from pyrite_watch.pipeline import Pipeline
from pyrite_watch.service import KBService
from pyrite_watch.settings import Settings
from pyrite_watch.write_requests import EntryEdit, NewEntry
from pyrite_watch.writer import Writer

folder, kind, where = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
pipeline = Pipeline(Settings((KnowledgeBase(KbName("notes"), folder / "notes"),), folder / "state"))
events = []
pipeline.listeners.append(lambda report: events.extend(json.loads(event.message) for event in report.events))
pipeline.open()
pipeline.start()
assert pipeline.ready.wait(20)
service = KBService(pipeline)

def die(*args, **options):
    print(json.dumps(events), flush=True)
    os._exit(9)

steps = {
    "before the index": (Writer, "_tell"),
    "in the transaction": (type(pipeline.store), "_drafts"),
    "before the exchange": (disk, "exchange"),
    "after the exchange": (disk, "look_at"),
    "before the new name": (disk, "rename_new"),
}
if where in steps:
    owner, name = steps[where]
    if where == "after the exchange":
        real = disk.exchange
        def exchange(*args):
            done = real(*args)
            disk.look_at = die
            return done
        disk.exchange = exchange
    else:
        setattr(owner, name, die)
if kind == "create":
    service.create_entry("notes", NewEntry("New", body="body"))
elif kind == "update":
    service.update_entry("notes", "a", EntryEdit(body="asked"))
elif kind == "delete":
    service.delete_entry("notes", "a")
with pipeline.reader.snapshot() as snapshot:
    rows = snapshot.connection.execute("SELECT entry_id, revision FROM entry").fetchall()
pipeline.stop()
print(json.dumps({"events": events, "entries": dict(rows), "offset": pipeline.last_position.offset}))
"""


def run(folder: Path, kind: str = "", where: str = "", code: int = 0) -> Any:
    """Run the pipeline in a process of its own, and let it die in some step of a write."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), kind, where],
        env=isolated_environment(folder),
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert child.returncode == code, child.stderr
    return json.loads(child.stdout)


def states_on_disk(folder: Path) -> dict[str, str]:
    return {file.stem: revision_of(file.read_bytes()) for file in (folder / "notes").glob("*.md")}


@pytest.mark.parametrize(
    ("kind", "told"), [("create", "entry_created"), ("update", "entry_updated"), ("delete", "entry_deleted")]
)
@pytest.mark.parametrize("where", ["before the index", "in the transaction"])
def test_a_write_that_its_process_did_not_live_to_tell_is_told_by_the_next_start(
    tmp_path: Path, kind: str, told: str, where: str
) -> None:
    """Once, by the sweep; the start after that tells nothing."""
    make_kb(tmp_path / "notes", "a", "b")
    before = states_on_disk(tmp_path)
    assert run(tmp_path, kind, where, 9) == []
    on_disk = states_on_disk(tmp_path)
    assert on_disk != before
    second = run(tmp_path)
    entry_events = [event for event in second["events"] if event["type"] != "kb_synced"]
    assert [(event["type"], event["origin"]) for event in entry_events] == [(told, "sweep")]
    assert second["entries"] == on_disk
    if where == "before the index":
        assert run(tmp_path) == {"events": [], "entries": on_disk, "offset": second["offset"]}


@pytest.mark.parametrize(
    ("kind", "where", "is_done"),
    [
        ("create", "before the new name", False),
        ("update", "before the exchange", False),
        ("update", "after the exchange", True),
    ],
)
def test_what_a_crash_left_in_the_folder_is_removed_at_the_next_start(
    tmp_path: Path, kind: str, where: str, is_done: bool
) -> None:
    """The entry is the old one or the new one, whole, and that is what is told."""
    make_kb(tmp_path / "notes", "a", "b")
    before = states_on_disk(tmp_path)
    run(tmp_path, kind, where, 9)
    assert len(list((tmp_path / "notes").glob(".pyrite-*"))) == 1
    second = run(tmp_path)
    assert list((tmp_path / "notes").glob(".pyrite-*")) == []
    assert second["entries"] == states_on_disk(tmp_path)
    assert (second["entries"] != before) is is_done
    assert len([event for event in second["events"] if event["type"] != "kb_synced"]) == is_done
