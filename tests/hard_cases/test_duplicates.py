"""Rows 23 and 23b: several files with one id. It has one owner, who stays it; the others are problems."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from harness.expect import synced
from harness.fixtures import Starter, make_small_kb
from harness.scene import Scene

from .stage import check_index, exchange, ids_of, note, on_stage, save, tells, titled, told_at_start

UPDATED = synced("small", updated=1)

DUPLICATE = "small:{} duplicate_id"


@pytest.fixture
def root(home: Path) -> Path:
    """A KB with an entry `thing` in `m.md`."""
    folder = make_small_kb(home / "notes" / "small", entries=1)
    save(folder / "m.md", note("thing", "The owner."))
    return folder


@pytest.fixture(params=["a.md", "z.md", "sub/m.md"])
def rival(request: pytest.FixtureRequest, root: Path) -> str:
    """Another path, before or behind the owner's."""
    (root / "sub").mkdir()
    return str(request.param)


@pytest.fixture
def contested(start: Starter, root: Path, rival: str) -> Iterator[Scene]:
    """`m.md` owns `thing`, and another file claims it too."""
    with on_stage(start, root) as scene:
        tells(
            scene,
            lambda: save(root / rival, note("thing", "The rival.")),
            synced("small"),
            problems=[DUPLICATE.format(rival)],
        )
        check(scene, "m.md")
        yield scene


def check(scene: Scene, owner: str | None) -> None:
    """Assert that the KB's entries are the first one's and `thing`, owned by this path."""
    thing = {} if owner is None else {"thing": owner}
    check_index(scene, "small", {"entry-1": "entry-1.md", **thing})


def test_the_first_keeps_it(contested: Scene, root: Path, rival: str) -> None:
    """Row 23: a second file with the id is a problem; however both are touched and saved, nothing flips."""
    problems = [DUPLICATE.format(rival)]
    for number in range(3):
        tells(contested, lambda: os.utime(root / rival), problems=problems)
        tells(contested, lambda: os.utime(root / "m.md"), problems=problems)
        text = f"Another text, {number}."
        tells(contested, partial(save, root / rival, note("thing", text)), problems=problems)
        tells(
            contested,
            partial(save, root / "m.md", note("thing", text + " The owner.")),
            "U small:thing m.md",
            UPDATED,
            problems=problems,
        )
    contested.api.request("POST", "/api/index/sync?wait=true")
    check(contested, "m.md")


def test_both_are_saved_at_once(contested: Scene, root: Path, rival: str) -> None:
    """Row 23: both new files of new bytes, as git makes them: the one at the owner's path is the owner."""

    def act() -> None:
        for path in (rival, "m.md"):
            save(root / path, note("thing", f"Another text in {path}, {time.monotonic()}."))

    for _ in range(3):
        tells(contested, act, "U small:thing m.md", UPDATED, problems=[DUPLICATE.format(rival)])
    check(contested, "m.md")


@pytest.mark.parametrize("new", ["b.md", "y.md", "sub/other.md", "M.md"])
def test_the_owner_is_renamed(contested: Scene, root: Path, rival: str, new: str) -> None:
    """Row 23: U with `previous_path`, still the owner; and so when it is renamed back."""
    problems = [DUPLICATE.format(rival)]
    for before, after in (("m.md", new), (new, "m.md")):
        tells(
            contested,
            partial(os.rename, root / before, root / after),
            f"U small:thing {after} < {before}",
            UPDATED,
            problems=problems,
        )
        check(contested, after)


def test_the_owner_is_renamed_and_edited_at_once(contested: Scene, root: Path, rival: str) -> None:
    """Row 23: it is known by its inode where its bytes are others."""

    def act() -> None:
        os.rename(root / "m.md", root / ".away")
        with (root / ".away").open("ab") as opened:
            opened.write(b"\nLater.\n")
        os.rename(root / ".away", root / "y.md")

    tells(contested, act, "U small:thing y.md < m.md", UPDATED, problems=[DUPLICATE.format(rival)])
    check(contested, "y.md")


def test_the_one_that_waits_is_renamed(contested: Scene, root: Path, rival: str) -> None:
    """Row 23: no event of an entry; its problem goes with it."""
    tells(
        contested,
        lambda: os.rename(root / rival, root / "n.md"),
        synced("small"),
        problems=[DUPLICATE.format("n.md")],
        bare_passes=True,  # the old name is given its time to come back
    )
    check(contested, "m.md")


def test_the_one_that_waits_goes(contested: Scene, root: Path, rival: str) -> None:
    """Row 23: no event of an entry, and its problem clears."""
    tells(contested, (root / rival).unlink, synced("small"))
    contested.check()


