"""Chaos, shortened: the long runs are `tests/chaos/chaos.py`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from chaos.chaos import Chaos, Outcome


def run(folder: Path, readers: int, events: int, reconnects: int, retention: int | None) -> Outcome:
    chaos = Chaos(folder, readers, events, reconnects, retention, seed=7)
    try:
        return asyncio.run(chaos.run())
    finally:
        chaos.close()


@pytest.mark.timeout(180)
def test_readers_that_cut_off_and_stall_end_with_every_event_once(tmp_path: Path) -> None:
    """Through three restarts, two ways of reading, and a hundred reconnects."""
    outcome = run(tmp_path, 12, 1500, 100, None)
    outcome.check(is_compacted=False)
    assert sum(len(reader.events) for reader in outcome.readers) == 12 * len(outcome.log)
    assert outcome.done["killed"] + outcome.done["stopped"] == 3
    assert outcome.done["sockets"] > 20
    assert outcome.done["streams"] > 10


@pytest.mark.timeout(180)
def test_with_a_compacted_log_they_end_in_the_same_state(tmp_path: Path) -> None:
    """Some of what they missed is superseded and gone."""
    outcome = run(tmp_path, 8, 1500, 60, 200)
    outcome.check(is_compacted=True)
    assert len(outcome.log) < outcome.end.offset - outcome.start.offset
