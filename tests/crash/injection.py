"""A program that runs the product and dies at an exact point of it.

    python tests/crash/injection.py '{"point": "commit apply", ...}' watch PATH ...

The product has no switch for this: its functions are wrapped here, from outside, and the wrapper calls
`os.kill(os.getpid(), SIGKILL)`. A point is a way and a place: `before` and `after` a call of the place's
function, at the n-th SQL `statement` inside of it, or at its `commit` (before SQLite runs it). Two points
are their own: `half temporary` dies with half of a file written, `middle checkpoint` when a part of the
pages has been copied (the system ends it there, by SIGXFSZ, which nobody can catch up with either).

What is written into the note file before the death proves that the kill hit, and where.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from pyrite_watch import pipeline, reconciler, writer
from pyrite_watch.cli.app import main
from pyrite_watch.disk import leftovers, write
from pyrite_watch.index import gather, log, schema, store, upkeep
from pyrite_watch.live import hub

PLACES: dict[str, tuple[Any, str]] = {
    "apply": (store.Store, "apply"),
    "epoch": (store.Store, "complete_first_pass"),
    "names": (store.Store, "name_kbs"),
    "migration": (schema, "_migrate"),
    "begin run": (log, "begin_run"),
    "end run": (log, "end_run"),
    "merge": (upkeep.Upkeep, "step"),
    "compaction": (upkeep.Upkeep, "_compact"),
    "checkpoint": (upkeep.Upkeep, "checkpoint"),
    "index": (writer.Writer, "_tell"),
    "exchange": (write, "exchange"),
    "new name": (write, "rename_new"),
    "own rename": (write, "_rename_own"),
    "fan-out": (hub.Hub, "publish_events"),
    "leftovers": (pipeline, "remove_leftovers"),
    "leftover": (leftovers, "remove"),
}
"""Where one can die, and the function that is wrapped there."""

_connect = sqlite3.connect
_write = os.write


class Injection:
    """One death to come, at the `nth` passing of its point.

    Args:
        spec: `point`, `nth`, `linger_s`. Without a point it is read from the arm file, when there is one.
        arm_file: Where to look for it.
        note: Where to say that it hit.
    """

    def __init__(self, spec: dict[str, Any], arm_file: str, note: str) -> None:
        self.arm_file, self.note = arm_file, note
        self.way = self.place = ""
        self.left, self.linger_s = 1, 0.0
        self.inside: str | None = None
        if "point" in spec:
            self._arm(spec)

    def _arm(self, spec: dict[str, Any]) -> None:
        self.left, self.linger_s = spec.get("nth", 1), spec.get("linger_s", 0.0)
        self.way, _, self.place = spec["point"].partition(" ")
        if self.place not in {*PLACES, "temporary"}:
            self.die(f"no such place: {self.place}")

    def is_at(self, way: str, place: str) -> bool:
        """Whether it is armed for this point."""
        if not self.way:
            try:
                with open(self.arm_file, encoding="utf-8") as file:
                    self._arm(json.load(file))
            except FileNotFoundError:
                return False
        return (self.way, self.place) == (way, place)

    def pass_by(self, where: str) -> None:
        """Die here if this is the passing that counts."""
        self.left -= 1
        if self.left == 0:
            self.die(where)

    def die(self, where: str) -> NoReturn:
        """Note where, and be gone; the linger lets out what was told too early."""
        self.say(where)
        time.sleep(self.linger_s)
        os.kill(os.getpid(), signal.SIGKILL)
        while True:
            time.sleep(1)

    def say(self, where: str) -> None:
        """Leave a note."""
        descriptor = os.open(self.note, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        _write(descriptor, f"{where[:200]}\n".encode("utf-8", "replace"))
        os.close(descriptor)

    def wrap(self) -> None:
        """Put it wherever one can die."""
        os.write = self._write_half
        for place, (owner, name) in PLACES.items():
            setattr(owner, name, self._wrapped(place, getattr(owner, name)))

    def _wrapped(self, place: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **options: Any) -> Any:
            if self.is_at("before", place):
                self.pass_by(f"before {place}")
            elif self.is_at("middle", place):
                self._limit_growth(arguments[0]._connection)
            # One wrapped function of the index may call another: `step` a checkpoint.
            outer, self.inside = self.inside, place
            try:
                result = real(*arguments, **options)
            finally:
                self.inside = outer
            # Between commit and send: only where there is something to send.
            if getattr(result, "events", True) and self.is_at("after", place):
                self.pass_by(f"after {place}")
            return result

        return wrapper

    def trace(self, statement: str) -> None:
        """See a statement before it runs."""
        place = self.inside
        if place is None:
            return
        if self.is_at("statement", place) or (statement == "COMMIT" and self.is_at("commit", place)):
            self.pass_by(f"{place}: {statement}")

    def _write_half(self, descriptor: int, content: Any) -> int:
        if self.is_at("half", "temporary") and ".pyrite-new-" in os.readlink(f"/proc/self/fd/{descriptor}"):
            half = bytes(content[: len(content) // 2])
            _write(descriptor, half)
            self.die(f"{len(half)} of {len(content)} bytes written")
        return _write(descriptor, content)

    def _limit_growth(self, connection: sqlite3.Connection) -> None:
        """Let the database grow by one page only: the checkpoint's next page is the end."""
        path = connection.execute("PRAGMA database_list").fetchone()[2]
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        page = connection.execute("PRAGMA page_size").fetchone()[0]
        size = os.path.getsize(path)
        if pages * page < size + 2 * page:
            return  # nothing that could be cut in the middle
        self.say(f"checkpoint cut at {size // page + 1} of {pages} pages")
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + page, size + page))


