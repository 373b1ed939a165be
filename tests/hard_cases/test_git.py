"""Rows 12 to 15: git rewrites many files at once, stops in the middle, or leaves its lock behind."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from harness.expect import check_lines, counts, lines, synced, told_of, watching
from harness.fixtures import Starter, make_small_kb
from harness.reader import read_kb
from harness.repository import LAYOUTS, Repository, entry_path
from harness.scene import Scene
from harness.tools import git, needs_git, run_tool

from .stage import note, on_stage, save, tells

pytestmark = [needs_git, pytest.mark.timeout(180)]

FILES = 400

LOCK_MAX_S = 5.0
"""How long a lock may hold (design §3)."""

AT_ONCE_S = 2.5
"""Half of what a lock may hold: who waits for less was not held by one, also on a busy machine."""


def updates(numbers: list[int] | range) -> list[str]:
    """The lines of one batch that updates these entries."""
    told = [f"U kb:entry-{number:03d} {entry_path(number)}" for number in numbers]
    return [*sorted(told, key=lambda text: text.split()[2]), synced("kb", updated=len(told))]


# -- row 12 ----------------------------------------------------------------------------------


def ready_to_check_out(repository: Repository) -> list[str]:
    repository.branch("edit", range(FILES), "On the branch.")
    return ["checkout", "--quiet", "edit"]


def ready_to_stash(repository: Repository) -> list[str]:
    repository.write(range(FILES), "Not committed.")
    return ["stash", "--quiet"]


def ready_to_pop(repository: Repository) -> list[str]:
    repository.write(range(FILES), "Not committed.")
    repository.git("stash", "--quiet")
    return ["stash", "pop", "--quiet"]


def ready_to_pull(repository: Repository) -> list[str]:
    repository.branch("edit", range(FILES), "Of another.")
    repository.remote("edit")
    return ["pull", "--quiet", "origin", "base"]


def ready_to_reset(repository: Repository) -> list[str]:
    repository.write(range(FILES), "Not committed.")
    return ["reset", "--quiet", "--hard"]


OPERATIONS = {
    "checkout": ready_to_check_out,
    "stash": ready_to_stash,
    "stash pop": ready_to_pop,
    "pull": ready_to_pull,
    "reset": ready_to_reset,
}

# Every operation in the plain layout; those that lock once and often in each of the others.
PLACES = [(operation, "root") for operation in OPERATIONS]
PLACES += [(operation, layout) for layout in LAYOUTS[1:] for operation in ("checkout", "stash pop")]


@pytest.mark.parametrize(("operation", "layout"), PLACES)
def test_git_rewrites_400_files(start: Starter, home: Path, operation: str, layout: str) -> None:
    """Row 12: one U each, no D, one S, wherever the repository keeps its `.git`."""
    repository = Repository(home / "notes", layout, FILES)
    command = OPERATIONS[operation](repository)
    with watching(start, repository.kb) as scene:
        events = scene.observe(partial(repository.git, *command), changes=FILES)
        check_lines(events, updates(range(FILES)))
        assert {event["origin"] for event in events} == {"disk"}
        scene.check()


def test_git_adds_and_removes_files(start: Starter, home: Path) -> None:
    """Row 12: a checkout that takes 200 files away, brings 200 others and keeps 100 as they are."""
    repository = Repository(home / "notes", entries=300)
    repository.git("checkout", "--quiet", "-b", "edit")
    for number in range(200):
        repository.file(number).unlink()
    repository.write(range(300, 500), "On the branch.")
    repository.commit("edit")
    repository.git("checkout", "--quiet", "base")
    with watching(start, repository.kb) as scene:
        events = scene.observe(partial(repository.git, "checkout", "--quiet", "edit"), changes=400)
        gone = [f"D kb:entry-{number:03d} {entry_path(number)}" for number in range(200)]
        came = [f"C kb:entry-{number:03d} {entry_path(number)}" for number in range(300, 500)]
        told = sorted([*gone, *came], key=lambda text: text.split()[2])
        check_lines(events, [*told, synced("kb", added=200, removed=200)])
        scene.check()


# -- row 13 ----------------------------------------------------------------------------------


def edited_on_the_branch(repository: Repository) -> None:
    repository.write(range(FILES), "On the branch.")


def missing_on_the_branch(repository: Repository) -> None:
    for number in range(0, FILES, 2):
        repository.file(number).unlink()


def only_on_the_branch(repository: Repository) -> None:
    repository.write(range(FILES, FILES + 100), "Only here.")


def moved_on_the_branch(repository: Repository) -> None:
    (repository.kb / "area-0").rename(repository.kb / "area-moved")


@pytest.mark.parametrize(
    "change", [edited_on_the_branch, missing_on_the_branch, only_on_the_branch, moved_on_the_branch]
)
def test_checkout_away_and_back(start: Starter, home: Path, change: Callable[[Repository], None]) -> None:
    """Row 13: what is as it was before anybody was told has not changed."""
    repository = Repository(home / "notes", entries=FILES)
    repository.git("checkout", "--quiet", "-b", "edit")
    change(repository)
    repository.commit("edit")
    repository.git("checkout", "--quiet", "base")
    with watching(start, repository.kb) as scene:

        def away_and_back() -> None:
            # One command: the next git has to begin within the 0.1 s in which git is thought to go on.
            checkout = "git checkout --quiet edit && git checkout --quiet base"
            run_tool("sh", "-c", checkout, cwd=repository.work)

        # Where the machine is too busy for that even so, both ways are told, truly; not three times in a row.
        assert [] in (lines(scene.observe(away_and_back)) for _ in range(3))
        # And a change that stays is told: the silence was not deafness.
        events = scene.observe(lambda: repository.write([7], "Edited."), changes=1)
        check_lines(events, updates([7]))
        scene.check()


def test_checkout_that_moves_a_file_to_the_next_kb(start: Starter, home: Path) -> None:
    """Rows 12 and 21: two KBs in one repository; one batch, paired, there and back."""
    work = home / "notes"
    one, two = work / "one", work / "two"
    for root in (one, two):
        make_small_kb(root, entries=0)
        save(root / f"of-{root.name}.md", note(f"of-{root.name}"))
    save(one / "x.md", note("x"))
    git(work, "init", "--quiet", "--initial-branch=base")
    git(work, "add", ".")
    git(work, "commit", "--quiet", "--message=base")
    git(work, "checkout", "--quiet", "-b", "moved")
    git(work, "mv", "one/x.md", "two/x.md")
    git(work, "commit", "--quiet", "--message=moved")
    git(work, "checkout", "--quiet", "base")
    with on_stage(start, one, two) as scene:
        tells(
            scene,
            lambda: git(work, "checkout", "--quiet", "moved"),
            "D one:x x.md > two:x",
            synced("one", removed=1),
            "C two:x x.md < one:x",
            synced("two", added=1),
        )
        tells(
            scene,
            lambda: git(work, "checkout", "--quiet", "base"),
            "C one:x x.md < two:x",
            synced("one", added=1),
            "D two:x x.md > one:x",
            synced("two", removed=1),
        )
        scene.check()


def test_a_checkout_after_a_long_command_is_held(start: Starter, home: Path) -> None:
    """Row 13: a command that had its five seconds takes nothing from the next one."""
    repository = Repository(home / "notes", entries=40)
    repository.branch("edit", range(40), "On the branch.")
    lock = repository.work / ".git" / "index.lock"
    with watching(start, repository.kb) as scene:

        def for_long() -> None:
            until_s = time.monotonic() + LOCK_MAX_S + 1
            for number in itertools.count():
                lock.touch()
                repository.write([number % 40], f"Written {number}.")
                time.sleep(0.05)  # real time is the case
                lock.unlink()
                if time.monotonic() > until_s:
                    return

        scene.observe(for_long, changes=40)
        scene.observe(partial(repository.git, "checkout", "--quiet", "."), changes=40)
        time.sleep(1.0)  # git rests, and nobody changes anything

        def away_and_back() -> None:
            checkout = "git checkout --quiet edit && git checkout --quiet base"
            run_tool("sh", "-c", checkout, cwd=repository.work)

        assert [] in (lines(scene.observe(away_and_back)) for _ in range(3))
        scene.check()


# -- row 14 ----------------------------------------------------------------------------------


def test_rebase_of_20_commits(start: Starter, home: Path) -> None:
    """Row 14: only what differs in the end is told, in one S for each hold of at most 5 s."""
    repository = Repository(home / "notes", entries=100)
    repository.branch("upstream", range(20, 60), "From upstream.")
    for number in range(20):
        repository.write([number], "On the branch.")
        repository.commit(f"commit {number}")
    with watching(start, repository.kb) as scene:
        began_s = time.monotonic()
        events = scene.observe(partial(repository.git, "rebase", "--quiet", "upstream"), changes=40)
        took_s = time.monotonic() - began_s
        assert sorted(set(lines(events)) & set(updates(range(20, 60))[:-1])) == sorted(
            updates(range(20, 60))[:-1]
        )
        if took_s < LOCK_MAX_S:
            check_lines(events, updates(range(20, 60)))
        assert counts(events)["S"] <= 1 + took_s / LOCK_MAX_S
        scene.check()


def test_rebase_that_takes_its_time(start: Starter, home: Path) -> None:
    """Row 14: it tests each commit, longer than git is ever quiet: the net difference all the same."""
    repository = Repository(home / "notes", entries=60)
    repository.branch("upstream", range(20, 40), "From upstream.")
    for number in range(2):
        repository.write([number], "On the branch.")
        repository.commit(f"commit {number}")
    with watching(start, repository.kb) as scene:
        began_s = time.monotonic()
        rebase = partial(repository.git, "rebase", "--quiet", "--exec", "sleep 0.8", "upstream")
        events = scene.observe(rebase, changes=20)
        if time.monotonic() - began_s < LOCK_MAX_S:
            check_lines(events, updates(range(20, 40)))
        scene.check()


class Conflict:
    """A rebase of five commits that stops at the third: in the body of entry 5, in the front matter of 6.

    Upstream has 20 to 39, the commits before the conflict 0 and 1, those after it 8 and 9.
    """

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        repository.git("checkout", "--quiet", "-b", "upstream")
        repository.write(range(20, 40), "From upstream.")
        repository.write([5], "Theirs.")
        self.retitle(6, "Theirs")
        repository.commit("upstream")
        repository.git("checkout", "--quiet", "base")
        for number in (0, 1):
            repository.write([number], "On the branch.")
            repository.commit(f"commit {number}")
        repository.write([5], "Ours.")
        self.retitle(6, "Ours")
        repository.commit("the conflict")
        for number in (8, 9):
            repository.write([number], "On the branch.")
            repository.commit(f"commit {number}")

    def retitle(self, number: int, title: str) -> None:
        """Change the title alone."""
        file = self.repository.file(number)
        head, _, rest = file.read_text(encoding="utf-8").partition("title: ")
        file.write_text(f"{head}title: {title}\n{rest.partition(chr(10))[2]}", encoding="utf-8")

    def stop(self, scene: Scene) -> None:
        """Begin it, and see what is told when it stops."""
        events = scene.observe(
            lambda: self.repository.git_fails("rebase", "--quiet", "upstream"),
            until=lambda told: any(event.get("problems") == 2 for event in told),
        )
        # 8 and 9 are not applied yet. 6 can't be read: its last good version stays, and after the time that
        # an unfinished file has (400 ms), where that is later, its problem has an S of its own.
        expected = updates([5, 8, 9, *range(20, 40)])
        check_lines(events[: len(expected)], expected)
        assert lines(events[len(expected) :]) in ([], [synced("kb")])
        assert events[-1]["problems"] == 2
        problems = {problem["path"]: problem["kind"] for problem in scene.api.problems()}
        assert set(problems) == {entry_path(5), entry_path(6)}
        assert scene.api.entry("kb", "entry-006")["title"] == "Ours"
        assert "<<<<<<<" in scene.api.entry("kb", "entry-005")["body"]
        assert "<<<<<<<" in self.repository.file(6).read_text(encoding="utf-8")
        self.wait_an_hour()

    def wait_an_hour(self) -> None:
        """Let what stands open look as if it had stood so for an hour."""
        then_s = time.time() - 3600
        for folder, _, names in os.walk(self.repository.git_dir / "rebase-merge"):
            for name in names:
                os.utime(os.path.join(folder, name), (then_s, then_s))
            os.utime(folder, (then_s, then_s))

    def edit(self, scene: Scene) -> None:
        """Edit a file that has nothing to do with it: told at once."""
        began_s = time.monotonic()
        events = scene.observe(lambda: self.repository.write([50], "Meanwhile."), changes=1)
        assert time.monotonic() - began_s < AT_ONCE_S
        check_lines(events, updates([50]))
        assert events[0]["origin"] == "disk"


def test_rebase_that_stops_is_continued(start: Starter, home: Path) -> None:
    """Row 14: it holds nothing while it stands open; what is resolved clears, and the rest is told."""
    conflict = Conflict(Repository(home / "notes", entries=60))
    repository = conflict.repository
    with watching(start, repository.kb) as scene:
        conflict.stop(scene)
        conflict.edit(scene)
        events = scene.observe(lambda: repository.write([5], "Resolved."), changes=1)
        check_lines(events, updates([5]))
        assert events[-1]["problems"] == 1
        events = scene.observe(lambda: _resolve(repository), changes=1)
        check_lines(events, updates([6]))
        assert events[-1]["problems"] == 0
        assert scene.api.problems() == []

        def go_on() -> None:
            repository.git("add", "--update")
            repository.git("-c", "core.editor=true", "rebase", "--continue")

        events = scene.observe(go_on, changes=2)
        check_lines(events, updates([8, 9]))
        scene.check()
        assert not (repository.git_dir / "rebase-merge").exists()


def _resolve(repository: Repository) -> None:
    repository.file(6).write_text(
        "---\nid: entry-006\ntitle: Both\ntype: note\n---\n\nResolved.\n", encoding="utf-8"
    )


def test_rebase_that_stops_is_aborted(start: Starter, home: Path) -> None:
    """Row 14: all is told back as it was before, and the problems clear."""
    conflict = Conflict(Repository(home / "notes", entries=60))
    repository = conflict.repository
    with watching(start, repository.kb) as scene:
        conflict.stop(scene)
        conflict.edit(scene)
        events = scene.observe(
            partial(repository.git, "rebase", "--abort"), until=told_of("kb", ("U", "entry-039"))
        )
        # git gives back all that is committed, also entry 50 which was only edited. 6 is as it was told last.
        check_lines(events, updates([5, 8, 9, *range(20, 40), 50]))
        assert events[-1]["problems"] == 0
        assert scene.api.problems() == []
        scene.check()


# -- row 15 ----------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["root", "worktree"])
def test_lock_left_behind(start: Starter, home: Path, layout: str) -> None:
    """Row 15: it holds for 5 s, once; from then on everything is told at once."""
    repository = Repository(home / "notes", layout, entries=10)
    lock = repository.lock
    with watching(start, repository.kb) as scene:

        def crash() -> None:
            lock.touch()
            repository.write([3], "Held.")

        began_s = time.monotonic()
        events = scene.observe(crash, changes=1)
        held_s = time.monotonic() - began_s
        check_lines(events, updates([3]))
        assert held_s > LOCK_MAX_S * 0.8, "the lock held nothing"
        for number in (4, 5, 6):
            began_s = time.monotonic()
            events = scene.observe(partial(repository.write, [number], "Later."), changes=1)
            assert time.monotonic() - began_s < AT_ONCE_S, "a lock that was over holds again"
            check_lines(events, updates([number]))
        lock.unlink()
        # The next lock is another one: it holds anew, until it goes.
        lock.touch()
        start_mark = scene.watch.messages.mark()
        repository.write([7, 8], "In the next.")
        lock.unlink()
        scene.watch.wait_for(
            lambda message: message.get("entry_id") == "entry-008",
            start=start_mark,
            what="the next lock's end",
        )
        scene.check()


def test_lock_left_behind_before_the_start(start: Starter, home: Path) -> None:
    """Row 15: a lock that is older than 5 s when it is first seen holds nothing."""
    repository = Repository(home / "notes", entries=10)
    repository.lock.touch()
    time.sleep(LOCK_MAX_S + 0.2)  # the lock's real age is the case under test
    with watching(start, repository.kb) as scene:
        for number in (3, 4):
            began_s = time.monotonic()
            events = scene.observe(partial(repository.write, [number], "Edited."), changes=1)
            assert time.monotonic() - began_s < AT_ONCE_S
            check_lines(events, updates([number]))
        scene.check()


def test_git_killed_in_the_middle_of_a_checkout(start: Starter, home: Path) -> None:
    """Row 15: what it had written by then is told after the cap, and no more than that."""
    repository = Repository(home / "notes", entries=100)
    repository.branch("edit", range(100), "On the branch.")
    (repository.git_dir / "info" / "attributes").write_text("entry-060.md filter=crash\n", encoding="utf-8")
    with watching(start, repository.kb) as scene:
        before = read_kb(repository.kb)
        events = scene.observe(
            lambda: repository.git_fails(
                "-c", "filter.crash.smudge=kill -9 $PPID", "checkout", "--quiet", "edit"
            ),
            until=told_of("kb", ("U", "entry-000")),
        )
        assert repository.lock.exists(), "git was to die with its lock held"
        after = read_kb(repository.kb)
        # git had just unlinked the file that it was to write next.
        gone = before.entries.keys() - after.entries.keys()
        other = {key for key in before.entries.keys() - gone if after.entries[key] != before.entries[key]}
        assert len(gone) == 1
        assert len(other) > 1
        told = [f"{'D' if key in gone else 'U'} kb:{key} {before.entries[key][0]}" for key in gone | other]
        expected = [*sorted(told, key=lambda text: text.split()[2])]
        check_lines(events, [*expected, synced("kb", updated=len(other), removed=1)])
        began_s = time.monotonic()
        events = scene.observe(lambda: repository.write([99], "Afterwards."), changes=1)
        assert time.monotonic() - began_s < AT_ONCE_S
        check_lines(events, updates([99]))
        scene.check()


def test_empty_file_in_a_folder_that_was_held(start: Starter, home: Path) -> None:
    """Row 18: bug: where the hint for a folder was old, a file just made in it was told while still empty."""
    repository = Repository(home / "notes", entries=10)
    folder = repository.kb / "new"
    with watching(start, repository.kb) as scene:

        def act() -> None:
            repository.lock.touch()
            folder.mkdir()
            time.sleep(0.6)  # more than the 400 ms of an empty file: what follows are times of the case
            (folder / "made.md").touch()
            repository.lock.unlink()
            time.sleep(0.2)
            (folder / "made.md").write_text("---\nid: another\n---\n\nText.\n", encoding="utf-8")

        events = scene.observe(act, until=told_of("kb", ("C", "another")))
        check_lines(events, ["C kb:another new/made.md", synced("kb", added=1)])
        scene.check()
