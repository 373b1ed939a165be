"""Measure the main job from outside: each figure beside its limit and, where there is one, a peer.

    python tests/benchmarks/main_job.py [--files 100000] [--quick] [--json FILE]

Exit code 0: all limits kept; 1: one missed; 2: the product did not answer within a deadline (nothing hangs).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.corpus import copy_corpus_times, corpus_source, generate_many
from harness.process import WatchProcess
from harness.reader import entry_paths, revision_of
from harness.record import only_entry_events
from harness.socket import Tab

from benchmarks.measure import Report, idle_cpu_percent, memory_mb, percentile
from benchmarks.peers import bare_watcher, import_s, rehash_s

COPIES = 7
BIG_FILES = 100_000

LIMIT_FIRST_INDEX_S = 4.0
LIMIT_RESTART_S = 0.5
LIMIT_RSS_MB = 130.0
LIMIT_P50_MS = 12.0
LIMIT_P99_MS = 30.0
LIMIT_STORM_S = 1.5
LIMIT_IDLE_PERCENT = 1.5
LIMIT_BIG_FIRST_INDEX_S = 100.0
LIMIT_BIG_RESTART_S = 3.0
LIMIT_BIG_RSS_MB = 500.0

SAVE_TIMEOUT_S = 10.0
STORM_FILES = 1_000
STORM_TIMEOUT_S = 60.0


class WedgedError(Exception):
    """The whole run took longer than its deadline."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure."""

    saves: int
    idle_s: float
    big_files: int
    deadline_s: int