class DurableImage:
    """What would be on the disk after a power cut: the state as of the last commit with `synchronous=FULL`.

    A model, as a real cut is not to be had: everything that was committed otherwise is taken as lost.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database: Path | None = None
        self._is_full = self._has_committed = False

    def trace(self, statement: str) -> None:
        """See a statement before it runs: a commit is done when the next one is seen."""
        if self._has_committed:
            self._has_committed = False
            self.take()
        if statement.startswith("PRAGMA synchronous"):
            self._is_full = statement.endswith("FULL")
        self._has_committed = self._is_full and statement == "COMMIT"

    def take(self) -> None:
        """Copy the state's files; the log's index in shared memory is none of them."""
        assert self.database is not None
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for path in (self.database, self.database.with_name(f"{self.database.name}-wal")):
            if path.exists():
                shutil.copy(path, self.folder)


def run() -> None:
    """Wrap what the first argument says, and run the product with the others."""
    spec: dict[str, Any] = json.loads(sys.argv.pop(1))
    injection = Injection(spec, spec.get("arm_file", os.devnull), spec.get("note", os.devnull))
    injection.wrap()
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
    tracers = [injection.trace]
    image = DurableImage(Path(spec["image"])) if "image" in spec else None
    if image is not None:
        tracers.append(image.trace)

    def trace(statement: str) -> None:
        for tracer in tracers:
            tracer(statement)

    def connect(database: Any, *arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = _connect(database, *arguments, **options)
        if not options.get("uri"):
            if image is not None:
                image.database = Path(database)
                if image.database.stat().st_size:
                    image.take()  # what an earlier process left is long on the disk
            connection.set_trace_callback(trace)
        return connection

    sqlite3.connect = connect  # type: ignore[assignment]
    if "boot" in spec:
        setattr(pipeline, "boot_id", lambda: spec["boot"])  # noqa: B010 - it is imported there, not exported
    if spec.get("no_checkpoint"):
        upkeep.Upkeep.checkpoint = lambda self: None  # type: ignore[method-assign]
    if "batch" in spec:
        for module, name in ((reconciler, "FIRST_INDEX_PATHS"), (reconciler, "MAX_BATCH_PATHS")):
            setattr(module, name, spec["batch"])
        gather.MAX_BATCH_PATHS = spec["batch"]
    main()


if __name__ == "__main__":
    run()
