"""The measuring: all servers are up with the same number of tabs, and measured in turns, in rounds.

A server that fails or does not answer is out from then on, and the run says so; the others go on.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.fanout.program import ProgramError
from benchmarks.fanout.servers import Cache, Kind, MissingError, Server
from benchmarks.fanout.tabs import Received, Tabs

STORM = 4_000
MIN_STORM = 20
SINGLES = (10, 300)
"""The fewest and the most single events of a round."""

STALL_TABS = 1_000
STALL_PAD = 4_096
"""Slow servers get few events, so these are long: a stalled tab must be full long before the last."""
STALL_EVENTS = 60
"""245 KB: a stalled tab's kernel takes 90 of it, the buffer of an asyncio transport 64."""

DELAY_TABS = 100
DELAY_EVENTS = 100
DELAY_GAP_US = 3_000

MIN_TIMEOUT_S = 20.0
STALLED_TIMEOUT_S = 3.0
"""How long the others are waited for beside a stalled tab, at least; and twice what they took without it."""

WARM_UP_TABS = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        single_rounds: Rounds by number of tabs; another number has `other_rounds`.
        deliveries: About how many a round of singles has.
        storm_s: CPU seconds that a slow server's storm may take.
        long_storms: Storms that a stalled tab of ours sleeps through; 15 are more than the hub's log.
    """

    tabs: tuple[int, ...]
    single_rounds: dict[int, int]
    storm_rounds: dict[int, int]
    other_rounds: int
    stall_rounds: int
    delay_rounds: int
    deliveries: int
    storm_s: float
    long_storms: int
    deadline_s: int


FULL = Plan(
    tabs=(100, 1_000, 5_000),
    single_rounds={1_000: 5},
    storm_rounds={5_000: 2},
    other_rounds=3,
    stall_rounds=7,
    delay_rounds=7,
    deliveries=60_000,
    storm_s=1.0,
    long_storms=15,
    deadline_s=1_200,
)
QUICK = Plan(
    tabs=(100, 1_000),
    single_rounds={1_000: 3},
    storm_rounds={},
    other_rounds=1,
    stall_rounds=3,
    delay_rounds=3,
    deliveries=30_000,
    storm_s=0.4,
    long_storms=3,
    deadline_s=300,
)


@dataclass
class Measured:
    """What was measured of one row: lists hold a value a round, by number of tabs."""

    single_s: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    """CPU seconds per million deliveries."""
    storm_s: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    storm_ms: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Milliseconds per 1,000 events until the last tab had the last one."""
    tab_kib: dict[int, float] = field(default_factory=dict)
    free_ms: list[float] = field(default_factory=list)
    """Until the last delivery of a storm, without a stalled tab; the next the same with one."""
    stalled_ms: list[float] = field(default_factory=list)
    stopped: str = ""
    """How far the others got where a stalled tab stopped them."""
    stall_mb: float = float("nan")
    long_stall_mb: float = float("nan")
    hub_ms: list[float] = field(default_factory=list)
    """The median of single events through the hub, and the next the same written directly."""
    direct_ms: list[float] = field(default_factory=list)


def median(values: Sequence[float]) -> float:
    """The median; NaN of nothing, which keeps no limit."""
    return statistics.median(values) if values else float("nan")


