"""Row 48: `.pyriteignore` is made, changed, broken and taken away: the difference is told, no more."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from harness.editors import save_in_vim
from harness.expect import synced
from harness.fixtures import Starter, make_small_kb
from harness.namespaces import watch_without_override
from harness.scene import Scene

from .exactly import INCOMPLETE_S, exactly_in_time, seconds
from .stage import check_index, exchange, note, on_stage, save, tells, told_at_start

ENTRIES = {
    "draft-1": "drafts/one.md",
    "draft-2": "drafts/two.md",
    "kept": "kept.md",
    "secret-1": "private/a.md",
    "secret-2": "private/deep/b.md",
}

PRIVATE = ("secret-1", "secret-2")
DRAFTS = ("draft-1", "draft-2")
ALL = tuple(ENTRIES)

GONE_S = 0.12
"""How long the rules file may be away before what it hid is shown."""

RULES = ".pyriteignore"


@pytest.fixture
def root(home: Path) -> Path:
    """A KB of five entries in three folders."""
    folder = make_small_kb(home / "notes" / "small", entries=0)
    for entry_id, path in ENTRIES.items():
        save(folder / path, note(entry_id, f"Text of {entry_id}."))
    return folder


@pytest.fixture
def open_scene(start: Starter, root: Path) -> Iterator[Scene]:
    """All five are shown."""
    with on_stage(start, root) as scene:
        yield scene


@pytest.fixture
def hiding_scene(start: Starter, root: Path) -> Iterator[Scene]:
    """`private/` is hidden from the start."""
    save(root / RULES, b"private/\n")
    with on_stage(start, root) as scene:
        check_shown(scene, "draft-1", "draft-2", "kept")
        yield scene


def gone(*ids: str) -> list[str]:
    """The lines of what a new rule hides."""
    return [f"D small:{key} {ENTRIES[key]}" for key in ids]


def came(*ids: str) -> list[str]:
    """The lines of what a new rule shows."""
    return [f"C small:{key} {ENTRIES[key]}" for key in ids]


def check_shown(scene: Scene, *ids: str) -> None:
    """Assert that the index holds these, and no others."""
    check_index(scene, "small", {key: ENTRIES[key] for key in ids})


def test_rules_come_change_and_go(open_scene: Scene, root: Path) -> None:
    """Row 48: D of what is hidden now, C of what is shown now, in one batch each time."""
    steps: list[tuple[Callable[[], object], list[str], str]] = [
        (lambda: save(root / RULES, b"private/\n"), gone(*PRIVATE), synced("small", removed=2)),
        (
            lambda: save(root / RULES, b"drafts/\n"),
            [*gone(*DRAFTS), *came(*PRIVATE)],
            synced("small", added=2, removed=2),
        ),
        (
            lambda: save(root / RULES, b"drafts/*\n!drafts/two.md\n"),
            came("draft-2"),
            synced("small", added=1),
        ),
        (
            lambda: save(root / RULES, b"*.md\n!zzz-marker-*\n"),
            gone("draft-2", "kept", *PRIVATE),
            synced("small", removed=4),
        ),
        ((root / RULES).unlink, came(*ALL), synced("small", added=5)),
    ]
    for act, told, sync in steps:
        tells(open_scene, act, *told, sync)
    open_scene.check()


@pytest.mark.parametrize(
    ("rules", "hidden"),
    [
        (b"private/\n", PRIVATE),
        (b"/private\n", PRIVATE),
        (b"private/**\n", PRIVATE),
        (b"deep/\n", ("secret-2",)),
        (b"/deep/\n", ()),
        (b"**/b.md\n", ("secret-2",)),
        (b"# private/\n\n", ()),
        (b"*\n!*/\n!kept.md\n!zzz-marker-*\n", (*DRAFTS, *PRIVATE)),
        (b"private/\n!private/a.md\n", PRIVATE),
        (b"drafts/*.md\r\nprivate/a.md\r\n", (*DRAFTS, "secret-1")),
        (b"\xef\xbb\xbfdrafts/\n", DRAFTS),
    ],
)
def test_rules_as_git_reads_them(
    open_scene: Scene, root: Path, rules: bytes, hidden: tuple[str, ...]
) -> None:
    """Row 48: what a rule hides is told as deleted, and as created again when the rule goes."""
    sync = [synced("small", removed=len(hidden))] if hidden else []
    tells(open_scene, lambda: save(root / RULES, rules), *gone(*hidden), *sync)
    check_shown(open_scene, *(key for key in ALL if key not in hidden))
    sync = [synced("small", added=len(hidden))] if hidden else []
    tells(open_scene, (root / RULES).unlink, *came(*hidden), *sync)
    open_scene.check()


def test_what_is_hidden_is_not_told(hiding_scene: Scene, root: Path) -> None:
    """Row 48: edits, new files and deletions below a rule tell nothing; a rename across it is C or D."""

    def act() -> None:
        save(root / "private" / "a.md", note("secret-1", "Another text."))
        save(root / "private" / "new.md", note("new"))
        (root / "private" / "deep" / "b.md").unlink()

    tells(hiding_scene, act)
    tells(
        hiding_scene,
        lambda: os.rename(root / "private" / "new.md", root / "new.md"),
        "C small:new new.md",
        synced("small", added=1),
    )
    tells(
        hiding_scene,
        lambda: os.rename(root / "new.md", root / "private" / "new.md"),
        "D small:new new.md",
        synced("small", removed=1),
    )
    tells(
        hiding_scene,
        (root / RULES).unlink,
        "C small:secret-1 private/a.md",
        "C small:new private/new.md",
        synced("small", added=2),
    )
    hiding_scene.check()


def test_rules_that_say_the_same(hiding_scene: Scene, root: Path) -> None:
    """Row 48: touched, saved again, written in other words: nothing differs, so nothing is told."""
    tells(hiding_scene, lambda: os.utime(root / RULES))
    tells(hiding_scene, lambda: save(root / RULES, b"private/\n"))
    tells(hiding_scene, lambda: save(root / RULES, b"# Nobody's business.\n/private/\n"))
    check_shown(hiding_scene, "draft-1", "draft-2", "kept")


def test_an_id_that_a_rule_frees(open_scene: Scene, root: Path) -> None:
    """Row 48: hidden, the owner has gone: the other file takes its id over; shown again, it waits itself."""
    problem = "small:{} duplicate_id"
    tells(
        open_scene,
        lambda: save(root / "z.md", note("secret-1", "The other.")),
        synced("small"),
        problems=[problem.format("z.md")],
    )
    tells(
        open_scene,
        lambda: save(root / RULES, b"private/a.md\n"),
        "U small:secret-1 z.md < private/a.md",
        synced("small", updated=1),
    )
    tells(open_scene, (root / RULES).unlink, synced("small"), problems=[problem.format("private/a.md")])


def test_rules_changed_while_nothing_ran(start: Starter, root: Path) -> None:
    """Row 48: the difference is told at the start."""
    with on_stage(start, root) as scene:
        check_shown(scene, *ALL)
    save(root / RULES, b"private/\n")
    with on_stage(start, root) as scene:
        told_at_start(scene, *gone(*PRIVATE), synced("small", removed=2))
        check_shown(scene, *DRAFTS, "kept")
    (root / RULES).unlink()
    with on_stage(start, root) as scene:
        told_at_start(scene, *came(*PRIVATE), synced("small", added=2))
        check_shown(scene, *ALL)


def test_a_line_that_is_no_rule(hiding_scene: Scene, root: Path) -> None:
    """Row 48: a line that is not UTF-8 is a problem of the file; the other lines hold."""
    tells(
        hiding_scene,
        lambda: save(root / RULES, b"private/\ncaf\xe9/\n"),
        synced("small"),
        problems=[f"small:{RULES} ignore_file"],
        origin=None,
    )
    check_shown(hiding_scene, "draft-1", "draft-2", "kept")
    tells(hiding_scene, lambda: save(root / RULES, b"private/\n"), synced("small"), origin=None)


def make_folder(file: Path) -> None:
    """Put a folder in the file's place, in one step: without rules for a moment all would be shown."""
    folder = file.with_name("rules")
    folder.mkdir()
    exchange(file, folder)


