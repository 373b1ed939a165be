"""`pyrite watch`: run the pipeline, with or without a server, until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from pyrite_watch.cli.address import bind, url_of
from pyrite_watch.cli.output import JsonOutput, Output, PeopleOutput
from pyrite_watch.cli.signals import signals
from pyrite_watch.cli.states import note_state
from pyrite_watch.cli.waiting import is_set_within
from pyrite_watch.errors import PyriteWatchError
from pyrite_watch.index import log
from pyrite_watch.model.event import Event, Position
from pyrite_watch.pipeline import Pipeline
from pyrite_watch.service import KBService
from pyrite_watch.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

REPLAY_PAGE = 500
"""Events in one read transaction of `--since`."""

BAR_AFTER_S = 0.3
BAR_STEP_S = 0.1
"""What is indexed within the first needs no bar; the second is how often the bar moves."""


class FailedError(PyriteWatchError):
    """The service went down by an error of its own."""

    hint = "The log above says where. Your notes are not concerned."


class Watch:
    """One run of `pyrite watch`.

    Args:
        made_tokens: Those that nobody knows yet, by what they are called: they are printed.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        as_json: bool,
        serve: bool,
        open_page: bool,
        since: Position | None = None,
        made_tokens: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._settings = settings
        self._as_json = as_json
        self._since = since
        self._serve = serve
        self._open_page = open_page
        self._made_tokens = made_tokens
        self._began_s = time.perf_counter()

    @property
    def _public_url(self) -> str | None:
        given = self._settings.public_url
        return given.rstrip("/") if given else None

    def _page_address(self, url: str, token: str | None) -> str:
        """Where a browser finds the page; with a token, which the server's answer takes out of it again."""
        page = f"{self._public_url or url}/"
        return f"{page}?token={quote(token, safe='')}" if token else page

    def run(self) -> None:
        """Watch until SIGINT or SIGTERM. A second SIGINT ends the process with 130.

        Raises:
            PyriteWatchError: It cannot start, or it went down.
        """
        if self._serve:
            listener = bind(self._settings.host, self._settings.port)
            with contextlib.closing(listener):
                self._run(listener)
        else:
            self._run(None)

    def _run(self, listener: socket.socket | None) -> None:
        pipeline = Pipeline(self._settings)
        pipeline.open()
        try:
            note_state(self._settings)
            tabs: Callable[[], int] | None = None
            app = None
            if listener is not None:
                # Half a second, and only for who serves.
                from pyrite_watch.server.app import app_of

                app = app_of(pipeline)
                live = app.state.pyrite_watch
                tabs = lambda: live.manager.connection_count  # noqa: E731
            output = self._make_output(pipeline, tabs)
            pipeline.listeners.append(output.told)
            url = None if listener is None else url_of(listener, self._settings)
            if url is not None:
                pipeline.announce(url)
            self._tell_tokens(url)
            if app is not None and listener is not None:
                asyncio.run(self._serve_app(app, listener, pipeline, output, url))
            else:
                self._watch_only(pipeline, output)
        finally:
            pipeline.stop()
        if isinstance(pipeline.failure, PyriteWatchError):
            raise pipeline.failure
        if pipeline.failure is not None:
            raise FailedError(f"The watch went down: {pipeline.failure}") from pipeline.failure
        output.stopped(pipeline.last_position)

    def _tell_tokens(self, url: str | None) -> None:
        for label, token in self._made_tokens.items():
            print(f"{label}: {token}", file=sys.stderr)
            if url is not None:
                print(f"       {self._page_address(url, token)}", file=sys.stderr)

    def _make_output(self, pipeline: Pipeline, tabs: Callable[[], int] | None) -> Output:
        if not self._as_json:
            return PeopleOutput(tabs)

        def load_events(since: Position, now: Position) -> Iterator[Sequence[Event]]:
            after = since.offset
            while after < now.offset:
                with pipeline.reader.snapshot() as snapshot:
                    events = log.load_events(snapshot.connection, after, now.offset, REPLAY_PAGE)
                yield events
                after = events[-1].offset if len(events) == REPLAY_PAGE else now.offset

        return JsonOutput(sys.stdout, since=self._since, load_events=load_events)

    async def _serve_app(
        self,
        app: FastAPI,
        listener: socket.socket,
        pipeline: Pipeline,
        output: Output,
        url: str | None,
    ) -> None:
        from pyrite_watch.cli.server import Server

        server = Server(app)
        loop = asyncio.get_running_loop()

        def stop() -> None:
            loop.call_soon_threadsafe(server.stop)

        ready = asyncio.Event()

        def note_ready() -> None:
            loop.call_soon_threadsafe(ready.set)

        pipeline.on_ready.append(note_ready)
        pipeline.on_failure.append(lambda error: stop())
        with signals(stop):
            announcing = loop.create_task(self._announce(ready, pipeline, output, url))
            bar = loop.create_task(self._show_progress(ready, pipeline))
            try:
                await server.serve([listener])
            finally:
                announcing.cancel()
                bar.cancel()
                await asyncio.gather(announcing, bar, return_exceptions=True)

    async def _announce(
        self, ready: asyncio.Event, pipeline: Pipeline, output: Output, url: str | None
    ) -> None:
        # The port is bound and listens since before the start: who connects now is served.
        await ready.wait()
        await asyncio.to_thread(self._say_ready, pipeline, output, url)
        if self._open_page and url is not None:
            page = self._page_address(url, self._settings.token or self._settings.read_token)
            # No worker of the loop's, which its end waits for: one in a terminal lasts as long as it is read.
            threading.Thread(target=webbrowser.open, args=(page,), name="pyrite-open", daemon=True).start()

    def _say_ready(self, pipeline: Pipeline, output: Output, url: str | None) -> None:
        with pipeline.reader.snapshot() as snapshot:
            kbs = KBService(pipeline).list_kbs(snapshot)
            position = snapshot.position
        took_s = time.perf_counter() - self._began_s
        output.ready(url, kbs, position, pipeline.mode, took_s, url and self._public_url)

    async def _show_progress(self, ready: asyncio.Event, pipeline: Pipeline) -> None:
        console = Console(stderr=True)
        if not console.is_terminal or self._as_json:
            return
        if await is_set_within(ready, BAR_AFTER_S):
            return
        with _bar(console) as bar:
            task = bar.add_task("Indexing", total=None)
            while not await is_set_within(ready, BAR_STEP_S):
                progress = pipeline.progress
                bar.update(task, completed=progress.done, total=progress.total or None)

    def _watch_only(self, pipeline: Pipeline, output: Output) -> None:
        ended = threading.Event()
        pipeline.on_ready.append(lambda: self._say_ready(pipeline, output, None))
        pipeline.on_failure.append(lambda error: ended.set())
        with signals(ended.set):
            pipeline.start()
            # In slices: a lock that is waited for without end keeps signals out on Windows.
            while not ended.wait(3600 if os.name == "posix" else 0.2):
                continue


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), console=console, transient=True
    )


def set_up_logging() -> None:
    """Warnings of ours and of the libraries, on stderr, a line each."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING, stream=sys.stderr)
