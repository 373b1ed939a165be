"""Waiting for a condition, with a deadline and a failure text that says what was seen last."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

FIRST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 0.06


def eventually(
    condition: Callable[[], T],
    timeout_s: float = 20.0,
    *,
    what: str = "the condition",
    interval_s: float | None = None,
) -> T:
    """Ask `condition` until it gives something true, and return that.

    An AssertionError inside it means "not yet"; any other exception ends the wait at once. Without an
    interval it asks often at first, then rarer: that costs whom it asks as much as it costs this process.

    Raises:
        AssertionError: at the deadline, with the last value or the last failed assertion.
    """
    deadline = time.monotonic() + timeout_s
    pause_s = interval_s or FIRST_PAUSE_S
    while True:
        seen: object
        try:
            value = condition()
            if value:
                return value
            seen = repr(value)
        except AssertionError as error:
            seen = f"AssertionError: {error}"
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}; last seen: {seen}")
        time.sleep(pause_s)
        if interval_s is None:
            pause_s = min(LONGEST_PAUSE_S, 1.25 * pause_s)
