"""Whatever a connection or a worker does to the stream, a tab hears it densely."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.isolation import REPOSITORY
from harness.wait import eventually
from playwright.sync_api import WebSocketRoute

from browser.browser import Pages, Watch
from browser.follower import BLANK, Follower, offset_of
from browser.test_live_resume import written


@pytest.mark.parametrize("fault", ["hole", "repeat"])
def test_a_stream_with_a_fault_is_mended(open_page: Pages, watch: Watch, fault: str) -> None:
    """An event that is missing is fetched by resuming before it; one that comes twice is told once.

    No server of ours does either: between the two a test can.
    """
    faults: list[int] = []

    def tamper(near: WebSocketRoute) -> None:
        far = near.connect_to_server()

        def pass_on(text: str | bytes) -> None:
            message = json.loads(text)
            chosen = message["type"] == "entry_updated" and message["entry_id"] == "entry-2"
            if chosen and not faults:
                faults.append(message["offset"])
                if fault == "hole":
                    return
                near.send(text)
            near.send(text)

        far.on_message(pass_on)

    page = open_page(goto=False)
    page.route_web_socket(re.compile(r"/ws\?"), tamper)
    page.goto(watch.url + BLANK)
    tab = Follower(open_page, page=page, since=watch.process.position, shared=False)
    tab.wait_live()
    for number in (1, 2, 3):
        last = written(watch, f"entry-{number}", "Changed.")
    tab.wait_offset(last)
    tab.check_dense(offset_of(watch.process.position), last)
    assert len(faults) == 1
    readies = [message for message in tab.heard if message["type"] == "ready"]
    assert len(readies) == (2 if fault == "hole" else 1)


@pytest.fixture
def short_ring(serve: Callable[..., Watch], small_kb: Path, tmp_path: Path) -> Watch:
    """A server whose worker keeps few events, and soon leaves a tab that does not answer."""
    package = tmp_path / "copy" / "pyrite_watch"
    shutil.copytree(REPOSITORY / "pyrite_watch", package, ignore=shutil.ignore_patterns("__pycache__"))
    worker = package / "web" / "live-worker.js"
    script, changed = re.subn(r"(RING_EVENTS|MAX_UNTAKEN) = 8_192", r"\1 = 8", worker.read_text("utf-8"))
    assert changed == 2
    worker.write_text(script, "utf-8")
    return serve(small_kb, env={"PYTHONPATH": str(package.parent)})


def test_a_tab_that_takes_nothing_is_left_and_joins_again(
    short_ring: Watch, pages_of: Callable[[str], Pages]
) -> None:
    """A frozen tab is sent no more than it may leave lying; thawed it hears the rest, in order."""
    watch, pages = short_ring, pages_of(short_ring.url)
    since = watch.process.position
    frozen, other = Follower(pages, since=since), Follower(pages, since=since)
    for tab in (frozen, other):
        tab.wait_live()
    session = frozen.page.context.new_cdp_session(frozen.page)
    session.send("Page.setWebLifecycleState", {"state": "frozen"})
    for number in range(15):
        last = written(watch, f"entry-{number % 5}", f"Change {number}.")
    other.wait_offset(last)
    session.send("Page.setWebLifecycleState", {"state": "active"})
    frozen.wait_offset(last)
    frozen.wait_readies(2)  # it was left, and has joined again
    for tab in (frozen, other):
        tab.check_dense(offset_of(since), last)


def test_a_tab_older_than_the_ring_is_caught_up(short_ring: Watch, pages_of: Callable[[str], Pages]) -> None:
    """What the worker keeps no more comes from the server's log, and the socket for that is closed."""
    watch, pages = short_ring, pages_of(short_ring.url)
    since = watch.process.position
    early = Follower(pages, since=since)
    early.wait_live()
    for number in range(15):
        last = written(watch, f"entry-{number % 5}", f"Change {number}.")
    early.wait_offset(last)
    late = Follower(pages, since=since)
    late.wait_live()
    last = written(watch, "entry-1", "For both.")
    for tab in (early, late):
        tab.wait_offset(last)
        tab.check_dense(offset_of(since), last)
    eventually(lambda: watch.connections == 1, what="one connection")
