"""The product in the property test: a real `pyrite watch`, started, stopped and killed over one state folder,
its event log, and everybody who listens to it."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from itertools import zip_longest

from harness.api import Api, State
from harness.process import WatchProcess
from harness.record import Json
from harness.replica import Replica

from property.followers import Follower
from property.judge import Judge
from property.world import MARKER_KB, World

SETTLE_TIMEOUT_S = 12.0
"""How long the index may take to be the disk: a root's end is looked for every 5 s, and git may hold 5 s."""


class Product:
    """A watch of the world's KBs, and its followers."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.home = world.folder / "home"
        self.home.mkdir()
        self.watch: WatchProcess | None = None
        self.log: list[Json] = []
        """The durable log from offset 1 on, as it was read."""
        self.followers: list[Follower] = []
        self.judge = Judge(world)
        self.ended: list[WatchProcess] = []
        """Earlier processes whose output was not judged yet."""
        self.repairs = 0
        self.slowest_s = 0.0
        self.epoch = ""
        self.reference = Replica(State("", 0))

    def begin(self) -> None:
        """Start it for the first time: the state at offset 0 is where the reference replica begins."""
        self.start()
        state = self.api.state()
        self.epoch = state.epoch
        assert state.offset == 0, "the first index of a new epoch makes no events"
        self.reference = Replica(state)
        self._settle(self.api.state)

    # -- life --------------------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        """Whether it runs."""
        return self.watch is not None

    @property
    def api(self) -> Api:
        """Its HTTP side."""
        return Api(self.running.url)

    @property
    def running(self) -> WatchProcess:
        """The process, which must run."""
        assert self.watch is not None
        return self.watch

    def start(self) -> None:
        """Start it and wait until it watches; in the place of an absent root it needs a folder."""
        self.watch = WatchProcess(
            *self.world.roots.values(), home=self.home, state_dir=self.home / "state", forked=True
        )
        self.watch.wait_ready()

    def stop(self, how: str) -> None:
        """End it: "cleanly", or "by a kill"."""
        watch = self.running
        if how == "cleanly":
            self.repairs += self._repairs()
            assert watch.stop(signal.SIGTERM) == 0, watch.describe()
        else:
            watch.kill()
        assert not watch.bad_lines or how != "cleanly", watch.bad_lines
        assert "Traceback" not in watch.output, watch.describe()
        self.ended.append(watch)
        self.watch = None
        for follower in self.followers:
            follower.drop()

    def close(self) -> None:
        """End it whatever its state."""
        for follower in self.followers:
            if follower.tab is not None:
                follower.tab.close()
        if self.watch is not None:
            with contextlib.suppress(OSError, AssertionError):
                self.repairs += self._repairs()
            self.watch.close()

    def _repairs(self) -> int:
        health: Json = self.api.get("/health")
        return int(health["last_sweep"]["repairs"])

    # -- followers ---------------------------------------------------------------------------

    def join(self, kbs: tuple[str, ...], plain: bool) -> None:
        """Let one more follow."""
        self.followers.append(Follower(len(self.followers) + 1, self.running.url, kbs, plain))

    # -- the check ---------------------------------------------------------------------------

    def check(self) -> None:
        """Let it settle, then assert: the index is the disk, the log is true, the replicas are the index."""
        path = self.world.make_marker()
        marker = self.running.wait_for(
            lambda message: message.get("type") == "entry_created" and message.get("path") == path,
            SETTLE_TIMEOUT_S,
            what=f"the marker {path}",
        )
        assert marker["kb_name"] == MARKER_KB
        told = self.api.state()
        assert told.offset >= marker["offset"], "told, but not yet to be read"
        state = self._settle(self.api.state)
        self._read_log(state)
        assert self.reference.entries == state.entries, "the events do not lead to the index"
        self._check_printed(self.running, state.offset)
        for ended in self.ended:
            self._check_printed(ended, None)
        self.ended.clear()
        for follower in self.followers:
            if follower.is_reading:
                self._check_follower(follower, state)
        self.judge.accept(state)

    def _settle(self, load: Callable[[], State]) -> State:
        """Wait until the index is the disk; give the state in which it was."""
        began_s = time.monotonic()
        while True:
            state = load()
            available = {kb["name"]: kb["available"] for kb in self.api.get("/api/kbs")["kbs"]}
            try:
                self.judge.check_index(state, self.api.problems(), available)
            except AssertionError as error:
                if time.monotonic() - began_s > SETTLE_TIMEOUT_S:
                    raise AssertionError(f"{error}\n{self.running.describe()}") from None
                time.sleep(0.05)
                continue
            if not self.log and not state.offset:
                self.judge.accept(state)
            self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
            return state

    def _read_log(self, state: State) -> None:
        """Read what is new in the durable log, up to the state, and judge it."""
        assert state.epoch == self.epoch, f"the epoch was {self.epoch} and is {state.epoch}"
        new: list[Json] = []
        while len(self.log) + len(new) < state.offset:
            position = f"{self.epoch}:{len(self.log) + len(new)}"
            page = self.api.get("/api/events/log", since=position, limit="1000")
            assert page["events"], f"the log ends at {position}, the index is at {state.position}"
            new += page["events"]
        new = new[: state.offset - len(self.log)]
        self.log += new
        self.judge.check_events(self.reference, new)

    def _check_printed(self, watch: WatchProcess, until: int | None) -> None:
        """Assert that stdout told the log from this start on, as far as `until` (None: as far as it came)."""
        events = [event for event in watch.events if until is None or event["offset"] <= until]
        ready = int(watch.ready["offset"])
        # What the first pass found is printed after the ready line, whose position is behind it.
        after = min(ready, events[0]["offset"] - 1) if events else ready
        logged = self.log[after : after + len(events) if until is None else until]
        for told, known in zip_longest(events, logged):
            assert told == known, f"stdout told {told}, the log holds {known}"

    def _check_follower(self, follower: Follower, state: State) -> None:
        wanted = [event for event in self.log[: state.offset] if follower.wants(event["kb_name"])]
        if wanted:
            follower.wait_for(wanted[-1]["offset"])
        heard = [event for event in follower.heard if event["offset"] <= state.offset]
        expected = [event for event in wanted if event["offset"] > follower.joined]
        assert heard == expected, f"{follower.name} heard other events than the log holds"
        mine = {key: place for key, place in state.entries.items() if follower.wants(key[0])}
        assert follower.replica.entries == mine, f"{follower.name} has another state than the index"
