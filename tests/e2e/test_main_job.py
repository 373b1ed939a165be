"""The main job: whatever changes a KB, stdout and every tab tell it once, and the state is the disk."""

from __future__ import annotations

import os
import random
import shutil
from functools import partial
from pathlib import Path

import pytest
from harness.reader import View, revision_of
from harness.record import Json, only_entry_events, types_of
from harness.scene import Scene
from harness.tools import git, needs_git, needs_sed, needs_vim, run_tool, vim

pytestmark = pytest.mark.timeout(180)

ONE_UPDATE = ["entry_updated", "kb_synced"]


def plain_entries(view: View, count: int, seed: int = 1) -> list[tuple[str, str]]:
    """Pick (id, path) of entries whose id nobody else claims, always the same ones."""
    chosen = [(key, path) for key, (path, _) in view.entries.items() if key not in view.contested]
    return random.Random(seed).sample(sorted(chosen), count)


def only_root(scene: Scene) -> tuple[str, Path, View]:
    """The name, folder and first view of the only KB."""
    ((name, root),) = scene.roots.items()
    return name, root, scene.views[name]


def append(file: Path, text: str) -> None:
    """Write in place, as a plain program does."""
    with file.open("a", encoding="utf-8") as opened:
        opened.write(text)


def types(events: list[Json]) -> list[str]:
    """The types, in order."""
    return [event["type"] for event in events]


def check_update(event: Json, kb: str, entry_id: str, root: Path, path: str) -> None:
    """Assert the fields of an update of one file."""
    assert event["type"] == "entry_updated"
    assert (event["kb_name"], event["entry_id"], event["path"]) == (kb, entry_id, path)
    assert event["revision"] == revision_of((root / path).read_bytes())
    assert event["origin"] == "disk"
    assert isinstance(event["ts"], str)
    assert event["ts"].endswith("Z")


def test_first_index_is_the_disk_and_tells_no_entry(scene: Scene) -> None:
    """The first index of a new epoch is a state, not events; what `ready` counts is what the disk holds."""
    name, root, view = only_root(scene)
    assert scene.watch.ready["kbs"] == [{"name": name, "path": str(root), "entries": len(view.entries)}]
    scene.check_disk()
    assert {problem["path"] for problem in scene.api.problems()} == set(view.problems)
    assert only_entry_events(scene.watch.events) == []
    scene.check()


@needs_vim
@pytest.mark.parametrize("backupcopy", ["no", "yes", "auto"])
def test_vim_save_is_one_update(scene: Scene, backupcopy: str) -> None:
    """Rows 1 and 2: vim's probe file, backup and swap file tell nothing; a save without change neither."""
    name, root, view = only_root(scene)
    for number, (entry_id, path) in enumerate(plain_entries(view, 3)):
        line = f"normal! Goadded by vim {number}"
        events = scene.observe(
            partial(vim, root / path, line, "write", backupcopy=backupcopy),
            changes=1,
        )
        assert types(events) == ONE_UPDATE
        check_update(events[0], name, entry_id, root, path)
    assert scene.observe(lambda: vim(root / path, "write!", backupcopy=backupcopy)) == []
    scene.check()


@needs_sed
def test_sed_in_place_is_one_update(scene: Scene) -> None:
    """Row 5: a temporary name without extension, then a rename."""
    name, root, view = only_root(scene)
    ((entry_id, path),) = plain_entries(view, 1)
    events = scene.observe(
        lambda: run_tool("sed", "-i", "$ a added by sed", root / path, cwd=root), changes=1
    )
    assert types(events) == ONE_UPDATE
    check_update(events[0], name, entry_id, root, path)
    scene.check()


def test_plain_write_is_one_update(scene: Scene) -> None:
    """Row 4: truncated in place, then written; appended; replaced by rename."""
    name, root, view = only_root(scene)
    (first_id, first), (second_id, second), (third_id, third) = plain_entries(view, 3)
    content = (root / first).read_bytes()
    events = scene.observe(lambda: (root / first).write_bytes(content + b"\nwritten\n"), changes=1)
    assert types(events) == ONE_UPDATE
    check_update(events[0], name, first_id, root, first)
    events = scene.observe(lambda: append(root / second, "\nappended\n"), changes=1)
    assert types(events) == ONE_UPDATE
    check_update(events[0], name, second_id, root, second)

    def replace() -> None:
        temporary = root / f".{Path(third).name}.tmp"
        temporary.write_bytes((root / third).read_bytes() + b"\nreplaced\n")
        os.replace(temporary, root / third)

    events = scene.observe(replace, changes=1)
    assert types(events) == ONE_UPDATE
    check_update(events[0], name, third_id, root, third)
    scene.check()