class Bench:
    """One run: a folder of its own, a report, and processes that all end with it."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self.plan = plan
        self.home = folder / "home"
        self.home.mkdir()
        self.report = Report()
        self.rng = random.Random(7)
        self.import_s = 0.0

    @contextlib.contextmanager
    def watch(self, roots: list[Path], state: str, timeout_s: float) -> Iterator[tuple[WatchProcess, float]]:
        """Start a watch; yield it when it is ready, with the seconds that took from the process's start."""
        process = WatchProcess(*roots, home=self.home, state_dir=self.folder / state)
        try:
            process.wait_ready(timeout_s)
            # The reading thread stamped the line when it came.
            (stamp_s, _), *_ = process.messages.timed()
            yield process, stamp_s - process.started_s
        finally:
            process.close()

    def run(self) -> None:
        """All figures."""
        self.import_s = import_s(self.home)
        self.report.add("bare import of what a watch imports", self.import_s, "s")
        roots = copy_corpus_times(self.folder / "kbs", COPIES)
        entries = sum(len(entry_paths(root)) for root in roots)
        kind = "the real corpus" if corpus_source() else "a look-alike corpus"
        self.report.note(f"{kind} × {COPIES}: {entries} files")
        self.starts(roots, "small", f"{COPIES} KBs", LIMIT_FIRST_INDEX_S, LIMIT_RESTART_S, 120)
        # The peer's turn comes while the product does not run: neither may slow the other.
        with self.bare(roots) as peer:
            theirs = [self.bare_save(file, peer) for file in self.some(roots, self.plan.saves)]
        with self.watch(roots, "small", 60) as (process, _), Tab(process.url, since="now") as tab:
            tab.wait_type("ready")
            self.saves(roots, tab, theirs)
            self.storm(roots, tab)
            with self.bare(roots) as peer:
                self.idle(process, peer, f"{COPIES} KBs")
            self.report.add(f"{COPIES} KBs: RSS after all that", memory_mb(process.pid), "MB", LIMIT_RSS_MB)
            self.report.add(f"{COPIES} KBs: RSS at its highest", memory_mb(process.pid, "VmHWM"), "MB")
        self.big()

    def starts(
        self,
        roots: list[Path],
        state: str,
        name: str,
        first_limit_s: float | None,
        restart_limit_s: float,
        timeout_s: float,
    ) -> None:
        """First index, then restarts with nothing changed."""
        with self.watch(roots, state, timeout_s) as (process, total_s):
            self.report.add(
                f"{name}: first index, without imports", total_s - self.import_s, "s", first_limit_s
            )
            self.report.add(f"{name}: first index, from the process's start", total_s, "s")
            self.report.add(
                f"{name}: RSS after the first index",
                memory_mb(process.pid),
                "MB",
                LIMIT_RSS_MB if state == "small" else LIMIT_BIG_RSS_MB,
            )
            self.report.add(f"{name}: RSS peak in the first index", memory_mb(process.pid, "VmHWM"), "MB")
            self.own_words(process, f"{name}: first index")
            began = time.perf_counter()
            process.stop(timeout_s=30)
            self.report.add(f"{name}: stop", time.perf_counter() - began, "s", 3.0)
        totals: list[float] = []
        for _ in range(3):
            with self.watch(roots, state, timeout_s) as (process, total_s):
                totals.append(total_s)
                self.own_words(process, f"{name}: restart")
        best_s = min(totals)
        self.report.add(
            f"{name}: restart, nothing changed, without imports", best_s - self.import_s, "s", restart_limit_s
        )
        self.report.add(f"{name}: restart, from the process's start", best_s, "s")

    def own_words(self, process: WatchProcess, name: str) -> None:
        """Note what the server itself says that it took, where it says so."""
        found = re.search(r"ready in ([\d.]+) ?(ms|s)\b", process.output)
        if found:
            self.report.note(f"{name}: the server says 'ready in {found[1]} {found[2]}'")

    @contextlib.contextmanager
    def bare(self, roots: list[Path]) -> Iterator[WatchProcess]:
        """Start the bare watcher and wait until it hears."""
        peer = bare_watcher(roots, self.home)
        try:
            peer.wait_ready()
            probe = roots[0] / ".probe"
            deadline = time.monotonic() + 120
            while len(peer.messages.since()) < 2:
                if time.monotonic() > deadline:
                    raise AssertionError(f"the bare watcher hears nothing\n{peer.describe()}")
                probe.write_text(str(time.monotonic()), encoding="utf-8")
                time.sleep(0.05)
            probe.unlink()
            time.sleep(0.2)
            yield peer
        finally:
            peer.close()

    def some(self, roots: list[Path], count: int) -> list[Path]:
        """Choose entries at random."""
        return self.rng.choices([root / path for root in roots for path in self.own_ids(root)], k=count)

    def saves(self, roots: list[Path], tab: Tab, theirs: list[float]) -> None:
        """Single saves in place: from after close() to a WebSocket."""
        ours = [self.save(file, tab) for file in self.some(roots, self.plan.saves)]
        for share, limit in ((0.5, LIMIT_P50_MS), (0.99, LIMIT_P99_MS)):
            self.report.add(
                f"save to event at a WebSocket, p{share * 100:.0f} of {len(ours)}",
                1000 * percentile(ours, share),
                "ms",
                limit,
                1000 * percentile(theirs, share),
                "bare watchfiles",
            )
        self.report.add("save to event at a WebSocket, slowest", 1000 * max(ours), "ms")

    def own_ids(self, root: Path) -> list[str]:
        """The entries that have their own id: a save of any of them is one event."""
        claimed: set[str] = set()
        chosen: list[str] = []
        for path in entry_paths(root):
            found = re.search(rb"^id: *(\S+)", (root / path).read_bytes(), re.MULTILINE)
            entry_id = found[1].decode() if found else path
            if entry_id not in claimed:
                claimed.add(entry_id)
                chosen.append(path)
        return chosen

    def save(self, file: Path, tab: Tab) -> float:
        """Save once; return the seconds to its event. The pause before it makes it a single save."""
        content = file.read_bytes() + f"\nSaved {self.rng.random()}.\n".encode()
        revision = revision_of(content)
        time.sleep(self.rng.uniform(0.08, 0.13))
        start = tab.messages.mark()
        with file.open("wb") as opened:
            opened.write(content)
        closed_s = time.perf_counter()
        index, _ = tab.messages.wait_for_index(
            lambda message: message.get("revision") == revision, SAVE_TIMEOUT_S, start=start, what=str(file)
        )
        (received_s, _), *_ = tab.messages.timed(index)
        return received_s - closed_s

    def bare_save(self, file: Path, peer: WatchProcess) -> float:
        """The same save, until the bare watcher printed the path last (it may tell the truncation first)."""
        content = file.read_bytes() + f"\nSaved {self.rng.random()}.\n".encode()
        time.sleep(self.rng.uniform(0.08, 0.13))
        start = peer.messages.mark()
        with file.open("wb") as opened:
            opened.write(content)
        closed_s = time.perf_counter()
        index, _ = peer.messages.wait_for_index(
            lambda message: str(file) in message.get("paths", ()), SAVE_TIMEOUT_S, start=start
        )
        (received_s, _), *_ = peer.messages.timed(index)
        return max(0.0, received_s - closed_s)

    def storm(self, roots: list[Path], tab: Tab) -> None:
        """A thousand files at once: from after the last write to the last event."""
        files = self.rng.sample([root / path for root in roots for path in self.own_ids(root)], STORM_FILES)
        contents = {file: file.read_bytes() + b"\nChanged with a thousand others.\n" for file in files}
        waiting = {revision_of(content) for content in contents.values()}
        start = tab.messages.mark()
        began = time.perf_counter()
        for file, content in contents.items():
            with file.open("wb") as opened:
                opened.write(content)
        written_s = time.perf_counter()
        tab.messages.wait_until(
            lambda messages: (
                len(messages) >= STORM_FILES
                and waiting <= {message.get("revision") for message in only_entry_events(messages)}
            ),
            STORM_TIMEOUT_S,
            start=start,
            what="the events of the storm",
        )
        last_s = max(
            stamp_s for stamp_s, message in tab.messages.timed(start) if message.get("revision") in waiting
        )
        self.report.add(
            f"{STORM_FILES} files at once: last event after the last write",
            last_s - written_s,
            "s",
            LIMIT_STORM_S,
            rehash_s(files),
            "plain re-hash",
        )
        self.report.add(f"{STORM_FILES} files at once: the writing itself", written_s - began, "s")

    def idle(self, process: WatchProcess, peer: WatchProcess, name: str) -> None:
        """CPU with nothing to do, beside a bare watcher of the same folders at the same time."""
        time.sleep(2)  # what came before may still be settled
        ours, theirs = idle_cpu_percent([process.pid, peer.pid], self.plan.idle_s)
        self.report.add(
            f"{name}: idle CPU over {self.plan.idle_s:g} s",
            ours,
            "%",
            LIMIT_IDLE_PERCENT,
            theirs,
            "watchfiles",
        )

    def big(self) -> None:
        """The large KB; with fewer files than 100,000 the first index's limit shrinks with them."""
        files = self.plan.big_files
        if not files:
            return
        root = generate_many(self.folder / "big" / "large", files)
        name = f"{files} files"
        share = files / BIG_FILES
        self.starts([root], "large", name, LIMIT_BIG_FIRST_INDEX_S * share, LIMIT_BIG_RESTART_S, 300)
        with (
            self.watch([root], "large", 120) as (process, _),
            Tab(process.url, since="now") as tab,
            self.bare([root]) as peer,
        ):
            tab.wait_type("ready")
            self.idle(process, peer, name)
            ours = [self.save(file, tab) for file in self.rng.sample(sorted(root.rglob("*.md")), 50)]
            self.report.add(f"{name}: save to event, p50 of {len(ours)}", 1000 * percentile(ours, 0.5), "ms")
            self.report.add(f"{name}: RSS after all that", memory_mb(process.pid), "MB", LIMIT_BIG_RSS_MB)


