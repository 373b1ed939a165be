"""What `pyrite watch` prints: lines for people, or NDJSON for programs.

Everything may be called from the writing thread; a lock keeps lines whole. Nothing is told before
the ready line: what a pass tells earlier waits and follows it.

Nobody waits for who reads stdout: what is printed is put into a `LineWriter`.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TextIO

from rich.text import Text

from pyrite_watch import __version__
from pyrite_watch.cli.line_writer import MAX_WAITING_BYTES, LineWriter
from pyrite_watch.cli.lines import Lines, Told, describe_problem, make_console, milliseconds, plural, shown
from pyrite_watch.model.change import Change
from pyrite_watch.model.event import Event, Position
from pyrite_watch.reconciler import PassReport
from pyrite_watch.watching import WatchMode

MAX_LINES = 8
"""A pass with more entries than this is one line a KB: a pull shall not scroll a screen away."""

LoadEvents = Callable[[Position, Position], Iterator[Sequence[Event]]]
"""Gives the log's events after the first position, up to and including the second, in parts."""


class Output(Protocol):
    """Who prints."""

    def ready(
        self,
        url: str | None,
        kbs: Sequence[Mapping[str, Any]],
        position: Position,
        mode: WatchMode,
        took_s: float,
        public_url: str | None = None,
    ) -> None:
        """The watch is up and the index is the disk.

        Args:
            url: Where it listens; None where it serves nothing.
            public_url: By which a proxy shows it.
        """

    def told(self, report: PassReport) -> None:
        """A pass was committed."""

    def stopped(self, position: Position) -> None:
        """The end."""


