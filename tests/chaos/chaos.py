"""Readers that cut off, stall and dawdle, a server that is killed and started again, and events all along.

    python tests/chaos/chaos.py [--readers 24] [--events 6000] [--reconnects 600] [--retention N] [--seed N]

Each reader must end with every event exactly once, in order; where `--retention` lets the log be compacted,
with the same state as the index. And the index with the disk. Exit code 0: so it was.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import socket
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.api import Api, State
from harness.process import WatchProcess
from harness.reader import read_kb
from harness.record import Json, only_events
from harness.replica import Replica

from chaos.clients import Plan, Reader

ENTRIES = 150
ROUND_S = 0.05


@dataclass
class Outcome:
    """What came of it."""

    readers: list[Reader]
    log: list[Json]
    start: State
    end: State
    seconds: float
    done: Counter[str] = field(default_factory=Counter)

    def summary(self) -> str:
        """What happened, in numbers."""
        events = self.end.offset - self.start.offset
        connects = self.done["sockets"] + self.done["streams"]
        codes = sum((reader.close_codes for reader in self.readers), Counter())
        return (
            f"{len(self.readers)} readers, {events} events ({len(self.log)} in the log at the end),"
            f" {connects} connections, {self.seconds:.0f} s: no gap, no repeat\n"
            f"  what was done: {dict(sorted(self.done.items()))}\n"
            f"  close codes: {dict(sorted((int(code), count) for code, count in codes.items()))}"
        )

    def check(self, is_compacted: bool) -> None:
        """Raise where a reader missed something, or was told it twice."""
        offsets = [event["offset"] for event in self.log]
        first, last = self.start.offset, self.end.offset
        if not is_compacted:
            assert offsets == list(range(first + 1, last + 1)), "the log itself is not dense"
        for number, reader in enumerate(self.readers):
            assert not reader.resyncs, f"reader {number} was told to begin anew: {reader.resyncs}"
            told = [event["offset"] for event in reader.events]
            assert told == sorted(set(told)), f"reader {number} was told something twice, or out of order"
            if not is_compacted:
                assert reader.events == self.log, f"reader {number} has {len(told)} of {len(offsets)} events"
            replica = Replica(self.start, dense=not is_compacted)
            replica.apply_all(reader.events)
            assert replica.entries == self.end.entries, f"reader {number} ended in another state"


class Chaos:
    """One run, in a folder of its own."""

    def __init__(
        self, folder: Path, readers: int, events: int, reconnects: int, retention: int | None, seed: int
    ) -> None:
        self.folder, self.seed = folder, seed
        self.readers, self.events, self.reconnects = readers, events, reconnects
        self.rng = random.Random(seed)
        self.root = folder / "home" / "kb"
        self.root.mkdir(parents=True)
        for number in range(ENTRIES):
            self._write(number, "first")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.options = ["--port", str(self.port)]
        if retention is not None:
            self.options += ["--retention", str(retention)]
        self.process = self._start()
        self.restarts: Counter[str] = Counter()

    def _start(self) -> WatchProcess:
        process = WatchProcess(
            self.root, home=self.folder / "home", state_dir=self.folder / "state", options=self.options
        )
        process.wait_ready(60)
        return process

    def _write(self, number: int, text: str) -> None:
        (self.root / f"e{number}.md").write_text(f"---\nid: e{number}\n---\n{text} {self.rng.random()}\n")

    def close(self) -> None:
        """End what runs."""
        self.process.close()

    def _change(self) -> None:
        """A few saves, deletions and new files, as an editor or a pull would make them."""
        for number in self.rng.sample(range(ENTRIES), self.rng.choice([1, 1, 5, 60])):
            file = self.root / f"e{number}.md"
            if self.rng.random() < 0.1:
                file.unlink(missing_ok=True)
            else:
                self._write(number, "again")

    def _restart(self) -> None:
        """Kill it in the middle of what it does, or stop it; and start it again on the same port."""
        manner = self.rng.choice(["killed", "stopped"])
        self.restarts[manner] += 1
        if manner == "killed":
            self.process.kill()
        else:
            self.process.stop(timeout_s=30)
        assert "Traceback" not in self.process.output, self.process.describe()
        self.process.close()
        self.process = self._start()

    async def run(self) -> Outcome:
        """All of it."""
        api = Api(self.process.url)
        start = await asyncio.to_thread(api.state)
        plan = Plan(self.process.url, asyncio.Event(), lambda: 0)
        readers = [
            Reader(plan, self.seed * 1000 + number, str(start.position)) for number in range(self.readers)
        ]
        began_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for reader in readers:
                group.create_task(reader.run())
            end = await asyncio.to_thread(self._happen, api, start, plan)
            plan.last = lambda: end.offset
            plan.end.set()
        outcome = Outcome(readers, self._load_log(api, start), start, end, time.monotonic() - began_s)
        outcome.done = plan.done + self.restarts
        disk = read_kb(self.root).entries
        assert end.of(self.root.name) == disk, "the index is not the disk"
        return outcome

    def _happen(self, api: Api, start: State, plan: Plan) -> State:
        """Change files and restart the server until there were enough events and reconnects."""
        restart_at = [start.offset + self.events * share // 4 for share in (1, 2, 3)]
        while True:
            self._change()
            time.sleep(self.rng.uniform(0, 2 * ROUND_S))
            offset = self._offset()
            if restart_at and offset > restart_at[0]:
                del restart_at[0]
                self._restart()
            connects = plan.done["sockets"] + plan.done["streams"]
            if offset - start.offset >= self.events and connects >= self.reconnects + self.readers:
                break
        assert api.request("POST", "/api/index/sync").status == 200
        return api.state()

    def _offset(self) -> int:
        events = self.process.events
        return int(events[-1]["offset"] if events else self.process.ready["offset"])

    def _load_log(self, api: Api, start: State) -> list[Json]:
        events: list[Json] = []
        position = str(start.position)
        while True:
            page = api.get("/api/events/log", since=position, limit="1000")
            events += only_events(page["events"])
            position = f"{page['epoch']}:{page['offset']}"
            if not page["more"]:
                return events


def main() -> int:
    """Run it and say what happened."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--readers", type=int, default=24)
    parser.add_argument("--events", type=int, default=6_000)
    parser.add_argument("--reconnects", type=int, default=600)
    parser.add_argument("--retention", type=int, help="compact the log beyond so many events")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="pyrite-chaos-") as folder:
        chaos = Chaos(
            Path(folder).resolve(),
            options.readers,
            options.events,
            options.reconnects,
            options.retention,
            options.seed,
        )
        try:
            outcome = asyncio.run(chaos.run())
        finally:
            chaos.close()
    outcome.check(is_compacted=options.retention is not None)
    print(outcome.summary())
    return 0


if __name__ == "__main__":
    sys.exit(main())
