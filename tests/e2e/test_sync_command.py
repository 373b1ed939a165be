"""`pyrite sync`: one reconcile by hand, by this process or by the one that owns the root."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from harness.process import run_pyrite
from harness.reader import read_kb
from harness.socket import Tab

from .conftest import Starter, write_entry

pytestmark = pytest.mark.timeout(120)


def count_of(word: str, text: str) -> int:
    """Find a count in prose, `3 added` or `added: 3`; the words of prose are free within reason."""
    found = re.search(rf'(\d+)\s+{word}|{word}"?\s*[:=]?\s*(\d+)', text, re.IGNORECASE)
    assert found is not None, f"no count of {word!r} in:\n{text}"
    return int(found[1] or found[2])


def counts(text: str) -> tuple[int, int, int]:
    """(added, updated, removed)"""
    return (
        count_of("(?:added|created|new)", text),
        count_of("(?:updated|changed)", text),
        count_of("(?:removed|deleted)", text),
    )


def test_sync_without_an_owner_prints_the_difference(home: Path, small_kb: Path) -> None:
    """The first time everything is new or a state without events; then exactly what changed."""
    done = run_pyrite("sync", small_kb, home=home)
    assert done.returncode == 0, done.stderr
    write_entry(small_kb / "entry-1.md", "entry-1", "Changed.")
    write_entry(small_kb / "entry-2.md", "entry-2", "Changed.")
    (small_kb / "entry-3.md").unlink()
    write_entry(small_kb / "entry-9.md", "entry-9", "New.")
    done = run_pyrite("sync", small_kb, home=home)
    assert (done.returncode, counts(done.stdout)) == (0, (1, 2, 1)), done.stderr
    done = run_pyrite("sync", small_kb, home=home)
    assert (done.returncode, counts(done.stdout)) == (0, (0, 0, 0)), done.stderr


def test_sync_and_watch_share_state(start: Starter, home: Path, small_kb: Path) -> None:
    """What `sync` found is in the log that the next `watch` resumes."""
    first = start(small_kb, own_state=False)
    since = first.position
    assert first.stop() == 0
    write_entry(small_kb / "entry-1.md", "entry-1", "Changed.")
    done = run_pyrite("sync", small_kb, home=home)
    assert (done.returncode, counts(done.stdout)) == (0, (0, 1, 0)), done.stderr
    second = start(small_kb, own_state=False)
    assert second.ready["epoch"] == first.ready["epoch"]
    with Tab(second.url, since=since) as tab:
        tab.wait_type("ready")
        assert [(event["type"], event["origin"]) for event in tab.events] == [
            ("entry_updated", "sweep"),
            ("kb_synced", "sweep"),
        ]


@pytest.mark.parametrize("own_state", [False, True])
def test_sync_asks_the_owner(start: Starter, home: Path, small_kb: Path, own_state: bool) -> None:
    """The owner, found whatever its state folder, does it; each sync is told, also with no change."""
    watch = start(small_kb, own_state=own_state)
    with Tab(watch.url, since="now") as tab:
        tab.wait_type("ready")
        done = run_pyrite("sync", small_kb, home=home)
        assert (done.returncode, counts(done.stdout)) == (0, (0, 0, 0)), done.stdout + done.stderr
        synced = tab.wait_for(lambda message: message.get("type") == "kb_synced")
        assert (synced["kb_name"], synced["entry_id"], synced["origin"]) == (small_kb.name, "", "sweep")
        assert (synced["added"], synced["updated"], synced["removed"]) == (0, 0, 0)
    assert watch.exit_code is None


@pytest.mark.parametrize("owned", [False, True])
def test_check_is_1_with_problems_and_0_without(
    start: Starter, home: Path, small_kb: Path, owned: bool
) -> None:
    """For CI: the problem's file is named."""
    if owned:
        start(small_kb).wait_ready()
    done = run_pyrite("sync", small_kb, "--check", home=home)
    assert done.returncode == 0, done.stdout + done.stderr
    (small_kb / "broken.md").write_text("---\nid: [broken\n---\n\nText.\n", encoding="utf-8")
    done = run_pyrite("sync", small_kb, "--check", home=home)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "broken.md" in done.stdout + done.stderr
    done = run_pyrite("sync", small_kb, home=home)
    assert done.returncode == 0, "without --check problems are only shown"
    assert "Traceback" not in done.stdout + done.stderr


def test_sync_of_a_missing_root_is_3(home: Path) -> None:
    """As for `watch`."""
    done = run_pyrite("sync", home / "nowhere", home=home)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_sync_leaves_the_files_alone(home: Path, small_kb: Path) -> None:
    """Reading is all that it does to a KB."""
    before = {path: path.read_bytes() for path in sorted(small_kb.rglob("*"))}
    view = read_kb(small_kb)
    assert run_pyrite("sync", small_kb, home=home).returncode == 0
    assert {path: path.read_bytes() for path in sorted(small_kb.rglob("*"))} == before
    assert read_kb(small_kb) == view
