"""A thread-safe record of JSON messages with the times of their receipt; one can wait on it.

One thread adds, any thread reads. A mark is a number of messages: what comes later lies behind it.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

Json = dict[str, Any]

ENTRY_TYPES = frozenset({"entry_created", "entry_updated", "entry_deleted"})
EVENT_TYPES = ENTRY_TYPES | {"kb_synced"}


def is_event(message: Json) -> bool:
    """Tell an event of the log from `ready`, `resync`, `heartbeat` and `stopped`."""
    return message.get("type") in EVENT_TYPES


def only_events(messages: Iterable[Json]) -> list[Json]:
    """Keep the events of the log, in order."""
    return [message for message in messages if is_event(message)]


def only_entry_events(messages: Iterable[Json]) -> list[Json]:
    """Keep the events that are about an entry, in order."""
    return [message for message in messages if message.get("type") in ENTRY_TYPES]


def types_of(messages: Iterable[Json]) -> Counter[str]:
    """Count the messages by type."""
    return Counter(str(message.get("type")) for message in messages)


def shown(messages: list[Json], limit: int = 12) -> str:
    """Write the last messages for a failure text, one a line."""
    lines = [f"  {message}" for message in messages[-limit:]]
    if len(messages) > limit:
        lines.insert(0, f"  … {len(messages) - limit} earlier ones")
    return "\n".join(lines) or "  (nothing)"


class Record:
    """Messages in the order of their receipt."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._messages: list[Json] = []
        self._times_s: list[float] = []
        self._changed = threading.Condition()
        self._end: str | None = None

    def add(self, message: Json) -> None:
        """Append a message, stamped with `time.perf_counter()`."""
        now_s = time.perf_counter()
        with self._changed:
            self._messages.append(message)
            self._times_s.append(now_s)
            self._changed.notify_all()

    def finish(self, why: str) -> None:
        """Say that nothing more can come; whoever waits fails at once."""
        with self._changed:
            if self._end is None:
                self._end = why
            self._changed.notify_all()

    @property
    def ended(self) -> str | None:
        """Why nothing more can come; None while something can."""
        with self._changed:
            return self._end

    def mark(self) -> int:
        """The number of messages so far."""
        with self._changed:
            return len(self._messages)

    def since(self, start: int = 0) -> list[Json]:
        """A copy of the messages behind a mark."""
        with self._changed:
            return self._messages[start:]

    def timed(self, start: int = 0) -> list[tuple[float, Json]]:
        """The messages behind a mark, each with the time of its receipt."""
        with self._changed:
            return list(zip(self._times_s[start:], self._messages[start:], strict=True))

    def wait_for(
        self,
        predicate: Callable[[Json], bool],
        timeout_s: float = 15.0,
        *,
        start: int = 0,
        what: str = "a message",
    ) -> Json:
        """Return the first message behind `start` that the predicate accepts.

        Raises:
            AssertionError: at the deadline, or when nothing more can come.
        """
        return self.wait_for_index(predicate, timeout_s, start=start, what=what)[1]

    def wait_for_index(
        self,
        predicate: Callable[[Json], bool],
        timeout_s: float = 15.0,
        *,
        start: int = 0,
        what: str = "a message",
    ) -> tuple[int, Json]:
        """As `wait_for`, with the message's index."""
        deadline = time.monotonic() + timeout_s
        index = start
        with self._changed:
            while True:
                while index < len(self._messages):
                    if predicate(self._messages[index]):
                        return index, self._messages[index]
                    index += 1
                self._wait_or_fail(deadline, timeout_s, what, start)

    def wait_until(
        self,
        condition: Callable[[list[Json]], bool],
        timeout_s: float = 15.0,
        *,
        start: int = 0,
        what: str = "the messages",
    ) -> list[Json]:
        """Return all messages behind `start` as soon as the condition holds for them together."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                messages = self._messages[start:]
                if condition(messages):
                    return messages
                self._wait_or_fail(deadline, timeout_s, what, start)

    def _wait_or_fail(self, deadline: float, timeout_s: float, what: str, start: int) -> None:
        """Wait for the next message; the lock is held."""
        left_s = deadline - time.monotonic()
        if self._end is None and left_s > 0:
            self._changed.wait(left_s)
            return
        why = self._end or f"nothing within {timeout_s:g} s"
        came = shown(self._messages[start:])
        raise AssertionError(f"{self.name}: waited for {what}: {why}. What came:\n{came}")