class JsonOutput:
    """One JSON object a line, flushed per line; events exactly as on the socket.

    A reader that lets more than `MAX_WAITING_BYTES` wait gets `resync` in place of what was dropped.

    Args:
        since: After the ready line come the events after this position, then those that happen: each
            once. Where it is not of this log's past, a `resync` comes instead, as on the socket.
        load_events: Where those events are loaded from; needed with `since`.
    """

    def __init__(
        self,
        stream: TextIO,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
        since: Position | None = None,
        load_events: LoadEvents | None = None,
    ) -> None:
        self._writer = LineWriter(stream, _resync_line, max_waiting_bytes)
        self._lock = threading.Lock()
        self._waiting: list[Event] | None = []
        self._since = since
        self._load_events = load_events
        self._known_offset = 0
        """Up to here all is printed already: a pass is told after its commit, and may be in the replay."""

    def ready(
        self,
        url: str | None,
        kbs: Sequence[Mapping[str, Any]],
        position: Position,
        mode: WatchMode,
        took_s: float,
        public_url: str | None = None,
    ) -> None:
        """Print the ready line, then what happened since the position asked for, or since the start.

        The line's position is the present one; the events after it that tell what changed while
        nothing ran have offsets up to it, all later ones are above it.
        """
        with self._lock:
            self._print(
                {
                    "type": "ready",
                    "url": url,
                    **({"public_url": public_url} if public_url else {}),
                    "kbs": [{key: kb[key] for key in ("name", "path", "entries")} for kb in kbs],
                    "epoch": position.epoch,
                    "offset": position.offset,
                }
            )
        if self._since is not None:
            # Without the lock: who has something to tell meanwhile does not wait, the event does.
            self._replay(self._since, position)
        with self._lock:
            waiting, self._waiting = self._waiting or [], None
            self._print_events(waiting)

    def told(self, report: PassReport) -> None:
        """Print the pass's events."""
        with self._lock:
            if self._waiting is not None:
                self._waiting.extend(report.events)
            else:
                self._print_events(report.events)

    def stopped(self, position: Position) -> None:
        """Print the last line."""
        with self._lock:
            self._print({"type": "stopped", "epoch": position.epoch, "offset": position.offset})
        self._writer.finish()

    def _replay(self, since: Position, now: Position) -> None:
        assert self._load_events is not None
        if since.epoch != now.epoch or since.offset > now.offset:
            reason = "epoch" if since.epoch != now.epoch else "ahead"
            self._print({"type": "resync", "reason": reason, "epoch": now.epoch, "offset": now.offset})
        else:
            for events in self._load_events(since, now):
                self._print_events(events)
        self._known_offset = now.offset

    def _print(self, message: Mapping[str, Any]) -> None:
        self._write(json.dumps(message, ensure_ascii=False, separators=(",", ":")))

    def _print_events(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.offset > self._known_offset:
                self._write(event.message)

    def _write(self, line: str) -> None:
        # Names may hold what the terminal's encoding does not: JSON is UTF-8, whatever the locale.
        self._writer.put(line + "\n", "utf-8")


def _resync_line(count: int, last: str) -> str:
    message = json.loads(last)
    fields = {"type": "resync", "reason": "slow", "epoch": message["epoch"], "offset": message["offset"]}
    return json.dumps(fields, separators=(",", ":")) + "\n"


class PeopleOutput:
    """Short lines in columns; colours only on a terminal, and not with NO_COLOR."""

    def __init__(self, tabs: Callable[[], int] | None, stream: TextIO | None = None) -> None:
        self._tabs = tabs
        stream = stream or sys.stdout
        self._writer = LineWriter(stream, _dropped_line)
        self._console = make_console(_Sink(self._writer, stream))
        self._lines = Lines(self._console)
        self._away: set[str] = set()
        self._lock = threading.Lock()
        self._waiting: list[PassReport] | None = []

    def ready(
        self,
        url: str | None,
        kbs: Sequence[Mapping[str, Any]],
        position: Position,
        mode: WatchMode,
        took_s: float,
        public_url: str | None = None,
    ) -> None:
        """Print the banner, then what happened since the start."""
        with self._lock:
            self._lines.name_width = max((len(shown(str(kb["name"]))) for kb in kbs), default=6)
            self._away = {str(kb["name"]) for kb in kbs if not kb["available"]}
            self._banner(public_url or url, kbs, mode, took_s)
            waiting, self._waiting = self._waiting or [], None
            for report in waiting:
                self._print(report)

    def told(self, report: PassReport) -> None:
        """Print the pass."""
        with self._lock:
            if self._waiting is not None:
                self._waiting.append(report)
            else:
                self._print(report)

    def stopped(self, position: Position) -> None:
        """Print the last line."""
        with self._lock:
            self._console.print(Text("Stopped.", "dim"))
        self._writer.finish()

    def _banner(
        self, url: str | None, kbs: Sequence[Mapping[str, Any]], mode: WatchMode, took_s: float
    ) -> None:
        took = f"{took_s * 1000:,.0f} ms" if took_s < 10 else f"{took_s:,.1f} s"
        head = Text.assemble(("pyrite-watch", "bold"), f" {__version__}  ", ("ready", "green"), f" in {took}")
        self._console.print(head)
        if url is not None:
            self._console.print(Text.assemble(("  Page      ", "dim"), (f"{url}/", "underline")))
        names = ", ".join(f"{shown(str(kb['name']))} ({_entries(kb)})" for kb in kbs[:6])
        if len(kbs) > 6:
            names += f" and {len(kbs) - 6} more"
        self._console.print(Text.assemble(("  Watching  ", "dim"), names, (f"   {mode.name}", "dim")))
        problems = sum(int(kb["problems"]) for kb in kbs)
        if problems:
            where = f"  {url}/api/problems" if url else ""
            self._console.print(
                Text.assemble(("  Problems  ", "dim"), (f"{problems:,} in all", "yellow"), where)
            )
        if mode.why:
            self._console.print(
                Text.assemble(("  Polling   ", "dim"), (f"every {mode.poll_s:g} s: {mode.why}", "yellow"))
            )
        self._console.print(Text("  Ctrl-C stops", "dim"))

    def _print(self, report: PassReport) -> None:
        applied = report.applied
        if len(applied.changes) <= MAX_LINES:
            origins = {(event.kb_name, event.entry_id): _origin(event) for event in applied.events}
            for change in applied.changes:
                # Of a pair that moved, the arrival tells all.
                if change.moved_to is None or change.after is not None:
                    self._change(change, origins.get((change.key.kb_name, change.key.entry_id), ""), report)
        else:
            for event in applied.events:
                if event.type == "kb_synced":
                    self._lines.synced(json.loads(event.message))
        for name, problem in applied.problems[:MAX_LINES]:
            if problem.kind == "unavailable":
                self._away.add(name)
                self._lines.line("away", name, f"{problem.message} (its entries stay readable)")
            else:
                self._lines.line("problem", name, describe_problem(problem))
        if len(applied.problems) > MAX_LINES:
            self._lines.line("problem", applied.problems[0][0], f"{len(applied.problems) - MAX_LINES} more")
        for name, path in applied.mended[:MAX_LINES]:
            # The root has problems of its own, too: a folder that may not be read is "." as well.
            if path == "." and name in self._away:
                self._away.discard(name)
                self._lines.line("back", name, "")
            else:
                self._lines.line("mended", name, path)
        if len(applied.mended) > MAX_LINES:
            self._lines.line("mended", applied.mended[0][0], f"{len(applied.mended) - MAX_LINES} more")

    def _change(self, change: Change, origin: str, report: PassReport) -> None:
        lag = "" if report.lag_s is None else milliseconds(report.lag_s)
        tabs = "" if self._tabs is None else plural(self._tabs(), "tab")
        self._lines.change(_told(change, origin), tabs, lag)


def _told(change: Change, origin: str) -> Told:
    moved = ""
    if change.moved_from is not None:
        what = "moved"
        source = change.moved_from
        same_kb = source.kb_name == change.key.kb_name
        was = source.entry_id if same_kb else f"{source.kb_name}:{source.entry_id}"
        moved = f"{was} → {change.key.entry_id}"
    elif change.before is None:
        what = "created"
    elif change.after is None:
        what = "deleted"
    elif change.before.path != change.after.path:
        what = "moved"
        moved = f"{change.before.path} → {change.after.path}"
    else:
        what = "updated"
    return Told(what, change.key.kb_name, change.key.entry_id, origin, moved)


class _Sink:
    """What rich takes for its file: the lines it makes are put into the writer."""

    def __init__(self, writer: LineWriter, stream: TextIO) -> None:
        self._writer = writer
        self._stream = stream
        self.encoding = stream.encoding or "utf-8"

    def write(self, text: str) -> int:
        """Put it."""
        self._writer.put(text)
        return len(text)

    def flush(self) -> None:
        """Nothing waits here."""

    def isatty(self) -> bool:
        """As the stream says."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """As the stream says: rich asks the terminal for its size."""
        return self._stream.fileno()


def _dropped_line(count: int, last: str) -> str:
    return f"          {count:,} lines were not printed: the terminal did not take them\n"


def _origin(event: Event) -> str:
    return str(json.loads(event.message).get("origin", ""))


def _entries(kb: Mapping[str, Any]) -> str:
    return plural(kb["entries"], "entry") if kb["available"] else "away"
