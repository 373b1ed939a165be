"""The catalogue does not rot: each mutation still finds its place. `run.py` proves that tests catch it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mutations.mutation import Mutation
from mutations.run import ALL

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("mutation", ALL, ids=lambda mutation: mutation.name)
def test_a_mutation_applies_and_its_tests_are_there(mutation: Mutation) -> None:
    """Its text is there exactly once, what it becomes is still a script, and its tests are there."""
    source = (REPOSITORY / mutation.file).read_text("utf-8")
    assert source.count(mutation.old) == 1
    if mutation.file.endswith(".py"):
        compile(source.replace(mutation.old, mutation.new), mutation.file, "exec")
    for test in mutation.tests:
        assert (REPOSITORY / test.partition("::")[0]).exists(), test


def test_names_are_unique() -> None:
    """They are what one types."""
    names = [mutation.name for mutation in ALL]
    assert len(names) == len(set(names))
