"""Rows 31, 32 and 34: roots that go and come back, are pointed elsewhere, or lie in each other."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.expect import check_lines, lines, synced, watching
from harness.fixtures import Starter, make_small_kb, write_entry
from harness.namespaces import as_seen_by, run_inside, watch_in_namespaces, watch_without_override
from harness.process import WatchProcess
from harness.record import Json, only_entry_events
from harness.scene import Scene
from harness.wait import eventually

pytestmark = pytest.mark.timeout(120)

Until = Callable[[list[Json]], bool]

DIFFERENCE = ["U kb:entry-1 entry-1.md", "D kb:entry-2 entry-2.md", "C kb:new new.md"]


@pytest.fixture
def roots(home: Path) -> dict[str, Path]:
    """`other`, which stays (the markers go there), and `kb`, of five entries, which goes and comes."""
    return {name: make_small_kb(home / "notes" / name) for name in ("other", "kb")}


@contextlib.contextmanager
def observed(watch: WatchProcess, roots: dict[str, Path]) -> Iterator[Scene]:
    """The scene of a watch that somebody else started."""
    scene = Scene.open(watch, roots)
    try:
        yield scene
    finally:
        scene.close()


def synced_as(available: bool) -> Until:
    """A `kb_synced` of `kb` came that says whether it is there."""
    return lambda events: any(
        event["type"] == "kb_synced" and event["kb_name"] == "kb" and event["available"] is available
        for event in events
    )


def told_difference(events: list[Json]) -> bool:
    """All that `change` did was told, and a `kb_synced` after it."""
    return len(only_entry_events(events)) >= len(DIFFERENCE) and events[-1]["type"] == "kb_synced"


def change(folder: Path) -> None:
    """Edit an entry, delete one, add one."""
    write_entry(folder / "entry-1.md", "entry-1", "Changed while it was away.")
    (folder / "entry-2.md").unlink()
    write_entry(folder / "new.md", "new", "Made while it was away.")


def check_away(scene: Scene, events: list[Json]) -> None:
    """Assert that exactly one `kb_synced` came, which says that it is away, and all stays readable."""
    check_lines(events, [synced("kb")])
    assert events[0]["available"] is False
    kb = next(kb for kb in scene.api.get("/api/kbs")["kbs"] if kb["name"] == "kb")
    assert (kb["available"], kb["entries"]) == (False, 5)
    assert scene.api.entry("kb", "entry-2")["body"].strip() == "Text 2."
    assert [found["kind"] for found in scene.api.problems()] == ["unavailable"]
    refused = scene.api.request("POST", "/api/entries", body={"kb": "kb", "title": "While it is away"})
    assert (refused.status, refused.json()["detail"]["code"]) == (503, "KB_UNAVAILABLE")


def check_back(scene: Scene, events: list[Json]) -> None:
    """Assert that exactly the difference was told, and that it is there again."""
    told = only_entry_events(events)
    assert sorted(lines(told)) == sorted(DIFFERENCE)
    ends = [event for event in events if event["type"] == "kb_synced"]
    assert all(event["available"] and event["kb_name"] == "kb" for event in ends)
    assert sum(event["added"] + event["updated"] + event["removed"] for event in ends) == len(DIFFERENCE)
    assert scene.api.problems() == []
    scene.check()


@pytest.mark.parametrize("way", ["deleted", "moved away", "a file in its place", "an empty folder"])
def test_a_root_goes_and_comes_back(start: Starter, home: Path, roots: dict[str, Path], way: str) -> None:
    """Row 31: no D, one `kb_synced` that says so, the entries stay readable; then the difference."""
    root, aside = roots["kb"], home / "aside"
    shutil.copytree(root, aside)

    def go() -> None:
        if way == "deleted":
            shutil.rmtree(root)
        else:
            os.rename(root, home / "moved")
        if way == "a file in its place":
            root.write_text("No folder.")
        elif way == "an empty folder":
            root.mkdir()

    def come() -> None:
        if way == "a file in its place":
            root.unlink()
        elif way == "an empty folder":
            root.rmdir()
        change(aside)
        os.rename(aside, root)

    with watching(start, *roots.values()) as scene:
        check_away(scene, scene.observe(go, until=synced_as(False)))
        check_back(scene, scene.observe(come, until=told_difference))
        told = scene.observe(lambda: write_entry(root / "entry-3.md", "entry-3", "Heard again."), changes=1)
        check_lines(told, ["U kb:entry-3 entry-3.md", synced("kb", updated=1)])
        assert told[0]["origin"] == "disk", "the root that came back is not listened to"
        scene.check()


@pytest.mark.parametrize("while_running", [True, False])
def test_a_root_made_anew_and_empty_was_not_emptied(
    start: Starter, home: Path, roots: dict[str, Path], while_running: bool
) -> None:
    """Row 31: `rm -r kb; mkdir kb` may give the old inode number: still no D, until something is in it."""
    root, aside = roots["kb"], home / "aside"
    shutil.copytree(root, aside)
    before = os.stat(root).st_ino

    def replace() -> None:
        # `rm -r kb; mkdir kb` for who watches. The files are moved out instead of freeing their numbers,
        # and what has another number is kept, so that the root's own is often given again.
        grave = root.parent / "grave"
        grave.mkdir()
        for file in list(root.iterdir()):
            os.rename(file, grave / file.name)
        root.rmdir()
        for attempt in range(300):
            root.mkdir()
            if os.stat(root).st_ino == before:
                return
            os.rename(root, grave / f"not-{attempt}")
        root.mkdir()

    def fill() -> None:
        change(aside)
        for file in aside.iterdir():
            shutil.copy2(file, root)

    if while_running:
        with watching(start, *roots.values()) as scene:
            check_away(scene, scene.observe(replace, until=synced_as(False)))
            check_back(scene, scene.observe(fill, until=told_difference))
        return
    assert start(*roots.values()).wait_ready()
    start.processes[-1].stop()
    replace()
    with watching(start, *roots.values()) as scene:
        check_away(scene, [e for e in scene.watch.events if e["offset"] <= scene.watch.ready["offset"]])


def test_a_root_that_was_emptied_tells_its_deletions(start: Starter, roots: dict[str, Path]) -> None:
    """Row 31, the other side: the same folder without its files is a fact, also after a restart."""
    with watching(start, *roots.values()) as scene:

        def empty() -> None:
            for file in roots["kb"].iterdir():
                file.unlink()

        told = scene.observe(empty, changes=5)
        check_lines(told, [f"D kb:entry-{n} entry-{n}.md" for n in range(1, 6)] + [synced("kb", removed=5)])
        assert told[-1]["available"] is True
        scene.check()


@pytest.mark.parametrize("filled", [True, False])
def test_a_root_that_another_folder_replaces_at_once(
    start: Starter, home: Path, roots: dict[str, Path], filled: bool
) -> None:
    """Row 31: a full one is believed, and the difference told; an empty one is not."""
    root, other = roots["kb"], home / "replacement"
    other.mkdir()
    if filled:
        shutil.copytree(root, other, dirs_exist_ok=True)
        change(other)

    def replace() -> None:
        os.rename(root, home / "moved")
        os.rename(other, root)

    with watching(start, *roots.values()) as scene:
        if filled:
            check_back(scene, scene.observe(replace, until=told_difference))
        else:
            check_away(scene, scene.observe(replace, until=synced_as(False)))
            root.rmdir()
            change(home / "moved")
            back = scene.observe(lambda: os.rename(home / "moved", root), until=told_difference)
            check_back(scene, back)


def test_an_unmounted_drive_is_away_and_its_mount_point_is_no_empty_kb(
    home: Path, roots: dict[str, Path]
) -> None:
    """Row 31: a real tmpfs is unmounted, which leaves an empty folder, and mounted again."""
    point, drive = home / "point", home / "drive"
    point.mkdir()
    drive.mkdir()
    # A drive that outlives its mount: it is mounted a second time elsewhere.
    mount = f"mount -t tmpfs none {drive} && cp -a {roots['kb']}/. {drive} && mount --bind {drive} {point}"
    with watch_in_namespaces(mount, roots["other"], Path(f"kb={point}"), home=home) as watch:
        watch.wait_ready()
        seen = {"other": roots["other"], "kb": as_seen_by(watch, point)}
        inside = as_seen_by(watch, drive)

        def unmount() -> None:
            # Nothing may hold the drive: a user could not take it out.
            eventually(lambda: run_inside(watch, f"umount {point}", check=False).returncode == 0)

        def remount() -> None:
            change(inside)
            run_inside(watch, f"mount --bind {drive} {point}")

        with observed(watch, seen) as scene:
            check_away(scene, scene.observe(unmount, until=synced_as(False)))
            check_back(scene, scene.observe(remount, until=told_difference))


def test_an_unreadable_root_is_away(home: Path, roots: dict[str, Path]) -> None:
    """Row 31: its mode is taken away and given back; the other KB is heard all the while."""
    root = roots["kb"]
    with (
        watch_without_override(*roots.values(), home=home) as watch,
        observed(watch, roots) as scene,
    ):
        try:
            check_away(scene, scene.observe(lambda: root.chmod(0), until=synced_as(False)))
            entry = roots["other"] / "entry-1.md"
            told = scene.observe(lambda: write_entry(entry, "entry-1", "Heard."), changes=1)
            assert [event["origin"] for event in told] == ["disk", "disk"]
        finally:
            root.chmod(0o755)

        def come() -> None:
            root.chmod(0)  # as it was; the change is made while it is away
            root.chmod(0o755)
            change(root)

        check_back(scene, scene.observe(come, until=told_difference))


# -- row 32 ----------------------------------------------------------------------------------------


def point_at(link: Path, target: Path) -> None:
    """Point a link elsewhere in one step, as deployments do."""
    new = link.with_name(f"{link.name}.new")
    os.symlink(target, new)
    os.replace(new, link)


def test_a_root_that_is_a_link_works_and_its_retargeting_tells_the_difference(
    start: Starter, home: Path, roots: dict[str, Path]
) -> None:
    """Row 32: edits through the link and in the folder; pointed elsewhere, and at nothing."""
    versions = {name: home / "versions" / name for name in ("v1", "v2")}
    for folder in versions.values():
        shutil.copytree(roots["kb"], folder)
    change(versions["v2"])
    link = home / "links" / "kb"
    link.parent.mkdir()
    os.symlink(versions["v1"], link)
    with watching(start, roots["other"], link) as scene:
        told = scene.observe(lambda: write_entry(link / "entry-5.md", "entry-5", "By the link."), changes=1)
        check_lines(told, ["U kb:entry-5 entry-5.md", synced("kb", updated=1)])
        shutil.copy2(versions["v1"] / "entry-5.md", versions["v2"])
        check_back(scene, scene.observe(lambda: point_at(link, versions["v2"]), until=told_difference))
        file = versions["v2"] / "entry-4.md"
        told = scene.observe(lambda: write_entry(file, "entry-4", "In the new folder."), changes=1)
        check_lines(told, ["U kb:entry-4 entry-4.md", synced("kb", updated=1)])
        assert told[0]["origin"] == "disk"
        told = scene.observe(lambda: point_at(link, home / "nowhere"), until=synced_as(False))
        check_lines(told, [synced("kb")])
        told = scene.observe(lambda: point_at(link, versions["v2"]), until=synced_as(True))
        check_lines(told, [synced("kb")])
        scene.check()


def test_a_root_link_pointed_at_a_folder_whose_path_is_not_utf_8(
    start: Starter, home: Path, roots: dict[str, Path]
) -> None:
    """Bug: that ended the watch. It is polled, and watched again when it leads away."""
    odd = Path(os.fsdecode(os.fsencode(home) + b"/caf\xe9")) / "kb"
    shutil.copytree(roots["kb"], odd)
    change(odd)
    link = home / "links" / "kb"
    link.parent.mkdir()
    os.symlink(roots["kb"], link)
    with watching(start, roots["other"], link) as scene:
        check_back(scene, scene.observe(lambda: point_at(link, odd), until=told_difference))
        eventually(lambda: scene.api.get("/health")["watch"]["mode"] == "inotify and poll")
        told = scene.observe(lambda: write_entry(odd / "entry-4.md", "entry-4", "Polled."), changes=1)
        check_lines(told, ["U kb:entry-4 entry-4.md", synced("kb", updated=1)])
        scene.observe(lambda: point_at(link, roots["kb"]), until=told_difference)
        eventually(lambda: scene.api.get("/health")["watch"]["mode"] == "inotify")
        scene.check()


def test_a_root_whose_path_is_not_utf_8_is_served(start: Starter, home: Path, roots: dict[str, Path]) -> None:
    """What JSON cannot say of its path is said as `\\xe9`. Bug: what names a path was answered with 500."""
    odd = Path(os.fsdecode(os.fsencode(home) + b"/caf\xe9")) / "kb"
    shutil.copytree(roots["kb"], odd)
    with watching(start, roots["other"], odd) as scene:
        shown = {kb["name"]: kb["path"] for kb in scene.api.get("/api/kbs")["kbs"]}
        assert shown["kb"] == f"{home}/caf\\xe9/kb"
        entry = scene.api.get("/api/entries/entry-1?kb=kb")
        assert entry["file_path"] == f"{home}/caf\\xe9/kb/entry-1.md"
        assert scene.api.get("/api/entries?kb=kb")["total"] == 5
        scene.check()


def test_two_links_to_one_folder_are_one_kb_and_a_problem(
    start: Starter, home: Path, roots: dict[str, Path]
) -> None:
    """Row 32: who has the folder keeps it, the other is away: its edits are told once, in one KB."""
    links = {name: home / "links" / name for name in ("other", "kb")}
    links["kb"].parent.mkdir()
    for name, link in links.items():
        os.symlink(roots[name], link)
    with watching(start, *links.values()) as scene:
        told = scene.observe(lambda: point_at(links["kb"], roots["other"]), until=synced_as(False))
        check_away(scene, told)
        assert "'other'" in scene.api.problems()[0]["message"]
        file = roots["other"] / "entry-1.md"
        told = scene.observe(lambda: write_entry(file, "entry-1", "Once."), changes=1)
        check_lines(told, ["U other:entry-1 entry-1.md", synced("other", updated=1)])
        assert told[0]["origin"] == "disk"
        change(roots["kb"])
        check_back(scene, scene.observe(lambda: point_at(links["kb"], roots["kb"]), until=told_difference))
        # Also where the one that was named first comes to the other's folder.
        start_at = scene.watch.messages.mark()
        point_at(links["other"], roots["kb"])
        away = scene.watch.wait_for(
            lambda event: event.get("type") == "kb_synced" and event["available"] is False, start=start_at
        )
        assert away["kb_name"] == "other"
        point_at(links["other"], roots["other"])
        scene.watch.wait_for(
            lambda event: event.get("type") == "kb_synced" and event["kb_name"] == "other",
            start=scene.watch.messages.since().index(away) + 1,
        )
        assert not only_entry_events(scene.watch.messages.since(start_at))
        scene.check()


def test_a_root_that_is_made_anew_is_noticed_before_any_sweep_or_look(
    start: Starter, home: Path, roots: dict[str, Path]
) -> None:
    """The parents' watcher: a link that is pointed elsewhere makes no notification in any root."""
    versions = [home / "versions" / str(number) for number in range(4)]
    for number, folder in enumerate(versions):
        shutil.copytree(roots["kb"], folder)
        write_entry(folder / "entry-1.md", "entry-1", f"Version {number}.")
    link = home / "links" / "kb"
    link.parent.mkdir()
    os.symlink(versions[0], link)
    took_s = []
    with watching(start, roots["other"], link) as scene:
        for target in versions[1:]:
            began_s = time.monotonic()
            told = scene.observe(lambda target=target: point_at(link, target), changes=1)  # type: ignore[misc]
            took_s.append(time.monotonic() - began_s)
            assert lines(only_entry_events(told)) == ["U kb:entry-1 entry-1.md"]
        scene.check()
    # Without it a root is looked at every 5 s: each but the first took that long, as it began at a look.
    assert min(took_s[1:]) < 3.0, took_s


