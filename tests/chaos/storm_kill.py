"""`kill -9` in the middle of a storm, while tabs listen; then they go on from where each of them was.

    python tests/chaos/storm_kill.py [--files 4000] [--retention N] [--rounds N] [--seed N]

A file changes at most once in a storm, so each change is one event: none is missing, none comes twice, none
is told of a file that nobody touched, across the kill too. Where `--retention` lets the log be compacted
while the readers are away, they end with the same state. Exit code 0: so it was.
"""

from __future__ import annotations

import argparse
import random
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.api import Api, State
from harness.process import WatchProcess
from harness.reader import read_kb
from harness.record import Json, is_event, only_entry_events, only_events
from harness.replica import Replica
from harness.socket import Tab
from harness.stream import EventStream, plain
from harness.wait import eventually

PER_FOLDER = 100
WAIT_S = 120.0

LEAST, MOST = 0.2, 0.8
"""A kill between these shares of a storm's events is one in its middle."""

Change = Callable[[], None]


class Files:
    """A KB, and storms over it. A file is written as editors and programs do: in place, or renamed in."""

    def __init__(self, root: Path, rng: random.Random, files: int) -> None:
        self.root, self.rng = root, rng
        self.paths: dict[int, Path] = {}
        """Where each entry lies; what is deleted is not here."""
        self.touched: set[str] = set()
        """The ids of what the storm changes, adds or deletes."""
        for number in range(files):
            self.write(number, self._path(number), "As it was.")
        self.made = files

    def _path(self, number: int) -> Path:
        return self.root / f"area-{number // PER_FOLDER}" / f"e{number}.md"

    def write(self, number: int, path: Path, text: str) -> None:
        """Write an entry whole. Every second has no `id` but that of its title."""
        name = f"id: e{number}" if number % 2 else f"title: Entry {number}"
        content = f"---\n{name}\n---\n{text} {self.rng.random()}\n"
        path.parent.mkdir(exist_ok=True)
        if number % 3:
            path.write_text(content, "utf-8")
        else:
            beside = path.with_name(f".{path.name}.tmp")
            beside.write_text(content, "utf-8")
            beside.rename(path)
        self.paths[number] = path

    def plan(self) -> list[Change]:
        """Plan a storm: four files of five are changed, each once; as many as a tenth of them are new."""
        numbers = self.rng.sample(sorted(self.paths), len(self.paths) * 4 // 5)
        new = range(self.made, self.made + len(numbers) // 10)
        self.made = new.stop
        self.touched = {f"e{n}" if n % 2 else f"entry-{n}" for n in (*numbers, *new)}
        changes = [self._change(number) for number in numbers] + [self._add(number) for number in new]
        self.rng.shuffle(changes)
        return changes

    def _add(self, number: int) -> Change:
        return lambda: self.write(number, self._path(number), "It is new.")

    def _change(self, number: int) -> Change:
        kind = self.rng.choices(("rewrite", "delete", "move"), (7, 1, 2))[0]

        def change() -> None:
            path = self.paths[number]
            if kind == "rewrite":
                self.write(number, path, "It is another.")
            elif kind == "delete":
                path.unlink()
                del self.paths[number]
            else:
                self.paths[number] = path.rename(path.with_name(f"moved-{path.name}"))

        return change

    def rewrite_touched(self) -> None:
        """Change once more what the storm changed, so that its events are superseded."""
        for number, path in sorted(self.paths.items()):
            if {f"e{number}", f"entry-{number}"} & self.touched:
                self.write(number, path, "And again.")


def make(changes: Sequence[Change]) -> None:
    """Make changes, as fast as it goes."""
    for change in changes:
        change()


class Listener:
    """A tab, or a stream: what it has taken in over all its connections, and so its position."""

    def __init__(self, kind: type[Tab] | type[EventStream], state: State) -> None:
        self.kind = kind
        self.position = state.position
        self.events: list[Json] = []
        self.ready: list[Json] = []
        self.resyncs: list[Json] = []
        self._open: Tab | EventStream | None = None

    def connect(self, url: str) -> None:
        """Go on from its position, and wait for the end of the replay."""
        self._open = self.kind(url, since=self.position)
        ready = self._open.messages.wait_for(lambda message: message["type"] == "ready", WAIT_S, what="ready")
        self.ready.append(ready)

    def wait_offset(self, offset: int) -> None:
        """Wait for the event that has this offset, or a later one."""
        assert self._open is not None
        self._open.messages.wait_for(
            lambda message: is_event(message) and message["offset"] >= offset, WAIT_S, what=f"event {offset}"
        )

    def heard(self) -> list[Json]:
        """The events of this connection, as they came."""
        assert self._open is not None
        return [plain(message) for message in only_events(self._open.messages.since())]

    def leave(self, taken: int | None = None) -> None:
        """Close the connection. Only so many of its events were taken in: the others were on their way."""
        assert self._open is not None
        self._open.close()
        events = self.heard()[:taken]
        self.resyncs += [m for m in self._open.messages.since() if m["type"] == "resync"]
        self._open = None
        self.events += events
        if self.events:
            self.position = f"{self.events[-1]['epoch']}:{self.events[-1]['offset']}"

    def close(self) -> None:
        """Leave, if it is there still."""
        if self._open is not None:
            self._open.close()


@dataclass
class Outcome:
    """What came of one storm."""

    start: State
    end: State
    disk: dict[str, tuple[str, str]]
    """The entries, by the reader that shares no code with the product."""
    log: list[Json]
    touched: set[str]
    listeners: list[Listener]
    taken: list[int] = field(default_factory=list)
    """How many events each listener had taken in when the server was gone."""

    @property
    def shares(self) -> list[float]:
        """The part of the storm that each had taken in by then, about: passes have events, too."""
        return [taken / len(self.touched) for taken in self.taken]

    def summary(self) -> str:
        """What happened, in numbers."""
        told = only_entry_events(self.log)
        origins = dict(sorted(Counter(event["origin"] for event in told).items()))
        shares = ", ".join(f"{share:.0%}" for share in self.shares)
        return (
            f"{len(self.touched)} entries changed, {self.end.offset - self.start.offset} events"
            f" ({len(self.log)} in the log at the end, {len(told)} of entries: {origins});"
            f" taken in before the kill: {shares}"
        )

    def check(self, is_compacted: bool) -> None:
        """Raise where something is missing, or was told twice, or of what nobody changed."""
        (name,) = {kb for kb, _ in self.end.entries}
        assert self.end.of(name) == self.disk, "the index is not the disk"
        assert self.end.epoch == self.start.epoch, "a new epoch"
        assert LEAST <= self.shares[0] <= MOST, f"not in the middle of the storm: {self.shares}"
        for number, listener in enumerate(self.listeners):
            assert not listener.resyncs, f"listener {number} was told to begin anew: {listener.resyncs}"
            told = [event["offset"] for event in listener.events]
            assert told == sorted(set(told)), f"listener {number} was told something twice, or out of order"
            replica = Replica(self.start, dense=not is_compacted)
            replica.apply_all(listener.events)
            assert replica.entries == self.end.entries, f"listener {number} ended in another state"
            strangers = {e["entry_id"] for e in only_entry_events(listener.events)} - self.touched
            assert not strangers, (
                f"listener {number} was told of what nobody changed: {sorted(strangers)[:5]}"
            )
            if not is_compacted:
                assert listener.events == self.log, f"listener {number} has not what the log has"
        if is_compacted:
            assert all(listener.ready[-1]["compacted"] for listener in self.listeners), "not compacted"
            return
        times = Counter(event["entry_id"] for event in only_entry_events(self.log))
        assert times.keys() == self.touched, f"not told: {sorted(self.touched - times.keys())[:5]}"
        assert max(times.values()) == 1, f"one change, more events: {times.most_common(3)}"


class StormKill:
    """One KB, and a server over it that dies in storm after storm.

    Args:
        retention: Of the log, which is then compacted while the readers are away. None keeps all.
    """

    def __init__(self, folder: Path, files: int, retention: int | None, seed: int) -> None:
        self.rng = random.Random(seed)
        self.retention = retention
        self.home = folder / "home"
        root = self.home / "kb"
        root.mkdir(parents=True)
        self.files = Files(root, self.rng, files)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.options = ["--port", str(free.getsockname()[1])]
        if retention is not None:
            self.options += ["--retention", str(retention)]
        self.process = self._start()

    def _start(self) -> WatchProcess:
        process = WatchProcess(
            self.files.root, home=self.home, state_dir=self.home.parent / "state", options=self.options
        )
        try:
            process.wait_ready(WAIT_S)
        except BaseException:
            process.close()
            raise
        return process

    def close(self) -> None:
        """End what runs."""
        self.process.close()

    def play(self) -> Outcome:
        """One storm, and a death in it."""
        api = Api(self.process.url, timeout_s=WAIT_S)
        start = api.state()
        listeners = [Listener(kind, start) for kind in (Tab, Tab, EventStream, Tab, Tab)]
        try:
            return self._play(api, start, listeners)
        finally:
            for listener in listeners:
                listener.close()

    def _play(self, api: Api, start: State, listeners: list[Listener]) -> Outcome:
        for listener in listeners:
            listener.connect(self.process.url)
        changes = self.files.plan()
        # What is made at once, what while nothing runs, and what while it starts again. The first part ends
        # before the storm's events could all be told, so that the kill is in their middle for sure.
        first, second = len(changes) * 3 // 4, len(changes) * 7 // 8
        with running(lambda: make(changes[:first])):
            self._kill(start, listeners, len(changes))
        make(changes[first:second])
        taken = [len(listener.events) for listener in listeners]
        with running(lambda: make(changes[second:])):
            self.process = self._start()
        if self.retention is not None:
            self._compact(api, start)
        for listener in listeners:
            listener.connect(self.process.url)
        assert api.request("POST", "/api/index/sync").status == 200
        end = api.state()
        for listener in listeners:
            listener.wait_offset(end.offset)
            listener.leave()
        log, disk = load_log(api, start), read_kb(self.files.root).entries
        return Outcome(start, end, disk, log, self.files.touched, listeners, taken)

    def _kill(self, start: State, listeners: list[Listener], changes: int) -> None:
        """Kill it when the first listener has heard a part of the storm; each keeps a position of its own."""
        early = listeners[-1]
        early.wait_offset(start.offset + changes // 10)
        early.leave(changes // 10)
        listeners[0].wait_offset(start.offset + int(changes * self.rng.uniform(0.25, 0.5)))
        self.process.kill()
        listeners[0].leave()
        for listener in listeners[1:-1]:
            # A page may end with its server: the last that it showed is anything that it was sent.
            heard = len(listener.heard())
            listener.leave(self.rng.randint(heard // 2, heard))
        assert "Traceback" not in self.process.output, self.process.describe()
        self.process.close()

    def _compact(self, api: Api, start: State) -> None:
        """Supersede what was told, and wait until the log is compacted: from then on, or still at it."""
        self.files.rewrite_touched()
        assert api.request("POST", "/api/index/sync").status == 200
        eventually(
            lambda: api.get("/api/events/log", since=start.position, limit="1")["compacted"],
            WAIT_S,
            what="a compacted log",
        )


@contextmanager
def running(work: Callable[[], None]) -> Iterator[None]:
    """Do something beside, and wait for its end; what it raises is raised."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        yield
        future.result(WAIT_S)


def load_log(api: Api, start: State) -> list[Json]:
    """The durable log's events after a state, by HTTP."""
    events: list[Json] = []
    position = start.position
    while True:
        page = api.get("/api/events/log", since=position, limit="1000")
        events += only_events(page["events"])
        position = f"{page['epoch']}:{page['offset']}"
        if not page["more"]:
            return events


def main() -> int:
    """Run it and say what happened."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--retention", type=int, help="compact the log beyond so many events")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="pyrite-storm-kill-") as folder:
        storms = StormKill(Path(folder).resolve(), options.files, options.retention, options.seed)
        try:
            for _ in range(options.rounds):
                outcome = storms.play()
                print(outcome.summary(), flush=True)
                outcome.check(is_compacted=options.retention is not None)
        finally:
            storms.close()
    print("no gap, no repeat, and the disk in the end")
    return 0


if __name__ == "__main__":
    sys.exit(main())
