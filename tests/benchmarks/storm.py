"""A storm before many tabs, end to end: 4,000 files change, 1,000 tabs look on, and somebody asks `/health`.

    python tests/benchmarks/storm.py [--files 4000] [--tabs 1000]

Then the watch is stopped, with the tabs connected. Exit code 0: all limits kept; 1: one missed.
"""

from __future__ import annotations

import argparse
import http.client
import multiprocessing
import selectors
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.corpus import copy_corpus_times
from harness.process import WatchProcess
from harness.reader import entry_paths

from benchmarks.measure import Report, memory_mb, percentile
from benchmarks.plain_socket import open_socket

LIMIT_HEALTH_P99_MS = 100.0
LIMIT_STOP_S = 3.0
TIMEOUT_S = 120.0
ASK_EVERY_S = 0.01
MARKER = b"zzz-last"
GOING_AWAY = b"\x03\xf4"  # 1012, first in a close frame's body


def hold_tabs(url: str, count: int, answers: Connection) -> None:
    """Hold tabs in a process of its own: tell when each has the marker, and what each was closed with."""
    selector = selectors.DefaultSelector()
    for _ in range(count):
        plain = open_socket(url, TIMEOUT_S)
        plain.setblocking(False)
        selector.register(plain, selectors.EVENT_READ, bytearray())
    answers.send("ready")
    marked = closed = 0
    deadline_s = time.monotonic() + TIMEOUT_S
    while closed < count and time.monotonic() < deadline_s:
        for key, _ in selector.select(1.0):
            connection, tail = key.fileobj, key.data
            assert isinstance(connection, socket.socket)
            try:
                got = connection.recv(1 << 18)
            except ConnectionResetError:
                got = b""
            if not got:
                selector.unregister(connection)
                closed += 1
                if GOING_AWAY not in tail:
                    answers.send("lost")
                continue
            if MARKER in tail[-len(MARKER) :] + got:
                marked += 1
                if marked == count:
                    answers.send("told")
            tail[:] = got[-64:]
    answers.send("closed" if closed == count else "open")


@contextmanager
def tabs(url: str, count: int) -> Iterator[Connection]:
    """Have the tabs while the body runs."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=hold_tabs, args=(url, count, there))
    process.start()
    try:
        await_answer(here, "ready")
        yield here
    finally:
        process.terminate()
        process.join()


def await_answer(answers: Connection, wanted: str) -> None:
    """Wait for the tabs to say so."""
    if not answers.poll(TIMEOUT_S) or (said := answers.recv()) != wanted:
        raise RuntimeError(f"the tabs were to say {wanted!r}, and said {said!r}")


class Asker:
    """Asks `/health` all the time, over one connection, and notes how long each answer takes."""

    def __init__(self, url: str) -> None:
        split = urlsplit(url)
        self._connection = http.client.HTTPConnection(split.hostname or "", split.port, timeout=TIMEOUT_S)
        self._stopping = threading.Event()
        self.times_ms: list[float] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            began_s = time.perf_counter()
            self._connection.request("GET", "/health")
            self._connection.getresponse().read()
            self.times_ms.append((time.perf_counter() - began_s) * 1000)
            self._stopping.wait(ASK_EVERY_S)

    def stop(self) -> None:
        """Ask no more."""
        self._stopping.set()
        self._thread.join()


def measure(folder: Path, report: Report, files: int, count: int) -> None:
    """Measure on seven copies of the corpus."""
    roots = copy_corpus_times(folder / "kbs", 7)
    (folder / "home").mkdir()
    # The files of one KB after the other, the marker in the last one, so that it is told last.
    paths = [(root / path) for root in roots for path in entry_paths(root)][:files]
    process = WatchProcess(*roots, home=folder / "home", state_dir=folder / "state")
    with process:
        process.wait_ready(60)
        calm = Asker(process.url)
        time.sleep(2.0)
        calm.stop()
        before_mb = memory_mb(process.pid)
        with tabs(process.url, count) as answers:
            asker = Asker(process.url)
            time.sleep(0.5)
            began_s = time.perf_counter()
            for path in paths:
                with path.open("ab") as file:
                    file.write(b"\nChanged.\n")
            written_s = time.perf_counter()
            (roots[-1] / f"{MARKER.decode()}.md").write_text("---\nid: zzz-last\n---\nThe last.\n")
            await_answer(answers, "told")
            told_s = time.perf_counter()
            asker.stop()
            report.add(
                f"/health in a storm of {len(paths)} files and {count} tabs, p99",
                percentile(asker.times_ms, 0.99),
                "ms",
                LIMIT_HEALTH_P99_MS,
                percentile(calm.times_ms, 0.99),
                "the same in calm",
            )
            report.add("/health, median", percentile(asker.times_ms, 0.5), "ms")
            report.add("/health, slowest", max(asker.times_ms), "ms")
            report.add("the writing itself", written_s - began_s, "s")
            report.add("last event at the last tab, after the last write", told_s - written_s, "s")
            report.add("memory that the tabs and the storm took", memory_mb(process.pid) - before_mb, "MB")
            began_s = time.perf_counter()
            process.stop(timeout_s=30)
            report.add(f"stop with {count} tabs", time.perf_counter() - began_s, "s", LIMIT_STOP_S)
            await_answer(answers, "closed")


def main() -> int:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=4_000, help="how many files change (4000)")
    parser.add_argument("--tabs", type=int, default=1_000, help="how many tabs look on (1000)")
    options = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="pyrite-storm-") as folder:
        measure(Path(folder), report, options.files, options.tabs)
    print(report.table())
    return 0 if report.within else 1


if __name__ == "__main__":
    sys.exit(main())
