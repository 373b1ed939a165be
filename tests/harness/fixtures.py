"""Fixtures of the whole-pipe tests: a HOME of the test's own, and starters whose processes are ended
whatever happens.

A conftest imports those that its tests use.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from harness.corpus import copy_corpus
from harness.process import WatchProcess
from harness.scene import Scene


class Starter:
    """Starts `pyrite watch` and remembers what it started; `forked` as `WatchProcess` has it."""

    def __init__(self, home: Path, *, forked: bool = True) -> None:
        self.home = home
        self.forked = forked
        self.state_dir = home / "state"
        self.processes: list[WatchProcess] = []

    def __call__(
        self,
        *paths: Path | str,
        options: Sequence[str] = (),
        json_lines: bool = True,
        env: Mapping[str, str] | None = None,
        own_state: bool = True,
        state_dir: Path | None = None,
    ) -> WatchProcess:
        """Start it; `own_state=False` leaves the state folder to the product."""
        chosen = state_dir or (self.state_dir if own_state else None)
        process = WatchProcess(
            *paths,
            home=self.home,
            state_dir=chosen,
            options=options,
            json_lines=json_lines,
            env=env,
            forked=self.forked,
        )
        self.processes.append(process)
        return process


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The HOME of everything that the test runs."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@contextlib.contextmanager
def starting(home: Path, *, forked: bool) -> Iterator[Starter]:
    """Start watches; at the end all are stopped, and none may have shown a traceback."""
    starter = Starter(home, forked=forked)
    yield starter
    for process in starter.processes:
        process.close()
    for process in starter.processes:
        assert "Traceback" not in process.output, process.describe()


@pytest.fixture
def start(home: Path) -> Iterator[Starter]:
    """Start watches, as forks of a process that has imported the product."""
    with starting(home, forked=True) as starter:
        yield starter


@pytest.fixture
def corpus(home: Path) -> Path:
    """A copy of the real corpus in a folder below HOME."""
    return copy_corpus(home / "notes" / "pyrite-kb")


@pytest.fixture
def small_kb(home: Path) -> Path:
    """A KB of five entries."""
    return make_small_kb(home / "notes" / "small")


@pytest.fixture
def scene(start: Starter, corpus: Path) -> Iterator[Scene]:
    """The corpus, watched, and seen from stdout and two tabs."""
    opened = Scene.open(start(corpus), {corpus.name: corpus})
    yield opened
    opened.close()


@pytest.fixture
def small_scene(start: Starter, small_kb: Path) -> Iterator[Scene]:
    """As `scene`, over five entries."""
    opened = Scene.open(start(small_kb), {small_kb.name: small_kb})
    yield opened
    opened.close()


def make_small_kb(root: Path, entries: int = 5) -> Path:
    """Write a KB of a few entries `entry-1`, `entry-2`, …; return its folder."""
    root.mkdir(parents=True)
    (root / "kb.yaml").write_text(f"name: {root.name}\n", encoding="utf-8")
    for number in range(1, entries + 1):
        write_entry(root / f"entry-{number}.md", f"entry-{number}", f"Text {number}.")
    return root


def write_entry(file: Path, entry_id: str, body: str) -> None:
    """Write an entry in place."""
    file.write_text(
        f"---\nid: {entry_id}\ntitle: Title of {entry_id}\ntype: note\n---\n\n{body}\n", encoding="utf-8"
    )
