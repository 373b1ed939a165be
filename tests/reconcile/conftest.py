"""The test beds of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .bed import Bed, MakeBed, beds


@pytest.fixture
def make_bed(tmp_path: Path) -> Iterator[MakeBed]:
    """Make a bed with KBs of the given names, not yet opened."""
    with beds(tmp_path) as make:
        yield make


@pytest.fixture
def bed(make_bed: MakeBed) -> Bed:
    """A started bed with one empty KB, `kb`."""
    return make_bed().start()
