"""The whole-pipe fixtures, for the small tests of what the property test found."""

from __future__ import annotations

from harness.fixtures import home, small_kb, small_scene, start

__all__ = ["home", "small_kb", "small_scene", "start"]
