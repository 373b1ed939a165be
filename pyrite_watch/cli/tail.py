"""`pyrite tail`: follow a server that runs, and print what happens as `pyrite watch` does.

It writes straight to stdout: where nobody takes its lines it waits, the server cuts it off as too slow,
and it resumes. So it never loses a line, and never keeps any.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import stat
import sys
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, TextIO

from rich.text import Text

from pyrite_watch.cli.asking import TOKEN_HINT, NoAnswerError, ask
from pyrite_watch.cli.lines import Lines, Told, make_console, plural, shown
from pyrite_watch.cli.pipes import quiet_pipe
from pyrite_watch.cli.signals import signals
from pyrite_watch.client import Policy, SubscriptionRefusedError, subscribe
from pyrite_watch.errors import PyriteWatchError, UsageError
from pyrite_watch.model.event import parse_position

Json = dict[str, Any]

MANY = 8
"""Of a pass with more changes, only these are lines of their own: a pull shall not scroll a screen away."""

_HINTS = {
    4401: TOKEN_HINT,
    401: TOKEN_HINT,
    4404: "'pyrite status' lists the knowledge bases.",
    403: "Use the address that 'pyrite watch' prints; see its --allow-host and --token.",
    404: "Use the address that 'pyrite watch' prints.",
}


class RefusedError(PyriteWatchError):
    """The server does not let us follow it."""

    def __init__(self, url: str, error: SubscriptionRefusedError) -> None:
        super().__init__(url, error)
        self.url, self.why, self.number = url, error.why, error.code or error.status
        self.hint = _HINTS.get(self.number or 0, "")

    def __str__(self) -> str:
        return f"{self.url} refuses to be followed: {self.why}" + (
            f" ({self.number})." if self.number else "."
        )


def check_since(since: str) -> str:
    """Give a position as it was typed.

    Raises:
        UsageError: It is none.
    """
    if since != "now" and parse_position(since) is None:
        raise UsageError(
            f"'{since}' is not a position.",
            "A position is EPOCH:OFFSET, as each event tells them, or 'now'.",
        )
    return since


class Tail:
    """One run of `pyrite tail`.

    Args:
        url: As `check_url` gives it.
        since: EPOCH:OFFSET or "now".
        kbs: Only these; empty means all.
    """

    def __init__(self, url: str, since: str, kbs: Sequence[str], token: str | None, *, as_json: bool) -> None:
        self._url = url
        self._since = check_since(since)
        self._kbs = tuple(kbs)
        self._token = token
        self._is_writing = False
        self._is_lost = False
        self._as_json = as_json

    def run(self) -> None:
        """Follow until SIGINT or SIGTERM, or until nobody reads stdout any more.

        Raises:
            RefusedError: The server does not let us in.
        """
        try:
            with quiet_pipe():
                asyncio.run(self._run(JsonPrinter() if self._as_json else self._make_people_printer()))
        except SubscriptionRefusedError as error:
            raise RefusedError(self._url, error) from error

    def _make_people_printer(self) -> PeoplePrinter:
        try:
            facts = ask(self._url, "/api/kbs", self._token).body["kbs"]
            printer = PeoplePrinter(facts, self._kbs, is_now=self._since == "now")
        except (NoAnswerError, KeyError, TypeError):
            printer = PeoplePrinter((), self._kbs)  # it may answer later
        head = Text.assemble("Following ", (self._url, "underline"), ("   Ctrl-C stops", "dim"))
        printer.lines.console.print(head)
        sys.stdout.flush()
        return printer

    async def _run(self, printer: Callable[[Json], None]) -> None:
        loop = asyncio.get_running_loop()
        following = loop.create_task(self._follow(printer))

        def stop() -> None:
            if self._is_writing:
                # Stuck, perhaps: whoever reads stdout does not. Nothing of ours is unsaved.
                os._exit(0)
            loop.call_soon_threadsafe(following.cancel)

        with (
            signals(stop),
            _watched_pipe(loop, sys.stdout, following.cancel),
            contextlib.suppress(asyncio.CancelledError),
        ):
            await following

    async def _follow(self, printer: Callable[[Json], None]) -> None:
        events: AsyncGenerator[Json, None]
        try:
            policy = Policy(sleep=self._wait)
            events = subscribe(self._url, self._since, kbs=self._kbs, token=self._token, policy=policy)
        except ValueError as error:
            raise UsageError(str(error)) from error
        async with contextlib.aclosing(events):
            async for message in events:
                self._is_lost = False
                self._is_writing = True
                printer(message)
                self._is_writing = False

    async def _wait(self, wait_s: float) -> None:
        if not self._is_lost:
            self._is_lost = True
            print(f"pyrite: No connection to {self._url}. Trying until there is one.", file=sys.stderr)
        await asyncio.sleep(wait_s)


@contextlib.contextmanager
def _watched_pipe(
    loop: asyncio.AbstractEventLoop, stream: TextIO, on_closed: Callable[[], object]
) -> Iterator[None]:
    """Notice that nobody reads a pipe any more, also while there is nothing to write."""
    descriptor = None
    with contextlib.suppress(OSError, ValueError, NotImplementedError):
        descriptor = stream.fileno()
        # Only of a pipe: its writing end is never readable, so that this can but be its end.
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            loop.add_reader(descriptor, on_closed)
        else:
            descriptor = None
    try:
        yield
    finally:
        if descriptor is not None:
            loop.remove_reader(descriptor)


class JsonPrinter:
    """Prints each message as one line, as it is on the socket."""

    def __call__(self, message: Json) -> None:
        """Print it."""
        line = json.dumps(message, ensure_ascii=False, separators=(",", ":")) + "\n"
        sys.stdout.flush()
        # JSON is UTF-8, whatever the locale.
        sys.stdout.buffer.write(line.encode("utf-8", "backslashreplace"))
        sys.stdout.buffer.flush()


class PeoplePrinter:
    """Prints each event as a line, in the words of `pyrite watch`.

    Args:
        facts: The KBs, as `/api/kbs` has them now.
        is_now: Whether what comes begins now; else nothing is known of how it was at its beginning.
        kbs: Those that are followed; empty means all.
    """

    def __init__(
        self,
        facts: Sequence[Json] = (),
        kbs: Sequence[str] = (),
        stream: TextIO | None = None,
        *,
        is_now: bool = True,
    ) -> None:
        self._stream = stream or sys.stdout
        self.lines = Lines(make_console(self._stream))
        self._kbs = frozenset(kbs)
        followed = [fact for fact in facts if not kbs or fact["name"] in kbs]
        for fact in followed:
            self._widen(fact["name"])
        known = followed if is_now else []
        self._away = {fact["name"] for fact in known if not fact["available"]}
        self._problems: dict[str, int] = {fact["name"]: fact["problems"] for fact in known}
        self._batch: tuple[str, str] | None = None
        self._count = 0

    def __call__(self, message: Json) -> None:
        """Print it; what is of no known type is left out, as the protocol has it."""
        # Wrong types are somebody's `broadcast` under a name of ours.
        with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
            self._tell(message)
        self._stream.flush()

    def _tell(self, message: Json) -> None:
        kind = message["type"]
        if kind == "resync":
            self._begin_batch(None)
            why = "ahead of the log" if message["reason"] == "ahead" else "of another log"
            where = f"{message['epoch']}:{message['offset']}"
            self.lines.line("resync", "", f"the position was {why}: load the state again; from {where} on")
            return
        at = datetime.fromisoformat(message["ts"]).astimezone()
        name = message["kb_name"]
        if kind == "kb_synced":
            self._widen(name)
            self._synced(message, name, at)
        elif told := describe_event(message, self._kbs):
            self._widen(name)
            # Of one commit, and so of one pass.
            self._begin_batch((name, message["ts"]))
            self._count += 1
            if self._count <= MANY:
                self.lines.change(told, at=at)

    def _widen(self, name: str) -> None:
        self.lines.name_width = max(self.lines.name_width, min(24, len(shown(name))))

    def _begin_batch(self, batch: tuple[str, str] | None) -> None:
        """Begin another pass; what of the last one was not printed, and not summed up, is counted."""
        if batch == self._batch:
            return
        if self._batch is not None and self._count > MANY:
            self.lines.line("synced", self._batch[0], f"{self._count - MANY:,} more")
        self._batch, self._count = batch, 0

    def _synced(self, message: Json, name: str, at: datetime) -> None:
        if self._count > MANY and self._batch == (name, message["ts"]):
            self.lines.synced(message, at)
            self._count = 0
        self._begin_batch(None)
        is_away, problems = not message["available"], message["problems"]
        is_other = is_away != (name in self._away)
        known, self._problems[name] = self._problems.get(name), problems
        if is_other:
            self._away ^= {name}
            self.lines.line("away" if is_away else "back", name, "", at)
            return  # its being away is a problem of its own
        if known is not None and problems != known:
            what = "problem" if problems > known else "mended"
            self.lines.line(
                what, name, f"{plural(problems, 'problem') if problems else 'no problem'} now", at
            )
        elif not (message["updated"] or message["added"] or message["removed"]):
            self.lines.synced(message, at)


def describe_event(message: Json, kbs: frozenset[str] = frozenset()) -> Told | None:
    """Say what an entry's event tells; None where another event tells it, or nobody knows the type.

    Args:
        kbs: Whose events are followed; empty means all. Of a pair that moved, the arrival tells all;
            where that is not followed, the departure does.
    """
    kind, name, entry_id = message["type"], message["kb_name"], message["entry_id"]
    origin = str(message.get("origin", ""))
    if kind == "entry_created":
        came = message.get("moved_from")
        if came is None:
            return Told("created", name, entry_id, origin)
        was = came["entry_id"] if came["kb_name"] == name else f"{came['kb_name']}:{came['entry_id']}"
        return Told("moved", name, entry_id, origin, f"{was} → {entry_id}")
    if kind == "entry_updated":
        before = message.get("previous_path")
        if before is None:
            return Told("updated", name, entry_id, origin)
        return Told("moved", name, entry_id, origin, f"{before} → {message['path']}")
    if kind == "entry_deleted":
        went = message.get("moved_to")
        if went is None:
            return Told("deleted", name, entry_id, origin)
        if kbs and went["kb_name"] not in kbs:
            return Told("moved", name, entry_id, origin, f"{entry_id} → {went['kb_name']}:{went['entry_id']}")
    return None