def main() -> int:
    """Run it, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=None, help="size of the large KB (100000; 0: none)")
    parser.add_argument("--quick", action="store_true", help="60 saves, 10 s idle, 5000 files")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--folder", type=Path, help="where to work (the system's temporary folder)")
    options = parser.parse_args()
    plan = Plan(60, 10.0, 5_000, 300) if options.quick else Plan(300, 60.0, BIG_FILES, 1_800)
    if options.files is not None:
        plan = Plan(plan.saves, plan.idle_s, options.files, plan.deadline_s)

    def wedged(number: int, frame: FrameType | None) -> None:
        raise WedgedError(f"not done after {plan.deadline_s} s")

    signal.signal(signal.SIGALRM, wedged)
    signal.alarm(plan.deadline_s)
    code = 0
    with tempfile.TemporaryDirectory(prefix="pyrite-bench-", dir=options.folder) as folder:
        bench = Bench(Path(folder).resolve(), plan)
        try:
            bench.run()
        except (AssertionError, WedgedError) as error:
            print(f"\nWEDGED OR BROKEN: {error}", file=sys.stderr)
            bench.report.note(f"ended early: {str(error).partition(chr(10))[0]}")
            code = 2
        signal.alarm(0)
    print(bench.report.table())
    if options.json:
        options.json.write_text(
            json.dumps(bench.report.as_json(), indent=2, ensure_ascii=False), encoding="utf-8"
        )
    return code or (0 if bench.report.within else 1)


if __name__ == "__main__":
    raise SystemExit(main())
