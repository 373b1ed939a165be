"""The watchers' threads: hints, trouble, and their end. What a hint comes to is tested elsewhere."""

from __future__ import annotations

import errno
import os
import queue
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from watchfiles.main import Change

from pyrite_watch.disk import watch
from pyrite_watch.disk.watch import TOGETHER_S, MovedFolders, Watcher, WatchTrouble
from pyrite_watch.model.kb import KbName, KnowledgeBase
from pyrite_watch.watching import RootMap, choose_mode, start_watcher


class ScriptedNotify:
    """Stands for watchfiles: says what is in its script, then waits for the stop."""

    script: queue.SimpleQueue[Any]

    def __init__(self, *args: Any) -> None:
        self.closed = False

    def watch(self, debounce: int, step: int, timeout: int, stop: Any) -> Any:
        while not stop.is_set():
            try:
                said = self.script.get(timeout=0.002)
            except queue.Empty:
                continue
            if isinstance(said, Exception):
                raise said
            return said
        return "stop"

    def close(self) -> None:
        self.closed = True


class Told:
    """What a watcher has said."""

    def __init__(self) -> None:
        self.hints: queue.SimpleQueue[set[str]] = queue.SimpleQueue()
        self.trouble: queue.SimpleQueue[WatchTrouble] = queue.SimpleQueue()

    def on_hints(self, paths: Iterable[str]) -> None:
        self.hints.put(set(paths))


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> queue.SimpleQueue[Any]:
    """What the operating system says, in a test's hands."""
    script: queue.SimpleQueue[Any] = queue.SimpleQueue()
    monkeypatch.setattr(ScriptedNotify, "script", script, raising=False)
    monkeypatch.setattr(watch, "RustNotify", ScriptedNotify)
    return script


def _start(folder: Path, told: Told) -> Watcher:
    return Watcher([folder], [], told.on_hints, told.trouble.put)


def test_a_notification_becomes_a_hint_whatever_its_kind(
    tmp_path: Path, script: queue.SimpleQueue[Any]
) -> None:
    """git reports a file as added and deleted at once: it is one path."""
    told = Told()
    watcher = _start(tmp_path, told)
    script.put({(1, "/a"), (3, "/a"), (2, "/b")})
    assert told.hints.get(timeout=10) == {"/a", "/b"}
    watcher.stop()
    assert told.trouble.empty()


def test_a_huge_batch_is_a_doubt(tmp_path: Path, script: queue.SimpleQueue[Any]) -> None:
    """The queue may have overflowed, silently; the hints are given all the same."""
    told = Told()
    watcher = _start(tmp_path, told)
    script.put({(1, f"/{number}") for number in range(watch.HUGE_BATCH)})
    assert len(told.hints.get(timeout=10)) == watch.HUGE_BATCH
    assert not told.trouble.get(timeout=10).is_dead
    watcher.stop()


@pytest.mark.parametrize(
    ("notes", "is_moved"),
    [
        ([(True, True, 0.0)], [True]),
        ([(True, False, 0.0), (False, True, 0.5)], [False, True]),
        ([(False, True, 0.0), (True, False, 0.5)], [False, True]),
        ([(True, False, 0.0), (False, True, TOGETHER_S + 0.1)], [False, False]),
        ([(True, True, 0.0), (False, True, 0.1)], [True, False]),
        ([(True, False, 0.0), (True, False, 0.1)], [False, False]),
        ([(False, True, 0.0), (False, False, 0.1)], [False, False]),
    ],
)
def test_a_folder_that_may_be_moved_into_a_new_one_is_told_once(
    notes: list[tuple[bool, bool, float]], is_moved: list[bool]
) -> None:
    """Whichever half is told first, in one batch or two."""
    moved = MovedFolders()
    assert [moved.note(*note) for note in notes] == is_moved


