"""The whole-pipe fixtures, for the tests of this folder."""

from __future__ import annotations

from harness.fixtures import (
    Starter,
    corpus,
    home,
    make_small_kb,
    scene,
    small_kb,
    small_scene,
    start,
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
