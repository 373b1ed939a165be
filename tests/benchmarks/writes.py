"""Measure writing through REST from outside: from the request to the event at a socket.

    python tests/benchmarks/writes.py [--quick]

Exit code 0: all limits kept; 1: one missed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import selectors
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.corpus import copy_corpus_times
from harness.process import WatchProcess
from harness.socket import Tab

from benchmarks.measure import Report, percentile
from benchmarks.plain_socket import open_socket

LIMIT_EVENT_MS = 8.0
LIMIT_WRITES_PER_S = 200.0
TABS = 100
TIMEOUT_S = 30.0


class Client:
    """A keep-alive connection, as a program would have; one thread uses it."""

    def __init__(self, url: str) -> None:
        split = urlsplit(url)
        assert split.hostname is not None
        self._connection = http.client.HTTPConnection(split.hostname, split.port, timeout=TIMEOUT_S)

    def send(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send one request; any answer but 200 is a failure of the run."""
        self._connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]!r}")
        found: dict[str, Any] = json.loads(text)
        return found


class Drain:
    """Sockets that take everything and look at nothing: one thread, so that the client costs little."""

    def __init__(self, url: str, count: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._stopping = False
        for _ in range(count):
            plain = open_socket(url, TIMEOUT_S)
            self._selector.register(plain, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping:
            for key, _ in self._selector.select(0.1):
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                connection.recv(1 << 16)

    def close(self) -> None:
        """Hang up."""
        self._stopping = True
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            connection.close()


def fsync_ms(folder: Path) -> float:
    """The peer that no writer can beat: 3 KB into a new file, fsync, rename (median of 50)."""
    times = []
    for number in range(50):
        began = time.perf_counter()
        path = folder / f"peer-{number}"
        with path.open("wb") as file:
            file.write(b"x" * 3000)
            file.flush()
            os.fsync(file.fileno())
        path.replace(folder / "peer")
        times.append((time.perf_counter() - began) * 1000)
    return percentile(times, 0.5)


def _has_offset(offset: int, message: dict[str, Any]) -> bool:
    return bool(message.get("offset") == offset)


def events_ms(tab: Tab, count: int, write: Callable[[int], dict[str, Any]]) -> list[float]:
    """Milliseconds from before each request until its event is at the tab."""
    times = []
    for number in range(count):
        start = tab.messages.mark()
        began = time.perf_counter()
        offset = write(number)["offset"]
        index, _ = tab.messages.wait_for_index(partial(_has_offset, offset), TIMEOUT_S, start=start)
        received, _ = tab.messages.timed(index)[0]
        times.append((received - began) * 1000)
    return times


def measure(root: Path, report: Report, saves: int, seconds: float) -> None:
    """Measure on a running watch of seven copies of the corpus."""
    kbs = copy_corpus_times(root / "kbs", 7)
    name = kbs[0].name
    peer = fsync_ms(root)
    (root / "home").mkdir()
    process = WatchProcess(*kbs, home=root / "home", state_dir=root / "state")
    with process:
        process.wait_ready(60)
        client, tab = Client(process.url), Tab(process.url)

        def put(number: int) -> dict[str, Any]:
            return client.send("PUT", "/api/entries/roadmap", {"kb": name, "body": f"Text {number}."})

        def post(number: int) -> dict[str, Any]:
            return client.send("POST", "/api/entries", {"kb": name, "title": f"New {number}", "body": "x"})

        times = events_ms(tab, saves, put)
        report.add("PUT to event, p50", percentile(times, 0.5), "ms", LIMIT_EVENT_MS, peer, "fsync, rename")
        report.add("PUT to event, p99", percentile(times, 0.99), "ms")
        times = events_ms(tab, saves, post)
        report.add("POST to event, p50", percentile(times, 0.5), "ms", LIMIT_EVENT_MS, peer, "fsync, rename")
        report.add("POST to event, p99", percentile(times, 0.99), "ms")
        drain = Drain(process.url, TABS)
        written = sustained(process.url, name, seconds)
        # As a limit that must not be exceeded: milliseconds a write.
        report.add(
            f"a write, sustained, with {TABS} sockets",
            1000 * seconds / written,
            "ms",
            1000 / LIMIT_WRITES_PER_S,
        )
        report.note(f"{written / seconds:.0f} writes/s for {seconds:g} s with {TABS} sockets")
        drain.close()
        tab.close()


def sustained(url: str, name: str, seconds: float) -> int:
    """Write from four connections at once, as fast as it goes; count what was answered."""
    done = [0] * 4
    end = time.monotonic() + seconds

    def run(worker: int) -> None:
        client = Client(url)
        while time.monotonic() < end:
            body = {"kb": name, "field": f"n{worker}", "value": done[worker]}
            client.send("PATCH", f"/api/entries/new-{worker}", body)
            done[worker] += 1

    threads = [threading.Thread(target=run, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + TIMEOUT_S)
    return sum(done)


def main() -> int:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="50 writes, 3 s sustained")
    options = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="pyrite-bench-") as folder:
        measure(Path(folder), report, 50 if options.quick else 300, 3.0 if options.quick else 20.0)
    print(report.table())
    return 0 if report.within else 1


if __name__ == "__main__":
    sys.exit(main())