def test_the_owner_goes(contested: Scene, root: Path, rival: str) -> None:
    """Row 23: the other takes over, one U; what comes back is the one that waits then."""
    tells(contested, (root / "m.md").unlink, f"U small:thing {rival} < m.md", UPDATED)
    check(contested, rival)
    tells(
        contested,
        lambda: save(root / "m.md", note("thing", "Back.")),
        synced("small"),
        problems=[DUPLICATE.format("m.md")],
    )
    check(contested, rival)


def test_the_owner_leaves_the_kb_as_a_file(contested: Scene, root: Path, rival: str) -> None:
    """Row 23: moved out of the KB is gone, too."""
    tells(
        contested,
        lambda: os.rename(root / "m.md", root.parent / "m.md"),
        f"U small:thing {rival} < m.md",
        UPDATED,
    )
    check(contested, rival)


def test_the_owner_takes_another_id(contested: Scene, root: Path, rival: str) -> None:
    """Row 23: then it has gone as the owner: U of the other, C of what it is now."""
    told = {
        rival: f"U small:thing {rival} < m.md",
        "m.md": "C small:other m.md",
    }
    tells(
        contested,
        lambda: save(root / "m.md", note("other", "The owner.")),
        *(told[path] for path in sorted(told)),
        synced("small", added=1, updated=1),
    )
    check_index(contested, "small", {"entry-1": "entry-1.md", "thing": rival, "other": "m.md"})


def test_the_one_that_waits_takes_another_id(contested: Scene, root: Path, rival: str) -> None:
    """Row 23: it is an entry of its own, and no problem."""
    tells(
        contested,
        lambda: save(root / rival, note("other", "The rival.")),
        f"C small:other {rival}",
        synced("small", added=1),
    )
    contested.check()


def test_the_owner_turns_bad(contested: Scene, root: Path, rival: str) -> None:
    """Row 23: its last good version stays, so it is the owner still; mended, nothing has changed."""
    kept = contested.api.state("small").of("small")["thing"]
    bad = b'---\nid: thing\ntitle: "unclosed\n---\n'
    problems = [DUPLICATE.format(rival), "small:m.md yaml"]
    tells(contested, lambda: save(root / "m.md", bad), synced("small"), problems=problems)
    check_index(contested, "small", {"entry-1": "entry-1.md", "thing": kept})
    tells(
        contested,
        lambda: save(root / "m.md", note("thing", "The owner.")),
        synced("small"),
        problems=[DUPLICATE.format(rival)],
    )
    check(contested, "m.md")


def test_the_one_that_waits_replaces_the_owner(contested: Scene, root: Path, rival: str) -> None:
    """Row 23: `mv rival owner`: the owner's name, the other's content, one U and no problem left."""
    tells(
        contested,
        lambda: os.replace(root / rival, root / "m.md"),
        "U small:thing m.md",
        UPDATED,
        bare_passes=True,  # the other name is given its time to come back
    )
    contested.check()


def test_owner_and_rival_swap_their_names(contested: Scene, root: Path, rival: str) -> None:
    """Row 23: the owner is renamed like any other, so it is still the owner under the rival's name."""
    for before, after in (("m.md", rival), (rival, "m.md")):
        tells(
            contested,
            lambda: exchange(root / "m.md", root / rival),
            f"U small:thing {after} < {before}",
            UPDATED,
            problems=[DUPLICATE.format(before)],
        )
        check(contested, after)


def test_three_files_with_one_id(contested: Scene, root: Path, rival: str) -> None:
    """Row 23: each time the owner goes, the smallest path that waits takes over."""
    waiting = sorted([rival, "k.md"])
    tells(
        contested,
        lambda: save(root / "k.md", note("thing", "The third.")),
        synced("small"),
        problems=[DUPLICATE.format(path) for path in waiting],
    )
    first, second = waiting
    tells(
        contested,
        (root / "m.md").unlink,
        f"U small:thing {first} < m.md",
        UPDATED,
        problems=[DUPLICATE.format(second)],
    )
    tells(contested, (root / first).unlink, f"U small:thing {second} < {first}", UPDATED)
    contested.check()
    tells(contested, (root / second).unlink, f"D small:thing {second}", synced("small", removed=1))
    contested.check()


def test_a_restart_keeps_the_owner(start: Starter, root: Path) -> None:
    """Row 23: with history the larger path stays the owner, renamed while nothing ran or not."""
    problems = ["small:a.md duplicate_id"]
    with on_stage(start, root) as scene:
        tells(
            scene,
            lambda: save(root / "a.md", note("thing", "The rival.")),
            synced("small"),
            problems=problems,
        )
    with on_stage(start, root) as scene:
        told_at_start(scene, problems=problems)
        check(scene, "m.md")
    os.rename(root / "m.md", root / "z.md")
    with on_stage(start, root) as scene:
        told_at_start(scene, "U small:thing z.md < m.md", UPDATED, problems=problems)
        check(scene, "z.md")
    (root / "z.md").unlink()
    with on_stage(start, root) as scene:
        told_at_start(scene, "U small:thing a.md < z.md", UPDATED)
        check(scene, "a.md")


