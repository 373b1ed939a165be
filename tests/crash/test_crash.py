"""`kill -9` at exact points and at random times; row 40 of the hard cases. The long run is `rounds.py`."""

from __future__ import annotations

import random
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from harness.api import Api
from harness.process import WatchProcess
from harness.record import only_entry_events
from harness.socket import Tab
from harness.wait import eventually

from crash.lives import Lives
from crash.rounds import POINTS, RANDOM, Point, Rounds, play_all, restore_earliest
from pyrite_watch.index import schema

pytestmark = pytest.mark.timeout(180)

TRIES = 4
SEED = 40


class Bench:
    """One `Rounds` for many tests, as starts are what they take; a new one after a failure."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rounds: Rounds | None = None
        self.made = 0

    def play(self, point: Point) -> str:
        """Die at the point; where it was, empty if it was missed."""
        if self.rounds is None:
            self.made += 1
            self.rounds = Rounds(self.folder / str(self.made), SEED)
        try:
            return self.rounds.play(point).where
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End what runs."""
        if self.rounds is not None:
            self.rounds.close()
            self.rounds = None


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A KB that lives through all deaths of this module."""
    opened = Bench(tmp_path_factory.mktemp("bench"))
    yield opened
    opened.close()


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    """A KB and its reader."""
    opened = Lives(tmp_path / "home", random.Random(SEED))
    yield opened
    opened.close()


@pytest.mark.parametrize("point", POINTS[1:], ids=lambda point: f"{point.at}-{point.name}".replace(" ", "-"))
def test_killed_there_nothing_is_lost_and_nothing_comes_twice(bench: Bench, point: Point) -> None:
    """The kill hit, and everything that `Lives.verify` asks of the next start held."""
    point = replace(point, nth=min(point.nth, 12))
    for _ in range(TRIES):
        if bench.play(point):
            return
        point = replace(point, nth=max(1, point.nth // 2))  # it died too late: there were fewer
    pytest.fail(f"no kill in {TRIES} hit {point}")


def test_killed_at_random_times(tmp_path: Path) -> None:
    """Eight deaths while an editor and REST write, one after the other, of one state."""
    rounds = Rounds(tmp_path, SEED)
    try:
        hits = [rounds.play(RANDOM).hit for _ in range(8)]
    finally:
        rounds.close()
    assert any(hits), "not one kill hit in the middle of anything"


def test_a_written_file_that_was_not_indexed_is_told_by_the_next_start(lives: Lives) -> None:
    """Between the rename and the commit: once, origin `sweep`, as the next start finds it on the disk."""
    lives.start()
    lives.verify()
    lives.arm("before index")
    lives.act(["api update"], 1)
    lives.end(within_s=20.0)
    assert (lives.has_hit(), lives.unanswered) == ("before index", 1)
    lives.start()
    verdict = lives.verify()
    assert [event["origin"] for event in only_entry_events(verdict.missed)] == ["sweep"]


def test_a_committed_event_that_nobody_heard_is_replayed(lives: Lives) -> None:
    """Between commit and send: it is in the log as what it was, origin `api`, and not found a second time."""
    lives.start()
    lives.verify()
    lives.arm("after apply")
    lives.act(["api update"], 1)
    lives.end(within_s=20.0)
    assert (lives.has_hit(), lives.unanswered) == ("after apply", 1)
    lives.start()
    verdict = lives.verify()
    assert [(event["type"], event["origin"]) for event in verdict.missed] == [("entry_updated", "api")]


@pytest.mark.parametrize("kind", ["write", "api update"])
def test_nobody_hears_of_what_is_not_committed(lives: Lives, kind: str) -> None:
    """The process lingers before its COMMIT, and dies: what a reader is told, the log has."""
    lives.start()
    lives.verify()
    lives.arm("commit apply", linger_s=0.3)
    lives.act([kind], 1)
    lives.end(within_s=20.0)
    assert lives.has_hit() == "apply: COMMIT"
    assert lives.heard == {}, "told before the commit"
    lives.start()
    verdict = lives.verify()
    assert [event["origin"] for event in only_entry_events(verdict.missed)] == ["sweep"]


def test_half_of_a_temporary_file_is_neither_an_entry_nor_left_behind(lives: Lives) -> None:
    """It is in the folder when the process is dead, and gone when the next one is ready; no event."""
    lives.start()
    lives.verify()
    lives.arm("half temporary")
    lives.act(["api update"], 1)
    lives.end(within_s=20.0)
    assert lives.leftovers == 1
    assert len(list(lives.root.rglob(".pyrite-new-*.tmp"))) == 1
    lives.start()
    verdict = lives.verify()
    assert verdict.missed == []


def test_whoever_read_a_half_built_index_is_told_to_load_it_again(lives: Lives) -> None:
    """A first index that is killed has shown a passing epoch, which the next start does not know."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    lives.start("--port", port, point="before epoch", linger_s=2.0)
    api = Api(f"http://127.0.0.1:{port}")

    def half_built() -> str | None:
        try:
            return api.state().position if lives.note.exists() else None
        except OSError:
            return None

    passing = eventually(half_built, 20.0, what="the state during the first index")
    lives.end(within_s=20.0)
    process = lives.start()
    lives.verify()
    with Tab(process.url, since=passing) as tab:
        assert tab.wait_type("resync")["reason"] == "epoch"


@pytest.mark.parametrize("nth", [3, 12, 25, 40])
def test_killed_in_the_upgrade_of_the_earliest_state(lives: Lives, nth: int) -> None:
    """The migration is finished by the next start, and what it brings over is all there."""
    restore_earliest(lives.state_dir)
    shutil.copytree(lives.state_dir, lives.home / "other state")
    lives.start(point="statement migration", nth=nth)
    lives.end(within_s=20.0)
    assert lives.has_hit().startswith("migration: ")
    schema.open_state(lives.state_dir).close()
    schema.open_state(lives.home / "other state").close()
    assert contents(lives.state_dir) == contents(lives.home / "other state")


def test_a_clean_stop_without_a_server_names_the_last_position(lives: Lives) -> None:
    """The last line gives the position from which a script goes on; it gives that of the start."""
    process = WatchProcess(lives.root, home=lives.home, state_dir=lives.state_dir, options=["--no-serve"])
    with process:
        assert process.ready["offset"] == 0
        (lives.root / "late.md").write_text("---\nid: late\n---\nLate.\n", "utf-8")
        last = process.wait_for(lambda event: event.get("type") == "kb_synced")
        assert process.stop() == 0
        stopped = process.messages.since()[-1]
    assert (stopped["type"], stopped["epoch"], stopped["offset"]) == (
        "stopped",
        last["epoch"],
        last["offset"],
    )


def contents(state_dir: Path) -> list[tuple[str, list[tuple[object, ...]]]]:
    """Every table's rows."""
    connection = schema.open_reader(state_dir)
    try:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [(name, sorted(connection.execute(f"SELECT * FROM {name}"), key=repr)) for name in names]
    finally:
        connection.close()


def test_the_command_of_the_long_run(tmp_path: Path) -> None:
    """`rounds.py` plays its points in turn and says how many hit."""
    lines: list[str] = []
    outcomes = play_all(tmp_path, SEED, 3, lines.append)
    assert len(outcomes) == len(lines) == 3
