"""Writes against a living editor, and against `kill -9`: real processes, real time."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from pyrite_watch.disk import write as write_module
from pyrite_watch.disk.contain import OpenFolder
from pyrite_watch.disk.exchange import exchange
from pyrite_watch.disk.leftovers import remove_leftovers
from pyrite_watch.disk.parse import revision_of
from pyrite_watch.disk.write import create_file, delete_file, replace_file
from pyrite_watch.disk.write_errors import ChangedMeanwhileError

WRITES = 200
SAVES = 30
PATIENCE_S = 5.0
processes = multiprocessing.get_context("fork")


def save_by_rename(place: str, data: bytes) -> None:
    with open(place + "~", "wb") as file:
        file.write(data)
    os.replace(place + "~", place)


def save_by_truncating(place: str, data: bytes) -> None:
    with open(place, "wb", buffering=0) as file:
        file.write(data[: len(data) // 2])
        time.sleep(random.random() / 1000)
        file.write(data[len(data) // 2 :])


def save_in_place(place: str, data: bytes) -> None:
    """As a program that maps or patches files: opened first, written later."""
    with open(place, "r+b", buffering=0) as file:
        time.sleep(random.random() / 1000)
        file.write(data)
        file.truncate()


def edit(place: str, save: Callable[[str, bytes], None], pipe: Connection) -> None:
    """Save one version, wait until the other side has read it and started from it, save the next."""
    for number in range(SAVES):
        data = f"editor's version {number}\n".encode() * random.choice((1, 40))
        # At any moment of the other side's writing.
        time.sleep(random.random() / 1000)
        save(place, data)
        pipe.send(data)
        pipe.recv()


@pytest.mark.parametrize("save", [save_by_rename, save_by_truncating, save_in_place])
def test_no_version_of_an_editor_is_overwritten_unseen(
    tmp_path: Path, save: Callable[[str, bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is what a later write expected and started from, or is still at the path at the end.

    The editor waits for that before it saves the next version, so a lost one stops the test.
    """

    def exchange_later(folder: OpenFolder, one: str, other: str) -> bool:
        # 30 µs lie between the last look and the exchange: too few to be met in so few saves.
        time.sleep(random.random() / 1000)
        return exchange(folder, one, other)

    monkeypatch.setattr(write_module, "exchange", exchange_later)
    place = tmp_path / "x.md"
    place.write_bytes(b"begin\n")
    ours, theirs = processes.Pipe()
    editor = processes.Process(target=edit, args=(str(place), save, theirs), daemon=True)
    editor.start()
    theirs.close()
    written = refused = seen = 0
    waiting: bytes | None = None
    started_from: set[bytes] = set()
    last_progress_s = time.monotonic()
    try:
        while seen < SAVES or written < WRITES:
            current = place.read_bytes()
            try:
                replace_file(tmp_path, "x.md", b"write %d\n" % written, revision_of(current))
                written += 1
                started_from.add(current)
            except ChangedMeanwhileError:
                refused += 1
            if waiting is None and seen < SAVES and ours.poll():
                waiting = ours.recv()
            if waiting in started_from:
                seen, waiting, last_progress_s = seen + 1, None, time.monotonic()
                started_from.clear()
                ours.send("seen")
            assert time.monotonic() < last_progress_s + PATIENCE_S, f"lost: {waiting!r}"
        editor.join()
    finally:
        editor.kill()
        editor.join()
        ours.close()
    assert refused > 0, "they never met"
    assert [name for name in os.listdir(tmp_path) if name != "x.md"] == []


def write_for_ever(root: Path) -> None:
    number = 0
    while True:
        number += 1
        with suppress(FileNotFoundError):
            current = (root / "x.md").read_bytes()
            replace_file(root, "x.md", b"%d\n" % number * 2000, revision_of(current))
        create_file(root, f"a/{number}.md", b"%d\n" % number * 2000)
        if number % 2:
            delete_file(root, f"a/{number}.md", revision_of(b"%d\n" % number * 2000))


def test_after_kill_9_every_file_is_whole(tmp_path: Path) -> None:
    """At any moment; what the process was about to put in place is removed at the next start."""
    (tmp_path / "x.md").write_bytes(b"0\n" * 2000)
    removed = 0
    for _ in range(25):
        writer = processes.Process(target=write_for_ever, args=(tmp_path,), daemon=True)
        writer.start()
        time.sleep(0.015 + random.random() / 50)
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        assert writer.exitcode == -signal.SIGKILL, "it failed before it was killed"
        removed += len(remove_leftovers(tmp_path, before_ns=time.time_ns() + 10**9))
        for place in tmp_path.rglob("*"):
            if place.is_file():
                assert not place.name.startswith("."), place
                data = place.read_bytes()
                assert data == data[: data.index(b"\n") + 1] * 2000
                if place.name != "x.md":
                    place.unlink()
    assert removed > 0, "it was never killed at work"
