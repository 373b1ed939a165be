"""A real Chromium for a test: pages that fail it when they complain, and a `pyrite watch` to look at.

What a page logs as an error, throws, or may not do by its Content-Security-Policy fails the test at its end,
unless the test has said that it is expected. Waiting is Playwright's `expect(locator)…`, and `wait_for` here.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from asyncio import events
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness.api import Api
from harness.fixtures import Starter, write_entry
from harness.process import WatchProcess
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    Playwright,
    Response,
    WebSocketRoute,
    sync_playwright,
)

from pyrite_watch import __version__

CHROMIUM_ARGS = (
    # A container's root has no user namespace for the sandbox; what these pages load is our own.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # Shared memory is 64 MB in most containers: a few tabs would crash.
    "--disable-dev-shm-usage",
    # A name that is not this machine's own is no secure context.
    "--host-resolver-rules=MAP notes.test 127.0.0.1",
    # Of a worker Playwright's `ignore_https_errors` knows nothing.
    "--ignore-certificate-errors",
)

TIMEOUT_MS = 25_000
"""How long an expectation may take to come true: less than a test has, more than a busy machine needs."""

SERVER_GONE = r"net::ERR_(CONNECTION|EMPTY_RESPONSE|SOCKET)|WebSocket connection to .* failed|Failed to fetch"
"""What Chromium itself logs while a server is stopped, for `expect_complaint`."""

RECORD_SAID = """
window.said = [];
new MutationObserver((all) => {
  const texts = all.flatMap(({addedNodes}) => [...addedNodes]).map((node) => node.textContent.trim());
  window.said.push(...texts.filter(Boolean));
}).observe(document.querySelector('[role=status]'), {subtree: true, childList: true});
"""
"""Lets a page note in `said` what its one status region says."""

_TELL_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) => console.error(
  `CSP violation: ${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""


def wait_for(page: Page, expression: str, timeout_ms: float = TIMEOUT_MS) -> Any:
    """Evaluate until it gives something true, and return that.

    Playwright's `wait_for_function` cannot be used: it needs the `unsafe-eval` that the policy forbids.
    """
    deadline_s = time.monotonic() + timeout_ms / 1_000
    pause_ms = 20.0
    while True:
        value = page.evaluate(expression)
        if value:
            return value
        assert time.monotonic() < deadline_s, f"not within {timeout_ms:g} ms: {expression}; last: {value!r}"
        page.wait_for_timeout(pause_ms)
        pause_ms = min(100, 1.25 * pause_ms)  # each time costs three processes some


def first_view_sizes(page: Page, address: str, shown: str) -> dict[str, int]:
    """Load an address into a blank tab; give the bytes of each script and style until it is shown and live.

    Before compression, with the worker that the tabs share. Not what a browser loads later, when it has time.
    """
    page.add_init_script("window.requestIdleCallback = () => {}")
    sizes: dict[str, int] = {}

    def note(response: Response) -> None:
        if re.search(r"\.(js|css)$", response.url):
            sizes[response.url] = len(response.body())

    page.on("response", note)
    page.goto(address)
    page.locator(shown).first.wait_for()
    wait_for(page, "document.querySelector('#status').dataset.state === 'live'")
    worker = page.evaluate("new URL('web/live-worker.js', document.baseURI).href")
    sizes[worker] = len(page.request.get(worker).body())
    return sizes


def tell_new_versions(page: Page, first: str = __version__) -> list[WebSocketRoute]:
    """Let each connection after the first be to a newer server, 2.0.0, 3.0.0, …; gives the tab's sockets."""
    page.add_init_script("delete window.SharedWorker")  # whose sockets cannot be routed
    sockets: list[WebSocketRoute] = []

    def route(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        sockets.append(socket)
        version = f"{len(sockets)}.0.0" if len(sockets) > 1 else first
        server.on_message(
            lambda text: socket.send(re.sub(r'("server_version": ?")[^"]*', rf"\g<1>{version}", str(text)))
        )

    page.route_web_socket(re.compile("/ws"), route)
    return sockets


class Chromium:
    """One Chromium, and the loop of Playwright's synchronous interface.

    That loop counts as running for as long as Playwright is there, also while a test of another folder wants
    one of its own in the same process. So it is put aside between the tests that use it.
    """

    def __init__(self) -> None:
        path = shutil.which("chromium")
        assert path is not None, "Chromium is missing: tests/run installs it (Debian's package chromium)"
        self._playwright: Playwright = sync_playwright().start()
        self._loop = asyncio.get_running_loop()
        self.browser: Browser = self._playwright.chromium.launch(
            executable_path=path, args=list(CHROMIUM_ARGS)
        )
        self.put_aside()

    def take_up(self) -> None:
        """Before a test that uses it."""
        events._set_running_loop(self._loop)

    def put_aside(self) -> None:
        """After that test."""
        events._set_running_loop(None)

    def close(self) -> None:
        """End it."""
        self.take_up()
        self.browser.close()
        self._playwright.stop()


class Pages:
    """Opens tabs, and remembers what they complain about.

    Calls without `options` open tabs of one browser profile; with options (`color_scheme=`, `viewport=`, …
    as of Playwright's `new_context`) the tab gets a fresh profile of its own.
    """

    def __init__(self, browser: Browser, base_url: str) -> None:
        self.browser = browser
        self._base_url = base_url
        self._own: BrowserContext | None = None
        self._contexts: list[BrowserContext] = []
        self._expected: list[re.Pattern[str]] = []
        self.complaints: list[str] = []

    def __call__(
        self, path: str = "/", *, context: BrowserContext | None = None, goto: bool = True, **options: Any
    ) -> Page:
        """Open a tab at a path of the server (or a whole address); `goto=False` leaves it blank."""
        if context is None:
            context = self.new_context(**options) if options else self._own
        if context is None:
            context = self._own = self.new_context()
        page = context.new_page()
        page.on("console", self._note_console)
        page.on("pageerror", self._note_error)
        page.on("crash", lambda _: self.complaints.append("a tab crashed"))
        if goto:
            page.goto(self._base_url + path if path.startswith("/") else path)
        return page

    def new_context(self, **options: Any) -> BrowserContext:
        """Make a fresh profile; closed at the test's end."""
        context = self.browser.new_context(**options)
        context.set_default_timeout(TIMEOUT_MS)
        context.add_init_script(_TELL_VIOLATIONS)
        self._contexts.append(context)
        return context

    def expect_complaint(self, pattern: str) -> None:
        """Say that an error which the pattern finds belongs to this test."""
        self._expected.append(re.compile(pattern))

    def check(self) -> None:
        """Assert that no page complained of anything unexpected."""
        unexpected = [
            text for text in self.complaints if not any(pattern.search(text) for pattern in self._expected)
        ]
        assert not unexpected, "pages complained:\n" + "\n".join(f"  {text}" for text in unexpected)

    def close(self) -> None:
        """Close all profiles with their tabs."""
        for context in self._contexts:
            context.close()

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            place = message.location
            self.complaints.append(f"console: {message.text} ({place.get('url')}:{place.get('lineNumber')})")

    def _note_error(self, error: Error) -> None:
        self.complaints.append(f"uncaught: {error.stack or error.message}")


class Watch:
    """A `pyrite watch` that can be stopped, killed and started again at its address.

    `kb` is the folder of its (first) knowledge base; change the files in it, and see what the page does.
    """

    def __init__(
        self,
        start: Starter,
        *roots: Path,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._start = start
        self._options = tuple(options)
        self._env = env
        self.roots = roots
        self.kb = roots[0]
        self.process = start(*roots, options=self._options, env=env)
        self.url = self.process.url
        self.state_dir = start.state_dir

    @property
    def port(self) -> int:
        """Where it listens, also after a restart."""
        port = urlsplit(self.url).port
        assert port is not None
        return port

    @property
    def api(self) -> Api:
        """Its HTTP side."""
        return Api(self.url)

    @property
    def connections(self) -> int:
        """How many sockets are connected."""
        return int(self.api.get("/health")["connections"])

    def write(self, entry_id: str, body: str) -> None:
        """Write an entry's file as an editor would that writes in place."""
        write_entry(self.kb / f"{entry_id}.md", entry_id, body)

    def stop(self) -> None:
        """End it politely."""
        assert self.process.stop() == 0, self.process.describe()

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.process.kill()

    def start(self, *, state_dir: Path | None = None, options: Sequence[str] | None = None) -> WatchProcess:
        """Start it again at the same address; another `state_dir` makes another epoch."""
        given = self._options if options is None else tuple(options)
        self.process = self._start(
            *self.roots,
            options=(*given, "--port", str(self.port)),
            state_dir=state_dir or self.state_dir,
            env=self._env,
        )
        self.process.wait_ready()
        return self.process

    def restart(self) -> WatchProcess:
        """Stop it and start it again."""
        self.stop()
        return self.start()
