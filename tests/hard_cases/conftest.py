"""The whole-pipe fixtures, for the rows of the hard cases; and how many of the variations run.

Each test is a row, or a part of one, and most have variations: 600 in all, with a process each. Without
`PYRITE_HARD_CASES=all` the first variation of each runs. `run.py` runs all of them, as often as one likes.
"""

from __future__ import annotations

import os

import pytest
from harness.fixtures import corpus, home, scene, small_kb, small_scene, start

__all__ = ["corpus", "home", "scene", "small_kb", "small_scene", "start"]


LONGEST = ("lost_hints", "recovery", "times", "links_and_rights", "roots", "git", "polling", "full_disk")
"""Modules whose tests wait for sweeps and time-outs: first, so that none is waited for in the end."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort them; keep the first variation of each test of this folder, unless all were asked for."""

    def rank(item: pytest.Item) -> int:
        module = item.path.stem.removeprefix("test_")
        return LONGEST.index(module) if module in LONGEST else len(LONGEST)

    if all("/hard_cases/" in item.nodeid for item in items):
        items.sort(key=rank)
    if os.environ.get("PYRITE_HARD_CASES") == "all":
        return
    seen: set[str] = set()
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        name = item.nodeid.partition("[")[0]
        is_variation = "/hard_cases/" in item.nodeid and name in seen
        (left_out if is_variation else kept).append(item)
        seen.add(name)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept
