"""Lines for people: columns, colours only on a terminal, and nothing of a file's name that is no text.

Every command that prints for people prints through this, so that a change looks the same whoever tells it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any, NoReturn, Protocol, cast

from rich.console import Console
from rich.text import Text

from pyrite_watch.model.entry import Problem

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
    "resync": "yellow",
}

_FRONT_MATTER = ("yaml", "front_matter")


class Sink(Protocol):
    """What is printed to: a stream, or what stands for one."""

    @property
    def encoding(self) -> str:
        """How it turns text into bytes."""

    def write(self, text: str, /) -> object:
        """Take a text."""

    def flush(self) -> None:
        """Let it go."""

    def isatty(self) -> bool:
        """Whether a person sees it at once."""

    def fileno(self) -> int:
        """Its descriptor."""


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        # rich would end the process with 1; who stops reading has what it wanted.
        raise BrokenPipeError


def make_console(stream: Sink) -> Console:
    """Make a console; colours only on a terminal, and not with NO_COLOR."""
    is_terminal = stream.isatty()
    plain = not is_terminal or bool(os.environ.get("NO_COLOR"))
    return _Console(
        file=cast("IO[str]", stream),
        highlight=False,
        soft_wrap=True,
        emoji=False,
        # Off a terminal lines are never wrapped: somebody reads them with a program.
        width=None if is_terminal else 10_000,
        # With NO_COLOR alone rich goes on with bold and dim.
        color_system=None if plain else "auto",
        force_terminal=is_terminal,
    )


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one entry, in the words of a line; `moved` is from where to where."""

    what: str
    kb_name: str
    entry_id: str
    origin: str = ""
    moved: str = ""


class Lines:
    """Prints what happens, a line each: when, what, in which knowledge base."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.name_width = 6

    def change(self, told: Told, tabs: str = "", lag: str = "", at: datetime | None = None) -> None:
        """Print what became of an entry."""
        columns = f"{told.origin:<6} {tabs:<8} {lag:<8} " if tabs or lag else f"{told.origin:<6} "
        tail = f"{columns}{told.moved}".rstrip()
        self.line(told.what, told.kb_name, f"{shown(told.entry_id):<30} {tail}", at)

    def synced(self, message: Mapping[str, Any], at: datetime | None = None) -> None:
        """Print what a pass over a knowledge base came to."""
        counts = (
            f"{message['updated']:,} changed, {message['added']:,} created, {message['removed']:,} deleted"
        )
        took = milliseconds(message["duration_ms"] / 1000)
        self.line("synced", message["kb_name"], f"{counts:<46} {took}", at)

    def line(self, what: str, name: str, rest: str, at: datetime | None = None) -> None:
        """Print a line; `at` is local time, None now."""
        when = (at or datetime.now()).strftime("%H:%M:%S")
        self.console.print(
            Text.assemble(
                (when, "dim"),
                "  ",
                (f"{what:<8}", _STYLES[what]),
                " ",
                f"{shown(name):<{self.name_width}}  {shown(rest)}" if rest else shown(name),
            )
        )


def describe_problem(problem: Problem) -> str:
    """A problem as a person reads it: where, and what."""
    where = shown(problem.path)
    if problem.kind in _FRONT_MATTER and problem.line is not None:
        return f"{where}: front matter, line {problem.line}: {problem.message}"
    if problem.line is not None:
        return f"{where}, line {problem.line}: {problem.message}"
    return f"{where}: {problem.message}"


def shown(text: str) -> str:
    """What a terminal may show: no control characters of a file's name."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text.encode("utf-8", "backslashreplace").decode()
    )


def plural(count: int, noun: str) -> str:
    """Count something: `1 tab`, `2 tabs`, `3 entries`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun[:-1]}ies" if noun.endswith("y") else f"{count:,} {noun}s"


def milliseconds(seconds: float) -> str:
    """A duration, short."""
    if seconds < 10:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    return f"{seconds:,.1f} s"
