"""What `pyrite watch` prints: lines for people, or NDJSON for programs.

Everything may be called from the writing thread; a lock keeps lines whole. Nothing is told before
the ready line: what a pass tells earlier waits and follows it.

Nobody waits for who reads stdout: what is printed is put into a `LineWriter`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import IO, Any, Protocol, TextIO, cast

from rich.console import Console
from rich.text import Text

from pyrite_watch import __version__
from pyrite_watch.cli.line_writer import MAX_WAITING_BYTES, LineWriter
from pyrite_watch.model.change import Change
from pyrite_watch.model.entry import Problem
from pyrite_watch.model.event import Event, Position
from pyrite_watch.reconciler import PassReport
from pyrite_watch.watching import WatchMode

MAX_LINES = 8
"""A pass with more entries than this is one line a KB: a pull shall not scroll a screen away."""

_STYLES = {
    "created": "green",
    "updated": "cyan",
    "deleted": "red",
    "moved": "magenta",
    "synced": "blue",
    "problem": "yellow",
    "mended": "green",
    "away": "yellow",
    "back": "green",
}

_FRONT_MATTER = ("yaml", "front_matter")


class Output(Protocol):
    """Who prints."""

    def ready(
        self,
        url: str | None,
        kbs: Sequence[Mapping[str, Any]],
        position: Position,
        mode: WatchMode,
        took_s: float,
    ) -> None:
        """The watch is up and the index is the disk."""

    def told(self, report: PassReport) -> None:
        """A pass was committed."""

    def stopped(self, position: Position) -> None:
        """The end."""


class JsonOutput:
    """One JSON object a line, flushed per line; events exactly as on the socket.

    A reader that lets more than `MAX_WAITING_BYTES` wait gets `resync` in place of what was dropped.
    """

    def __init__(self, stream: TextIO, max_waiting_bytes: int = MAX_WAITING_BYTES) -> None:
        self._writer = LineWriter(stream, _resync_line, max_waiting_bytes)
        self._lock = threading.Lock()
        self._waiting: list[Event] | None = []

    def ready(
        self,
        url: str | None,
        kbs: Sequence[Mapping[str, Any]],
        position: Position,
        mode: WatchMode,
        took_s: float,
    ) -> None:
        """Print the ready line, then what happened between the start and now.

        The line's position is the present one; the events after it that tell what changed while
        nothing ran have offsets up to it, all later ones are above it.
        """
        with self._lock:
            waiting, self._waiting = self._waiting or [], None
            self._print(
                {
                    "type": "ready",
                    "url": url,
                    "kbs": [{key: kb[key] for key in ("name", "path", "entries")} for kb in kbs],
                    "epoch": position.epoch,
                    "offset": position.offset,
                }
            )
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

    def _print(self, message: Mapping[str, Any]) -> None:
        self._write(json.dumps(message, ensure_ascii=False, separators=(",", ":")))

    def _print_events(self, events: Sequence[Event]) -> None:
        for event in events:
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
        is_terminal = stream.isatty()
        plain = not is_terminal or bool(os.environ.get("NO_COLOR"))
        self._console = Console(
            file=cast("IO[str]", _Sink(self._writer, stream)),
            highlight=False,
            soft_wrap=True,
            emoji=False,
            # Off a terminal lines are never wrapped: somebody reads them with a program.
            width=None if is_terminal else 10_000,
            # With NO_COLOR alone rich goes on with bold and dim.
            color_system=None if plain else "auto",
            force_terminal=is_terminal,
        )
        self._away: set[str] = set()
        self._lock = threading.Lock()
        self._waiting: list[PassReport] | None = []
        self._name_width = 6

    def ready(
        self,
        url: str | None,
        kbs: Sequence[Mapping[str, Any]],
        position: Position,
        mode: WatchMode,
        took_s: float,
    ) -> None:
        """Print the banner, then what happened since the start."""
        with self._lock:
            self._name_width = max((len(_shown(str(kb["name"]))) for kb in kbs), default=6)
            self._away = {str(kb["name"]) for kb in kbs if not kb["available"]}
            self._banner(url, kbs, mode, took_s)
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
        names = ", ".join(f"{_shown(str(kb['name']))} ({_entries(kb)})" for kb in kbs[:6])
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
                    self._synced(json.loads(event.message))
        for name, problem in applied.problems[:MAX_LINES]:
            if problem.kind == "unavailable":
                self._away.add(name)
                self._line("away", name, f"{problem.message} (its entries stay readable)")
            else:
                self._line("problem", name, describe_problem(problem))
        if len(applied.problems) > MAX_LINES:
            self._line("problem", applied.problems[0][0], f"{len(applied.problems) - MAX_LINES} more")
        for name, path in applied.mended[:MAX_LINES]:
            # The root has problems of its own, too: a folder that may not be read is "." as well.
            if path == "." and name in self._away:
                self._away.discard(name)
                self._line("back", name, "")
            else:
                self._line("mended", name, path)
        if len(applied.mended) > MAX_LINES:
            self._line("mended", applied.mended[0][0], f"{len(applied.mended) - MAX_LINES} more")

    def _change(self, change: Change, origin: str, report: PassReport) -> None:
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
        lag = "" if report.lag_s is None else _milliseconds(report.lag_s)
        tabs = "" if self._tabs is None else _plural(self._tabs(), "tab")
        tail = f"{origin:<6} {tabs:<8} {lag:<8} {moved}".rstrip()
        self._line(what, change.key.kb_name, f"{_shown(change.key.entry_id):<30} {tail}")

    def _synced(self, message: Mapping[str, Any]) -> None:
        counts = (
            f"{message['updated']:,} changed, {message['added']:,} created, {message['removed']:,} deleted"
        )
        self._line(
            "synced", message["kb_name"], f"{counts:<46} {_milliseconds(message['duration_ms'] / 1000)}"
        )

    def _line(self, what: str, name: str, rest: str) -> None:
        now = datetime.now().strftime("%H:%M:%S")
        self._console.print(
            Text.assemble(
                (now, "dim"),
                "  ",
                (f"{what:<8}", _STYLES[what]),
                " ",
                f"{_shown(name):<{self._name_width}}",
                "  " if rest else "",
                _shown(rest),
            )
        )


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


def describe_problem(problem: Problem) -> str:
    """A problem as a person reads it: where, and what."""
    where = _shown(problem.path)
    if problem.kind in _FRONT_MATTER and problem.line is not None:
        return f"{where}: front matter, line {problem.line}: {problem.message}"
    if problem.line is not None:
        return f"{where}, line {problem.line}: {problem.message}"
    return f"{where}: {problem.message}"


def _shown(text: str) -> str:
    """What a terminal may show: no control characters of a file's name."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text.encode("utf-8", "backslashreplace").decode()
    )


def _origin(event: Event) -> str:
    return str(json.loads(event.message).get("origin", ""))


def _entries(kb: Mapping[str, Any]) -> str:
    if not kb["available"]:
        return "away"
    return f"{kb['entries']:,} {'entry' if kb['entries'] == 1 else 'entries'}"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _milliseconds(seconds: float) -> str:
    if seconds < 10:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    return f"{seconds:,.1f} s"