# -- row 34 ----------------------------------------------------------------------------------------


@pytest.fixture
def nested(home: Path) -> dict[str, Path]:
    """A KB `outer` of five entries, and `inner` of two in a folder of it."""
    outer = make_small_kb(home / "notes" / "outer")
    return {"outer": outer, "inner": make_small_kb(outer / "projects" / "inner", entries=2)}


def test_a_kb_inside_a_kb_has_its_files_alone(start: Starter, nested: dict[str, Path]) -> None:
    """Row 34: both named: an event is told in the innermost only, once."""
    with watching(start, *nested.values()) as scene:
        inner, outer = nested["inner"], nested["outer"]
        told = scene.observe(lambda: write_entry(inner / "entry-1.md", "entry-1", "Inside."), changes=1)
        check_lines(told, ["U inner:entry-1 entry-1.md", synced("inner", updated=1)])
        told = scene.observe(lambda: write_entry(inner / "f.md", "f", "New inside."), changes=1)
        check_lines(told, ["C inner:f f.md", synced("inner", added=1)])
        told = scene.observe(lambda: write_entry(outer / "entry-1.md", "entry-1", "Outside."), changes=1)
        check_lines(told, ["U outer:entry-1 entry-1.md", synced("outer", updated=1)])
        told = scene.observe(lambda: os.rename(inner / "f.md", outer / "projects" / "f.md"), changes=2)
        assert sorted(lines(only_entry_events(told))) == [
            "C outer:f projects/f.md < inner:f",
            "D inner:f f.md > outer:f",
        ]
        # Nor does a comparison find the inner files in the outer KB, whose ids are taken there as well.
        compared = scene.observe(lambda: scene.api.request("POST", "/api/index/sync"))
        check_lines(compared, [synced("outer"), synced("inner")])
        assert scene.api.problems() == []
        places = {name: [path for path, _ in scene.api.state(name).of(name).values()] for name in nested}
        assert not [path for path in places["outer"] if path.startswith("projects/inner/")]
        assert sorted(places["inner"]) == ["entry-1.md", "entry-2.md"]


def test_where_only_the_outer_is_named_the_inner_files_are_its_own(
    start: Starter, nested: dict[str, Path]
) -> None:
    """Row 34: a `kb.yaml` inside draws no line."""
    with watching(start, nested["outer"]) as scene:
        file = nested["inner"] / "sub.md"
        told = scene.observe(lambda: write_entry(file, "sub", "Inside."), changes=1)
        check_lines(told, ["C outer:sub projects/inner/sub.md", synced("outer", added=1)])
        told = scene.observe(file.unlink, changes=1)
        check_lines(told, ["D outer:sub projects/inner/sub.md", synced("outer", removed=1)])
