"""Rows 18, 19 and 46: folders that come, go, move, or take the place of a file."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from harness.expect import check_lines, counts, lines, synced, told_of, watching
from harness.fixtures import Starter, make_small_kb, write_entry
from harness.record import Json, only_entry_events
from harness.scene import Scene

from .exactly import ATTEMPTS, INCOMPLETE_S, seconds

pytestmark = pytest.mark.timeout(120)

ENTRIES = 200

SHAPES: dict[str, tuple[str, str]] = {
    "explicit ids": ("note-{0:03d}.md", "---\nid: in-{0:03d}\ntitle: A title\n---\n\nText {0}.\n"),
    "ids from titles": ("note-{0:03d}.md", "---\ntitle: In {0:03d}\n---\n\nText {0}.\n"),
    "ids from names": ("in-{0:03d}.md", "# A heading\n\nText {0}.\n"),
    "in sub-folders": ("sub-{1}/x/note-{0:03d}.md", "---\nid: in-{0:03d}\n---\n\nText {0}.\n"),
}

every_shape = pytest.mark.parametrize("shape", SHAPES)


def fill(folder: Path, shape: str = "explicit ids") -> dict[str, str]:
    """Write 200 entries `in-000`, …; return their paths below the folder, by path, with their ids."""
    name, text = SHAPES[shape]
    made = {}
    for number in range(ENTRIES):
        path = name.format(number, number % 7)
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.format(number), encoding="utf-8")
        made[path] = f"in-{number:03d}"
    return dict(sorted(made.items()))


# -- row 18 ----------------------------------------------------------------------------------


def check_made_at_once(scene: Scene, place: Callable[[int], dict[str, Path]], pause_s: float = 0.0) -> None:
    """Make entries in new folders, see one C each by the watcher; then edit each, and see one U each.

    Args:
        place: Gives the files by their entries' ids. It gets the attempt's number: one in which the machine
            held a single write up for longer than a file may be unfinished proves nothing.
        pause_s: Between a folder's making and the file's: that time is the case under test.
    """
    ((kb, root),) = scene.roots.items()
    for attempt in range(ATTEMPTS):
        files = place(attempt)
        longest_s = 0.0

        def act(files: dict[str, Path] = files) -> None:
            nonlocal longest_s
            for key, file in files.items():
                file.parent.mkdir(parents=True)
                if pause_s:
                    time.sleep(pause_s)
                text = f"---\nid: {key}\n---\n\nText.\n"
                longest_s = max(longest_s, seconds(partial(file.write_text, text, encoding="utf-8")))

        events = only_entry_events(scene.observe(act, changes=len(files)))
        if longest_s < INCOMPLETE_S:
            break
        scene.observe(lambda: None)  # what else there is of that attempt
    else:
        pytest.skip(
            f"the machine was too busy to write each file within {INCOMPLETE_S:g} s, {ATTEMPTS} times"
        )
    paths = {key: file.relative_to(root).as_posix() for key, file in files.items()}
    assert sorted(lines(events)) == sorted(f"C {kb}:{key} {path}" for key, path in paths.items())
    # By the watcher and its second looks, not by a sweep half a minute later.
    assert {event["origin"] for event in events} == {"disk"}

    def edit() -> None:
        for file in files.values():
            with file.open("a", encoding="utf-8") as opened:
                opened.write("\nLater.\n")

    events = only_entry_events(scene.observe(edit, changes=len(files)))
    assert sorted(lines(events)) == sorted(f"U {kb}:{key} {path}" for key, path in paths.items())
    assert {event["origin"] for event in events} == {"disk"}
    scene.check()


@pytest.mark.parametrize("depth", [1, 3, 10])
def test_500_new_folders_with_a_file_at_once(small_scene: Scene, depth: int) -> None:
    """Row 18: what is written right after its folder was made is told once, and heard later."""
    (root,) = small_scene.roots.values()
    deep = "/".join("abcdefghij"[:depth])

    def place(attempt: int) -> dict[str, Path]:
        tops = {f"deep-{attempt}-{number}": root / f"top-{attempt}-{number}" for number in range(500)}
        return {key: top / deep / "note.md" for key, top in tops.items()}

    check_made_at_once(small_scene, place)


@pytest.mark.parametrize("delay_ms", [0, 4, 40, 70, 450])
def test_one_new_folder_with_a_file_a_moment_later(small_scene: Scene, delay_ms: int) -> None:
    """Row 18: whatever the time between the folder and its file."""
    (root,) = small_scene.roots.values()
    for number in range(3):

        def place(attempt: int, number: int = number) -> dict[str, Path]:
            name = f"{number}-{attempt}"
            return {f"deep-{name}": root / f"new-{name}" / "b" / "c" / "note.md"}

        check_made_at_once(small_scene, place, delay_ms / 1000)


def test_500_folders_made_below_one_another(small_scene: Scene) -> None:
    """Row 18: a tree of folders, an entry in each, written from the top down."""
    (root,) = small_scene.roots.values()

    def place(attempt: int) -> dict[str, Path]:
        files = {}
        for number in range(500):
            parts = [f"n{digit}" for digit in f"{number:03d}"]
            files[f"tree-{attempt}-{number}"] = root.joinpath(f"tree-{attempt}", *parts, "note.md")
        return files

    check_made_at_once(small_scene, place)


# -- row 19 ----------------------------------------------------------------------------------


@every_shape
def test_folder_moved_in(small_scene: Scene, home: Path, shape: str) -> None:
    """Row 19: 200 C in one batch, and what is in it is heard from then on."""
    ((kb, root),) = small_scene.roots.items()
    made = fill(home / "outside", shape)
    events = small_scene.observe(lambda: os.rename(home / "outside", root / "inside"), changes=ENTRIES)
    expected = [f"C {kb}:{key} inside/{path}" for path, key in made.items()]
    check_lines(events, [*expected, synced(kb, added=ENTRIES)])
    path, key = next(iter(made.items()))

    def edit() -> None:
        with (root / "inside" / path).open("a", encoding="utf-8") as opened:
            opened.write("\nLater.\n")

    events = small_scene.observe(edit, changes=1)
    check_lines(events, [f"U {kb}:{key} inside/{path}", synced(kb, updated=1)])
    assert events[0]["origin"] == "disk"
    small_scene.check()


@every_shape
def test_folder_moved_out(start: Starter, home: Path, shape: str) -> None:
    """Row 19: 200 D in one batch."""
    root = make_small_kb(home / "notes" / "small")
    made = fill(root / "inside", shape)
    with watching(start, root) as scene:
        events = scene.observe(lambda: os.rename(root / "inside", home / "outside"), changes=ENTRIES)
        expected = [f"D small:{key} inside/{path}" for path, key in made.items()]
        check_lines(events, [*expected, synced("small", removed=ENTRIES)])
        scene.check()


@pytest.mark.parametrize(
    ("shape", "target"),
    [(shape, "other") for shape in SHAPES]
    + [("explicit ids", "deep/er/moved"), ("in sub-folders", "inside-2")],
)
def test_folder_moved_within(start: Starter, home: Path, shape: str, target: str) -> None:
    """Row 19: 200 U with `previous_path` in one batch, and what is in it is heard from then on."""
    root = make_small_kb(home / "notes" / "small")
    made = fill(root / "inside", shape)
    (root / target).parent.mkdir(parents=True, exist_ok=True)
    with watching(start, root) as scene:
        events = scene.observe(lambda: os.rename(root / "inside", root / target), changes=ENTRIES)
        expected = [f"U small:{key} {target}/{path} < inside/{path}" for path, key in made.items()]
        check_lines(events, [*expected, synced("small", updated=ENTRIES)])
        path, key = next(iter(made.items()))
        events = scene.observe((root / target / path).unlink, changes=1)
        check_lines(events, [f"D small:{key} {target}/{path}", synced("small", removed=1)])
        scene.check()


@every_shape
def test_folder_moved_to_another_kb(start: Starter, home: Path, shape: str) -> None:
    """Row 19: 200 D and 200 C, paired one to one, in one batch: one S for each KB."""
    one, two = make_small_kb(home / "notes" / "one"), make_small_kb(home / "notes" / "two")
    made = fill(one / "inside", shape)
    with watching(start, one, two) as scene:
        events = scene.observe(
            lambda: os.rename(one / "inside", two / "taken"),
            until=lambda told: counts(told)["S"] >= 2,
        )
        left = [f"D one:{key} inside/{path} > two:{key}" for path, key in made.items()]
        came = [f"C two:{key} taken/{path} < one:{key}" for path, key in made.items()]
        check_lines(_of(events, "one"), [*left, synced("one", removed=ENTRIES)])
        check_lines(_of(events, "two"), [*came, synced("two", added=ENTRIES)])
        scene.check()


@pytest.mark.parametrize("target", ["one", "two"])
def test_folders_moved_into_new_ones_are_heard(start: Starter, home: Path, target: str) -> None:
    """Row 19: by the watcher, at once, also where the folder around it was made just before, in any KB."""
    one = make_small_kb(home / "notes" / "one")
    roots = {"one": one, "two": make_small_kb(home / "notes" / "two")}
    numbers = range(6)
    for number in numbers:
        (one / f"f-{number}").mkdir()
        write_entry(one / f"f-{number}" / "in.md", f"in-{number}", "Text.")
    with watching(start, *roots.values()) as scene:

        def move() -> None:
            for number in numbers:
                (roots[target] / f"new-{number}").mkdir()
                os.rename(one / f"f-{number}", roots[target] / f"new-{number}" / "inner")

        def edit() -> None:
            for number in numbers:
                write_entry(
                    roots[target] / f"new-{number}" / "inner" / "in.md", f"in-{number}", "Another text."
                )

        scene.observe(move, changes=len(numbers) * (1 if target == "one" else 2))
        events = only_entry_events(scene.observe(edit, changes=len(numbers)))
        # One that was seen in the middle of its writing comes with a later batch.
        assert sorted(lines(events)) == [f"U {target}:in-{n} new-{n}/inner/in.md" for n in numbers]
        assert {event["origin"] for event in events} == {"disk"}
        scene.check()


def _of(events: list[Json], kb: str) -> list[Json]:
    return [event for event in events if event["kb_name"] == kb]


def test_folder_removed(start: Starter, home: Path) -> None:
    """Row 19: `rm -r` names each file as it goes; all the same it is one batch."""
    root = make_small_kb(home / "notes" / "small")
    made = fill(root / "inside")
    with watching(start, root) as scene:
        events = scene.observe(lambda: shutil.rmtree(root / "inside"), changes=ENTRIES)
        expected = [f"D small:{key} inside/{path}" for path, key in made.items()]
        check_lines(events, [*expected, synced("small", removed=ENTRIES)])
        scene.check()


# -- row 46 ----------------------------------------------------------------------------------

FOLDER = {"one": "a.md/one.md", "two": "a.md/two.md", "three": "a.md/sub/three.md"}


def make_folder(folder: Path) -> None:
    """Make the folder `a.md/` with three entries."""
    for key, path in FOLDER.items():
        file = folder / path.removeprefix("a.md/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"---\nid: {key}\n---\n\nText of {key}.\n", encoding="utf-8")


def make_file(file: Path, entry_id: str = "a") -> None:
    """Make the file `a.md`."""
    file.write_text(f"---\nid: {entry_id}\n---\n\nText of {entry_id}.\n", encoding="utf-8")


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def remove_and_make(place: Path, make: Callable[[Path], None]) -> None:
    """Take away what is there, then put the other there, made before: the time between is short."""
    outside = place.parent.parent / f"outside-{time.monotonic_ns()}"
    make(outside)
    remove(place)
    os.rename(outside, place)


def exchange_by_renames(place: Path, make: Callable[[Path], None]) -> None:
    """Make the other outside of the KB, move the old one out, and the other in."""
    outside = place.parent.parent / f"outside-{time.monotonic_ns()}"
    outside.mkdir()
    make(outside / "new")
    os.rename(place, outside / "old")
    os.rename(outside / "new", place)


@pytest.mark.parametrize("replace", [remove_and_make, exchange_by_renames])
def test_folder_becomes_a_file_and_back(
    start: Starter, home: Path, replace: Callable[[Path, Callable[[Path], None]], None]
) -> None:
    """Row 46: D each and C; then D and C each."""
    root = make_small_kb(home / "notes" / "small")
    make_folder(root / "a.md")
    each = sorted(f"{key} {path}" for key, path in FOLDER.items())
    with watching(start, root) as scene:
        events = scene.observe(lambda: replace(root / "a.md", make_file), changes=4)
        told = lines(only_entry_events(events))
        assert sorted(told) == sorted(["C small:a a.md", *(f"D small:{text}" for text in each)])
        assert counts(events)["S"] <= 2
        events = scene.observe(lambda: replace(root / "a.md", make_folder), changes=4)
        told = lines(only_entry_events(events))
        assert sorted(told) == sorted(["D small:a a.md", *(f"C small:{text}" for text in each)])
        assert counts(events)["S"] <= 2
        events = scene.observe(lambda: make_file(root / "a.md" / "four.md", "four"), changes=1)
        check_lines(events, ["C small:four a.md/four.md", synced("small", added=1)])
        scene.check()


@pytest.mark.parametrize("replace", [remove_and_make, exchange_by_renames])
def test_folder_becomes_a_file_with_one_of_its_ids(
    start: Starter, home: Path, replace: Callable[[Path, Callable[[Path], None]], None]
) -> None:
    """Row 46: the entry that goes on in the file is updated, never deleted and created; and back."""
    root = make_small_kb(home / "notes" / "small")
    make_folder(root / "a.md")
    with watching(start, root) as scene:
        events = scene.observe(
            lambda: replace(root / "a.md", lambda file: make_file(file, "one")),
            until=told_of("small", ("U", "one"), ("D", "two"), ("D", "three")),
        )
        assert sorted(lines(only_entry_events(events))) == [
            "D small:three a.md/sub/three.md",
            "D small:two a.md/two.md",
            "U small:one a.md < a.md/one.md",
        ]
        events = scene.observe(
            lambda: replace(root / "a.md", make_folder),
            until=told_of("small", ("U", "one"), ("C", "two"), ("C", "three")),
        )
        assert sorted(lines(only_entry_events(events))) == [
            "C small:three a.md/sub/three.md",
            "C small:two a.md/two.md",
            "U small:one a.md/one.md < a.md",
        ]
        scene.check()


def test_folder_becomes_a_file_step_by_step(small_scene: Scene) -> None:
    """Row 46: with time to be told between the one and the other."""
    ((kb, root),) = small_scene.roots.items()
    each = sorted(f"{key} {path}" for key, path in FOLDER.items())
    place = root / "a.md"
    steps: list[tuple[Callable[[], None], list[str]]] = [
        (lambda: make_folder(place), [f"C {kb}:{text}" for text in each]),
        (lambda: remove(place), [f"D {kb}:{text}" for text in each]),
        (lambda: make_file(place), [f"C {kb}:a a.md"]),
        (lambda: remove(place), [f"D {kb}:a a.md"]),
        (lambda: make_folder(place), [f"C {kb}:{text}" for text in each]),
    ]
    for act, expected in steps:
        events = small_scene.observe(act, changes=len(expected))
        assert sorted(lines(only_entry_events(events))) == sorted(expected)
    small_scene.check()