def make_link(file: Path) -> None:
    """Put a link to a file of the same content in the file's place, in one step."""
    shutil.copy(file, file.with_name("rules"))
    link = file.with_name("link")
    link.symlink_to("rules")
    os.replace(link, file)


def make_large(file: Path) -> None:
    """Let it grow over every limit."""
    os.truncate(file, 2 << 20)


BROKEN: dict[str, Callable[[Path], None]] = {
    "a folder": make_folder,
    "a link": make_link,
    "too large": make_large,
    "NUL": lambda file: save(file, b"private/\0\n"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_rules_that_cannot_be_read(hiding_scene: Scene, root: Path, how: str) -> None:
    """Row 48: as with any file, the last good version stays, with a problem: nothing hidden is shown."""
    tells(
        hiding_scene,
        lambda: BROKEN[how](root / RULES),
        synced("small"),
        problems=[f"small:{RULES} ignore_file"],
        origin=None,
    )
    check_shown(hiding_scene, "draft-1", "draft-2", "kept")


def test_rules_that_may_not_be_read(root: Path, home: Path) -> None:
    """Row 48: their mode is taken away and given back: a problem that comes and clears, no entry event."""
    save(root / RULES, b"private/\n")
    with watch_without_override(root, home=home) as watch:
        scene = Scene.open(watch, {"small": root})
        try:
            tells(
                scene,
                lambda: (root / RULES).chmod(0),
                synced("small"),
                problems=[f"small:{RULES} ignore_file"],
                origin=None,
            )
            check_shown(scene, "draft-1", "draft-2", "kept")
            tells(scene, lambda: (root / RULES).chmod(0o644), synced("small"), origin=None)
        finally:
            scene.close()


def test_rules_saved_in_place(hiding_scene: Scene, root: Path) -> None:
    """Row 48: truncated, then written, in one opening: the same rules tell nothing, as in row 7."""

    def save() -> None:
        with (root / RULES).open("wb", buffering=0) as opened:
            time.sleep(0.3)  # that time is the case under test
            opened.write(b"private/\n")

    for _ in range(3):
        exactly_in_time(hiding_scene, lambda _: seconds(save), INCOMPLETE_S, again=lambda: None)
    check_shown(hiding_scene, "draft-1", "draft-2", "kept")


def save_by_backup(file: Path) -> float:
    """Put the old file away, take 60 ms, make a new one; give the seconds that it was away."""
    backup = file.with_name(f"{file.name}~")
    data = file.read_bytes()
    file.rename(backup)
    began_s = time.monotonic()
    time.sleep(0.06)  # that time is the case under test
    file.write_bytes(data)
    away_s = time.monotonic() - began_s
    backup.unlink()
    return away_s


def test_rules_saved_by_backup(hiding_scene: Scene, root: Path, tmp_path: Path) -> None:
    """Row 48: away for a moment, as editors save: what the rules hide is not shown meanwhile, as in row 9."""
    for _ in range(3):
        exactly_in_time(hiding_scene, lambda _: save_by_backup(root / RULES), GONE_S, again=lambda: None)
    for number in range(3):
        comment = f"normal Go# {number}"
        edit = partial(save_in_vim, root / RULES, comment, "write", backupcopy="no", temporary=tmp_path)
        tells(hiding_scene, edit)
    assert b"# 2" in (root / RULES).read_bytes()
    check_shown(hiding_scene, "draft-1", "draft-2", "kept")
