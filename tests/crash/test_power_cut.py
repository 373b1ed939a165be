"""Power cuts: the log may have lost its tail, so readers are told to load the state again. And only then."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from crash.lives import Lives
from crash.rounds import ANY, ON_DISK

pytestmark = pytest.mark.timeout(120)

DATABASE, WAL, SHARED = "index.sqlite", "index.sqlite-wal", "index.sqlite-shm"


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    """A KB and its reader."""
    opened = Lives(tmp_path / "home", random.Random(7))
    yield opened
    opened.close()


def live(lives: Lives, **spec: Any) -> None:
    """One life with changes that the reader hears of, up to its end."""
    process = lives.start(**spec)
    lives.verify()
    lives.act(ANY, 8)
    assert lives.replica is not None
    process.wait_for(lambda event: event.get("type") == "kb_synced")


@pytest.mark.parametrize(
    ("is_killed", "before", "after", "is_new"),
    [
        (True, "one", "two", True),
        (True, "one", "one", False),
        (False, "one", "two", False),
        (True, None, None, True),
        (True, "one", None, True),
        (True, None, "two", True),
        (False, None, None, False),
    ],
)
def test_only_an_unclean_stop_under_another_boot_or_an_unknown_one_begins_an_epoch(
    lives: Lives, is_killed: bool, before: str | None, after: str | None, is_new: bool
) -> None:
    """Everything else keeps epoch and log, and a reader resumes."""
    live(lives, boot=before)
    lives.end(by_kill=is_killed)
    lives.act(ON_DISK, 3)
    lives.start(boot=after)
    if is_new:
        lives.verify_void()
    else:
        assert lives.verify().missed


def test_a_lost_tail_of_the_write_ahead_log_is_a_new_epoch(lives: Lives, tmp_path: Path) -> None:
    """What was told of in it can't be resumed; the index is the disk again, by one new first state."""
    live(lives, boot="one", no_checkpoint=True)
    shutil.copy(lives.state_dir / WAL, tmp_path / WAL)
    assert lives.replica is not None
    lives.act(ANY, 8)
    lives.end(within_s=1.0)
    assert (lives.state_dir / WAL).stat().st_size > (tmp_path / WAL).stat().st_size
    known, heard = offset_in(lives.state_dir), lives.replica.offset
    shutil.copy(tmp_path / WAL, lives.state_dir / WAL)
    (lives.state_dir / SHARED).unlink(missing_ok=True)
    assert offset_in(lives.state_dir) < heard <= known, "the reader heard what the log has lost"
    lives.start(boot="two")
    lives.verify_void()


def test_the_mark_of_a_run_is_on_the_disk_before_its_first_event_leaves(lives: Lives, tmp_path: Path) -> None:
    """Else a cut would take mark and events alike, and the next start would think of a clean stop."""
    live(lives, boot="one")
    lives.end(by_kill=False)
    image = tmp_path / "image"
    live(lives, boot="one", no_checkpoint=True, image=str(image))
    lives.end(within_s=1.0)
    for name in (DATABASE, WAL, SHARED):
        (lives.state_dir / name).unlink(missing_ok=True)
        if (image / name).exists():
            shutil.copy(image / name, lives.state_dir / name)
    assert lives.replica is not None
    assert offset_in(lives.state_dir) < lives.replica.offset, "the reader heard what the log has lost"
    lives.start(boot="two")
    lives.verify_void()


def test_killed_again_before_the_new_epoch_begins(lives: Lives) -> None:
    """The void epoch does not come back, though the second stop was under the same boot."""
    live(lives, boot="one")
    lives.end()
    lives.start(point="before epoch", boot="two")
    lives.end(within_s=20.0)
    assert lives.has_hit() == "before epoch"
    assert lives.epoch_on_disk() is None
    lives.start(boot="two")
    lives.verify_void()


def offset_in(state_dir: Path) -> int:
    """The newest offset of a state that no process has open."""
    with closing(sqlite3.connect(state_dir / DATABASE)) as connection:
        return int(connection.execute("SELECT coalesce(max(offset), 0) FROM event").fetchone()[0])
