"""An editor that saves, or a crash, at every step of a write: nobody's bytes are lost.

Every call to the operating system that a write makes is a step. An editor's action is put before
each of them in turn; the process dies before each of them in turn; and both.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pyrite_watch.disk import exchange as exchange_module
from pyrite_watch.disk import temporary as temporary_module
from pyrite_watch.disk import write as write_module
from pyrite_watch.disk.leftovers import Leftover, remove_leftovers
from pyrite_watch.disk.parse import revision_of
from pyrite_watch.disk.temporary import gone_name, new_name, swap_name
from pyrite_watch.disk.write import create_file, delete_file, replace_file
from pyrite_watch.disk.write_errors import (
    ChangedMeanwhileError,
    FileBusyError,
    PathOutsideKbError,
    PathTakenError,
)

OLD, NEW = b"old words\n", b"new words\n"
FIRST, SECOND = b"an editor's words\n", b"another editor's words\n"
OLD_REVISION, NEW_REVISION = revision_of(OLD), revision_of(NEW)
PATH = "x.md"
Action = Callable[[Path], object]

REPLACE: Action = lambda root: replace_file(root, PATH, NEW, OLD_REVISION)  # noqa: E731
DELETE: Action = lambda root: delete_file(root, PATH, OLD_REVISION)  # noqa: E731
CREATE: Action = lambda root: create_file(root, "made/" + PATH, NEW)  # noqa: E731


class CrashError(BaseException):
    """The process is dead from here on: no handler can do anything any more."""


class Steps:
    """Counts the steps of what runs in it; acts before some of them; dies before one."""

    CALLS = ("open", "write", "fsync", "rename", "replace", "link", "unlink", "mkdir", "rmdir")
    LOOKS = ("stat", "fstat", "read", "listdir")

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.actions: dict[int, Callable[[], object]] = {}
        self.crash_at: int | None = None
        self.names: list[str] = []
        self._busy = False
        for name in (*self.CALLS, *self.LOOKS):
            # What an fsync is good for no test can see, and thousands of them take their time.
            real = getattr(os, name) if name != "fsync" else lambda _: None
            patch.setattr(os, name, self._step(name, real))
        for module, name in ((exchange_module, "_rename"), (temporary_module, "is_open_for_writing")):
            patch.setattr(module, name, self._step(name, getattr(module, name)))

    def _step(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if self._busy:
                return real(*arguments, **named)
            number = len(self.names)
            if self.crash_at is not None and number >= self.crash_at:
                raise CrashError
            self.names.append(name)
            if number in self.actions:
                self._busy = True
                try:
                    self.actions[number]()
                finally:
                    self._busy = False
            return real(*arguments, **named)

        return call


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """In memory where that can be had: the disk would take a minute, and test_write_races is there."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="pyrite-test-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that keeps a file open keeps it open."""
    monkeypatch.setattr(write_module, "BUSY_WAIT_S", 0.0)


@pytest.fixture(params=["renameat2", "plain"])
def ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With `renameat2`, and as if there were none."""
    if request.param == "plain":
        monkeypatch.setattr(exchange_module, "_rename", lambda *_: False)
    return str(request.param)


def run(
    root: Path, call: Action, actions: dict[int, Callable[[], object]], crash_at: int | None = None
) -> tuple[str, list[str]]:
    """Run one call; tell how it ended, and its steps."""
    with pytest.MonkeyPatch.context() as patch:
        steps = Steps(patch)
        steps.actions, steps.crash_at = actions, crash_at
        outcome = "done"
        try:
            call(root)
        except CrashError:
            outcome = "crashed"
        except FileBusyError:
            outcome = "busy"
        except ChangedMeanwhileError:
            outcome = "changed"
        except PathTakenError:
            outcome = "taken"
        return outcome, steps.names


def fresh(tmp_path: Path, call: Action = REPLACE) -> Path:
    """One folder for all runs of a test: thousands of them would take long to remove."""
    root = tmp_path / "kb"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    if call is not CREATE:
        (root / PATH).write_bytes(OLD)
    return root


def count_steps(tmp_path: Path, call: Action) -> list[str]:
    outcome, names = run(fresh(tmp_path, call), call, {})
    assert outcome == "done"
    return names


