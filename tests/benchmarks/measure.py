"""What is measured and how it is shown: /proc, percentiles, a table with limits and ratios."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    `limit` is the most that it may be, None where there is none; `peer` is the named peer's in this run.
    """

    name: str
    value: float
    unit: str
    limit: float | None = None
    peer: float | None = None
    peer_name: str = ""

    @property
    def within(self) -> bool:
        """Whether it keeps its limit; true where there is none. NaN keeps none."""
        return self.limit is None or self.value <= self.limit

    @property
    def ratio(self) -> float | None:
        """How many times the peer's; None without a peer."""
        return self.value / self.peer if self.peer else None


@dataclass
class Report:
    """The figures of a run, in order."""

    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(
        self,
        name: str,
        value: float,
        unit: str,
        limit: float | None = None,
        peer: float | None = None,
        peer_name: str = "",
    ) -> None:
        """Add a figure, and say it at once: a long run shows where it is."""
        figure = Figure(name, value, unit, limit, peer, peer_name)
        self.figures.append(figure)
        print(f"… {_row(figure)[0]}: {' '.join(_row(figure)[1:]).strip()}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Add a line below the table."""
        self.notes.append(text)
        print(f"… {text}", file=sys.stderr, flush=True)

    @property
    def within(self) -> bool:
        """Whether every limit was kept."""
        return all(figure.within for figure in self.figures)

    def table(self) -> str:
        """The figures as a table."""
        rows = [("figure", "value", "limit", "", "peer", "ratio"), *(_row(one) for one in self.figures)]
        widths = [max(len(row[column]) for row in rows) for column in range(6)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
        ]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join([*(line.rstrip() for line in lines), *self.notes])

    def as_json(self) -> dict[str, object]:
        """The run for a file: figures, limits, and on what it ran."""
        return {
            "figures": [asdict(one) | {"within": one.within, "ratio": one.ratio} for one in self.figures],
            "notes": self.notes,
            "within": self.within,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()}",
            "cpus": os.cpu_count(),
        }


def _row(figure: Figure) -> tuple[str, str, str, str, str, str]:
    limit = "–" if figure.limit is None else f"≤ {figure.limit:g} {figure.unit}"
    verdict = "" if figure.limit is None else ("ok" if figure.within else "MISSED")
    peer = "" if figure.peer is None else f"{figure.peer:.3g} {figure.unit} ({figure.peer_name})"
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f} ×"
    return (figure.name, f"{figure.value:.3g} {figure.unit}", limit, verdict, peer, ratio)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


def tree(pid: int) -> list[int]:
    """A process and all its descendants that still run."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                with contextlib.suppress(OSError):
                    found += [int(child) for child in (task / "children").read_text().split()]
    return found


def cpu_s(pid: int) -> float:
    """CPU seconds that a process, its descendants and its ended children used so far."""
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(") ")[2].split()
            total += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
    return total / TICKS_PER_S


def memory_mb(pid: int, key: str = "VmRSS") -> float:
    """Megabytes (10^6) of a process and its descendants: `VmRSS` now, `VmHWM` at its highest."""
    total = 0.0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{one}/status").read_text().splitlines():
                if line.startswith(f"{key}:"):
                    total += int(line.split()[1]) * 1024 / 1e6
    return total


def idle_cpu_percent(pids: Sequence[int], seconds: float) -> list[float]:
    """Percent of one core that each process uses in these seconds, all at the same time."""
    began = time.monotonic()
    before = [cpu_s(pid) for pid in pids]
    time.sleep(seconds)
    after = [cpu_s(pid) for pid in pids]
    took_s = time.monotonic() - began
    return [100 * (late - early) / took_s for early, late in zip(before, after, strict=True)]