def test_a_rebuild_from_nothing_gives_it_to_the_smallest_path(start: Starter, root: Path) -> None:
    """Row 23: without history nobody can know who was first; it is the same each time, and stays so."""
    problems = ["small:m.md duplicate_id", "small:sub/a.md duplicate_id"]
    with on_stage(start, root) as scene:
        check(scene, "m.md")
    save(root / "a.md", note("thing", "The smallest."))
    save(root / "sub" / "a.md", note("thing", "The last."))
    for _ in range(2):
        shutil.rmtree(start.state_dir)
        with on_stage(start, root) as scene:
            told_at_start(scene, problems=problems)
            check(scene, "a.md")
            tells(scene, lambda: os.utime(root / "m.md"), problems=problems)
            check(scene, "a.md")


# -- row 23b ---------------------------------------------------------------------------------

FOLDERS = [f"chapter-{number:02d}" for number in range(40)]
INDEXES = {f"{folder}-index": f"{folder}/index.md" for folder in FOLDERS}


def make_indexes(root: Path) -> None:
    """Make 40 folders, each with an `index.md` without front matter, as mkdocs wants them."""
    for folder in FOLDERS:
        save(root / folder / "index.md", f"# {folder}\n\nText.\n".encode())


def test_40_index_files_at_the_start(start: Starter, home: Path) -> None:
    """Row 23b: 40 entries, their ids from their paths, no problem; the same after restart and rebuild."""
    root = make_small_kb(home / "notes" / "small", entries=0)
    make_indexes(root)
    for is_rebuild in (False, False, True):
        if is_rebuild:
            shutil.rmtree(start.state_dir)
        with on_stage(start, root) as scene:
            told_at_start(scene)
            check_index(scene, "small", INDEXES)
            scene.check()


def test_40_index_files_while_it_runs(start: Starter, home: Path) -> None:
    """Row 23b: moved in as one folder: 40 C by path, no problem; edits are each one's own."""
    root = make_small_kb(home / "notes" / "small", entries=0)
    make_indexes(home / "site")
    with on_stage(start, root) as scene:
        tells(
            scene,
            lambda: os.rename(home / "site", root / "site"),
            *(f"C small:site-{key} site/{path}" for key, path in INDEXES.items()),
            synced("small", added=40),
        )
        file = root / "site" / "chapter-07" / "index.md"
        tells(
            scene,
            lambda: save(file, b"# Another\n\nText.\n"),
            "U small:site-chapter-07-index site/chapter-07/index.md",
            UPDATED,
        )
        tells(
            scene,
            file.unlink,
            "D small:site-chapter-07-index site/chapter-07/index.md",
            synced("small", removed=1),
        )
        scene.check()


def two_of_one_title(root: Path) -> None:
    """Make two files whose title gives one id."""
    save(root / "b" / "note.md", titled("The same", "One."))
    save(root / "c" / "note.md", titled("The same", "Two."))


def two_of_one_name(root: Path) -> None:
    """Make two files whose name gives one id."""
    save(root / "b" / "the-same.md", b"One.\n")
    save(root / "c" / "the-same.md", b"Two.\n")


@pytest.mark.parametrize(("make", "second"), [(two_of_one_title, "c-note"), (two_of_one_name, "c-the-same")])
def test_a_derived_id_is_kept_once_it_is_decided(
    start: Starter, home: Path, make: Callable[[Path], None], second: str
) -> None:
    """Row 23b: of those that share a derived id all but the smallest path have their paths' ids, for good."""
    root = make_small_kb(home / "notes" / "small", entries=0)
    make(root)
    with on_stage(start, root) as scene:
        before = ids_of(scene, "small")
        assert sorted(before.values()) == sorted(["the-same", second])
        (first_path,) = [path for path, key in before.items() if key == "the-same"]
        (second_path,) = [path for path, key in before.items() if key == second]
        # Going and coming of the first does not move the second's id.
        content = (root / first_path).read_bytes()
        tells(scene, (root / first_path).unlink, f"D small:the-same {first_path}", synced("small", removed=1))
        check_index(scene, "small", {second: second_path})
        tells(
            scene,
            lambda: save(root / first_path, content),
            f"C small:the-same {first_path}",
            synced("small", added=1),
        )
        scene.check()
    with on_stage(start, root) as scene:
        told_at_start(scene)
        assert ids_of(scene, "small") == before