def test_unchanged_content_tells_nothing(scene: Scene) -> None:
    """Row 2: touch, chmod, the same bytes again, a replacement by the same bytes; foreign files."""
    _, root, view = only_root(scene)
    paths = [path for _, path in plain_entries(view, 4)]

    def act() -> None:
        os.utime(root / paths[0])
        (root / paths[1]).chmod(0o600)
        (root / paths[2]).write_bytes((root / paths[2]).read_bytes())
        shutil.copyfile(root / paths[3], root / ".copy.tmp")
        os.replace(root / ".copy.tmp", root / paths[3])
        (root / "picture.png").write_bytes(b"\x89PNG")
        (root / ".hidden.md").write_text("hidden\n", encoding="utf-8")
        (root / "README.md").write_text("# Read me\n", encoding="utf-8")
        (root / "_templates").mkdir()
        (root / "_templates" / "note.md").write_text("template\n", encoding="utf-8")

    assert scene.observe(act) == []
    scene.check()


@needs_git
def test_git_checkout_is_one_update_a_file_and_one_pass(scene: Scene) -> None:
    """Row 12: 120 files that differ: one U each, no D, one S; git's own files tell nothing."""
    name, root, view = only_root(scene)

    def commit_all() -> None:
        git(root, "init", "--quiet", "--initial-branch=main")
        (root / ".git" / "info" / "exclude").write_text("zzz-marker-*\n", encoding="utf-8")
        git(root, "add", "--all")
        git(root, "commit", "--quiet", "--message=all")
        git(root, "checkout", "--quiet", "-b", "edit")

    assert scene.observe(commit_all) == []
    chosen = plain_entries(view, 120)

    def edit() -> None:
        for _, path in chosen:
            append(root / path, "\nOn the branch.\n")

    events = only_entry_events(scene.observe(edit, changes=len(chosen)))
    assert sorted((event["type"], event["entry_id"]) for event in events) == sorted(
        ("entry_updated", entry_id) for entry_id, _ in chosen
    )
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=edit")
    for branch in ("main", "edit", "main"):
        events = scene.observe(
            partial(git, root, "checkout", "--quiet", branch),
            changes=len(chosen),
        )
        entries = only_entry_events(events)
        assert {event["entry_id"]: event["path"] for event in entries} == dict(chosen), branch
        assert types_of(events) == {"entry_updated": len(chosen), "kb_synced": 1}, branch
        assert [event["path"] for event in entries] == sorted(path for _, path in chosen), "ordered by path"
        synced = events[-1]
        assert (synced["entry_id"], synced["kb_name"]) == ("", name)
        assert (synced["added"], synced["updated"], synced["removed"]) == (0, len(chosen), 0)
        assert synced["available"] is True
    scene.check()


@needs_git
def test_git_checkout_away_and_back_in_one_lock_tells_nothing(scene: Scene) -> None:
    """Row 13: what is again as it was when the lock goes was never different."""
    _, root, view = only_root(scene)
    paths = [path for _, path in plain_entries(view, 110)]
    git(root, "init", "--quiet", "--initial-branch=main")
    lock = root / ".git" / "index.lock"

    def act() -> None:
        before = {path: (root / path).read_bytes() for path in paths}
        lock.touch()
        for path in paths:
            append(root / path, "\nAway.\n")
        for path, content in before.items():
            (root / path).write_bytes(content)
        lock.unlink()

    assert scene.observe(act) == []
    scene.check()


def test_rename_is_one_update_with_the_path_before(scene: Scene) -> None:
    """Row 20: the id is in the file, so it goes along; never delete plus create."""
    name, root, view = only_root(scene)
    ((entry_id, path),) = plain_entries(view, 1)
    target = "moved/to/another-name.md"

    def act() -> None:
        (root / "moved" / "to").mkdir(parents=True)
        os.rename(root / path, root / target)

    events = scene.observe(act, changes=1)
    assert types(events) == ONE_UPDATE
    check_update(events[0], name, entry_id, root, target)
    assert events[0]["previous_path"] == path
    scene.check()


def test_moved_folder_is_an_update_an_entry(scene: Scene) -> None:
    """Row 19: a folder that moves within the KB arrives as one name; each of its entries is told."""
    name, root, _ = only_root(scene)
    folder = root / "inbox"
    folder.mkdir()

    def fill() -> None:
        for number in range(60):
            (folder / f"n{number}.md").write_text(
                f"---\nid: moved-{number}\n---\n\nText.\n", encoding="utf-8"
            )

    assert types_of(only_entry_events(scene.observe(fill, changes=60))) == {"entry_created": 60}
    events = scene.observe(lambda: os.rename(folder, root / "outbox"), changes=60)
    entries = only_entry_events(events)
    assert types_of(entries) == {"entry_updated": 60}
    assert all(event["previous_path"] == event["path"].replace("outbox/", "inbox/") for event in entries)
    assert all(event["kb_name"] == name for event in entries)
    outside = root.parent / "outside"
    events = only_entry_events(scene.observe(lambda: os.rename(root / "outbox", outside), changes=60))
    assert types_of(events) == {"entry_deleted": 60}
    events = only_entry_events(scene.observe(lambda: os.rename(outside, root / "back"), changes=60))
    assert types_of(events) == {"entry_created": 60}
    scene.check()


