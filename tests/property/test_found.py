"""What the property test found, each as small as it could be made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from harness.expect import line
from harness.fixtures import write_entry
from harness.reader import revision_of
from harness.record import Json
from harness.scene import Scene

from pyrite_watch.disk.settle import Settler
from pyrite_watch.model.kb import KbName

HALF = b"---\nid: entry-1\ntitle: Half\n---\nThe first half.\n"
REST = b"The second half.\n"


@contextmanager
def half_written(file: Path) -> Iterator[None]:
    """Write half, let the block do something, write the rest: in one opening of the file."""
    with open(file, "wb", buffering=0) as open_file:
        open_file.write(HALF)
        yield
        open_file.write(REST)


def revisions_of(events: list[Json], path: str) -> list[str]:
    """What was told of a path."""
    return [event["revision"] for event in events if event["path"] == path]


WHOLE = [revision_of(HALF + REST)]


def test_a_sync_does_not_tell_a_half(small_scene: Scene, small_kb: Path) -> None:
    """A file that is open for writing is not told as it is, also when somebody asks for a comparison now."""

    def act() -> None:
        with half_written(small_kb / "entry-1.md"):
            assert small_scene.api.request("POST", "/api/index/sync").status == 200

    assert revisions_of(small_scene.observe(act, 1), "entry-1.md") == WHOLE


def test_a_claim_of_its_id_does_not_tell_a_half(small_scene: Scene, small_kb: Path) -> None:
    """The owner of an id is looked at when another file claims it, and may be half written then."""

    def act() -> None:
        with half_written(small_kb / "entry-1.md"):
            write_entry(small_kb / "other.md", "entry-1", "A claim.")
            small_scene.watch.wait_for(
                lambda message: message.get("type") == "kb_synced" and message["problems"] == 1,
                what="the problem of the duplicate",
            )

    assert revisions_of(small_scene.observe(act, 1), "entry-1.md") == WHOLE


def test_the_second_look_at_a_folder_is_as_patient() -> None:
    """What is empty when a new folder is looked at again, 400 ms after its coming, may be in the middle of a
    copy: it was told as an empty entry, because the patience with it was counted from the folder's coming."""
    settler = Settler(settle_s=0.12, incomplete_s=0.4)
    settler.look_again(KbName("kb"), "new", now_s=0.0, delays_s=(0.4,))
    [look] = settler.take_due(now_s=0.4)
    assert settler.wait_incomplete(replace(look, path="new/copy.md", is_folder_look=False), 0.4, 0.0)


def another_id_is_looked_at(scene: Scene, kb: Path) -> None:
    """Give the owner another id; return when what was changed after it is told."""
    write_entry(kb / "entry-1.md", "another", "It has another id now.")
    write_entry(kb / "marker.md", "marker", "Made after it.")
    scene.watch.wait_for(lambda message: message.get("entry_id") == "marker", what="what was changed later")


TAKEN_OVER = ["C small:another entry-1.md", "U small:entry-1 heir.md < entry-1.md"]


def test_an_heir_that_is_being_written_is_not_told_as_a_half(small_scene: Scene, small_kb: Path) -> None:
    """A file that waits for an id is looked at when its owner gives it up, and may be half written then."""
    small_scene.observe(lambda: write_entry(small_kb / "heir.md", "entry-1", "A claim."))

    def act() -> None:
        with half_written(small_kb / "heir.md"):
            another_id_is_looked_at(small_scene, small_kb)

    events = small_scene.observe(act, 3)
    assert [line(event) for event in events if event["path"] in ("heir.md", "entry-1.md")] == TAKEN_OVER
    assert revisions_of(events, "heir.md") == WHOLE


def test_an_heir_takes_over_when_it_is_written(small_scene: Scene, small_kb: Path) -> None:
    """A file that was opened for writing, and not changed, when the id became free has it in the end."""
    small_scene.observe(lambda: write_entry(small_kb / "heir.md", "entry-1", "A claim."))

    def act() -> None:
        with open(small_kb / "heir.md", "ab"):
            another_id_is_looked_at(small_scene, small_kb)

    events = small_scene.observe(act, 3)
    assert [line(event) for event in events if event["path"] in ("heir.md", "entry-1.md")] == TAKEN_OVER
    assert small_scene.api.entry("small", "entry-1")["path"] == "heir.md"
    assert small_scene.api.problems() == []


def test_half_of_the_ignore_file_shows_nothing(small_scene: Scene, small_kb: Path) -> None:
    """An editor that truncates `.pyriteignore` and writes it anew does not show what it hides meanwhile."""
    rules = b"entry-1.md\nentry-2.md\n"
    small_scene.observe(lambda: (small_kb / ".pyriteignore").write_bytes(rules), 2)

    def act() -> None:
        with open(small_kb / ".pyriteignore", "wb", buffering=0) as open_file:
            write_entry(small_kb / "entry-3.md", "entry-3", "Saved meanwhile.")
            small_scene.watch.wait_for(
                lambda message: message.get("type") == "entry_updated", what="the other file's save"
            )
            open_file.write(rules)

    assert [event["path"] for event in small_scene.observe(act) if event["entry_id"]] == ["entry-3.md"]


@pytest.mark.parametrize("how", ["swap", "heir"])
def test_a_conditional_write_finds_its_revision_where_it_is_now(
    small_scene: Scene, small_kb: Path, how: str
) -> None:
    """The entry is in another file than the index knew: that one is written, and no edit is lost."""
    first, other = small_kb / "entry-1.md", small_kb / "entry-2.md"
    asked_for = first.read_bytes()
    if how == "heir":
        other = small_kb / "heir.md"
        small_scene.observe(lambda: other.write_bytes(asked_for))

    def act() -> None:
        if how == "swap":
            os.rename(first, small_kb / "t")
            os.rename(other, first)
            os.rename(small_kb / "t", other)
        else:
            write_entry(first, "another-id", "Edited just now.")
        edited = first.read_bytes()
        answer = small_scene.api.request(
            "PATCH",
            "/api/entries/entry-1",
            body={"kb": "small", "field": "importance", "value": 3},
            headers={"If-Match": f'"{revision_of(asked_for)}"'},
        )
        assert first.read_bytes() == edited
        assert answer.status == 200, answer
        assert b"importance: 3" in other.read_bytes()

    small_scene.observe(act)
    small_scene.check()