def files(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def recovered(root: Path) -> list[bytes]:
    return [data for path, data in files(root).items() if ".recovered-" in path]


def settle(root: Path) -> list[Leftover]:
    """Start again after a crash."""
    found = remove_leftovers(root, before_ns=time.time_ns() + 10**9)
    assert not [path for path in files(root) if ".pyrite-" in path], found
    return found


def by_rename(place: Path, data: bytes) -> None:
    other = place.with_name(f"{place.name}.edited~")
    other.write_bytes(data)
    other.replace(place)


def in_place(place: Path, data: bytes) -> None:
    place.write_bytes(data)


SAVES = {"by rename": by_rename, "in place": in_place}


# ---- editors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("save", SAVES)
@pytest.mark.parametrize("call", [REPLACE, DELETE], ids=["replace", "delete"])
def test_an_editor_that_saves_at_any_step_keeps_its_words(tmp_path: Path, call: Action, save: str) -> None:
    """Either it came first, and the write is refused; or it came last, and its words are there anyway."""
    outcomes = set()
    for number in range(len(count_steps(tmp_path, call))):
        root = fresh(tmp_path)
        outcome, names = run(root, call, {number: partial(SAVES[save], root / PATH, FIRST)})
        assert files(root).get(PATH) == FIRST, (number, names, outcome, files(root))
        assert len(files(root)) == 1, (number, files(root))
        outcomes.add(outcome)
    assert outcomes == {"done", "changed"}


@pytest.mark.usefixtures("ways")
@pytest.mark.parametrize("save", SAVES)
def test_a_file_that_appears_at_any_step_of_a_creation_stays(tmp_path: Path, save: str) -> None:
    """Never replaced; and the creation leaves nothing behind when it gives way."""

    def appear(root: Path) -> None:
        (root / "made").mkdir(exist_ok=True)
        SAVES[save](root / "made" / PATH, FIRST)

    outcomes = set()
    for number in range(len(count_steps(tmp_path, CREATE))):
        root = fresh(tmp_path, CREATE)
        outcome, _ = run(root, CREATE, {number: partial(appear, root)})
        assert files(root) == {f"made/{PATH}": FIRST}
        outcomes.add(outcome)
    assert outcomes == {"done", "taken"}


@pytest.mark.parametrize("call", [REPLACE, DELETE], ids=["replace", "delete"])
@pytest.mark.parametrize("saves", [(a, b) for a in SAVES for b in SAVES], ids=" then ".join)
def test_of_two_editors_at_any_steps_the_later_is_at_the_path(
    tmp_path: Path, call: Action, saves: tuple[str, str]
) -> None:
    """And the earlier one's words are there too, unless the later one wrote over them itself."""
    names = count_steps(tmp_path, call)
    total = len(names) + 12  # an undone write has more steps
    for first in range(names.index("rename") - 5, total):
        for second in range(first + 1, total):
            root = fresh(tmp_path)
            over: list[bytes] = []

            def save_second(root: Path = root, over: list[bytes] = over) -> None:
                with suppress(FileNotFoundError):
                    over.append((root / PATH).read_bytes())
                SAVES[saves[1]](root / PATH, SECOND)

            actions: dict[int, Callable[[], object]] = {
                first: partial(SAVES[saves[0]], root / PATH, FIRST),
                second: save_second,
            }
            outcome, done = run(root, call, actions)
            if second >= len(done):
                break  # the call was over before
            assert files(root)[PATH] == SECOND, (first, second, done, outcome, files(root))
            assert recovered(root) == [FIRST] or FIRST in over, (first, second, done, files(root))
            assert not [path for path in files(root) if ".pyrite-" in path]


@pytest.mark.parametrize("call", [REPLACE, DELETE], ids=["replace", "delete"])
@pytest.mark.parametrize("truncate", [False, True], ids=["kept", "truncated"])
def test_an_editor_that_has_the_file_open_at_any_step_keeps_its_words(
    tmp_path: Path, call: Action, truncate: bool
) -> None:
    """It opened the file before the exchange and writes after it: into the same file, which must live."""
    names = count_steps(tmp_path, call)
    total = len(names) + 12
    for opened in range(names.index("rename") - 5, total):
        for written in range(opened + 1, total + 1):
            root = fresh(tmp_path)
            editor: list[Any] = []

            def begin(root: Path = root, editor: list[Any] = editor) -> None:
                with suppress(FileNotFoundError):
                    editor.append((root / PATH).open("wb" if truncate else "r+b"))

            def finish(editor: list[Any] = editor) -> None:
                for file in editor:
                    file.write(FIRST)
                    file.truncate()
                    file.close()

            outcome, done = run(root, call, {opened: begin, written: finish})
            if opened >= len(done):
                break
            if written >= len(done):
                finish()
            if editor:  # it found the file
                assert FIRST in (files(root).get(PATH), *recovered(root)), (opened, written, done, outcome)
            assert not [path for path in files(root) if ".pyrite-" in path]
            if written >= len(done):
                break


def test_an_editor_that_opens_our_own_bytes_while_they_are_taken_back_keeps_its_words(tmp_path: Path) -> None:
    """It found a stale write at the path, and writes into that file: from then on the file is its own."""
    swap = count_steps(tmp_path, REPLACE).index("_rename")
    met = 0
    for opened in range(swap + 1, swap + 30):
        for written in range(opened + 1, opened + 30):
            root = fresh(tmp_path)
            editor: list[Any] = []

            def begin(root: Path = root, editor: list[Any] = editor) -> None:
                file = (root / PATH).open("r+b")
                if file.read() == NEW:
                    editor.append(file)
                else:
                    file.close()

            def finish(editor: list[Any] = editor) -> None:
                for file in editor:
                    file.seek(0)
                    file.write(SECOND)
                    file.truncate()
                    file.close()

            save = partial(by_rename, root / PATH, FIRST)
            outcome, done = run(root, REPLACE, {swap: save, opened: begin, written: finish})
            if written >= len(done):
                finish()
            there = files(root)
            assert FIRST in there.values(), (opened, written, done, there)
            if editor:
                met += 1
                assert SECOND in there.values(), (opened, written, done, there)
            assert outcome == "changed"
            assert not [path for path in there if ".pyrite-" in path]
            if written >= len(done):
                break
    assert met > 0


def test_a_deletion_while_words_are_put_back_does_not_delete_them(tmp_path: Path) -> None:
    """Who deleted the stale write can't have meant words that were not at the path just then."""
    swap = count_steps(tmp_path, REPLACE).index("_rename")
    met = 0
    for deleted in range(swap + 1, swap + 20):
        root = fresh(tmp_path)
        gone: list[bytes] = []

        def delete(root: Path = root, gone: list[bytes] = gone) -> None:
            gone.append((root / PATH).read_bytes())
            (root / PATH).unlink()

        save = partial(by_rename, root / PATH, FIRST)
        outcome, done = run(root, REPLACE, {swap: save, deleted: delete})
        assert outcome == "changed"
        assert files(root) == ({} if gone == [FIRST] else {PATH: FIRST}), (deleted, done, files(root))
        met += gone == [NEW]
    assert met > 0


@pytest.mark.parametrize("call", [REPLACE, DELETE], ids=["replace", "delete"])
@pytest.mark.parametrize("kind", ["gone", "folder", "link", "fifo"])
def test_whatever_takes_the_files_place_at_any_step_stays(tmp_path: Path, call: Action, kind: str) -> None:
    """A deletion, a folder, a link: the write is refused or came first, and no error of ours hides it."""

    def take_place(root: Path) -> None:
        with suppress(FileNotFoundError):
            (root / PATH).unlink()
        if kind == "folder":
            (root / PATH).mkdir()
        elif kind == "link":
            (root / PATH).symlink_to("elsewhere.md")
        elif kind == "fifo":
            os.mkfifo(root / PATH)

    for number in range(len(count_steps(tmp_path, call))):
        root = fresh(tmp_path)
        with suppress(PathOutsideKbError):
            run(root, call, {number: partial(take_place, root)})
        assert os.listdir(root) == ([] if kind == "gone" else [PATH]), (number, os.listdir(root))
        place = root / PATH
        assert (place.is_dir(), place.is_symlink(), place.is_fifo()) == (
            kind == "folder",
            kind == "link",
            kind == "fifo",
        )


def test_the_plain_way_looks_just_before_it_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an exchange a save is lost only between that look and the rename: the documented gap."""
    monkeypatch.setattr(exchange_module, "_rename", lambda *_: False)
    names = count_steps(tmp_path, REPLACE)
    lost = []
    for number in range(len(names)):
        root = fresh(tmp_path)
        run(root, REPLACE, {number: partial(by_rename, root / PATH, FIRST)})
        if FIRST not in files(root).values():
            lost.append(number)
    swap = names.index("replace")
    assert lost == list(range(min(lost), swap + 1))
    assert set(names[min(lost) + 1 : swap + 1]) <= {
        "fstat",
        "read",
        "rename",
        "_rename",
        "replace",
        "is_open_for_writing",
    }
    assert "fsync" not in names[min(lost) : swap]


# ---- crashes ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("ways")
@pytest.mark.parametrize("call", [REPLACE, DELETE, CREATE], ids=["replace", "delete", "create"])
def test_a_crash_at_any_step_leaves_the_old_or_the_new(tmp_path: Path, call: Action) -> None:
    """Whole; and the next start leaves no temporary file, and finds nothing of anybody's to keep."""
    wanted: dict[str, list[bytes | None]] = {
        "replace": [OLD, NEW],
        "delete": [OLD, None],
        "create": [None, NEW],
    }
    name = {id(REPLACE): "replace", id(DELETE): "delete", id(CREATE): "create"}[id(call)]
    place = f"made/{PATH}" if call is CREATE else PATH
    seen = []
    for number in range(len(count_steps(tmp_path, call)) + 1):
        root = fresh(tmp_path, call)
        run(root, call, {}, crash_at=number)
        found = settle(root)
        assert set(files(root)) <= {place}
        assert {leftover.outcome for leftover in found} <= {"removed"}
        seen.append(files(root).get(place))
    assert seen == sorted(seen, key=wanted[name].index), "first the old, then the new"
    assert set(seen) == set(wanted[name])


@pytest.mark.parametrize("save", SAVES)
@pytest.mark.parametrize("call", [REPLACE, DELETE], ids=["replace", "delete"])
def test_a_crash_after_an_editors_save_at_any_steps_keeps_its_words(
    tmp_path: Path, call: Action, save: str
) -> None:
    """Also where its words lay under a temporary name when the process died: the next start knows."""
    total = len(count_steps(tmp_path, call)) + 12
    outcomes = set()
    for saved in range(total):
        for crash_at in range(saved + 1, total):
            root = fresh(tmp_path)
            actions: dict[int, Callable[[], object]] = {saved: partial(SAVES[save], root / PATH, FIRST)}
            _, names = run(root, call, actions, crash_at)
            if saved >= len(names):
                break  # the call was over before
            outcomes |= {leftover.outcome for leftover in settle(root)}
            assert files(root) == {PATH: FIRST}, (saved, crash_at, names, files(root))
            if crash_at >= len(names):
                break
    assert "restored" in outcomes


@pytest.mark.parametrize("call", [REPLACE, DELETE], ids=["replace", "delete"])
def test_two_editors_and_a_crash_at_any_steps_lose_nothing(tmp_path: Path, call: Action) -> None:
    """The later words are there, and the earlier ones unless the later editor wrote over them."""
    names = count_steps(tmp_path, call)
    from_step = max(0, len(names) - 14)  # before, nothing has happened at the path
    for first in range(from_step, len(names) + 8, 2):
        for second in range(first + 1, first + 12):
            for crash_at in range(second + 1, second + 12, 2):
                root = fresh(tmp_path)
                over: list[bytes] = []

                def save_second(root: Path = root, over: list[bytes] = over) -> None:
                    with suppress(FileNotFoundError):
                        over.append((root / PATH).read_bytes())
                    by_rename(root / PATH, SECOND)

                actions: dict[int, Callable[[], object]] = {
                    first: partial(by_rename, root / PATH, FIRST),
                    second: save_second,
                }
                _, done = run(root, call, actions, crash_at)
                if second >= len(done):
                    break
                settle(root)
                there = list(files(root).values())
                assert SECOND in there, (first, second, crash_at, done, files(root))
                assert FIRST in there or FIRST in over, (first, second, crash_at, done, files(root))


# ---- leftovers --------------------------------------------------------------------------------------------


@pytest.fixture
def later_ns() -> int:
    """A start after everything that the test makes."""
    return time.time_ns() + 10**9


def test_what_is_certainly_ours_is_removed(tmp_path: Path, later_ns: int) -> None:
    """A half-written file, our own bytes that never got their place, old bytes that were replaced."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / PATH).write_bytes(NEW)
    (tmp_path / "a" / new_name()).write_bytes(b"ha")
    (tmp_path / "a" / swap_name(PATH, NEW_REVISION, OLD_REVISION)).write_bytes(NEW)
    (tmp_path / "a" / swap_name(PATH, NEW_REVISION, OLD_REVISION)).write_bytes(OLD)
    (tmp_path / "a" / gone_name(PATH, OLD_REVISION)).write_bytes(OLD)
    found = remove_leftovers(tmp_path, before_ns=later_ns)
    assert [leftover.outcome for leftover in found] == ["removed"] * 4
    assert files(tmp_path) == {f"a/{PATH}": NEW}


def test_foreign_bytes_get_a_visible_name_where_their_place_is_taken(tmp_path: Path, later_ns: int) -> None:
    """By words that came later: theirs stay at the path."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / PATH).write_bytes(SECOND)
    (tmp_path / "a" / swap_name(PATH, NEW_REVISION, OLD_REVISION)).write_bytes(FIRST)
    found = remove_leftovers(tmp_path, before_ns=later_ns)
    assert [leftover.outcome for leftover in found] == ["recovered"]
    assert files(tmp_path) == {f"a/{PATH}": SECOND, found[0].path: FIRST}
    assert found[0].path.startswith("a/x.recovered-")
    assert found[0].path.endswith(".md")


@pytest.mark.parametrize("target", ["a" * 252 + ".md", "é" * 126 + ".md"])
def test_a_name_too_long_for_the_temporary_one_is_not_guessed(
    tmp_path: Path, target: str, later_ns: int
) -> None:
    """The words get a visible name of their own."""
    (tmp_path / target).write_bytes(NEW)
    (tmp_path / swap_name(target, NEW_REVISION, OLD_REVISION)).write_bytes(FIRST)
    (leftover,) = remove_leftovers(tmp_path, before_ns=later_ns)
    assert files(tmp_path) == {target: NEW, leftover.path: FIRST}
    assert leftover.path.startswith("recovered.recovered-")


def test_what_may_belong_to_a_living_process_is_left_alone(tmp_path: Path) -> None:
    """Younger than this process's start: another one may be writing there just now."""
    name = new_name()
    (tmp_path / name).write_bytes(b"ha")
    assert remove_leftovers(tmp_path) == []
    assert files(tmp_path) == {name: b"ha"}


def test_a_leftover_that_is_being_written_is_left_and_told(tmp_path: Path, later_ns: int) -> None:
    """An editor has held it open since before the crash: the next start looks again."""
    name = swap_name(PATH, NEW_REVISION, OLD_REVISION)
    (tmp_path / name).write_bytes(OLD)
    with (tmp_path / name).open("r+b"):
        assert remove_leftovers(tmp_path, before_ns=later_ns) == [
            Leftover(name, "left", "another program is writing it")
        ]
    assert files(tmp_path) == {name: OLD}


def test_only_regular_files_of_our_exact_names_are_touched(tmp_path: Path, later_ns: int) -> None:
    """No link is followed, neither as the file nor as a folder on the way; hidden folders are not entered."""
    root, outside = tmp_path / "kb", tmp_path / "outside"
    for folder in (root, outside, root / ".hidden", root / new_name()):
        folder.mkdir()
    for place in (outside / new_name(), root / ".hidden" / new_name(), root / ".pyrite-new-1.tmp"):
        place.write_bytes(b"ha")
    (root / "link").symlink_to(outside)
    (root / new_name()).symlink_to(next(outside.iterdir()))
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    found = remove_leftovers(root, before_ns=later_ns)
    assert [leftover.outcome for leftover in found] == ["left", "left"]
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before
    assert remove_leftovers(tmp_path / "gone", before_ns=later_ns) == []
