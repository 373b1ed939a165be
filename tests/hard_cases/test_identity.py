"""Rows 20, 21, 22 and 24: an entry stays itself when its file gets another name, and where it cannot, its
going and its coming are told as a pair."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from harness.expect import synced
from harness.fixtures import Starter, make_small_kb
from harness.scene import Scene

from .stage import check_index, exchange, note, on_stage, plain, save, tells, titled

KINDS: dict[str, Callable[[str, str], bytes]] = {"explicit id": note, "id of the title": titled}

every_kind = pytest.mark.parametrize("kind", KINDS)


# -- row 20 ----------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("g.md", "h.md"),
        ("g.md", "a.md"),
        ("g.md", "G.md"),
        ("G.md", "g.md"),
        ("g.md", "sub/g.md"),
        ("sub/g.md", "g.md"),
        ("Sub/g.md", "sub/g.md"),
    ],
)
def test_one_file_gets_another_name(start: Starter, home: Path, kind: str, old: str, new: str) -> None:
    """Row 20: one U with `previous_path`, also where only the case differs."""
    root = make_small_kb(home / "notes" / "small")
    save(root / old, KINDS[kind]("thing", "Text."))
    (root / new).parent.mkdir(exist_ok=True)
    with on_stage(start, root) as scene:
        tells(
            scene,
            lambda: os.rename(root / old, root / new),
            f"U small:thing {new} < {old}",
            synced("small", updated=1),
        )
        scene.check()


@pytest.mark.parametrize(("old", "new"), [("g.md", "h.md"), ("g.md", "G.md"), ("g.md", "sub/h.md")])
def test_a_name_that_is_the_id_gives_another_id(start: Starter, home: Path, old: str, new: str) -> None:
    """Row 20, its limit: an id that is the file's name goes with the name, and the two are told as a pair."""
    root = make_small_kb(home / "notes" / "small")
    save(root / old, plain())
    (root / new).parent.mkdir(exist_ok=True)
    before, after = Path(old).stem, Path(new).stem
    pair = {
        old: f"D small:{before} {old} > small:{after}",
        new: f"C small:{after} {new} < small:{before}",
    }
    with on_stage(start, root) as scene:
        tells(
            scene,
            lambda: os.rename(root / old, root / new),
            *(pair[path] for path in sorted(pair)),
            synced("small", added=1, removed=1),
        )
        scene.check()


@every_kind
def test_a_name_that_another_file_had(start: Starter, home: Path, kind: str) -> None:
    """Row 20: renamed onto another entry's file: one U, and a D of what it replaced."""
    root = make_small_kb(home / "notes" / "small")
    save(root / "a.md", KINDS[kind]("one", "Text."))
    save(root / "b.md", KINDS[kind]("two", "Text."))
    with on_stage(start, root) as scene:
        tells(
            scene,
            lambda: os.replace(root / "a.md", root / "b.md"),
            "D small:two b.md",
            "U small:one b.md < a.md",
            synced("small", updated=1, removed=1),
        )
        scene.check()


@every_kind
def test_there_and_back_again(small_scene: Scene, small_kb: Path, kind: str) -> None:
    """Row 20: each of many renames is one U, back to the first name too."""
    save(small_kb / "n-0.md", KINDS[kind]("thing", "Text."))
    small_scene.check()
    names = ["n-0.md", "n-1.md", "N-1.md", "n-0.md", "sub/n-0.md", "n-0.md"]
    (small_kb / "sub").mkdir()
    for old, new in itertools.pairwise(names):
        tells(
            small_scene,
            partial(os.rename, small_kb / old, small_kb / new),
            f"U small:thing {new} < {old}",
            synced("small", updated=1),
        )
    small_scene.check()


def swap_through(third: str) -> Callable[[Path, Path], None]:
    """Make a swap by three renames, with another name in between."""

    def swap(one: Path, other: Path) -> None:
        between = one.parent / third
        os.rename(one, between)
        os.rename(other, one)
        os.rename(between, other)

    return swap


SWAPS = {
    "hidden": swap_through(".between"),
    "without suffix": swap_through("between"),
    "another entry's name": swap_through("between.md"),
    "exchanged": exchange,
}

every_swap = pytest.mark.parametrize("swap", SWAPS)


