"""Printing: nobody waits for who reads stdout."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import TextIO

import pytest

from pyrite_watch.cli.line_writer import LineWriter
from pyrite_watch.cli.output import JsonOutput
from pyrite_watch.index.store import Applied
from pyrite_watch.model.event import Epoch, Event, Offset, Position
from pyrite_watch.reconciler import PassReport


def note(count: int, last: str) -> str:
    return f"{count} dropped, the last {last}"


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    """A pipe that somebody may read, or not."""
    reading, writing = os.pipe()
    with open(writing, "w", encoding="utf-8") as stream:
        yield reading, stream
    os.close(reading)


def read_lines(descriptor: int, count: int) -> list[str]:
    got = b""
    while got.count(b"\n") < count or not got.endswith(b"\n"):
        got += os.read(descriptor, 1 << 16)
    return got.decode().splitlines()


def test_lines_leave_in_order() -> None:
    """And `finish` waits for them."""
    stream = io.StringIO()
    writer = LineWriter(stream, note)
    for number in range(5000):
        writer.put(f"{number}\n")
    writer.finish()
    assert stream.getvalue().splitlines() == [str(number) for number in range(5000)]


def test_a_reader_that_does_not_read_holds_nobody_up(pipe: tuple[int, TextIO]) -> None:
    """A full pipe held up the writing thread, and with it every tab and the stop."""
    reading, stream = pipe
    writer = LineWriter(stream, note)
    for number in range(10_000):
        writer.put(f"{number:99}\n")
    writer.finish(0.01)
    assert [int(line) for line in read_lines(reading, 10_000)] == list(range(10_000))
    writer.finish()


def test_what_waits_is_bounded_and_what_is_dropped_is_told(pipe: tuple[int, TextIO]) -> None:
    """After what did wait; then lines go on."""
    reading, stream = pipe
    writer = LineWriter(stream, note, max_waiting_bytes=500_000)
    for number in range(10_000):
        writer.put(f"{number:99}\n")
    kept = 5_000
    lines = read_lines(reading, kept + 1)
    assert [int(line) for line in lines[:kept]] == list(range(kept))
    assert lines[kept].startswith("5000 dropped, the last ")
    assert lines[kept].endswith(" 9999")
    writer.put("after\n")
    assert read_lines(reading, 1) == ["after"]
    writer.finish()


def test_a_program_is_told_to_load_again_what_was_dropped(pipe: tuple[int, TextIO]) -> None:
    """With the offset from which on it is live, as on the socket."""
    reading, stream = pipe
    output = JsonOutput(stream, max_waiting_bytes=200_000)
    here = Position(Epoch("k3f9"), Offset(0))

    def tell(first: int, count: int) -> None:
        events = [
            Event(Offset(n), "x", "notes", "", json.dumps({"epoch": "k3f9", "offset": n, "pad": "x" * 60}))
            for n in range(first, first + count)
        ]
        output.told(PassReport(Applied(events), None, 0))

    output._waiting = None
    tell(1, 10_000)
    lines: list[dict[str, object]] = []
    while not lines or lines[-1].get("type") != "resync":
        lines += [json.loads(line) for line in read_lines(reading, 1)]
    assert lines[-1] == {"type": "resync", "reason": "slow", "epoch": "k3f9", "offset": 10_000}
    assert [line["offset"] for line in lines[:-1]] == list(range(1, len(lines)))
    tell(10_001, 1)
    assert json.loads(read_lines(reading, 1)[0])["offset"] == 10_001
    output.stopped(here)


def test_a_reader_that_is_gone_ends_the_printing_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    """`pyrite watch --json | head -1`: the error ended the writing thread, and the watch."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as stream, caplog.at_level(logging.WARNING):
        writer = LineWriter(stream, note)
        for _ in range(3):
            writer.put("x\n")
        writer.finish()
        writer.put("y\n")
        writer.finish()
    assert [record.message for record in caplog.records] == [
        "Nothing more is printed: [Errno 32] Broken pipe. The watch goes on."
    ]


def test_a_process_ends_although_its_reader_is_stuck() -> None:
    """A thread in the middle of a write to stdout's buffer aborts Python's end."""
    program = (
        "import sys\n"
        "from pyrite_watch.cli.line_writer import LineWriter\n"
        "writer = LineWriter(sys.stdout, lambda count, last: '')\n"
        "for _ in range(100_000): writer.put('x' * 99 + '\\n')\n"
        "writer.finish(0.1)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        assert run.wait(20) == 0
        assert run.stderr is not None
        assert run.stderr.read() == b""


def test_lines_leave_at_an_end_without_a_word() -> None:
    """An error that ends the process does not take the last lines with it."""
    program = (
        "import sys\n"
        "from pyrite_watch.cli.line_writer import LineWriter\n"
        "writer = LineWriter(sys.stdout, lambda count, last: '')\n"
        "for number in range(1000): writer.put(f'{number}\\n')\n"
        "sys.exit(3)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False
    )
    assert run.returncode == 3
    assert run.stdout.splitlines() == [str(number) for number in range(1000)]


def test_many_threads_may_put_at_once() -> None:
    """A line stays whole."""
    stream = io.StringIO()
    writer = LineWriter(stream, note)

    def put(sender: int) -> None:
        for number in range(500):
            writer.put(f"{sender} {number} end\n")

    threads = [threading.Thread(target=put, args=(sender,)) for sender in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.finish()
    lines = stream.getvalue().splitlines()
    for sender in range(8):
        mine = [line for line in lines if line.startswith(f"{sender} ")]
        assert mine == [f"{sender} {number} end" for number in range(500)]
