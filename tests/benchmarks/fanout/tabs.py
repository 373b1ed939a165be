"""The tabs, by `load.c`: many in one process, and what they got."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.fanout.program import Program, cores

CONNECT_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Received:
    """What the tabs got of what they were to get."""

    total: int
    expected: int
    gaps: int
    least: int
    """Events at the tab that has the fewest."""
    p50_ms: float
    longest_ms: float
    """From the publishing until the last tab had the last event."""

    @property
    def is_whole(self) -> bool:
        """Whether every tab has everything, in order."""
        return self.total == self.expected and not self.gaps


class Tabs:
    """Connected tabs of one server. Creating it connects them; `close` cuts them off."""

    def __init__(self, program: Path, port: int, count: int, *options: str) -> None:
        self.count = count
        self._program = Program(
            f"{count} tabs", [program, str(port), "/ws", str(count), *options], cores()[1]
        )
        try:
            self.deflated = self._program.wait("ready", CONNECT_TIMEOUT_S)["deflated"]
        except BaseException:
            self.close()
            raise

    def expect(self, count: int, timeout_s: float) -> None:
        """Begin to count: so many events for each tab."""
        self._program.say(f"expect {count} {round(1000 * timeout_s)}")
        self._program.wait("armed", 10)
        self._timeout_s = timeout_s

    def received(self) -> Received:
        """Wait for what was expected, or for the deadline that was given with it."""
        found = self._program.wait("total", self._timeout_s + 10)
        return Received(**{name: found[name] for name in Received.__slots__})

    def wait_quiet(self, timeout_s: float) -> None:
        """Wait until nothing more comes."""
        self._program.say(f"quiet 300 {round(1000 * timeout_s)}")
        self._program.wait("quiet", timeout_s + 10)

    def close(self) -> None:
        """Cut them off."""
        self._program.close()