class _Running:
    """A server that is up, with its tabs."""

    def __init__(self, kind: Kind, server: Server, tabs: Tabs) -> None:
        self.kind = kind
        self.server = server
        self.tabs = tabs

    def close(self) -> None:
        """Stop both."""
        self.tabs.close()
        self.server.close()

    def publish(self, command: str, count: int, timeout_s: float) -> tuple[float, Received]:
        """Let it publish `count` events; return what that took of its CPU, and what the tabs got."""
        self.tabs.expect(count, timeout_s)
        before = self.server.program.cpu_s
        self.server.begin(command)
        received = self.tabs.received()
        if received.is_whole:
            # It may still be at it: a pause after the last event, say.
            self.server.finish(timeout_s)
        return self.server.program.cpu_s - before, received

    def whole(self, command: str, count: int) -> tuple[float, Received]:
        """The same where everything has to arrive.

        Raises:
            ProgramError: It has not, or not in order.
        """
        used_s, received = self.publish(command, count, MIN_TIMEOUT_S + count * self.tabs.count * 2e-4)
        if not received.is_whole:
            raise ProgramError(
                f"`{command}`: {received.total} of {received.expected} arrived, {received.gaps} gaps"
            )
        return used_s, received


class Bench:
    """A whole run."""

    def __init__(
        self, kinds: Sequence[Kind], plan: Plan, cache: Cache, folder: Path, note: Callable[[str], None]
    ):
        self.plan = plan
        self.measured: dict[str, Measured] = defaultdict(Measured)
        self._kinds = list(kinds)
        self._cache = cache
        self._folder = folder
        self._note = note
        self._load = cache.build("load", "-lz")
        self._running: list[_Running] = []

    def run(self) -> None:
        """Measure everything."""
        for tabs in self.plan.tabs:
            say(f"{tabs} tabs: starting {', '.join(kind.key for kind in self._kinds)}")
            try:
                self._start(tabs)
                self._rounds(tabs)
                if tabs == DELAY_TABS:
                    self._each(self._delay, ("ours",))
                if tabs == STALL_TABS:
                    self._each(self._stall)
            finally:
                self.close()

    def close(self) -> None:
        """Stop all that runs."""
        for running in self._running:
            running.close()
        self._running.clear()

    # -- starting ----------------------------------------------------------------------------

    def _start(self, tabs: int) -> None:
        for kind in list(self._kinds):
            if kind.tabs is not None and tabs not in kind.tabs:
                continue
            say(f"starting {kind.key}")
            with contextlib.ExitStack() as undo:
                try:
                    server = kind.start(self._cache, self._folder / f"{kind.key}-{tabs}")
                    undo.callback(server.close)
                    self._connect(kind, server, WARM_UP_TABS).close()
                    time.sleep(0.5)
                    before = server.program.memory_mb
                    connected = self._connect(kind, server, tabs)
                    time.sleep(0.5)
                except (MissingError, ProgramError) as error:
                    self._drop(kind, f"with {tabs} tabs: {error}")
                    continue
                undo.pop_all()
            self.measured[kind.key].tab_kib[tabs] = (server.program.memory_mb - before) * 1e6 / 1024 / tabs
            self._running.append(_Running(kind, server, connected))

    def _connect(self, kind: Kind, server: Server, tabs: int, *options: str) -> Tabs:
        connected = Tabs(self._load, server.port, tabs, *kind.tab_options, *options)
        if connected.deflated != (tabs if "deflate" in kind.tab_options else 0):
            connected.close()
            raise ProgramError(f"{connected.deflated} of {tabs} tabs have permessage-deflate")
        return connected

    def _drop(self, kind: Kind, why: str) -> None:
        """Measure it no more, and say so."""
        self._note(f"NOT MEASURED: {kind.title} {why}")
        self._kinds.remove(kind)

    def _each(self, measure: Callable[[_Running], None], keys: Sequence[str] = ()) -> None:
        """Measure one after the other; all, or those named."""
        for running in list(self._running):
            if keys and running.kind.key not in keys:
                continue
            try:
                measure(running)
            except ProgramError as error:
                self._drop(running.kind, f"with {running.tabs.count} tabs: {error}")
                self._running.remove(running)
                running.close()

    # -- singles and storms ------------------------------------------------------------------

    def _rounds(self, tabs: int) -> None:
        singles = self.plan.single_rounds.get(tabs, self.plan.other_rounds)
        storms = self.plan.storm_rounds.get(tabs, self.plan.other_rounds)
        for number in range(max(singles, storms)):
            say(f"{tabs} tabs: round {number + 1} of {max(singles, storms)}")
            if number < singles:
                self._each(self._single)
            if number < storms:
                self._each(self._storm)

    def _single(self, running: _Running) -> None:
        tabs = running.tabs.count
        count = min(max(self.plan.deliveries // tabs, SINGLES[0]), SINGLES[1])
        gap_us = max(3_000, 10 * tabs)
        for way in running.kind.ways:
            if way.single:
                used_s, _ = running.whole(f"{way.single} {count} {gap_us} 0", count)
                self.measured[way.key].single_s[tabs].append(used_s * 1e6 / count / tabs)

    def _storm(self, running: _Running) -> None:
        tabs = running.tabs.count
        for way in running.kind.ways:
            if not way.storm:
                continue
            affordable = int(self.plan.storm_s / (way.storm_us * 1e-6 * tabs))
            # What is fast gets the whole storm whatever the plan affords.
            count = STORM if way.storm_us < 1 else min(max(affordable, MIN_STORM), STORM)
            used_s, received = running.whole(f"{way.storm} {count} 0", count)
            self.measured[way.key].storm_s[tabs].append(used_s * 1e6 / count / tabs)
            self.measured[way.key].storm_ms[tabs].append(received.longest_ms * 1000 / count)

    # -- what ours promises beside -----------------------------------------------------------

    def _delay(self, running: _Running) -> None:
        """Single events through the hub and written directly, in turns."""
        measured = self.measured[running.kind.key]
        for _ in range(self.plan.delay_rounds):
            for command, values in (("single", measured.hub_ms), ("direct", measured.direct_ms)):
                _, received = running.whole(f"{command} {DELAY_EVENTS} {DELAY_GAP_US} 0", DELAY_EVENTS)
                values.append(received.p50_ms)

    def _stall(self, running: _Running) -> None:
        """A storm without and with one more tab, which reads nothing."""
        kind, measured = running.kind, self.measured[running.kind.key]
        if kind.key in ("c", "deflate"):
            return  # a limit, which has nothing to keep a stalled tab with; the naive manager once more
        is_fast = kind.storm_us < 1 and kind.key != "uws"
        count, pad = (STORM, 0) if is_fast else (STALL_EVENTS, STALL_PAD)
        rounds = {"ours": self.plan.stall_rounds, "plain": 3}.get(kind.key, 1)
        say(f"{kind.key}: beside a stalled tab")
        growths = []
        for _ in range(rounds):
            _, free = running.whole(f"storm {count} {pad}", count)
            measured.free_ms.append(free.longest_ms)
            before = running.server.program.memory_mb
            with contextlib.closing(self._connect(kind, running.server, 1, "stalled")):
                timeout_s = max(STALLED_TIMEOUT_S, 2 * free.longest_ms / 1000)
                _, received = running.publish(f"storm {count} {pad}", count, timeout_s)
                growths.append(running.server.program.memory_mb - before)
            if not received.is_whole:
                measured.stopped = f"stops all at {received.least} of {count}"
                return  # the next server is another process
            measured.stalled_ms.append(received.longest_ms)
            running.tabs.wait_quiet(10)
        measured.stall_mb = max(growths)
        if is_fast:
            measured.long_stall_mb = self._long_stall(running)

    def _long_stall(self, running: _Running) -> float:
        before = running.server.program.memory_mb
        with contextlib.closing(self._connect(running.kind, running.server, 1, "stalled")):
            for _ in range(self.plan.long_storms):
                running.whole(f"storm {STORM} 0", STORM)
            return running.server.program.memory_mb - before


_BEGAN_S = time.monotonic()


def say(text: str) -> None:
    """Say where a long run is."""
    print(f"… {time.monotonic() - _BEGAN_S:.0f} s: {text}", file=sys.stderr, flush=True)
