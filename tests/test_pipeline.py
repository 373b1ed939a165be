"""What the writing thread does while it sweeps, over a pipeline with real watchers and files."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from harness.wait import eventually

from pyrite_watch.disk import watch
from pyrite_watch.model.kb import KbName, KnowledgeBase
from pyrite_watch.pipeline import SWEEP_FACTOR, Pipeline
from pyrite_watch.reconciler import Compared, Reconciler
from pyrite_watch.roots import WatchedKb
from pyrite_watch.settings import Settings
from pyrite_watch.watching import Watching

NAMES = ("first", "second")


def make_pipeline(roots: Mapping[str, Path], state_dir: Path, sweep_min_s: float = 0.2) -> Pipeline:
    """One that sweeps often, over KBs of one entry each; not opened."""
    for root in roots.values():
        root.mkdir()
        (root / "a.md").write_text("Text.\n")
    kbs = tuple(KnowledgeBase(KbName(name), root) for name, root in roots.items())
    return Pipeline(Settings(kbs, state_dir, sweep_min_s=sweep_min_s))


class Watched:
    """A pipeline over two KBs, what it tells, and a moment in its sweeps at which something is done."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.roots = {name: folder / name for name in NAMES}
        self.pipeline = make_pipeline(self.roots, folder / "state")
        self.told: list[dict[str, Any]] = []
        self.pipeline.listeners.append(
            lambda report: self.told.extend(json.loads(event.message) for event in report.events)
        )
        self.before_walk: dict[str, Callable[[], object]] = {}
        self.after_walk: dict[str, Callable[[], object]] = {}
        find = Reconciler.find_differing

        def find_slowly(reconciler: Reconciler) -> Iterator[Compared]:
            self.before_walk.pop(NAMES[0], lambda: None)()
            for compared in find(reconciler):
                yield compared
                self.after_walk.pop(compared.kb_name, lambda: None)()

        patch.setattr(Reconciler, "find_differing", find_slowly)
        self.pipeline.open()
        self.pipeline.start()
        eventually(self.pipeline.ready.is_set)

    def updates(self) -> list[dict[str, Any]]:
        """The entry events so far."""
        return [event for event in self.told if event["type"] == "entry_updated"]


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """It, running."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state-home"))
    watched = Watched(tmp_path, monkeypatch)
    yield watched
    watched.pipeline.stop()


def test_what_a_sweep_meets_before_its_notification_is_not_a_repair(watched: Watched) -> None:
    """A file that changes just before the walk is told as `disk`, and the watcher is not put in doubt."""
    file = watched.roots["first"] / "a.md"
    watched.before_walk["first"] = lambda: file.write_text("Changed.\n")
    eventually(watched.updates)
    assert [event["origin"] for event in watched.updates()] == ["disk"]
    assert watched.pipeline.metrics.sweep_repairs == 0


def test_a_sweep_serves_the_others_between_two_knowledge_bases(watched: Watched) -> None:
    """A save in the middle of a sweep is told before the sweep goes on."""
    told_meanwhile: list[bool] = []

    def save() -> None:
        (watched.roots["first"] / "a.md").write_text("Saved.\n")
        # The writing thread stands here; the watcher's own threads run.
        eventually(lambda: not watched.pipeline._inbox.empty())

    watched.after_walk["second"] = lambda: told_meanwhile.append(bool(watched.updates()))
    watched.after_walk["first"] = save
    eventually(lambda: told_meanwhile)
    assert told_meanwhile == [True]


def test_a_root_that_is_back_before_its_parent_is_watched_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: away as the watcher was made anew, there at the looks before and after it: deaf until a sweep."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state-home"))
    root, away = tmp_path / "first", tmp_path / "away"
    told: list[dict[str, Any]] = []
    make, open_notify = Watching._make, watch._open_notify

    def make_meanwhile(watching: Watching, kbs: Sequence[KnowledgeBase]) -> None:
        monkeypatch.setattr(Watching, "_make", make)
        root.rename(away)
        make(watching, kbs)

    def open_late(paths: Sequence[Path], recursive: bool) -> object:
        if tmp_path in paths and away.exists():
            away.rename(root)
        return open_notify(paths, recursive)

    pipeline = make_pipeline({"first": root}, tmp_path / "state", sweep_min_s=3_600)
    pipeline.listeners.append(
        lambda report: told.extend(json.loads(event.message) for event in report.events)
    )
    pipeline.open()
    pipeline.start()
    try:
        eventually(pipeline.ready.is_set)
        monkeypatch.setattr(Watching, "_make", make_meanwhile)
        monkeypatch.setattr(watch, "_open_notify", open_late)
        pipeline._inbox.put(lambda: pipeline._watching.replace("a root was touched"))
        eventually(lambda: pipeline.metrics.watch_rebuilds and pipeline.metrics.sweeps)
        (root / "a.md").write_text("Changed.\n")
        eventually(lambda: [event["entry_id"] for event in told if event["type"] == "entry_updated"], 10)
    finally:
        pipeline.stop()


class Clock:
    """Seconds that pass when they are told to."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def take_long(self) -> None:
        """Let a minute pass."""
        self.now_s += 60


def test_the_next_sweep_comes_after_what_the_comparison_took_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: to tell what it had found (a minute, after a storm), and to serve others meanwhile, counted too:
    the next one came hours later."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state-home"))
    monkeypatch.setattr("pyrite_watch.pipeline.HEARD_S", 0.0)
    roots = {name: tmp_path / name for name in NAMES}
    pipeline = make_pipeline(roots, tmp_path / "state")
    pipeline.open()
    try:
        pipeline.sync_once()
        clock = Clock()
        reconciler = pipeline._reconciler
        assert reconciler is not None
        reconciler.clock = clock
        real = reconciler._find_differing

        def walk(kb: WatchedKb) -> list[str]:
            clock.now_s += 0.5
            return real(kb)

        monkeypatch.setattr(reconciler, "_find_differing", walk)
        pipeline.listeners.append(lambda report: clock.take_long())
        pipeline._inbox.put(clock.take_long)
        (roots["first"] / "a.md").write_text("Changed.\n")
        pipeline._sweep(is_check=True)
        assert clock.now_s == 2 * 0.5 + 2 * 60
        assert pipeline.metrics.last_sweep_s == 1.0
        assert pipeline._next_sweep_s - time.monotonic() == pytest.approx(SWEEP_FACTOR, abs=5)
    finally:
        pipeline.stop()