def test_a_new_folder_with_another_beside_a_name_that_went_asks_for_a_new_watcher(
    tmp_path: Path, script: queue.SimpleQueue[Any]
) -> None:
    """What went may be the inner folder, which is deaf then; a file of an entry is none."""
    (tmp_path / "new" / "inner").mkdir(parents=True)
    told = Told()
    watcher = _start(tmp_path, told)
    came = (Change.added, str(tmp_path / "new"))
    script.put({came, (Change.deleted, str(tmp_path / "entry.md"))})
    script.put({came, (Change.deleted, str(tmp_path / "inner"))})
    trouble = told.trouble.get(timeout=10)
    watcher.stop()
    assert trouble.is_new_folder
    assert not trouble.is_dead
    assert told.trouble.empty()


@pytest.mark.parametrize("said", [RuntimeError("a name that is not UTF-8"), "timeout"])
def test_a_watcher_that_ends_says_so(tmp_path: Path, script: queue.SimpleQueue[Any], said: object) -> None:
    """By an exception or a word that is no set of changes."""
    told = Told()
    watcher = _start(tmp_path, told)
    script.put(said)
    assert told.trouble.get(timeout=10).is_dead
    watcher.stop()


def test_a_watcher_is_stopped_twice_without_trouble(tmp_path: Path, script: queue.SimpleQueue[Any]) -> None:
    """Its end is no trouble, as it was asked for."""
    told = Told()
    watcher = _start(tmp_path, told)
    opened = list(watcher._open)
    watcher.stop()
    watcher.stop()
    assert told.trouble.empty()
    assert all(notify.closed for notify in opened)  # type: ignore[attr-defined]


def test_a_real_watcher_hears_as_soon_as_it_is_made(tmp_path: Path) -> None:
    """From the constructor's return on nothing is missed."""
    told = Told()
    watcher = _start(tmp_path, told)
    try:
        (tmp_path / "a.md").write_text("x")
        assert told.hints.get(timeout=10) == {f"{tmp_path}/a.md"}
    finally:
        watcher.stop()


def test_a_root_that_cannot_be_watched_raises(tmp_path: Path) -> None:
    """Nothing is left running."""
    told = Told()
    with pytest.raises(OSError, match="No such file"):
        Watcher([tmp_path, tmp_path / "gone"], [], told.on_hints, told.trouble.put)


# -- whose hint is it ------------------------------------------------------------------------------


def _map(**roots: Path) -> RootMap:
    return RootMap([KnowledgeBase(KbName(name), root) for name, root in roots.items()])


def test_a_hint_is_for_the_innermost_kb(tmp_path: Path) -> None:
    """Relative to its root; what lies in none is dropped."""
    found = _map(outer=tmp_path / "o", inner=tmp_path / "o/in").sort(
        f"{tmp_path}/{path}"
        for path in ("o/a.md", "o/in/b.md", "o/in/f/c.md", "other", "oo/x.md", "o/inn/d.md")
    )
    assert found.paths == {"outer": ["a.md", "inn/d.md"], "inner": ["b.md", "f/c.md"]}
    assert found.roots == frozenset()


