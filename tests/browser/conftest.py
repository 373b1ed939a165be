"""Fixtures of the tests in a real browser: one Chromium a process, fresh profiles a test, a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from harness.fixtures import Starter, corpus, home, small_kb, start
from playwright.sync_api import Browser, expect

from browser.browser import TIMEOUT_MS, Chromium, Pages, Watch

__all__ = ["corpus", "home", "small_kb", "start"]

expect.set_options(timeout=TIMEOUT_MS)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """Debian's Chromium, started once for all tests of this process."""
    started = Chromium()
    yield started
    started.close()


@pytest.fixture
def browser(chromium: Chromium) -> Iterator[Browser]:
    """That Chromium, for the time of a test."""
    chromium.take_up()
    yield chromium.browser
    chromium.put_aside()


@pytest.fixture
def serve(start: Starter) -> Callable[..., Watch]:
    """Start `pyrite watch`: `serve(folder, …, options=["--read-only"])`."""

    def served(*roots: Path, options: Sequence[str] = (), env: Mapping[str, str] | None = None) -> Watch:
        return Watch(start, *roots, options=options, env=env)

    return served


@pytest.fixture
def watch(serve: Callable[..., Watch], small_kb: Path) -> Watch:
    """`pyrite watch` over the KB `small`: `entry-1` … `entry-5`."""
    return serve(small_kb)


@pytest.fixture
def pages_of(browser: Browser, start: Starter) -> Iterator[Callable[[str], Pages]]:
    """Open tabs of any server: `pages_of(url)`; at the end none may have complained."""
    opened: list[Pages] = []  # closed before what `start` started: a server that is gone is an error

    def made(base_url: str) -> Pages:
        opened.append(Pages(browser, base_url))
        return opened[-1]

    yield made
    for pages in opened:
        pages.close()
    for pages in opened:
        pages.check()


@pytest.fixture
def open_page(pages_of: Callable[[str], Pages], watch: Watch) -> Pages:
    """Open tabs of `watch`: `open_page("/k/small", color_scheme="dark")`."""
    return pages_of(watch.url)
