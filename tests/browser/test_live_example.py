"""A page of one's own, from another origin, as examples/page.html shows it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from harness.isolation import REPOSITORY
from playwright.sync_api import expect

from browser.browser import SERVER_GONE, Pages, Watch

EXAMPLES = REPOSITORY / "examples"


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and logs nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def origin() -> Iterator[str]:
    """Where a web server of somebody else serves the folder of the examples."""
    handler = functools.partial(Quiet, directory=str(EXAMPLES))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_page_of_another_origin_follows(
    origin: str, serve: Callable[..., Watch], pages_of: Callable[[str], Pages], small_kb: Path
) -> None:
    """With `--allow-origin` the example shows each change, also after a restart of the server."""
    watch = serve(small_kb, options=["--allow-origin", origin])
    pages = pages_of(origin)
    pages.expect_complaint(SERVER_GONE)
    page = pages(f"/page.html?server={watch.url}")
    expect(page.get_by_role("status")).to_have_text("live")
    watch.write("entry-1", "Changed.")
    expect(page.get_by_role("listitem")).to_have_text(["updated small / entry-1"])
    watch.restart()
    watch.write("entry-2", "Changed.")
    expect(page.get_by_role("listitem")).to_have_text(["updated small / entry-2", "updated small / entry-1"])


def test_a_page_of_an_origin_that_was_not_allowed_gets_nothing(
    origin: str, pages_of: Callable[[str], Pages], watch: Watch
) -> None:
    """Without `--allow-origin` the browser does not even give it the library."""
    pages = pages_of(origin)
    pages.expect_complaint("CORS|Failed|403")
    page = pages(f"/page.html?server={watch.url}")
    with page.expect_event("pageerror", predicate=lambda error: "live.js" in error.message):
        page.reload()
    assert watch.connections == 0