def test_delete_is_one_deletion(scene: Scene) -> None:
    """The id is gone, so is the revision; the old path is told."""
    name, root, view = only_root(scene)
    ((entry_id, path),) = plain_entries(view, 1)
    events = scene.observe((root / path).unlink, changes=1)
    assert types(events) == ["entry_deleted", "kb_synced"]
    assert (events[0]["entry_id"], events[0]["path"], events[0]["revision"]) == (entry_id, path, None)
    assert scene.api.request("GET", f"/api/entries/{entry_id}?kb={name}").status == 404
    scene.check()


def test_delete_and_recreate_with_the_same_bytes_tells_nothing(scene: Scene) -> None:
    """Row 9: a missing file is given time to come back; other bytes are an update."""
    _, root, view = only_root(scene)
    (_, same), (_, other) = plain_entries(view, 2)

    def recreate(path: str, added: bytes) -> None:
        content = (root / path).read_bytes()
        (root / path).unlink()
        (root / path).write_bytes(content + added)

    assert scene.observe(lambda: recreate(same, b"")) == []
    assert types(scene.observe(lambda: recreate(other, b"\nmore\n"), changes=1)) == ONE_UPDATE
    scene.check()


def test_new_folders_with_files_at_once_lose_nothing(scene: Scene) -> None:
    """Row 18: files written right after their folder was made are told, and later edits there are heard."""
    _, root, _ = only_root(scene)

    def act() -> None:
        for number in range(40):
            folder = root / "deep" / f"a{number}" / "b" / "c"
            folder.mkdir(parents=True)
            (folder / "note.md").write_text(f"---\nid: deep-{number}\n---\n\nText.\n", encoding="utf-8")

    events = only_entry_events(scene.observe(act, changes=40))
    assert sorted(event["entry_id"] for event in events) == sorted(f"deep-{number}" for number in range(40))
    assert types_of(events) == {"entry_created": 40}

    def edit() -> None:
        for number in range(40):
            append(root / "deep" / f"a{number}" / "b" / "c" / "note.md", "\nLater.\n")

    events = only_entry_events(scene.observe(edit, changes=40))
    assert types_of(events) == {"entry_updated": 40}
    scene.check()


def test_bad_yaml_is_a_problem_and_no_event_until_mended(scene: Scene) -> None:
    """Row 25: the last good version stays, `kb_synced` and /api/problems tell; mended, it clears."""
    name, root, view = only_root(scene)
    ((entry_id, path),) = plain_entries(view, 1)
    good = (root / path).read_bytes()
    known = len(scene.api.problems())

    def problems_are(count: int, content: bytes) -> list[Json]:
        return scene.observe(
            lambda: (root / path).write_bytes(content),
            until=lambda events: any(
                event["type"] == "kb_synced" and event["problems"] == count for event in events
            ),
        )

    events = problems_are(known + 1, b"---\nid: [broken\ntitle: : :\n---\n\nText.\n")
    assert types(events) == ["kb_synced"]
    (problem,) = [found for found in scene.api.problems() if found["path"] == path]
    assert problem["kb_name"] == name
    assert problem["message"]
    assert scene.api.state().entries[name, entry_id] == (path, revision_of(good))
    assert "Traceback" not in str(problem)
    events = problems_are(known, good)
    assert types(events) == ["kb_synced"]
    assert path not in {found["path"] for found in scene.api.problems()}
    problems_are(known + 1, b"---\n- a list\n- is no mapping\n---\n")
    events = problems_are(known, good + b"\nMended, and more.\n")
    assert types(events) == ONE_UPDATE
    check_update(events[0], name, entry_id, root, path)
    scene.check()


def test_a_long_mixed_day_ends_in_the_same_state_everywhere(scene: Scene) -> None:
    """Edits, renames, deletions and new files in a random order: every reader's replica is the disk."""
    _, root, view = only_root(scene)
    rng = random.Random(20261122)
    start = scene.watch.messages.mark()
    living = dict(plain_entries(view, 200))
    for number in range(300):
        entry_id = rng.choice(sorted(living))
        file = root / living[entry_id]
        kind = rng.choice(("edit", "edit", "edit", "rename", "delete", "new"))
        if kind == "edit":
            append(file, f"\nEdit {number}.\n")
        elif kind == "rename":
            living[entry_id] = f"renamed-{number}.md"
            os.rename(file, root / living[entry_id])
        elif kind == "delete":
            file.unlink()
            del living[entry_id]
        else:
            living[f"new-{number}"] = f"new-{number}.md"
            (root / f"new-{number}.md").write_text(
                f"---\nid: new-{number}\ntitle: New {number}\n---\n\nFrom {entry_id}.\n", encoding="utf-8"
            )
        if number % 7 == 0:
            scene.marker()
    # A deletion is held for 120 ms, a file made then is not: one more deletion closes the day.
    (root / "new-last.md").write_text("---\nid: new-last\n---\n\nText.\n", encoding="utf-8")
    scene.watch.wait_for(lambda message: message.get("entry_id") == "new-last", start=start)
    (root / "new-last.md").unlink()
    scene.watch.wait_for(
        lambda message: message.get("entry_id") == "new-last" and message["type"] == "entry_deleted",
        start=start,
    )
    scene.check()
