"""The order of all tests: the slow ones first, so that none is left to a single worker in the end; and what
they inherit."""

from __future__ import annotations

import signal

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell ignores it behind `&`, and so would everything that the tests start and end by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

SLOW = ("property", "chaos", "crash", "hard_cases", "browser", "e2e", "test_readme")
"""Folders and modules whose tests wait for processes, browsers and time-outs, the slowest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort them; within a folder the order stays."""

    def rank(item: pytest.Item) -> int:
        place = item.nodeid.removeprefix("tests/")
        return next((number for number, name in enumerate(SLOW) if place.startswith(name)), len(SLOW))

    items.sort(key=rank)
