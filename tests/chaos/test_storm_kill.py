"""`kill -9` in mid-storm, shortened: the long runs are `tests/chaos/storm_kill.py`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chaos.storm_kill import StormKill

FILES = 1_500


@contextmanager
def storms_over(folder: Path, retention: int | None, seed: int) -> Iterator[StormKill]:
    storms = StormKill(folder, FILES, retention, seed)
    try:
        yield storms
    finally:
        storms.close()


@pytest.mark.timeout(240)
def test_a_kill_in_mid_storm_then_resuming_ends_equal_to_the_disk(tmp_path: Path) -> None:
    """Every change is told once to tabs and streams, each from where it was; twice over the same log."""
    with storms_over(tmp_path, None, seed=5) as storms:
        for _ in range(2):
            outcome = storms.play()
            outcome.check(is_compacted=False)
            assert len({listener.events[-1]["offset"] for listener in outcome.listeners}) == 1
            assert len(set(outcome.taken)) > 2, "their positions at the kill are all the same"


@pytest.mark.timeout(240)
def test_with_a_log_compacted_while_they_are_away_they_end_in_the_same_state(tmp_path: Path) -> None:
    """What they missed is superseded and gone; the positions of before the kill are still good."""
    with storms_over(tmp_path, 100, seed=6) as storms:
        outcome = storms.play()
        outcome.check(is_compacted=True)
        assert len(outcome.log) < outcome.end.offset - outcome.start.offset