def test_a_hint_about_a_root_names_the_kb(tmp_path: Path) -> None:
    """By its real path, and by the link that leads to it."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    roots = _map(kb=tmp_path / "link")
    for path in ("real", "link"):
        found = roots.sort([f"{tmp_path}/{path}"])
        assert found.roots == {"kb"}
        assert not found.paths
    assert roots.sort([f"{tmp_path}/real/a.md"]).paths == {"kb": ["a.md"]}


def test_the_root_of_everything_may_be_a_kb() -> None:
    """Its paths have no other root in front."""
    roots = _map(kb=Path("/"))
    assert roots.sort(["/a.md", "/f/b.md"]).paths == {"kb": ["a.md", "f/b.md"]}
    assert roots.sort(["/"]).roots == {"kb"}


def test_a_root_that_is_not_there_is_watched_for_by_its_parent(
    tmp_path: Path, script: queue.SimpleQueue[Any]
) -> None:
    """It has no recursive watch yet, and is no error."""
    told = Told()
    kbs = [KnowledgeBase(KbName("kb"), tmp_path / "gone")]
    watcher, mode = start_watcher(kbs, choose_mode(kbs, None), told.on_hints, told.trouble.put)
    assert watcher is not None
    watcher.stop()
    assert mode.poll_s is None


@pytest.mark.parametrize(
    ("before", "after", "is_told"),
    [("away", "there", True), ("there", "another", True), ("there", "away", True), ("there", "there", False)],
)
def test_a_root_that_comes_before_its_parent_is_watched_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str, is_told: bool
) -> None:
    """Bug: it was not watched, no notification came, and it looked as at the last look: deaf from then on."""
    root, away = tmp_path / "notes" / "kb", tmp_path / "away"

    def bring(state: str) -> None:
        if state != "there" and root.exists():
            root.rename(away)
        if state != "away":
            root.mkdir(parents=True, exist_ok=True)

    class Slow(ScriptedNotify):
        script: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def __init__(self, paths: list[str], *args: Any) -> None:
            super().__init__()
            if str(root.parent) in paths:
                bring(after)

    root.parent.mkdir()
    bring(before)
    monkeypatch.setattr(watch, "RustNotify", Slow)
    told = Told()
    kbs = [KnowledgeBase(KbName("kb"), root)]
    watcher, _ = start_watcher(kbs, choose_mode(kbs, None), told.on_hints, told.trouble.put)
    assert watcher is not None
    watcher.stop()
    assert told.trouble.empty() is not is_told


def test_a_parent_that_cannot_be_listed_is_not_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: watchfiles refuses all the parents because of one, so that every KB was polled."""
    asked: list[str] = []
    shut = tmp_path / "shut"

    class Refusing(ScriptedNotify):
        script: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def __init__(self, paths: list[str], *args: Any) -> None:
            super().__init__()
            asked.extend(paths)
            if str(shut) in paths:
                raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(watch, "RustNotify", Refusing)
    # Root may read everything, so this is played.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != shut)
    kbs = [KnowledgeBase(KbName(name), tmp_path / folder) for name, folder in (("a", "a"), ("b", "shut/b"))]
    for kb in kbs:
        kb.root.mkdir(parents=True)
    watcher, mode = start_watcher(kbs, choose_mode(kbs, None), lambda paths: None, lambda trouble: None)
    assert watcher is not None
    watcher.stop()
    assert (mode.polled, mode.why) == (frozenset(), None)
    assert asked == [*(str(kb.root) for kb in kbs), str(tmp_path)]


@pytest.mark.parametrize("inner", ["kb", ""])
def test_a_root_whose_path_is_not_utf_8_is_polled(tmp_path: Path, inner: str) -> None:
    """Bug: that is no error of the system's, so it ended the writing; the others are watched as ever."""
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")) / inner
    roots = {"odd": place, "plain": tmp_path / "plain"}
    for root in roots.values():
        root.mkdir(parents=True)
    kbs = [KnowledgeBase(KbName(name), root) for name, root in roots.items()]
    watcher, mode = start_watcher(kbs, choose_mode(kbs, None), lambda paths: None, lambda trouble: None)
    assert watcher is not None
    watcher.stop()
    assert mode.polled == {"odd"}
    assert mode.why == "the folders cannot be watched (its path is not UTF-8)"


def test_a_root_behind_a_link_in_a_folder_that_is_not_utf_8_is_watched(tmp_path: Path) -> None:
    """The folder of the link is not: who points it elsewhere is found by a look."""
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    odd.mkdir()
    (tmp_path / "kb").mkdir()
    (odd / "link").symlink_to(tmp_path / "kb")
    kbs = [KnowledgeBase(KbName("kb"), odd / "link")]
    watcher, mode = start_watcher(kbs, choose_mode(kbs, None), lambda paths: None, lambda trouble: None)
    assert watcher is not None
    watcher.stop()
    assert mode.polled == frozenset()


def test_past_the_limit_everything_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One clear sentence with the numbers and what to type."""

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(watch, "RustNotify", fail)
    kbs = [KnowledgeBase(KbName("kb"), tmp_path)]
    watcher, mode = start_watcher(kbs, choose_mode(kbs, None), lambda paths: None, lambda trouble: None)
    assert watcher is None
    assert mode.polled == {"kb"}
    assert mode.poll_s == 5.0
    assert mode.why is not None
    assert "sudo sysctl fs.inotify.max_user_watches" in mode.why
