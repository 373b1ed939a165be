"""The whole-pipe fixtures, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.fixtures import (
    Starter,
    corpus,
    home,
    make_small_kb,
    scene,
    small_kb,
    small_scene,
    starting,
    write_entry,
)

__all__ = [
    "Starter",
    "corpus",
    "home",
    "make_small_kb",
    "scene",
    "small_kb",
    "small_scene",
    "start",
    "write_entry",
]


@pytest.fixture
def start(home: Path, request: pytest.FixtureRequest) -> Iterator[Starter]:
    """Start watches; those of the main job as a person starts them: by a new interpreter each."""
    with starting(home, forked=not request.path.stem.endswith("main_job")) as starter:
        yield starter