@every_swap
@every_kind
def test_two_files_swap_their_names(start: Starter, home: Path, kind: str, swap: str) -> None:
    """Row 20: a U each with `previous_path`, in one batch; and so when they swap back."""
    root = make_small_kb(home / "notes" / "small")
    save(root / "a.md", KINDS[kind]("one", "Text of one."))
    save(root / "b.md", KINDS[kind]("two", "Text of two."))
    with on_stage(start, root) as scene:
        for first, second in (("one", "two"), ("two", "one")):
            tells(
                scene,
                lambda: SWAPS[swap](root / "a.md", root / "b.md"),
                f"U small:{second} a.md < b.md",
                f"U small:{first} b.md < a.md",
                synced("small", updated=2),
            )
        scene.check()


@every_swap
def test_two_files_swap_what_their_names_hold(start: Starter, home: Path, swap: str) -> None:
    """Row 20: where the name is the id, each id has another content now: a U each, no path changed."""
    root = make_small_kb(home / "notes" / "small")
    save(root / "a.md", plain("Text of one."))
    save(root / "b.md", plain("Text of two."))
    with on_stage(start, root) as scene:
        tells(
            scene,
            lambda: SWAPS[swap](root / "a.md", root / "b.md"),
            "U small:a a.md",
            "U small:b b.md",
            synced("small", updated=2),
        )
        scene.check()


# -- row 21 ----------------------------------------------------------------------------------


@pytest.fixture
def two_kbs(home: Path) -> tuple[Path, Path]:
    """Two KBs of their own entries."""
    one, two = home / "notes" / "one", home / "notes" / "two"
    for root in (one, two):
        make_small_kb(root, entries=0)
        save(root / f"of-{root.name}.md", note(f"of-{root.name}"))
    return one, two


@every_kind
@pytest.mark.parametrize(("old", "new"), [("x.md", "x.md"), ("x.md", "deep/er/y.md"), ("deep/x.md", "y.md")])
def test_a_file_goes_to_the_next_kb_and_back(
    start: Starter, two_kbs: tuple[Path, Path], kind: str, old: str, new: str
) -> None:
    """Row 21: D and C in one batch, paired; per KB its entries, then its S, in the order of the KBs."""
    one, two = two_kbs
    save(one / old, KINDS[kind]("thing", "Text."))
    (two / new).parent.mkdir(parents=True, exist_ok=True)
    with on_stage(start, one, two) as scene:
        tells(
            scene,
            lambda: os.rename(one / old, two / new),
            f"D one:thing {old} > two:thing",
            synced("one", removed=1),
            f"C two:thing {new} < one:thing",
            synced("two", added=1),
        )
        tells(
            scene,
            lambda: os.rename(two / new, one / old),
            f"C one:thing {old} < two:thing",
            synced("one", added=1),
            f"D two:thing {new} > one:thing",
            synced("two", removed=1),
        )
        scene.check()


def test_a_file_goes_to_the_next_kb_with_another_id(start: Starter, two_kbs: tuple[Path, Path]) -> None:
    """Row 21: where the name is the id, it is the equal content that pairs them."""
    one, two = two_kbs
    save(one / "x.md", plain("Text that only this one has."))
    with on_stage(start, one, two) as scene:
        tells(
            scene,
            lambda: os.rename(one / "x.md", two / "y.md"),
            "D one:x x.md > two:y",
            synced("one", removed=1),
            "C two:y y.md < one:x",
            synced("two", added=1),
        )
        scene.check()


def test_files_of_equal_content_go_to_the_next_kb(start: Starter, two_kbs: tuple[Path, Path]) -> None:
    """Row 21: one to one, ties by path, also within other folders."""
    one, two = two_kbs
    for name in ("a", "b", "c"):
        save(one / "box" / f"{name}.md", plain("All the same."))
    with on_stage(start, one, two) as scene:
        tells(
            scene,
            lambda: os.rename(one / "box", two / "other"),
            *(f"D one:{name} box/{name}.md > two:{name}" for name in "abc"),
            synced("one", removed=3),
            *(f"C two:{name} other/{name}.md < one:{name}" for name in "abc"),
            synced("two", added=3),
        )
        scene.check()


def test_a_copy_in_the_next_kb_is_no_move(start: Starter, two_kbs: tuple[Path, Path]) -> None:
    """Row 21: a C alone; and the original, deleted later, is a D alone."""
    one, two = two_kbs
    save(one / "x.md", note("thing"))
    with on_stage(start, one, two) as scene:
        tells(
            scene,
            lambda: shutil.copyfile(one / "x.md", two / "x.md"),
            "C two:thing x.md",
            synced("two", added=1),
        )
        tells(scene, (one / "x.md").unlink, "D one:thing x.md", synced("one", removed=1))
        scene.check()


def test_a_file_goes_where_its_id_is_taken(start: Starter, two_kbs: tuple[Path, Path]) -> None:
    """Row 21, its limit: nothing comes in the other KB, so nothing is paired: a D, and a problem there."""
    one, two = two_kbs
    save(one / "x.md", note("thing"))
    save(two / "owner.md", note("thing", "Another text."))
    with on_stage(start, one, two) as scene:
        tells(
            scene,
            lambda: os.rename(one / "x.md", two / "x.md"),
            "D one:thing x.md",
            synced("one", removed=1),
            synced("two"),
            problems=["two:x.md duplicate_id"],
        )
        scene.check()
        tells(
            scene,
            lambda: os.rename(two / "x.md", one / "x.md"),
            "C one:thing x.md",
            synced("one", added=1),
            synced("two"),
        )
        scene.check()


# -- row 22 ----------------------------------------------------------------------------------


def in_place(file: Path, content: bytes) -> None:
    """Truncate the file, then write."""
    file.write_bytes(content)


CHANGED_IDS = {
    "another id": (note("old"), note("new"), "old", "new"),
    "another id and text": (note("old"), note("new", "Another text."), "old", "new"),
    "an id where there was none": (titled("Old"), b"---\nid: new\n" + titled("Old")[4:], "old", "new"),
    "no id where there was one": (b"---\nid: old\n" + titled("New")[4:], titled("New"), "old", "new"),
    "another title": (titled("Old"), titled("New"), "old", "new"),
    "a title where there was none": (plain(), titled("New"), "x", "new"),
    "no title where there was one": (titled("Old"), plain(), "old", "x"),
    "another case": (note("Thing"), note("thing"), "Thing", "thing"),
    "a number": (note("old"), note("7"), "old", "7"),
}


@pytest.mark.parametrize("write", [in_place, save])
@pytest.mark.parametrize("change", CHANGED_IDS)
def test_the_id_changes_inside_the_file(
    start: Starter, home: Path, change: str, write: Callable[[Path, bytes], None]
) -> None:
    """Row 22: D and C in one batch, paired by their path; and back again."""
    old, new, old_id, new_id = CHANGED_IDS[change]
    root = make_small_kb(home / "notes" / "small")
    save(root / "x.md", old)
    with on_stage(start, root) as scene:
        for content, gone, came in ((new, old_id, new_id), (old, new_id, old_id)):
            tells(
                scene,
                partial(write, root / "x.md", content),
                f"D small:{gone} x.md > small:{came}",
                f"C small:{came} x.md < small:{gone}",
                synced("small", added=1, removed=1),
            )
        scene.check()


def test_the_id_changes_to_one_that_is_taken(small_scene: Scene, small_kb: Path) -> None:
    """Row 22, its limit: nothing came, so nothing is paired: a D and a problem; mended, it comes back."""
    tells(
        small_scene,
        lambda: save(small_kb / "entry-1.md", note("entry-2", "I was entry-1.")),
        "D small:entry-1 entry-1.md",
        synced("small", removed=1),
        problems=["small:entry-1.md duplicate_id"],
    )
    check_index(small_scene, "small", {f"entry-{number}": f"entry-{number}.md" for number in range(2, 6)})
    tells(
        small_scene,
        lambda: save(small_kb / "entry-1.md", note("entry-1", "I am again.")),
        "C small:entry-1 entry-1.md",
        synced("small", added=1),
    )
    small_scene.check()


# -- row 24 ----------------------------------------------------------------------------------


@every_kind
def test_one_id_in_two_kbs(start: Starter, two_kbs: tuple[Path, Path], kind: str) -> None:
    """Row 24: each KB's entry lives, is edited, renamed, deleted and made again without the other."""
    one, two = two_kbs
    save(one / "x.md", KINDS[kind]("thing", "Text."))
    save(two / "x.md", KINDS[kind]("thing", "Text."))
    edited = KINDS[kind]("thing", "Another text.")
    with on_stage(start, one, two) as scene:
        for kb, root in (("one", one), ("two", two)):
            other = {"one": "two", "two": "one"}[kb]
            untouched = scene.api.state(other).of(other)["thing"]
            tells(
                scene,
                partial(save, root / "x.md", edited),
                f"U {kb}:thing x.md",
                synced(kb, updated=1),
            )
            tells(
                scene,
                partial(os.rename, root / "x.md", root / "y.md"),
                f"U {kb}:thing y.md < x.md",
                synced(kb, updated=1),
            )
            tells(scene, (root / "y.md").unlink, f"D {kb}:thing y.md", synced(kb, removed=1))
            tells(
                scene,
                partial(save, root / "x.md", edited),
                f"C {kb}:thing x.md",
                synced(kb, added=1),
            )
            assert scene.api.state(other).of(other)["thing"] == untouched
        scene.check()
